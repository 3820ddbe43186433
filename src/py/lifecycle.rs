//! Which pipelines there are, what happens to them when the process ends, and how notices reach
//! the log.

use std::cell::Cell;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant};

use pyo3::exceptions::PyKeyboardInterrupt;
use pyo3::prelude::*;

use super::ffi::{self, turn};
use super::flush::flush_within;
use super::fork;
use crate::pipeline::{self, Pipeline};
use crate::span::Span;
use crate::sys;

// The statics here and in `pipeline` are used only by threads that hold the interpreter, and never
// while they let go of it. So whoever may run Python in a forked child finds their locks free.

/// Pipelines that may still have something to send: the current one, and retired ones.
static ALIVE: Mutex<Vec<Weak<Pipeline>>> = Mutex::new(Vec::new());

/// How long the end of the program may take for what is not sent yet.
const EXIT_TIMEOUT: Duration = Duration::from_secs(2);

/// Puts a pipeline in the place of the current one, which ends within `timeout`.
pub(crate) fn install(py: Python<'_>, new: Arc<Pipeline>, timeout: Duration) -> PyResult<()> {
    fork::leave_parent();
    register_hooks(py)?;
    register_with_multiprocessing(py);
    remember(&new);
    if let Some(old) = pipeline::replace(turn(py), Some(new)) {
        retire(py, &old, timeout);
        deliver(py, &old);
    }
    Ok(())
}

/// Lets a pipeline whose place another has taken end by itself; what has finished is sent within `timeout`.
pub(crate) fn retire(py: Python<'_>, old: &Arc<Pipeline>, timeout: Duration) {
    let deadline = Instant::now() + timeout;
    let flush = old.begin_flush(turn(py));
    py.detach(|| old.retire(flush, deadline));
}

/// Takes in a pipeline that is not the current one: it is flushed and ended with the others.
pub(crate) fn adopt(py: Python<'_>, pipeline: &Arc<Pipeline>) -> PyResult<()> {
    fork::leave_parent();
    register_hooks(py)?;
    register_with_multiprocessing(py);
    remember(pipeline);
    Ok(())
}

/// The pipelines that may still have something to send. Their workers are there to do it, even
/// between a hook that another one has set before a fork, and the fork.
pub(crate) fn alive() -> Vec<Arc<Pipeline>> {
    fork::leave_parent();
    fork::resume();
    let mut alive = ALIVE.lock().unwrap_or_else(PoisonError::into_inner);
    alive.retain(|pipeline| {
        pipeline
            .upgrade()
            .is_some_and(|pipeline| !pipeline.is_closed())
    });
    alive.iter().filter_map(Weak::upgrade).collect()
}

/// The pipeline that new spans go to.
pub(crate) fn current(py: Python<'_>) -> Option<Arc<Pipeline>> {
    fork::leave_parent();
    pipeline::current(turn(py))
}

/// True when there is one.
#[inline]
pub(crate) fn is_configured(py: Python<'_>) -> bool {
    fork::leave_parent();
    pipeline::is_configured(turn(py))
}

/// True when there is a pipeline.
#[pyfunction]
#[pyo3(name = "_is_configured")]
pub(crate) fn is_configured_now(py: Python<'_>) -> bool {
    is_configured(py)
}

/// Ends all of them. True if everything was taken within `timeout`.
pub(crate) fn shutdown(py: Python<'_>, timeout: Duration) -> bool {
    let deadline = Instant::now() + timeout;
    fork::leave_parent();
    let current = pipeline::replace(turn(py), None);
    let mut sent = true;
    let begin = |pipeline: Arc<Pipeline>| {
        let flush = pipeline.begin_shutdown(turn(py), deadline);
        (pipeline, flush)
    };
    // All at once: one that fails must not take the time of another.
    let ending: Vec<_> = alive().into_iter().map(begin).collect();
    for (pipeline, flush) in ending {
        sent &= py.detach(|| pipeline.end_shutdown(flush, deadline));
        if !is_exiting() || is_heard(py) {
            pass_on(py, &pipeline);
        }
    }
    if let Some(current) = current {
        *LAST.lock().unwrap_or_else(PoisonError::into_inner) = Some(current);
    }
    sent
}

/// The pipeline that `shutdown` ended, for `stats`.
static LAST: Mutex<Option<Arc<Pipeline>>> = Mutex::new(None);

/// The current pipeline, or the last one.
pub(crate) fn current_or_last(py: Python<'_>) -> Option<Arc<Pipeline>> {
    current(py).or_else(|| LAST.lock().unwrap_or_else(PoisonError::into_inner).clone())
}

fn remember(pipeline: &Arc<Pipeline>) {
    let mut alive = ALIVE.lock().unwrap_or_else(PoisonError::into_inner);
    alive.retain(|known| known.strong_count() > 0);
    alive.push(Arc::downgrade(pipeline));
}

thread_local! {
    static DELIVERING: Cell<bool> = const { Cell::new(false) };
}

/// True while this thread is in a log handler that a notice of ours called: what it traces would
/// trace itself.
#[inline(always)]
pub(crate) fn is_delivering() -> bool {
    DELIVERERS.load(Ordering::Relaxed) > 0 && this_thread_is_delivering()
}

// To find a thread's own variable is a call, which would be made ahead of the question before it.
#[cold]
#[inline(never)]
fn this_thread_is_delivering() -> bool {
    DELIVERING.get()
}

/// How many threads are: nearly always none, and then none asks for its own.
static DELIVERERS: AtomicUsize = AtomicUsize::new(0);

/// Passes the notices of a pipeline to `logging.getLogger("nanospan")`. No lock is held, and a
/// handler that raises is none of the application's business.
pub(crate) fn deliver(py: Python<'_>, pipeline: &Pipeline) {
    if is_delivering() || is_exiting() {
        return;
    }
    pass_on(py, pipeline);
}

/// The same where a trace ends, if anything waits.
#[inline(always)]
pub(crate) fn deliver_at_root(py: Python<'_>, root: &Span) {
    if root.trace().pipeline().notices().are_waiting() {
        deliver_of(py, root);
    }
}

#[cold]
fn deliver_of(py: Python<'_>, root: &Span) {
    if !root.is_inherited() {
        deliver(py, root.trace().pipeline());
    }
}

/// True once the program has begun to end. From then on only the thread that ends it calls Python
/// from here: before 3.14 CPython ends daemon threads with `pthread_exit` where they wait for the
/// interpreter, and below a Rust frame that aborts the process.
pub(crate) fn is_exiting() -> bool {
    EXITING.load(Ordering::Relaxed)
}

static EXITING: AtomicBool = AtomicBool::new(false);

/// Threads that run the application's Python code below a frame of ours. Changed only by a thread
/// that holds the interpreter.
static BELOW: AtomicUsize = AtomicUsize::new(0);

/// Held while Python code that may wait for the interpreter runs below a frame of ours. The epoch
/// is that in which it was counted.
pub(crate) struct Below(u32);

impl Below {
    /// None once the program has begun to end: then the thread must not call Python.
    pub(crate) fn enter() -> Option<Self> {
        if is_exiting() {
            return None;
        }
        fork::leave_parent();
        BELOW.store(BELOW.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
        Some(Self(sys::epoch()))
    }
}

impl Drop for Below {
    fn drop(&mut self) {
        fork::leave_parent();
        if self.0 == sys::epoch() {
            BELOW.store(BELOW.load(Ordering::Relaxed) - 1, Ordering::Relaxed);
        }
    }
}

/// How long the end of the program waits at least for threads that are below a frame of ours.
const BELOW_TIMEOUT: Duration = Duration::from_millis(100);

/// True if the program configured its log. Where it did not, Python prints warnings on the standard
/// error stream: welcome while a program runs, but not as its last words.
fn is_heard(py: Python<'_>) -> bool {
    let heard = || {
        let modules = py.import("sys")?.getattr("modules")?;
        // Not imported here: a program that ends has no use for it.
        let logging = modules.get_item("logging")?;
        let logger = logging.call_method1("getLogger", ("nanospan",))?;
        logger.call_method0("hasHandlers")?.extract::<bool>()
    };
    heard().unwrap_or(false)
}

fn pass_on(py: Python<'_>, pipeline: &Pipeline) {
    let notices = pipeline.notices().take();
    if notices.is_empty() {
        return;
    }
    DELIVERING.set(true);
    DELIVERERS.fetch_add(1, Ordering::Relaxed);
    // PyO3 learns that the thread is attached, and lets go of errors at once.
    let interrupted = Python::try_attach(|_| {
        // Only an interpreter that is ending cannot import logging.
        let logger = py
            .import("logging")
            .and_then(|logging| logging.call_method1("getLogger", ("nanospan",)));
        let Ok(logger) = logger else { return false };
        let mut interrupted = false;
        for notice in notices {
            let text = match notice.count {
                1 => notice.text,
                count => format!("{} ({count} times)", notice.text),
            };
            // A handler that raises must not keep the other notices from the log.
            if let Err(error) = logger.call_method1("warning", ("%s", text)) {
                interrupted |= error.is_instance_of::<PyKeyboardInterrupt>(py);
            }
        }
        interrupted
    });
    DELIVERERS.fetch_sub(1, Ordering::Relaxed);
    DELIVERING.set(false);
    if interrupted == Some(true) {
        // Somebody wants the program to stop: the application hears of it, not its log handler.
        ffi::interrupt(py);
    }
}

/// In a forked child the threads of the parent's pipelines are gone and their locks may be held for
/// ever: a new pipeline with the same settings takes the current one's place.
pub(super) fn be_reborn(py: Python<'_>) {
    BELOW.store(0, Ordering::Relaxed);
    ALIVE.lock().unwrap_or_else(PoisonError::into_inner).clear();
    let last = LAST.lock().unwrap_or_else(PoisonError::into_inner).take();
    let inherited = pipeline::replace(turn(py), None);
    if let Some(inherited) = &inherited {
        if let Ok(reborn) = inherited.reborn() {
            remember(&reborn);
            pipeline::replace(turn(py), Some(reborn));
        } else {
            // Its file cannot be opened again: the child goes on without tracing, and says so.
            let logging = py
                .import("logging")
                .and_then(|l| l.call_method1("getLogger", ("nanospan",)));
            let text = "a trace file could not be opened in a forked child: it records no spans";
            let _ = logging.and_then(|logger| logger.call_method1("warning", (text,)));
        }
    }
    // Whoever was at work in one of these when the process forked, holds it, and so keeps what he
    // worked with from being closed here. What rests has no connections.
    drop((last, inherited));
}

/// What the end of the program has left of `EXIT_TIMEOUT`: a worker of `multiprocessing` ends in
/// two or three steps.
static EXIT_TIME: Mutex<Duration> = Mutex::new(EXIT_TIMEOUT);

fn within_exit_time<T>(work: impl FnOnce(Duration) -> T) -> T {
    let left = *EXIT_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    let begun = Instant::now();
    let result = work(left);
    let left = left.saturating_sub(begun.elapsed());
    *EXIT_TIME.lock().unwrap_or_else(PoisonError::into_inner) = left;
    result
}

/// Sends what has finished, in the time that the end of the program may take.
#[pyfunction]
#[pyo3(name = "_flush_at_exit")]
fn flush_at_exit(py: Python<'_>) {
    within_exit_time(|left| {
        flush_within(py, left);
    });
}

/// Ends all pipelines, as the program does.
#[pyfunction]
#[pyo3(name = "_at_exit")]
fn at_exit(py: Python<'_>) {
    EXITING.store(true, Ordering::Relaxed);
    within_exit_time(|left| {
        shutdown(py, left);
    });
    within_exit_time(|left| {
        let deadline = Instant::now() + left.max(BELOW_TIMEOUT);
        while BELOW.load(Ordering::Relaxed) > 0 && Instant::now() < deadline {
            py.detach(|| std::thread::sleep(Duration::from_millis(1)));
        }
    });
}

/// Registers the hooks of this process once. The first caller does it; another thread that comes
/// meanwhile need not wait, since nothing exits or forks in between that matters to it.
fn register_hooks(py: Python<'_>) -> PyResult<()> {
    static REGISTERED: AtomicBool = AtomicBool::new(false);
    if REGISTERED.swap(true, Ordering::Relaxed) {
        return Ok(());
    }
    py.import("atexit")?
        .call_method1("register", (wrap_pyfunction!(at_exit, py)?,))?;
    fork::register_hooks(py)
}

/// Where `multiprocessing` has been imported, its workers send what they have before they end.
pub(super) fn register_with_multiprocessing(py: Python<'_>) {
    let register = || {
        let modules = py.import("sys")?.getattr("modules")?;
        if modules.contains("multiprocessing.util")? {
            py.import("nanospan._multiprocessing")?
                .call_method1("register", (wrap_pyfunction!(flush_at_exit, py)?,))?;
        }
        PyResult::Ok(())
    };
    // A program may have put anything there: that is no reason for `configure` to fail.
    let _ = register();
}
