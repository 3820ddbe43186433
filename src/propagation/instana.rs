//! Instana's `x-instana-t`, `-s` and `-l` (Instana, "Using HTTP headers").

use super::digit::{hex, span_id, trace_id};
use super::header::Sent;
use super::{Format, Header, Headers, RemoteContext, Warning};
use crate::id::{SpanId, TraceId};

pub(super) const NAMES: &[&str] = &[TRACE_ID, SPAN_ID, LEVEL];
const TRACE_ID: &str = "x-instana-t";
const SPAN_ID: &str = "x-instana-s";
const LEVEL: &str = "x-instana-l";

/// Ids come both or not at all. A level of 0 suppresses, without ids too; after it may follow what
/// correlates with a browser's trace.
pub(super) fn read(headers: &Headers<'_>, warnings: &mut Vec<Warning>) -> Option<RemoteContext> {
    let suppressed = match headers.one(LEVEL) {
        Sent::Never => false,
        Sent::Once(level) => level.starts_with('0'),
        Sent::Repeatedly => {
            warnings.push("instana.level");
            false
        }
    };
    let context = RemoteContext {
        sampled: Some(!suppressed),
        ..RemoteContext::of(Format::Instana)
    };
    let Some((trace_id, size, span_id)) = read_ids(headers, warnings) else {
        return suppressed.then_some(context);
    };
    Some(RemoteContext {
        trace_id: Some(trace_id),
        trace_id_size: Some(size),
        span_id,
        ..context
    })
}

fn read_ids(
    headers: &Headers<'_>,
    warnings: &mut Vec<Warning>,
) -> Option<(TraceId, u8, Option<SpanId>)> {
    let text = headers.one(TRACE_ID).once()?;
    let size = match text.len() {
        16 => Some(8),
        32 => Some(16),
        _ => None,
    };
    let number = size.and_then(|size| Some((hex(text)?, size)));
    if number.is_none() {
        warnings.push("instana.trace_id");
    }
    let span = headers.one(SPAN_ID).once()?;
    let (number, size) = number?;
    // A span id of 32 digits is one that another tracer made longer.
    let span = hex(span);
    if span.is_none() {
        warnings.push("instana.span_id");
    }
    Some((trace_id(number)?, size, span.and_then(span_id)))
}

/// A no goes out without ids too; a yes says nothing without them.
pub(super) fn write(context: &RemoteContext, headers: &mut Vec<Header>) {
    let ids = context.sized_trace_id(16).zip(context.span_id);
    let level = context.sampled.filter(|sampled| !sampled || ids.is_some());
    if let Some((trace_id, span_id)) = ids {
        headers.push((TRACE_ID.into(), trace_id));
        headers.push((SPAN_ID.into(), span_id.to_string()));
    }
    if let Some(sampled) = level {
        headers.push((LEVEL.into(), u8::from(sampled).to_string()));
    }
}
