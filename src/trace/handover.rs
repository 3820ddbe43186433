//! How finished spans leave a trace: what the worker sees of it, and shares with whoever has the turn.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering, fence};

use super::Verdict;
use crate::chunk::{Chunk, ChunkSlot, Seen};
use crate::counter::Reason;
use crate::keep;
use crate::pipeline::Pipeline;
use crate::turn::Turn;

/// The finished spans of a trace that wait, and the decision on them.
#[derive(Debug, Default)]
pub(crate) struct Handover {
    verdict: AtomicU8,
    /// Why it shall be kept, though the sampler turned it down; 0 while nothing asks.
    asked: AtomicU8,
    /// Why it was; 0 where it was not, or where that was decided otherwise.
    kept: AtomicU8,
    /// Some spans have no record, or are gone already: a decision cannot reach all of them.
    incomplete: AtomicBool,
    /// The root has finished or is gone: nothing is waited for any more.
    ended: AtomicBool,
    /// The queue had no room. The rest of the trace is dropped too, as far as it would have been sent
    /// with what was dropped.
    overflowed: AtomicBool,
    /// Since when the first of the waiting spans waits, in nanoseconds since 1970.
    since_ns: AtomicU64,
    chunk: ChunkSlot,
}

impl Handover {
    /// A trace begins, with this verdict; nothing of the one before is left (`is_over`).
    #[inline(always)]
    pub(super) fn begin(&self, verdict: Verdict) {
        self.verdict.store(verdict as u8, Ordering::Relaxed);
        self.asked.store(0, Ordering::Relaxed);
        self.kept.store(0, Ordering::Relaxed);
        let incomplete = verdict == Verdict::Unrecorded;
        self.incomplete.store(incomplete, Ordering::Relaxed);
        self.ended.store(false, Ordering::Relaxed);
        self.overflowed.store(false, Ordering::Relaxed);
    }

    /// True when the trace has ended, and nobody is at what it left: another may begin here. `this` is
    /// its trace's; the pipeline has the other. The worker makes a third before it takes a chunk,
    /// which is over then for whoever sees that it is gone.
    #[inline(always)]
    pub(super) fn is_over(this: &Arc<Self>, turn: Turn<'_>) -> bool {
        if !this.has_ended() || !this.chunk.is_empty(turn) || Arc::strong_count(this) != 2 {
            return false;
        }
        // With the end of the worker's third.
        fence(Ordering::Acquire);
        true
    }

    #[inline(always)]
    pub(super) fn verdict(&self) -> Verdict {
        Verdict::from_number(self.verdict.load(Ordering::Relaxed))
    }

    /// Decides it anew, whatever was decided.
    pub(super) fn set_verdict(&self, verdict: Verdict) {
        self.verdict.store(verdict as u8, Ordering::Relaxed);
    }

    pub(super) fn is_incomplete(&self) -> bool {
        self.incomplete.load(Ordering::Relaxed)
    }

    pub(super) fn set_incomplete(&self) {
        self.incomplete.store(true, Ordering::Relaxed);
    }

    #[inline(always)]
    pub(super) fn has_ended(&self) -> bool {
        self.ended.load(Ordering::Relaxed)
    }

    #[inline(always)]
    pub(super) fn set_ended(&self) {
        self.ended.store(true, Ordering::Relaxed);
    }

    #[inline(always)]
    pub(super) fn has_overflowed(&self) -> bool {
        self.overflowed.load(Ordering::Relaxed)
    }

    pub(super) fn set_overflowed(&self, overflowed: bool) {
        self.overflowed.store(overflowed, Ordering::Relaxed);
    }

    /// A span that finished asks that the trace be kept. The first to ask is remembered.
    pub(super) fn ask_to_keep(&self, reason: keep::Reason) {
        if self.asked.load(Ordering::Relaxed) == 0 {
            self.asked.store(reason as u8, Ordering::Relaxed);
        }
    }

    /// The waiting spans.
    #[inline(always)]
    pub(super) fn chunk(&self) -> &ChunkSlot {
        &self.chunk
    }

    /// A chunk waits from now on.
    #[inline(always)]
    pub(super) fn wait(&self, turn: Turn<'_>, since_ns: u64, chunk: Box<Chunk>) {
        // Before the chunk: whoever sees that sees this.
        self.since_ns.store(since_ns, Ordering::Relaxed);
        self.chunk.put(turn, chunk);
    }

    /// What the worker sees.
    pub(crate) fn look(&self) -> Seen {
        self.chunk.look()
    }

    /// Since when something waits, if something does.
    pub(crate) fn since_ns(&self) -> u64 {
        self.since_ns.load(Ordering::Relaxed)
    }

    /// The root is over: what is undecided then is kept if anything asks for that, else dropped.
    #[inline(always)]
    pub(super) fn decide(&self, pipeline: &Pipeline) {
        if self.verdict() == Verdict::Undecided {
            self.decide_late(pipeline);
            self.settle(Verdict::Dropped);
        }
    }

    /// Keeps the trace, if anything asks for that and there is budget.
    #[cold]
    fn decide_late(&self, pipeline: &Pipeline) {
        let asked = self.asked.load(Ordering::Relaxed);
        let Some(keep) = pipeline.keep().filter(|_| asked != 0) else {
            return;
        };
        let counters = pipeline.counters();
        if keep
            .budget
            .as_ref()
            .is_none_or(|budget| budget.takes(pipeline.clock().now_ns()))
        {
            // Before the verdict: whoever sees that sees this.
            self.kept.store(asked, Ordering::Relaxed);
            if self.settle(Verdict::Sampled) {
                counters.kept_traces.add(1);
            }
        } else if self.settle(Verdict::Dropped) {
            counters.over_budget.add(1);
        }
    }

    /// Decides a trace that is undecided; the worker may do so as well. True for who did.
    fn settle(&self, verdict: Verdict) -> bool {
        let (undecided, verdict) = (Verdict::Undecided as u8, verdict as u8);
        self.verdict
            .compare_exchange(undecided, verdict, Ordering::AcqRel, Ordering::Relaxed)
            .is_ok()
    }

    /// Hands over what has finished so far. The worker does it when spans grew old, without a turn,
    /// flush and shutdown when they are asked to.
    #[cold]
    pub(crate) fn hand_over_early(&self, pipeline: &Arc<Pipeline>, turn: Option<Turn<'_>>) {
        let chunk = match turn {
            Some(turn) => self.chunk.take(turn),
            None => self.chunk.steal(),
        };
        if let Some(chunk) = chunk {
            self.hand_over(pipeline, turn, chunk, self.has_ended());
        }
    }

    /// Hands over a chunk that was taken out. Only a thread whose turn it is can keep its buffers.
    #[inline(always)]
    pub(super) fn hand_over(
        &self,
        pipeline: &Arc<Pipeline>,
        turn: Option<Turn<'_>>,
        chunk: Box<Chunk>,
        last: bool,
    ) {
        if self.has_overflowed() {
            return pipeline.drop_chunk(&chunk, Reason::QueueFull);
        }
        if !last {
            self.part(pipeline);
        }
        let mut chunk = chunk;
        chunk.since_ns = self.since_ns();
        if chunk.is_roomy() {
            chunk = fitting(pipeline, turn, chunk);
        }
        let verdict = self.verdict();
        if verdict != Verdict::Sampled {
            drop_followers(pipeline, verdict, &mut chunk);
        } else if pipeline.is_special() {
            self.say_why_kept(&mut chunk);
        }
        let spans = chunk.spans();
        if spans > 0 {
            pipeline.enqueue(turn, chunk, spans);
        }
    }

    /// A part of the trace leaves before its root is over.
    #[cold]
    fn part(&self, pipeline: &Pipeline) {
        self.set_incomplete();
        if self.verdict() == Verdict::Undecided {
            self.decide_late(pipeline);
        }
    }

    /// Says in a chunk why its trace was kept, if that is so.
    #[cold]
    pub(super) fn say_why_kept(&self, chunk: &mut Chunk) {
        if self.verdict() == Verdict::Sampled {
            chunk.kept = keep::Reason::from_number(self.kept.load(Ordering::Relaxed));
        }
    }
}

#[cold]
fn drop_followers(pipeline: &Pipeline, verdict: Verdict, chunk: &mut Chunk) {
    let (spans, bytes) = chunk.drop_followers();
    let reason = match verdict {
        Verdict::Undecided => Reason::LateUndecided,
        _ => Reason::Unsampled,
    };
    pipeline.queue().release(spans, bytes);
    pipeline.counters().dropped.add(reason, spans);
}

/// The same spans in a chunk that fits them.
#[inline(always)]
fn fitting(pipeline: &Pipeline, turn: Option<Turn<'_>>, roomy: Box<Chunk>) -> Box<Chunk> {
    let (chunks, length) = (pipeline.chunks(), roomy.first_len());
    let mut fitting = match turn {
        Some(turn) => chunks.take(turn, length),
        None => Chunk::with_room(length),
    };
    let roomy = fitting.take_over(roomy);
    if let Some(turn) = turn {
        chunks.give(turn, roomy);
    }
    fitting
}
