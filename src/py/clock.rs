//! A clock and ids for tests.

use std::sync::Arc;

use pyo3::prelude::*;

use super::error::misuse;
use crate::clock::{Clock, ManualClock};
use crate::id::{Script, SpanId, TraceId};

/// A clock that only moves by hand.
#[pyclass(frozen, name = "ManualClock", module = "nanospan._core")]
pub(crate) struct PyManualClock(Arc<ManualClock>);

#[pymethods]
impl PyManualClock {
    #[new]
    fn new(now_ns: u64) -> Self {
        Self(Arc::new(ManualClock::new(now_ns)))
    }

    /// Nanoseconds since 1970.
    #[getter]
    fn now_ns(&self) -> u64 {
        self.0.now_ns()
    }

    /// Moves it forward by `ns` nanoseconds.
    fn tick(&self, ns: u64) {
        self.0.tick(ns);
    }
}

impl PyManualClock {
    pub(crate) fn clock(&self) -> Clock {
        Clock::Manual(Arc::clone(&self.0))
    }
}

/// Ids given in order, and random ones when they are used up.
#[pyclass(frozen, name = "ScriptedIds", module = "nanospan._core")]
pub(crate) struct PyScriptedIds(Script);

#[pymethods]
impl PyScriptedIds {
    #[new]
    fn new(trace_ids: Vec<[u8; 16]>, span_ids: Vec<[u8; 8]>) -> PyResult<Self> {
        let zero = || misuse("ids must not be all zero".to_owned());
        let trace_ids = trace_ids
            .into_iter()
            .map(|id| TraceId::new(id).ok_or_else(zero));
        let span_ids = span_ids
            .into_iter()
            .map(|id| SpanId::new(id).ok_or_else(zero));
        Ok(Self(Script {
            trace_ids: trace_ids.collect::<PyResult<_>>()?,
            span_ids: span_ids.collect::<PyResult<_>>()?,
        }))
    }
}

impl PyScriptedIds {
    pub(crate) fn script(&self) -> Script {
        self.0.clone()
    }
}
