//! What happens when the process forks: before it no thread of ours runs if that can be, in the
//! parent all goes on, and the child begins anew.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use pyo3::prelude::*;
use pyo3::types::PyDict;

use super::{ffi, lifecycle};
use crate::pipeline::Pipeline;
use crate::{sys, thread};

/// How long a fork waits for workers to end.
const REST_TIMEOUT: Duration = Duration::from_millis(50);

/// The pipelines whose workers rest for a fork, once for each fork under way.
static RESTING: Mutex<Vec<Arc<Pipeline>>> = Mutex::new(Vec::new());

fn take_resting() -> Vec<Arc<Pipeline>> {
    std::mem::take(&mut *RESTING.lock().unwrap_or_else(PoisonError::into_inner))
}

/// Before a fork: ends the workers that are not sending: what a thread has locked, a child finds locked for ever,
/// and Python warns when a process with threads forks.
#[pyfunction]
#[pyo3(name = "_before_fork")]
fn before_fork(py: Python<'_>) {
    lifecycle::register_with_multiprocessing(py);
    let alive = lifecycle::alive();
    for pipeline in &alive {
        pipeline.rest();
    }
    let mut resting = RESTING.lock().unwrap_or_else(PoisonError::into_inner);
    resting.extend(alive);
    drop(resting);
    py.detach(|| thread::wait_until_gone(Instant::now() + REST_TIMEOUT));
}

#[pyfunction]
#[pyo3(name = "_after_fork_in_parent")]
fn after_fork_in_parent(py: Python<'_>) {
    resume();
    drop(set_forker(current_frame(py).map(Bound::unbind)));
    // In another thread than the main one Python warns in any case, and the main thread may not
    // run Python for long.
    if !(sys::is_main_thread() && ffi::call_soon(py, catch_up_after_fork)) {
        catch_up();
    }
}

/// The frame that called `fork` last.
static FORKER: Mutex<Option<Py<PyAny>>> = Mutex::new(None);

/// Gives the one before: its end may run any code.
fn set_forker(frame: Option<Py<PyAny>>) -> Option<Py<PyAny>> {
    let mut forker = FORKER.lock().unwrap_or_else(PoisonError::into_inner);
    std::mem::replace(&mut *forker, frame)
}

/// Python 3.13 counts the threads after the hooks, so none is started before `fork` has come back
/// to its caller: a hook of somebody else may run first.
fn catch_up_after_fork() {
    Python::attach(|py| {
        let forker = set_forker(None);
        let is_forker = |frame: &Bound<'_, PyAny>| forker.as_ref().is_some_and(|f| frame.is(f));
        let current = current_frame(py).filter(|frame| !is_forker(frame));
        let mut frames = std::iter::successors(current, |frame| frame.getattr("f_back").ok());
        if frames.any(|frame| is_forker(&frame)) {
            drop(set_forker(forker));
            if ffi::call_soon(py, catch_up_after_fork) {
                return;
            }
        }
        catch_up();
    });
}

fn current_frame(py: Python<'_>) -> Option<Bound<'_, PyAny>> {
    let frame = py
        .import("sys")
        .and_then(|sys| sys.call_method0("_getframe"));
    frame.ok()
}

/// Lets the workers start again that rest for a fork.
pub(super) fn resume() {
    for pipeline in take_resting() {
        pipeline.resume();
    }
}

/// Starts the workers for whom something waits since before a fork.
fn catch_up() {
    for pipeline in lifecycle::alive() {
        pipeline.catch_up();
    }
}

#[pyfunction]
#[pyo3(name = "_after_fork_in_child")]
fn after_fork_in_child() {
    sys::forked();
    leave_parent();
}

/// The epoch to which the statics of this room belong.
static EPOCH: AtomicU32 = AtomicU32::new(0);

/// In a child made by `fork`, with Python's knowledge or without it, the threads of the parent's
/// pipelines are gone and their locks may be held for ever: a new pipeline with the same settings
/// takes the current one's place.
#[inline]
pub(super) fn leave_parent() {
    let epoch = sys::epoch();
    if epoch != EPOCH.load(Ordering::Relaxed) {
        begin_anew(epoch);
    }
}

#[cold]
fn begin_anew(epoch: u32) {
    let before = EPOCH.swap(epoch, Ordering::Relaxed);
    if before != 0 {
        thread::forget_all();
        drop(take_resting());
        Python::attach(lifecycle::be_reborn);
    }
}

/// Sees to it that Python says when it forks.
pub(super) fn register_hooks(py: Python<'_>) -> PyResult<()> {
    let hooks = PyDict::new(py);
    hooks.set_item("before", wrap_pyfunction!(before_fork, py)?)?;
    let in_parent = wrap_pyfunction!(after_fork_in_parent, py)?;
    hooks.set_item("after_in_parent", in_parent)?;
    hooks.set_item("after_in_child", wrap_pyfunction!(after_fork_in_child, py)?)?;
    py.import("os")?
        .call_method("register_at_fork", (), Some(&hooks))?;
    Ok(())
}
