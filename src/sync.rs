//! The locks and atomics of what threads share: `std`'s, or Loom's under `--cfg nanospan_loom`, so
//! that the model checker runs the very code that ships. Under the usual `loom` tokio has no sockets.

#[cfg(nanospan_loom)]
pub(crate) use loom::sync::{
    Condvar, Mutex, MutexGuard,
    atomic::{AtomicPtr, AtomicU64, Ordering},
};
#[cfg(not(nanospan_loom))]
pub(crate) use std::sync::{
    Condvar, Mutex, MutexGuard,
    atomic::{AtomicPtr, AtomicU64, Ordering},
};

/// Locks, also after a panic elsewhere: a panic of ours must not spread to every later request.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex
        .lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner)
}
