//! Checks of single arguments: what comes in is right, or raises with its name.

use pyo3::exceptions::PyOverflowError;
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyFloat, PyInt, PyString};

use super::error::{wrong_type, wrong_value};
use crate::context::{SpanKind, StatusCode};
use crate::sampler::Ratio;

/// An argument that may be left out, for which None is no value: it is refused like any other wrong
/// one, where `Option` would take it for an argument that was left out.
pub(crate) enum Given<'py> {
    Missing,
    Came(Bound<'py, PyAny>),
}

impl<'py> Given<'py> {
    pub(crate) fn as_ref(&self) -> Option<&Bound<'py, PyAny>> {
        match self {
            Self::Missing => None,
            Self::Came(came) => Some(came),
        }
    }
}

impl<'py> FromPyObject<'_, 'py> for Given<'py> {
    type Error = std::convert::Infallible;

    fn extract(came: Borrowed<'_, 'py, PyAny>) -> Result<Self, Self::Error> {
        Ok(Self::Came(came.to_owned()))
    }
}

/// Text, not empty.
pub(crate) fn name<'a, 'py>(
    argument: &str,
    came: &'a Bound<'py, PyAny>,
) -> PyResult<&'a Bound<'py, PyString>> {
    let text = came
        .cast::<PyString>()
        .map_err(|_| wrong_type(argument, "a str", came))?;
    if text.len()? == 0 {
        return Err(wrong_value(argument, "a str that is not empty", came));
    }
    Ok(text)
}

/// A kind, or its number.
pub(crate) fn kind(came: Option<&Bound<'_, PyAny>>) -> PyResult<SpanKind> {
    const ALLOWED: &str = "a SpanKind or an int from 0 to 5";
    let Some(came) = came else {
        return Ok(SpanKind::default());
    };
    let number = integer("kind", ALLOWED, came)?;
    number
        .and_then(SpanKind::from_number)
        .ok_or_else(|| wrong_value("kind", ALLOWED, came))
}

/// A status code, or its number.
pub(crate) fn status(came: &Bound<'_, PyAny>) -> PyResult<StatusCode> {
    const ALLOWED: &str = "a StatusCode or an int from 0 to 2";
    let number = integer("status", ALLOWED, came)?;
    number
        .and_then(StatusCode::from_number)
        .ok_or_else(|| wrong_value("status", ALLOWED, came))
}

/// Nanoseconds since 1970, or None.
pub(crate) fn time_ns(argument: &str, came: Option<&Bound<'_, PyAny>>) -> PyResult<Option<u64>> {
    const ALLOWED: &str = "nanoseconds since 1970 as an int, or None";
    let Some(came) = came else { return Ok(None) };
    let number = integer(argument, ALLOWED, came)?;
    let time = number.and_then(|number| u64::try_from(number).ok());
    time.map(Some)
        .ok_or_else(|| wrong_value(argument, "an int from 0 to 2**63 - 1", came))
}

/// True, False or None.
pub(crate) fn optional_bool(
    argument: &str,
    came: Option<&Bound<'_, PyAny>>,
) -> PyResult<Option<bool>> {
    came.map(|came| boolean_or(argument, "a bool or None", came))
        .transpose()
}

/// True or False.
pub(crate) fn boolean(argument: &str, came: &Bound<'_, PyAny>) -> PyResult<bool> {
    boolean_or(argument, "a bool", came)
}

fn boolean_or(argument: &str, allowed: &str, came: &Bound<'_, PyAny>) -> PyResult<bool> {
    came.cast::<PyBool>()
        .map(pyo3::types::PyBoolMethods::is_true)
        .map_err(|_| wrong_type(argument, allowed, came))
}

/// A sampling rate.
pub(crate) fn rate(argument: &str, came: &Bound<'_, PyAny>) -> PyResult<Ratio> {
    let number = number(argument, "a number from 0 to 1", came)?;
    Ratio::new(number).ok_or_else(|| wrong_value(argument, "a number from 0 to 1", came))
}

/// So many a second.
pub(crate) fn per_second(argument: &str, came: &Bound<'_, PyAny>) -> PyResult<f64> {
    const ALLOWED: &str = "a finite number, 0 or more";
    let number = number(argument, ALLOWED, came)?;
    let is_rate = number.is_finite() && number >= 0.0;
    is_rate
        .then_some(number)
        .ok_or_else(|| wrong_value(argument, ALLOWED, came))
}

/// Seconds, an hour at most.
pub(crate) fn seconds(argument: &str, came: &Bound<'_, PyAny>) -> PyResult<std::time::Duration> {
    const ALLOWED: &str = "seconds from 0 to 3600";
    let number = number(argument, ALLOWED, came)?;
    if (0.0..=3_600.0).contains(&number) {
        return Ok(std::time::Duration::from_secs_f64(number));
    }
    Err(wrong_value(argument, ALLOWED, came))
}

/// A whole number from `least` up to `most`.
pub(crate) fn count(
    argument: &str,
    came: &Bound<'_, PyAny>,
    least: usize,
    most: usize,
) -> PyResult<usize> {
    let allowed = format!("an int from {least} to {most}");
    let number = integer(argument, &allowed, came)?.and_then(|n| usize::try_from(n).ok());
    number
        .filter(|number| (least..=most).contains(number))
        .ok_or_else(|| wrong_value(argument, &allowed, came))
}

fn number(argument: &str, allowed: &str, came: &Bound<'_, PyAny>) -> PyResult<f64> {
    let is_number = came.is_instance_of::<PyFloat>() || came.is_instance_of::<PyInt>();
    if !is_number || came.is_instance_of::<PyBool>() {
        return Err(wrong_type(argument, allowed, came));
    }
    // An int too big for a float is too big for any of ours.
    came.extract()
        .map_err(|_| wrong_value(argument, allowed, came))
}

/// An int that is no bool; None when it is beyond 64 bits.
fn integer(argument: &str, allowed: &str, came: &Bound<'_, PyAny>) -> PyResult<Option<i64>> {
    if came.is_instance_of::<PyBool>() || !came.is_instance_of::<PyInt>() {
        return Err(wrong_type(argument, allowed, came));
    }
    match came.extract() {
        Ok(number) => Ok(Some(number)),
        Err(error) if error.is_instance_of::<PyOverflowError>(came.py()) => Ok(None),
        Err(error) => Err(error),
    }
}
