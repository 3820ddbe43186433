//! Spans gathered to traces, in however many exports they came, and the choice among them.

use std::collections::HashMap;
use std::fmt::Write as _;

use crate::otlp::message::any_value::Value;
use crate::otlp::message::{Resource, Span, Status, TracesData};

const STATUS_ERROR: i32 = 2;

/// The spans of one trace id.
pub(super) struct Trace<'a> {
    pub id: &'a [u8],
    /// By start, so that children and roots are in that order too. Never empty.
    pub members: Vec<Member<'a>>,
    pub start_ns: u64,
    pub end_ns: u64,
    pub errors: usize,
}

/// A span and whose it is.
pub(super) struct Member<'a> {
    pub span: &'a Span,
    pub service: &'a str,
}

impl<'a> Member<'a> {
    pub(super) fn start_ns(&self) -> u64 {
        self.span.start_time_unix_nano
    }

    /// Never before the start, whatever the data says.
    pub(super) fn end_ns(&self) -> u64 {
        self.span.end_time_unix_nano.max(self.start_ns())
    }

    pub(super) fn failed(&self) -> Option<&'a Status> {
        self.span
            .status
            .as_ref()
            .filter(|status| status.code == STATUS_ERROR)
    }
}

impl<'a> Trace<'a> {
    fn of(id: &'a [u8], mut members: Vec<Member<'a>>) -> Self {
        members.sort_by_key(Member::start_ns);
        Trace {
            id,
            start_ns: members.first().map_or(0, Member::start_ns),
            end_ns: members.iter().map(Member::end_ns).max().unwrap_or(0),
            errors: members
                .iter()
                .filter(|member| member.failed().is_some())
                .count(),
            members,
        }
    }

    /// From the first start to the last end.
    pub(super) fn duration_ns(&self) -> u64 {
        self.end_ns - self.start_ns
    }

    pub(super) fn hex_id(&self) -> String {
        hex(self.id)
    }
}

pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut digits, byte| {
        write!(digits, "{byte:02x}").expect("a String takes all text");
        digits
    })
}

/// Every trace in the data, by start.
pub(super) fn gather(data: &[TracesData]) -> Vec<Trace<'_>> {
    let mut numbers = HashMap::new();
    let mut traces: Vec<(&[u8], Vec<Member>)> = Vec::new();
    for resource_spans in data.iter().flat_map(|export| &export.resource_spans) {
        let service = resource_spans.resource.as_ref().and_then(service_name);
        let service = service.unwrap_or("unknown_service");
        for span in resource_spans
            .scope_spans
            .iter()
            .flat_map(|scope_spans| &scope_spans.spans)
        {
            let number = *numbers.entry(&*span.trace_id).or_insert_with(|| {
                traces.push((&span.trace_id, Vec::new()));
                traces.len() - 1
            });
            traces[number].1.push(Member { span, service });
        }
    }
    let mut traces: Vec<_> = traces
        .into_iter()
        .map(|(id, members)| Trace::of(id, members))
        .collect();
    traces.sort_by_key(|trace| trace.start_ns);
    traces
}

fn service_name(resource: &Resource) -> Option<&str> {
    let attribute = resource
        .attributes
        .iter()
        .find(|attribute| attribute.key == "service.name")?;
    match attribute.value.as_ref()?.value.as_ref()? {
        Value::StringValue(name) => Some(name),
        _ => None,
    }
}

/// Which traces to draw: those that pass every filter that is set.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Selection {
    /// The hex digits that the trace id begins with; as many as make it the only one will do.
    pub trace: Option<String>,
    /// Only this many: those that took longest, the slowest first.
    pub slowest: Option<usize>,
    /// Only traces in which a span failed.
    pub errors: bool,
}

impl Selection {
    pub(super) fn of<'a>(&self, mut traces: Vec<Trace<'a>>) -> Vec<Trace<'a>> {
        if let Some(prefix) = &self.trace {
            let prefix = prefix.to_ascii_lowercase();
            traces.retain(|trace| trace.hex_id().starts_with(&prefix));
        }
        if self.errors {
            traces.retain(|trace| trace.errors > 0);
        }
        if let Some(count) = self.slowest {
            traces.sort_by_key(|trace| std::cmp::Reverse(trace.duration_ns()));
            traces.truncate(count);
        }
        traces
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::view::sample::{export, failed, span};

    fn selected(selection: &Selection) -> Vec<u8> {
        let slow_late = span(1, 0, "a", 50, 100).in_trace(0xa1);
        let data = [
            export(
                "shop",
                vec![span(1, 0, "a", 5, 10).in_trace(0xb2), slow_late],
            ),
            export(
                "shop",
                vec![failed(span(2, 1, "b", 7, 30).in_trace(0xb2), "")],
            ),
            export(
                "shop",
                vec![failed(span(1, 0, "a", 60, 61).in_trace(0xa2), "")],
            ),
        ];
        selection
            .of(gather(&data))
            .iter()
            .map(|trace| trace.id[0])
            .collect()
    }

    #[test]
    fn without_a_filter_all_traces_come_by_start() {
        assert_eq!(selected(&Selection::default()), [0xb2, 0xa1, 0xa2]);
    }

    #[test]
    fn a_trace_is_found_by_the_beginning_of_its_id() {
        let by_id = |id: &str| {
            selected(&Selection {
                trace: Some(id.into()),
                ..Selection::default()
            })
        };
        assert_eq!(by_id("B2"), [0xb2]);
        assert_eq!(by_id("a1a1a"), [0xa1]);
        assert_eq!(by_id("a"), [0xa1, 0xa2]);
        assert!(by_id("2").is_empty());
    }

    #[test]
    fn the_slowest_come_slowest_first() {
        let slowest = |count| {
            selected(&Selection {
                slowest: Some(count),
                ..Selection::default()
            })
        };
        assert_eq!(slowest(2), [0xa1, 0xb2]);
        assert_eq!(slowest(9), [0xa1, 0xb2, 0xa2]);
    }

    #[test]
    fn filters_add_up() {
        let selection = Selection {
            trace: None,
            slowest: Some(1),
            errors: true,
        };
        assert_eq!(selected(&selection), [0xb2]);
        assert_eq!(
            selected(&Selection {
                slowest: None,
                ..selection
            }),
            [0xb2, 0xa2]
        );
    }
}
