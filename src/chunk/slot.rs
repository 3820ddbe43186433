//! Where the finished spans of an open trace wait. Whoever has the turn puts them there; the worker
//! takes them when they grew old. To add one takes one locked instruction, the first takes none.
#![allow(unsafe_code, reason = "boxes pass through an atomic pointer")]

use std::mem::ManuallyDrop;
use std::ops::{Deref, DerefMut};
use std::ptr;

use super::Chunk;
use crate::sync::{AtomicPtr, Ordering};
use crate::turn::Turn;

/// The chunk of an open trace, for whoever takes it first.
pub(crate) struct ChunkSlot(AtomicPtr<Chunk>);

/// Stands for a chunk that somebody with the turn has taken out and will put back.
const OUT: *mut Chunk = ptr::without_provenance_mut(1);

/// What the worker sees in a slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Seen {
    /// Nothing waits.
    Empty,
    /// Something waits, and is being changed right now.
    Out,
    /// Something waits.
    Chunk,
}

impl Default for ChunkSlot {
    fn default() -> Self {
        Self(AtomicPtr::new(ptr::null_mut()))
    }
}

impl ChunkSlot {
    /// True when nothing waits, for the one who puts it there.
    #[inline(always)]
    pub(crate) fn is_empty(&self, _turn: Turn<'_>) -> bool {
        self.0.load(Ordering::Acquire).is_null()
    }

    /// The chunk, if it is there; the worker finds it out meanwhile. Nothing that may run Python code may
    /// happen then, nor anything else on this slot.
    #[inline(always)]
    pub(crate) fn take_out<'a>(&'a self, turn: Turn<'a>) -> Option<Out<'a>> {
        if self.is_empty(turn) {
            return None;
        }
        let chunk = ManuallyDrop::new(self.exchange(OUT)?);
        Some(Out { slot: self, chunk })
    }

    /// Puts a chunk where nothing waits.
    #[inline(always)]
    pub(crate) fn put(&self, turn: Turn<'_>, chunk: Box<Chunk>) {
        debug_assert!(self.is_empty(turn), "the slot is taken");
        self.0.store(Box::into_raw(chunk), Ordering::Release);
    }

    /// Takes the chunk away, for the one who puts it there.
    #[inline(always)]
    pub(crate) fn take(&self, turn: Turn<'_>) -> Option<Box<Chunk>> {
        if self.is_empty(turn) {
            return None;
        }
        self.exchange(ptr::null_mut())
    }

    /// What is in it, for the worker.
    pub(crate) fn look(&self) -> Seen {
        let chunk = self.0.load(Ordering::Acquire);
        if chunk.is_null() {
            Seen::Empty
        } else if chunk == OUT {
            Seen::Out
        } else {
            Seen::Chunk
        }
    }

    /// Takes the chunk away without a turn, unless it is out.
    pub(crate) fn steal(&self) -> Option<Box<Chunk>> {
        let chunk = self.0.load(Ordering::Acquire);
        if chunk.is_null() || chunk == OUT {
            return None;
        }
        self.0
            .compare_exchange(chunk, ptr::null_mut(), Ordering::AcqRel, Ordering::Relaxed)
            .ok()
            // SAFETY: what is neither null nor `OUT` is a box that `put` or `Out` gave up, and it was
            // exchanged for null: nobody else takes it.
            .map(|chunk| unsafe { Box::from_raw(chunk) })
    }

    /// For the one who puts chunks there: it is never out then.
    #[inline(always)]
    fn exchange(&self, with: *mut Chunk) -> Option<Box<Chunk>> {
        let chunk = self.0.swap(with, Ordering::AcqRel);
        if chunk.is_null() {
            // The worker was faster.
            self.0.store(ptr::null_mut(), Ordering::Relaxed);
            return None;
        }
        // SAFETY: what is neither null nor `OUT` is a box that `put` or `Out` gave up. It is not `OUT`:
        // only `take_out` puts that there, and `Out` takes it away before anybody else has the turn, or
        // does anything else on the slot.
        Some(unsafe { Box::from_raw(chunk) })
    }
}

/// A chunk that is out of its slot, into which it goes back, also if whoever has it panics.
pub(crate) struct Out<'a> {
    slot: &'a ChunkSlot,
    chunk: ManuallyDrop<Box<Chunk>>,
}

impl Deref for Out<'_> {
    type Target = Chunk;

    #[inline(always)]
    fn deref(&self) -> &Chunk {
        &self.chunk
    }
}

impl DerefMut for Out<'_> {
    #[inline(always)]
    fn deref_mut(&mut self) -> &mut Chunk {
        &mut self.chunk
    }
}

impl Drop for Out<'_> {
    #[inline(always)]
    fn drop(&mut self) {
        // SAFETY: taken once, since this is the end of `self`.
        let chunk = unsafe { ManuallyDrop::take(&mut self.chunk) };
        self.slot.0.store(Box::into_raw(chunk), Ordering::Release);
    }
}

impl Drop for ChunkSlot {
    fn drop(&mut self) {
        drop(self.steal());
    }
}

impl std::fmt::Debug for ChunkSlot {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("ChunkSlot").field(&self.look()).finish()
    }
}

#[cfg(all(test, not(nanospan_loom)))]
mod tests {
    use super::*;
    use crate::turn;

    fn chunk(byte: u8) -> Box<Chunk> {
        let mut chunk = Chunk::with_room(1);
        chunk.add_to_first().push(byte);
        chunk
    }

    fn bytes(chunk: &Chunk) -> Vec<u8> {
        chunk.runs().flat_map(|run| run.bytes.clone()).collect()
    }

    #[test]
    fn what_is_out_cannot_be_stolen_and_goes_back_changed() {
        let taken = turn::take();
        let turn = taken.turn();
        let slot = ChunkSlot::default();
        assert!(slot.is_empty(turn) && slot.take_out(turn).is_none());
        slot.put(turn, chunk(1));
        {
            let mut out = slot.take_out(turn).expect("it was put there");
            assert_eq!(slot.look(), Seen::Out);
            assert!(slot.steal().is_none());
            out.add_to_first().push(2);
        }
        assert_eq!(slot.look(), Seen::Chunk);
        assert_eq!(slot.steal().as_deref().map(bytes), Some(vec![1, 2]));
        assert_eq!(slot.look(), Seen::Empty);
        assert!(slot.take(turn).is_none());
    }

    #[test]
    fn what_is_out_when_somebody_panics_goes_back() {
        let slot = ChunkSlot::default();
        slot.put(turn::take().turn(), chunk(1));
        let work = || {
            let taken = turn::take();
            let _out = slot.take_out(taken.turn()).expect("it was put there");
            panic!("a defect, made for this test");
        };
        assert!(std::panic::catch_unwind(std::panic::AssertUnwindSafe(work)).is_err());
        let taken = turn::take();
        let found = slot.take(taken.turn());
        assert_eq!(found.as_deref().map(bytes), Some(vec![1]));
    }

    #[test]
    fn of_many_that_are_put_there_beside_a_thief_each_is_taken_once() {
        let slot = ChunkSlot::default();
        let rounds: u32 = if cfg!(miri) { 50 } else { 50_000 };
        let is_over = std::sync::atomic::AtomicBool::new(false);
        let (mut kept, stolen) = std::thread::scope(|scope| {
            let thief = scope.spawn(|| {
                let mut stolen = 0;
                while !is_over.load(Ordering::Relaxed) {
                    stolen += slot.steal().map_or(0, |chunk| chunk.spans());
                }
                stolen
            });
            let mut kept = 0;
            for round in 0..rounds {
                let taken = turn::take();
                let turn = taken.turn();
                if let Some(mut out) = slot.take_out(turn) {
                    out.add_to_first().push(1);
                } else {
                    slot.put(turn, chunk(1));
                }
                if round % 5 == 0 {
                    kept += slot.take(turn).map_or(0, |chunk| chunk.spans());
                }
            }
            is_over.store(true, Ordering::Relaxed);
            (kept, thief.join().expect("it only steals"))
        });
        kept += slot.steal().map_or(0, |chunk| chunk.spans());
        assert_eq!(kept + stolen, rounds as usize);
    }
}
