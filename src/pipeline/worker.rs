//! The thread that sends. It never attaches to the interpreter, and nothing it touches holds a
//! Python object.

use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, TryLockError};
use std::time::{Duration, Instant};

use super::Pipeline;
use super::config::Out;
use crate::chunk::Chunk;
use crate::counter::Reason;
use crate::export::doorbell::Doorbell;
use crate::thread;

/// The worker as its pipeline holds it.
pub(super) struct Worker {
    doorbell: Doorbell,
    /// There is a thread now. Changed only with the orders locked.
    started: AtomicBool,
    /// Forks under way, for which the thread rests. Changed only with the orders locked.
    forks: AtomicUsize,
    orders: Mutex<Orders>,
    done: Condvar,
}

/// What the application asked for, and how far the worker is.
struct Orders {
    /// What the thread works with, while there is none; None also once it will never be needed.
    desk: Option<Desk>,
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
            desk: Some(Desk {
                outs,
                batch: Batch::default(),
            }),
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
            forks: AtomicUsize::new(0),
            orders: Mutex::new(orders),
            done: Condvar::new(),
        }
    }

    /// Rings, and starts the thread if there is none.
    pub(super) fn wake(&self, pipeline: &Arc<Pipeline>, urgent: bool) {
        // In this order: `catch_up` clears the bell and looks for work. A ring before that makes
        // the work visible to it, and after it this thread sees that there is no other.
        self.doorbell.ring(urgent);
        if !self.started.load(Ordering::Acquire) {
            self.start(pipeline, &mut self.orders());
        }
    }

    /// Tells the thread to end as soon as it is not sending: somebody is about to fork. What it
    /// works with is kept, and none starts until `resume`.
    pub(super) fn rest(&self) {
        let _orders = self.orders();
        self.forks.fetch_add(1, Ordering::Relaxed);
        self.doorbell.ring(true);
    }

    /// After `rest`, in the parent: a thread may start again. Call `catch_up` soon.
    pub(super) fn resume(&self) {
        let _orders = self.orders();
        self.forks.fetch_sub(1, Ordering::Relaxed);
    }

    /// Starts the thread if something waits for it since before a fork.
    pub(super) fn catch_up(&self, pipeline: &Arc<Pipeline>) {
        let mut orders = self.orders();
        if self.started.load(Ordering::Acquire) {
            return;
        }
        self.doorbell.clear();
        let drains = orders.drains_wanted > orders.drains_done;
        if drains || orders.stop || pipeline.queue().spans() > 0 {
            self.start(pipeline, &mut orders);
        }
    }

    /// True while somebody forks: the thread must end before the next thing that takes time.
    fn must_rest(&self) -> bool {
        self.forks.load(Ordering::Relaxed) > 0
    }

    /// Waits until everything queued before was sent. True if all of it was taken in time.
    pub(super) fn drain(&self, pipeline: &Arc<Pipeline>, deadline: Instant) -> bool {
        self.drain_and(pipeline, deadline, false)
    }

    fn drain_and(&self, pipeline: &Arc<Pipeline>, deadline: Instant, stop: bool) -> bool {
        // Both orders in one step: between them the worker could stop, and leave the drain undone.
        let mut orders = self.orders();
        orders.stop |= stop;
        if pipeline.queue().spans() > 0 {
            self.start(pipeline, &mut orders);
        }
        if orders.stopped || self.is_idle(pipeline, &orders) {
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
        let mut orders = self.wait(deadline, |orders| {
            orders.stopped || self.is_idle(pipeline, orders)
        });
        if self.is_idle(pipeline, &orders) {
            orders.desk = None;
            return sent;
        }
        orders.stopped && sent
    }

    /// True when there is no thread, nor work that waits for the end of a fork.
    fn is_idle(&self, pipeline: &Pipeline, orders: &Orders) -> bool {
        let waiting = self.must_rest() && orders.desk.is_some() && pipeline.queue().spans() > 0;
        !self.started.load(Ordering::Acquire) && !waiting
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
        orders.stopped || (orders.desk.is_none() && !self.started.load(Ordering::Acquire))
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

    /// Keeps the ways out from ever being closed here. False when somebody had locked them when the
    /// process forked, and will not unlock them.
    pub(super) fn forget_ways_out(&self) -> bool {
        let orders = match self.orders.try_lock() {
            Ok(orders) => Some(orders),
            Err(TryLockError::Poisoned(poisoned)) => Some(poisoned.into_inner()),
            Err(TryLockError::WouldBlock) => None,
        };
        let taken = orders.map(|mut orders| std::mem::forget(orders.desk.take()));
        taken.is_some()
    }

    fn start(&self, pipeline: &Arc<Pipeline>, orders: &mut Orders) {
        if self.started.load(Ordering::Acquire) || self.must_rest() {
            return;
        }
        let Some(desk) = orders.desk.take() else {
            return;
        };
        let run = Run {
            pipeline: Arc::clone(pipeline),
            desk,
        };
        match thread::spawn(move || run.run()) {
            Ok(()) => self.started.store(true, Ordering::Release),
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

/// The thread.
struct Run {
    pipeline: Arc<Pipeline>,
    desk: Desk,
}

/// What the thread works with, and leaves to the next one when it ends for a fork.
struct Desk {
    outs: Vec<Out>,
    batch: Batch,
}

/// What comes after a turn.
enum Next {
    Turn,
    /// The thread ends, and another will go on.
    Rest,
    /// Nothing is left, nor will come.
    End,
}

/// Chunks taken from the queue and not sent yet.
#[derive(Default)]
struct Batch {
    chunks: Vec<Chunk>,
    spans: usize,
}

impl Run {
    fn run(mut self) {
        let pipeline = Arc::clone(&self.pipeline);
        let worker = &pipeline.worker;
        let ended = loop {
            // A panic must not leave a flush waiting, nor a queue filling in silence.
            let work = std::panic::AssertUnwindSafe(|| self.work());
            match std::panic::catch_unwind(work) {
                Ok(Next::Rest) => {
                    let mut orders = worker.orders();
                    if worker.must_rest() {
                        orders.desk = Some(self.desk);
                        worker.started.store(false, Ordering::Release);
                        return;
                    }
                }
                ended => break ended,
            }
        };
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

    /// Takes turns until the thread must end; says why.
    fn work(&mut self) -> Next {
        loop {
            match self.turn() {
                Next::Turn => (),
                end => return end,
            }
        }
    }

    /// Does what is due and sleeps until there is more.
    fn turn(&mut self) -> Next {
        let pipeline = Arc::clone(&self.pipeline);
        let worker = &pipeline.worker;
        worker.doorbell.clear();
        if worker.must_rest() {
            return Next::Rest;
        }
        let (ticket, draining, stop) = {
            let orders = worker.orders();
            let ticket = orders.drains_wanted;
            (ticket, ticket > orders.drains_done, orders.stop)
        };
        if draining || stop {
            let (sent, all) = self.send_all();
            let mut orders = worker.orders();
            if !sent {
                orders.drain_failed = ticket;
            }
            if !all {
                return Next::Rest;
            }
            orders.drains_done = ticket;
            worker.done.notify_all();
            return if stop { Next::End } else { Next::Turn };
        }
        let delay = pipeline.settings.queue.max_coalescing_delay;
        let next_open = pipeline.open_traces.hand_over_overdue(delay);
        let next_batch = self.send_due(delay);
        if pipeline.is_over() {
            return Next::End;
        }
        let next = [next_open, next_batch].into_iter().flatten().min();
        worker.doorbell.sleep(next);
        Next::Turn
    }

    /// Sends full batches, and the rest once its oldest span has waited for `delay`; says when
    /// that will be.
    fn send_due(&mut self, delay: Duration) -> Option<Instant> {
        while self.fill() {
            if self.pipeline.worker.must_rest() {
                return None;
            }
            self.send();
        }
        let oldest = self
            .desk
            .batch
            .chunks
            .iter()
            .map(super::super::chunk::Chunk::since)
            .min()?;
        let due = oldest + delay;
        if due > Instant::now() {
            return Some(due);
        }
        self.send();
        None
    }

    /// Sends everything queued so far, unless it must rest before. Says whether all that was sent
    /// was taken, and whether that was everything.
    fn send_all(&mut self) -> (bool, bool) {
        let mut sent = true;
        loop {
            let more = self.fill();
            if self.pipeline.worker.must_rest() {
                return (sent, false);
            }
            if !self.desk.batch.chunks.is_empty() {
                sent &= self.send();
            }
            if !more {
                return (sent, true);
            }
        }
    }

    /// Takes chunks until the batch is full: true, or the queue is empty: false.
    fn fill(&mut self) -> bool {
        let max = self.pipeline.max_batch_size();
        while self.desk.batch.spans < max {
            let Some(chunk) = self.pipeline.queue.pop(super::super::chunk::Chunk::spans) else {
                return false;
            };
            self.desk.batch.spans += chunk.spans();
            self.desk.batch.chunks.push(chunk);
        }
        true
    }

    /// Sends as much of the batch as one export may hold; true if every way out took it.
    fn send(&mut self) -> bool {
        let chunks = self.desk.batch.take(self.pipeline.max_batch_size());
        let request = self.pipeline.request(&chunks);
        let (spans, bytes) = (total(&chunks, Chunk::spans), total(&chunks, Chunk::bytes));
        drop(chunks);
        let mut sent = true;
        for out in &mut self.desk.outs {
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
        taken
    }
}

fn total(chunks: &[Chunk], measure: fn(&Chunk) -> usize) -> usize {
    chunks.iter().map(measure).sum()
}
