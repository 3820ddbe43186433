//! How a span ends, and what is sent of it.

use super::{FinishError, Phase, Span, Words};
use crate::chunk::SPANS;
use crate::context::{SpanContext, SpanKind, Status};
use crate::id::SpanId;
use crate::keep::{Finished, Keep};
use crate::record::{Facts, Record};
use crate::store::Slot;
use crate::trace::Verdict;
use crate::turn::Turn;

/// What a span is sent as: its record has the rest.
#[derive(Clone, Debug)]
pub struct Disguise {
    /// Its own context.
    pub context: SpanContext,
    /// Its parent, and whether that is another process's.
    pub parent: Option<(SpanId, bool)>,
    /// Its kind.
    pub kind: SpanKind,
    /// Nanoseconds since 1970.
    pub start_time_ns: u64,
    /// Nanoseconds since 1970.
    pub end_time_ns: u64,
    /// How its work ended.
    pub status: Status,
}

impl Span {
    /// Ends the span, now unless `end_time_ns` says when. The first end wins: a span may be
    /// finished by its `with` block and again by hand, and the exporter must see one duration.
    /// True if this was the first.
    pub fn finish(&self, turn: Turn<'_>, end_time_ns: Option<u64>) -> Result<bool, FinishError> {
        self.finish_with(turn, end_time_ns)
    }

    /// The same, now.
    #[inline]
    pub fn finish_now(&self, turn: Turn<'_>) -> Result<bool, FinishError> {
        self.finish_with(turn, None)
    }

    // Inlined into both, with all below it: the usual end is one piece.
    #[inline(always)]
    fn finish_with(&self, turn: Turn<'_>, end_time_ns: Option<u64>) -> Result<bool, FinishError> {
        self.may_finish(turn, end_time_ns)?;
        if self.phase.get(turn) != Phase::Open {
            return Ok(false);
        }
        self.end_at(turn, end_time_ns);
        self.complete(turn, false);
        Ok(true)
    }

    /// What [`Self::finish`] would refuse.
    #[inline]
    pub fn may_finish(&self, turn: Turn<'_>, end_time_ns: Option<u64>) -> Result<(), FinishError> {
        let start = self.start_time_ns.get(turn);
        match (self.phase.get(turn), end_time_ns) {
            (Phase::Draft, _) => Err(FinishError::Draft),
            (Phase::Open, Some(end)) if end < start => {
                Err(FinishError::EndBeforeStart(start - end))
            }
            _ => Ok(()),
        }
    }

    /// The first half of [`Self::finish`] for those who tell others of the end: the span has ended,
    /// and what it holds can still be read and changed. Any end is taken. True if this was the first.
    pub fn begin_end(&self, turn: Turn<'_>, end_time_ns: Option<u64>) -> bool {
        if self.phase.get(turn) != Phase::Open {
            return false;
        }
        self.end_at(turn, end_time_ns);
        self.phase.set(turn, Phase::Ending);
        true
    }

    /// The second half: what the span holds moves on. With `keeps` it can still be read.
    pub fn complete_end(&self, turn: Turn<'_>, keeps: bool) {
        if self.phase.get(turn) == Phase::Ending {
            self.complete(turn, keeps);
        }
    }

    /// A measured end is never before a start; one given by hand may be, and is refused or taken
    /// before it comes here.
    #[inline(always)]
    fn end_at(&self, turn: Turn<'_>, end_time_ns: Option<u64>) {
        let measured = || self.trace().now_ns().max(self.start_time_ns.get(turn));
        let end = end_time_ns.unwrap_or_else(measured);
        self.end_time_ns.set(turn, end);
        self.ended.set(turn, true);
    }

    #[inline(always)]
    fn complete(&self, turn: Turn<'_>, keeps: bool) {
        self.phase.set(turn, Phase::Finished);
        self.kept.set(turn, keeps);
        if self.is_inherited() {
            return;
        }
        if let Some(slot) = self.slot {
            self.move_to_chunk(turn, slot, keeps);
        }
        if self.is_root {
            self.trace().end(turn);
        }
    }

    /// Says what it is sent as, whatever it was.
    pub fn set_disguise(&self, turn: Turn<'_>, disguise: Disguise) {
        self.words.borrow(turn).disguise = Some(Box::new(disguise));
    }

    /// Ends the handle. A span that has not finished is discarded and counted; one that has is
    /// exported all the same.
    pub fn release(&self, turn: Turn<'_>) {
        if self.leave(turn) == Some(Phase::Open) && self.slot.is_some() {
            self.trace().pipeline().counters().discarded.add(1);
        }
    }

    #[cold]
    pub(super) fn abandon(&self, turn: Turn<'_>) {
        let name = self.with_record(turn, |record| record.name().to_owned());
        if self.leave(turn) == Some(Phase::Open) {
            if let Some(name) = name {
                self.trace().pipeline().abandon(&name);
            }
        }
    }

    #[inline(always)]
    pub(super) fn facts<'a>(&'a self, turn: Turn<'_>, words: &'a Words) -> Facts<'a> {
        if let Some(disguise) = &words.disguise {
            return disguise.facts();
        }
        let start_time_ns = self.start_time_ns.get(turn);
        Facts {
            trace_id: self.trace().trace_id(),
            span_id: self.span_id,
            random: self.trace().random(),
            trace_state: self.trace_state().map(AsRef::as_ref),
            parent_id: self.parent_id,
            parent_is_remote: self.parent_is_remote,
            kind: self.kind,
            start_time_ns,
            // Given by hand through OpenTelemetry's API it may be before the start: no reader knows
            // what to do with that.
            end_time_ns: self.end_time_ns.get(turn).max(start_time_ns),
            status: self.status.get(turn),
            description: words.description(),
        }
    }

    #[inline(always)]
    fn move_to_chunk(&self, turn: Turn<'_>, slot: Slot, keeps: bool) {
        let words = self.words.borrow(turn);
        let facts = self.facts(turn, &words);
        let pipeline = self.trace().pipeline();
        let write = |record: &Record| {
            // Recorded for somebody in this process, and for nobody else.
            if self.own_decision == Some(false) || pipeline.forgets() {
                return pipeline.forget(turn, self.own_decision == Some(false));
            }
            if let Some(keep) = pipeline.keep() {
                self.ask_to_keep(turn, keep, record);
            }
            let (scope, follows) = (self.tracer.scope(), self.own_decision.is_none());
            let span = record.measured(SPANS, &facts);
            self.trace().add(turn, scope, follows, self.is_root, &span);
        };
        let store = pipeline.store();
        if keeps {
            store.keep(turn, slot, write);
        } else {
            store.release(turn, slot, write);
        }
        pipeline.record_released();
    }

    /// Asks that its trace be kept, if that is undecided and the span gives a reason.
    #[cold]
    fn ask_to_keep(&self, turn: Turn<'_>, keep: &Keep, record: &Record) {
        if self.own_decision.is_some() || self.trace().verdict() != Verdict::Undecided {
            return;
        }
        let took_ns = || {
            let end = self.end_time_ns.get(turn);
            end.saturating_sub(self.start_time_ns.get(turn))
        };
        let asks = keep.asks(&Finished {
            record,
            status: self.status.get(turn),
            root_ns: self.is_root.then(took_ns),
        });
        if let Some(reason) = asks {
            self.trace().ask_to_keep(reason);
        }
    }

    /// Ends the handle's life without an end time, unless it has one; says where it stood.
    fn leave(&self, turn: Turn<'_>) -> Option<Phase> {
        let before = self.phase.get(turn);
        self.phase.set(turn, Phase::Released);
        if matches!(before, Phase::Finished | Phase::Released) || self.is_inherited() {
            return None;
        }
        let had_record = self.slot.is_none_or(|slot| {
            let pipeline = self.trace().pipeline();
            let released = pipeline.store().release(turn, slot, |_| ()).is_some();
            pipeline.record_released();
            released
        });
        if self.is_root {
            self.trace().end(turn);
        }
        had_record.then_some(before)
    }
}

impl Disguise {
    #[cold]
    fn facts(&self) -> Facts<'_> {
        Facts {
            trace_id: self.context.trace_id,
            span_id: self.context.span_id,
            random: self.context.random,
            trace_state: self.context.trace_state.as_deref(),
            parent_id: self.parent.map(|(id, _)| id),
            parent_is_remote: self.parent.is_some_and(|(_, is_remote)| is_remote),
            kind: self.kind,
            start_time_ns: self.start_time_ns,
            end_time_ns: self.end_time_ns.max(self.start_time_ns),
            status: self.status.code,
            description: self.status.description.as_deref(),
        }
    }
}
