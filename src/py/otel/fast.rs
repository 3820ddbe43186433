//! The calls that instrumentations make most, without PyO3's checks and conversions: exact types, few
//! arguments. Whatever else comes is left to the method of the same name in `span` and `tracer`.

use std::ffi::CStr;

use pyo3::prelude::*;
use pyo3::types::{PyDict, PyString};

use super::api::api;
use super::attribute::{key, plain};
use super::block::OtelBlock;
use super::span::PyOtelSpan;
use super::start::Brief;
use super::tracer::PyOtelTracer;
use crate::context::SpanKind;
use crate::py::ffi::{Answer, Arguments, Item, Method, ascii, install, items, none, slow, turn};
use crate::value::Value;

/// Puts the fast methods on their classes.
pub(super) fn install_all(py: Python<'_>) -> PyResult<()> {
    let span = py.get_type::<PyOtelSpan>();
    install::<SetAttribute>(&span)?;
    install::<SetStatus>(&span)?;
    install::<AddEvent>(&span)?;
    install::<IsRecording>(&span)?;
    install::<GetSpanContext>(&span)?;
    install::<End>(&span)?;
    let tracer = py.get_type::<PyOtelTracer>();
    install::<StartSpan>(&tracer)?;
    install::<StartAsCurrentSpan>(&tracer)
}

/// A name, and perhaps a kind, attributes and a Context, by name; None for anything else.
#[inline(always)]
fn start_arguments<'a, 'py>(arguments: &Arguments<'a, 'py>) -> PyResult<Option<Brief<'a, 'py>>> {
    let Some((name, named)) = arguments.one_and_named() else {
        return Ok(None);
    };
    let Ok(name) = name.cast_exact::<PyString>() else {
        return Ok(None);
    };
    let (mut kind, mut attributes, mut context) = (SpanKind::Internal, None, None);
    for (key, value) in named {
        match ascii(&key) {
            Some("kind") => kind = api(name.py())?.kind_of(&value),
            Some("attributes") => attributes = Some(value).filter(|came| !came.is_none()),
            Some("context") => context = Some(value).filter(|came| !came.is_none()),
            _ => return Ok(None),
        }
    }
    Ok(Some(Brief {
        name,
        kind,
        attributes,
        context,
    }))
}

struct StartSpan;

impl Method for StartSpan {
    type Class = PyOtelTracer;
    const NAME: &'static CStr = c"start_span";
    slow!();

    fn call<'py>(this: &Bound<'py, PyOtelTracer>, arguments: &Arguments<'_, 'py>) -> Answer<'py> {
        let Some(brief) = start_arguments(arguments)? else {
            return Ok(None);
        };
        let arguments = brief.keep();
        let span = arguments.start(this);
        arguments.let_go(this.py());
        Ok(Some(span?))
    }
}

struct StartAsCurrentSpan;

impl Method for StartAsCurrentSpan {
    type Class = PyOtelTracer;
    const NAME: &'static CStr = c"start_as_current_span";
    slow!();

    fn call<'py>(this: &Bound<'py, PyOtelTracer>, arguments: &Arguments<'_, 'py>) -> Answer<'py> {
        let Some(brief) = start_arguments(arguments)? else {
            return Ok(None);
        };
        Ok(Some(OtelBlock::make(this, &brief)?))
    }
}

struct SetAttribute;

impl Method for SetAttribute {
    type Class = PyOtelSpan;
    const NAME: &'static CStr = c"set_attribute";
    slow!();

    fn call<'py>(this: &Bound<'py, PyOtelSpan>, arguments: &Arguments<'_, 'py>) -> Answer<'py> {
        let py = this.py();
        let Some([name, value]) = arguments.only() else {
            return Ok(None);
        };
        let core = this.get().core();
        if !core.is_recorded() {
            return none(py);
        }
        if !core.is_unfinished(turn(py)) {
            return Ok(None);
        }
        let (Some(name), Some(value)) = (key(&name), plain(&value, this.get().max_length())) else {
            return Ok(None);
        };
        core.set_attribute(turn(py), name, value);
        none(py)
    }
}

struct SetStatus;

impl Method for SetStatus {
    type Class = PyOtelSpan;
    const NAME: &'static CStr = c"set_status";
    slow!();

    fn call<'py>(this: &Bound<'py, PyOtelSpan>, arguments: &Arguments<'_, 'py>) -> Answer<'py> {
        let py = this.py();
        let (status, description) = if let Some([status]) = arguments.only() {
            (status, None)
        } else if let Some([status, description]) = arguments.only() {
            (status, Some(description))
        } else {
            return Ok(None);
        };
        this.get().set_status(py, &status, description.as_deref())?;
        none(py)
    }
}

struct AddEvent;

/// Events with more attributes than this are left to the slow method.
const MOST: usize = 4;

impl Method for AddEvent {
    type Class = PyOtelSpan;
    const NAME: &'static CStr = c"add_event";
    slow!();

    fn call<'py>(this: &Bound<'py, PyOtelSpan>, arguments: &Arguments<'_, 'py>) -> Answer<'py> {
        let py = this.py();
        let Some([name, attributes]) = arguments.only() else {
            return Ok(None);
        };
        let (core, turn) = (this.get().core(), turn(py));
        let (Some(name), Ok(attributes)) = (key(&name), attributes.cast_exact::<PyDict>()) else {
            return Ok(None);
        };
        let most = MOST.min(core.max_event_attributes());
        if attributes.len() > most || !core.is_recording(turn) {
            return Ok(None);
        }
        let max_length = this.get().max_nested_length();
        let mut held: [Option<Item<'_, 'py>>; MOST] = [None; MOST];
        for (place, item) in held.iter_mut().zip(items(&attributes)) {
            *place = Some(item);
        }
        let mut pairs = [("", Value::Bool(false)); MOST];
        for (place, (of, value)) in pairs.iter_mut().zip(held.iter().flatten()) {
            let (Some(key), Some(value)) = (key(of), plain(value, max_length)) else {
                return Ok(None);
            };
            *place = (key, value);
        }
        core.add_event_of_distinct(turn, name, &pairs[..attributes.len()]);
        none(py)
    }
}

struct IsRecording;

impl Method for IsRecording {
    type Class = PyOtelSpan;
    const NAME: &'static CStr = c"is_recording";
    slow!();

    fn call<'py>(this: &Bound<'py, PyOtelSpan>, arguments: &Arguments<'_, 'py>) -> Answer<'py> {
        if arguments.only::<0>().is_none() {
            return Ok(None);
        }
        let py = this.py();
        let is_recording = this.get().core().is_recording(turn(py));
        Ok(Some(
            pyo3::types::PyBool::new(py, is_recording)
                .to_owned()
                .into_any(),
        ))
    }
}

struct GetSpanContext;

impl Method for GetSpanContext {
    type Class = PyOtelSpan;
    const NAME: &'static CStr = c"get_span_context";
    slow!();

    fn call<'py>(this: &Bound<'py, PyOtelSpan>, arguments: &Arguments<'_, 'py>) -> Answer<'py> {
        if arguments.only::<0>().is_none() {
            return Ok(None);
        }
        Ok(Some(this.get().python_context(this.py())?))
    }
}

struct End;

impl Method for End {
    type Class = PyOtelSpan;
    const NAME: &'static CStr = c"end";
    slow!();

    fn call<'py>(this: &Bound<'py, PyOtelSpan>, arguments: &Arguments<'_, 'py>) -> Answer<'py> {
        if arguments.only::<0>().is_none() {
            return Ok(None);
        }
        PyOtelSpan::end_now(this)?;
        none(this.py())
    }
}
