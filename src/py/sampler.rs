//! The samplers, as `configure` takes them.

use pyo3::prelude::*;

use super::argument;
use super::error::wrong_type;
use crate::sampler::{Ratio, Sampler};

/// Samples every span.
#[pyclass(frozen, eq, name = "AlwaysOn", module = "nanospan")]
#[derive(PartialEq, Eq)]
pub(crate) struct PyAlwaysOn;

#[pymethods]
impl PyAlwaysOn {
    #[new]
    fn new() -> Self {
        Self
    }

    #[allow(clippy::unused_self, reason = "what repr calls")]
    fn __repr__(&self) -> String {
        shown(&Sampler::AlwaysOn)
    }
}

/// Samples no span.
#[pyclass(frozen, eq, name = "AlwaysOff", module = "nanospan")]
#[derive(PartialEq, Eq)]
pub(crate) struct PyAlwaysOff;

#[pymethods]
impl PyAlwaysOff {
    #[new]
    fn new() -> Self {
        Self
    }

    #[allow(clippy::unused_self, reason = "what repr calls")]
    fn __repr__(&self) -> String {
        shown(&Sampler::AlwaysOff)
    }
}

/// Samples a share of the traces, by trace id: all services give the same answer for one trace.
///
/// `rate` is a number from 0 to 1; others raise `ValueError` (OpenTelemetry SDK specification,
/// "TraceIdRatioBased").
#[pyclass(frozen, eq, name = "TraceIdRatio", module = "nanospan")]
#[derive(PartialEq)]
pub(crate) struct PyTraceIdRatio(Ratio);

#[pymethods]
impl PyTraceIdRatio {
    #[new]
    fn new(rate: &Bound<'_, PyAny>) -> PyResult<Self> {
        argument::rate("rate", rate).map(Self)
    }

    /// The rate, from 0 to 1.
    #[getter]
    fn rate(&self) -> f64 {
        self.0.rate()
    }

    fn __repr__(&self) -> String {
        shown(&Sampler::TraceIdRatio(self.0))
    }
}

/// Does what the parent did; asks `root` for spans without a parent.
///
/// OpenTelemetry SDK specification, "ParentBased".
#[pyclass(frozen, eq, name = "ParentBased", module = "nanospan")]
#[derive(PartialEq)]
pub(crate) struct PyParentBased(Sampler);

#[pymethods]
impl PyParentBased {
    #[new]
    fn new(root: &Bound<'_, PyAny>) -> PyResult<Self> {
        read("root", root).map(Self)
    }

    fn __repr__(&self) -> String {
        format!("ParentBased({})", shown(&self.0))
    }
}

/// The call that makes it.
fn shown(sampler: &Sampler) -> String {
    match sampler {
        Sampler::AlwaysOn => "AlwaysOn()".to_owned(),
        Sampler::AlwaysOff => "AlwaysOff()".to_owned(),
        Sampler::TraceIdRatio(ratio) => format!("TraceIdRatio({:?})", ratio.rate()),
        Sampler::ParentBased(root) => format!("ParentBased({})", shown(root)),
    }
}

/// The core's sampler of one of ours.
pub(crate) fn read(argument: &str, came: &Bound<'_, PyAny>) -> PyResult<Sampler> {
    if came.is_instance_of::<PyAlwaysOn>() {
        Ok(Sampler::AlwaysOn)
    } else if came.is_instance_of::<PyAlwaysOff>() {
        Ok(Sampler::AlwaysOff)
    } else if let Ok(ratio) = came.cast::<PyTraceIdRatio>() {
        Ok(Sampler::TraceIdRatio(ratio.get().0))
    } else if let Ok(parent_based) = came.cast::<PyParentBased>() {
        Ok(Sampler::ParentBased(Box::new(parent_based.get().0.clone())))
    } else {
        Err(wrong_type(
            argument,
            "an AlwaysOn, AlwaysOff, TraceIdRatio or ParentBased",
            came,
        ))
    }
}
