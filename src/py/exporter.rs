//! The exporters, as `configure` takes them.

use std::path::{Path, PathBuf};
use std::time::Duration;

use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyTuple};

use super::data::read;
use super::error::wrong_type;
use super::lifecycle;
use crate::Memory;

/// Appends each export to a file as a line of OTLP/JSON.
///
/// `nanospan view` and the Collector's `otlpjsonfile` receiver read it. `path` is text, bytes or a
/// path object. `configure` opens the file, and raises `OSError` if it cannot.
#[pyclass(frozen, name = "FileExporter", module = "nanospan")]
pub(crate) struct PyFileExporter(PathBuf);

#[pymethods]
impl PyFileExporter {
    #[new]
    fn new(path: &Bound<'_, PyAny>) -> PyResult<Self> {
        let wrong = |_| wrong_type("path", "a str, bytes or os.PathLike", path);
        let decoded = path
            .py()
            .import("os")?
            .call_method1("fsdecode", (path,))
            .map_err(wrong)?;
        decoded.extract().map(Self)
    }

    fn __repr__(&self, py: Python<'_>) -> PyResult<String> {
        let path = self.0.as_os_str().into_pyobject(py)?;
        Ok(format!("FileExporter({})", path.repr()?))
    }
}

impl PyFileExporter {
    pub(crate) fn path(&self) -> &Path {
        &self.0
    }
}

/// Draws each trace on the standard error stream.
#[pyclass(frozen, name = "ConsoleExporter", module = "nanospan")]
pub(crate) struct PyConsoleExporter;

#[pymethods]
impl PyConsoleExporter {
    #[new]
    fn new() -> Self {
        Self
    }

    #[allow(clippy::unused_self, reason = "what repr calls")]
    fn __repr__(&self) -> &'static str {
        "ConsoleExporter()"
    }
}

/// Keeps what is exported in memory, for tests.
#[pyclass(frozen, name = "MemoryExporter", module = "nanospan")]
pub(crate) struct PyMemoryExporter(Memory);

/// How long reading waits for spans that were handed over and have not arrived.
const ARRIVAL_TIMEOUT: Duration = Duration::from_secs(2);

#[pymethods]
impl PyMemoryExporter {
    #[new]
    fn new() -> Self {
        Self(Memory::default())
    }

    #[allow(clippy::unused_self, reason = "what repr calls")]
    fn __repr__(&self) -> &'static str {
        "MemoryExporter()"
    }

    /// The spans exported so far, in the order in which they came.
    ///
    /// Waits, for at most two seconds, until what was handed over before has arrived. A local trace
    /// whose root is open keeps its spans until `flush`.
    fn spans<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyTuple>> {
        let batches = self.arrived(py);
        PyTuple::new(
            py,
            batches
                .iter()
                .flat_map(|batch| read(batch))
                .collect::<Vec<_>>(),
        )
    }

    /// Forgets the spans exported so far.
    fn clear(&self, py: Python<'_>) {
        self.arrived(py);
        self.0.clear();
    }

    /// The `ExportTraceServiceRequest` of each export.
    fn _otlp<'py>(&self, py: Python<'py>) -> Vec<Bound<'py, PyBytes>> {
        self.arrived(py)
            .iter()
            .map(|batch| PyBytes::new(py, batch))
            .collect()
    }
}

impl PyMemoryExporter {
    pub(crate) fn memory(&self) -> Memory {
        self.0.clone()
    }

    fn arrived(&self, py: Python<'_>) -> Vec<Vec<u8>> {
        for pipeline in lifecycle::alive() {
            py.detach(|| pipeline.drain(ARRIVAL_TIMEOUT));
        }
        self.0.batches()
    }
}
