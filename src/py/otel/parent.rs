//! What a span starts under.

use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;

use super::api::Api;
use super::context::current;
use super::read::context_of;
use super::span::PyOtelSpan;
use crate::context::SpanContext;
use crate::id::TraceId;

/// What a span starts under.
pub(super) enum ParentSpan<'py> {
    /// Nothing: it begins a trace.
    None,
    /// Something with a context that is not valid, as good as nothing.
    Invalid(Bound<'py, PyAny>),
    /// A span of ours.
    Ours(Bound<'py, PyOtelSpan>),
    /// Anything else that has a context, a valid one.
    Known {
        context: SpanContext,
        python: Bound<'py, PyAny>,
    },
}

impl<'py> ParentSpan<'py> {
    /// The span in a Context, or in the current one.
    pub(super) fn find(
        py: Python<'py>,
        api: &Api,
        context: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<Self> {
        let Some(span) = current(py, context)? else {
            return Ok(Self::None);
        };
        let span = match span.cast_into_exact::<PyOtelSpan>() {
            Ok(span) => return Ok(Self::Ours(span)),
            Err(other) => other.into_inner(),
        };
        if !span.is_instance(api.span_class.bind(py))? {
            return Ok(Self::None);
        }
        let python = span.call_method0("get_span_context")?;
        if python.is_none() {
            return Ok(Self::None);
        }
        if !python.is_instance(api.span_context.bind(py))? {
            return Err(PyTypeError::new_err(
                "parent_span_context must be a SpanContext or None.",
            ));
        }
        Ok(match context_of(api, &python)? {
            Some(context) => Self::Known { context, python },
            None => Self::Invalid(python),
        })
    }

    /// The trace that it is in, if a span under it is in that too.
    pub(super) fn trace_id(&self) -> Option<TraceId> {
        match self {
            Self::None | Self::Invalid(_) => None,
            Self::Ours(span) => Some(span.get().core().trace().trace_id()),
            Self::Known { context, .. } => Some(context.trace_id),
        }
    }

    /// The `opentelemetry.trace.SpanContext`.
    pub(super) fn python(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyAny>>> {
        match self {
            Self::None => Ok(None),
            Self::Ours(span) => span.get().python_context(py).map(Some),
            Self::Invalid(python) | Self::Known { python, .. } => Ok(Some(python.clone())),
        }
    }
}
