//! The thread that sends. It never attaches to the interpreter, and nothing it touches holds a
//! Python object.

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::Pipeline;
use super::config::Out;
use crate::chunk::Chunk;
use crate::counter::Reason;
use crate::export::doorbell::Doorbell;
use crate::sys;

/// The worker as its pipeline holds it.
pub(super) struct Worker {
    doorbell: Doorbell,
    started: AtomicBool,
    orders: Mutex<Orders>,
    done: Condvar,
}

/// What the application asked for, and how far the worker is.
struct Orders {
    /// The ways out, until the worker takes them.
    outs: Option<Vec<Out>>,
    /// Drains asked for, done, and the last that left something unsent.
    drains_wanted: u64,
    drains_done: u64,
    drain_failed: u64,
    stop: bool,
    stopped: bool,
    last_error: Option<String>,
}

impl Worker {
    pub(super) fn new(outs: Vec<Out>) -> Self {
        let orders = Orders {
            outs: Some(outs),
            drains_wanted: 0,
            drains_done: 0,
            drain_failed: 0,
            stop: false,
            stopped: false,
            last_error: None,
        };
        Self {
            doorbell: Doorbell::default(),
            started: AtomicBool::new(false),
            orders: Mutex::new(orders),
            done: Condvar::new(),
        }
    }

    /// Rings, and starts the thread if there is none yet.
    pub(super) fn wake(&self, pipeline: &Arc<Pipeline>, urgent: bool) {
        if !self.started.load(Ordering::Acquire) {
            self.start(pipeline);
        }
        self.doorbell.ring(urgent);
    }

    /// Waits until everything queued before was sent. True if all of it was taken in time.
    pub(super) fn drain(&self, pipeline: &Arc<Pipeline>, deadline: Instant) -> bool {
        self.drain_and(pipeline, deadline, false)
    }

    fn drain_and(&self, pipeline: &Arc<Pipeline>, deadline: Instant, stop: bool) -> bool {
        // Both orders in one step: between them the worker could stop, and leave the drain undone.
        let mut orders = self.orders();
        orders.stop |= stop;
        if !self.started.load(Ordering::Acquire) || orders.stopped {
            return pipeline.queue().is_empty();
        }
        orders.drains_wanted += 1;
        let ticket = orders.drains_wanted;
        drop(orders);
        self.doorbell.ring(true);
        let orders = self.wait(deadline, |orders| {
            orders.drains_done >= ticket || orders.stopped
        });
        orders.drains_done >= ticket && orders.drain_failed < ticket
    }

    /// Sends what is queued and ends the thread. True if all was taken in time.
    pub(super) fn stop(&self, pipeline: &Arc<Pipeline>, deadline: Instant) -> bool {
        let sent = self.drain_and(pipeline, deadline, true);
        if self.started.load(Ordering::Acquire) {
            self.wait(deadline, |orders| orders.stopped).stopped && sent
        } else {
            self.orders().outs = None;
            sent
        }
    }

    /// Lets the thread look whether it is needed any more.
    pub(super) fn look(&self) {
        if self.started.load(Ordering::Acquire) {
            self.doorbell.ring(true);
        }
    }

    /// True when nobody takes chunks from the queue any more, nor ever will.
    pub(super) fn is_gone(&self) -> bool {
        let orders = self.orders();
        orders.stopped || (orders.outs.is_none() && !self.started.load(Ordering::Acquire))
    }

    pub(super) fn state(&self) -> &'static str {
        match (self.started.load(Ordering::Acquire), self.orders().stopped) {
            (_, true) => "stopped",
            (true, false) => "running",
            (false, false) => "not_started",
        }
    }

    pub(super) fn last_error(&self) -> Option<String> {
        self.orders().last_error.clone()
    }

    fn start(&self, pipeline: &Arc<Pipeline>) {
        let mut orders = self.orders();
        if self.started.load(Ordering::Acquire) {
            return;
        }
        let Some(outs) = orders.outs.take() else {
            return;
        };
        let mut run = Run {
            pipeline: Arc::clone(pipeline),
            outs,
            batch: Batch::default(),
        };
        let thread = std::thread::Builder::new().name("nanospan-worker".to_owned());
        match thread.spawn(move || run.run()) {
            Ok(_) => self.started.store(true, Ordering::Release),
            Err(error) => {
                // `enqueue` drops what waits once it sees this.
                orders.stopped = true;
                orders.last_error = Some(error.to_string());
                pipeline.closed.store(true, Ordering::Relaxed);
                pipeline.notices.leave("worker", || {
                    format!(
                        "no thread for the exporters could be started, spans are dropped: {error}"
                    )
                });
            }
        }
    }

    fn orders(&self) -> MutexGuard<'_, Orders> {
        self.orders.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait(&self, deadline: Instant, ready: impl Fn(&Orders) -> bool) -> MutexGuard<'_, Orders> {
        let mut orders = self.orders();
        while !ready(&orders) {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            let waited = self.done.wait_timeout(orders, left);
            orders = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        orders
    }
}

impl fmt::Debug for Worker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Worker")
            .field("state", &self.state())
            .finish_non_exhaustive()
    }
}

/// What the thread itself works with.
struct Run {
    pipeline: Arc<Pipeline>,
    outs: Vec<Out>,
    batch: Batch,
}

/// Chunks taken from the queue and not sent yet.
#[derive(Default)]
struct Batch {
    chunks: Vec<Chunk>,
    spans: usize,
    /// When the first of them was taken.
    since: Option<Instant>,
}

impl Run {
    fn run(&mut self) {
        sys::mask_signals();
        let pipeline = Arc::clone(&self.pipeline);
        let worker = &pipeline.worker;
        // A panic must not leave a flush waiting, nor a queue filling in silence.
        let ended = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| while self.turn() {}));
        pipeline.closed.store(true, Ordering::Relaxed);
        let mut orders = worker.orders();
        if ended.is_err() {
            orders.last_error = Some("the worker stopped by a defect of nanospan".to_owned());
            pipeline.notices.leave("worker", || {
                "the worker stopped by a defect of nanospan".to_owned()
            });
        }
        orders.stopped = true;
        if ended.is_ok() {
            // It ended because nothing was left: also a drain asked for meanwhile has what it wants.
            orders.drains_done = orders.drains_wanted;
        }
        worker.done.notify_all();
        drop(orders);
        pipeline.drop_queued();
    }

    /// Does what is due and sleeps until there is more. False when the thread must end.
    fn turn(&mut self) -> bool {
        let pipeline = Arc::clone(&self.pipeline);
        let worker = &pipeline.worker;
        worker.doorbell.clear();
        let (ticket, draining, stop) = {
            let orders = worker.orders();
            let ticket = orders.drains_wanted;
            (ticket, ticket > orders.drains_done, orders.stop)
        };
        if draining || stop {
            let sent = self.send_all();
            let mut orders = worker.orders();
            if !sent {
                orders.drain_failed = ticket;
            }
            orders.drains_done = ticket;
            worker.done.notify_all();
            return !stop;
        }
        let delay = pipeline.settings.queue.max_coalescing_delay;
        let next_open = pipeline.open_traces.hand_over_overdue(delay);
        let next_batch = self.send_due(delay);
        if pipeline.is_over() {
            return false;
        }
        let next = [next_open, next_batch].into_iter().flatten().min();
        worker.doorbell.sleep(next);
        true
    }

    /// Sends full batches, and the rest once its oldest span has waited for `delay`; says when
    /// that will be.
    fn send_due(&mut self, delay: Duration) -> Option<Instant> {
        while self.fill() {
            self.send();
        }
        let waited = self.batch.chunks.iter().filter_map(Chunk::since);
        let due = waited.chain(self.batch.since).min()? + delay;
        if due > Instant::now() {
            return Some(due);
        }
        self.send();
        None
    }

    /// Sends everything queued so far; true if all was taken.
    fn send_all(&mut self) -> bool {
        let mut sent = true;
        loop {
            let more = self.fill();
            if !self.batch.chunks.is_empty() {
                sent &= self.send();
            }
            if !more {
                return sent;
            }
        }
    }

    /// Takes chunks until the batch is full: true, or the queue is empty: false.
    fn fill(&mut self) -> bool {
        let max = self.pipeline.max_batch_size();
        while self.batch.spans < max {
            let Some(chunk) = self.pipeline.queue.pop(Chunk::spans) else {
                return false;
            };
            self.batch.since.get_or_insert_with(Instant::now);
            self.batch.spans += chunk.spans();
            self.batch.chunks.push(chunk);
        }
        true
    }

    /// Sends as much of the batch as one export may hold; true if every way out took it.
    fn send(&mut self) -> bool {
        let chunks = self.batch.take(self.pipeline.max_batch_size());
        let request = self.pipeline.request(&chunks);
        let (spans, bytes) = (total(&chunks, Chunk::spans), total(&chunks, Chunk::bytes));
        drop(chunks);
        let mut sent = true;
        for out in &mut self.outs {
            // A defect in one drawing must not end the sending of all that follow.
            let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
                out.way.send(&(out.bytes)(request.clone()))
            }))
            .unwrap_or_else(|_| Err(std::io::Error::other("a defect of nanospan")));
            if let Err(error) = result {
                sent = false;
                let text = format!("{}: {error}", out.name);
                self.pipeline
                    .notices
                    .leave(&out.name, || format!("spans were not exported: {text}"));
                self.pipeline.worker.orders().last_error = Some(text);
            }
        }
        self.pipeline.queue.release(spans, bytes);
        if sent {
            self.pipeline.counters.sent.add(spans);
        } else {
            self.pipeline
                .counters
                .dropped
                .add(Reason::ExportFailed, spans);
        }
        sent
    }
}

impl Batch {
    /// The oldest chunks, at most `max` spans of them; the first in any case.
    fn take(&mut self, max: usize) -> Vec<Chunk> {
        let mut spans = 0;
        let fits = self.chunks.iter().take_while(|chunk| {
            spans += chunk.spans();
            spans <= max
        });
        let count = fits.count().max(1);
        let rest = self.chunks.split_off(count.min(self.chunks.len()));
        let taken = std::mem::replace(&mut self.chunks, rest);
        self.spans -= total(&taken, Chunk::spans);
        if self.chunks.is_empty() {
            self.since = None;
        }
        taken
    }
}

fn total(chunks: &[Chunk], measure: fn(&Chunk) -> usize) -> usize {
    chunks.iter().map(measure).sum()
}
