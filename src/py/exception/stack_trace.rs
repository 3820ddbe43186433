//! The text of an exception and of those that led to it: what `traceback.format_exception` gives, put
//! together from frames that are known. What it tells in a way of its own is left to it: groups,
//! notes, syntax errors, suggestions of names, a limit in `sys.tracebacklimit`.

use std::borrow::Cow;
use std::sync::Arc;

use pyo3::exceptions::{
    PyAttributeError, PyBaseException, PyImportError, PyNameError, PySyntaxError,
};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyString};

use super::super::value::text;
use super::frame::{self, Frame};
use super::said;

/// Bytes. Longer texts keep their end, where the error is.
const MAX_TEXT: usize = 25_000;
/// Deeper tracebacks keep these frames at their end. As many as Python's own limit lets run, so that
/// an endless recursion is told whole.
const MAX_FRAMES: usize = 1_000;
/// Further frames of the same place are counted, not told: `_RECURSIVE_CUTOFF` in traceback.py.
const MAX_REPEATED: usize = 3;

const CAUSE: &str = "\nThe above exception was the direct cause of the following exception:\n\n";
const CONTEXT: &str = "\nDuring handling of the above exception, another exception occurred:\n\n";

/// What is told of an exception that says `said`; None where not even `traceback` can tell.
pub(super) fn stack_trace(
    error: &Bound<'_, PyBaseException>,
    said: Option<&str>,
) -> Option<String> {
    let usual = said.and_then(|said| chain(error, said).ok().flatten());
    let text = match usual {
        Some(text) => text,
        None => unusual(error).ok()?,
    };
    let surplus = text.len().saturating_sub(MAX_TEXT);
    let start = (surplus..=text.len()).find(|index| text.is_char_boundary(*index))?;
    Some(if start == 0 {
        text
    } else {
        format!("…{}", &text[start..])
    })
}

fn unusual(error: &Bound<'_, PyBaseException>) -> PyResult<String> {
    let py = error.py();
    let lines = py
        .import(intern!(py, "traceback"))?
        .call_method1(intern!(py, "format_exception"), (error,))?;
    let joined = PyString::new(py, "").call_method1(intern!(py, "join"), (lines,))?;
    Ok(text(joined.cast::<PyString>()?).into_owned())
}

/// The exception with its causes before it; None for one that `traceback` is to tell.
fn chain(error: &Bound<'_, PyBaseException>, said_last: &str) -> PyResult<Option<String>> {
    let py = error.py();
    let limited = py
        .import(intern!(py, "sys"))?
        .getattr(intern!(py, "__dict__"))?
        .cast::<PyDict>()?
        .contains(intern!(py, "tracebacklimit"))?;
    if limited {
        return Ok(None);
    }
    // From the last exception to the first, until nobody would see more of it.
    let mut parts = Vec::new();
    let mut length = 0;
    let mut seen = Vec::new();
    let mut next = Some((error.clone(), Cow::Borrowed(said_last)));
    while let Some((error, said_of_it)) = next {
        seen.push(error.as_ptr().addr());
        if is_unusual(&error)? {
            return Ok(None);
        }
        let Some(part) = one(&error, &said_of_it)? else {
            return Ok(None);
        };
        length += part.len();
        parts.push(part);
        if length > MAX_TEXT {
            break;
        }
        let Some((earlier, words)) = earlier(&error, &seen)? else {
            break;
        };
        parts.push(words.to_owned());
        let Some(said) = said(&earlier) else {
            return Ok(None);
        };
        next = Some((earlier, Cow::Owned(said)));
    }
    parts.reverse();
    Ok(Some(parts.concat()))
}

/// The exception that led to this one, and the words between them.
fn earlier<'py>(
    error: &Bound<'py, PyBaseException>,
    seen: &[usize],
) -> PyResult<Option<(Bound<'py, PyBaseException>, &'static str)>> {
    let py = error.py();
    let new = |name| -> PyResult<_> {
        let other = error.getattr(name)?;
        let is_new = !other.is_none() && !seen.contains(&other.as_ptr().addr());
        Ok(is_new.then_some(other))
    };
    if let Some(cause) = new(intern!(py, "__cause__"))? {
        return Ok(Some((cause.cast_into()?, CAUSE)));
    }
    let suppressed = error.getattr(intern!(py, "__suppress_context__"))?;
    match new(intern!(py, "__context__"))? {
        Some(context) if !suppressed.is_truthy()? => Ok(Some((context.cast_into()?, CONTEXT))),
        _ => Ok(None),
    }
}

fn is_unusual(error: &Bound<'_, PyBaseException>) -> PyResult<bool> {
    let py = error.py();
    let has = |name| {
        let found = error.getattr_opt(name)?;
        PyResult::Ok(found.is_some_and(|found| !found.is_none()))
    };
    // `exceptions`: the groups of Python 3.11, and of the package that has them for 3.10.
    let told_apart = error.is_instance_of::<PySyntaxError>()
        || !error.is_truthy()?
        || has(intern!(py, "__notes__"))?
        || has(intern!(py, "exceptions"))?;
    // Names that may have been meant are looked for: from 3.12 on, and by that package.
    let suggests = (error.is_instance_of::<PyNameError>()
        || error.is_instance_of::<PyAttributeError>())
        && has(intern!(py, "name"))?
        || error.is_instance_of::<PyImportError>() && has(intern!(py, "name_from"))?;
    Ok(told_apart || suggests)
}

/// Traceback, type and message.
fn one(error: &Bound<'_, PyBaseException>, said: &str) -> PyResult<Option<String>> {
    let py = error.py();
    let kind = error.get_type();
    let module = kind.getattr(intern!(py, "__module__"))?;
    let Ok(module) = module.cast::<PyString>() else {
        return Ok(None);
    };
    let name = kind.getattr(intern!(py, "__qualname__"))?;
    let entry = error.getattr(intern!(py, "__traceback__"))?;
    let mut told = String::new();
    if !entry.is_none() {
        told += "Traceback (most recent call last):\n";
        frames(&mut told, entry)?;
    }
    let module = text(module);
    if !matches!(&*module, "__main__" | "builtins") {
        told += &module;
        told.push('.');
    }
    told += &text(name.cast::<PyString>()?);
    if !said.is_empty() {
        told += ": ";
        told += said;
    }
    told.push('\n');
    Ok(Some(told))
}

fn frames(told: &mut String, first: Bound<'_, PyAny>) -> PyResult<()> {
    let mut entry = first;
    let surplus = depth(&entry)?.saturating_sub(MAX_FRAMES);
    for _ in 0..surplus {
        entry = following(&entry)?;
    }
    if surplus > 0 {
        told.extend([
            "  [",
            &surplus.to_string(),
            " frame",
            plural(surplus),
            " left out]\n",
        ]);
    }
    let mut before: Option<Arc<Frame>> = None;
    let mut count = 0;
    while !entry.is_none() {
        let frame = frame::of(&entry)?;
        if !before.as_ref().is_some_and(|before| frame.repeats(before)) {
            tell_repeated(told, count);
            count = 0;
        }
        count += 1;
        if count <= MAX_REPEATED {
            *told += &frame.text;
        }
        before = Some(frame);
        entry = following(&entry)?;
    }
    tell_repeated(told, count);
    Ok(())
}

fn tell_repeated(told: &mut String, count: usize) {
    if count > MAX_REPEATED {
        let more = count - MAX_REPEATED;
        let s = plural(more);
        let more = more.to_string();
        told.extend(["  [Previous line repeated ", &more, " more time", s, "]\n"]);
    }
}

fn plural(count: usize) -> &'static str {
    if count == 1 { "" } else { "s" }
}

fn depth(first: &Bound<'_, PyAny>) -> PyResult<usize> {
    let mut depth = 0;
    let mut entry = first.clone();
    while !entry.is_none() {
        depth += 1;
        entry = following(&entry)?;
    }
    Ok(depth)
}

fn following<'py>(entry: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
    entry.getattr(intern!(entry.py(), "tb_next"))
}
