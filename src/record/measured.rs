//! A whole span in wire form: what its record holds, and what its handle knows.

use super::{Record, count_len, field};
use crate::chunk::SPANS;
use crate::context::{SpanKind, StatusCode, otlp_flags};
use crate::id::{SpanId, TraceId};
use crate::wire::{Put, Room, WireType, append_here, field_len, optional_len, tag};

/// What the handle of a span knows and the record does not.
pub(crate) trait Facts {
    fn trace_id(&self) -> TraceId;
    fn span_id(&self) -> SpanId;
    /// True when the trace id is known to be random.
    fn random(&self) -> bool;
    fn trace_state(&self) -> Option<&str>;
    fn parent_id(&self) -> Option<SpanId>;
    fn parent_is_remote(&self) -> bool;
    fn kind(&self) -> SpanKind;
    fn start_time_ns(&self) -> u64;
    fn end_time_ns(&self) -> u64;
    fn status(&self) -> StatusCode;
    /// Only ever with an error.
    fn description(&self) -> Option<&str>;
}

impl Record {
    /// The span that `facts` and the record make, as a [`SPANS`] field.
    #[inline(always)]
    pub(crate) fn measured<'a, F: Facts>(&'a self, facts: &'a F) -> Measured<'a, F> {
        let dropped = self.fields.dropped() | self.events.dropped | self.links.dropped;
        let length = FIXED
            + facts.parent_id().map_or(0, |_| PARENT)
            + facts
                .trace_state()
                .map_or(0, |state| optional_len(field::TRACE_STATE, state.len()))
            + self.fields.as_bytes().len()
            + if dropped == 0 { 0 } else { self.dropped_len() }
            + status_len(facts);
        Measured {
            record: self,
            facts,
            length,
            dropped: dropped != 0,
        }
    }

    #[cold]
    fn dropped_len(&self) -> usize {
        count_len(field::DROPPED_ATTRIBUTES, self.fields.dropped())
            + count_len(field::DROPPED_EVENTS, self.events.dropped)
            + count_len(field::DROPPED_LINKS, self.links.dropped)
    }
}

/// A span whose length is known, before it is written.
pub(crate) struct Measured<'a, F> {
    record: &'a Record,
    facts: &'a F,
    length: usize,
    dropped: bool,
}

/// How long the fields are that every span has but for what its record holds, tags included.
const FIXED: usize = IDS + 2 + 9 + 9 + 6;
const IDS: usize = 2 + 16 + 2 + 8;
const PARENT: usize = 2 + 8;

impl<F: Facts> Measured<'_, F> {
    /// How many bytes [`Self::write`] appends.
    #[inline(always)]
    pub(crate) fn len(&self) -> usize {
        field_len(SPANS, self.length)
    }

    /// Appends the span.
    #[inline(never)]
    pub(crate) fn write(&self, buffer: &mut Vec<u8>) {
        self.write_here(buffer);
    }

    /// The same as part of the caller, where what is written is in registers.
    #[inline(always)]
    pub(crate) fn write_here(&self, buffer: &mut Vec<u8>) {
        append_here(buffer, self.len(), self);
    }
}

impl<F: Facts> Put for &Measured<'_, F> {
    #[inline(always)]
    fn put(self, room: Room<'_>) -> Room<'_> {
        let Measured { record, facts, .. } = *self;
        // Only sampled spans are ever sent, so this is what their flags say.
        let trace_flags = 1 | u32::from(facts.random()) << 1;
        let flags = otlp_flags(trace_flags, facts.parent_is_remote());
        let flags_tag = const { tag(field::FLAGS, WireType::Fixed32) };
        let mut room = room
            .length(SPANS, self.length)
            .fixed::<FIXED>()
            .put([tag(field::TRACE_ID, WireType::Length) as u8, 16])
            .put(facts.trace_id().to_bytes())
            .put([tag(field::SPAN_ID, WireType::Length) as u8, 8])
            .put(facts.span_id().to_bytes())
            .put([tag(field::KIND, WireType::Varint) as u8, facts.kind() as u8])
            .put([tag(field::START_TIME, WireType::Fixed64) as u8])
            .put(facts.start_time_ns().to_le_bytes())
            .put([tag(field::END_TIME, WireType::Fixed64) as u8])
            .put(facts.end_time_ns().to_le_bytes())
            .put([flags_tag as u8 | 0x80, (flags_tag >> 7) as u8])
            .put(flags.to_le_bytes())
            .rest();
        if let Some(parent_id) = facts.parent_id() {
            room = room
                .fixed::<PARENT>()
                .put([tag(field::PARENT_SPAN_ID, WireType::Length) as u8, 8])
                .put(parent_id.to_bytes())
                .rest();
        }
        if let Some(trace_state) = facts.trace_state() {
            room = room.optional(field::TRACE_STATE, trace_state.as_bytes());
        }
        room = room.extend(record.fields.as_bytes());
        if self.dropped {
            room = record.put_dropped(room);
        }
        put_status(room, facts)
    }
}

impl Record {
    /// Puts how many there are too many of.
    #[cold]
    fn put_dropped<'r>(&self, room: Room<'r>) -> Room<'r> {
        let room = put_count(room, field::DROPPED_ATTRIBUTES, self.fields.dropped());
        let room = put_count(room, field::DROPPED_EVENTS, self.events.dropped);
        put_count(room, field::DROPPED_LINKS, self.links.dropped)
    }
}

fn put_count(room: Room<'_>, number: u32, count: u32) -> Room<'_> {
    if count == 0 {
        room
    } else {
        room.number(number, u64::from(count))
    }
}

const STATUS_MESSAGE: u32 = 2;
const STATUS_CODE: u32 = 3;

/// How long the status is as a field of its span. One that nobody set is left out.
#[inline(always)]
fn status_len(facts: &impl Facts) -> usize {
    if facts.status() == StatusCode::Unset {
        return 0;
    }
    field_len(field::STATUS, status_content_len(facts))
}

#[inline(always)]
fn status_content_len(facts: &impl Facts) -> usize {
    optional_len(STATUS_MESSAGE, facts.description().map_or(0, str::len)) + 2
}

#[inline(always)]
fn put_status<'r>(room: Room<'r>, facts: &impl Facts) -> Room<'r> {
    if facts.status() == StatusCode::Unset {
        return room;
    }
    let description = facts.description().unwrap_or_default();
    room.length(field::STATUS, status_content_len(facts))
        .optional(STATUS_MESSAGE, description.as_bytes())
        .number(STATUS_CODE, facts.status() as u64)
}
