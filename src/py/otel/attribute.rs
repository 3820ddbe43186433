//! Attributes as OpenTelemetry's SDK for Python takes them. Plain values of exact types go straight to
//! the core; everything else first goes through the API's own `BoundedAttributes`, so what is kept,
//! converted, dropped and said in the log is what the installed version makes of it.

use pyo3::prelude::*;
use pyo3::types::{PyDict, PyString};

use super::provider::PyProvider;
use crate::pipeline::Pipeline;
use crate::py::value::{Attributes, Change, Converted, Reader, exact_text, simple, text};
use crate::value::Value;

/// Attributes that were read, and how many were left out.
#[derive(Default)]
pub(super) struct Read {
    pub(super) attributes: Attributes,
    pub(super) dropped: u32,
}

/// Whose attributes are read, and so which limits they have.
#[derive(Clone, Copy)]
pub(super) enum Whose {
    Span,
    Event,
    Link,
}

/// What attributes are read for.
#[derive(Clone, Copy)]
pub(super) struct Bounds<'a> {
    pipeline: &'a Pipeline,
    /// Nothing is looked at where none can be kept.
    none_fits: bool,
    max_length: Option<usize>,
}

impl<'a> Bounds<'a> {
    pub(super) fn new(pipeline: &'a Pipeline, provider: Option<&PyProvider>, whose: Whose) -> Self {
        let limits = pipeline.limits();
        let (count, length) = match whose {
            Whose::Span => (
                limits.attribute_count,
                provider.and_then(|provider| provider.max_length),
            ),
            Whose::Event => (
                limits.attribute_per_event_count,
                provider.and_then(|provider| provider.max_nested_length),
            ),
            Whose::Link => (
                limits.attribute_per_link_count,
                provider.and_then(|provider| provider.max_nested_length),
            ),
        };
        Self {
            pipeline,
            none_fits: count == 0,
            max_length: length,
        }
    }
}

/// A plain value within the limit on its length; None for any other.
#[inline(always)]
pub(super) fn plain<'a>(
    value: &'a Bound<'_, PyAny>,
    max_length: Option<usize>,
) -> Option<Value<'a>> {
    let value = simple(value)?;
    match (value, max_length) {
        (Value::Text(text), Some(max)) if text.len() > max => None,
        (value, _) => Some(value),
    }
}

/// The text of a key that is an exact str with something in it.
#[inline(always)]
pub(super) fn key<'a>(came: &'a Bound<'_, PyAny>) -> Option<&'a str> {
    let key = exact_text(came.cast_exact::<PyString>().ok()?)?;
    (!key.is_empty()).then_some(key)
}

/// One attribute of any kind.
pub(super) fn one(
    bounds: Bounds<'_>,
    key: &Bound<'_, PyAny>,
    value: &Bound<'_, PyAny>,
) -> PyResult<Read> {
    if bounds.none_fits {
        return Ok(Read {
            dropped: 1,
            ..Read::default()
        });
    }
    let cleaned = key
        .py()
        .import("nanospan.otel._attributes")?
        .call_method1("clean_one", (key, value, bounds.max_length))?;
    converted(bounds.pipeline, &cleaned)
}

/// A mapping of attributes; None, and whatever else is false, has none.
pub(super) fn all(bounds: Bounds<'_>, came: Option<&Bound<'_, PyAny>>) -> PyResult<Read> {
    let Some(came) = came.filter(|came| !came.is_none()) else {
        return Ok(Read::default());
    };
    if let Ok(dict) = came.cast_exact::<PyDict>() {
        if let Some(attributes) = all_plain(dict, bounds.max_length) {
            return Ok(Read {
                attributes,
                dropped: 0,
            });
        }
    }
    if !came.is_truthy()? {
        return Ok(Read::default());
    }
    if bounds.none_fits {
        return Ok(Read {
            dropped: u32::try_from(came.len()?).unwrap_or(u32::MAX),
            ..Read::default()
        });
    }
    let cleaned = came
        .py()
        .import("nanospan.otel._attributes")?
        .call_method1("clean", (came, bounds.max_length))?;
    converted(bounds.pipeline, &cleaned)
}

fn all_plain(dict: &Bound<'_, PyDict>, max_length: Option<usize>) -> Option<Attributes> {
    let mut attributes = Vec::with_capacity(dict.len());
    for (name, value) in dict.iter() {
        let name = key(&name)?.to_owned();
        attributes.push((name, owned(plain(&value, max_length)?)?));
    }
    Some(attributes)
}

fn owned(value: Value<'_>) -> Option<Converted> {
    Some(match value {
        Value::Text(text) => Converted::Text(text.to_owned()),
        Value::Bool(bool) => Converted::Bool(bool),
        Value::Int(int) => Converted::Int(int),
        Value::Double(double) => Converted::Double(double),
        Value::Bytes(_) | Value::Encoded(_) => return None,
    })
}

/// What `nanospan.otel._attributes` gives: a dict of clean values, and how many were left out.
fn converted(pipeline: &Pipeline, cleaned: &Bound<'_, PyAny>) -> PyResult<Read> {
    let (dict, dropped): (Bound<'_, PyDict>, u32) = cleaned.extract()?;
    let reader = Reader::new(pipeline);
    Ok(Read {
        attributes: of_dict(&reader, &dict)?,
        dropped,
    })
}

/// Attributes that are clean already.
pub(super) fn of_dict(reader: &Reader<'_>, dict: &Bound<'_, PyDict>) -> PyResult<Attributes> {
    let mut attributes = Vec::with_capacity(dict.len());
    for (name, value) in dict.iter() {
        let Ok(name) = name.cast::<PyString>() else {
            continue;
        };
        let name = text(name).into_owned();
        match reader.change(&name, &value)? {
            Change::Set(value) => attributes.push((name, value)),
            // A value of its own here, not the wish to remove one.
            Change::Unset => attributes.push((name, Converted::Encoded(Vec::new()))),
            Change::Nothing => (),
        }
    }
    Ok(attributes)
}
