//! `nanospan.otel.Tracer`.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

use pyo3::exceptions::PyAttributeError;
use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyDict, PyType};

use super::block::OtelBlock;
use super::provider::PyProvider;
use super::start::{Arguments, Truth};
use crate::chunk::InstrumentationScope;
use crate::py::value::{Reader, pairs};
use crate::tracer::Tracer;

/// Makes spans for one instrumentation scope; what `TracerProvider.get_tracer` gives.
#[pyclass(frozen, weakref, name = "Tracer", module = "nanospan.otel")]
pub(crate) struct PyOtelTracer {
    core: &'static Tracer,
    pub(super) provider: Py<PyProvider>,
    pub(super) instrumentation_scope: Py<PyAny>,
    enabled: AtomicBool,
}

/// Tracers of the core, which live for ever, by what identifies them.
static KNOWN: Mutex<Option<HashMap<Vec<u8>, &'static Tracer>>> = Mutex::new(None);

impl PyOtelTracer {
    #[inline]
    pub(super) fn core(&self) -> &'static Tracer {
        self.core
    }

    /// False where a tracer configurator switched it off.
    #[inline]
    pub(super) fn is_enabled(&self) -> bool {
        self.enabled.load(Ordering::Relaxed)
    }

    fn of_owner<'py>(&self, py: Python<'py>, name: &str) -> PyResult<Bound<'py, PyAny>> {
        let owner = self.provider.get().owner(py);
        owner
            .ok_or_else(|| PyAttributeError::new_err("the tracer's provider is gone"))?
            .getattr(name)
    }
}

#[pymethods]
impl PyOtelTracer {
    #[new]
    #[pyo3(signature = (provider, instrumentation_scope, name, version, schema_url, attributes))]
    fn new(
        provider: Py<PyProvider>,
        instrumentation_scope: Py<PyAny>,
        name: &str,
        version: &str,
        schema_url: &str,
        attributes: &Bound<'_, PyDict>,
    ) -> PyResult<Self> {
        let attributes = Reader::unlimited().attributes("attributes", Some(attributes.as_any()))?;
        let attributes = pairs(&attributes);
        let scope = InstrumentationScope::with(name, Some(version), schema_url, attributes);
        let key = [scope.as_bytes(), b"\0", schema_url.as_bytes()].concat();
        let mut known = KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
        let core = *known
            .get_or_insert_default()
            .entry(key)
            .or_insert_with(|| Tracer::of_scope(name, scope.leak()));
        Ok(Self {
            core,
            provider,
            instrumentation_scope,
            enabled: AtomicBool::new(true),
        })
    }

    /// Starts a span, which does not become current.
    ///
    /// The parent is the current span, or the one in `context`. `kind` is a `SpanKind`;
    /// `start_time` is nanoseconds since 1970, None is now (OpenTelemetry trace API, "Span
    /// Creation"). `record_exception` and `set_status_on_exception` say what `with span:` does with
    /// an exception that leaves it.
    #[pyo3(signature = (name, context=None, kind=None, attributes=None, links=None, start_time=None, record_exception=Truth(true), set_status_on_exception=Truth(true)))]
    #[allow(clippy::too_many_arguments, reason = "the signature that Python sees")]
    fn start_span<'py>(
        slf: &Bound<'py, Self>,
        name: &Bound<'_, PyAny>,
        context: Option<&Bound<'_, PyAny>>,
        kind: Option<&Bound<'_, PyAny>>,
        attributes: Option<&Bound<'_, PyAny>>,
        links: Option<&Bound<'_, PyAny>>,
        start_time: Option<&Bound<'_, PyAny>>,
        record_exception: Truth,
        set_status_on_exception: Truth,
    ) -> PyResult<Bound<'py, PyAny>> {
        let arguments = Arguments::read(
            name,
            context,
            kind,
            attributes,
            links,
            start_time,
            record_exception.0,
            set_status_on_exception.0,
        )?;
        arguments.start(slf)
    }

    /// Prepares a span for one `with` block, or for each call of a function that it decorates.
    ///
    /// The span starts and becomes current when the block is entered. When it is left, what was
    /// current before is so again, an exception is recorded and sets the status, and the span ends,
    /// each unless the argument named for it says otherwise. The other arguments are those of
    /// `start_span`.
    #[pyo3(signature = (name, context=None, kind=None, attributes=None, links=None, start_time=None, record_exception=Truth(true), set_status_on_exception=Truth(true), end_on_exit=Truth(true)))]
    #[allow(clippy::too_many_arguments, reason = "the signature that Python sees")]
    fn start_as_current_span<'py>(
        slf: &Bound<'py, Self>,
        name: &Bound<'_, PyAny>,
        context: Option<&Bound<'_, PyAny>>,
        kind: Option<&Bound<'_, PyAny>>,
        attributes: Option<&Bound<'_, PyAny>>,
        links: Option<&Bound<'_, PyAny>>,
        start_time: Option<&Bound<'_, PyAny>>,
        record_exception: Truth,
        set_status_on_exception: Truth,
        end_on_exit: Truth,
    ) -> PyResult<Bound<'py, PyAny>> {
        let arguments = Arguments::read(
            name,
            context,
            kind,
            attributes,
            links,
            start_time,
            record_exception.0,
            set_status_on_exception.0,
        )?;
        OtelBlock::new(slf.clone().unbind(), arguments, end_on_exit.0).into_object(slf.py())
    }

    /// The class that wrappers of a tracer can call with themselves.
    #[getter(__class__)]
    fn class<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        static CLASS: PyOnceLock<Py<PyType>> = PyOnceLock::new();
        let class = CLASS.import(slf.py(), "nanospan.otel._tracer", "Tracer")?;
        Ok(class.clone().into_any())
    }

    /// The resource of the provider.
    #[getter]
    fn resource<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        self.of_owner(py, "resource")
    }

    /// The sampler of the provider.
    #[getter]
    fn sampler<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        self.of_owner(py, "sampler")
    }

    /// The id generator of the provider.
    #[getter]
    fn id_generator<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        self.of_owner(py, "id_generator")
    }

    /// The span processor of the provider.
    #[getter]
    fn span_processor<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        self.of_owner(py, "_active_span_processor")
    }

    #[getter]
    fn _span_limits<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        self.of_owner(py, "_span_limits")
    }

    #[getter]
    fn _instrumentation_scope<'py>(&self, py: Python<'py>) -> Bound<'py, PyAny> {
        self.instrumentation_scope.bind(py).clone()
    }

    /// The old name of the instrumentation scope.
    #[getter]
    fn instrumentation_info<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        py.import("nanospan.otel._sdk")?
            .call_method1("instrumentation_info", (&self.instrumentation_scope,))
    }

    fn _is_enabled(&self) -> bool {
        self.is_enabled()
    }

    fn _enable(&self, enabled: bool) {
        self.enabled.store(enabled, Ordering::Relaxed);
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.provider)?;
        visit.call(&self.instrumentation_scope)
    }
}
