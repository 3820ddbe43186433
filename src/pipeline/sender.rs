//! The ways out, and what each of them has still to take. One that fails and tries again does not
//! hold up the others.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;

use super::Pipeline;
use super::config::Out;
use crate::chunk::Chunk;
use crate::counter::Reason;
use crate::export::retry::{LONGEST_AGE, Retry};
use crate::export::{Again, Failure, Reply};
use crate::otlp::answer;

/// What the worker has taken from the queue, on its way out.
pub(super) struct Sender {
    pipeline: Arc<Pipeline>,
    lanes: Vec<Lane>,
    /// Batches that some way out is not done with, oldest first.
    parcels: VecDeque<Parcel>,
    /// How many batches came before these.
    done: u64,
}

/// One way out.
struct Lane {
    out: Out,
    /// The number of the batch that it takes next.
    next: u64,
    /// That batch as this way out wants it, kept for the next try.
    bytes: Option<Bytes>,
    retry: Retry,
}

impl Lane {
    fn new(out: Out) -> Self {
        Self {
            out,
            next: 0,
            bytes: None,
            retry: Retry::default(),
        }
    }
}

/// A batch, and what became of it so far.
struct Parcel {
    made: Instant,
    request: Bytes,
    spans: usize,
    bytes: usize,
    lost: Option<Reason>,
    /// The most spans that one way out took and the other side did not.
    rejected: usize,
}

/// The same while nobody sends. It does not keep its pipeline alive, which keeps it.
pub(super) struct AtRest {
    lanes: Vec<Lane>,
    parcels: VecDeque<Parcel>,
    done: u64,
}

impl AtRest {
    pub(super) fn new(outs: Vec<Out>) -> Self {
        Self {
            lanes: outs.into_iter().map(Lane::new).collect(),
            parcels: VecDeque::new(),
            done: 0,
        }
    }

    /// Another way out, before the others.
    #[cfg(test)]
    pub(super) fn put_first(&mut self, out: Out) {
        self.lanes.insert(0, Lane::new(out));
    }

    pub(super) fn wake(self, pipeline: Arc<Pipeline>) -> Sender {
        Sender {
            pipeline,
            lanes: self.lanes,
            parcels: self.parcels,
            done: self.done,
        }
    }
}

impl Sender {
    /// Stops for a fork, after which somebody else goes on.
    pub(super) fn rest(mut self) -> AtRest {
        self.lanes.iter_mut().for_each(|lane| lane.out.way.rest());
        AtRest {
            lanes: self.lanes,
            parcels: self.parcels,
            done: self.done,
        }
    }

    /// Takes a batch. Its spans stay in the queue's account until every way out is done with it.
    pub(super) fn take(&mut self, chunks: &[Box<Chunk>]) {
        self.parcels.push_back(Parcel {
            made: Instant::now(),
            request: self.pipeline.request(chunks).into(),
            spans: chunks.iter().map(|chunk| chunk.spans()).sum(),
            bytes: chunks.iter().map(|chunk| chunk.bytes()).sum(),
            lost: None,
            rejected: 0,
        });
        // Where there is no way out, all of them are done with it.
        self.settle();
        self.make_room();
    }

    /// How many batches were taken.
    pub(super) fn taken(&self) -> u64 {
        self.done + self.parcels.len() as u64
    }

    /// How many of them every way out is done with.
    pub(super) fn done(&self) -> u64 {
        self.done
    }

    /// True when every way out is done with all of them.
    pub(super) fn is_done(&self) -> bool {
        self.parcels.is_empty()
    }

    /// True when some way out has nothing to do. Until then, what comes is better off in the queue:
    /// there it grows to full batches.
    pub(super) fn is_free(&self) -> bool {
        self.lanes.is_empty() || self.lanes.iter().any(|lane| lane.next == self.taken())
    }

    /// Sends what is due; says when the next try will be.
    pub(super) fn work(&mut self) -> Option<Instant> {
        for index in 0..self.lanes.len() {
            while self.step(index) {}
        }
        let taken = self.taken();
        let waiting = self.lanes.iter().filter(|lane| lane.next < taken);
        waiting.filter_map(|lane| lane.retry.due()).min()
    }

    /// Somebody waits: what failed is tried again soon.
    pub(super) fn hurry(&mut self) {
        self.lanes.iter_mut().for_each(|lane| lane.retry.hurry());
    }

    /// Drops what is left.
    pub(super) fn give_up(&mut self) {
        (0..self.lanes.len()).for_each(|index| self.give_up_lane(index));
        self.settle();
    }

    fn give_up_lane(&mut self, index: usize) {
        while self.lose(index, Reason::Shutdown, "the time to send was over") {}
    }

    /// Drops the next batch of one way out, if there is one.
    fn lose(&mut self, index: usize, reason: Reason, why: &str) -> bool {
        let lane = &mut self.lanes[index];
        let Some(parcel) = self.parcels.get_mut((lane.next - self.done) as usize) else {
            return false;
        };
        let name = &lane.out.name;
        let text = || format!("spans were not exported: {name}: {why}");
        self.pipeline.notices.leave(name, text);
        let tried = lane.bytes.is_some();
        let reason = if tried { Reason::ExportFailed } else { reason };
        parcel.lost.get_or_insert(reason);
        lane.go_on();
        true
    }

    /// Where one way out fails and another does not, what waits for the first must leave room in
    /// the queue for what goes to the second.
    fn make_room(&mut self) {
        while self.pipeline.queue.is_half_full()
            && self.lanes.iter().any(|lane| lane.next > self.done)
        {
            for index in 0..self.lanes.len() {
                if self.lanes[index].next == self.done {
                    self.lose(index, Reason::ExportFailed, "too many spans wait");
                }
            }
            self.settle();
        }
    }

    /// Sends one batch on one way out; false when nothing is due there.
    fn step(&mut self, index: usize) -> bool {
        let lane = &self.lanes[index];
        let now = Instant::now();
        if self.pipeline.worker.patience().must_rest() {
            return false;
        }
        let due = lane.retry.due().map_or(now, |due| due.max(now));
        let tried = lane.bytes.is_some();
        if (due > now || tried) && self.is_too_late(due) {
            self.give_up_lane(index);
            self.settle();
            return false;
        }
        if due > now {
            return false;
        }
        let lane = &mut self.lanes[index];
        let Some(parcel) = self.parcels.get_mut((lane.next - self.done) as usize) else {
            return false;
        };
        match lane.send(&self.pipeline, &parcel.request) {
            Ok(reply) => {
                let rejected = lane.rejected(&self.pipeline, &reply, parcel.spans);
                parcel.rejected = parcel.rejected.max(rejected);
                lane.retry.succeeded();
                lane.go_on();
            }
            Err(failure) if failure.again == Again::AfterFork => return false,
            Err(failure) => {
                if self.failed(index, failure) {
                    return false;
                }
            }
        }
        self.settle();
        true
    }

    /// True if the batch is to be tried again; else it is lost.
    fn failed(&mut self, index: usize, failure: Failure) -> bool {
        let asked = match failure.again {
            Again::Never => {
                self.fail(index, failure);
                return false;
            }
            Again::After(pause) => Some(pause),
            Again::Later | Again::Absent | Again::AfterFork => None,
        };
        let lane = &mut self.lanes[index];
        let due = lane.retry.failed(asked, Instant::now(), random());
        // The program is about to end: it does not wait for nobody, nor past its end.
        let ending = self.pipeline.worker.patience().end().is_some();
        if (ending && failure.again == Again::Absent) || self.is_too_late(due) {
            self.fail(index, failure);
            self.give_up_lane(index);
            return false;
        }
        let is_old = |parcel: &Parcel| due > parcel.made + LONGEST_AGE;
        if self.waiting(index).is_some_and(is_old) {
            self.fail(index, failure);
            // What waited behind it is not tried just to fail once more.
            while self.waiting(index).is_some_and(is_old) {
                self.lose(index, Reason::ExportFailed, "too old");
            }
            return false;
        }
        let why = self.keep_error(index, &failure);
        // A collector that starts anew is gone for seconds: that is worth no word.
        let parcel = self.waiting(index);
        if parcel.is_some_and(|parcel| parcel.made.elapsed() >= WORTH_A_WORD) {
            let name = &self.lanes[index].out.name;
            let late = || format!("spans are not exported yet: {name}: {why}; it is tried again");
            self.pipeline.notices.leave(name, late);
        }
        true
    }

    /// The batch that a way out takes next.
    fn waiting(&self, index: usize) -> Option<&Parcel> {
        let next = self.lanes[index].next - self.done;
        self.parcels.get(next as usize)
    }

    /// Drops the batch that failed.
    fn fail(&mut self, index: usize, failure: Failure) {
        let why = self.keep_error(index, &failure);
        self.lose(index, Reason::ExportFailed, &why);
    }

    /// Says what went wrong, and keeps it for those who ask.
    fn keep_error(&self, index: usize, failure: &Failure) -> String {
        let Failure { why, reply, .. } = failure;
        let reason = answer::reason(&reply.content_type, &reply.body);
        let colon = if reason.is_empty() { "" } else { ": " };
        let why = format!("{why}{colon}{reason}");
        let name = &self.lanes[index].out.name;
        self.pipeline
            .worker
            .set_last_error(format!("{name}: {why}"));
        why
    }

    fn is_too_late(&self, due: Instant) -> bool {
        let end = self.pipeline.worker.patience().end();
        end.is_some_and(|end| due > end)
    }

    /// Takes out of the account what every way out is done with.
    fn settle(&mut self) {
        let (pipeline, done) = (&self.pipeline, &mut self.done);
        while self.lanes.iter().all(|lane| lane.next > *done) {
            let Some(parcel) = self.parcels.pop_front() else {
                return;
            };
            let Parcel { spans, bytes, .. } = parcel;
            *done += 1;
            pipeline.queue.release(spans, bytes);
            let dropped = &pipeline.counters.dropped;
            if let Some(reason) = parcel.lost {
                dropped.add(reason, spans);
            } else {
                pipeline.counters.sent.add(spans - parcel.rejected);
                dropped.add(Reason::Rejected, parcel.rejected);
            }
            if parcel.lost.is_some() || parcel.rejected > 0 {
                pipeline.worker.drains_failed();
            }
        }
    }
}

impl Lane {
    fn send(&mut self, pipeline: &Pipeline, request: &Bytes) -> Result<Reply, Failure> {
        let (out, patience) = (&mut self.out, pipeline.worker.patience());
        // A defect in one drawing must not end the sending of all that follow.
        catch_unwind(AssertUnwindSafe(|| {
            let bytes = self
                .bytes
                .get_or_insert_with(|| (out.bytes)(request.clone()));
            out.way.send(bytes, patience)
        }))
        .unwrap_or_else(|_| Err(Failure::new("a defect of nanospan", Again::Never)))
    }

    fn go_on(&mut self) {
        self.next += 1;
        self.bytes = None;
    }

    /// How many spans of a batch that was taken the other side refused.
    fn rejected(&self, pipeline: &Pipeline, reply: &Reply, spans: usize) -> usize {
        let Some(said) = answer::partial_success(&reply.content_type, &reply.body) else {
            return 0;
        };
        let (name, message) = (&self.out.name, answer::line(&said.error_message));
        let rejected = usize::try_from(said.rejected_spans).map_or(0, |said| said.min(spans));
        if rejected == 0 {
            let text = || format!("{name} took the spans and says: {message}");
            pipeline.notices.leave(&format!("{name} says"), text);
        } else {
            let text = format!("{name} rejected {rejected} of {spans} spans: {message}");
            pipeline
                .notices
                .leave(&format!("{name} rejected"), || text.clone());
            pipeline.worker.set_last_error(text);
        }
        rejected
    }
}

/// How long a batch is tried before the log says so.
const WORTH_A_WORD: Duration = Duration::from_secs(5);

/// From 0 to 1. Without randomness from the system the pauses are all the same, and no harm done.
fn random() -> f64 {
    getrandom::u32().map_or(1.0, |random| f64::from(random) / f64::from(u32::MAX))
}
