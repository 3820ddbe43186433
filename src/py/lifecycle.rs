//! What happens to pipelines when the process forks or ends, and how notices reach the log.

use std::cell::Cell;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant};

use pyo3::prelude::*;
use pyo3::types::PyDict;

use super::ffi::turn;
use crate::pipeline::{self, Pipeline};
use crate::sys;

/// Pipelines that may still have something to send: the current one, and retired ones.
static ALIVE: Mutex<Vec<Weak<Pipeline>>> = Mutex::new(Vec::new());

/// How long the end of the program may take for what is not sent yet.
const EXIT_TIMEOUT: Duration = Duration::from_secs(2);

/// Puts a pipeline in the place of the current one, which ends within `timeout`.
pub(crate) fn install(py: Python<'_>, new: Arc<Pipeline>, timeout: Duration) -> PyResult<()> {
    register_hooks(py)?;
    remember(&new);
    if let Some(old) = pipeline::replace(turn(py), Some(new)) {
        py.detach(|| old.retire(timeout));
        deliver(py, &old);
    }
    Ok(())
}

/// The pipelines that may still have something to send.
pub(crate) fn alive() -> Vec<Arc<Pipeline>> {
    let mut alive = ALIVE.lock().unwrap_or_else(PoisonError::into_inner);
    alive.retain(|pipeline| {
        pipeline
            .upgrade()
            .is_some_and(|pipeline| !pipeline.is_closed())
    });
    alive.iter().filter_map(Weak::upgrade).collect()
}

/// Ends all of them. True if everything was taken within `timeout`.
pub(crate) fn shutdown(py: Python<'_>, timeout: Duration) -> bool {
    let deadline = Instant::now() + timeout;
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
    pipeline::current(turn(py))
        .or_else(|| LAST.lock().unwrap_or_else(PoisonError::into_inner).clone())
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
pub(crate) fn is_delivering() -> bool {
    DELIVERING.get()
}

/// Passes the notices of a pipeline to `logging.getLogger("nanospan")`. No lock is held, and a
/// handler that raises is none of the application's business.
pub(crate) fn deliver(py: Python<'_>, pipeline: &Pipeline) {
    if is_delivering() || is_exiting() {
        return;
    }
    pass_on(py, pipeline);
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

/// Held while Python code that may wait for the interpreter runs below a frame of ours.
pub(crate) struct Below;

impl Below {
    /// None once the program has begun to end: then the thread must not call Python.
    pub(crate) fn enter() -> Option<Self> {
        if is_exiting() {
            return None;
        }
        BELOW.store(BELOW.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
        Some(Self)
    }
}

impl Drop for Below {
    fn drop(&mut self) {
        BELOW.store(BELOW.load(Ordering::Relaxed) - 1, Ordering::Relaxed);
    }
}

/// How long the end of the program waits for threads that are below a frame of ours.
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
    let logged = py.import("logging").and_then(|logging| {
        let logger = logging.call_method1("getLogger", ("nanospan",))?;
        for notice in notices {
            let text = match notice.count {
                1 => notice.text,
                count => format!("{} ({count} times)", notice.text),
            };
            // A handler that raises must not keep the other notices from the log.
            let _ = logger.call_method1("warning", ("%s", text));
        }
        Ok(())
    });
    DELIVERING.set(false);
    // Only an interpreter that is ending cannot import logging.
    drop(logged);
}

/// In a child made by `fork` every lock and thread of the parent's pipelines is lost: a new
/// pipeline with the same settings takes the current one's place, and the old are never touched.
#[pyfunction]
#[pyo3(name = "_after_fork_in_child")]
fn after_fork_in_child(py: Python<'_>) {
    sys::forked();
    let inherited = pipeline::replace(turn(py), None);
    let all = std::mem::take(&mut *ALIVE.lock().unwrap_or_else(PoisonError::into_inner));
    std::mem::forget(all);
    let last = LAST.lock().unwrap_or_else(PoisonError::into_inner).take();
    std::mem::forget(last);
    let Some(inherited) = inherited else { return };
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
    std::mem::forget(inherited);
}

/// Ends all pipelines, as the program does.
#[pyfunction]
#[pyo3(name = "_at_exit")]
fn at_exit(py: Python<'_>) {
    EXITING.store(true, Ordering::Relaxed);
    shutdown(py, EXIT_TIMEOUT);
    let deadline = Instant::now() + BELOW_TIMEOUT;
    while BELOW.load(Ordering::Relaxed) > 0 && Instant::now() < deadline {
        py.detach(|| std::thread::sleep(Duration::from_millis(1)));
    }
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
    let hooks = PyDict::new(py);
    hooks.set_item("after_in_child", wrap_pyfunction!(after_fork_in_child, py)?)?;
    py.import("os")?
        .call_method("register_at_fork", (), Some(&hooks))?;
    Ok(())
}
