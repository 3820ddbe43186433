//! Whose turn it is. The application's side of the core (open spans, the pool, ids, most counts) is
//! touched by one thread at a time: in a Python program the interpreter's lock sees to that anyway,
//! so a lock or a locked instruction of ours would only cost. A [`Turn`] is the proof, handed down
//! from the door. The worker never has one: what it shares with the application is atomic or locked.
#![allow(unsafe_code, reason = "what a turn guards is shared between threads")]

mod shared;

use std::cell::{Cell, RefCell, RefMut};
use std::fmt;
use std::marker::PhantomData;
use std::sync::{Mutex, MutexGuard, PoisonError};

pub(crate) use shared::{Shared, Sole};

/// Proof that no other thread is at the application's side of the core.
#[derive(Clone, Copy, Debug)]
pub struct Turn<'a>(PhantomData<(&'a (), *mut ())>);

impl Turn<'_> {
    /// A turn by somebody else's lock.
    ///
    /// # Safety
    ///
    /// While the turn lives, no other thread has one: all turns of the process come from one lock,
    /// which this thread holds.
    pub unsafe fn assume() -> Self {
        Self(PhantomData)
    }
}

/// The lock of programs without Python.
static PROGRAM: Mutex<()> = Mutex::new(());

/// A turn of a program without Python, until it is dropped.
#[derive(Debug)]
pub struct Taken(#[allow(dead_code, reason = "held")] MutexGuard<'static, ()>);

/// Waits for the turn. Not for a thread that has one already.
pub fn take() -> Taken {
    Taken(PROGRAM.lock().unwrap_or_else(PoisonError::into_inner))
}

impl Taken {
    /// The turn.
    pub fn turn(&self) -> Turn<'_> {
        // SAFETY: `self` holds the one lock that all turns of such a program come from; turns by
        // another lock are made only by the Python door, and then nobody calls `take`.
        unsafe { Turn::assume() }
    }
}

/// What only the thread whose turn it is touches.
#[derive(Default)]
pub(crate) struct Guarded<T>(RefCell<T>);

// SAFETY: the only way to the content is `borrow`, which takes a turn, and by the promise of
// `Turn::assume` no two threads have one at once. What comes out is bound to the turn and cannot be
// sent to another thread, since a `RefMut` cannot.
unsafe impl<T: Send> Sync for Guarded<T> {}

impl<T> Guarded<T> {
    pub(crate) const fn new(content: T) -> Self {
        Self(RefCell::new(content))
    }

    /// The content. Nothing that may run Python code may happen while it is borrowed.
    #[inline]
    pub(crate) fn borrow<'a>(&'a self, _turn: Turn<'a>) -> RefMut<'a, T> {
        self.0.borrow_mut()
    }

    /// The content for one look, unless it is borrowed: for Python's garbage collector, which comes at
    /// any allocation and only asks what is there.
    #[cfg(feature = "python")]
    pub(crate) fn peek<'a>(&'a self, _turn: Turn<'a>) -> Option<std::cell::Ref<'a, T>> {
        self.0.try_borrow().ok()
    }

    pub(crate) fn get_mut(&mut self) -> &mut T {
        self.0.get_mut()
    }
}

/// A small value that only the thread whose turn it is reads and writes, a copy at a time: what needs
/// no borrow can neither be borrowed twice.
pub(crate) struct TurnCell<T>(Cell<T>);

// SAFETY: as for `Guarded`: both ways to the content take a turn.
unsafe impl<T: Send> Sync for TurnCell<T> {}

impl<T: Default> Default for TurnCell<T> {
    fn default() -> Self {
        Self(Cell::default())
    }
}

impl<T: Copy> TurnCell<T> {
    pub(crate) const fn new(content: T) -> Self {
        Self(Cell::new(content))
    }

    #[inline]
    pub(crate) fn get(&self, _turn: Turn<'_>) -> T {
        self.0.get()
    }

    #[inline]
    pub(crate) fn set(&self, _turn: Turn<'_>, content: T) {
        self.0.set(content);
    }
}

/// Something that is there or not, taken and put as a whole.
impl<T> TurnCell<Option<T>> {
    pub(crate) const fn empty() -> Self {
        Self(Cell::new(None))
    }

    #[inline(always)]
    pub(crate) fn take(&self, _turn: Turn<'_>) -> Option<T> {
        self.0.take()
    }

    /// Puts it there, and takes what was there before.
    #[inline(always)]
    pub(crate) fn put(&self, _turn: Turn<'_>, content: T) -> Option<T> {
        self.0.replace(Some(content))
    }
}

/// What is kept for another use, at most `N` of a kind.
pub(crate) struct Spares<T, const N: usize> {
    items: [Option<T>; N],
    count: usize,
}

impl<T, const N: usize> Spares<T, N> {
    pub(crate) const fn new() -> Self {
        Self {
            items: [const { None }; N],
            count: 0,
        }
    }

    /// Keeps one, if there is room.
    #[inline(always)]
    pub(crate) fn push(&mut self, item: T) {
        if let Some(place) = self.items.get_mut(self.count) {
            // It is empty: there is nothing to drop, and no code for it.
            std::mem::forget(place.replace(item));
            self.count += 1;
        }
    }

    /// The one that was kept last.
    #[inline(always)]
    pub(crate) fn pop(&mut self) -> Option<T> {
        let last = self.count.checked_sub(1)?;
        self.count = last;
        self.items.get_mut(last)?.take()
    }
}

impl<T> fmt::Debug for TurnCell<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TurnCell").finish_non_exhaustive()
    }
}

impl<T> fmt::Debug for Guarded<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Guarded").finish_non_exhaustive()
    }
}
