//! The handle of a span and the rules of its life: draft, open, finished, released.

use std::sync::Arc;
use std::sync::{Mutex, MutexGuard, PoisonError};

use prost::Message as _;

use crate::chunk::SPANS;
use crate::context::{SpanContext, SpanKind, Status, StatusCode};
use crate::id::SpanId;
use crate::otlp::message;
use crate::record::Facts;
use crate::store::Slot;
use crate::trace::{Trace, Verdict};
use crate::tracer::Tracer;
use crate::value::Value;
use crate::wire::{Field, first_field};

/// A span as its owner holds it. What it points to is its own or nothing: the record by slot and
/// generation, the finished bytes by span id.
#[derive(Debug)]
pub struct Span {
    pub(crate) context: SpanContext,
    pub(crate) parent_id: Option<SpanId>,
    pub(crate) parent_is_remote: bool,
    pub(crate) kind: SpanKind,
    pub(crate) tracer: Arc<Tracer>,
    pub(crate) trace: Arc<Trace>,
    /// None when the span is not recorded.
    pub(crate) slot: Option<Slot>,
    /// The decision that the span, or an ancestor, took for itself; None follows the trace.
    pub(crate) own_decision: Option<bool>,
    pub(crate) is_root: bool,
    pub(crate) life: Mutex<Life>,
}

#[derive(Debug)]
pub(crate) struct Life {
    pub(crate) phase: Phase,
    pub(crate) start_time_ns: u64,
    pub(crate) end_time_ns: Option<u64>,
    pub(crate) status: Status,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    /// Has ids, and no name yet.
    Draft,
    Open,
    Finished,
    /// The handle has ended; the span was exported if it had finished before.
    Released,
}

/// Why a span did not finish.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FinishError {
    /// It is a draft without a name.
    Draft,
    /// The end lies before the start, by so many nanoseconds. The span stays open.
    EndBeforeStart(u64),
}

/// The span's attributes, events and links are gone: the trace was handed over, or the handle
/// released.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Released;

/// A draft can be linked once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AlreadyLinked;

impl Span {
    /// The ids and flags, with the decision as it stands.
    pub fn context(&self) -> SpanContext {
        SpanContext {
            sampled: Some(self.sampled()),
            ..self.context.clone()
        }
    }

    /// The span's id.
    pub fn span_id(&self) -> &SpanId {
        &self.context.span_id
    }

    /// Who asked for this span's work.
    pub fn parent_id(&self) -> Option<SpanId> {
        self.parent_id
    }

    /// The span's kind.
    pub fn kind(&self) -> SpanKind {
        self.kind
    }

    /// The tracer that made it.
    pub fn tracer(&self) -> &Arc<Tracer> {
        &self.tracer
    }

    /// Its local trace.
    pub fn trace(&self) -> &Arc<Trace> {
        &self.trace
    }

    /// True for the first span of the local trace.
    pub fn is_root(&self) -> bool {
        self.is_root
    }

    /// The decision on the span as it stands.
    pub fn sampled(&self) -> bool {
        self.own_decision
            .unwrap_or_else(|| self.trace.verdict() == Verdict::Sampled)
    }

    /// True while what is set on it is kept.
    pub fn is_recording(&self) -> bool {
        self.is_unfinished() && self.with_record(|_| ()).is_some()
    }

    /// True until it finishes or is released.
    pub fn is_unfinished(&self) -> bool {
        matches!(self.life().phase, Phase::Draft | Phase::Open)
    }

    /// Nanoseconds since 1970; 0 for a draft.
    pub fn start_time_ns(&self) -> u64 {
        self.life().start_time_ns
    }

    /// Nanoseconds since 1970, None until it finishes.
    pub fn end_time_ns(&self) -> Option<u64> {
        self.life().end_time_ns
    }

    /// How its work ended, as far as known.
    pub fn status(&self) -> Status {
        self.life().status.clone()
    }

    /// Sets an attribute; the last write wins.
    pub fn set_attribute(&self, key: &str, value: Value<'_>) {
        let limits = self.trace.pipeline().limits();
        self.write(|record| record.set_attribute(key, value, limits));
    }

    /// Removes an attribute.
    pub fn unset_attribute(&self, key: &str) {
        self.write(|record| record.unset_attribute(key));
    }

    /// Adds an event, now unless `time_ns` says when.
    pub fn add_event<'a>(
        &self,
        name: &str,
        time_ns: Option<u64>,
        attributes: impl Iterator<Item = (&'a str, Value<'a>)>,
    ) {
        if self.slot.is_none() {
            return;
        }
        let time_ns = time_ns.unwrap_or_else(|| self.trace.now_ns());
        let limits = self.trace.pipeline().limits();
        self.write(|record| record.add_event(name, time_ns, attributes, limits));
    }

    /// Adds a link.
    pub fn add_link<'a>(
        &self,
        context: &SpanContext,
        attributes: impl Iterator<Item = (&'a str, Value<'a>)>,
    ) {
        let limits = self.trace.pipeline().limits();
        self.write(|record| record.add_link(context, attributes, limits));
    }

    /// Sets the status by the rules of [`Status::set`].
    pub fn set_status(&self, code: StatusCode, description: Option<&str>) {
        // A status has no other limit on its text than an attribute's.
        let description = description.map(|text| {
            match Value::Text(text).truncated(self.trace.pipeline().limits().attribute_value_length)
            {
                Value::Text(text) => text,
                _ => unreachable!("text stays text when cut"),
            }
        });
        if self.write(|_| ()) {
            self.life().status.set(code, description);
        }
    }

    /// Gives a draft its name and start.
    pub fn link(&self, name: &str, start_time_ns: Option<u64>) -> Result<(), AlreadyLinked> {
        let mut life = self.life();
        if life.phase != Phase::Draft {
            return Err(AlreadyLinked);
        }
        life.phase = Phase::Open;
        life.start_time_ns = start_time_ns.unwrap_or_else(|| self.trace.now_ns());
        self.with_record(|record| record.set_name(name));
        Ok(())
    }

    /// Ends the span, now unless `end_time_ns` says when. The first end wins: a span may be
    /// finished by its `with` block and again by hand, and the exporter must see one duration.
    pub fn finish(&self, end_time_ns: Option<u64>) -> Result<(), FinishError> {
        {
            let mut life = self.life();
            match life.phase {
                Phase::Draft => return Err(FinishError::Draft),
                Phase::Open => (),
                Phase::Finished | Phase::Released => return Ok(()),
            }
            let start = life.start_time_ns;
            // A measured end is never before a start; one given by hand may be, and is refused.
            let end = end_time_ns.unwrap_or_else(|| self.trace.now_ns().max(start));
            if end < start {
                return Err(FinishError::EndBeforeStart(start - end));
            }
            life.end_time_ns = Some(end);
            life.phase = Phase::Finished;
            self.move_to_chunk(&life);
        }
        if self.is_root && !self.is_inherited() {
            self.trace.end();
        }
        Ok(())
    }

    /// Ends the handle. A span that has not finished is discarded and counted; one that has is
    /// exported all the same.
    pub fn release(&self) {
        if self.leave(Phase::Released) == Some(Phase::Open) && self.slot.is_some() {
            self.trace.pipeline().counters().discarded.add(1);
        }
    }

    /// The span's attributes, events and links with the rest, as far as they are known.
    pub fn read(&self) -> Result<message::Span, Released> {
        let Some(slot) = self.slot.filter(|_| !self.is_inherited()) else {
            return Ok(message::Span::default());
        };
        let bytes = {
            let life = self.life();
            match life.phase {
                Phase::Draft | Phase::Open => {
                    let store = self.trace.pipeline().store();
                    store.with(slot, |record| {
                        let mut buffer = Vec::new();
                        record.write_span(
                            &mut buffer,
                            SPANS,
                            &self.facts(&life, life.start_time_ns),
                        );
                        content(&buffer)
                    })
                }
                Phase::Finished => self.trace.chunk().find(self.context.span_id),
                Phase::Released => None,
            }
        };
        message::Span::decode(bytes.ok_or(Released)?.as_slice()).map_err(|_| Released)
    }

    /// True in a child process that inherited the handle by `fork`: there it is a remote parent,
    /// and nothing more.
    pub fn is_inherited(&self) -> bool {
        self.trace.pipeline().is_inherited()
    }

    fn life(&self) -> MutexGuard<'_, Life> {
        self.life.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn with_record<R>(&self, work: impl FnOnce(&mut crate::record::Record) -> R) -> Option<R> {
        let slot = self.slot.filter(|_| !self.is_inherited())?;
        self.trace.pipeline().store().with(slot, work)
    }

    /// Writes to the record. False when the span keeps nothing: not recorded, or ended, which
    /// counts as an ignored write.
    fn write(&self, work: impl FnOnce(&mut crate::record::Record)) -> bool {
        if self.slot.is_none() || self.is_inherited() {
            return false;
        }
        let written = self.with_record(work).is_some();
        if !written {
            self.trace.pipeline().counters().ignored_writes.add(1);
        }
        written
    }

    fn facts<'a>(&'a self, life: &'a Life, end_time_ns: u64) -> Facts<'a> {
        Facts {
            context: &self.context,
            parent_id: self.parent_id,
            parent_is_remote: self.parent_is_remote,
            kind: self.kind,
            start_time_ns: life.start_time_ns,
            end_time_ns,
            status: &life.status,
        }
    }

    fn move_to_chunk(&self, life: &Life) {
        let Some(slot) = self.slot.filter(|_| !self.is_inherited()) else {
            return;
        };
        let facts = self.facts(life, life.end_time_ns.unwrap_or(life.start_time_ns));
        let pipeline = self.trace.pipeline();
        pipeline.store().release(slot, |record| {
            let (scope, follows) = (self.tracer.scope(), self.own_decision.is_none());
            self.trace.add(scope, follows, self.is_root, |buffer| {
                record.write_span(buffer, SPANS, &facts);
            });
        });
        pipeline.record_released();
    }

    /// Ends the handle's life without an end time, unless it has one; says where it stood.
    fn leave(&self, phase: Phase) -> Option<Phase> {
        let before = {
            let mut life = self.life();
            std::mem::replace(&mut life.phase, phase)
        };
        if !matches!(before, Phase::Draft | Phase::Open) || self.is_inherited() {
            return None;
        }
        let had_record = self.slot.is_none_or(|slot| {
            let pipeline = self.trace.pipeline();
            let released = pipeline.store().release(slot, |_| ()).is_some();
            pipeline.record_released();
            released
        });
        if self.is_root {
            self.trace.end();
        }
        had_record.then_some(before)
    }
}

/// A handle that dies unfinished takes its span along; the finished children go on.
impl Drop for Span {
    fn drop(&mut self) {
        if !self.is_unfinished() || self.is_inherited() {
            return;
        }
        let name = self.with_record(|record| record.name().to_owned());
        if self.leave(Phase::Released) == Some(Phase::Open) {
            if let Some(name) = name {
                self.trace.pipeline().abandon(&name);
            }
        }
    }
}

/// The content of the one length-delimited field in `buffer`.
fn content(buffer: &[u8]) -> Vec<u8> {
    match first_field(buffer) {
        Some((_, Field::Bytes(bytes), _)) => bytes.to_vec(),
        _ => Vec::new(),
    }
}
