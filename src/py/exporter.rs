//! The exporters, as `configure` takes them.

use std::path::{Path, PathBuf};
use std::time::Duration;

use hyper::header::{self, HeaderName, HeaderValue};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyMapping, PyString, PyTuple};

use super::argument::{self, Given};
use super::data::read;
use super::error::{misuse, wrong_secret, wrong_type, wrong_value};
use super::lifecycle;
use super::value::text;
use crate::{Endpoint, HttpConfig, Memory, redacted};

/// Sends each export to a collector: OTLP in protobuf over HTTP.
///
/// `endpoint` is an `http://` or `https://` URL; one without a path gets `/v1/traces`, any other
/// path is used as it is; None is `http://localhost:4318`. `headers` are sent with every request.
/// One request may take `timeout` seconds. `compression` is "gzip" or "none"; None compresses for
/// all hosts but this machine. Certificates are checked against the system's roots, or those of
/// `SSL_CERT_FILE` and `SSL_CERT_DIR`.
///
/// What a collector cannot take now is tried again for a minute, then dropped and counted. Raises
/// `TypeError` or `ValueError` naming the argument.
#[pyclass(frozen, name = "OtlpExporter", module = "nanospan")]
pub(crate) struct PyOtlpExporter(HttpConfig);

#[pymethods]
impl PyOtlpExporter {
    #[new]
    #[pyo3(signature = (endpoint=None, *, headers=None, timeout=Given::Missing, compression=None),
           text_signature = "(endpoint=None, *, headers=None, timeout=10.0, compression=None)")]
    fn new(
        endpoint: Option<&Bound<'_, PyAny>>,
        headers: Option<&Bound<'_, PyAny>>,
        timeout: Given<'_>,
        compression: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<Self> {
        let mut config = match endpoint {
            Some(came) => HttpConfig::new(endpoint_of(came)?),
            None => HttpConfig::default(),
        };
        if let Some(came) = headers {
            add_headers(&mut config, came)?;
        }
        if let Some(came) = timeout.as_ref() {
            config.timeout = argument::seconds("timeout", came)?;
            if config.timeout.is_zero() {
                return Err(wrong_value("timeout", "more than 0 seconds", came));
            }
        }
        if let Some(came) = compression {
            const ALLOWED: &str = "\"gzip\", \"none\" or None";
            let name = came.cast::<PyString>();
            let name = name.map_err(|_| wrong_type("compression", ALLOWED, came))?;
            config.gzip = match &*text(name) {
                "gzip" => true,
                "none" => false,
                _ => return Err(wrong_value("compression", ALLOWED, came)),
            };
        }
        Ok(Self(config))
    }

    fn __repr__(&self) -> String {
        let HttpConfig {
            endpoint,
            headers,
            timeout,
            gzip,
        } = &self.0;
        // The values are secrets more often than not.
        let headers: Vec<_> = headers.keys().map(HeaderName::as_str).collect();
        let (timeout, compression) = (timeout.as_secs_f64(), if *gzip { "gzip" } else { "none" });
        format!(
            "OtlpExporter('{endpoint}', headers={headers:?}, timeout={timeout:?}, \
             compression={compression:?})"
        )
    }
}

impl PyOtlpExporter {
    pub(crate) fn config(&self) -> HttpConfig {
        self.0.clone()
    }
}

fn endpoint_of(came: &Bound<'_, PyAny>) -> PyResult<Endpoint> {
    let url = came
        .cast::<PyString>()
        .map_err(|_| wrong_type("endpoint", "a str or None", came))?;
    let url = text(url);
    Endpoint::parse(&url).map_err(|allowed| {
        let shown = redacted(&url);
        misuse(format!("endpoint must be {allowed}, got {shown:?}"))
    })
}

/// Values stay out of every message.
fn add_headers(config: &mut HttpConfig, came: &Bound<'_, PyAny>) -> PyResult<()> {
    const ALLOWED: &str = "a mapping of str to str, or None";
    // These say how the request itself is written.
    const OURS: [HeaderName; 6] = [
        header::CONNECTION,
        header::CONTENT_ENCODING,
        header::CONTENT_LENGTH,
        header::CONTENT_TYPE,
        header::TRANSFER_ENCODING,
        header::UPGRADE,
    ];
    let mapping = came
        .cast::<PyMapping>()
        .map_err(|_| wrong_secret("headers", ALLOWED, came))?;
    for item in mapping.items()? {
        let (name, value): (Bound<'_, PyAny>, Bound<'_, PyAny>) = item.extract()?;
        let Ok(name) = name.cast::<PyString>() else {
            return Err(wrong_type("headers", ALLOWED, &name));
        };
        let name = text(name);
        let argument = format!("headers[{name:?}]");
        let Ok(value) = value.cast::<PyString>() else {
            return Err(wrong_secret(&argument, "a str", &value));
        };
        let parsed: HeaderName = name
            .parse()
            .map_err(|_| misuse(format!("headers must have names of HTTP, got {name:?}")))?;
        if OURS.contains(&parsed) {
            return Err(misuse(format!(
                "headers must leave {parsed} to nanospan, got it"
            )));
        }
        let value = text(value);
        let visible = value
            .is_ascii()
            .then(|| HeaderValue::from_str(&value).ok())
            .flatten();
        let Some(mut value) = visible else {
            let allowed = "visible ASCII characters, spaces and tabs";
            return Err(misuse(format!("{argument} must be {allowed}, got others")));
        };
        value.set_sensitive(true);
        config.headers.insert(parsed, value);
    }
    Ok(())
}

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
