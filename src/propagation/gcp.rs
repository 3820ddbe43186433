//! Google Cloud's `x-cloud-trace-context` (Google Cloud Trace, "Trace context").

use super::digit::{decimal, lowercase_hex, number, span_id, trace_id};
use super::{Format, Header, Headers, RemoteContext, Warning};

pub(super) const NAMES: &[&str] = &[NAME];
const NAME: &str = "x-cloud-trace-context";

pub(super) fn read(headers: &Headers<'_>, warnings: &mut Vec<Warning>) -> Option<RemoteContext> {
    let text = headers.one(NAME).once()?;
    let context = read_ids(text);
    if context.is_none() {
        warnings.push("gcp.malformed");
    }
    context
}

/// `TRACE[/SPAN][;o=OPTION]`
fn read_ids(text: &str) -> Option<RemoteContext> {
    let (ids, option) = match text.split_once(';') {
        Some((ids, option)) => (ids, Some(option)),
        None => (text, None),
    };
    let sampled = match option.map(|option| option.strip_prefix("o=").map(str::as_bytes)) {
        None => None,
        Some(Some([digit @ b'0'..=b'9'])) => Some(*digit == b'1'),
        Some(_) => return None,
    };
    let (trace, span) = match ids.split_once('/') {
        Some((trace, span)) => (trace, Some(span)),
        None => (ids, None),
    };
    let span = match span {
        None => None,
        Some(digits) if digits.len() <= 20 && !digits.contains(' ') => Some(decimal(digits)?),
        Some(_) => return None,
    };
    Some(RemoteContext {
        trace_id: Some(lowercase_hex::<32>(trace.as_bytes()).and_then(trace_id)?),
        trace_id_size: Some(16),
        span_id: span.and_then(|number| span_id(u128::from(number))),
        sampled,
        ..RemoteContext::of(Format::Gcp)
    })
}

pub(super) fn write(
    context: &RemoteContext,
    headers: &mut Vec<Header>,
) -> Result<(), &'static str> {
    let (trace_id, span_id) = context.ids()?;
    let option = u8::from(context.sampled == Some(true));
    let value = format!("{trace_id}/{};o={option}", number(span_id));
    headers.push((NAME.into(), value));
    Ok(())
}
