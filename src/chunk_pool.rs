//! Chunks for finished spans, used again and again: in the long run recording allocates nothing.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

use crate::chunk::Chunk;
use crate::turn::{Guarded, Turn};

/// Empty chunks by the room in them. The application takes them, and the worker gives them back once
/// their spans are on their way.
#[derive(Debug)]
pub(crate) struct Chunks {
    /// At the application's side.
    ready: Guarded<Classes>,
    /// What the worker gave back since: taken over a class at a time.
    spent: Mutex<Classes>,
    /// There may be something in `spent`.
    has_spent: AtomicBool,
}

/// Four sizes to each power of two, so that the room is at most a quarter larger than what is in it.
type Classes = [Vec<Box<Chunk>>; CLASSES];
const CLASSES: usize = 4 * (LARGEST.ilog2() - SMALLEST.ilog2()) as usize + 1;
const SMALLEST: usize = 64;
/// Larger ones are made for each use.
const LARGEST: usize = 1 << 14;
/// Of each size no more bytes than this are kept, on either side.
const KEPT_BYTES: usize = 1 << 18;

impl Default for Chunks {
    fn default() -> Self {
        Self {
            ready: Guarded::new(std::array::from_fn(|_| Vec::new())),
            spent: Mutex::new(std::array::from_fn(|_| Vec::new())),
            has_spent: AtomicBool::new(false),
        }
    }
}

impl Chunks {
    /// An empty chunk with room for `length` bytes.
    #[inline(always)]
    pub(crate) fn take(&self, turn: Turn<'_>, length: usize) -> Box<Chunk> {
        let class = class_that_holds(length);
        let ready = self.ready.borrow(turn).get_mut(class).and_then(Vec::pop);
        match ready {
            Some(mut chunk) => {
                chunk.clear();
                chunk
            }
            None => self.take_spent(turn, class, length),
        }
    }

    #[cold]
    fn take_spent(&self, turn: Turn<'_>, class: usize, length: usize) -> Box<Chunk> {
        if class >= CLASSES {
            return Chunk::with_room(length);
        }
        if self.has_spent.load(Ordering::Relaxed) {
            // The worker holds this for as long as it gives back a batch: that is not waited for.
            if let Ok(mut spent) = self.spent.try_lock() {
                let mut ready = self.ready.borrow(turn);
                std::mem::swap(&mut ready[class], &mut spent[class]);
                if let Some(mut chunk) = ready[class].pop() {
                    chunk.clear();
                    return chunk;
                }
            }
        }
        Chunk::with_room(size_of_class(class))
    }

    /// Keeps a chunk for the next trace that needs one of its size.
    pub(crate) fn give(&self, turn: Turn<'_>, chunk: Box<Chunk>) {
        keep(&mut self.ready.borrow(turn), chunk);
    }

    /// The same for the worker.
    pub(crate) fn give_back(&self, chunks: impl Iterator<Item = Box<Chunk>>) {
        let mut spent = self.spent.lock().unwrap_or_else(PoisonError::into_inner);
        chunks.for_each(|chunk| keep(&mut spent, chunk));
        self.has_spent.store(true, Ordering::Relaxed);
    }
}

fn keep(classes: &mut Classes, mut chunk: Box<Chunk>) {
    let Some(class) = class_that_fits(chunk.room()) else {
        return;
    };
    if classes[class].len() * size_of_class(class) < KEPT_BYTES {
        chunk.shed();
        classes[class].push(chunk);
    }
}

/// The class whose chunks have room for `length` bytes; no class where only a larger one has.
#[inline(always)]
fn class_that_holds(length: usize) -> usize {
    let last = length.max(SMALLEST) - 1;
    // Of the last byte's index: the power of two, and the quarter of it.
    let power = last.ilog2();
    let quarter = last >> (power - 2) & 3;
    4 * (power + 1 - SMALLEST.ilog2()) as usize + quarter - 3
}

/// The largest class that a chunk with room for `capacity` bytes serves.
fn class_that_fits(capacity: usize) -> Option<usize> {
    if capacity >= LARGEST + LARGEST / 4 {
        return None;
    }
    class_that_holds(capacity + 1).checked_sub(1)
}

fn size_of_class(class: usize) -> usize {
    (4 + class % 4) << (SMALLEST.ilog2() as usize - 2 + class / 4)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::turn;

    #[test]
    fn the_class_for_a_length_is_the_least_that_holds_it() {
        for length in 0..=LARGEST {
            let class = class_that_holds(length);
            assert!(size_of_class(class) >= length, "{length}");
            assert!(class == 0 || size_of_class(class - 1) < length, "{length}");
        }
        assert_eq!(size_of_class(CLASSES - 1), LARGEST);
        assert!(class_that_holds(LARGEST + 1) >= CLASSES);
    }

    #[test]
    fn a_chunk_is_kept_where_it_serves_every_length_of_its_class() {
        for capacity in 0..LARGEST + LARGEST / 4 {
            match class_that_fits(capacity) {
                None => assert!(capacity < SMALLEST),
                Some(class) => assert!(size_of_class(class) <= capacity, "{capacity}"),
            }
        }
        assert_eq!(class_that_fits(2 * LARGEST), None);
    }

    #[test]
    fn what_the_worker_gives_back_is_taken_again() {
        let chunks = Chunks::default();
        let taken = turn::take();
        let mut chunk = chunks.take(taken.turn(), 100);
        assert!((100..=125).contains(&chunk.room()));
        chunk.add_to_first().push(1);
        let address: *const Chunk = &raw const *chunk;
        chunks.give_back([chunk].into_iter());
        let again = chunks.take(taken.turn(), 97);
        assert_eq!((again.spans(), again.bytes()), (0, 0));
        assert!(std::ptr::eq(&raw const *again, address));
    }

    #[test]
    fn no_more_is_kept_than_a_bound() {
        let chunks = Chunks::default();
        let taken = turn::take();
        for _ in 0..2 * KEPT_BYTES / 4096 {
            chunks.give(taken.turn(), Chunk::with_room(4096));
        }
        let kept: usize = chunks.ready.borrow(taken.turn()).iter().map(Vec::len).sum();
        assert_eq!(kept, KEPT_BYTES / 4096);
    }
}
