//! Headers in whatever Python has them: dicts, pairs, the containers of HTTP libraries, WSGI's
//! environ, environment variables.
//!
//! Which object was given is the caller's affair, and a wrong one raises; what is in it is somebody
//! else's, and is left out where it is no text.

use std::borrow::Cow;

use pyo3::exceptions::PyKeyError;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyList, PyString, PyTuple};

use super::error::wrong_type;
use super::value::text;
use crate::propagation::{Format, Header, Headers, baggage};

const ALLOWED: &str = "a mapping or an iterable of pairs";

/// The names that somebody wants to read.
pub(crate) struct Wanted {
    names: Vec<&'static str>,
    prefixes: Vec<&'static str>,
}

/// How names are written.
#[derive(Clone, Copy, Default, PartialEq)]
pub(crate) enum Style {
    /// `x-b3-traceid`, in any case.
    #[default]
    Header,
    /// `X_B3_TRACEID`: an environment variable.
    Variable,
    /// `HTTP_X_B3_TRACEID`: a header in the environ of WSGI or CGI (PEP 3333).
    Wsgi,
}

impl Wanted {
    pub(crate) fn of(formats: &[Format], with_baggage: bool) -> Self {
        let of_formats = formats.iter().flat_map(|format| format.header_names());
        let of_baggage = with_baggage.then_some(baggage::NAME);
        let prefixes = formats.iter().filter_map(|format| format.baggage_prefix());
        let mut names: Vec<_> = of_formats.copied().chain(of_baggage).collect();
        // Several formats read `tracestate`.
        names.sort_unstable();
        names.dedup();
        Self {
            names,
            prefixes: prefixes.collect(),
        }
    }

    /// The name in lowercase and with dashes, if it is wanted.
    fn find(&self, came: &str) -> Option<(Cow<'static, str>, Style)> {
        let (rest, style) = match came.strip_prefix("HTTP_") {
            Some(rest) => (rest, Style::Wsgi),
            None => (came, Style::Header),
        };
        let name = self.find_plain(rest).or_else(|| self.find_shouted(rest))?;
        Some((name, style))
    }

    fn find_plain(&self, came: &str) -> Option<Cow<'static, str>> {
        let mut names = self.names.iter();
        if let Some(name) = names.find(|name| name.eq_ignore_ascii_case(came)) {
            return Some(Cow::Borrowed(name));
        }
        let mut prefixes = self.prefixes.iter();
        let begins = prefixes.any(|prefix| begins_with(came, prefix));
        begins.then(|| came.to_ascii_lowercase().into())
    }

    /// In capitals an underscore stands for a dash. One in front is Lambda's `_X_AMZN_TRACE_ID`.
    fn find_shouted(&self, came: &str) -> Option<Cow<'static, str>> {
        if !came.contains('_') || came.bytes().any(|byte| byte.is_ascii_lowercase()) {
            return None;
        }
        self.find_plain(&came.trim_start_matches('_').replace('_', "-"))
    }
}

fn begins_with(name: &str, prefix: &str) -> bool {
    let start = name.as_bytes().get(..prefix.len());
    start.is_some_and(|start| start.eq_ignore_ascii_case(prefix.as_bytes()))
}

/// What a carrier has under the names that are wanted.
pub(crate) fn read(came: &Bound<'_, PyAny>, wanted: &Wanted) -> PyResult<Headers<'static>> {
    let mut found = Found::default();
    if !each_pair(came, |name, value| found.take(wanted, name, value))? {
        for name in &wanted.names {
            let value = look_up(came, name)?;
            if let Some(value) = value {
                found.add(Cow::Borrowed(name), Style::Header, &value);
            }
        }
    }
    Ok(found.headers())
}

/// What was found so far, by how its name was written.
#[derive(Default)]
struct Found {
    plain: Headers<'static>,
    wsgi: Headers<'static>,
    is_wsgi: bool,
}

impl Found {
    fn take(&mut self, wanted: &Wanted, name: &Bound<'_, PyAny>, value: &Bound<'_, PyAny>) {
        let Some(came) = as_text(name) else { return };
        if came == "REQUEST_METHOD" {
            self.is_wsgi = true;
        } else if let Some((name, style)) = wanted.find(&came) {
            self.add(name, style, value);
        }
    }

    /// A list of values is a header that was sent more than once.
    fn add(&mut self, name: Cow<'static, str>, style: Style, value: &Bound<'_, PyAny>) {
        let headers = match style {
            Style::Wsgi => &mut self.wsgi,
            Style::Header | Style::Variable => &mut self.plain,
        };
        if let Ok(values) = value.cast::<PyList>() {
            let values = values.iter();
            values.for_each(|value| push(headers, name.clone(), &value));
        } else if let Ok(values) = value.cast::<PyTuple>() {
            let values = values.iter();
            values.for_each(|value| push(headers, name.clone(), &value));
        } else {
            push(headers, name, value);
        }
    }

    /// An environ may have the process's own variables beside the request's headers.
    fn headers(self) -> Headers<'static> {
        if self.is_wsgi || !self.wsgi.is_empty() {
            self.wsgi
        } else {
            self.plain
        }
    }
}

fn push(headers: &mut Headers<'static>, name: Cow<'static, str>, value: &Bound<'_, PyAny>) {
    if let Some(value) = as_text(value) {
        headers.push(name, value.into_owned());
    }
}

/// Text of a str or of bytes; None for anything else.
fn as_text<'a>(came: &'a Bound<'_, PyAny>) -> Option<Cow<'a, str>> {
    if let Ok(came) = came.cast::<PyString>() {
        return Some(text(came));
    }
    let bytes = came.cast::<PyBytes>().ok()?.as_bytes();
    Some(match std::str::from_utf8(bytes) {
        Ok(text) => Cow::Borrowed(text),
        Err(_) => bytes.iter().copied().map(char::from).collect(),
    })
}

/// Calls `take` with each name and value. False for an object that can only be asked by name.
fn each_pair<'py>(
    came: &Bound<'py, PyAny>,
    mut take: impl FnMut(&Bound<'py, PyAny>, &Bound<'py, PyAny>),
) -> PyResult<bool> {
    let py = came.py();
    if let Ok(dict) = came.cast_exact::<PyDict>() {
        for (name, value) in dict.iter() {
            take(&name, &value);
        }
        return Ok(true);
    }
    // The first gives what the second would merge (httpx).
    for method in [intern!(py, "multi_items"), intern!(py, "items")] {
        if let Some(method) = came.getattr_opt(method)? {
            return each_of(&method.call0()?, came, take).map(|()| true);
        }
    }
    if came.hasattr(intern!(py, "get"))? {
        return Ok(false);
    }
    each_of(came, came, take).map(|()| true)
}

fn each_of<'py>(
    pairs: &Bound<'py, PyAny>,
    came: &Bound<'py, PyAny>,
    mut take: impl FnMut(&Bound<'py, PyAny>, &Bound<'py, PyAny>),
) -> PyResult<()> {
    let wrong = |_| wrong_type("headers", ALLOWED, came);
    // Text and bytes are iterables too, of what is no pair.
    if came.is_instance_of::<PyString>() || came.is_instance_of::<PyBytes>() {
        return Err(wrong_type("headers", ALLOWED, came));
    }
    for pair in pairs.try_iter().map_err(wrong)? {
        let pair = pair?;
        if let Ok((name, value)) = pair.extract::<(Bound<'_, PyAny>, Bound<'_, PyAny>)>() {
            take(&name, &value);
        } else if let Ok([name, value]) = pair.extract::<[Bound<'_, PyAny>; 2]>() {
            take(&name, &value);
        } else {
            return Err(wrong_type("headers", ALLOWED, came));
        }
    }
    Ok(())
}

/// One name of an object that has no list of them.
fn look_up<'py>(came: &Bound<'py, PyAny>, name: &str) -> PyResult<Option<Bound<'py, PyAny>>> {
    let py = came.py();
    for method in [
        intern!(py, "get_all"),
        intern!(py, "getlist"),
        intern!(py, "get"),
    ] {
        if let Some(method) = came.getattr_opt(method)? {
            let value = method.call1((name,))?;
            return Ok((!value.is_none()).then_some(value));
        }
    }
    Ok(None)
}

impl Style {
    /// A header's name, written so.
    fn write(self, name: &str) -> Cow<'_, str> {
        let shouted = || name.to_ascii_uppercase().replace('-', "_");
        match self {
            Self::Header => Cow::Borrowed(name),
            Self::Variable => Cow::Owned(shouted()),
            Self::Wsgi => Cow::Owned(format!("HTTP_{}", shouted())),
        }
    }

    fn of(came: &Bound<'_, PyDict>) -> PyResult<Self> {
        let is_wsgi = came.contains(intern!(came.py(), "REQUEST_METHOD"))?;
        Ok(if is_wsgi { Self::Wsgi } else { Self::Header })
    }
}

/// Puts headers into a carrier, in the place of those of the same names. The carrier, or a new one
/// where it cannot be changed.
pub(crate) fn write<'py>(
    came: &Bound<'py, PyAny>,
    headers: &[Header],
    style: Style,
) -> PyResult<Bound<'py, PyAny>> {
    let py = came.py();
    if let Ok(dict) = came.cast_exact::<PyDict>() {
        for (name, value) in headers {
            dict.set_item(style.write(name), value)?;
        }
        return Ok(came.clone());
    }
    let gone = Gone {
        names: headers.iter().map(|(name, _)| &**name).collect(),
        prefixes: Vec::new(),
    };
    if let Ok(list) = came.cast::<PyList>() {
        let kept = without(came, &gone)?;
        list.set_slice(0, list.len(), merged(&kept, headers, style)?.as_any())?;
        return Ok(came.clone());
    }
    if came.is_instance_of::<PyTuple>() {
        let kept = without(came, &gone)?;
        let pairs = merged(&kept, headers, style)?;
        return Ok(PyTuple::new(py, pairs.iter())?.into_any());
    }
    if !came.hasattr(intern!(py, "__setitem__"))? {
        let allowed = "a mapping that can be written, a list or a tuple of pairs, or None";
        return Err(wrong_type("headers", allowed, came));
    }
    for (name, value) in headers {
        let name = style.write(name);
        // Setting adds a second header in `email.message.Message`, which http.client has.
        match came.del_item(&name) {
            Err(error) if !error.is_instance_of::<PyKeyError>(py) => return Err(error),
            _ => came.set_item(&name, value)?,
        }
    }
    Ok(came.clone())
}

/// Headers that are not to stay.
pub(crate) struct Gone<'a> {
    pub(crate) names: Vec<&'a str>,
    pub(crate) prefixes: Vec<&'a str>,
}

impl Gone<'_> {
    fn has(&self, came: &str) -> bool {
        let plain = match came.strip_prefix("HTTP_") {
            Some(rest) => Cow::Owned(rest.replace('_', "-")),
            None => Cow::Borrowed(came),
        };
        let (mut names, mut prefixes) = (self.names.iter(), self.prefixes.iter());
        names.any(|name| name.eq_ignore_ascii_case(&plain))
            || prefixes.any(|prefix| begins_with(&plain, prefix))
    }
}

/// All headers of a carrier but those that are gone, and then `headers`: a dict for a dict, else a
/// list of pairs.
pub(crate) fn rewritten<'py>(
    came: &Bound<'py, PyAny>,
    headers: &[Header],
    gone: &Gone<'_>,
) -> PyResult<Bound<'py, PyAny>> {
    let kept = without(came, gone)?;
    let Ok(dict) = came.cast::<PyDict>() else {
        return merged(&kept, headers, Style::Header).map(Bound::into_any);
    };
    let style = Style::of(dict)?;
    let written = PyDict::from_sequence(kept.as_any())?;
    write(written.as_any(), headers, style)
}

/// The pairs of a carrier but those that are gone.
fn without<'py>(came: &Bound<'py, PyAny>, gone: &Gone<'_>) -> PyResult<Bound<'py, PyList>> {
    let kept = PyList::empty(came.py());
    let mut appended = Ok(());
    each_pair(came, |name, value| {
        let is_gone = as_text(name).is_some_and(|name| gone.has(&name));
        if !is_gone && appended.is_ok() {
            appended = kept.append((name, value));
        }
    })?;
    appended.map(|()| kept)
}

/// The pairs and after them `headers`, as bytes if the pairs are.
fn merged<'py>(
    pairs: &Bound<'py, PyList>,
    headers: &[Header],
    style: Style,
) -> PyResult<Bound<'py, PyList>> {
    let py = pairs.py();
    let is_bytes = |pair: Bound<'py, PyAny>| {
        let name = pair.get_item(0);
        name.is_ok_and(|name| name.is_instance_of::<PyBytes>())
    };
    let as_bytes = pairs.iter().next().is_some_and(is_bytes);
    for (name, value) in headers {
        let name = style.write(name);
        if as_bytes {
            let pair = (name.as_bytes(), value.as_bytes());
            pairs.append((PyBytes::new(py, pair.0), PyBytes::new(py, pair.1)))?;
        } else {
            pairs.append((name, value))?;
        }
    }
    Ok(pairs.clone())
}
