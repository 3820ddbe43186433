//! The end of a span: what Python's processors are told, and what they make of it.

use pyo3::exceptions::PyException;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyString};

use super::api::{Api, api};
use super::attribute::{Read, of_dict};
use super::provider::{PyProvider, shared};
use super::read::{context_of, header_of, target_of};
use super::span::PyOtelSpan;
use super::start::time;
use crate::context::{Status, StatusCode};
use crate::limits::SpanLimits;
use crate::py::ffi::turn;
use crate::py::lifecycle;
use crate::py::span::PySpan;
use crate::py::value::{Reader, pairs, text};
use crate::record::Rules;
use crate::span::{Disguise, FinishError, Span};

/// Ends a span; what it holds is sent. True if this was its first end.
#[inline]
pub(super) fn end(
    span: &Bound<'_, PyOtelSpan>,
    provider: &PyProvider,
    end_time_ns: Option<u64>,
) -> PyResult<bool> {
    let py = span.py();
    if provider.has_processor(py) {
        return end_and_tell(span, provider, end_time_ns);
    }
    let core = span.get().core();
    if !core.finish_readable(turn(py), end_time_ns) {
        return Ok(false);
    }
    span.get().let_parent_go(py);
    if core.is_root() {
        lifecycle::deliver_at_root(py, core);
    }
    Ok(true)
}

#[inline(never)]
fn end_and_tell(
    span: &Bound<'_, PyOtelSpan>,
    provider: &PyProvider,
    end_time_ns: Option<u64>,
) -> PyResult<bool> {
    let py = span.py();
    let core = span.get().core();
    if !core.begin_end(turn(py), end_time_ns) {
        return Ok(false);
    }
    let processor = provider
        .processor(py)
        .filter(|_| core.is_recorded() && !core.is_inherited());
    let keeps = processor.is_none();
    let told = processor.map_or(Ok(()), |processor| {
        // Made while the parent is at hand: it is the very context that the parent has.
        span.get().parent(py)?;
        span.get().let_parent_go(py);
        tell(span, &processor)
    });
    span.get().let_parent_go(py);
    core.complete_end(turn(py), keeps);
    told?;
    if core.is_root() {
        lifecycle::deliver_at_root(py, core);
    }
    Ok(true)
}

/// Who is to be told of a span of the native face: the processors of the provider over its pipeline.
#[inline(always)]
pub(crate) fn processor_of_native<'py>(span: &Bound<'py, PySpan>) -> Option<Bound<'py, PyAny>> {
    processor_over(shared()?, span)
}

fn processor_over<'py>(
    provider: &'static PyProvider,
    span: &Bound<'py, PySpan>,
) -> Option<Bound<'py, PyAny>> {
    let processor = provider.processor(span.py())?;
    let core = span.get().core()?;
    (core.is_recorded() && !core.is_inherited()).then_some(processor)
}

/// True when somebody may have to be told of spans of the native face.
#[inline(always)]
pub(crate) fn hears_of_natives(py: Python<'_>) -> bool {
    shared().is_some_and(|provider| provider.processor(py).is_some())
}

/// Tells the processors that a span of the native face has started.
pub(crate) fn start_native(span: &Bound<'_, PySpan>, processor: &Bound<'_, PyAny>) -> PyResult<()> {
    let py = span.py();
    let handle = PyOtelSpan::handle_of(span)?;
    let named = PyDict::new(py);
    named.set_item("parent_context", py.None())?;
    let told = processor.call_method("on_start", (handle,), Some(&named));
    hear(py, "on_start", told.map(drop))
}

/// Ends a span of the native face by its rules, and tells the processors.
pub(crate) fn finish_native(
    span: &Bound<'_, PySpan>,
    processor: &Bound<'_, PyAny>,
    end_time_ns: Option<u64>,
) -> PyResult<Result<bool, FinishError>> {
    let py = span.py();
    let handle = PyOtelSpan::handle_of(span)?;
    let core = handle.get().core();
    if let Err(error) = core.may_finish(turn(py), end_time_ns) {
        return Ok(Err(error));
    }
    if !core.begin_end(turn(py), end_time_ns) {
        return Ok(Ok(false));
    }
    let told = tell(&handle, processor);
    core.complete_end(turn(py), false);
    told.map(|()| Ok(true))
}

/// Tells the processors, and takes over what they changed.
fn tell(span: &Bound<'_, PyOtelSpan>, processor: &Bound<'_, PyAny>) -> PyResult<()> {
    let py = span.py();
    let told = processor.call_method1("_on_ending", (span,));
    hear(py, "_on_ending", told.map(drop))?;
    let readable = match span.get().make_readable(py) {
        Ok(readable) => readable,
        Err(error) => return hear(py, "on_end", Err(error)),
    };
    let told = processor.call_method1("on_end", (&readable,));
    hear(py, "on_end", told.map(drop))?;
    let core = span.get().core();
    if !core.trace().pipeline().forgets() && core.sampled() {
        // Whatever cannot be read back is sent as it was.
        hear(py, "on_end", take_over(core, &readable))?;
    }
    Ok(())
}

/// A processor that raises is no reason for the application's request to fail: its error is counted
/// out loud, once for each of its kinds.
pub(super) fn hear(py: Python<'_>, method: &str, told: PyResult<()>) -> PyResult<()> {
    let Err(error) = told else { return Ok(()) };
    if !error.is_instance_of::<PyException>(py) {
        return Err(error);
    }
    py.import("nanospan.otel._log")?
        .call_method1("processor_raised", (method, error))
        .map(drop)
}

/// Writes what a `ReadableSpan` says into the record of its span, in the place of what was there.
fn take_over(span: &Span, readable: &Bound<'_, PyAny>) -> PyResult<()> {
    let py = readable.py();
    let api = api(py)?;
    let reader = Reader::new(span.trace().pipeline());
    let name = readable.getattr("_name")?;
    let name = name.cast::<PyString>().map(text).unwrap_or_default();
    let attributes = mapping(&reader, &readable.getattr("_attributes")?)?;
    let mut events = Vec::new();
    for event in readable.getattr("_events")?.try_iter()? {
        let event = event?;
        let name: String = event.getattr("name")?.extract()?;
        let at = time("timestamp", Some(&event.getattr("timestamp")?))?.unwrap_or_default();
        let mut read = mapping(&reader, &event.getattr("attributes")?)?;
        read.dropped = event.getattr("dropped_attributes")?.extract()?;
        events.push((name, at, read));
    }
    let mut links = Vec::new();
    for link in readable.getattr("_links")?.try_iter()? {
        let link = link?;
        let context = link.getattr("context")?;
        let state = header_of(api, &context.getattr("trace_state")?)?;
        let mut read = mapping(&reader, &link.getattr("attributes")?)?;
        read.dropped = link.getattr("dropped_attributes")?.extract()?;
        links.push((context, state, read));
    }
    let links = links
        .iter()
        .filter_map(|(context, state, read)| match target_of(context, state) {
            Ok(target) => target.map(|target| Ok((target, read))),
            Err(error) => Some(Err(error)),
        })
        .collect::<PyResult<Vec<_>>>()?;
    let status = readable.getattr("_status")?;
    let code = api
        .code_of(&status.getattr("status_code")?)
        .unwrap_or(StatusCode::Unset);
    let description: Option<String> = status.getattr("description")?.extract()?;
    let start = time("start_time", Some(&readable.getattr("_start_time")?))?;
    let end = time("end_time", Some(&readable.getattr("_end_time")?))?;
    let dropped = |what: &str| readable.getattr(what)?.extract::<u32>();
    let dropped_attributes = dropped("dropped_attributes")?;
    let (dropped_events, dropped_links) = (dropped("dropped_events")?, dropped("dropped_links")?);
    let disguise = Disguise {
        start_time_ns: start.unwrap_or_default(),
        end_time_ns: end.unwrap_or_default(),
        status: Status {
            code,
            description: description.map(String::into_boxed_str),
        },
        ..identity(span, api, readable)?
    };
    let turn = turn(py);
    span.set_disguise(turn, disguise);
    // Processors may go beyond the limits, as with the SDK.
    let rules = Rules::from(&SpanLimits::UNLIMITED);
    span.change(turn, |record, _| {
        record.set_name(&name);
        record.clear_attributes(dropped_attributes);
        pairs(&attributes.attributes)
            .for_each(|(key, value)| record.set_attribute(key, value, rules));
        record.clear_events(dropped_events);
        for (name, at, read) in &events {
            let attributes = pairs(&read.attributes);
            record.add_event(name, *at, attributes, read.dropped, rules);
        }
        record.clear_links(dropped_links);
        for (target, read) in &links {
            record.add_link(*target, pairs(&read.attributes), read.dropped, rules);
        }
    });
    Ok(())
}

/// Which span it is to be sent as.
fn identity(span: &Span, api: &Api, readable: &Bound<'_, PyAny>) -> PyResult<Disguise> {
    let context = context_of(api, &readable.getattr("_context")?)?;
    let parent = readable.getattr("_parent")?;
    let parent = if parent.is_none() {
        None
    } else {
        context_of(api, &parent)?.map(|parent| (parent.span_id, parent.is_remote))
    };
    Ok(Disguise {
        context: context.unwrap_or_else(|| span.context()),
        parent,
        kind: api.kind_of(&readable.getattr("_kind")?),
        start_time_ns: 0,
        end_time_ns: 0,
        status: Status::default(),
    })
}

fn mapping(reader: &Reader<'_>, came: &Bound<'_, PyAny>) -> PyResult<Read> {
    if came.is_none() {
        return Ok(Read::default());
    }
    let dict = if let Ok(dict) = came.cast_exact::<PyDict>() {
        dict.clone()
    } else {
        let dict = PyDict::new(came.py());
        dict.update(came.cast()?)?;
        dict
    };
    Ok(Read {
        attributes: of_dict(reader, &dict)?,
        dropped: 0,
    })
}
