//! `SpanData`: a finished span as Python reads it, and the small values inside.

use std::sync::Arc;

use prost::Message as _;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyBytes, PyDict, PyTuple, PyType};

use super::context::PySpanContext;
use super::value::to_dict;
use crate::context::SpanContext;
use crate::id::{SpanId, TraceId};
use crate::otlp::message::{self, TracesData};

/// A finished span, read only: keep it as long as you like.
#[pyclass(frozen, eq, name = "SpanData", module = "nanospan")]
#[derive(PartialEq)]
pub(crate) struct PySpanData {
    span: message::Span,
    origin: Arc<Origin>,
}

#[derive(PartialEq)]
struct Origin {
    scope: message::InstrumentationScope,
    resource: message::Resource,
}

#[pymethods]
impl PySpanData {
    /// The ids and flags of the span.
    #[getter]
    fn context(&self) -> PySpanContext {
        let span = &self.span;
        context(
            &span.trace_id,
            &span.span_id,
            &span.trace_state,
            span.flags,
            false,
        )
    }

    /// Sixteen bytes.
    #[getter]
    fn trace_id<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
        PyBytes::new(py, &self.span.trace_id)
    }

    /// Eight bytes.
    #[getter]
    fn span_id<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
        PyBytes::new(py, &self.span.span_id)
    }

    /// The trace id as 32 lowercase hexadecimal digits.
    #[getter]
    fn trace_id_hex(&self) -> String {
        self.context().trace_id_hex()
    }

    /// The span id as 16 lowercase hexadecimal digits.
    #[getter]
    fn span_id_hex(&self) -> String {
        self.context().span_id_hex()
    }

    /// The parent's eight bytes, None for the root of a trace.
    #[getter]
    fn parent_id<'py>(&self, py: Python<'py>) -> Option<Bound<'py, PyBytes>> {
        let id = &self.span.parent_span_id;
        (!id.is_empty()).then(|| PyBytes::new(py, id))
    }

    /// The name of the span.
    #[getter]
    fn name(&self) -> &str {
        &self.span.name
    }

    /// What the span was to the one who asked for its work.
    #[getter]
    fn kind<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        span_kind(py, self.span.kind)
    }

    /// Nanoseconds since 1970.
    #[getter]
    fn start_time_ns(&self) -> u64 {
        self.span.start_time_unix_nano
    }

    /// Nanoseconds since 1970.
    #[getter]
    fn end_time_ns(&self) -> u64 {
        self.span.end_time_unix_nano
    }

    /// How the work ended.
    #[getter]
    fn status<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        status_code(
            py,
            self.span.status.as_ref().map_or(0, |status| status.code),
        )
    }

    /// Why it failed, None unless that was said.
    #[getter]
    fn status_description(&self) -> Option<&str> {
        let message = self
            .span
            .status
            .as_ref()
            .map(|status| status.message.as_str());
        message.filter(|message| !message.is_empty())
    }

    /// The attributes, as a new dict.
    #[getter]
    fn attributes<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        to_dict(py, &self.span.attributes)
    }

    /// The events, in the order in which they were added.
    #[getter]
    fn events<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyTuple>> {
        events(py, &self.span)
    }

    /// The links, in the order in which they were added.
    #[getter]
    fn links<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyTuple>> {
        links(py, &self.span)
    }

    /// Always False: the span has finished.
    #[allow(clippy::unused_self, reason = "Span has the same method")]
    fn is_recording(&self) -> bool {
        false
    }

    /// The name and version of the tracer.
    #[getter]
    fn instrumentation_scope<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let scope = &self.origin.scope;
        let version = (!scope.version.is_empty()).then_some(&scope.version);
        class(py, "InstrumentationScope")?.call1((&scope.name, version))
    }

    /// The attributes of the process that made the span, as a new dict.
    #[getter]
    fn resource<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        to_dict(py, &self.origin.resource.attributes)
    }

    /// How many attributes the limit left out.
    #[getter]
    fn dropped_attributes_count(&self) -> u32 {
        self.span.dropped_attributes_count
    }

    /// How many events the limit left out.
    #[getter]
    fn dropped_events_count(&self) -> u32 {
        self.span.dropped_events_count
    }

    /// How many links the limit left out.
    #[getter]
    fn dropped_links_count(&self) -> u32 {
        self.span.dropped_links_count
    }

    fn __repr__(&self) -> String {
        let (trace, span) = (self.trace_id_hex(), self.span_id_hex());
        format!(
            "SpanData(name={:?}, trace_id={trace}, span_id={span})",
            self.span.name
        )
    }
}

/// The spans of a request that we wrote, in its order.
pub(crate) fn read(request: &[u8]) -> Vec<PySpanData> {
    let data = TracesData::decode(request).unwrap_or_default();
    let mut spans = Vec::new();
    for resource_spans in data.resource_spans {
        let resource = resource_spans.resource.unwrap_or_default();
        for scope_spans in resource_spans.scope_spans {
            let scope = scope_spans.scope.unwrap_or_default();
            let origin = Arc::new(Origin {
                scope,
                resource: resource.clone(),
            });
            let of_scope = scope_spans.spans.into_iter();
            spans.extend(of_scope.map(|span| PySpanData {
                span,
                origin: Arc::clone(&origin),
            }));
        }
    }
    spans
}

/// By start, and as they came where that is equal.
pub(crate) fn in_start_order(mut spans: Vec<PySpanData>) -> Vec<PySpanData> {
    spans.sort_by_key(|data| data.span.start_time_unix_nano);
    spans
}

/// The events of a span as `Event` tuples.
pub(crate) fn events<'py>(py: Python<'py>, span: &message::Span) -> PyResult<Bound<'py, PyTuple>> {
    let class = class(py, "Event")?;
    let events = span.events.iter().map(|event| {
        class.call1((
            &event.name,
            event.time_unix_nano,
            to_dict(py, &event.attributes)?,
        ))
    });
    PyTuple::new(py, events.collect::<PyResult<Vec<_>>>()?)
}

/// The links of a span as `Link` tuples.
pub(crate) fn links<'py>(py: Python<'py>, span: &message::Span) -> PyResult<Bound<'py, PyTuple>> {
    const IS_REMOTE: u32 = 1 << 9;
    let class = class(py, "Link")?;
    let links = span.links.iter().map(|link| {
        let is_remote = link.flags & IS_REMOTE != 0;
        let context = context(
            &link.trace_id,
            &link.span_id,
            &link.trace_state,
            link.flags,
            is_remote,
        );
        class.call1((context, to_dict(py, &link.attributes)?))
    });
    PyTuple::new(py, links.collect::<PyResult<Vec<_>>>()?)
}

fn context(
    trace_id: &[u8],
    span_id: &[u8],
    trace_state: &str,
    flags: u32,
    is_remote: bool,
) -> PySpanContext {
    let trace_id = trace_id.try_into().ok().and_then(TraceId::new);
    let span_id = span_id.try_into().ok().and_then(SpanId::new);
    PySpanContext(
        trace_id
            .zip(span_id)
            .map(|(trace_id, span_id)| SpanContext {
                trace_id,
                span_id,
                sampled: Some(flags & 1 != 0),
                random: flags & 2 != 0,
                is_remote,
                trace_state: (!trace_state.is_empty()).then(|| trace_state.into()),
            }),
    )
}

/// The `SpanKind` of a number.
pub(crate) fn span_kind(py: Python<'_>, number: i32) -> PyResult<Bound<'_, PyAny>> {
    static CLASS: PyOnceLock<Py<PyType>> = PyOnceLock::new();
    CLASS
        .import(py, "nanospan._enum", "SpanKind")?
        .call1((number,))
}

/// The `StatusCode` of a number.
pub(crate) fn status_code(py: Python<'_>, number: i32) -> PyResult<Bound<'_, PyAny>> {
    static CLASS: PyOnceLock<Py<PyType>> = PyOnceLock::new();
    CLASS
        .import(py, "nanospan._enum", "StatusCode")?
        .call1((number,))
}

/// A class of `nanospan._data`.
pub(crate) fn class<'py>(py: Python<'py>, name: &str) -> PyResult<Bound<'py, PyAny>> {
    py.import("nanospan._data")?.getattr(name)
}
