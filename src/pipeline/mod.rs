//! What `configure` builds and `shutdown` ends: resource, limits, sampler, pool, queue, worker and
//! ways out, tied together.

mod config;
pub(crate) mod open;
mod sender;
mod worker;

use std::cell::RefMut;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

pub use config::{Config, Exporter, OpenError, QueueConfig, Settings};

use crate::chunk::Chunk;
use crate::chunk_pool::Chunks;
use crate::clock::Clock;
use crate::counter::{Counters, Reason};
use crate::export::queue::Queue;
use crate::id::Ids;
use crate::keep::Keep;
use crate::limits::SpanLimits;
use crate::notice::Notices;
use crate::otlp::encode;
use crate::resource::Resource;
use crate::sampler::{Known, Ratio, Sampler};
use crate::store::Store;
use crate::sys;
use crate::trace::{self, Trace};
use crate::turn::{self, Guarded, Turn};
use open::OpenTraces;
use worker::{Drain, Worker};

/// One configuration at work.
#[derive(Debug)]
pub struct Pipeline {
    settings: Arc<Settings>,
    /// The fields of `ResourceSpans` of this process.
    resource: Vec<u8>,
    full_batch_size: usize,
    /// It forgets spans, or keeps traces that the sampler turned down: most do neither.
    is_special: bool,
    /// Of the sampler.
    known: Known,
    epoch: u32,
    ids: Ids,
    store: Store,
    chunks: Chunks,
    queue: Queue<Chunk>,
    open_traces: OpenTraces,
    counters: Counters,
    notices: Notices,
    worker: Worker,
    retired: AtomicBool,
    closed: AtomicBool,
}

/// A flush that was ordered.
#[derive(Clone, Copy, Debug)]
pub struct Flush(Drain);

/// The pipeline that new spans go to.
static CURRENT: Guarded<Option<Arc<Pipeline>>> = Guarded::new(None);

/// The pipeline that new spans go to, None until one is configured and after `shutdown`.
#[inline]
pub fn current(turn: Turn<'_>) -> Option<Arc<Pipeline>> {
    CURRENT.borrow(turn).clone()
}

/// The current pipeline, if there is one, for those who spare the count of its users. Nothing that may
/// run Python code may happen while it is borrowed.
#[inline(always)]
pub fn borrow_current(turn: Turn<'_>) -> RefMut<'_, Option<Arc<Pipeline>>> {
    CURRENT.borrow(turn)
}

/// True when there is a pipeline.
#[inline]
pub fn is_configured(turn: Turn<'_>) -> bool {
    CURRENT.borrow(turn).is_some()
}

/// Puts `pipeline` in the place of the current one, which is returned, in one step.
pub fn replace(turn: Turn<'_>, pipeline: Option<Arc<Pipeline>>) -> Option<Arc<Pipeline>> {
    trace::forget_spare(turn);
    std::mem::replace(&mut *CURRENT.borrow(turn), pipeline)
}

impl Pipeline {
    /// Opens the ways out and builds the rest. No thread starts before a span has finished.
    pub fn new(config: Config) -> Result<Arc<Self>, OpenError> {
        let Config { settings, ids } = config;
        let QueueConfig {
            max_batch_size,
            max_entries,
            ..
        } = settings.queue;
        let outs = settings
            .exporters
            .iter()
            .map(Exporter::open)
            .collect::<Result<Vec<_>, _>>()?;
        let full_batch_size = max_batch_size.min((max_entries / 2).max(1));
        Ok(Arc::new(Self {
            resource: settings.resource.fields(),
            full_batch_size,
            known: settings.sampler.known(),
            is_special: settings.forgets || settings.keep.is_some(),
            epoch: sys::epoch(),
            ids: ids.map_or_else(Ids::random, Ids::scripted),
            store: Store::new(settings.queue.max_live_spans),
            chunks: Chunks::default(),
            queue: Queue::new(max_entries, settings.queue.max_bytes, full_batch_size),
            open_traces: OpenTraces::default(),
            counters: Counters::default(),
            notices: Notices::default(),
            worker: Worker::new(outs),
            retired: AtomicBool::new(false),
            closed: AtomicBool::new(false),
            settings,
        }))
    }

    /// The same pipeline for a forked child: new pool, queue, ids and worker, nothing shared;
    /// what the resource says of the process is said of the child.
    pub fn reborn(&self) -> Result<Arc<Self>, OpenError> {
        Self::new(Config {
            settings: Arc::clone(&self.settings),
            ids: None,
        })
    }

    /// The same pipeline, with the same ways out, for another resource.
    pub fn with_resource(&self, resource: Resource) -> Result<Arc<Self>, OpenError> {
        let settings = Settings {
            resource,
            exporters: self.settings.exporters.clone(),
            limits: self.settings.limits.clone(),
            queue: self.settings.queue.clone(),
            sampler: self.settings.sampler.clone(),
            clock: self.settings.clock.clone(),
            keep: self.settings.keep.clone(),
            ..*self.settings
        };
        Self::new(Config {
            settings: Arc::new(settings),
            ids: None,
        })
    }

    /// Hands over what has finished and waits until it was sent. True only if all of it was taken,
    /// within `timeout`. For programs without Python, and threads that have no turn: it takes one.
    pub fn flush(self: &Arc<Self>, timeout: Duration) -> bool {
        let deadline = Instant::now() + timeout;
        let flush = self.begin_flush(turn::take().turn());
        self.end_flush(flush, deadline)
    }

    /// Hands over what has finished and lets it be sent.
    pub fn begin_flush(self: &Arc<Self>, turn: Turn<'_>) -> Flush {
        self.open_traces.hand_over_all(self, turn);
        Flush(self.worker.order(self, false))
    }

    /// Waits for what was begun. True only if all of it was taken, until `deadline`.
    pub fn end_flush(&self, flush: Flush, deadline: Instant) -> bool {
        self.worker.wait_for(flush.0, deadline)
    }

    /// True if all that was flushed was taken, None as long as that is open.
    pub fn flushed(&self, flush: Flush) -> Option<bool> {
        self.worker.outcome(flush.0)
    }

    /// Waits until what was handed over before was sent. Open traces keep what they have.
    pub fn drain(self: &Arc<Self>, timeout: Duration) -> bool {
        let drain = self.worker.order(self, false);
        self.worker.wait_for(drain, Instant::now() + timeout)
    }

    /// Ends the pipeline, but for the wait: what has finished goes to the worker, what is still open
    /// is abandoned, and nothing more is taken in.
    pub fn begin_shutdown(self: &Arc<Self>, turn: Turn<'_>, deadline: Instant) -> Flush {
        self.open_traces.hand_over_all(self, turn);
        self.store.reclaim_all(turn, |name| self.abandon(name));
        trace::forget_spare(turn);
        self.begin_close(turn, deadline)
    }

    /// The same where spans that are still open go on being recorded, though nobody will send them.
    pub fn begin_close(self: &Arc<Self>, turn: Turn<'_>, deadline: Instant) -> Flush {
        self.open_traces.hand_over_all(self, turn);
        self.closed.store(true, Ordering::Relaxed);
        Flush(self.worker.order_stop(self, deadline))
    }

    /// Waits for the end that was begun. True if everything was taken, until `deadline`.
    pub fn end_shutdown(self: &Arc<Self>, flush: Flush, deadline: Instant) -> bool {
        let sent = self.worker.stop(flush.0, deadline);
        // What is in the ring after the deadline is lost.
        self.drop_queued();
        sent
    }

    /// Lets the pipeline end by itself when its last open span has finished: another one has taken
    /// its place. What was flushed before is waited for until `deadline`.
    pub fn retire(self: &Arc<Self>, flush: Flush, deadline: Instant) {
        self.end_flush(flush, deadline);
        self.retired.store(true, Ordering::Relaxed);
        self.record_released();
    }

    /// After a record went back to the pool: a retired pipeline ends with its last open span.
    #[inline(always)]
    pub(crate) fn record_released(&self) {
        if self.retired.load(Ordering::Relaxed) {
            self.look_whether_over();
        }
    }

    #[cold]
    fn look_whether_over(&self) {
        if self.store.live() == 0 {
            self.worker.look();
        }
    }

    /// True when the pipeline was replaced and nothing of it is open or unsent.
    fn is_over(&self) -> bool {
        self.retired.load(Ordering::Relaxed) && self.store.live() == 0 && self.queue.spans() == 0
    }

    /// Before a fork: the worker ends as soon as it is not sending. To be followed by `resume`.
    pub fn rest(&self) {
        self.worker.rest();
    }

    /// After a fork, in the parent: the worker may start again.
    pub fn resume(&self) {
        self.worker.resume();
    }

    /// Starts the worker if something waits for it since before the fork.
    pub fn catch_up(self: &Arc<Self>) {
        self.worker.catch_up(self);
    }

    /// False where it neither [`Self::forgets`] nor has something to [`Self::keep`]: one look for both.
    #[inline(always)]
    pub(crate) fn is_special(&self) -> bool {
        self.is_special
    }

    /// True when finished spans are kept for nobody.
    pub fn forgets(&self) -> bool {
        self.settings.forgets
    }

    /// Counts a finished span that goes nowhere: by the decision on it, or because the pipeline
    /// forgets it.
    pub(crate) fn forget(&self, turn: Turn<'_>, unsampled: bool) {
        self.counters.finished.add(turn, 1);
        if unsampled {
            self.counters.dropped.add(Reason::Unsampled, 1);
        }
    }

    /// True when no new traces begin in it, or nothing more will be sent.
    #[inline]
    pub(crate) fn is_leaving(&self) -> bool {
        self.retired.load(Ordering::Relaxed) || self.is_closed()
    }

    /// True when nothing more will be sent.
    pub fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Relaxed)
    }

    /// True in a child process that inherited the pipeline by `fork`: its threads are gone, and
    /// its locks may be held for ever.
    #[inline(always)]
    pub fn is_inherited(&self) -> bool {
        self.epoch != sys::epoch()
    }

    /// How much one span may hold.
    pub fn limits(&self) -> &SpanLimits {
        &self.settings.limits
    }

    /// The sampler of tracers without one of their own.
    pub fn sampler(&self) -> &Sampler {
        &self.settings.sampler
    }

    /// What is known of the sampler's decisions.
    #[inline(always)]
    pub(crate) fn known(&self) -> Known {
        self.known
    }

    /// The rate that the sampler was made from, if it was made from one.
    pub fn sampling_rate(&self) -> Option<Ratio> {
        self.settings.sampling_rate
    }

    /// What all its spans share, as fields of `ResourceSpans`.
    pub fn resource(&self) -> &[u8] {
        &self.resource
    }

    /// What it counts.
    pub fn counters(&self) -> &Counters {
        &self.counters
    }

    /// What the user must know.
    pub fn notices(&self) -> &Notices {
        &self.notices
    }

    /// How many spans are open, finished and unsent, and their bytes; and the most that were ever
    /// finished and unsent.
    pub fn gauges(&self) -> (usize, usize, usize, usize) {
        (
            self.store.live(),
            self.queue.spans(),
            self.queue.bytes(),
            self.queue.high_water(),
        )
    }

    /// What the worker does: `not_started`, `running` or `stopped`.
    pub fn worker_state(&self) -> &'static str {
        self.worker.state()
    }

    /// The last failure of a way out.
    pub fn last_error(&self) -> Option<String> {
        self.worker.last_error()
    }

    pub(crate) fn clock(&self) -> &Clock {
        &self.settings.clock
    }

    pub(crate) fn late_sampling(&self) -> bool {
        self.settings.late_sampling
    }

    /// What is kept of that.
    #[inline]
    pub(crate) fn keep(&self) -> Option<&Keep> {
        self.settings.keep.as_deref()
    }

    pub(crate) fn max_batch_size(&self) -> usize {
        self.settings.queue.max_batch_size
    }

    /// The spans that a batch is sent with at once. At most half of what may wait: the worker may
    /// hold nearly a batch while the next one grows in the queue, which must not be full before it.
    pub(crate) fn full_batch_size(&self) -> usize {
        self.full_batch_size
    }

    pub(crate) fn max_coalescing_delay(&self) -> Duration {
        self.settings.queue.max_coalescing_delay
    }

    pub(crate) fn ids(&self) -> &Ids {
        &self.ids
    }

    pub(crate) fn store(&self) -> &Store {
        &self.store
    }

    /// Empty chunks.
    pub(crate) fn chunks(&self) -> &Chunks {
        &self.chunks
    }

    pub(crate) fn queue(&self) -> &Queue<Chunk> {
        &self.queue
    }

    pub(crate) fn open_traces(&self) -> &OpenTraces {
        &self.open_traces
    }

    /// Counts a span that nobody finished, and names it.
    pub(crate) fn abandon(&self, name: &str) {
        self.counters.abandoned.add(1);
        self.notices.leave_named("abandoned", name, || {
            format!("span {name:?} was never finished, and is not exported")
        });
    }

    /// Queues a chunk of so many spans, which are in the account already.
    #[inline(always)]
    pub(crate) fn enqueue(
        self: &Arc<Self>,
        turn: Option<Turn<'_>>,
        chunk: Box<Chunk>,
        spans: usize,
    ) {
        match self.queue.push(turn, chunk, spans) {
            Ok(is_filled) => self.wake_worker(is_filled),
            Err(chunk) => self.drop_chunk(&chunk, Reason::QueueFull),
        }
        if self.is_closed() {
            self.drop_what_came_late();
        }
    }

    /// The worker may have gone between the look at `closed` and the push.
    #[cold]
    fn drop_what_came_late(&self) {
        if self.worker.is_gone() {
            self.drop_queued();
        }
    }

    /// Drops what nobody will send any more.
    fn drop_queued(&self) {
        while let Some(chunk) = self.queue.pop(Chunk::spans) {
            self.drop_chunk(&chunk, Reason::Shutdown);
        }
    }

    /// Tells the worker that there is work, and starts it if this is the first.
    #[inline(always)]
    pub(crate) fn wake_worker(self: &Arc<Self>, urgent: bool) {
        self.worker.wake(self, urgent);
    }

    /// Drops a chunk whose spans are in the account.
    pub(crate) fn drop_chunk(&self, chunk: &Chunk, reason: Reason) {
        self.queue.release(chunk.spans(), chunk.bytes());
        self.counters.dropped.add(reason, chunk.spans());
    }

    /// The request that carries `chunks`.
    fn request(&self, chunks: &[Box<Chunk>]) -> Vec<u8> {
        encode::request(self.resource(), chunks)
    }

    /// The request that would carry a trace's waiting spans now.
    pub fn waiting_request(&self, turn: Turn<'_>, trace: &Trace) -> Vec<u8> {
        encode::waiting(self.resource(), &trace.waiting(turn))
    }
}
