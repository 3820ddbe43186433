//! Zipkin's B3, in one header and in several (openzipkin/b3-propagation). Both are read, whichever
//! of them is asked for; the single header counts first.

use super::digit::{hex, span_id, trace_id};
use super::header::Sent;
use super::{Format, Header, Headers, RemoteContext, Warning, w3c};
use crate::id::{SpanId, TraceId};

pub(super) const NAMES: &[&str] = &[
    SINGLE,
    w3c::TRACESTATE,
    TRACE_ID,
    SPAN_ID,
    PARENT_ID,
    SAMPLED,
    FLAGS,
];
pub(super) const WRITTEN: &[&str] = &[TRACE_ID, SPAN_ID, PARENT_ID, SAMPLED, FLAGS];
pub(super) const WRITTEN_SINGLE: &[&str] = &[SINGLE];
const SINGLE: &str = "b3";
const TRACE_ID: &str = "x-b3-traceid";
const SPAN_ID: &str = "x-b3-spanid";
const PARENT_ID: &str = "x-b3-parentspanid";
const SAMPLED: &str = "x-b3-sampled";
const FLAGS: &str = "x-b3-flags";
const DEBUG: &str = "1";

pub(super) fn read(headers: &Headers<'_>, warnings: &mut Vec<Warning>) -> RemoteContext {
    let single = single_header(headers);
    let mut context = RemoteContext::of(single.map_or(Format::B3, |_| Format::B3Single));
    let mut ids = Ids::default();
    if let Some(text) = single {
        match read_single(text) {
            Some((found, state)) => {
                ids = found;
                context.sampled = state.map(|state| state != State::Drop);
                context.b3_flags = (state == Some(State::Debug)).then(|| DEBUG.into());
            }
            None => warnings.push("b3.single"),
        }
    }
    if context.sampled.is_none() {
        read_decision(headers, &mut context, warnings);
    }
    // The two shapes are not mixed: ids come from one of them.
    if ids.trace_id.is_none() {
        ids = read_ids(headers, warnings);
    }
    RemoteContext {
        trace_id: ids.trace_id,
        span_id: ids.span_id,
        parent_id: ids.parent_id,
        trace_id_size: ids.trace_id_size,
        ..context
    }
}

#[derive(Default)]
struct Ids {
    trace_id: Option<TraceId>,
    span_id: Option<SpanId>,
    parent_id: Option<SpanId>,
    trace_id_size: Option<u8>,
}

#[derive(Clone, Copy, PartialEq)]
enum State {
    Drop,
    Sample,
    Debug,
}

/// The header; without one a member `b3=` of `tracestate`.
fn single_header<'a>(headers: &'a Headers<'_>) -> Option<&'a str> {
    match headers.one(SINGLE) {
        Sent::Once(text) => Some(text),
        Sent::Repeatedly => None,
        Sent::Never => {
            w3c::members(headers.all(w3c::TRACESTATE)).find_map(|member| member.strip_prefix("b3="))
        }
    }
}

/// `trace-span[-state[-parent]]` or a state alone; None for anything else.
fn read_single(text: &str) -> Option<(Ids, Option<State>)> {
    let mut parts = text.split('-');
    let (first, second) = (parts.next()?, parts.next());
    let Some(second) = second else {
        return Some((Ids::default(), Some(read_state(first)?)));
    };
    let (trace, size) = trace_digits(first)?;
    let span = span_digits(second)?;
    let state = parts.next().map(|part| read_state(part).ok_or(()));
    let parent = parts.next().map(|part| span_digits(part).ok_or(()));
    if parts.next().is_some() {
        return None;
    }
    let ids = Ids {
        trace_id: Some(trace_id(trace)?),
        span_id: Some(span_id(span)?),
        parent_id: parent.transpose().ok()?.and_then(span_id),
        trace_id_size: Some(size),
    };
    Some((ids, state.transpose().ok()?))
}

fn read_state(text: &str) -> Option<State> {
    Some(match text {
        "0" => State::Drop,
        "1" => State::Sample,
        "d" => State::Debug,
        _ => return None,
    })
}

/// A trace id's number and its size in bytes.
fn trace_digits(text: &str) -> Option<(u128, u8)> {
    let size = match text.len() {
        16 => 8,
        32 => 16,
        _ => return None,
    };
    Some((hex(text)?, size))
}

fn span_digits(text: &str) -> Option<u128> {
    (text.len() == 16).then(|| hex(text)).flatten()
}

fn read_decision(headers: &Headers<'_>, context: &mut RemoteContext, warnings: &mut Vec<Warning>) {
    context.sampled = match headers.one(SAMPLED) {
        Sent::Never => None,
        Sent::Once("1" | "true") => Some(true),
        Sent::Once("0" | "false") => Some(false),
        Sent::Once(_) | Sent::Repeatedly => {
            warnings.push("b3.sampled");
            None
        }
    };
    match headers.one(FLAGS) {
        Sent::Never | Sent::Once("0") => {}
        Sent::Once(DEBUG) => {
            context.sampled = Some(true);
            context.b3_flags = Some(DEBUG.into());
        }
        Sent::Once(other) => {
            warnings.push("b3.flags");
            context.b3_flags = Some(other.into());
        }
        Sent::Repeatedly => warnings.push("b3.flags"),
    }
}

/// One bad id voids all three; without a trace id the others mean nothing.
fn read_ids(headers: &Headers<'_>, warnings: &mut Vec<Warning>) -> Ids {
    let before = warnings.len();
    let trace = match headers.one(TRACE_ID) {
        Sent::Never => None,
        sent => {
            let digits = sent.once().and_then(trace_digits);
            if digits.is_none() {
                warnings.push("b3.trace_id");
            }
            digits
        }
    };
    let mut span = |name, warning| match headers.one(name) {
        Sent::Never => None,
        sent => {
            let digits = sent.once().and_then(span_digits);
            if digits.is_none() {
                warnings.push(warning);
            }
            digits.and_then(span_id)
        }
    };
    let (span_id, parent_id) = (span(SPAN_ID, "b3.span_id"), span(PARENT_ID, "b3.parent_id"));
    let trace = trace.and_then(|(number, size)| Some((trace_id(number)?, size)));
    match trace {
        Some((trace_id, size)) if warnings.len() == before => Ids {
            trace_id: Some(trace_id),
            span_id,
            parent_id,
            trace_id_size: Some(size),
        },
        _ => Ids::default(),
    }
}

/// Ids where both are known. An unknown decision is left to the receiver, but without ids it would
/// leave nothing to say: then it is a no.
pub(super) fn write(context: &RemoteContext, headers: &mut Vec<Header>) {
    let ids = context.sized_trace_id(16).zip(context.span_id);
    let has_ids = ids.is_some();
    if let Some((trace_id, span_id)) = ids {
        headers.push((TRACE_ID.into(), trace_id));
        headers.push((SPAN_ID.into(), span_id.to_string()));
        if let Some(parent_id) = context.parent_id {
            headers.push((PARENT_ID.into(), parent_id.to_string()));
        }
    }
    match state(context) {
        Some(State::Debug) => headers.push((FLAGS.into(), DEBUG.to_owned())),
        Some(State::Sample) => headers.push((SAMPLED.into(), "1".to_owned())),
        Some(State::Drop) => headers.push((SAMPLED.into(), "0".to_owned())),
        None if !has_ids => headers.push((SAMPLED.into(), "0".to_owned())),
        None => {}
    }
}

/// The same in one header. A parent follows a state, so without one it is left out.
pub(super) fn write_single(context: &RemoteContext, headers: &mut Vec<Header>) {
    let state = state(context).map(|state| match state {
        State::Drop => "0",
        State::Sample => "1",
        State::Debug => "d",
    });
    let value = match (context.sized_trace_id(16).zip(context.span_id), state) {
        (None, state) => state.unwrap_or("0").to_owned(),
        (Some((trace_id, span_id)), None) => format!("{trace_id}-{span_id}"),
        (Some((trace_id, span_id)), Some(state)) => match context.parent_id {
            None => format!("{trace_id}-{span_id}-{state}"),
            Some(parent_id) => format!("{trace_id}-{span_id}-{state}-{parent_id}"),
        },
    };
    headers.push((SINGLE.into(), value));
}

/// Debug implies sampled, so it is not said of what is dropped.
fn state(context: &RemoteContext) -> Option<State> {
    match context.sampled {
        Some(false) => Some(State::Drop),
        _ if context.b3_flags.as_deref() == Some(DEBUG) => Some(State::Debug),
        Some(true) => Some(State::Sample),
        None => None,
    }
}
