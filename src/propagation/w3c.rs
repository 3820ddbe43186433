//! `traceparent` and `tracestate` (W3C Trace Context level 2).

use std::sync::Arc;

use super::digit::{lowercase_hex, span_id, trace_id};
use super::header::is_printable;
use super::{Format, Header, Headers, RemoteContext, Warning};
use crate::id::{SpanId, TraceId};

pub(super) const NAMES: &[&str] = &[TRACEPARENT, TRACESTATE];
/// The name of the header with the ids.
pub const TRACEPARENT: &str = "traceparent";
/// The name of the header with what vendors add.
pub const TRACESTATE: &str = "tracestate";

/// More list-members make the whole `tracestate` invalid (section 3.3.1.1).
const MAX_MEMBERS: usize = 32;
const MAX_KEY: usize = 256;
const MAX_VALUE: usize = 256;
const OPTIONAL_SPACE: [char; 2] = [' ', '\t'];

pub(super) fn read(headers: &Headers<'_>, warnings: &mut Vec<Warning>) -> Option<RemoteContext> {
    let text = headers.one(TRACEPARENT).once()?;
    let text = text.trim_matches(OPTIONAL_SPACE);
    if text.is_empty() {
        return None;
    }
    let parent = match Traceparent::read(text) {
        Ok(parent) => parent,
        Err(warning) => {
            warnings.push(warning);
            return None;
        }
    };
    Some(RemoteContext {
        trace_id: Some(parent.trace_id),
        span_id: Some(parent.parent_id),
        sampled: Some(parent.flags & 1 != 0),
        trace_id_size: Some(16),
        w3c_flags: Some(parent.flags),
        trace_state: trace_state(headers.all(TRACESTATE), warnings),
        ..RemoteContext::of(Format::W3c)
    })
}

struct Traceparent {
    trace_id: TraceId,
    parent_id: SpanId,
    flags: u8,
}

impl Traceparent {
    /// Section 3.2.2. Digits are lowercase; a later version is read like ours, and may have more
    /// after another dash.
    fn read(text: &str) -> Result<Self, Warning> {
        let mut fields = text.splitn(5, '-').map(str::as_bytes);
        let mut next = || {
            fields
                .next()
                .filter(|field| !field.is_empty() && field.iter().copied().all(is_digit))
                .ok_or("w3c.malformed")
        };
        let (version, trace, parent, flags) = (next()?, next()?, next()?, next()?);
        let version = lowercase_hex::<2>(version).filter(|&version| version != 0xff);
        let is_ours = version.ok_or("w3c.version")? == 0;
        if is_ours && fields.next().is_some() {
            return Err("w3c.malformed");
        }
        Ok(Self {
            trace_id: lowercase_hex::<32>(trace)
                .and_then(trace_id)
                .ok_or("w3c.trace_id")?,
            parent_id: lowercase_hex::<16>(parent)
                .and_then(span_id)
                .ok_or("w3c.parent_id")?,
            flags: lowercase_hex::<2>(flags).ok_or("w3c.flags")? as u8,
        })
    }
}

fn is_digit(byte: u8) -> bool {
    matches!(byte, b'0'..=b'9' | b'a'..=b'f')
}

/// The members of all lines in their order, as they came; None where there are none, and where one
/// of them is not valid (section 3.3.1).
fn trace_state<'a>(
    lines: impl Iterator<Item = &'a str>,
    warnings: &mut Vec<Warning>,
) -> Option<Arc<str>> {
    let mut state = String::new();
    let mut count = 0;
    for member in members(lines) {
        count += 1;
        if count > MAX_MEMBERS || !is_member(member) {
            warnings.push("w3c.tracestate");
            return None;
        }
        if !state.is_empty() {
            state.push(',');
        }
        state.push_str(member);
    }
    (!state.is_empty()).then(|| state.into())
}

/// The list-members of lines of `tracestate`, without those that are empty.
pub(super) fn members<'a>(lines: impl Iterator<Item = &'a str>) -> impl Iterator<Item = &'a str> {
    lines
        .flat_map(|line| line.split(','))
        .map(|member| member.trim_matches(OPTIONAL_SPACE))
        .filter(|member| !member.is_empty())
}

fn is_member(member: &str) -> bool {
    let Some((key, value)) = member.split_once('=') else {
        return false;
    };
    is_key(key.as_bytes()) && is_value(value)
}

fn is_key(key: &[u8]) -> bool {
    let plain = |byte: &u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9');
    let other = |byte: &u8| plain(byte) || b"_-*/@".contains(byte);
    key.len() <= MAX_KEY && key.first().is_some_and(plain) && key.iter().all(other)
}

fn is_value(value: &str) -> bool {
    (1..=MAX_VALUE).contains(&value.len()) && is_printable(value) && !value.contains('=')
}

pub(super) fn write(
    context: &RemoteContext,
    headers: &mut Vec<Header>,
) -> Result<(), &'static str> {
    let (trace_id, span_id) = context.ids()?;
    let flags = u8::from(context.sampled == Some(true)) | u8::from(context.is_random()) << 1;
    let parent = traceparent(trace_id, span_id, flags);
    headers.push((TRACEPARENT.into(), as_text(&parent).to_owned()));
    if let Some(state) = writable(context.trace_state.as_deref()) {
        headers.push((TRACESTATE.into(), state.to_owned()));
    }
    Ok(())
}

/// A `tracestate` made by hand may hold what no header may.
pub fn writable(trace_state: Option<&str>) -> Option<&str> {
    trace_state.filter(|state| is_printable(state))
}

/// How long a `traceparent` of our version is.
pub const LENGTH: usize = 55;

/// The `traceparent` of ids and flags, in the version that we know (section 3.2.2).
pub fn traceparent(trace_id: TraceId, span_id: SpanId, flags: u8) -> [u8; LENGTH] {
    let mut text = [b'-'; LENGTH];
    digits(&mut text[..2], &[0]);
    digits(&mut text[3..35], &trace_id.to_bytes());
    digits(&mut text[36..52], &span_id.to_bytes());
    digits(&mut text[53..], &[flags]);
    text
}

/// The same as text.
pub fn as_text(traceparent: &[u8; LENGTH]) -> &str {
    std::str::from_utf8(traceparent).expect("digits and dashes")
}

fn digits(text: &mut [u8], bytes: &[u8]) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    for (pair, byte) in text.chunks_exact_mut(2).zip(bytes) {
        pair[0] = DIGITS[usize::from(byte >> 4)];
        pair[1] = DIGITS[usize::from(byte & 0xf)];
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PARENT: &str = "00-7f3c9a1e5d2b48609c1d7e4fa2b60f13-e2c4a6180b3d5f79-03";

    fn state(lines: &[&str]) -> Option<String> {
        let headers = lines.iter().map(|line| (TRACESTATE, *line));
        let headers: Headers<'_> = headers.chain([(TRACEPARENT, PARENT)]).collect();
        let context = read(&headers, &mut Vec::new()).expect("the traceparent is valid");
        context.trace_state.map(|state| state.as_ref().to_owned())
    }

    #[test]
    fn a_traceparent_is_written_as_it_was_read() {
        let headers: Headers<'_> = [(TRACEPARENT, PARENT)].into_iter().collect();
        let context = read(&headers, &mut Vec::new()).unwrap();
        let mut written = Vec::new();
        write(&context, &mut written).unwrap();
        assert_eq!(written, [(TRACEPARENT.into(), PARENT.to_owned())]);
    }

    #[test]
    fn a_later_version_may_have_more_after_a_dash() {
        let later = |end: &str| Traceparent::read(&format!("cc{}{end}", &PARENT[2..])).is_ok();
        assert!(later("") && later("-") && later("-what-the-future-holds"));
        assert!(!later(".what"));
        assert!(Traceparent::read(&format!("ff{}", &PARENT[2..])).is_err());
    }

    #[test]
    fn members_of_several_lines_keep_their_order_and_lose_their_empty_ones() {
        assert_eq!(
            state(&["a=1 ,\tb= 2", "", "c=3,,"]).as_deref(),
            Some("a=1,b= 2,c=3")
        );
    }

    #[test]
    fn one_member_that_is_not_valid_voids_them_all() {
        let long = format!("{}=1", "z".repeat(257));
        let many = ["a=1"; 33].join(",");
        for line in [
            "foo =1", "FOO=1", "@a=1", "a=", "a", "a=b=c", "a=é", &long, &many,
        ] {
            assert_eq!(state(&["ok=1", line]), None, "{line}");
        }
        assert_eq!(state(&["0a@b@c=1"]).as_deref(), Some("0a@b@c=1"));
    }
}
