//! A whole span in wire form: what its record holds, and what its handle knows.

use super::{Record, count_len, field, put_count};
use crate::context::{SpanKind, StatusCode, otlp_flags};
use crate::id::{SpanId, TraceId};
use crate::wire::{
    WireType, field_len, optional_len, put_bytes, put_fixed32, put_length, put_number,
    put_optional, tag,
};

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
