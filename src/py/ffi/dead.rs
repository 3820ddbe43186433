//! Objects that died, for the next ones: each has in its first word, where a live one counts its
//! references, the one that died before it. So to keep one and to take it out is a few instructions.

use std::ptr;

use pyo3::ffi;

use crate::turn::{Turn, TurnCell};

/// Dead objects of one type, each of which still holds the type.
pub(super) struct Dead {
    last: TurnCell<Link>,
    count: TurnCell<usize>,
}

/// A dead object, or null.
#[derive(Clone, Copy)]
struct Link(*mut ffi::PyObject);

// SAFETY: an object that belongs to nobody may be used by any thread, one at a time: it takes a turn.
unsafe impl Send for Link {}

impl Dead {
    pub(super) const fn new() -> Self {
        Self {
            last: TurnCell::new(Link(ptr::null_mut())),
            count: TurnCell::new(0),
        }
    }

    /// How many there are.
    #[inline(always)]
    pub(super) fn count(&self, turn: Turn<'_>) -> usize {
        self.count.get(turn)
    }

    /// The one that died last, whose memory is still in the cache.
    #[inline(always)]
    pub(super) fn pop(&self, turn: Turn<'_>) -> Option<*mut ffi::PyObject> {
        let Link(object) = self.last.get(turn);
        if object.is_null() {
            return None;
        }
        // SAFETY: `push` took it from its owner, and wrote what comes next into its first word.
        let next = unsafe { *object.cast::<*mut ffi::PyObject>() };
        self.last.set(turn, Link(next));
        self.count.set(turn, self.count.get(turn) - 1);
        Some(object)
    }

    /// Keeps one.
    ///
    /// # Safety
    ///
    /// It is a whole object of the type, which it holds, and nobody has it, nor ever will but by `pop`.
    #[inline(always)]
    pub(super) unsafe fn push(&self, turn: Turn<'_>, object: *mut ffi::PyObject) {
        let next = self.last.get(turn).0;
        // SAFETY: nobody has the object, so nobody counts references in its first word.
        unsafe { *object.cast::<*mut ffi::PyObject>() = next };
        self.last.set(turn, Link(object));
        self.count.set(turn, self.count.get(turn) + 1);
    }
}

/// Makes a dead object a live one, with one reference, which is the caller's.
///
/// # Safety
///
/// It came from [`Dead::pop`], or is a new object of `class`; either way it holds the class.
#[inline(always)]
pub(super) unsafe fn revive(object: *mut ffi::PyObject, class: *mut ffi::PyTypeObject) {
    let head = ffi::PyObject {
        ob_type: class,
        ..ffi::PyObject_HEAD_INIT
    };
    // SAFETY: the caller's promise; a live object begins with such a head (CPython C API,
    // PyObject_HEAD_INIT).
    unsafe { ptr::write(object, head) };
}
