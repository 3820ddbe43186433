//! Exceptions as events (OpenTelemetry semantic conventions, "Exceptions on spans").

mod frame;
mod stack_trace;

use pyo3::exceptions::PyBaseException;
use pyo3::prelude::*;
use pyo3::types::PyDict;

use super::ffi::turn;
use super::lifecycle;
use super::value::{Reader, pairs, text};
use crate::span::Span;

/// Adds the event that tells an exception's type, message and stack trace.
pub(crate) fn record(span: &Span, error: &Bound<'_, PyBaseException>) -> PyResult<()> {
    let Some(_below) = lifecycle::Below::enter() else {
        return Ok(());
    };
    let facts = attributes(error, None)?;
    let reader = Reader::new(span.trace().pipeline());
    let attributes = reader.attributes("error", Some(facts.as_any()))?;
    span.add_event(turn(error.py()), "exception", None, pairs(&attributes));
    Ok(())
}

/// What such an event tells; of `escaped` only OpenTelemetry's SDK tells.
pub(crate) fn attributes<'py>(
    error: &Bound<'py, PyBaseException>,
    escaped: Option<&str>,
) -> PyResult<Bound<'py, PyDict>> {
    let py = error.py();
    let facts = PyDict::new(py);
    facts.set_item("exception.type", type_name(error)?)?;
    let said = said(error);
    let stack_trace = stack_trace::stack_trace(error, said.as_deref());
    facts.set_item("exception.message", said.unwrap_or_default())?;
    facts.set_item("exception.stacktrace", stack_trace)?;
    if let Some(escaped) = escaped {
        facts.set_item("exception.escaped", escaped)?;
    }
    Ok(facts)
}

/// `module.Class`, or the bare name of a built-in one.
fn type_name(error: &Bound<'_, PyBaseException>) -> PyResult<String> {
    let kind = error.get_type();
    let name = kind.qualname()?;
    // A class may have anything as its `__module__`.
    let module = kind
        .module()
        .map_or_else(|_| "builtins".to_owned(), |m| m.to_string());
    Ok(if module == "builtins" {
        name.to_string()
    } else {
        format!("{module}.{name}")
    })
}

/// What the exception says; one that cannot say it says nothing.
pub(crate) fn message(error: &Bound<'_, PyBaseException>) -> String {
    said(error).unwrap_or_default()
}

/// None for one whose `__str__` raises.
fn said(error: &Bound<'_, PyBaseException>) -> Option<String> {
    Some(text(&error.str().ok()?).into_owned())
}
