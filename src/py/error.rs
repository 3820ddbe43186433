//! What raises: the one place where refusals become Python exceptions.

use pyo3::create_exception;
use pyo3::exceptions::{PyOSError, PyRuntimeError, PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::PyBytes;

use crate::pipeline::OpenError;

create_exception!(
    nanospan,
    ReleasedSpanError,
    PyRuntimeError,
    "The attributes, events and links of the span are gone.\n\n\
     They can be read until the span is released or its local trace is handed over to the\n\
     exporters, which happens when its root finishes, at `flush`, and when it waited for longer\n\
     than `max_coalescing_delay`.\n"
);

/// The longest piece of a wrong argument that a message repeats.
const SHOWN: usize = 100;

/// An argument of a type that is not allowed.
pub(crate) fn wrong_type(argument: &str, allowed: &str, came: &Bound<'_, PyAny>) -> PyErr {
    let (shown, kind) = (shown(came), kind(came));
    PyTypeError::new_err(format!(
        "{argument} must be {allowed}, got {shown} ({kind})"
    ))
}

/// The same for an argument whose value is not to be shown.
pub(crate) fn wrong_secret(argument: &str, allowed: &str, came: &Bound<'_, PyAny>) -> PyErr {
    PyTypeError::new_err(format!("{argument} must be {allowed}, got {}", kind(came)))
}

/// An argument of the right type with a value that is not allowed.
pub(crate) fn wrong_value(argument: &str, allowed: &str, came: &Bound<'_, PyAny>) -> PyErr {
    PyValueError::new_err(format!("{argument} must be {allowed}, got {}", shown(came)))
}

/// A call that the state of things does not allow.
pub(crate) fn misuse(text: String) -> PyErr {
    PyValueError::new_err(text)
}

/// Bytes of a length that is not allowed, or all zero.
pub(crate) fn wrong_bytes(argument: &str, allowed: &str, came: &Bound<'_, PyBytes>) -> PyErr {
    let (shown, length) = (shown(came), came.as_bytes().len());
    PyValueError::new_err(format!(
        "{argument} must be {allowed}, got {shown} ({length} bytes)"
    ))
}

/// A way out that cannot be opened: the `OSError` that Python's own `open` would raise.
pub(crate) fn cannot_open(error: OpenError) -> PyErr {
    let OpenError { path, error } = error;
    let text = error.to_string();
    let text = text
        .split(" (os error")
        .next()
        .unwrap_or_default()
        .to_owned();
    PyOSError::new_err((error.raw_os_error(), text, path))
}

fn kind(came: &Bound<'_, PyAny>) -> String {
    let name = came.get_type().name();
    name.map_or_else(|_| "?".to_owned(), |name| name.to_string())
}

/// `repr`, cut; an object that cannot say what it is must not hide the message.
fn shown(came: &Bound<'_, PyAny>) -> String {
    let text = came
        .repr()
        .map_or_else(|_| "an object without repr".to_owned(), |r| r.to_string());
    match text.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}
