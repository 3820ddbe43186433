//! The OpenTelemetry face: spans and tracers that every instrumentation takes for the SDK's, over the
//! same core. Nothing here is reached before `nanospan.otel` is imported, which needs
//! `opentelemetry-api`.
//!
//! | file | what is there |
//! |---|---|
//! | `api` | the classes and constants of `opentelemetry-api` that calls need |
//! | `context`, `token` | the current span in OpenTelemetry's own Context, and what else becomes current |
//! | `pending` | what was left in another context, and waits for its own |
//! | `provider`, `tracer`, `start` | who makes spans, and how one starts |
//! | `parent`, `ask` | what it starts under, and what the application's sampler and ids make of it |
//! | `span`, `attribute`, `link`, `read` | the handle that Python holds; what goes in, what comes out |
//! | `end` | the end of a span, and what Python's processors make of it |
//! | `block` | what `start_as_current_span` gives |
//! | `fast` | the short way of the calls that hot code makes |

mod api;
mod ask;
mod attribute;
mod block;
mod context;
mod end;
mod fast;
mod link;
mod parent;
mod pending;
mod provider;
mod read;
mod span;
mod start;
mod token;
mod tracer;

use pyo3::prelude::*;

use super::ffi::Recycled;
use super::scope;
use crate::context::SpanContext;
use crate::tracer::DEFAULT_NAMESPACE;
pub(crate) use block::PyOtelTemplate;
pub(crate) use context::{Entered, Left, current, enter, leave, set};
pub(crate) use end::{finish_native, hears_of_natives, processor_of_native, start_native};
pub(crate) use pending::{lost, read_by};
pub(crate) use provider::{PyProvider, share};
pub(crate) use span::PyOtelSpan;
pub(crate) use token::{PyContextToken, attach, detach, get_current};
pub(crate) use tracer::PyOtelTracer;

/// Gets ready, once: `nanospan.otel` calls it when it is imported, with the one span that no tracer
/// made.
#[pyfunction]
#[pyo3(name = "_install_otel")]
pub(crate) fn install(py: Python<'_>) -> PyResult<()> {
    if is_installed(py) {
        return Ok(());
    }
    let active = scope::of_namespace(py, DEFAULT_NAMESPACE)?.active(py)?;
    api::get_ready(py)?;
    PyOtelSpan::bin().install(py)?;
    fast::install_all(py)?;
    match active {
        Some(_) => scope::of_namespace(py, DEFAULT_NAMESPACE)?.set(py, active.as_ref()),
        None => Ok(()),
    }
}

/// True once this face is there.
#[inline]
pub(crate) fn is_installed(py: Python<'_>) -> bool {
    api::is_ready(py)
}

/// The context of the current span, where that is none of ours.
pub(crate) fn foreign_context(
    py: Python<'_>,
    span: &Bound<'_, PyAny>,
) -> PyResult<Option<SpanContext>> {
    let api = api::api(py)?;
    if !span.is_instance(api.span_class.bind(py))? {
        return Ok(None);
    }
    let context = span.call_method0("get_span_context")?;
    if !context.is_instance(api.span_context.bind(py))? {
        return Ok(None);
    }
    read::context_of(api, &context)
}
