//! The native threads of nanospan: how they start, and how a fork waits until they are gone.
//!
//! Python counts the threads of the process when it forks (since 3.12, on Linux in `/proc`), and
//! warns when there is more than one. A joined thread may still be counted for some microseconds:
//! `pthread_join` comes back before the kernel has taken the thread off the process.

use std::io;
use std::sync::atomic::{AtomicI32, Ordering};
use std::time::{Duration, Instant};

use crate::sys;

/// How the names of all our threads begin. The kernel keeps 15 bytes.
const NAMES: &[u8] = b"nanospan-";

/// The threads that were started and not yet seen gone, by the kernel's numbers. No lock: a forked
/// child could not take it. A thread that finds no room is not waited for.
static STARTED: [AtomicI32; 64] = [const { AtomicI32::new(FREE) }; 64];
const FREE: i32 = 0;
/// A thread that has not said its number yet.
const STARTING: i32 = -1;

/// Starts a thread that takes no signals.
pub(crate) fn spawn(work: impl FnOnce() + Send + 'static) -> io::Result<()> {
    // Taken here, so that a fork which comes at once knows of it.
    let place = take_place();
    let thread = std::thread::Builder::new().name("nanospan-worker".to_owned());
    let started = thread.spawn(move || {
        if let Some(place) = place {
            place.store(sys::thread_id(), Ordering::Release);
        }
        sys::mask_signals();
        work();
    });
    if let (Err(_), Some(place)) = (&started, place) {
        place.store(FREE, Ordering::Release);
    }
    started.map(drop)
}

/// Says that the current thread is one of ours, where another library started it for us.
pub(crate) fn enter() {
    if let Some(place) = take_place() {
        place.store(sys::thread_id(), Ordering::Release);
    }
}

fn take_place() -> Option<&'static AtomicI32> {
    STARTED.iter().find(|place| {
        leave_if_gone(place);
        let take = place.compare_exchange(FREE, STARTING, Ordering::AcqRel, Ordering::Relaxed);
        take.is_ok()
    })
}

/// Waits until all threads that were told to end are gone for the kernel too. False after the
/// deadline.
pub fn wait_until_gone(deadline: Instant) -> bool {
    let mut pause = Duration::from_micros(20);
    // Each is looked at, so that one that stays does not keep the places of others.
    while STARTED.iter().filter(|place| !leave_if_gone(place)).count() > 0 {
        if Instant::now() + pause > deadline {
            return false;
        }
        std::thread::sleep(pause);
        pause = (pause * 2).min(Duration::from_millis(1));
    }
    true
}

/// For a forked child, which has none of these threads.
pub fn forget_all() {
    for place in &STARTED {
        place.store(FREE, Ordering::Relaxed);
    }
}

/// Frees the place of a thread that is gone; true if the place is free.
fn leave_if_gone(place: &AtomicI32) -> bool {
    let number = place.load(Ordering::Acquire);
    if number == FREE {
        return true;
    }
    if number == STARTING || is_alive(number) {
        return false;
    }
    let _ = place.compare_exchange(number, FREE, Ordering::AcqRel, Ordering::Relaxed);
    true
}

/// The kernel gives numbers anew, so the name must be ours too.
fn is_alive(number: i32) -> bool {
    std::fs::read(format!("/proc/self/task/{number}/comm"))
        .is_ok_and(|name| name.starts_with(NAMES))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc;

    #[test]
    fn a_thread_is_waited_for_until_the_kernel_has_forgotten_it() {
        let deadline = Instant::now() + Duration::from_secs(20);
        let (tell, told) = mpsc::channel();
        let (end, ended) = mpsc::channel::<()>();
        spawn(move || {
            tell.send(sys::thread_id()).unwrap();
            let _ = ended.recv();
        })
        .unwrap();
        let number = told.recv_timeout(Duration::from_secs(20)).unwrap();
        assert!(is_alive(number));
        assert!(!wait_until_gone(Instant::now() + Duration::from_millis(5)));
        drop(end);
        while STARTED.iter().any(|p| p.load(Ordering::Acquire) == number) {
            // Other tests have threads of their own, so all of them need not be gone.
            wait_until_gone(Instant::now() + Duration::from_millis(5));
            assert!(Instant::now() < deadline);
        }
        assert!(!std::path::Path::new(&format!("/proc/self/task/{number}")).exists());
    }
}
