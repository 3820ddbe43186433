//! What only the operating system or the processor can tell or do: whether we are a forked child,
//! which signals a thread takes, and the time-stamp counter.
#![allow(unsafe_code, reason = "calls that std does not wrap")]

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

/// The processor's time-stamp counter: a third of the cost of asking the system's clock. 0 where
/// there is none, or where [`has_ticks`] says no.
#[inline]
pub(crate) fn ticks() -> u64 {
    #[cfg(all(target_arch = "x86_64", not(miri)))]
    // SAFETY: every x86-64 processor has the instruction, which reads a register (Intel SDM, RDTSC).
    unsafe {
        core::arch::x86_64::_rdtsc()
    }
    #[cfg(not(all(target_arch = "x86_64", not(miri))))]
    0
}

/// True where the kernel itself keeps time by the time-stamp counter: only then does it run at one
/// rate, and the same, on all processors.
pub(crate) fn has_ticks() -> bool {
    const SOURCE: &str = "/sys/devices/system/clocksource/clocksource0/current_clocksource";
    cfg!(all(target_arch = "x86_64", not(miri)))
        && std::fs::read_to_string(SOURCE).is_ok_and(|source| source.trim() == "tsc")
}
