//! The late decision: which traces are kept that the sampler turned down.

use std::borrow::Cow;

use crate::context::StatusCode;
use crate::record::Record;
use crate::sampler::{RateLimit, is_like, with_count_of_one};
use crate::value::{Encode, Value};
use crate::wire::{Field, first_field, put_bytes, put_length};

/// What asks that a trace be kept. It is looked at when spans finish, and decided when the local root
/// does.
#[derive(Debug, Default)]
pub struct Keep {
    /// Any span whose status is an error.
    pub errors: bool,
    /// A root that took longer, in nanoseconds.
    pub slower_than_ns: Option<u64>,
    /// Any span that matches one of these.
    pub rules: Vec<KeepRule>,
    /// No more traces a second; None keeps all that ask.
    pub budget: Option<RateLimit>,
}

/// Which spans have their trace kept: those that match all that is given.
#[derive(Debug, Default)]
pub struct KeepRule {
    /// A pattern of the span's name.
    pub name: Option<Box<str>>,
    /// Attributes by key, with the `AnyValue` that they must have; None is any.
    pub attributes: Vec<(Box<str>, Option<Vec<u8>>)>,
}

/// Why a trace was kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Reason {
    /// A span failed.
    Error = 1,
    /// The root took long.
    Slow = 2,
    /// A span matched a rule.
    Rule = 3,
}

impl Reason {
    pub(crate) fn from_number(number: u8) -> Option<Self> {
        Some(match number {
            1 => Self::Error,
            2 => Self::Slow,
            3 => Self::Rule,
            _ => return None,
        })
    }

    /// As the spans of the trace say it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Slow => "slow",
            Self::Rule => "rule",
        }
    }
}

/// A span that finishes, as far as it matters here.
pub(crate) struct Finished<'a> {
    pub(crate) record: &'a Record,
    pub(crate) status: StatusCode,
    /// How long it took, if it is the root of its local trace.
    pub(crate) root_ns: Option<u64>,
}

impl Keep {
    /// Why the trace of a span shall be kept, if it shall.
    pub(crate) fn asks(&self, span: &Finished<'_>) -> Option<Reason> {
        let is_slow = || {
            self.slower_than_ns
                .zip(span.root_ns)
                .is_some_and(|(most, took)| took > most)
        };
        if self.errors && span.status == StatusCode::Error {
            Some(Reason::Error)
        } else if self.rules.iter().any(|rule| rule.matches(span.record)) {
            Some(Reason::Rule)
        } else {
            is_slow().then_some(Reason::Slow)
        }
    }
}

impl KeepRule {
    /// An attribute that a span must have; with None, whatever its value.
    #[must_use]
    pub fn with_attribute(mut self, key: &str, value: Option<Value<'_>>) -> Self {
        let value = value.map(|value| {
            let mut bytes = Vec::new();
            value.write(&mut bytes);
            bytes
        });
        self.attributes.push((key.into(), value));
        self
    }

    fn matches(&self, record: &Record) -> bool {
        let is_so = |(key, wanted): &(Box<str>, Option<Vec<u8>>)| {
            record
                .attribute(key)
                .is_some_and(|value| wanted.as_deref().is_none_or(|wanted| wanted == value))
        };
        self.name
            .as_deref()
            .is_none_or(|pattern| is_like(pattern, &record.name()))
            && self.attributes.iter().all(is_so)
    }
}

/// The attribute that says why.
pub const ATTRIBUTE: &str = "nanospan.kept";

/// Says on each span of a run why its trace was kept, and that it stands for itself only: the threshold
/// in its `tracestate` is that of an adjusted count of one (OpenTelemetry specification, "TraceState:
/// Probability Sampling").
pub(crate) fn mark(run: &[u8], reason: Reason) -> Vec<u8> {
    const TRACE_STATE: u32 = 3;
    const ATTRIBUTES: u32 = 9;
    let mut attribute = Vec::new();
    put_bytes(&mut attribute, 1, ATTRIBUTE.as_bytes());
    let value = Value::Text(reason.name());
    put_length(&mut attribute, 2, value.encoded_len());
    value.write(&mut attribute);
    let mut marked = Vec::with_capacity(run.len() + run.len() / 4);
    let (mut rest, mut made) = (run, Vec::new());
    while let Some((number, Field::Bytes(span), whole)) = first_field(rest) {
        rest = &rest[whole..];
        made.clear();
        let mut state = Cow::Borrowed("");
        let mut fields = span;
        while let Some((number, field, whole)) = first_field(fields) {
            match field {
                Field::Bytes(bytes) if number == TRACE_STATE => {
                    state = String::from_utf8_lossy(bytes);
                }
                _ => made.extend_from_slice(&fields[..whole]),
            }
            fields = &fields[whole..];
        }
        put_bytes(&mut made, TRACE_STATE, with_count_of_one(&state).as_bytes());
        put_bytes(&mut made, ATTRIBUTES, &attribute);
        put_bytes(&mut marked, number, &made);
    }
    marked
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::SpanLimits;
    use crate::otlp::message::{ScopeSpans, Span, any_value};
    use crate::record::Rules;
    use prost::Message;

    fn record(name: &str) -> Record {
        let limits = SpanLimits::default();
        let mut record = Record::default();
        record.set_name(name);
        record.set_attribute("tenant", Value::Text("x"), Rules::from(&limits));
        record.set_attribute("tries", Value::Int(300), Rules::from(&limits));
        record
    }

    fn finished(record: &Record) -> Finished<'_> {
        Finished {
            record,
            status: StatusCode::Unset,
            root_ns: None,
        }
    }

    #[test]
    fn an_error_a_slow_root_and_a_rule_ask_and_nothing_else_does() {
        let record = record("GET /cart");
        let keep = Keep {
            errors: true,
            slower_than_ns: Some(10),
            rules: vec![KeepRule::default().with_attribute("tries", Some(Value::Int(300)))],
            budget: None,
        };
        let failed = Finished {
            status: StatusCode::Error,
            ..finished(&record)
        };
        assert_eq!(keep.asks(&failed), Some(Reason::Error));
        assert_eq!(keep.asks(&finished(&record)), Some(Reason::Rule));
        let keep = Keep {
            rules: Vec::new(),
            ..keep
        };
        assert_eq!(keep.asks(&finished(&record)), None);
        for (took, expected) in [(10, None), (11, Some(Reason::Slow))] {
            let root = Finished {
                root_ns: Some(took),
                ..finished(&record)
            };
            assert_eq!(keep.asks(&root), expected);
        }
    }

    #[test]
    fn a_rule_matches_by_name_and_by_every_attribute() {
        let record = record("GET /cart");
        let matches = |rule: &KeepRule| rule.matches(&record);
        let named = |pattern: &str| KeepRule {
            name: Some(pattern.into()),
            ..KeepRule::default()
        };
        assert!(matches(&named("GET *")));
        assert!(!matches(&named("POST *")));
        let tenant = |value| named("*").with_attribute("tenant", value);
        assert!(matches(&tenant(None)));
        assert!(matches(&tenant(Some(Value::Text("x")))));
        assert!(!matches(&tenant(Some(Value::Text("y")))));
        assert!(!matches(&tenant(None).with_attribute("user", None)));
    }

    #[test]
    fn a_marked_span_says_why_and_stands_for_itself() {
        let span = |trace_state: &str| Span {
            trace_id: vec![1; 16],
            span_id: vec![2; 8],
            trace_state: trace_state.into(),
            name: "x".into(),
            flags: 3,
            ..Span::default()
        };
        let run = ScopeSpans {
            spans: vec![span(""), span("a=b,ot=th:8")],
            ..ScopeSpans::default()
        };
        let marked =
            ScopeSpans::decode(mark(&run.encode_to_vec(), Reason::Slow).as_slice()).unwrap();
        let states: Vec<_> = marked.spans.iter().map(|span| &span.trace_state).collect();
        assert_eq!(states, ["ot=th:0", "ot=th:0,a=b"]);
        for mut span in marked.spans {
            let mark = span.attributes.pop().unwrap();
            let value = any_value::Value::StringValue("slow".into());
            assert_eq!(
                (mark.key.as_str(), mark.value.unwrap().value),
                (ATTRIBUTE, Some(value))
            );
            assert_eq!((span.name.as_str(), span.flags), ("x", 3));
        }
    }
}
