//! Datadog's `x-datadog-*`: ids as decimal numbers of 64 bits, the upper half of a longer trace id
//! in a tag (Datadog, "Trace Context Propagation"; the rules of its tracers where that is silent).

use super::digit::{decimal, low_half, lowercase_hex, number, span_id, trace_id};
use super::header::{Sent, is_printable};
use super::{Format, Header, Headers, RemoteContext, Warning};

pub(super) const NAMES: &[&str] = &[TRACE_ID, PARENT_ID, PRIORITY, ORIGIN, TAGS];
const TRACE_ID: &str = "x-datadog-trace-id";
const PARENT_ID: &str = "x-datadog-parent-id";
const PRIORITY: &str = "x-datadog-sampling-priority";
const ORIGIN: &str = "x-datadog-origin";
const TAGS: &str = "x-datadog-tags";

const UPPER_HALF: &str = "_dd.p.tid";
const DECISION_MAKER: &str = "_dd.p.dm";
/// What Datadog's tracers take of tags, in characters.
const MAX_TAGS: usize = 512;

/// What Datadog's headers say beyond ids and decision.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Extra {
    /// The decision as it came: -1, 0, 1 or 2.
    pub priority: Option<i8>,
    /// Where the trace began, in Datadog's words.
    pub origin: Option<Box<str>>,
    /// The tags that travel, without the upper half of the trace id.
    pub tags: Vec<(Box<str>, Box<str>)>,
}

pub(super) fn read(headers: &Headers<'_>, warnings: &mut Vec<Warning>) -> Option<RemoteContext> {
    let priority = match headers.one(PRIORITY) {
        Sent::Never => None,
        Sent::Once("-1") => Some(-1),
        Sent::Once("0") => Some(0),
        Sent::Once("1") => Some(1),
        Sent::Once("2") => Some(2),
        Sent::Once(_) | Sent::Repeatedly => {
            warnings.push("datadog.priority");
            return None;
        }
    };
    let context = RemoteContext {
        sampled: priority.map(|priority| priority > 0),
        ..RemoteContext::of(Format::Datadog)
    };
    let mut id = |name, warning| match headers.one(name) {
        Sent::Never => Ok(None),
        sent => {
            let number = sent.once().and_then(decimal);
            number.map(Some).ok_or_else(|| warnings.push(warning))
        }
    };
    let low = match id(TRACE_ID, "datadog.trace_id") {
        // An id of 0 is a caller's defect, and so is what it says beside it.
        Ok(Some(0)) => return None,
        Ok(Some(low)) => low,
        Ok(None) | Err(()) => return Some(context),
    };
    let parent = id(PARENT_ID, "datadog.parent_id").ok().flatten();
    let (high, tags) = read_tags(headers, warnings);
    let trace = u128::from(high) << 64 | u128::from(low);
    let bits = u128::BITS - trace.leading_zeros();
    let origin = headers.one(ORIGIN).once();
    let extra = Extra {
        priority,
        origin: origin.filter(|origin| is_printable(origin)).map(Box::from),
        tags,
    };
    Some(RemoteContext {
        trace_id: trace_id(trace),
        trace_id_size: Some(bits.div_ceil(8) as u8),
        span_id: parent.and_then(|parent| span_id(u128::from(parent))),
        datadog: (extra != Extra::default()).then(|| Box::new(extra)),
        ..context
    })
}

type Tags = Vec<(Box<str>, Box<str>)>;

/// The upper half of the trace id, 0 without one, and the other tags that travel.
fn read_tags(headers: &Headers<'_>, warnings: &mut Vec<Warning>) -> (u64, Tags) {
    let text = match headers.one(TAGS) {
        Sent::Never | Sent::Once("") => return (0, Tags::new()),
        Sent::Once(text) if text.len() <= MAX_TAGS && is_printable(text) => text,
        Sent::Once(_) | Sent::Repeatedly => {
            warnings.push("datadog.tags");
            return (0, Tags::new());
        }
    };
    let (mut high, mut tags) = (0, Tags::new());
    for (key, value) in text.split(',').filter_map(|tag| tag.split_once('=')) {
        let (key, value) = (key.trim_matches(' '), value.trim_matches(' '));
        if key == UPPER_HALF {
            match lowercase_hex::<16>(value.as_bytes()).filter(|&high| high != 0) {
                Some(number) => high = number as u64,
                None => warnings.push("datadog.tid"),
            }
        } else if key.starts_with("_dd.p.") && !key.contains(' ') {
            tags.push((key.into(), value.into()));
        }
    }
    (high, tags)
}

/// Each header for which there is something to say.
pub(super) fn write(context: &RemoteContext, headers: &mut Vec<Header>) {
    let extra = context.datadog.as_deref();
    if let Some(trace_id) = context.trace_id {
        headers.push((TRACE_ID.into(), low_half(trace_id).to_string()));
    }
    if let Some(span_id) = context.span_id {
        headers.push((PARENT_ID.into(), number(span_id).to_string()));
    }
    // A decision that still stands goes on in the words in which it came.
    let kept = extra.and_then(|extra| extra.priority);
    let kept = kept.filter(|&priority| Some(priority > 0) == context.sampled);
    if let Some(priority) = kept.or(context.sampled.map(i8::from)) {
        headers.push((PRIORITY.into(), priority.to_string()));
    }
    if let Some(origin) = extra.and_then(|extra| extra.origin.as_deref()) {
        headers.push((ORIGIN.into(), origin.to_owned()));
    }
    let tags = tags(context, kept.is_some());
    if !tags.is_empty() {
        headers.push((TAGS.into(), tags));
    }
}

fn tags(context: &RemoteContext, decision_stands: bool) -> String {
    let high = context
        .trace_id
        .map(|id| u128::from_be_bytes(id.to_bytes()) >> 64);
    let high = high.filter(|&high| high != 0);
    let mut text = high.map_or(String::new(), |high| format!("{UPPER_HALF}={high:016x}"));
    let carried = context.datadog.iter().flat_map(|extra| &extra.tags);
    for (key, value) in carried.filter(|(key, _)| decision_stands || &**key != DECISION_MAKER) {
        let comma = if text.is_empty() { "" } else { "," };
        let tag = format!("{comma}{key}={value}");
        if text.len() + tag.len() <= MAX_TAGS {
            text.push_str(&tag);
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn round_trip(headers: &[(&str, &str)], sampled: Option<bool>) -> Vec<Header> {
        let headers: Headers<'_> = headers.iter().copied().collect();
        let mut context = read(&headers, &mut Vec::new()).expect("the headers are valid");
        context.sampled = sampled;
        let mut written = Vec::new();
        write(&context, &mut written);
        written
    }

    #[test]
    fn what_is_datadogs_own_travels_on() {
        let sent = [
            (TRACE_ID, "5"),
            (PARENT_ID, "6"),
            (PRIORITY, "2"),
            (ORIGIN, "synthetics"),
            (
                TAGS,
                "_dd.p.tid=00000000000000ab,_dd.p.dm=-4,_dd.p.usr.id=x=y",
            ),
        ];
        let expected = sent.map(|(name, value)| (name.into(), value.to_owned()));
        assert_eq!(round_trip(&sent, Some(true)), expected);
    }

    #[test]
    fn another_decision_is_not_theirs_any_more() {
        let sent = [
            (TRACE_ID, "5"),
            (PRIORITY, "2"),
            (TAGS, "_dd.p.dm=-4,_dd.p.a=b"),
        ];
        let expected = [(TRACE_ID, "5"), (PRIORITY, "0"), (TAGS, "_dd.p.a=b")];
        let expected = expected.map(|(name, value)| (name.into(), value.to_owned()));
        assert_eq!(round_trip(&sent, Some(false)), expected);
    }
}
