//! Exceptions as events (OpenTelemetry semantic conventions, "Exceptions on spans").

use pyo3::exceptions::PyBaseException;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyString};

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
    facts.set_item("exception.message", message(error))?;
    facts.set_item("exception.stacktrace", stack_trace(py, error))?;
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
    error
        .str()
        .map_or_else(|_| String::new(), |message| text(&message).into_owned())
}

/// Longer traces keep their end, where the error is.
const MAX_STACK_TRACE: usize = 25_000;

fn stack_trace(py: Python<'_>, error: &Bound<'_, PyBaseException>) -> Option<String> {
    let lines = py
        .import("traceback")
        .ok()?
        .call_method1("format_exception", (error,))
        .ok()?;
    let joined = PyString::new(py, "").call_method1("join", (lines,)).ok()?;
    let text = text(joined.cast::<PyString>().ok()?).into_owned();
    let surplus = text.len().saturating_sub(MAX_STACK_TRACE);
    let start = (surplus..=text.len()).find(|index| text.is_char_boundary(*index))?;
    Some(if start == 0 {
        text
    } else {
        format!("…{}", &text[start..])
    })
}
