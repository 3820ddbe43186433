//! The local trace: the spans of one request in this process, the decision they share, and the
//! hand-over of those that finished.

mod handover;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use crate::chunk::InstrumentationScope;
use crate::clock::Anchor;
use crate::counter::Reason;
use crate::id::{SpanId, TraceId};
use crate::keep;
use crate::pipeline::Pipeline;
use crate::record::{Facts, Measured};
use crate::turn::{Guarded, Shared, Sole, Spares, Turn, TurnCell};
pub(crate) use handover::Handover;

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

/// The spans of one request in this process. Its handles share it; the worker sees its hand-over.
#[derive(Debug)]
pub struct Trace {
    pipeline: Arc<Pipeline>,
    pub(crate) head: Head,
    handover: Arc<Handover>,
    /// Another process was told that it is sampled: that is never taken back.
    announced: AtomicBool,
    /// Somebody decided by hand: no sampler is asked any more.
    by_hand: AtomicBool,
    /// When the queue had no room, on the trace's clock.
    overflowed_ns: AtomicU64,
}

/// Traces whose last handle has died, for the next ones: to begin one anew costs a third of making it.
/// Each has neither a `tracestate` nor a clock of its own.
static SPARE: Guarded<Spares<Sole<Trace>, 64>> = Guarded::new(Spares::new());
/// The last of them: most traces are over before the next begins.
static LAST: TurnCell<Option<Sole<Trace>>> = TurnCell::empty();

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
    pub(crate) fn fresh(turn: Turn<'_>, pipeline: &Arc<Pipeline>) -> Sole<Self> {
        match LAST.take(turn).or_else(|| SPARE.borrow(turn).pop()) {
            Some(spare) if Arc::ptr_eq(&spare.pipeline, pipeline) => spare,
            _ => Self::blank(pipeline),
        }
    }

    /// Begins it, with this verdict.
    #[inline(always)]
    pub(crate) fn begin(&mut self, verdict: Verdict) {
        self.handover.begin(verdict);
        *self.announced.get_mut() = false;
        *self.by_hand.get_mut() = false;
    }

    /// A trace that has not begun.
    #[cold]
    fn blank(pipeline: &Arc<Pipeline>) -> Sole<Self> {
        let handover = Arc::new(Handover::default());
        pipeline.open_traces().insert(&handover);
        Sole::new(Self {
            pipeline: Arc::clone(pipeline),
            head: Head {
                trace_id: TraceId::LEAST,
                random: false,
                trace_state: None,
                anchor: Anchor::default(),
            },
            handover,
            announced: AtomicBool::new(false),
            by_hand: AtomicBool::new(false),
            overflowed_ns: AtomicU64::new(0),
        })
    }

    /// A handle lets go of its trace. The last one leaves it to the next root.
    #[inline(always)]
    pub(crate) fn let_go(trace: Shared<Self>, turn: Turn<'_>) {
        let Some(mut spare) = trace.leave(turn) else {
            return;
        };
        if !Handover::is_over(&spare.handover, turn) || spare.pipeline.is_leaving() {
            return;
        }
        if spare.head.trace_state.is_some() || spare.head.anchor.has_other() {
            spare.head.clear();
        }
        if let Some(other) = LAST.put(turn, spare) {
            SPARE.borrow(turn).push(other);
        }
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
    #[inline(always)]
    pub fn verdict(&self) -> Verdict {
        self.handover.verdict()
    }

    /// True when the decision was taken by hand.
    pub(crate) fn is_decided_by_hand(&self) -> bool {
        self.by_hand.load(Ordering::Relaxed)
    }

    /// Decides by hand. True when the decision holds for every span of the trace that does not
    /// decide for itself; false when it reaches only spans that start from now on, or comes too
    /// late altogether.
    pub fn set_should_sample(&self, should_sample: bool) -> bool {
        if self.handover.has_ended() {
            return (self.verdict() == Verdict::Sampled) == should_sample;
        }
        if !should_sample && self.announced.load(Ordering::Relaxed) {
            return false;
        }
        self.by_hand.store(true, Ordering::Relaxed);
        if self.verdict() == Verdict::Unrecorded && !should_sample {
            return true;
        }
        self.handover.set_verdict(if should_sample {
            Verdict::Sampled
        } else {
            Verdict::Dropped
        });
        !self.handover.is_incomplete()
    }

    /// Another process is told of the trace.
    pub(crate) fn announce(&self) {
        if self.verdict() == Verdict::Sampled {
            self.announced.store(true, Ordering::Relaxed);
        }
    }

    /// A span has no record though the trace is recorded: no later decision can reach it.
    pub(crate) fn miss(&self) {
        self.handover.set_incomplete();
    }

    /// A span that finished asks that the trace be kept. The first to ask is remembered.
    pub(crate) fn ask_to_keep(&self, reason: keep::Reason) {
        self.handover.ask_to_keep(reason);
    }

    /// Takes in a finished span, and hands over what need not wait. After the root itself,
    /// [`Self::end`] follows.
    #[inline(always)]
    pub(crate) fn add(
        &self,
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
        if self.handover.has_overflowed() && !self.recovers() {
            counters.dropped.add(Reason::QueueFull, 1);
            return;
        }
        if !is_root {
            return self.add_child(turn, scope, follows, span);
        }
        self.handover.decide(&self.pipeline);
        let Some(mut chunk) = self.handover.chunk().take(turn) else {
            return self.add_alone(turn, scope, follows, span);
        };
        let fits = queue.reserve(turn, 1, span.len());
        span.write(chunk.add(scope, follows));
        if !fits {
            self.overflow();
        }
        let handover = &self.handover;
        handover.hand_over(&self.pipeline, Some(turn), chunk, true);
    }

    /// Any other span: it waits for the root.
    #[inline(always)]
    fn add_child(
        &self,
        turn: Turn<'_>,
        scope: &'static InstrumentationScope,
        follows: bool,
        span: &Measured<'_, impl Facts>,
    ) {
        let (pipeline, slot) = (&self.pipeline, self.handover.chunk());
        let fits = pipeline.queue().reserve(turn, 1, span.len());
        let (mut out, mut first) = (slot.take_out(turn), None);
        let chunk = if let Some(out) = &mut out {
            &mut **out
        } else {
            let chunk = first.insert(pipeline.chunks().take(turn, OPEN_BYTES));
            chunk.begin(scope, follows);
            chunk
        };
        let bytes = chunk.add(scope, follows);
        span.write(bytes);
        let is_full = bytes.len() >= MAX_CHUNK_BYTES || chunk.spans() >= pipeline.max_batch_size();
        drop(out);
        let is_first = first.is_some();
        if let Some(first) = first {
            let since_ns = self.head.anchor.wall_ns();
            self.handover.wait(turn, since_ns, first);
        }
        if is_full || !fits || self.handover.has_ended() {
            self.hand_over_now(turn, fits);
        } else if is_first {
            pipeline.wake_worker(false);
        }
    }

    /// Does not wait for the root. What does not fit the queue is dropped.
    #[cold]
    fn hand_over_now(&self, turn: Turn<'_>, fits: bool) {
        if !fits {
            self.overflow();
        }
        self.handover.hand_over_early(&self.pipeline, Some(turn));
    }

    /// The root of a trace of which no other span waits.
    #[inline(always)]
    fn add_alone(
        &self,
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
        span.write_here(chunk.add_to_first());
        if !fits {
            pipeline.drop_chunk(&chunk, Reason::QueueFull);
            return self.overflow();
        }
        if pipeline.is_special() {
            self.handover.say_why_kept(&mut chunk);
        }
        pipeline.enqueue(Some(turn), chunk, 1);
    }

    /// The root has finished, or is gone: hands over the rest, whatever is still open under it.
    #[inline(always)]
    pub(crate) fn end(&self, turn: Turn<'_>) {
        self.handover.decide(&self.pipeline);
        self.handover.set_ended();
        if !self.handover.chunk().is_empty(turn) {
            self.handover.hand_over_early(&self.pipeline, Some(turn));
        }
    }

    /// The `Span` message of a span that has finished and waits.
    pub(crate) fn find(&self, turn: Turn<'_>, span_id: SpanId) -> Option<Vec<u8>> {
        self.handover.chunk().take_out(turn)?.find(span_id)
    }

    /// The waiting spans, scope by scope: `(scope, spans)` as fields of `ScopeSpans`.
    pub(crate) fn waiting(&self, turn: Turn<'_>) -> Vec<(&'static InstrumentationScope, Vec<u8>)> {
        let chunk = self.handover.chunk().take_out(turn);
        chunk.map_or_else(Vec::new, |chunk| chunk.copy())
    }

    /// A root that stays open has its spans sent in parts, one each delay. When the part that
    /// overflowed is over, the next has a chance again.
    #[cold]
    fn recovers(&self) -> bool {
        let since = self.overflowed_ns.load(Ordering::Relaxed);
        let passed = Duration::from_nanos(self.now_ns().saturating_sub(since));
        if passed < self.pipeline.max_coalescing_delay() {
            return false;
        }
        self.handover.set_overflowed(false);
        self.handover.set_incomplete();
        true
    }

    /// The trace is dropped as a whole from here on: half a trace helps nobody.
    #[cold]
    fn overflow(&self) {
        self.overflowed_ns.store(self.now_ns(), Ordering::Relaxed);
        self.handover.set_overflowed(true);
        self.pipeline.notices().leave("queue full", || {
            "the queue of finished spans is full: whole traces are dropped \
             (max_entries and max_bytes of QueueConfig; stats()['dropped']['queue_full'] counts)"
                .to_owned()
        });
    }
}
