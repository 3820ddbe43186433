//! The local trace: the spans of one request in this process, the decision they share, and the
//! hand-over of those that finished.

mod fresh;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crate::chunk::{Added, Chunk, ChunkSlot, InstrumentationScope};
use crate::clock::Anchor;
use crate::counter::Reason;
use crate::id::TraceId;
use crate::keep;
use crate::pipeline::Pipeline;
use crate::pipeline::open::Place;
use crate::record::{Facts, Measured};
use crate::turn::{Guarded, Spares, Turn, TurnCell};
pub(crate) use fresh::Fresh;

/// What becomes of the spans that do not decide for themselves. It outlives the chunk, so late
/// children follow the final decision.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Verdict {
    /// Not recorded: ids and flags only.
    Unrecorded = 0,
    /// Recorded; dropped at the end unless somebody says otherwise before (late sampling).
    Undecided = 1,
    /// Recorded and sent.
    Sampled = 2,
    /// Recorded, and dropped by hand.
    Dropped = 3,
}

impl Verdict {
    #[inline(always)]
    fn from_number(number: u8) -> Self {
        match number {
            1 => Self::Undecided,
            2 => Self::Sampled,
            3 => Self::Dropped,
            _ => Self::Unrecorded,
        }
    }

    /// True when spans that start now get a record.
    pub fn records(self) -> bool {
        self != Self::Unrecorded
    }
}

/// A chunk is handed over before its root has finished when it grows beyond this.
const MAX_CHUNK_BYTES: usize = 1 << 20;
/// Where the finished spans of an open trace begin: a request of four spans with a dozen attributes
/// each fits without growing.
const OPEN_BYTES: usize = 4096;

/// The spans of one request in this process.
#[derive(Debug)]
pub struct Trace {
    pipeline: Arc<Pipeline>,
    pub(crate) head: Head,
    verdict: AtomicU8,
    /// Why it shall be kept, though the sampler turned it down; 0 while nothing asks.
    asked: AtomicU8,
    /// Why it was; 0 where it was not, or where that was decided otherwise.
    kept: AtomicU8,
    /// Another process was told that it is sampled: that is never taken back.
    announced: AtomicBool,
    /// Somebody decided by hand: no sampler is asked any more.
    by_hand: AtomicBool,
    /// Some spans have no record, or are gone already: a decision cannot reach all of them.
    incomplete: AtomicBool,
    /// The root has finished or is gone: nothing is waited for any more.
    ended: AtomicBool,
    /// When the queue had no room, on the trace's clock; 0 while it has. The rest of the trace is
    /// dropped too, as far as it would have been sent with what was dropped.
    overflowed_ns: AtomicU64,
    chunk: ChunkSlot,
    /// Some span has been in the chunk.
    used: AtomicBool,
    /// Where the worker finds it, while its root is open and finished spans wait.
    place: TurnCell<Option<Place>>,
}

/// Traces whose last handle has died, for the next ones: to begin one anew costs a third of making it.
/// Each has neither a `tracestate` nor a clock of its own.
static SPARE: Guarded<Spares<Fresh, 64>> = Guarded::new(Spares::new());
/// The last of them: most traces are over before the next begins.
static LAST: TurnCell<Option<Fresh>> = TurnCell::empty();

/// Lets go of the traces that are kept for the next, and so of their pipelines.
pub(crate) fn forget_spare(turn: Turn<'_>) {
    let last = LAST.take(turn);
    let spare = std::mem::replace(&mut *SPARE.borrow(turn), Spares::new());
    drop((last, spare));
}

/// What stays as it is from the beginning of a trace to its end.
#[derive(Debug)]
pub(crate) struct Head {
    pub(crate) trace_id: TraceId,
    /// True when we made the trace id, and so know that it is random.
    pub(crate) random: bool,
    /// The `tracestate` that all its spans carry on.
    pub(crate) trace_state: Option<Arc<str>>,
    pub(crate) anchor: Anchor,
}

impl Head {
    #[cold]
    fn clear(&mut self) {
        self.trace_state = None;
        self.anchor = Anchor::default();
    }
}

impl Trace {
    /// A trace for its owner to begin: to write its head, and to decide on it.
    #[inline(always)]
    pub(crate) fn fresh(turn: Turn<'_>, pipeline: &Arc<Pipeline>) -> Fresh {
        match LAST.take(turn).or_else(|| SPARE.borrow(turn).pop()) {
            Some(spare) if Arc::ptr_eq(&spare.pipeline, pipeline) => spare,
            _ => Self::blank(pipeline),
        }
    }

    /// Begins it, with this verdict.
    #[inline(always)]
    pub(crate) fn begin(&mut self, verdict: Verdict) {
        *self.verdict.get_mut() = verdict as u8;
        *self.asked.get_mut() = 0;
        *self.kept.get_mut() = 0;
        *self.announced.get_mut() = false;
        *self.by_hand.get_mut() = false;
        *self.incomplete.get_mut() = verdict == Verdict::Unrecorded;
        *self.ended.get_mut() = false;
        *self.overflowed_ns.get_mut() = 0;
        *self.used.get_mut() = false;
    }

    /// A trace that has not begun.
    #[cold]
    fn blank(pipeline: &Arc<Pipeline>) -> Fresh {
        let blank = Self {
            pipeline: Arc::clone(pipeline),
            head: Head {
                trace_id: TraceId::LEAST,
                random: false,
                trace_state: None,
                anchor: Anchor::default(),
            },
            verdict: AtomicU8::new(Verdict::Unrecorded as u8),
            asked: AtomicU8::new(0),
            kept: AtomicU8::new(0),
            announced: AtomicBool::new(false),
            by_hand: AtomicBool::new(false),
            incomplete: AtomicBool::new(false),
            ended: AtomicBool::new(false),
            overflowed_ns: AtomicU64::new(0),
            chunk: ChunkSlot::default(),
            used: AtomicBool::new(false),
            place: TurnCell::new(None),
        };
        Fresh::new(Arc::new(blank)).unwrap_or_else(|_| unreachable!("nobody else has a new one"))
    }

    /// A handle lets go of its trace. The last one leaves it to the next root.
    #[inline(always)]
    pub(crate) fn let_go(trace: Arc<Self>, turn: Turn<'_>) {
        let Ok(mut spare) = Fresh::new(trace) else {
            return;
        };
        if !spare.is_reusable(turn) {
            return;
        }
        if spare.head.trace_state.is_some() || spare.head.anchor.has_other() {
            spare.head.clear();
        }
        if let Some(other) = LAST.put(turn, spare) {
            SPARE.borrow(turn).push(other);
        }
    }

    /// True when nothing of it is left, and nobody will look for it.
    #[inline(always)]
    fn is_reusable(&self, turn: Turn<'_>) -> bool {
        self.ended.load(Ordering::Relaxed)
            && self.place.get(turn).is_none()
            && !self.pipeline.is_leaving()
            && (!self.used.load(Ordering::Relaxed) || self.chunk.is_empty())
    }

    /// The pipeline in which the trace began, and in which it ends.
    pub fn pipeline(&self) -> &Arc<Pipeline> {
        &self.pipeline
    }

    /// The trace id.
    pub fn trace_id(&self) -> TraceId {
        self.head.trace_id
    }

    /// True when the trace id is known to be random.
    pub(crate) fn random(&self) -> bool {
        self.head.random
    }

    /// The `tracestate` that its spans carry on.
    pub(crate) fn trace_state(&self) -> Option<&Arc<str>> {
        self.head.trace_state.as_ref()
    }

    /// Nanoseconds since 1970, from the trace's own anchor.
    #[inline]
    pub fn now_ns(&self) -> u64 {
        self.head.anchor.now_ns()
    }

    /// The decision as it stands.
    pub fn verdict(&self) -> Verdict {
        Verdict::from_number(self.verdict.load(Ordering::Relaxed))
    }

    /// True when the decision was taken by hand.
    pub(crate) fn is_decided_by_hand(&self) -> bool {
        self.by_hand.load(Ordering::Relaxed)
    }

    /// Decides by hand. True when the decision holds for every span of the trace that does not
    /// decide for itself; false when it reaches only spans that start from now on, or comes too
    /// late altogether.
    pub fn set_should_sample(&self, should_sample: bool) -> bool {
        if self.ended.load(Ordering::Acquire) {
            return (self.verdict() == Verdict::Sampled) == should_sample;
        }
        if !should_sample && self.announced.load(Ordering::Relaxed) {
            return false;
        }
        self.by_hand.store(true, Ordering::Relaxed);
        if self.verdict() == Verdict::Unrecorded && !should_sample {
            return true;
        }
        let verdict = if should_sample {
            Verdict::Sampled
        } else {
            Verdict::Dropped
        };
        self.verdict.store(verdict as u8, Ordering::Relaxed);
        !self.incomplete.load(Ordering::Relaxed)
    }

    /// Another process is told of the trace.
    pub(crate) fn announce(&self) {
        if self.verdict() == Verdict::Sampled {
            self.announced.store(true, Ordering::Relaxed);
        }
    }

    /// A span has no record though the trace is recorded: no later decision can reach it.
    pub(crate) fn miss(&self) {
        self.incomplete.store(true, Ordering::Relaxed);
    }

    /// Takes in a finished span, and hands over what need not wait. After the
    /// root itself, [`Self::end`] follows and hands over all.
    #[inline(always)]
    pub(crate) fn add(
        self: &Arc<Self>,
        turn: Turn<'_>,
        scope: &'static InstrumentationScope,
        follows: bool,
        is_root: bool,
        span: &Measured<'_, impl Facts>,
    ) {
        let (queue, counters) = (self.pipeline.queue(), self.pipeline.counters());
        counters.finished.add(turn, 1);
        if self.pipeline.is_closed() {
            counters.dropped.add(Reason::Shutdown, 1);
            return;
        }
        if self.overflowed_ns.load(Ordering::Relaxed) != 0 && !self.recovers() {
            counters.dropped.add(Reason::QueueFull, 1);
            return;
        }
        if is_root {
            self.decide();
        }
        if is_root && !self.used.load(Ordering::Relaxed) {
            return self.add_alone(turn, scope, follows, span);
        }
        let fits = queue.reserve(turn, 1, span.len());
        let added = self.add_to_chunk(turn, scope, follows, span);
        if !fits {
            self.overflow(turn);
        } else if is_root {
            // `end` follows.
        } else if self.ended.load(Ordering::Acquire) {
            self.hand_over(Some(turn), true);
        } else if added.spans >= self.pipeline.max_batch_size()
            || added.run_bytes >= MAX_CHUNK_BYTES
        {
            self.hand_over(Some(turn), false);
        } else if added.spans == 1 {
            self.wait_for_root(turn);
        }
    }

    /// The root of a trace of which no other span waits.
    #[inline(always)]
    fn add_alone(
        self: &Arc<Self>,
        turn: Turn<'_>,
        scope: &'static InstrumentationScope,
        follows: bool,
        span: &Measured<'_, impl Facts>,
    ) {
        let pipeline = &self.pipeline;
        if follows && self.verdict() != Verdict::Sampled {
            // Nothing waits to be dropped with it: it need not be written.
            pipeline.counters().dropped.add(Reason::Unsampled, 1);
            return;
        }
        let length = span.len();
        let fits = pipeline.queue().reserve(turn, 1, length);
        let mut chunk = pipeline.chunks().take(turn, length);
        chunk.begin(scope, follows);
        chunk.add_to_first(|buffer| span.write_here(buffer));
        if !fits {
            pipeline.drop_chunk(&chunk, Reason::QueueFull);
            return self.overflow(turn);
        }
        if pipeline.is_special() {
            self.say_why_kept(&mut chunk);
        }
        pipeline.enqueue(Some(turn), chunk, 1);
    }

    /// Says in a chunk why its trace was kept, if that is so.
    #[cold]
    fn say_why_kept(&self, chunk: &mut Chunk) {
        if self.verdict() == Verdict::Sampled {
            chunk.kept = keep::Reason::from_number(self.kept.load(Ordering::Relaxed));
        }
    }

    fn add_to_chunk(
        &self,
        turn: Turn<'_>,
        scope: &'static InstrumentationScope,
        follows: bool,
        span: &Measured<'_, impl Facts>,
    ) -> Added {
        self.used.store(true, Ordering::Relaxed);
        let empty = || self.pipeline.chunks().take(turn, OPEN_BYTES);
        let write = |buffer: &mut Vec<u8>| span.write(buffer);
        self.chunk.add(scope, follows, empty, write)
    }

    /// The root has finished, or is gone: hands over the rest, whatever is still open under it.
    #[inline(always)]
    pub(crate) fn end(&self, turn: Turn<'_>) {
        self.decide();
        // Before the chunk is taken: a child that adds after that sees it, and hands over itself.
        self.ended.store(true, Ordering::Release);
        if self.used.load(Ordering::Relaxed) {
            self.hand_over(Some(turn), true);
        }
        if let Some(place) = self.place.get(turn) {
            self.leave_place(turn, place);
        }
    }

    fn leave_place(&self, turn: Turn<'_>, place: Place) {
        self.place.set(turn, None);
        self.pipeline.open_traces().remove(place);
    }

    /// A span that finished asks that the trace be kept. The first to ask is remembered.
    pub(crate) fn ask_to_keep(&self, reason: keep::Reason) {
        if self.asked.load(Ordering::Relaxed) == 0 {
            self.asked.store(reason as u8, Ordering::Relaxed);
        }
    }

    /// The root is over: what is undecided then is kept if anything asks for that, else dropped.
    #[inline]
    fn decide(&self) {
        if self.verdict() == Verdict::Undecided {
            self.decide_late();
            self.settle(Verdict::Dropped);
        }
    }

    /// Keeps the trace, if anything asks for that and there is budget.
    #[cold]
    fn decide_late(&self) {
        let asked = self.asked.load(Ordering::Relaxed);
        let Some(keep) = self.pipeline.keep().filter(|_| asked != 0) else {
            return;
        };
        let counters = self.pipeline.counters();
        if keep
            .budget
            .as_ref()
            .is_none_or(|budget| budget.takes(self.now_ns()))
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

    /// Hands over what has finished so far. The worker does it when spans grew old, flush and
    /// shutdown when they are asked to.
    pub(crate) fn hand_over_early(&self) {
        self.hand_over(None, self.ended.load(Ordering::Acquire));
    }

    /// When the first of the waiting spans finished; None when none waits.
    pub(crate) fn waiting_since(&self) -> Option<Instant> {
        self.chunk.since()
    }

    /// The waiting spans.
    pub fn chunk(&self) -> &ChunkSlot {
        &self.chunk
    }

    /// Hands over the chunk, whoever is first. Only a thread whose turn it is can keep its buffers.
    fn hand_over(&self, turn: Option<Turn<'_>>, last: bool) {
        let Some(mut chunk) = self.chunk.take() else {
            return;
        };
        if self.overflowed_ns.load(Ordering::Relaxed) != 0 {
            self.pipeline.drop_chunk(&chunk, Reason::QueueFull);
            return;
        }
        if !last {
            self.incomplete.store(true, Ordering::Relaxed);
            if self.verdict() == Verdict::Undecided {
                self.decide_late();
            }
        }
        if chunk.is_roomy() {
            let chunks = self.pipeline.chunks();
            let fitting = match turn {
                Some(turn) => chunks.take(turn, chunk.first_len()),
                None => Chunk::with_room(chunk.first_len()),
            };
            let roomy = std::mem::replace(&mut chunk, fitting);
            let roomy = chunk.take_over(roomy);
            if let Some(turn) = turn {
                chunks.give(turn, roomy);
            }
        }
        self.pass_on(turn, chunk);
    }

    /// Queues the spans that are to be sent, drops the others.
    fn pass_on(&self, turn: Option<Turn<'_>>, mut chunk: Box<Chunk>) {
        let verdict = self.verdict();
        if verdict != Verdict::Sampled {
            self.drop_followers(verdict, &mut chunk);
        } else if self.pipeline.is_special() {
            self.say_why_kept(&mut chunk);
        }
        let spans = chunk.spans();
        if spans > 0 {
            self.pipeline.enqueue(turn, chunk, spans);
        }
    }

    #[cold]
    fn drop_followers(&self, verdict: Verdict, chunk: &mut Chunk) {
        let (spans, bytes) = chunk.drop_followers();
        let reason = match verdict {
            Verdict::Undecided => Reason::LateUndecided,
            _ => Reason::Unsampled,
        };
        self.pipeline.queue().release(spans, bytes);
        self.pipeline.counters().dropped.add(reason, spans);
    }

    /// A root that stays open has its spans sent in parts, one each delay. When the part that
    /// overflowed is over, the next has a chance again.
    fn recovers(&self) -> bool {
        let since = self.overflowed_ns.load(Ordering::Relaxed);
        let passed = Duration::from_nanos(self.now_ns().saturating_sub(since));
        if passed < self.pipeline.max_coalescing_delay() {
            return false;
        }
        self.overflowed_ns.store(0, Ordering::Relaxed);
        self.incomplete.store(true, Ordering::Relaxed);
        true
    }

    /// Drops the trace as a whole: half a trace helps nobody.
    fn overflow(&self, turn: Turn<'_>) {
        self.overflowed_ns
            .store(self.now_ns().max(1), Ordering::Relaxed);
        self.hand_over(Some(turn), true);
        self.pipeline.notices().leave("queue full", || {
            "the queue of finished spans is full: whole traces are dropped \
             (max_entries and max_bytes of QueueConfig; stats()['dropped']['queue_full'] counts)"
                .to_owned()
        });
    }

    fn wait_for_root(self: &Arc<Self>, turn: Turn<'_>) {
        if self.place.get(turn).is_none() {
            let place = self.pipeline.open_traces().insert(self);
            self.place.set(turn, Some(place));
        }
        self.pipeline.wake_worker(false);
    }
}
