//! How a span ends, and what is sent of it.

use super::{FinishError, Phase, Span, Words};
use crate::context::{SpanContext, SpanKind, Status, StatusCode};
use crate::id::{SpanId, TraceId};
use crate::keep::{Finished, Keep};
use crate::record::{Facts, Record};
use crate::store::Slot;
use crate::trace::{Trace, Verdict};
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
    #[inline(always)]
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
        let trace = self.trace();
        self.end_at(turn, trace, end_time_ns);
        self.complete(turn, trace, false);
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

    /// Ends the span, which can still be read as long as its handle lives or until many others have
    /// ended. Any end is taken. True if this was the first.
    #[inline(always)]
    pub fn finish_readable(&self, turn: Turn<'_>, end_time_ns: Option<u64>) -> bool {
        if self.phase.get(turn) != Phase::Open {
            return false;
        }
        let trace = self.trace();
        self.end_at(turn, trace, end_time_ns);
        self.complete(turn, trace, true);
        true
    }

    /// The first half of [`Self::finish`] for those who tell others of the end: the span has ended,
    /// and what it holds can still be read and changed. Any end is taken. True if this was the first.
    pub fn begin_end(&self, turn: Turn<'_>, end_time_ns: Option<u64>) -> bool {
        if self.phase.get(turn) != Phase::Open {
            return false;
        }
        self.end_at(turn, self.trace(), end_time_ns);
        self.phase.set(turn, Phase::Ending);
        true
    }

    /// The second half: what the span holds moves on. With `keeps` it can still be read.
    pub fn complete_end(&self, turn: Turn<'_>, keeps: bool) {
        if self.phase.get(turn) == Phase::Ending {
            self.complete(turn, self.trace(), keeps);
        }
    }

    /// A measured end is never before a start; one given by hand may be, and is refused or taken
    /// before it comes here.
    #[inline(always)]
    fn end_at(&self, turn: Turn<'_>, trace: &Trace, end_time_ns: Option<u64>) {
        let end = match end_time_ns {
            Some(end) => end,
            None => trace.now_ns().max(self.start_time_ns.get(turn)),
        };
        self.end_time_ns.set(turn, end);
        self.ended.set(turn, true);
    }

    #[inline(always)]
    fn complete(&self, turn: Turn<'_>, trace: &Trace, keeps: bool) {
        self.phase.set(turn, Phase::Finished);
        self.kept.set(turn, keeps);
        if trace.pipeline().is_inherited() {
            return;
        }
        if let Some(slot) = self.slot {
            self.move_to_chunk(turn, trace, slot, keeps);
        }
        if self.is_root {
            trace.end(turn);
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
        let name = self.with_record(turn, |record| record.name().into_owned());
        if self.leave(turn) == Some(Phase::Open) {
            if let Some(name) = name {
                self.trace().pipeline().abandon(&name);
            }
        }
    }

    /// Works with the span as it is sent: with what the record has not.
    #[inline(always)]
    pub(super) fn with_facts<R>(
        &self,
        turn: Turn<'_>,
        trace: &Trace,
        work: impl WithFacts<R>,
    ) -> R {
        let words = self.words.borrow(turn);
        match &words.disguise {
            None => work.with(&Ended {
                span: self,
                trace,
                words: &words,
                turn,
            }),
            Some(disguise) => with_disguise(work, disguise),
        }
    }

    #[inline(always)]
    fn move_to_chunk(&self, turn: Turn<'_>, trace: &Trace, slot: Slot, keeps: bool) {
        let pipeline = trace.pipeline();
        let store = pipeline.store();
        if let Some(ending) = store.ending(turn, slot).filter(|it| !it.has_ended()) {
            self.send(turn, trace, ending.record());
            store.end(turn, ending, keeps);
        }
        pipeline.record_released();
    }

    #[inline(always)]
    fn send(&self, turn: Turn<'_>, trace: &Trace, record: &Record) {
        let pipeline = trace.pipeline();
        if self.own_decision == Some(false) || pipeline.is_special() {
            // Recorded for somebody in this process, and for nobody else.
            if self.own_decision == Some(false) || pipeline.forgets() {
                return pipeline.forget(turn, self.own_decision == Some(false));
            }
            if let Some(keep) = pipeline.keep() {
                self.ask_to_keep(turn, keep, record);
            }
        }
        let add = Add {
            span: self,
            trace,
            turn,
            record,
        };
        self.with_facts(turn, trace, add);
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
            let released = pipeline.store().release(turn, slot);
            pipeline.record_released();
            released
        });
        if self.is_root {
            self.trace().end(turn);
        }
        had_record.then_some(before)
    }
}

/// Work with a span's facts, of whichever kind they are.
pub(super) trait WithFacts<R> {
    fn with(self, facts: &impl Facts) -> R;
}

/// Adds the span to its trace.
struct Add<'a> {
    span: &'a Span,
    trace: &'a Trace,
    turn: Turn<'a>,
    record: &'a Record,
}

impl WithFacts<()> for Add<'_> {
    #[inline(always)]
    fn with(self, facts: &impl Facts) {
        let Self {
            span,
            trace,
            turn,
            record,
        } = self;
        let (scope, follows) = (span.tracer.scope(), span.own_decision.is_none());
        let measured = record.measured(facts);
        trace.add(turn, scope, follows, span.is_root, &measured);
    }
}

#[cold]
fn with_disguise<R>(work: impl WithFacts<R>, disguise: &Disguise) -> R {
    work.with(disguise)
}

/// A span as its handle knows it.
struct Ended<'a> {
    span: &'a Span,
    trace: &'a Trace,
    words: &'a Words,
    turn: Turn<'a>,
}

impl Facts for Ended<'_> {
    #[inline(always)]
    fn trace_id(&self) -> TraceId {
        self.trace.trace_id()
    }

    #[inline(always)]
    fn span_id(&self) -> SpanId {
        self.span.span_id
    }

    #[inline(always)]
    fn random(&self) -> bool {
        self.trace.random()
    }

    #[inline(always)]
    fn trace_state(&self) -> Option<&str> {
        self.span.trace_state_in(self.trace).map(AsRef::as_ref)
    }

    #[inline(always)]
    fn parent_id(&self) -> Option<SpanId> {
        self.span.parent_id
    }

    #[inline(always)]
    fn parent_is_remote(&self) -> bool {
        self.span.parent_is_remote
    }

    #[inline(always)]
    fn kind(&self) -> SpanKind {
        self.span.kind
    }

    #[inline(always)]
    fn start_time_ns(&self) -> u64 {
        self.span.start_time_ns.get(self.turn)
    }

    /// Given by hand through OpenTelemetry's API it may be before the start: no reader knows what to do
    /// with that.
    #[inline(always)]
    fn end_time_ns(&self) -> u64 {
        self.span
            .end_time_ns
            .get(self.turn)
            .max(self.start_time_ns())
    }

    #[inline(always)]
    fn status(&self) -> StatusCode {
        self.span.status.get(self.turn)
    }

    #[inline(always)]
    fn description(&self) -> Option<&str> {
        self.words.description()
    }
}

impl Facts for Disguise {
    fn trace_id(&self) -> TraceId {
        self.context.trace_id
    }

    fn span_id(&self) -> SpanId {
        self.context.span_id
    }

    fn random(&self) -> bool {
        self.context.random
    }

    fn trace_state(&self) -> Option<&str> {
        self.context.trace_state.as_deref()
    }

    fn parent_id(&self) -> Option<SpanId> {
        self.parent.map(|(id, _)| id)
    }

    fn parent_is_remote(&self) -> bool {
        self.parent.is_some_and(|(_, is_remote)| is_remote)
    }

    fn kind(&self) -> SpanKind {
        self.kind
    }

    fn start_time_ns(&self) -> u64 {
        self.start_time_ns
    }

    fn end_time_ns(&self) -> u64 {
        self.end_time_ns.max(self.start_time_ns)
    }

    fn status(&self) -> StatusCode {
        self.status.code
    }

    fn description(&self) -> Option<&str> {
        self.status.description.as_deref()
    }
}
