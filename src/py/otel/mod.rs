//! The OpenTelemetry face: spans and tracers that every instrumentation takes for the SDK's, over the
//! same core. Nothing here is reached before `nanospan.otel` is imported, which needs
//! `opentelemetry-api`.
//!
//! | file | what is there |
//! |---|---|
//! | `api` | the classes and constants of `opentelemetry-api` that calls need |
//! | `context` | the current span in OpenTelemetry's own Context |
//! | `provider`, `tracer`, `start` | who makes spans, and how one starts |
//! | `span`, `attribute`, `read` | the handle that Python holds; what goes in, what comes out |
//! | `end` | the end of a span, and what Python's processors make of it |
//! | `block` | what `start_as_current_span` gives |
//! | `fast` | the short way of the calls that hot code makes |

mod api;
mod attribute;
mod block;
mod context;
mod end;
mod fast;
mod provider;
mod read;
mod span;
mod start;
mod tracer;

use pyo3::prelude::*;

use super::ffi::Recycled;
pub(crate) use block::PyOtelTemplate;
pub(crate) use context::{PyContextToken, attach, detach};
pub(crate) use provider::PyProvider;
pub(crate) use span::PyOtelSpan;
pub(crate) use tracer::PyOtelTracer;

/// Gets ready, once: `nanospan.otel` calls it when it is imported, with the one span that no tracer
/// made.
#[pyfunction]
#[pyo3(name = "_install_otel")]
pub(crate) fn install(py: Python<'_>) -> PyResult<()> {
    if api::is_ready(py) {
        return Ok(());
    }
    api::get_ready(py)?;
    let sample = Bound::new(py, PyOtelSpan::sample())?;
    PyOtelSpan::bin().install(&sample);
    fast::install_all(py)
}
