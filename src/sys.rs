//! What only the operating system or the processor can tell or do: whether we are a forked child,
//! which signals a thread takes, and the time-stamp counter.
#![allow(unsafe_code, reason = "calls that std does not wrap")]

use std::sync::atomic::{AtomicPtr, AtomicU32, Ordering};

/// Forks so far, those of the parents included; kept over a fork, as all memory is.
static FORKS: AtomicU32 = AtomicU32::new(0);

/// Points to the number of this process. That lies on a page which the kernel gives a forked child
/// filled with zeros, so that also a fork which Python knows nothing of is noticed by one load.
/// Null until it is first asked for.
static NUMBER: AtomicPtr<AtomicU32> = AtomicPtr::new(std::ptr::null_mut());

/// What `NUMBER` points to where there is no such page: then only `forked` changes it.
static NOT_WIPED: AtomicU32 = AtomicU32::new(0);

/// Which process this is, counted in forks from the first: what another epoch made is inherited,
/// and its locks and threads are not ours.
#[inline(always)]
pub fn epoch() -> u32 {
    match number().load(Ordering::Relaxed) {
        0 => begin(number()),
        epoch => epoch,
    }
}

/// Begins a new epoch unless that is done already. For the one thread of a forked child.
pub fn forked() {
    if std::ptr::eq(number(), &raw const NOT_WIPED) {
        NOT_WIPED.store(0, Ordering::Relaxed);
    }
    epoch();
}

#[cold]
fn begin(number: &AtomicU32) -> u32 {
    let next = FORKS.fetch_add(1, Ordering::Relaxed) + 1;
    // Another thread of the child may have been faster: all must say the same.
    let begun = number.compare_exchange(0, next, Ordering::Relaxed, Ordering::Relaxed);
    begun.map_or_else(|first| first, |_| next)
}

#[inline(always)]
fn number() -> &'static AtomicU32 {
    let known = NUMBER.load(Ordering::Acquire);
    let number = if known.is_null() {
        find_number()
    } else {
        known
    };
    // SAFETY: `find_number` gives a static or the start of a page that is never unmapped, written
    // and read as this atomic only.
    unsafe { &*number }
}

#[cold]
fn find_number() -> *mut AtomicU32 {
    let made = wiped_page().unwrap_or_else(|| (&raw const NOT_WIPED).cast_mut());
    let first = NUMBER.compare_exchange(
        std::ptr::null_mut(),
        made,
        Ordering::AcqRel,
        Ordering::Acquire,
    );
    // Where two threads came at once, the second one's page stays unused.
    first.map_or_else(|first| first, |_| made)
}

/// A page of zeros that a forked child finds so again: Linux 4.14 and newer have it.
#[cfg(all(target_os = "linux", not(miri)))]
fn wiped_page() -> Option<*mut AtomicU32> {
    // The kernel rounds this up to a page, of whatever size its pages are.
    const LENGTH: usize = 4096;
    // SAFETY: an anonymous mapping at an address of the kernel's choice touches nobody else's
    // memory (mmap(2)); `madvise` and `munmap` get the same address and length.
    unsafe {
        let page = libc::mmap(
            std::ptr::null_mut(),
            LENGTH,
            libc::PROT_READ | libc::PROT_WRITE,
            libc::MAP_PRIVATE | libc::MAP_ANONYMOUS,
            -1,
            0,
        );
        if page == libc::MAP_FAILED {
            return None;
        }
        if libc::madvise(page, LENGTH, libc::MADV_WIPEONFORK) != 0 {
            libc::munmap(page, LENGTH);
            return None;
        }
        Some(page.cast())
    }
}

#[cfg(not(all(target_os = "linux", not(miri))))]
fn wiped_page() -> Option<*mut AtomicU32> {
    None
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

/// True in the thread that the process began with, or that forked it.
pub fn is_main_thread() -> bool {
    u32::try_from(thread_id()) == Ok(std::process::id())
}

/// What the kernel calls this thread; 0 where it has no such number.
#[cfg(target_os = "linux")]
pub fn thread_id() -> i32 {
    // The function `gettid` came with glibc 2.30; wheels must load where there is 2.17.
    // SAFETY: takes nothing and cannot fail (gettid(2)).
    unsafe { libc::syscall(libc::SYS_gettid) as i32 }
}

/// What the kernel calls this thread; 0 where it has no such number.
#[cfg(not(target_os = "linux"))]
pub fn thread_id() -> i32 {
    0
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
