//! What a user of opentelemetry-api will try, and what to use instead. The names stand in the types
//! as descriptors that raise: `__getattr__` would make every other access slower.

use pyo3::exceptions::{PyAttributeError, PyTypeError};
use pyo3::prelude::*;
use pyo3::types::{PyString, PyType};

use super::argument;
use super::block::Block;
use super::context::PySpanContext;
use super::span::PySpan;
use super::tracer::PyTracer;

const NO_MANAGER: &str =
    "a span is no context manager, use `with tracer.start_as_current_span(name) as span:`";
const NO_SPAN: &str =
    "this is a block, the span is in `with tracer.start_as_current_span(name) as span:`";

/// Names that are not there, and what to use.
const OF_SPAN: [(&str, &str); 6] = [
    ("end", "use span.finish()"),
    ("record_exception", "use span.record_error(error)"),
    (
        "update_name",
        "a span is named once, by start_span or link_span",
    ),
    ("get_span_context", "use span.context"),
    ("__enter__", NO_MANAGER),
    ("__aenter__", NO_MANAGER),
];

const OF_CONTEXT: [(&str, &str); 2] = [
    ("trace_flags", "use context.sampled"),
    ("is_valid", "only the no-op span's ids are all zero"),
];

const OF_TRACER: [(&str, &str); 2] = [
    ("get_tracer", "use tracer.new(name)"),
    ("get_current_span", "use tracer.active_span()"),
];

/// An attribute that is not there: reading it says what to use.
#[pyclass(frozen, name = "_Hint", module = "nanospan")]
pub(crate) struct PyHint {
    text: String,
}

#[pymethods]
impl PyHint {
    fn __get__(&self, _instance: &Bound<'_, PyAny>, _owner: &Bound<'_, PyAny>) -> PyResult<()> {
        Err(PyAttributeError::new_err(self.text.clone()))
    }
}

/// Puts the hints into the types.
pub(crate) fn install(py: Python<'_>) -> PyResult<()> {
    for (kind, hints) in [
        (PyType::new::<PySpan>(py), &OF_SPAN[..]),
        (PyType::new::<PySpanContext>(py), &OF_CONTEXT[..]),
        (PyType::new::<PyTracer>(py), &OF_TRACER[..]),
    ] {
        for (name, instead) in hints {
            put(&kind, name, instead)?;
        }
    }
    let block = Block::class(py)?;
    for name in PyType::new::<PySpan>(py).dir()? {
        let name = name.cast_into::<PyString>()?;
        let name = name.to_str()?;
        if !name.starts_with('_') {
            put(block, name, NO_SPAN)?;
        }
    }
    put(block, "__aenter__", "use `with`, in coroutines too")
}

fn put(kind: &Bound<'_, PyType>, name: &str, instead: &str) -> PyResult<()> {
    let text = format!(
        "'{}' object has no attribute '{name}': {instead}",
        kind.name()?
    );
    kind.setattr(name, PyHint { text })
}

/// The name of a block; a function in its place was decorated without one.
pub(crate) fn block_name<'a, 'py>(
    came: &'a Bound<'py, PyAny>,
) -> PyResult<&'a Bound<'py, PyString>> {
    argument::name("name", came).map_err(|error| {
        if !came.is_callable() {
            return error;
        }
        PyTypeError::new_err(format!(
            "{}; a decorator takes it too: @tracer.start_as_current_span(\"load_cart\")",
            error.value(came.py())
        ))
    })
}
