//! A callable of the application's as a sampler.

use std::cell::Cell;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use pyo3::exceptions::PyKeyboardInterrupt;
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyBytes, PyDict};

use crate::context::{SpanContext, SpanKind};
use crate::id::TraceId;
use crate::py::context::PySpanContext;
use crate::py::data::span_kind;
use crate::py::error::wrong_type;
use crate::py::ffi::interrupt;
use crate::sampler::{Custom, Question, Sampler};

/// What a callable that samples is told of a span before it starts.
#[pyclass(frozen, name = "SamplingInput", module = "nanospan")]
pub(crate) struct PySamplingInput {
    name: String,
    kind: SpanKind,
    tracer: String,
    trace_id: TraceId,
    parent: Option<SpanContext>,
}

#[pymethods]
impl PySamplingInput {
    /// The name of the span; empty for a draft.
    #[getter]
    fn name(&self) -> &str {
        &self.name
    }

    /// What the span is to the one who asked for its work.
    #[getter]
    fn kind<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        span_kind(py, self.kind as i32)
    }

    /// The name of its tracer.
    #[getter]
    fn tracer(&self) -> &str {
        &self.tracer
    }

    /// Sixteen bytes.
    #[getter]
    fn trace_id<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
        PyBytes::new(py, &self.trace_id.to_bytes())
    }

    /// The parent, with its decision; None for a new trace.
    #[getter]
    fn parent(&self) -> Option<PySpanContext> {
        self.parent.clone().map(Some).map(PySpanContext)
    }
}

impl PySamplingInput {
    fn of(question: &Question<'_>) -> Self {
        Self {
            name: question.name.to_owned(),
            kind: question.kind,
            tracer: question.tracer.to_owned(),
            trace_id: *question.trace_id,
            parent: question.parent.map(|parent| SpanContext {
                trace_id: *question.trace_id,
                span_id: parent.span_id,
                sampled: parent.sampled,
                random: question.random,
                is_remote: parent.is_remote,
                trace_state: question.trace_state.map(Arc::from),
            }),
        }
    }
}

thread_local! {
    /// True while a callable decides: spans that it starts itself are not sampled.
    static DECIDES: Cell<bool> = const { Cell::new(false) };
}

/// The sampler that calls it. What it raises is logged, once, and is a no.
pub(super) fn sampler(callable: &Bound<'_, PyAny>) -> Sampler {
    let callable = callable.clone().unbind();
    let is_told = AtomicBool::new(false);
    Sampler::Custom(Custom::new(Arc::new(move |question| {
        if DECIDES.replace(true) {
            return false;
        }
        let decided = Python::try_attach(|py| {
            ask(py, &callable, question).unwrap_or_else(|error| {
                if error.is_instance_of::<PyKeyboardInterrupt>(py) {
                    interrupt(py);
                } else if !is_told.swap(true, Ordering::Relaxed) {
                    let _ = tell(py, &callable, &error);
                }
                false
            })
        });
        DECIDES.set(false);
        decided.unwrap_or(false)
    })))
}

fn ask(py: Python<'_>, callable: &Py<PyAny>, question: &Question<'_>) -> PyResult<bool> {
    let answer = callable.bind(py).call1((PySamplingInput::of(question),))?;
    let answer = answer
        .cast::<PyBool>()
        .map_err(|_| wrong_type("what a sampler returns", "a bool", &answer))?;
    Ok(answer.is_true())
}

fn tell(py: Python<'_>, callable: &Py<PyAny>, error: &PyErr) -> PyResult<()> {
    let text = "the sampler %r raised, which is logged once; its span is not sampled";
    let logger = py
        .import("logging")?
        .call_method1("getLogger", ("nanospan",))?;
    let options = PyDict::new(py);
    options.set_item("exc_info", error.value(py))?;
    logger.call_method("warning", (text, callable), Some(&options))?;
    Ok(())
}
