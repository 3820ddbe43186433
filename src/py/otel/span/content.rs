//! What a span holds, as Python reads it, and as processors are told of it.

use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList};

use super::PyOtelSpan;
use crate::otlp::message;
use crate::py::ffi::turn;
use crate::py::otel::api::api;
use crate::py::otel::read::{events, links};
use crate::py::value::to_dict;

/// What a span holds, for Python.
#[pyclass(frozen, name = "_Content", module = "nanospan")]
pub(in crate::py::otel) struct Content {
    pub(super) attributes: Py<PyDict>,
    pub(super) events: Py<PyList>,
    pub(super) links: Py<PyList>,
    pub(super) dropped: (u32, u32, u32),
}

impl PyOtelSpan {
    /// What processors are told of the end: a `ReadableSpan`. The span itself stays what it was,
    /// whatever they make of that.
    pub(in crate::py::otel) fn make_readable<'py>(
        &self,
        py: Python<'py>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let content = self.content(py)?;
        self.held(py).told = Some(content.clone().unbind());
        self.read_all(py, &content)
    }

    pub(super) fn read_all<'py>(
        &self,
        py: Python<'py>,
        content: &Bound<'py, Content>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let content = content.get();
        let facts = PyDict::new(py);
        facts.set_item("name", self.name(py))?;
        facts.set_item("context", self.python_context(py)?)?;
        facts.set_item("parent", self.parent(py)?)?;
        facts.set_item("resource", self.resource(py)?)?;
        facts.set_item("attributes", &content.attributes)?;
        facts.set_item("events", &content.events)?;
        facts.set_item("links", &content.links)?;
        facts.set_item("kind", self.kind(py)?)?;
        facts.set_item("status", self.status(py)?)?;
        facts.set_item("start_time", self.start_time(py))?;
        facts.set_item("end_time", self.end_time(py))?;
        facts.set_item("instrumentation_scope", self.instrumentation_scope(py)?)?;
        py.import("nanospan.otel._sdk")?
            .call_method1("readable", (facts, content.dropped))
    }

    /// Attributes, events and links, as far as they are known.
    pub(super) fn message(&self, py: Python<'_>) -> message::Span {
        self.core().read(turn(py)).unwrap_or_default()
    }

    /// The same for Python: as processors were told, where they were.
    pub(super) fn content<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, Content>> {
        if let Some(told) = &self.held(py).told {
            return Ok(told.bind(py).clone());
        }
        let span = self.message(py);
        let content = Content {
            attributes: to_dict(py, &span.attributes)?.unbind(),
            events: events(py, &span)?.unbind(),
            links: links(py, api(py)?, &span)?.unbind(),
            dropped: (
                span.dropped_attributes_count,
                span.dropped_events_count,
                span.dropped_links_count,
            ),
        };
        Bound::new(py, content)
    }
}
