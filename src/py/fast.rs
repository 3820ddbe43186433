//! The calls that hot code makes, without PyO3's checks and conversions: exact types, arguments by
//! place. Each does what the method of the same name in `span` and `tracer` does, through the same
//! functions of the core; whatever else comes is left to that method.

use std::ffi::CStr;

use pyo3::Borrowed;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyString};

use super::argument;
use super::block::Block;
use super::ffi::{Answer, Arguments, Item, Method, ascii, install, items, none, slow, turn};
use super::propagation::{self, PyPropagation};
use super::span::PySpan;
use super::start;
use super::tracer::PyTracer;
use super::value::{self, simple};
use crate::context::SpanKind;
use crate::sampler;
use crate::value::Value;

/// Puts the fast methods on their classes.
pub(crate) fn install_all(py: Python<'_>) -> PyResult<()> {
    let span = py.get_type::<PySpan>();
    install::<SetAttribute>(&span)?;
    install::<AddEvent>(&span)?;
    install::<SetStatus>(&span)?;
    install::<Finish>(&span)?;
    let tracer = py.get_type::<PyTracer>();
    install::<StartSpan>(&tracer)?;
    install::<StartAsCurrentSpan>(&tracer)?;
    let propagation = py.get_type::<PyPropagation>();
    install::<propagation::Extract>(&propagation)?;
    install::<propagation::Inject>(&propagation)
}

/// A name that says something, and perhaps a kind; None for anything else.
#[inline(always)]
fn name_and_kind<'a, 'py>(
    arguments: &Arguments<'a, 'py>,
) -> Option<(Borrowed<'a, 'py, PyString>, SpanKind)> {
    let (name, mut named) = arguments.one_and_named()?;
    let name = name.cast_exact::<PyString>().ok()?;
    let kind = match named.next() {
        None => SpanKind::default(),
        Some((key, kind)) if ascii(&key) == Some("kind") => argument::kind(Some(&kind)).ok()?,
        Some(_) => return None,
    };
    named.next().is_none().then_some((name, kind))
}

struct StartSpan;

impl Method for StartSpan {
    type Class = PyTracer;
    const NAME: &'static CStr = c"start_span";
    slow!();

    fn call<'py>(this: &Bound<'py, PyTracer>, arguments: &Arguments<'_, 'py>) -> Answer<'py> {
        let Some((name, kind)) = name_and_kind(arguments).filter(|_| !sampler::may_call_out())
        else {
            return Ok(None);
        };
        let Some(text) = value::exact_text(&name).filter(|text| !text.is_empty()) else {
            return Ok(None);
        };
        match start::start_simply(this.get(), &name, text, kind)? {
            Some(span) => Ok(Some(span.into_any())),
            None => Ok(None),
        }
    }
}

struct StartAsCurrentSpan;

impl Method for StartAsCurrentSpan {
    type Class = PyTracer;
    const NAME: &'static CStr = c"start_as_current_span";
    slow!();

    fn call<'py>(this: &Bound<'py, PyTracer>, arguments: &Arguments<'_, 'py>) -> Answer<'py> {
        let Some((name, kind)) = name_and_kind(arguments) else {
            return Ok(None);
        };
        if value::exact_text(&name).is_none_or(str::is_empty) {
            return Ok(None);
        }
        Ok(Some(Block::make(this, &name, kind)?))
    }
}

struct SetAttribute;

impl Method for SetAttribute {
    type Class = PySpan;
    const NAME: &'static CStr = c"set_attribute";
    slow!();

    fn call<'py>(this: &Bound<'py, PySpan>, arguments: &Arguments<'_, 'py>) -> Answer<'py> {
        let py = this.py();
        let Some([key, value]) = arguments.only() else {
            return Ok(None);
        };
        let Some(span) = this.get().core() else {
            return none(py);
        };
        let Some(key) = exact_text(&key) else {
            return Ok(None);
        };
        if span.is_recorded() {
            let Some(value) = simple(&value) else {
                return Ok(None);
            };
            span.set_attribute(turn(py), key, value);
        }
        none(py)
    }
}

struct AddEvent;

impl Method for AddEvent {
    type Class = PySpan;
    const NAME: &'static CStr = c"add_event";
    slow!();

    fn call<'py>(this: &Bound<'py, PySpan>, arguments: &Arguments<'_, 'py>) -> Answer<'py> {
        let py = this.py();
        let Some(span) = this.get().core() else {
            return Ok(None);
        };
        if let Some([name]) = arguments.only() {
            let Some(name) = exact_text(&name) else {
                return Ok(None);
            };
            span.add_event(turn(py), name, None, std::iter::empty());
            return none(py);
        }
        let Some([name, attributes]) = arguments.only() else {
            return Ok(None);
        };
        let (Some(name), Ok(attributes)) = (exact_text(&name), attributes.cast_exact::<PyDict>())
        else {
            return Ok(None);
        };
        if attributes.len() > MOST.min(span.max_event_attributes()) {
            return Ok(None);
        }
        let mut held: [Option<Item<'_, 'py>>; MOST] = [None; MOST];
        for (place, item) in held.iter_mut().zip(items(&attributes)) {
            *place = Some(item);
        }
        let mut pairs = [("", Value::Bool(false)); MOST];
        for (place, (key, value)) in pairs.iter_mut().zip(held.iter().flatten()) {
            let (Some(key), Some(value)) = (exact_text(key), simple(value)) else {
                return Ok(None);
            };
            *place = (key, value);
        }
        span.add_event_of_distinct(turn(py), name, &pairs[..attributes.len()]);
        none(py)
    }
}

/// Events with more attributes than this are left to the slow method.
const MOST: usize = 4;

struct SetStatus;

impl Method for SetStatus {
    type Class = PySpan;
    const NAME: &'static CStr = c"set_status";
    slow!();

    fn call<'py>(this: &Bound<'py, PySpan>, arguments: &Arguments<'_, 'py>) -> Answer<'py> {
        let Some(span) = this.get().core() else {
            return Ok(None);
        };
        let turn = turn(this.py());
        if let Some([status]) = arguments.only() {
            span.set_status(turn, argument::status(&status)?, None);
        } else if let Some([status, description]) = arguments.only() {
            let Some(description) = exact_text(&description) else {
                return Ok(None);
            };
            span.set_status(turn, argument::status(&status)?, Some(description));
        } else {
            return Ok(None);
        }
        none(this.py())
    }
}

struct Finish;

impl Method for Finish {
    type Class = PySpan;
    const NAME: &'static CStr = c"finish";
    slow!();

    fn call<'py>(this: &Bound<'py, PySpan>, arguments: &Arguments<'_, 'py>) -> Answer<'py> {
        if arguments.only::<0>().is_none() {
            return Ok(None);
        }
        PySpan::finish_now(this)?;
        none(this.py())
    }
}

/// The text of a str of no subclass; None for one that UTF-8 cannot hold.
#[inline(always)]
fn exact_text<'a>(came: &'a Bound<'_, PyAny>) -> Option<&'a str> {
    value::exact_text(came.cast_exact::<PyString>().ok()?)
}
