//! The thread that sends. It never attaches to the interpreter, and nothing it touches holds a
//! Python object.

#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::Pipeline;
use super::config::Out;
use super::sender::{AtRest, Sender};
use crate::chunk::Chunk;
use crate::clock::Moment;
use crate::export::doorbell::Doorbell;
use crate::export::patience::Patience;
use crate::thread;

/// The worker as its pipeline holds it.
pub(super) struct Worker {
    doorbell: Doorbell,
    /// There is a thread now. Changed only with the orders locked.
    started: AtomicBool,
    orders: Mutex<Orders>,
    done: Condvar,
    patience: Patience,
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
                sender: AtRest::new(outs),
                batch: Batch::default(),
                drains: VecDeque::new(),
                seen: 0,
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
            orders: Mutex::new(orders),
            done: Condvar::new(),
            patience: Patience::default(),
        }
    }

    /// Rings, and starts the thread if there is none.
    #[inline(always)]
    pub(super) fn wake(&self, pipeline: &Arc<Pipeline>, urgent: bool) {
        // In this order: `catch_up` clears the bell and looks for work. A ring before that makes
        // the work visible to it, and after it this thread sees that there is no other.
        self.doorbell.ring(urgent);
        if !self.started.load(Ordering::Acquire) {
            self.start_now(pipeline);
        }
    }

    #[cold]
    fn start_now(&self, pipeline: &Arc<Pipeline>) {
        self.start(pipeline, &mut self.orders());
    }

    /// Tells the thread to end as soon as it is not sending: somebody is about to fork. What it
    /// works with is kept, and none starts until `resume`.
    pub(super) fn rest(&self) {
        let _orders = self.orders();
        self.patience.rest();
        self.doorbell.ring(true);
    }

    /// After `rest`, in the parent: a thread may start again. Call `catch_up` soon.
    pub(super) fn resume(&self) {
        let _orders = self.orders();
        self.patience.resume();
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

    /// True while somebody forks: the thread must end before the next thing that takes time. Changed
    /// only with the orders locked.
    fn must_rest(&self) -> bool {
        self.patience.must_rest()
    }

    /// Orders that everything queued before be sent, and the thread to end then if it shall `stop`.
    pub(super) fn order(&self, pipeline: &Arc<Pipeline>, stop: bool) -> Drain {
        // Both in one step: between them the worker could stop, and leave the drain undone.
        let mut orders = self.orders();
        orders.stop |= stop;
        if pipeline.queue().spans() > 0 {
            self.start(pipeline, &mut orders);
        }
        if orders.stopped || self.is_idle(pipeline, &orders) {
            return Drain::Over(pipeline.queue().is_empty());
        }
        orders.drains_wanted += 1;
        let ticket = orders.drains_wanted;
        drop(orders);
        self.doorbell.ring(true);
        Drain::Ordered(ticket)
    }

    /// Whether everything of an order was taken; None while that is open.
    pub(super) fn outcome(&self, drain: Drain) -> Option<bool> {
        self.orders().outcome(drain)
    }

    /// Waits for an order. True if everything was taken in time.
    pub(super) fn wait_for(&self, drain: Drain, deadline: Instant) -> bool {
        let orders = self.wait(deadline, |orders| orders.outcome(drain).is_some());
        orders.outcome(drain) == Some(true)
    }

    /// Orders that what is queued be sent until `deadline`, and the thread to end then.
    pub(super) fn order_stop(&self, pipeline: &Arc<Pipeline>, deadline: Instant) -> Drain {
        // A little earlier, so that what is given up then is counted when the caller goes on.
        let now = Instant::now();
        let left = deadline.saturating_duration_since(now);
        let to_count = (left / 4).min(TO_COUNT);
        self.patience.end_by(now + left.saturating_sub(to_count));
        self.order(pipeline, true)
    }

    /// Waits for the end of the thread. True if all was taken in time.
    pub(super) fn stop(&self, drain: Drain, deadline: Instant) -> bool {
        let sent = self.wait_for(drain, deadline);
        let unneeded = || matches!(drain, Drain::Over(_)) && !self.started.load(Ordering::Acquire);
        let mut orders = self.wait(deadline, |orders| orders.stopped || unneeded());
        if unneeded() {
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

    /// How long a way out may still take.
    pub(super) fn patience(&self) -> &Patience {
        &self.patience
    }

    /// Something was lost: every drain that is waited for has failed.
    pub(super) fn drains_failed(&self) {
        let mut orders = self.orders();
        if orders.drains_done < orders.drains_wanted {
            orders.drain_failed = orders.drains_wanted;
        }
    }

    pub(super) fn set_last_error(&self, text: String) {
        self.orders().last_error = Some(text);
    }

    pub(super) fn last_error(&self) -> Option<String> {
        self.orders().last_error.clone()
    }

    fn start(&self, pipeline: &Arc<Pipeline>, orders: &mut Orders) {
        if self.started.load(Ordering::Acquire) || self.must_rest() {
            return;
        }
        let Some(desk) = orders.desk.take() else {
            return;
        };
        let run = Run::new(Arc::clone(pipeline), desk);
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

/// How long before the end of a shutdown the ways out must be done.
const TO_COUNT: Duration = Duration::from_millis(100);

/// An order to send everything.
#[derive(Clone, Copy, Debug)]
pub(super) enum Drain {
    /// There is no worker to order: true if there was nothing to send.
    Over(bool),
    /// The number of the order.
    Ordered(u64),
}

impl Orders {
    fn outcome(&self, drain: Drain) -> Option<bool> {
        match drain {
            Drain::Over(sent) => Some(sent),
            Drain::Ordered(ticket) if self.drains_done >= ticket => {
                Some(self.drain_failed < ticket)
            }
            Drain::Ordered(_) => self.stopped.then_some(false),
        }
    }
}

/// What the thread works with, while there is none: what one that ended for a fork left to the
/// next.
struct Desk {
    sender: AtRest,
    batch: Batch,
    drains: VecDeque<Waiting>,
    seen: u64,
}

/// What the thread itself works with.
struct Run {
    pipeline: Arc<Pipeline>,
    sender: Sender,
    batch: Batch,
    drains: VecDeque<Waiting>,
    /// The last order to drain that was seen.
    seen: u64,
}

/// An order to drain, and how many batches were taken when it was seen.
struct Waiting {
    ticket: u64,
    batches: u64,
}

/// Chunks taken from the queue and not sent yet.
#[derive(Default)]
struct Batch {
    chunks: Vec<Box<Chunk>>,
    spans: usize,
    /// When the first of them was taken.
    since: Option<Instant>,
}

/// What comes after a turn.
enum Next {
    Turn,
    /// The thread ends, and another will go on.
    Rest,
    /// Nothing is left, nor will come.
    End,
}

impl Run {
    fn new(pipeline: Arc<Pipeline>, desk: Desk) -> Self {
        Self {
            sender: desk.sender.wake(Arc::clone(&pipeline)),
            batch: desk.batch,
            drains: desk.drains,
            seen: desk.seen,
            pipeline,
        }
    }

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
                        orders.desk = Some(self.rest());
                        worker.started.store(false, Ordering::Release);
                        return;
                    }
                }
                ended => break ended,
            }
        };
        pipeline.closed.store(true, Ordering::Relaxed);
        self.sender.give_up();
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

    fn rest(self) -> Desk {
        Desk {
            sender: self.sender.rest(),
            batch: self.batch,
            drains: self.drains,
            seen: self.seen,
        }
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
        let (ticket, stop) = {
            let orders = worker.orders();
            (orders.drains_wanted, orders.stop)
        };
        if ticket > self.seen || stop {
            self.take_all();
        }
        if ticket > self.seen {
            self.seen = ticket;
            let batches = self.sender.taken();
            self.drains.push_back(Waiting { ticket, batches });
            self.sender.hurry();
        }
        let delay = pipeline.settings.queue.max_coalescing_delay;
        let next_open = pipeline.open_traces.hand_over_overdue(&pipeline, delay);
        let next_batch = self.send_due(delay);
        let next_try = self.sender.work();
        self.drained();
        let ended = stop && (self.sender.is_done() || worker.patience.is_over());
        if ended || pipeline.is_over() {
            return Next::End;
        }
        // With a time set only urgent rings wake. While one way out waits for its next try, another
        // must not wait with it: what comes meanwhile falls due after `delay`.
        let next_look = next_try.filter(|_| self.sender.is_free());
        let next_look = next_look.map(|_| Instant::now() + delay);
        let end = worker.patience.end();
        let next = [next_open, next_batch, next_try, next_look, end];
        worker.doorbell.sleep(next.into_iter().flatten().min());
        Next::Turn
    }

    /// Gives full batches to the ways out, and the rest once its oldest span has waited for
    /// `delay`; says when that will be.
    fn send_due(&mut self, delay: Duration) -> Option<Instant> {
        self.sender.work();
        while self.sender.is_free() {
            if !self.fill() {
                let left = delay.saturating_sub(self.batch.waited()?);
                if !left.is_zero() {
                    return Some(Instant::now() + left);
                }
            }
            self.take();
            self.sender.work();
        }
        None
    }

    /// Gives everything queued so far to the ways out.
    fn take_all(&mut self) {
        loop {
            let more = self.fill();
            if !self.batch.chunks.is_empty() {
                self.take();
            }
            if !more {
                return;
            }
        }
    }

    /// Gives as much of the batch to the ways out as one export may hold.
    fn take(&mut self) {
        let mut chunks = self.batch.take(self.pipeline.full_batch_size());
        for chunk in &mut chunks {
            chunk.mark();
        }
        self.sender.take(&chunks);
        self.pipeline.chunks().give_back(chunks.into_iter());
    }

    /// Tells those who wait for batches that are done with.
    fn drained(&mut self) {
        let done = self.sender.done();
        let mut orders = self.pipeline.worker.orders();
        while self
            .drains
            .front()
            .is_some_and(|drain| drain.batches <= done)
        {
            orders.drains_done = self.drains.pop_front().map_or(0, |drain| drain.ticket);
            self.pipeline.worker.done.notify_all();
        }
    }

    /// Takes chunks until the batch is full: true, or the queue is empty: false.
    fn fill(&mut self) -> bool {
        let max = self.pipeline.full_batch_size();
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
}

impl Batch {
    /// How long the oldest of its spans has waited; None when it is empty.
    fn waited(&self) -> Option<Duration> {
        let now = Moment::now();
        let chunks = self.chunks.iter().filter(|chunk| chunk.since_ns > 0);
        let waited = chunks.map(|chunk| now.since(chunk.since_ns));
        let since = self.since.map(|since| now.at.duration_since(since));
        waited.chain(since).max()
    }

    /// The oldest chunks, at most `max` spans of them; the first in any case.
    fn take(&mut self, max: usize) -> Vec<Box<Chunk>> {
        let mut spans = 0;
        let fits = self.chunks.iter().take_while(|chunk| {
            spans += chunk.spans();
            spans <= max
        });
        let count = fits.count().max(1);
        let rest = self.chunks.split_off(count.min(self.chunks.len()));
        let taken = std::mem::replace(&mut self.chunks, rest);
        self.spans -= taken.iter().map(|chunk| chunk.spans()).sum::<usize>();
        if self.chunks.is_empty() {
            self.since = None;
        }
        taken
    }
}
