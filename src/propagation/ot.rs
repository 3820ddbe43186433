//! `ot-tracer-*` and `ot-baggage-*` of OpenTracing's basictracer, which writes numbers without
//! leading zeros.

use super::digit::{hex, span_id, trace_id};
use super::header::Sent;
use super::jaeger::{read_baggage, write_baggage};
use super::{Format, Header, Headers, RemoteContext, Warning};

pub(super) const NAMES: &[&str] = &[TRACE_ID, SPAN_ID, SAMPLED];
pub(super) const BAGGAGE_PREFIX: &str = "ot-baggage-";
const TRACE_ID: &str = "ot-tracer-traceid";
const SPAN_ID: &str = "ot-tracer-spanid";
const SAMPLED: &str = "ot-tracer-sampled";

pub(super) fn read(headers: &Headers<'_>, warnings: &mut Vec<Warning>) -> RemoteContext {
    let sampled = match headers.one(SAMPLED) {
        Sent::Never => None,
        Sent::Once("1" | "true") => Some(true),
        Sent::Once("0" | "false") => Some(false),
        Sent::Once(_) | Sent::Repeatedly => {
            warnings.push("ot.sampled");
            None
        }
    };
    let mut digits = |name, most, warning| match headers.one(name) {
        Sent::Never => Ok(None),
        sent => {
            let text = sent.once().filter(|text| text.len() <= most);
            let number = text.and_then(|text| Some((hex(text)?, text.len())));
            number.map(Some).ok_or_else(|| warnings.push(warning))
        }
    };
    let trace = digits(TRACE_ID, 32, "ot.trace_id");
    let span = digits(SPAN_ID, 16, "ot.span_id");
    let context = RemoteContext {
        sampled,
        ..RemoteContext::of(Format::Ot)
    };
    // One bad id voids both.
    let (Ok(Some((trace, length))), Ok(span)) = (trace, span) else {
        return context;
    };
    let Some(trace_id) = trace_id(trace) else {
        return context;
    };
    RemoteContext {
        trace_id: Some(trace_id),
        trace_id_size: Some(if length > 16 { 16 } else { 8 }),
        span_id: span.and_then(|(span, _)| span_id(span)),
        baggage: read_baggage(headers, BAGGAGE_PREFIX),
        ..context
    }
}

/// The decision in words: OpenTelemetry's reader takes only `true` for a yes.
pub(super) fn write(
    context: &RemoteContext,
    headers: &mut Vec<Header>,
) -> Result<(), &'static str> {
    let (_, span_id) = context.ids()?;
    let trace_id = context.sized_trace_id(8).unwrap_or_default();
    headers.push((TRACE_ID.into(), trace_id));
    headers.push((SPAN_ID.into(), span_id.to_string()));
    if let Some(sampled) = context.sampled {
        headers.push((SAMPLED.into(), sampled.to_string()));
    }
    write_baggage(&context.baggage, BAGGAGE_PREFIX, headers);
    Ok(())
}
