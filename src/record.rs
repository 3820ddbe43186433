//! The working memory of one open span: its name, and what was set on it, in OTLP wire form.

use crate::attribute::{self, Attributes};
use crate::context::{SpanContext, SpanKind, StatusCode, otlp_flags};
use crate::id::{SpanId, TraceId};
use crate::limits::{SpanLimits, Surplus};
use crate::value::{Encode, Value};
use crate::wire::{
    WireType, field_len, first_field, optional_len, put_bytes, put_fixed32, put_fixed64,
    put_length, put_message, put_number, put_optional, tag, varint_len,
};

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
const KEPT_BYTES: usize = 4096;

/// What an open span holds. Everything but the name is already what will be sent.
#[derive(Debug, Default)]
pub struct Record {
    name: String,
    attributes: Attributes,
    events: Repeated,
    links: Repeated,
    /// The attributes of the event or link being added: kept for its memory.
    scratch: Attributes,
}

/// Messages of one repeated field.
#[derive(Debug, Default)]
struct Repeated {
    bytes: Vec<u8>,
    count: usize,
    dropped: u32,
}

impl Repeated {
    /// True when one more fits, or has been made room for; one that goes counts as dropped.
    fn admits(&mut self, limit: usize, surplus: Surplus) -> bool {
        if self.count < limit {
            self.count += 1;
            return true;
        }
        self.dropped += 1;
        if surplus == Surplus::Newest || limit == 0 {
            return false;
        }
        if let Some((_, _, length)) = first_field(&self.bytes) {
            self.bytes.drain(..length);
        }
        true
    }

    fn clear(&mut self) {
        self.bytes.clear();
        self.bytes.shrink_to(KEPT_BYTES);
        self.count = 0;
        self.dropped = 0;
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

/// What the handle of a span knows and the record does not.
#[derive(Debug)]
pub(crate) struct Facts<'a> {
    pub(crate) trace_id: TraceId,
    pub(crate) span_id: SpanId,
    pub(crate) random: bool,
    pub(crate) trace_state: Option<&'a str>,
    pub(crate) parent_id: Option<SpanId>,
    pub(crate) parent_is_remote: bool,
    pub(crate) kind: SpanKind,
    pub(crate) start_time_ns: u64,
    pub(crate) end_time_ns: u64,
    pub(crate) status: StatusCode,
    /// Only ever with an error.
    pub(crate) description: Option<&'a str>,
}

impl Record {
    /// Names the span.
    pub fn set_name(&mut self, name: &str) {
        self.name.clear();
        self.name.push_str(name);
    }

    /// The span's name.
    pub fn name(&self) -> &str {
        &self.name
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
        self.attributes
            .set(field::ATTRIBUTES, key, value, limit, rules.surplus);
    }

    /// Counts attributes that were left out before they came here.
    pub fn miss_attributes(&mut self, count: u32) {
        self.attributes.miss(count);
    }

    /// Forgets the attributes, of which `dropped` had been left out.
    pub fn clear_attributes(&mut self, dropped: u32) {
        self.attributes.clear(KEPT_BYTES);
        self.attributes.miss(dropped);
    }

    /// Forgets the events, of which `dropped` had been left out.
    pub fn clear_events(&mut self, dropped: u32) {
        self.events.clear();
        self.events.dropped = dropped;
    }

    /// Forgets the links, of which `dropped` had been left out.
    pub fn clear_links(&mut self, dropped: u32) {
        self.links.clear();
        self.links.dropped = dropped;
    }

    /// Removes an attribute.
    pub fn unset_attribute(&mut self, key: &str) {
        self.attributes.unset(key);
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
        if !self.events.admits(rules.limits.event_count, rules.surplus) {
            return;
        }
        let scratch = &mut self.scratch;
        let limit = rules.limits.attribute_per_event_count;
        fill(scratch, event::ATTRIBUTES, attributes, rules, limit);
        scratch.miss(dropped);
        let length =
            9 + field_len(event::NAME, name.len()) + attributes_len(scratch, event::DROPPED);
        let bytes = &mut self.events.bytes;
        put_length(bytes, field::EVENTS, length);
        put_fixed64(bytes, event::TIME, time_ns);
        put_bytes(bytes, event::NAME, name.as_bytes());
        put_attributes(bytes, scratch, event::DROPPED);
    }

    /// The same where all keys are known to differ, and to be within the limit: they are written where
    /// they stay.
    #[inline(always)]
    pub(crate) fn add_event_of_distinct(
        &mut self,
        name: &str,
        time_ns: u64,
        rules: Rules<'_>,
        fill: impl FnOnce(&mut Distinct<'_>),
    ) {
        if !self.events.admits(rules.limits.event_count, rules.surplus) {
            return;
        }
        put_message(&mut self.events.bytes, field::EVENTS, |bytes| {
            put_fixed64(bytes, event::TIME, time_ns);
            put_bytes(bytes, event::NAME, name.as_bytes());
            fill(&mut Distinct {
                bytes,
                max_length: rules.limits.attribute_value_length,
            });
        });
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
        if !self.links.admits(rules.limits.link_count, rules.surplus) {
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
        let bytes = &mut self.links.bytes;
        put_length(bytes, field::LINKS, length);
        put_bytes(bytes, TRACE_ID, &target.trace_id);
        put_bytes(bytes, SPAN_ID, &target.span_id);
        put_optional(bytes, TRACE_STATE, trace_state.as_bytes());
        put_attributes(bytes, scratch, DROPPED);
        let flags = otlp_flags(target.trace_flags, target.is_remote);
        put_fixed32(bytes, FLAGS, flags);
    }

    /// The span that `facts` and the record make, as field `number` of the message that holds it.
    #[inline]
    pub(crate) fn measured<'a>(&'a self, number: u32, facts: &'a Facts<'a>) -> Measured<'a> {
        let dropped = self.attributes.dropped() | self.events.dropped | self.links.dropped;
        let length = IDS
            + facts
                .trace_state
                .map_or(0, |state| optional_len(field::TRACE_STATE, state.len()))
            + facts.parent_id.map_or(0, |_| PARENT)
            + field_len(field::NAME, self.name.len())
            + KIND_AND_TIMES
            + self.attributes.as_bytes().len()
            + self.events.bytes.len()
            + self.links.bytes.len()
            + if dropped == 0 { 0 } else { self.dropped_len() }
            + status_len(facts)
            + FLAGS;
        Measured {
            record: self,
            facts,
            number,
            length,
        }
    }

    #[cold]
    fn dropped_len(&self) -> usize {
        count_len(field::DROPPED_ATTRIBUTES, self.attributes.dropped())
            + count_len(field::DROPPED_EVENTS, self.events.dropped)
            + count_len(field::DROPPED_LINKS, self.links.dropped)
    }

    /// Empties the record and keeps its memory for the next span, up to a bound.
    pub(crate) fn clear(&mut self) {
        self.name.clear();
        self.name.shrink_to(KEPT_BYTES);
        self.attributes.clear(KEPT_BYTES);
        self.events.clear();
        self.links.clear();
        self.scratch.clear(KEPT_BYTES);
    }
}

/// A span whose length is known, before it is written.
#[derive(Debug)]
pub(crate) struct Measured<'a> {
    record: &'a Record,
    facts: &'a Facts<'a>,
    number: u32,
    length: usize,
}

/// How long the fields are that lie together, tags included.
const IDS: usize = 2 + 16 + 2 + 8;
const PARENT: usize = 2 + 8;
const KIND_AND_TIMES: usize = 2 + 9 + 9;
const FLAGS: usize = 2 + 4;

impl Measured<'_> {
    /// How many bytes [`Self::write`] appends.
    #[inline]
    pub(crate) fn len(&self) -> usize {
        field_len(self.number, self.length)
    }

    /// Appends the span. Fields of known length that follow one another are written in one piece.
    pub(crate) fn write(&self, buffer: &mut Vec<u8>) {
        let Self {
            record,
            facts,
            number,
            length,
        } = *self;
        buffer.reserve(self.len());
        put_length(buffer, number, length);
        let start = buffer.len();
        let mut ids = [0; IDS];
        ids[..2].copy_from_slice(&[tag(field::TRACE_ID, WireType::Length) as u8, 16]);
        ids[2..18].copy_from_slice(&facts.trace_id.to_bytes());
        ids[18..20].copy_from_slice(&[tag(field::SPAN_ID, WireType::Length) as u8, 8]);
        ids[20..].copy_from_slice(&facts.span_id.to_bytes());
        buffer.extend_from_slice(&ids);
        if let Some(trace_state) = facts.trace_state {
            put_optional(buffer, field::TRACE_STATE, trace_state.as_bytes());
        }
        if let Some(parent_id) = &facts.parent_id {
            let mut parent = [0; PARENT];
            parent[..2].copy_from_slice(&[tag(field::PARENT_SPAN_ID, WireType::Length) as u8, 8]);
            parent[2..].copy_from_slice(&parent_id.to_bytes());
            buffer.extend_from_slice(&parent);
        }
        put_bytes(buffer, field::NAME, record.name.as_bytes());
        let mut times = [0; KIND_AND_TIMES];
        times[0] = tag(field::KIND, WireType::Varint) as u8;
        times[1] = facts.kind as u8;
        times[2] = tag(field::START_TIME, WireType::Fixed64) as u8;
        times[3..11].copy_from_slice(&facts.start_time_ns.to_le_bytes());
        times[11] = tag(field::END_TIME, WireType::Fixed64) as u8;
        times[12..].copy_from_slice(&facts.end_time_ns.to_le_bytes());
        buffer.extend_from_slice(&times);
        buffer.extend_from_slice(record.attributes.as_bytes());
        put_count(
            buffer,
            field::DROPPED_ATTRIBUTES,
            record.attributes.dropped(),
        );
        buffer.extend_from_slice(&record.events.bytes);
        put_count(buffer, field::DROPPED_EVENTS, record.events.dropped);
        buffer.extend_from_slice(&record.links.bytes);
        put_count(buffer, field::DROPPED_LINKS, record.links.dropped);
        put_status(buffer, facts);
        // Only sampled spans are ever sent, so this is what their flags say.
        let trace_flags = 1 | u32::from(facts.random) << 1;
        let flags = otlp_flags(trace_flags, facts.parent_is_remote);
        put_fixed32(buffer, field::FLAGS, flags);
        debug_assert_eq!(
            buffer.len() - start,
            length,
            "the length was written before the span"
        );
    }
}

fn fill<'a>(
    scratch: &mut Attributes,
    number: u32,
    attributes: impl Iterator<Item = (&'a str, Value<'a>)>,
    rules: Rules<'_>,
    limit: usize,
) {
    scratch.clear(KEPT_BYTES);
    for (key, value) in attributes {
        let value = value.truncated(rules.limits.attribute_value_length);
        scratch.set(number, key, value, limit, rules.surplus);
    }
}

/// The attributes of an event, being written: their keys differ, and are within the limit.
pub(crate) struct Distinct<'a> {
    bytes: &'a mut Vec<u8>,
    max_length: Option<usize>,
}

impl Distinct<'_> {
    /// Adds an attribute.
    #[inline(always)]
    pub(crate) fn add(&mut self, key: &str, value: Value<'_>) {
        match value {
            Value::Text(text) => self.add_typed(key, text),
            Value::Bool(bool) => self.add_typed(key, bool),
            Value::Int(int) => self.add_typed(key, int),
            Value::Double(double) => self.add_typed(key, double),
            value => self.add_typed(key, value),
        }
    }

    // One function for each type: a value that passes through memory waits there.
    #[inline(never)]
    fn add_typed<V: Encode>(&mut self, key: &str, value: V) {
        let value = value.truncated(self.max_length);
        attribute::write(self.bytes, event::ATTRIBUTES, key, value);
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

const STATUS_MESSAGE: u32 = 2;
const STATUS_CODE: u32 = 3;

/// How long the status is as a field of its span. One that nobody set is left out.
#[inline]
fn status_len(facts: &Facts<'_>) -> usize {
    if facts.status == StatusCode::Unset {
        return 0;
    }
    field_len(field::STATUS, status_content_len(facts))
}

fn status_content_len(facts: &Facts<'_>) -> usize {
    optional_len(STATUS_MESSAGE, facts.description.map_or(0, str::len)) + 2
}

#[inline]
fn put_status(buffer: &mut Vec<u8>, facts: &Facts<'_>) {
    if facts.status == StatusCode::Unset {
        return;
    }
    put_length(buffer, field::STATUS, status_content_len(facts));
    let description = facts.description.unwrap_or_default();
    put_optional(buffer, STATUS_MESSAGE, description.as_bytes());
    put_number(buffer, STATUS_CODE, facts.status as u64);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::otlp::message;
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
        let facts = Facts {
            trace_id: TraceId::new([1; 16]).unwrap(),
            span_id: SpanId::new([1; 8]).unwrap(),
            random: true,
            trace_state: None,
            parent_id: SpanId::new([2; 8]),
            parent_is_remote: true,
            kind: SpanKind::Server,
            start_time_ns: 5,
            end_time_ns: 7,
            status,
            description: Some("no").filter(|_| status == StatusCode::Error),
        };
        let mut buffer = Vec::new();
        record.measured(2, &facts).write(&mut buffer);
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
        assert!(record.name.capacity() <= KEPT_BYTES);
        assert_eq!(
            written(&record, StatusCode::Unset),
            written(&Record::default(), StatusCode::Unset)
        );
    }
}
