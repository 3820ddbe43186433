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
