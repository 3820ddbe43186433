//! The working memory of one open span: its name, and what was set on it, in OTLP wire form.

mod measured;

use std::borrow::Cow;

use crate::attribute::{self, Attributes};
use crate::context::{SpanContext, otlp_flags};
use crate::limits::{SpanLimits, Surplus};
use crate::value::{Encode, Value};
use crate::wire::{
    Put, Room, WireType, append_here, field_len, optional_len, put_bytes, put_fixed32, put_fixed64,
    put_length, put_length_at, put_number, put_optional, tag, varint_len,
};
pub(crate) use measured::{Facts, Measured};

/// Fields of OTLP's `Span`.
mod field {
    pub(super) const TRACE_ID: u32 = 1;
    pub(super) const SPAN_ID: u32 = 2;
    pub(super) const TRACE_STATE: u32 = 3;
    pub(super) const PARENT_SPAN_ID: u32 = 4;
    pub(super) const NAME: u32 = 5;
    pub(super) const KIND: u32 = 6;
    pub(super) const START_TIME: u32 = 7;
    pub(super) const END_TIME: u32 = 8;
    pub(super) const ATTRIBUTES: u32 = 9;
    pub(super) const DROPPED_ATTRIBUTES: u32 = 10;
    pub(super) const EVENTS: u32 = 11;
    pub(super) const DROPPED_EVENTS: u32 = 12;
    pub(super) const LINKS: u32 = 13;
    pub(super) const DROPPED_LINKS: u32 = 14;
    pub(super) const STATUS: u32 = 15;
    pub(super) const FLAGS: u32 = 16;
}

/// Fields of OTLP's `Span.Event`.
mod event {
    pub(super) const TIME: u32 = 1;
    pub(super) const NAME: u32 = 2;
    pub(super) const ATTRIBUTES: u32 = 3;
    pub(super) const DROPPED: u32 = 4;
}

/// A pooled record keeps no more memory than this in each of its buffers.
const KEPT_BYTES: usize = 8192;

/// What an open span holds: already what will be sent.
#[derive(Debug, Default)]
pub struct Record {
    /// The attributes, and among them the name, events and links.
    fields: Attributes,
    events: Repeated,
    links: Repeated,
    /// The attributes of the event or link being added: kept for its memory.
    scratch: Attributes,
}

/// How many there are of a repeated field.
#[derive(Clone, Copy, Debug, Default)]
struct Repeated {
    count: u32,
    dropped: u32,
}

impl Repeated {
    /// True when one more of `fields`' fields with this number fits, or has been made room for; one that
    /// goes counts as dropped.
    #[inline(always)]
    fn admits(
        &mut self,
        fields: &mut Attributes,
        field: u32,
        limit: usize,
        surplus: Surplus,
    ) -> bool {
        if (self.count as usize) < limit {
            self.count += 1;
            return true;
        }
        self.dropped += 1;
        surplus == Surplus::Oldest && fields.cut_first(field)
    }
}

/// How much a span may hold, and what goes when it would hold more.
#[derive(Clone, Copy, Debug)]
pub struct Rules<'a> {
    /// How much.
    pub limits: &'a SpanLimits,
    /// What goes.
    pub surplus: Surplus,
}

/// The rules of the specification.
impl<'a> From<&'a SpanLimits> for Rules<'a> {
    fn from(limits: &'a SpanLimits) -> Self {
        Self {
            limits,
            surplus: Surplus::default(),
        }
    }
}

/// What a link leads to, as it came: ids that are all zero are sent as they are.
#[derive(Clone, Copy, Debug)]
pub struct Target<'a> {
    /// The trace.
    pub trace_id: [u8; 16],
    /// The span.
    pub span_id: [u8; 8],
    /// The W3C trace flags.
    pub trace_flags: u32,
    /// True when the span is another process's.
    pub is_remote: bool,
    /// The W3C `tracestate`; empty when there is none.
    pub trace_state: &'a str,
}

impl<'a> From<&'a SpanContext> for Target<'a> {
    fn from(context: &'a SpanContext) -> Self {
        Self {
            trace_id: context.trace_id.to_bytes(),
            span_id: context.span_id.to_bytes(),
            trace_flags: context.trace_flags(),
            is_remote: context.is_remote,
            trace_state: context.trace_state.as_deref().unwrap_or_default(),
        }
    }
}

impl Record {
    /// Names the span, once: it is an empty record's first field.
    #[inline(always)]
    pub(crate) fn begin(&mut self, name: &str) {
        let length = field_len(field::NAME, name.len());
        append_here(self.fields.others(), length, Name(name));
    }

    /// Names the span, whatever its name was.
    pub fn set_name(&mut self, name: &str) {
        self.fields.cut_all(field::NAME);
        self.begin(name);
    }

    /// The span's name.
    pub fn name(&self) -> Cow<'_, str> {
        String::from_utf8_lossy(self.fields.other(field::NAME).unwrap_or_default())
    }

    /// Sets an attribute; the last write wins.
    #[inline(always)]
    pub fn set_attribute(&mut self, key: &str, value: Value<'_>, rules: Rules<'_>) {
        self.set(key, value, rules);
    }

    /// The same with a value of a known type.
    #[inline(always)]
    pub(crate) fn set<V: Encode>(&mut self, key: &str, value: V, rules: Rules<'_>) {
        let value = value.truncated(rules.limits.attribute_value_length);
        let limit = rules.limits.attribute_count;
        self.fields
            .set(field::ATTRIBUTES, key, value, limit, rules.surplus);
    }

    /// The `AnyValue` of an attribute, if it is set.
    pub(crate) fn attribute(&self, key: &str) -> Option<&[u8]> {
        self.fields.get(key)
    }

    /// Counts attributes that were left out before they came here.
    pub fn miss_attributes(&mut self, count: u32) {
        self.fields.miss(count);
    }

    /// Counts a link that was left out before it came here.
    pub fn miss_link(&mut self) {
        self.links.dropped += 1;
    }

    /// Forgets the attributes, of which `dropped` had been left out.
    pub fn clear_attributes(&mut self, dropped: u32) {
        self.fields.unset_all(field::ATTRIBUTES);
        self.fields.miss(dropped);
    }

    /// Forgets the events, of which `dropped` had been left out.
    pub fn clear_events(&mut self, dropped: u32) {
        self.fields.cut_all(field::EVENTS);
        self.events = Repeated { count: 0, dropped };
    }

    /// Forgets the links, of which `dropped` had been left out.
    pub fn clear_links(&mut self, dropped: u32) {
        self.fields.cut_all(field::LINKS);
        self.links = Repeated { count: 0, dropped };
    }

    /// Removes an attribute.
    pub fn unset_attribute(&mut self, key: &str) {
        self.fields.unset(key);
    }

    #[inline(always)]
    fn admits_event(&mut self, rules: Rules<'_>) -> bool {
        let (limit, surplus) = (rules.limits.event_count, rules.surplus);
        let Self { fields, events, .. } = self;
        events.admits(fields, field::EVENTS, limit, surplus)
    }

    /// Adds an event.
    pub fn add_event<'a>(
        &mut self,
        name: &str,
        time_ns: u64,
        attributes: impl Iterator<Item = (&'a str, Value<'a>)>,
        dropped: u32,
        rules: Rules<'_>,
    ) {
        if !self.admits_event(rules) {
            return;
        }
        let scratch = &mut self.scratch;
        let limit = rules.limits.attribute_per_event_count;
        fill(scratch, event::ATTRIBUTES, attributes, rules, limit);
        scratch.miss(dropped);
        let length =
            9 + field_len(event::NAME, name.len()) + attributes_len(scratch, event::DROPPED);
        let bytes = self.fields.others();
        put_length(bytes, field::EVENTS, length);
        put_fixed64(bytes, event::TIME, time_ns);
        put_bytes(bytes, event::NAME, name.as_bytes());
        put_attributes(bytes, scratch, event::DROPPED);
        scratch.clear(KEPT_BYTES);
    }

    /// The same where all keys are known to differ, and to be within the limit: they are written where
    /// they stay, and their length before them once it is known.
    #[inline(always)]
    pub fn add_event_of_distinct(
        &mut self,
        name: &str,
        time_ns: u64,
        attributes: &[(&str, Value<'_>)],
        rules: Rules<'_>,
    ) {
        if !self.admits_event(rules) {
            return;
        }
        let max_length = rules.limits.attribute_value_length;
        let bytes = self.fields.others();
        let start = bytes.len();
        let head = EventHead { time_ns, name };
        append_here(bytes, EVENT_HEAD + field_len(event::NAME, name.len()), head);
        for (key, value) in attributes {
            attribute::append(bytes, event::ATTRIBUTES, key, *value, max_length);
        }
        put_length_at(bytes, start + 1);
    }

    /// Adds a link.
    pub fn add_link<'a>(
        &mut self,
        target: Target<'_>,
        attributes: impl Iterator<Item = (&'a str, Value<'a>)>,
        dropped: u32,
        rules: Rules<'_>,
    ) {
        const TRACE_ID: u32 = 1;
        const SPAN_ID: u32 = 2;
        const TRACE_STATE: u32 = 3;
        const ATTRIBUTES: u32 = 4;
        const DROPPED: u32 = 5;
        const FLAGS: u32 = 6;
        let (limit, surplus) = (rules.limits.link_count, rules.surplus);
        let Self { fields, links, .. } = self;
        if !links.admits(fields, field::LINKS, limit, surplus) {
            return;
        }
        let scratch = &mut self.scratch;
        let limit = rules.limits.attribute_per_link_count;
        fill(scratch, ATTRIBUTES, attributes, rules, limit);
        scratch.miss(dropped);
        let trace_state = target.trace_state;
        let length = 18
            + 10
            + optional_len(TRACE_STATE, trace_state.len())
            + attributes_len(scratch, DROPPED)
            + 5;
        let bytes = self.fields.others();
        put_length(bytes, field::LINKS, length);
        put_bytes(bytes, TRACE_ID, &target.trace_id);
        put_bytes(bytes, SPAN_ID, &target.span_id);
        put_optional(bytes, TRACE_STATE, trace_state.as_bytes());
        put_attributes(bytes, scratch, DROPPED);
        scratch.clear(KEPT_BYTES);
        let flags = otlp_flags(target.trace_flags, target.is_remote);
        put_fixed32(bytes, FLAGS, flags);
    }

    /// Empties the record and keeps its memory for the next span, up to a bound.
    #[inline(always)]
    pub(crate) fn clear(&mut self) {
        self.fields.clear(KEPT_BYTES);
        self.events = Repeated::default();
        self.links = Repeated::default();
    }
}

/// The name as a field.
struct Name<'a>(&'a str);

impl Put for Name<'_> {
    #[inline(always)]
    fn put(self, room: Room<'_>) -> Room<'_> {
        room.bytes(field::NAME, self.0.as_bytes())
    }
}

fn fill<'a>(
    scratch: &mut Attributes,
    number: u32,
    attributes: impl Iterator<Item = (&'a str, Value<'a>)>,
    rules: Rules<'_>,
    limit: usize,
) {
    for (key, value) in attributes {
        let value = value.truncated(rules.limits.attribute_value_length);
        scratch.set(number, key, value, limit, rules.surplus);
    }
}

/// An event before its attributes. Of its length, one byte is left for later.
struct EventHead<'a> {
    time_ns: u64,
    name: &'a str,
}

/// How long it is, but for the name.
const EVENT_HEAD: usize = 2 + 9;

impl Put for EventHead<'_> {
    #[inline(always)]
    fn put(self, room: Room<'_>) -> Room<'_> {
        room.fixed::<EVENT_HEAD>()
            .put([tag(field::EVENTS, WireType::Length) as u8, 0])
            .put([tag(event::TIME, WireType::Fixed64) as u8])
            .put(self.time_ns.to_le_bytes())
            .rest()
            .bytes(event::NAME, self.name.as_bytes())
    }
}

fn attributes_len(attributes: &Attributes, dropped: u32) -> usize {
    attributes.as_bytes().len() + count_len(dropped, attributes.dropped())
}

fn put_attributes(buffer: &mut Vec<u8>, attributes: &Attributes, dropped: u32) {
    buffer.extend_from_slice(attributes.as_bytes());
    put_count(buffer, dropped, attributes.dropped());
}

fn count_len(number: u32, count: u32) -> usize {
    if count == 0 {
        0
    } else {
        varint_len(u64::from(number << 3)) + varint_len(u64::from(count))
    }
}

fn put_count(buffer: &mut Vec<u8>, number: u32, count: u32) {
    if count != 0 {
        put_number(buffer, number, u64::from(count));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::context::{SpanKind, Status, StatusCode};
    use crate::id::{SpanId, TraceId};
    use crate::otlp::message;
    use crate::span::Disguise;
    use prost::Message;

    fn context(byte: u8) -> SpanContext {
        SpanContext {
            trace_id: TraceId::new([byte; 16]).unwrap(),
            span_id: SpanId::new([byte; 8]).unwrap(),
            sampled: Some(true),
            random: true,
            is_remote: byte == 9,
            trace_state: (byte == 9).then(|| "a=b".into()),
        }
    }

    fn written(record: &Record, status: StatusCode) -> message::Span {
        let facts = Disguise {
            context: context(1),
            parent: Some((SpanId::new([2; 8]).unwrap(), true)),
            kind: SpanKind::Server,
            start_time_ns: 5,
            end_time_ns: 7,
            status: Status {
                code: status,
                description: (status == StatusCode::Error).then(|| "no".into()),
            },
        };
        let mut buffer = Vec::new();
        record.measured(&facts).write(&mut buffer);
        let mut spans = message::ScopeSpans::decode(buffer.as_slice())
            .unwrap()
            .spans;
        assert_eq!(spans.len(), 1);
        spans.remove(0)
    }

    fn int(key: &str, value: i64) -> message::KeyValue {
        let value = Some(message::any_value::Value::IntValue(value));
        message::KeyValue {
            key: key.into(),
            value: Some(message::AnyValue { value }),
        }
    }

    #[test]
    fn a_span_reads_back_whole() {
        let limits = SpanLimits {
            attribute_count: 1,
            event_count: 1,
            attribute_per_event_count: 1,
            ..SpanLimits::default()
        };
        let mut record = Record::default();
        record.set_name("GET /cart");
        let rules = Rules::from(&limits);
        record.set_attribute("a", Value::Int(1), rules);
        record.set_attribute("b", Value::Int(2), rules);
        let two = || [("x", Value::Int(1)), ("y", Value::Int(2))].into_iter();
        record.add_event("e", 6, two(), 0, rules);
        record.add_event("left out", 6, two(), 0, rules);
        record.add_link((&context(9)).into(), two(), 0, rules);
        let expected = message::Span {
            trace_id: vec![1; 16],
            span_id: vec![1; 8],
            parent_span_id: vec![2; 8],
            flags: 0x303,
            name: "GET /cart".into(),
            kind: 2,
            start_time_unix_nano: 5,
            end_time_unix_nano: 7,
            attributes: vec![int("a", 1)],
            dropped_attributes_count: 1,
            events: vec![message::Event {
                time_unix_nano: 6,
                name: "e".into(),
                attributes: vec![int("x", 1)],
                dropped_attributes_count: 1,
            }],
            dropped_events_count: 1,
            links: vec![message::Link {
                trace_id: vec![9; 16],
                span_id: vec![9; 8],
                trace_state: "a=b".into(),
                attributes: vec![int("x", 1), int("y", 2)],
                dropped_attributes_count: 0,
                flags: 0x303,
            }],
            status: Some(message::Status {
                code: 2,
                message: "no".into(),
            }),
            ..message::Span::default()
        };
        assert_eq!(written(&record, StatusCode::Error), expected);
    }

    #[test]
    fn where_the_oldest_goes_the_last_events_stay() {
        let limits = SpanLimits {
            event_count: 2,
            ..SpanLimits::default()
        };
        let rules = Rules {
            limits: &limits,
            surplus: Surplus::Oldest,
        };
        let mut record = Record::default();
        for name in ["a", "b", "c"] {
            record.add_event(name, 6, std::iter::empty(), 0, rules);
        }
        let span = written(&record, StatusCode::Unset);
        let names: Vec<_> = span.events.iter().map(|event| &event.name).collect();
        assert_eq!(names, ["b", "c"]);
        assert_eq!(span.dropped_events_count, 1);
    }

    #[test]
    fn a_cleared_record_is_as_good_as_new() {
        let limits = SpanLimits::default();
        let mut record = Record::default();
        record.set_name(&"n".repeat(10_000));
        record.set_attribute("a", Value::Bool(true), Rules::from(&limits));
        record.add_event("e", 1, std::iter::empty(), 0, Rules::from(&limits));
        record.clear();
        assert!(record.fields.others().capacity() <= KEPT_BYTES);
        assert_eq!(
            written(&record, StatusCode::Unset),
            written(&Record::default(), StatusCode::Unset)
        );
    }
}
