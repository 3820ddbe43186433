//! The bounded queue between the threads that finish spans and the worker.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use super::ring::Ring;
use crate::counter::{Counter, Tally};
use crate::sync::{Mutex, lock};
use crate::turn::{Turn, TurnCell};

/// Chunks that wait for the worker, and the account of everything finished and unsent: what waits
/// here, what the worker holds, and what open traces still keep.
#[derive(Debug)]
pub(crate) struct Queue<T> {
    ring: Ring<T>,
    /// What those put in who had no turn: the worker, and whoever flushes.
    apart: Mutex<VecDeque<Box<T>>>,
    has_apart: AtomicBool,
    max_spans: usize,
    max_bytes: usize,
    /// So many spans are sent at once.
    batch: usize,
    incoming: Incoming,
    outgoing: Outgoing,
}

/// What the application's side writes, in lines of the cache of its own: a line that two processors
/// write goes to and fro between them, at the cost of a span each time.
#[derive(Debug, Default)]
#[repr(align(128))]
struct Incoming {
    /// All that ever finished.
    spans: Tally,
    bytes: Tally,
    /// Written by the thread whose turn it is, read by all.
    high_water: AtomicUsize,
    /// All that was ever put in by the application's side.
    pushed: Tally,
    /// What had gone when it was last looked at.
    gone: TurnCell<Gone>,
}

/// What the worker writes.
#[derive(Debug, Default)]
#[repr(align(128))]
struct Outgoing {
    /// All that was sent or dropped.
    spans: Counter,
    bytes: Counter,
    /// All that was ever put in by others, and taken out.
    pushed_apart: Counter,
    popped: Counter,
}

#[derive(Clone, Copy, Debug, Default)]
struct Gone {
    spans: u64,
    bytes: u64,
    /// Taken out, less what others put in.
    popped: u64,
}

impl<T> Queue<T> {
    pub(crate) fn new(max_spans: usize, max_bytes: usize, batch: usize) -> Self {
        Self {
            // No chunk is empty, so what the account admits fits the ring.
            ring: Ring::new(max_spans),
            apart: Mutex::new(VecDeque::new()),
            has_apart: AtomicBool::new(false),
            max_spans,
            max_bytes,
            batch,
            incoming: Incoming::default(),
            outgoing: Outgoing::default(),
        }
    }

    /// Takes finished spans into the account. They are in it in any case; false says that they are
    /// too many, and that the caller must drop their trace.
    #[inline(always)]
    pub(crate) fn reserve(&self, turn: Turn<'_>, spans: usize, bytes: usize) -> bool {
        let incoming = &self.incoming;
        let gone = incoming.gone.get(turn);
        let spans = incoming.spans.add(turn, spans).wrapping_sub(gone.spans);
        let bytes = incoming.bytes.add(turn, bytes).wrapping_sub(gone.bytes);
        // No more can be unsent than that.
        let high_water = incoming.high_water.load(Ordering::Relaxed) as u64;
        if spans <= high_water && bytes <= self.max_bytes as u64 {
            return true;
        }
        self.fits(turn)
    }

    /// Looks at what has gone meanwhile.
    #[inline(never)]
    fn fits(&self, turn: Turn<'_>) -> bool {
        self.look(turn);
        let (spans, bytes) = (self.spans(), self.bytes());
        let fits = spans <= self.max_spans && bytes <= self.max_bytes;
        if fits && spans > self.high_water() {
            self.incoming.high_water.store(spans, Ordering::Relaxed);
        }
        fits
    }

    fn look(&self, turn: Turn<'_>) -> Gone {
        let outgoing = &self.outgoing;
        let popped = outgoing.popped.get();
        let gone = Gone {
            spans: outgoing.spans.get(),
            bytes: outgoing.bytes.get(),
            popped: popped.wrapping_sub(outgoing.pushed_apart.get()),
        };
        self.incoming.gone.set(turn, gone);
        gone
    }

    /// Takes spans that were sent or dropped out of the account.
    pub(crate) fn release(&self, spans: usize, bytes: usize) {
        self.outgoing.spans.add(spans);
        self.outgoing.bytes.add(bytes);
    }

    /// Appends a chunk of `spans` spans. `Ok` says whether as many as are sent at once wait with it, and
    /// did not without; `Err` gives the chunk back.
    #[inline(always)]
    pub(crate) fn push(
        &self,
        turn: Option<Turn<'_>>,
        chunk: Box<T>,
        spans: usize,
    ) -> Result<bool, Box<T>> {
        let Some(turn) = turn else {
            self.push_apart(chunk, spans);
            let gone = self.outgoing.popped.get();
            let pushed = self.incoming.pushed.get() + self.outgoing.pushed_apart.get();
            return Ok(self.is_filled(pushed.saturating_sub(gone), spans));
        };
        self.ring.push(turn, chunk)?;
        let pushed = self.incoming.pushed.add(turn, spans);
        let waiting = |gone: Gone| pushed.wrapping_sub(gone.popped);
        if (waiting(self.incoming.gone.get(turn)) as i64) < self.batch as i64 {
            // Nor are there more.
            return Ok(false);
        }
        let waiting = waiting(self.look(turn)) as i64;
        // The worker may have taken out what is not counted here yet.
        Ok(self.is_filled(waiting.max(0) as u64, spans))
    }

    fn is_filled(&self, waiting: u64, spans: usize) -> bool {
        let batch = self.batch as u64;
        waiting >= batch && waiting.saturating_sub(spans as u64) < batch
    }

    #[cold]
    fn push_apart(&self, chunk: Box<T>, spans: usize) {
        let mut apart = lock(&self.apart);
        apart.push_back(chunk);
        self.has_apart.store(true, Ordering::Release);
        drop(apart);
        self.outgoing.pushed_apart.add(spans);
    }

    /// Takes the oldest chunk of one kind or the other; the caller says how many spans it has.
    pub(crate) fn pop(&self, spans: impl FnOnce(&T) -> usize) -> Option<Box<T>> {
        let chunk = self.ring.pop().or_else(|| self.pop_apart())?;
        self.outgoing.popped.add(spans(&chunk));
        Some(chunk)
    }

    fn pop_apart(&self) -> Option<Box<T>> {
        if !self.has_apart.load(Ordering::Acquire) {
            return None;
        }
        let mut apart = lock(&self.apart);
        let chunk = apart.pop_front();
        // Under the lock, so that nobody's chunk is forgotten.
        self.has_apart.store(!apart.is_empty(), Ordering::Release);
        chunk
    }

    /// True when more than half of what may be finished and unsent is.
    pub(crate) fn is_half_full(&self) -> bool {
        2 * self.spans() > self.max_spans || 2 * self.bytes() > self.max_bytes
    }

    /// Spans finished and unsent.
    pub(crate) fn spans(&self) -> usize {
        unsent(&self.incoming.spans, &self.outgoing.spans)
    }

    /// Their bytes.
    pub(crate) fn bytes(&self) -> usize {
        unsent(&self.incoming.bytes, &self.outgoing.bytes)
    }

    /// The most spans that were ever finished and unsent.
    pub(crate) fn high_water(&self) -> usize {
        self.incoming.high_water.load(Ordering::Relaxed)
    }

    /// True when none waits.
    pub(crate) fn is_empty(&self) -> bool {
        self.ring.is_empty() && lock(&self.apart).is_empty()
    }
}

fn unsent(all: &Tally, gone: &Counter) -> usize {
    // What goes was counted before: read in this order, the difference is never negative.
    let gone = gone.get();
    all.get().saturating_sub(gone) as usize
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::turn;

    #[test]
    fn spans_and_bytes_beyond_the_bounds_are_refused_until_some_are_released() {
        let queue = Queue::<u8>::new(2, 100, 1);
        assert!(queue.reserve(turn::take().turn(), 2, 60));
        assert!(!queue.reserve(turn::take().turn(), 1, 1));
        queue.release(1, 1);
        assert!(!queue.reserve(turn::take().turn(), 0, 41));
        queue.release(0, 41);
        queue.release(2, 60);
        assert!(queue.reserve(turn::take().turn(), 2, 100));
        assert_eq!(
            (queue.spans(), queue.bytes(), queue.high_water()),
            (2, 100, 2)
        );
    }

    #[test]
    fn chunks_come_out_in_order_and_a_full_ring_gives_them_back() {
        let taken = turn::take();
        let turn = taken.turn();
        let queue = Queue::new(2, 100, 5);
        let push = |item, spans| queue.push(Some(turn), Box::new(item), spans);
        assert_eq!(push('a', 3), Ok(false));
        assert_eq!(push('b', 4), Ok(true));
        assert_eq!(push('c', 1), Err(Box::new('c')));
        assert_eq!(queue.pop(|_| 3).as_deref(), Some(&'a'));
        assert_eq!(push('c', 1), Ok(true));
        assert_eq!(queue.pop(|_| 4).as_deref(), Some(&'b'));
        assert_eq!(push('d', 3), Ok(false));
        assert_eq!(queue.pop(|_| 1).as_deref(), Some(&'c'));
        assert_eq!(push('e', 2), Ok(true));
    }

    #[test]
    fn what_was_put_in_without_a_turn_comes_out_too() {
        let queue = Queue::new(1, 100, 1);
        for item in ['a', 'b'] {
            assert!(queue.push(None, Box::new(item), 1).is_ok());
        }
        assert_eq!(queue.pop(|_| 1).as_deref(), Some(&'a'));
        assert!(!queue.is_empty());
        assert_eq!(queue.pop(|_| 1).as_deref(), Some(&'b'));
        assert!(queue.is_empty() && queue.pop(|_| 1).is_none());
    }
}
