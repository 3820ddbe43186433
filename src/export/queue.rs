//! The bounded queue between the threads that finish spans and the worker.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use super::ring::Ring;
use crate::counter::{Counter, Tally};
use crate::sync::{Mutex, lock};
use crate::turn::Turn;

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
    /// All that ever finished, and all that was sent or dropped since: the difference is unsent.
    spans_in: Tally,
    spans_out: Counter,
    bytes_in: Tally,
    bytes_out: Counter,
    /// Written by the thread whose turn it is, read by all.
    high_water: AtomicUsize,
    /// All that was ever put in, by the application's side and by others, and taken out.
    pushed: Tally,
    pushed_apart: Counter,
    popped: Counter,
}

impl<T> Queue<T> {
    pub(crate) fn new(max_spans: usize, max_bytes: usize) -> Self {
        Self {
            // No chunk is empty, so what the account admits fits the ring.
            ring: Ring::new(max_spans),
            apart: Mutex::new(VecDeque::new()),
            has_apart: AtomicBool::new(false),
            max_spans,
            max_bytes,
            spans_in: Tally::default(),
            spans_out: Counter::default(),
            bytes_in: Tally::default(),
            bytes_out: Counter::default(),
            high_water: AtomicUsize::new(0),
            pushed: Tally::default(),
            pushed_apart: Counter::default(),
            popped: Counter::default(),
        }
    }

    /// Takes finished spans into the account. They are in it in any case; false says that they are
    /// too many, and that the caller must drop their trace.
    #[inline(always)]
    pub(crate) fn reserve(&self, turn: Turn<'_>, spans: usize, bytes: usize) -> bool {
        let spans = self
            .spans_in
            .add(turn, spans)
            .saturating_sub(self.spans_out.get());
        let bytes = self
            .bytes_in
            .add(turn, bytes)
            .saturating_sub(self.bytes_out.get());
        let fits = spans <= self.max_spans as u64 && bytes <= self.max_bytes as u64;
        if fits && spans > self.high_water.load(Ordering::Relaxed) as u64 {
            self.high_water.store(spans as usize, Ordering::Relaxed);
        }
        fits
    }

    /// Takes spans that were sent or dropped out of the account.
    pub(crate) fn release(&self, spans: usize, bytes: usize) {
        self.spans_out.add(spans);
        self.bytes_out.add(bytes);
    }

    /// Appends a chunk of `spans` spans. `Ok` says how many wait now; `Err` gives the chunk back.
    #[inline(always)]
    pub(crate) fn push(
        &self,
        turn: Option<Turn<'_>>,
        chunk: Box<T>,
        spans: usize,
    ) -> Result<usize, Box<T>> {
        if let Some(turn) = turn {
            self.ring.push(turn, chunk)?;
            self.pushed.add(turn, spans);
        } else {
            self.push_apart(chunk, spans);
        }
        // The worker may have taken it out before it is counted here.
        let pushed = self.pushed.get() + self.pushed_apart.get();
        Ok(pushed.saturating_sub(self.popped.get()) as usize)
    }

    #[cold]
    fn push_apart(&self, chunk: Box<T>, spans: usize) {
        let mut apart = lock(&self.apart);
        apart.push_back(chunk);
        self.has_apart.store(true, Ordering::Release);
        drop(apart);
        self.pushed_apart.add(spans);
    }

    /// Takes the oldest chunk of one kind or the other; the caller says how many spans it has.
    pub(crate) fn pop(&self, spans: impl FnOnce(&T) -> usize) -> Option<Box<T>> {
        let chunk = self.ring.pop().or_else(|| self.pop_apart())?;
        self.popped.add(spans(&chunk));
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
        unsent(&self.spans_in, &self.spans_out)
    }

    /// Their bytes.
    pub(crate) fn bytes(&self) -> usize {
        unsent(&self.bytes_in, &self.bytes_out)
    }

    /// The most spans that were ever finished and unsent.
    pub(crate) fn high_water(&self) -> usize {
        self.high_water.load(Ordering::Relaxed)
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
        let queue = Queue::<u8>::new(2, 100);
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
        let queue = Queue::new(2, 100);
        let push = |item, spans| queue.push(Some(turn), Box::new(item), spans);
        assert_eq!(push('a', 3), Ok(3));
        assert_eq!(push('b', 4), Ok(7));
        assert_eq!(push('c', 1), Err(Box::new('c')));
        assert_eq!(queue.pop(|_| 3).as_deref(), Some(&'a'));
        assert_eq!(push('c', 1), Ok(5));
    }

    #[test]
    fn what_was_put_in_without_a_turn_comes_out_too() {
        let queue = Queue::new(1, 100);
        for item in ['a', 'b'] {
            assert!(queue.push(None, Box::new(item), 1).is_ok());
        }
        assert_eq!(queue.pop(|_| 1).as_deref(), Some(&'a'));
        assert!(!queue.is_empty());
        assert_eq!(queue.pop(|_| 1).as_deref(), Some(&'b'));
        assert!(queue.is_empty() && queue.pop(|_| 1).is_none());
    }
}
