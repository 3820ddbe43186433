//! What only the operating system can tell or do: whether we are a forked child, and which signals
//! a thread takes.
#![allow(unsafe_code, reason = "system calls that std does not wrap")]

use std::sync::atomic::{AtomicU32, Ordering};

static FORKS: AtomicU32 = AtomicU32::new(0);

/// Which process this is, counted in forks from the first: what another epoch made is inherited,
/// and its locks and threads are not ours.
pub fn epoch() -> u32 {
    FORKS.load(Ordering::Relaxed)
}

/// Begins a new epoch. For the one thread of a forked child.
pub fn forked() {
    FORKS.fetch_add(1, Ordering::Relaxed);
}

/// Blocks every signal in this thread: the application's handlers must run in its own threads.
pub(crate) fn mask_signals() {
    // SAFETY: `set` is made by `sigfillset` before it is read, and lives on this stack; both calls
    // only read and write what they are given (POSIX.1-2017, pthread_sigmask).
    unsafe {
        let mut set = std::mem::MaybeUninit::<libc::sigset_t>::uninit();
        libc::sigfillset(set.as_mut_ptr());
        libc::pthread_sigmask(libc::SIG_SETMASK, set.as_ptr(), std::ptr::null_mut());
    }
}
