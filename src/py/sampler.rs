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
