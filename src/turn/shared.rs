//! What several owners share, all of whom take turns: the count of them takes no locked instruction.
#![allow(unsafe_code, reason = "owners of one allocation, counted by hand")]

use std::fmt;
use std::ops::{Deref, DerefMut};
use std::ptr::NonNull;

use super::{Turn, TurnCell};

/// One of the owners. Each calls [`Shared::leave`] in the end: what is dropped without a turn keeps the
/// content alive for ever.
pub(crate) struct Shared<T>(NonNull<Counted<T>>);

/// The only owner.
pub(crate) struct Sole<T>(Box<Counted<T>>);

struct Counted<T> {
    /// How many owners share it.
    owners: TurnCell<usize>,
    content: T,
}

impl<T> Sole<T> {
    pub(crate) fn new(content: T) -> Self {
        Self(Box::new(Counted {
            owners: TurnCell::new(0),
            content,
        }))
    }

    /// The content, for many from now on: this is the first of them.
    #[inline(always)]
    pub(crate) fn share(self, turn: Turn<'_>) -> Shared<T> {
        self.0.owners.set(turn, 1);
        Shared(NonNull::from(Box::leak(self.0)))
    }
}

impl<T> Shared<T> {
    /// Another owner.
    #[inline(always)]
    pub(crate) fn another(&self, turn: Turn<'_>) -> Self {
        let owners = &self.counted().owners;
        owners.set(turn, owners.get(turn) + 1);
        Self(self.0)
    }

    /// One owner less. The last one gets the content for itself.
    #[inline(always)]
    pub(crate) fn leave(self, turn: Turn<'_>) -> Option<Sole<T>> {
        let owners = &self.counted().owners;
        let left = owners.get(turn) - 1;
        owners.set(turn, left);
        if left > 0 {
            return None;
        }
        // SAFETY: the pointer is of the box that `Sole::share` leaked. Owners are made by that and by
        // `another` only, each counted, and each gives itself up here: this was the last.
        Some(Sole(unsafe { Box::from_raw(self.0.as_ptr()) }))
    }

    #[inline(always)]
    fn counted(&self) -> &Counted<T> {
        // SAFETY: `self` is an owner that has not left, so the allocation is there (`leave`), and owners
        // only ever lend it out shared.
        unsafe { self.0.as_ref() }
    }
}

impl<T> Deref for Shared<T> {
    type Target = T;

    #[inline(always)]
    fn deref(&self) -> &T {
        &self.counted().content
    }
}

impl<T> Deref for Sole<T> {
    type Target = T;

    #[inline(always)]
    fn deref(&self) -> &T {
        &self.0.content
    }
}

impl<T> DerefMut for Sole<T> {
    #[inline(always)]
    fn deref_mut(&mut self) -> &mut T {
        &mut self.0.content
    }
}

// SAFETY: owners in several threads share the content, as by an `Arc`, and the count takes a turn.
unsafe impl<T: Send + Sync> Send for Shared<T> {}
// SAFETY: as above.
unsafe impl<T: Send + Sync> Sync for Shared<T> {}

impl<T: fmt::Debug> fmt::Debug for Shared<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::turn;
    use std::sync::Arc;

    #[test]
    fn the_last_owner_and_no_other_gets_the_content() {
        let taken = turn::take();
        let turn = taken.turn();
        let content = Arc::new(1);
        let first = Sole::new(Arc::clone(&content)).share(turn);
        let second = first.another(turn);
        let third = second.another(turn);
        assert!(Arc::ptr_eq(&first, &third) && Arc::ptr_eq(&content, &second));
        assert!(first.leave(turn).is_none());
        assert!(third.leave(turn).is_none());
        let sole = second.leave(turn).expect("it was the last");
        assert_eq!(Arc::strong_count(&content), 2);
        drop(sole);
        assert_eq!(Arc::strong_count(&content), 1);
    }

    #[test]
    fn the_sole_owner_may_change_the_content_and_share_it_again() {
        let taken = turn::take();
        let turn = taken.turn();
        let mut sole = Sole::new(1);
        *sole = 2;
        let shared = sole.share(turn);
        assert_eq!(*shared, 2);
        assert_eq!(shared.leave(turn).map(|sole| *sole), Some(2));
    }

    #[test]
    fn threads_that_take_turns_count_every_owner() {
        let first = Sole::new(()).share(turn::take().turn());
        let rounds = if cfg!(miri) { 20 } else { 2_000 };
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..rounds {
                        let another = first.another(turn::take().turn());
                        assert!(another.leave(turn::take().turn()).is_none());
                    }
                });
            }
        });
        assert!(first.leave(turn::take().turn()).is_some());
    }
}
