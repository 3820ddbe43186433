//! The ring through which finished traces go to the worker. Whoever has the turn puts in, so there is
//! one at a time, and to put in takes no locked instruction: a place that is null is free.
#![allow(unsafe_code, reason = "boxes pass through atomic pointers")]

use std::ptr;

use crate::sync::{AtomicPtr, Mutex, Ordering, lock};
use crate::turn::{Turn, TurnCell};

/// A bounded queue of boxes.
pub(crate) struct Ring<T> {
    places: Box<[AtomicPtr<T>]>,
    /// Where the next one is put.
    next_in: TurnCell<usize>,
    /// Where the next one is taken: by the worker, and by whoever clears up after it.
    next_out: Mutex<usize>,
}

impl<T> Ring<T> {
    pub(crate) fn new(capacity: usize) -> Self {
        let place = |_| AtomicPtr::new(ptr::null_mut());
        Self {
            places: (0..capacity.max(1)).map(place).collect(),
            next_in: TurnCell::new(0),
            next_out: Mutex::new(0),
        }
    }

    /// Puts one in, or gives it back where there is no room.
    #[inline(always)]
    pub(crate) fn push(&self, turn: Turn<'_>, item: Box<T>) -> Result<(), Box<T>> {
        let next = self.next_in.get(turn);
        let place = &self.places[next];
        // What was read of the item that was here is over before the next is written.
        if !place.load(Ordering::Acquire).is_null() {
            return Err(item);
        }
        place.store(Box::into_raw(item), Ordering::Release);
        self.next_in.set(turn, self.after(next));
        Ok(())
    }

    /// Takes the oldest one.
    pub(crate) fn pop(&self) -> Option<Box<T>> {
        let mut next = lock(&self.next_out);
        let place = &self.places[*next];
        let item = place.load(Ordering::Acquire);
        if item.is_null() {
            return None;
        }
        place.store(ptr::null_mut(), Ordering::Release);
        *next = self.after(*next);
        // SAFETY: a place that is not null holds what `push` made of a box, and the lock sees to it that
        // it is taken out once; `Acquire` makes the content as it was when it was put in.
        Some(unsafe { Box::from_raw(item) })
    }

    /// True when none waits.
    pub(crate) fn is_empty(&self) -> bool {
        let next = lock(&self.next_out);
        self.places[*next].load(Ordering::Acquire).is_null()
    }

    #[inline(always)]
    fn after(&self, place: usize) -> usize {
        if place + 1 == self.places.len() {
            0
        } else {
            place + 1
        }
    }
}

impl<T> Drop for Ring<T> {
    // Without the lock, which in a forked child may be held for ever.
    fn drop(&mut self) {
        for place in &self.places {
            let item = place.load(Ordering::Acquire);
            if !item.is_null() {
                // SAFETY: as in `pop`; nobody else has the ring any more.
                drop(unsafe { Box::from_raw(item) });
            }
        }
    }
}

// SAFETY: a ring passes boxes from thread to thread, as a channel does; places are atomic, and the
// rest takes a turn or a lock.
unsafe impl<T: Send> Sync for Ring<T> {}
// SAFETY: as above.
unsafe impl<T: Send> Send for Ring<T> {}

impl<T> std::fmt::Debug for Ring<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Ring").finish_non_exhaustive()
    }
}

#[cfg(all(test, not(nanospan_loom)))]
mod tests {
    use super::*;
    use crate::turn;

    #[test]
    fn items_come_out_in_order_round_after_round_and_a_full_ring_gives_them_back() {
        let taken = turn::take();
        let turn = taken.turn();
        let ring = Ring::new(3);
        for round in 0..10 {
            for item in 0..3 {
                assert!(ring.push(turn, Box::new((round, item))).is_ok());
            }
            assert_eq!(*ring.push(turn, Box::new((9, 9))).unwrap_err(), (9, 9));
            for item in 0..3 {
                assert_eq!(ring.pop().as_deref(), Some(&(round, item)));
            }
            assert!(ring.is_empty() && ring.pop().is_none());
        }
    }

    #[test]
    fn what_is_left_in_it_is_dropped_with_it() {
        let item = std::sync::Arc::new(());
        let ring = Ring::new(3);
        let pushed = ring.push(turn::take().turn(), Box::new(item.clone()));
        assert!(pushed.is_ok() && std::sync::Arc::strong_count(&item) == 2);
        drop(ring);
        assert_eq!(std::sync::Arc::strong_count(&item), 1);
    }

    #[test]
    fn another_thread_takes_each_item_once() {
        let rounds = if cfg!(miri) { 50 } else { 100_000 };
        let ring = Ring::new(4);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                for expected in 0..rounds {
                    let item = loop {
                        match ring.pop() {
                            Some(item) => break item,
                            None => std::thread::yield_now(),
                        }
                    };
                    assert_eq!(*item, expected);
                }
            });
            for number in 0..rounds {
                let mut item = Box::new(number);
                while let Err(back) = ring.push(turn::take().turn(), item) {
                    item = back;
                    std::thread::yield_now();
                }
            }
        });
        assert!(ring.is_empty());
    }
}

#[cfg(all(test, nanospan_loom))]
mod model {
    use super::*;
    use loom::sync::Arc;
    use loom::thread;

    /// One puts in while another takes out and a third clears up: in every interleaving each item is
    /// taken once, whole, and in order by each of those who take.
    #[test]
    fn what_is_put_in_is_taken_once() {
        loom::model(|| {
            let ring = Arc::new(Ring::new(2));
            let takers: Vec<_> = (0..2)
                .map(|_| {
                    let ring = Arc::clone(&ring);
                    thread::spawn(move || ring.pop().map(|item| *item))
                })
                .collect();
            // SAFETY: no other thread of the model has a turn.
            let turn = unsafe { Turn::assume() };
            let mut back = 0;
            for number in 1..=3 {
                back += u32::from(ring.push(turn, Box::new(number)).is_err());
            }
            let mut taken: Vec<u32> = takers
                .into_iter()
                .filter_map(|taker| taker.join().unwrap())
                .collect();
            taken.extend(std::iter::from_fn(|| ring.pop()).map(|item| *item));
            taken.sort_unstable();
            let expected: &[u32] = if back == 0 { &[1, 2, 3] } else { &[1, 2] };
            assert_eq!(taken, expected);
        });
    }
}
