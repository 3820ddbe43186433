//! What Python reads of a span, as objects of OpenTelemetry's classes; and their way back.

use std::sync::Arc;

use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList, PyMapping, PyMappingProxy};

use super::api::Api;
use super::provider::{span_id, trace_id};
use crate::context::SpanContext;
use crate::otlp::message;
use crate::py::value::to_dict;
use crate::record::Target;

/// The context of an `opentelemetry.trace.SpanContext`; None for an invalid one.
pub(super) fn context_of(api: &Api, came: &Bound<'_, PyAny>) -> PyResult<Option<SpanContext>> {
    let (Some(trace_id), Some(span_id)) = (
        trace_id(&came.getattr("trace_id")?),
        span_id(&came.getattr("span_id")?),
    ) else {
        return Ok(None);
    };
    let flags: u32 = came.getattr("trace_flags")?.extract()?;
    let state = header_of(api, &came.getattr("trace_state")?)?;
    Ok(Some(SpanContext {
        trace_id,
        span_id,
        sampled: Some(flags & 1 != 0),
        random: flags & 2 != 0,
        is_remote: came.getattr("is_remote")?.is_truthy()?,
        trace_state: (!state.is_empty()).then_some(state),
    }))
}

/// An `opentelemetry.trace.SpanContext`; with a `TraceState` that is there already, if one is.
pub(super) fn to_context<'py>(
    py: Python<'py>,
    api: &Api,
    context: &SpanContext,
    trace_state: Option<Bound<'py, PyAny>>,
) -> PyResult<Bound<'py, PyAny>> {
    let state = match context.trace_state.as_deref() {
        _ if trace_state.is_some() => trace_state.into_pyobject(py)?,
        None => api.default_trace_state.bind(py).clone(),
        Some(header) => api
            .trace_state_class
            .bind(py)
            .call_method1("from_header", ([header],))?,
    };
    api.span_context.bind(py).call1((
        u128::from_be_bytes(context.trace_id.to_bytes()),
        u64::from_be_bytes(context.span_id.to_bytes()),
        context.is_remote,
        api.trace_flags(py, context.trace_flags())?,
        state,
    ))
}

/// The `tracestate` header of a `TraceState`; empty for none.
pub(super) fn header_of(api: &Api, state: &Bound<'_, PyAny>) -> PyResult<Arc<str>> {
    if state.is_none() || state.is(&api.default_trace_state) {
        return Ok("".into());
    }
    let header: String = state.call_method0("to_header")?.extract()?;
    Ok(header.as_str().into())
}

/// What a link leads to; None for ids that are too large to be sent.
pub(super) fn target_of<'a>(
    context: &Bound<'_, PyAny>,
    trace_state: &'a str,
) -> PyResult<Option<Target<'a>>> {
    let flags: u32 = context.getattr("trace_flags")?.extract()?;
    let (Ok(trace_id), Ok(span_id)) = (
        context.getattr("trace_id")?.extract::<u128>(),
        context.getattr("span_id")?.extract::<u64>(),
    ) else {
        return Ok(None);
    };
    Ok(Some(Target {
        trace_id: trace_id.to_be_bytes(),
        span_id: span_id.to_be_bytes(),
        trace_flags: flags & 0xff,
        is_remote: context.getattr("is_remote")?.is_truthy()?,
        trace_state,
    }))
}

/// A read-only view of attributes.
pub(super) fn read_only(dict: Bound<'_, PyDict>) -> Bound<'_, PyAny> {
    let mapping: Bound<'_, PyMapping> = dict.into_mapping();
    PyMappingProxy::new(mapping.py(), &mapping).into_any()
}

/// The events of a span, as `Event` objects.
pub(super) fn events<'py>(py: Python<'py>, span: &message::Span) -> PyResult<Bound<'py, PyList>> {
    let make = py.import("nanospan.otel._sdk")?.getattr("event")?;
    let events = PyList::empty(py);
    for event in &span.events {
        let attributes = to_dict(py, &event.attributes)?;
        let (time, dropped) = (event.time_unix_nano, event.dropped_attributes_count);
        events.append(make.call1((&event.name, attributes, time, dropped))?)?;
    }
    Ok(events)
}

/// The links of a span, as `Link` objects.
pub(super) fn links<'py>(
    py: Python<'py>,
    api: &Api,
    span: &message::Span,
) -> PyResult<Bound<'py, PyList>> {
    const IS_REMOTE: u32 = 1 << 9;
    let make = py.import("nanospan.otel._sdk")?.getattr("link")?;
    let links = PyList::empty(py);
    for link in &span.links {
        let number = |bytes: &[u8]| {
            bytes
                .iter()
                .fold(0u128, |number, byte| number << 8 | u128::from(*byte))
        };
        let state = if link.trace_state.is_empty() {
            api.default_trace_state.bind(py).clone()
        } else {
            api.trace_state_class
                .bind(py)
                .call_method1("from_header", ([&link.trace_state],))?
        };
        let context = api.span_context.bind(py).call1((
            number(&link.trace_id),
            number(&link.span_id),
            link.flags & IS_REMOTE != 0,
            api.trace_flags(py, link.flags & 0xff)?,
            state,
        ))?;
        let attributes = to_dict(py, &link.attributes)?;
        links.append(make.call1((context, attributes, link.dropped_attributes_count))?)?;
    }
    Ok(links)
}
