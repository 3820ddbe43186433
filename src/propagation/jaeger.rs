//! Jaeger's `uber-trace-id` and `uberctx-*` (Jaeger client libraries, "Propagation Format").

use super::digit::{hex, span_id, trace_id};
use super::header::is_token;
use super::percent::{self, is_plain_in_url};
use super::{Baggage, Format, Header, Headers, RemoteContext, Warning};

pub(super) const NAMES: &[&str] = &[NAME];
pub(super) const BAGGAGE_PREFIX: &str = "uberctx-";
const NAME: &str = "uber-trace-id";

pub(super) fn read(headers: &Headers<'_>, warnings: &mut Vec<Warning>) -> Option<RemoteContext> {
    let text = headers.one(NAME).once().filter(|text| !text.is_empty())?;
    match read_ids(&percent::decode(text, false)) {
        Ok(context) => Some(RemoteContext {
            baggage: read_baggage(headers, BAGGAGE_PREFIX),
            ..context
        }),
        Err(warning) => {
            warnings.push(warning);
            None
        }
    }
}

/// `trace:span:parent:flags`. The parent is deprecated: a bad one is as good as none.
fn read_ids(text: &str) -> Result<RemoteContext, Warning> {
    let mut fields = text.split(':').map(|field| {
        let digits = !field.is_empty() && field.bytes().all(|byte| byte.is_ascii_hexdigit());
        digits.then_some(field).ok_or("jaeger.malformed")
    });
    let mut next = || fields.next().unwrap_or(Err("jaeger.malformed"));
    let (trace, span, parent, flags) = (next()?, next()?, next()?, next()?);
    if fields.next().is_some() {
        return Err("jaeger.malformed");
    }
    let id = |digits: &str| {
        (digits.len() <= 16)
            .then(|| span_id(hex(digits)?))
            .flatten()
    };
    let context = RemoteContext {
        trace_id: Some(hex(trace).and_then(trace_id).ok_or("jaeger.trace_id")?),
        trace_id_size: Some(trace.len().div_ceil(2) as u8),
        span_id: Some(id(span).ok_or("jaeger.span_id")?),
        parent_id: id(parent),
        ..RemoteContext::of(Format::Jaeger)
    };
    if flags.len() > 2 {
        return Err("jaeger.flags");
    }
    Ok(RemoteContext {
        sampled: hex(flags).map(|flags| flags & 1 != 0),
        ..context
    })
}

/// Baggage in a header for each entry, its value encoded as in a URL's query.
pub(super) fn read_baggage(headers: &Headers<'_>, prefix: &str) -> Baggage {
    let mut baggage = Baggage::default();
    for (key, value) in headers.prefixed(prefix) {
        baggage.set(key, &percent::decode(value, true));
    }
    baggage
}

pub(super) fn write(
    context: &RemoteContext,
    headers: &mut Vec<Header>,
) -> Result<(), &'static str> {
    let (_, span_id) = context.ids()?;
    let trace_id = context.sized_trace_id(16).unwrap_or_default();
    let parent_id = context
        .parent_id
        .map_or("0".to_owned(), |id| id.to_string());
    let flags = u8::from(context.sampled == Some(true));
    let value = format!("{trace_id}:{span_id}:{parent_id}:{flags:02}");
    headers.push((NAME.into(), value));
    write_baggage(&context.baggage, BAGGAGE_PREFIX, headers);
    Ok(())
}

/// Entries whose keys cannot be part of a header's name are left out.
pub(super) fn write_baggage(baggage: &Baggage, prefix: &str, headers: &mut Vec<Header>) {
    for entry in baggage.entries() {
        if is_token(&entry.key) {
            let name = format!("{prefix}{}", entry.key.to_ascii_lowercase());
            headers.push((name.into(), percent::encode(&entry.value, is_plain_in_url)));
        }
    }
}
