//! A trace that has not begun.
#![allow(unsafe_code, reason = "`Arc::get_mut` takes a locked instruction")]

use std::ops::{Deref, DerefMut};
use std::sync::Arc;
use std::sync::atomic::{Ordering, fence};

use super::Trace;

/// A trace that only its owner has.
pub(crate) struct Fresh(Arc<Trace>);

impl Fresh {
    /// Gives the trace back where somebody else has it.
    #[inline(always)]
    pub(super) fn new(trace: Arc<Trace>) -> Result<Self, Arc<Trace>> {
        if Arc::strong_count(&trace) != 1 {
            return Err(trace);
        }
        // With the end of whoever had it before.
        fence(Ordering::Acquire);
        Ok(Self(trace))
    }

    /// The trace, for many from now on.
    #[inline(always)]
    pub(crate) fn share(self) -> Arc<Trace> {
        self.0
    }
}

impl Deref for Fresh {
    type Target = Trace;

    #[inline(always)]
    fn deref(&self) -> &Trace {
        &self.0
    }
}

impl DerefMut for Fresh {
    #[inline(always)]
    fn deref_mut(&mut self) -> &mut Trace {
        // SAFETY: `new` saw that this is the only reference, nothing makes weak ones of a trace, and
        // until `share` nobody can make another of it: the borrow of `self` is one of the content.
        unsafe { &mut *Arc::as_ptr(&self.0).cast_mut() }
    }
}
