//! The Python module `nanospan._core`. Everything here converts, calls the core, and returns. `ffi` is
//! the one room with unsafe code; `fast` has the short way of the calls that hot code makes.

mod argument;
mod block;
mod carrier;
mod chain;
mod clock;
mod config;
mod context;
mod data;
mod error;
mod exception;
mod exporter;
mod fast;
mod ffi;
mod flush;
mod fork;
mod hint;
mod keep;
mod lifecycle;
mod otel;
mod propagation;
mod remote;
mod sampler;
mod scope;
mod span;
mod start;
mod tracer;
mod value;
mod view;

use pyo3::prelude::pymodule;

/// The core of nanospan.
// One interpreter lock guards the handles' links; without it they would have to be per thread.
#[pymodule(gil_used = true)]
mod _core {
    use pyo3::exceptions::PyImportError;
    use pyo3::prelude::{Bound, Py, PyModule, PyModuleMethods, PyResult};

    use super::ffi::Recycled;
    use super::{
        block, clock, config, context, data, error, exporter, fast, ffi, hint, keep, otel,
        propagation, remote, sampler, span, start, tracer, view,
    };

    #[pymodule_export]
    use super::flush::{PyFlush, flush};
    #[pymodule_export]
    use super::lifecycle::is_configured_now;
    #[pymodule_export]
    use block::PyTemplate;
    #[pymodule_export]
    use clock::{PyManualClock, PyScriptedIds};
    #[pymodule_export]
    use config::{PyQueueConfig, PySpanLimits, configure, shutdown, stats};
    #[pymodule_export]
    use context::PySpanContext;
    #[pymodule_export]
    use data::PySpanData;
    #[pymodule_export]
    use error::ReleasedSpanError;
    #[pymodule_export]
    use exporter::{PyConsoleExporter, PyFileExporter, PyMemoryExporter, PyOtlpExporter};
    #[pymodule_export]
    use keep::{PyKeep, PyKeepRule};
    #[pymodule_export]
    use otel::{
        PyContextToken, PyOtelTemplate, PyProvider, attach, detach, get_current, install, read_by,
        share,
    };
    #[pymodule_export]
    use propagation::PyPropagation;
    #[pymodule_export]
    use remote::PyRemoteContext;
    #[pymodule_export]
    use sampler::{
        PyAlwaysOff, PyAlwaysOn, PyAlwaysRecord, PyConsistentProbability, PyParentBased,
        PyRateLimited, PyRule, PyRuleBased, PySampler, PySamplingInput, PyTraceIdRatio,
    };
    #[pymodule_export]
    use span::PySpan;
    #[pymodule_export]
    use start::PyRoot;
    #[pymodule_export]
    use tracer::PyTracer;
    #[pymodule_export]
    use view::_view;

    #[pymodule_init]
    fn init(module: &Bound<'_, PyModule>) -> PyResult<()> {
        // PyO3's types belong to the interpreter that made them. Before 3.12 nothing else refuses.
        if ffi::interpreter_id(module.py()) != 0 {
            let text = "nanospan does not support subinterpreters";
            return Err(PyImportError::new_err(text));
        }
        fast::install_all(module.py())?;
        PySpan::bin().install(module.py())?;
        super::scope::install(module.py())?;
        hint::install(module.py())?;
        // Of the same names as those of the native face.
        module.add("_OtelSpan", module.py().get_type::<otel::PyOtelSpan>())?;
        module.add("_OtelTracer", module.py().get_type::<otel::PyOtelTracer>())?;
        module.add("ROOT", Py::new(module.py(), PyRoot)?)?;
        module.add("PRESERVE", propagation::PRESERVE)?;
        module.add(
            "propagation",
            Py::new(module.py(), PyPropagation::global())?,
        )?;
        module.add("tracing", PyTracer::global(module.py())?)?;
        module.add("__version__", env!("CARGO_PKG_VERSION"))
    }
}
