//! `flush`, and what `flush_async` awaits.

use std::sync::Arc;
use std::time::{Duration, Instant};

use pyo3::prelude::*;

use super::argument::{self, Given};
use super::ffi::turn;
use super::lifecycle;
use crate::pipeline::{Flush, Pipeline};

/// Hands over everything that has finished and waits until it was sent.
///
/// Waits for at most `timeout` seconds. True only if every exporter took all of it. Raises
/// `TypeError` or `ValueError` for a timeout that is no number of seconds from 0 to 3600.
#[pyfunction]
#[pyo3(signature = (timeout=Given::Missing), text_signature = "(timeout=2.0)")]
pub(crate) fn flush(py: Python<'_>, timeout: Given<'_>) -> PyResult<bool> {
    Ok(flush_within(py, timeout_of(&timeout)?))
}

/// Hands over what has finished. True if every exporter took all of it within `timeout`.
pub(super) fn flush_within(py: Python<'_>, timeout: Duration) -> bool {
    let deadline = Instant::now() + timeout;
    let mut sent = true;
    for (pipeline, flush) in begin(py) {
        sent &= py.detach(|| pipeline.end_flush(flush, deadline));
        lifecycle::deliver(py, &pipeline);
    }
    sent
}

/// All at once: a pipeline that fails must not take the time of another.
fn begin(py: Python<'_>) -> Vec<(Arc<Pipeline>, Flush)> {
    let begin = |pipeline: Arc<Pipeline>| {
        let flush = pipeline.begin_flush(turn(py));
        (pipeline, flush)
    };
    lifecycle::alive().into_iter().map(begin).collect()
}

/// A flush that has begun.
// An event loop asks it again and again: the worker never calls Python, so it can wake nobody, and
// a thread that waits instead would have to be had in time.
#[pyclass(frozen, name = "Flush", module = "nanospan._core")]
pub(crate) struct PyFlush {
    flushes: Vec<(Arc<Pipeline>, Flush)>,
    deadline: Instant,
}

#[pymethods]
impl PyFlush {
    #[new]
    #[pyo3(signature = (timeout), text_signature = "(timeout)")]
    fn new(py: Python<'_>, timeout: Given<'_>) -> PyResult<Self> {
        let deadline = Instant::now() + timeout_of(&timeout)?;
        let flushes = begin(py);
        Ok(Self { flushes, deadline })
    }

    /// What `flush` returns, None while it would wait.
    fn poll(&self, py: Python<'_>) -> Option<bool> {
        let mut sent = Some(true);
        for (pipeline, flush) in &self.flushes {
            if pipeline.is_inherited() {
                return Some(false);
            }
            sent = match pipeline.flushed(*flush) {
                Some(all) => sent.map(|sent| sent & all),
                None => None,
            };
        }
        if sent.is_none() && Instant::now() < self.deadline {
            return None;
        }
        for (pipeline, _) in &self.flushes {
            lifecycle::deliver(py, pipeline);
        }
        Some(sent == Some(true))
    }
}

/// The argument `timeout`: two seconds where it is left out.
pub(crate) fn timeout_of(timeout: &Given<'_>) -> PyResult<Duration> {
    timeout.as_ref().map_or(Ok(Duration::from_secs(2)), |came| {
        argument::seconds("timeout", came)
    })
}
