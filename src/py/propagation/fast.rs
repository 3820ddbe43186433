//! The calls that servers and clients make for each request; see [`crate::py::fast`].

use std::ffi::CStr;

use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList};

use super::settings::Rule;
use super::{PyPropagation, Sender};
use crate::propagation::w3c;
use crate::py::ffi::{Answer, Arguments, Method, slow};
use crate::py::remote::PyRemoteContext;
use crate::py::scope::Above;

/// `extract` of a dict or a list, where all callers are treated alike.
pub(crate) struct Extract;

impl Method for Extract {
    type Class = PyPropagation;
    const NAME: &'static CStr = c"extract";
    slow!();

    fn call<'py>(this: &Bound<'py, PyPropagation>, arguments: &Arguments<'_, 'py>) -> Answer<'py> {
        let (py, Some([headers])) = (this.py(), arguments.only()) else {
            return Ok(None);
        };
        let Some(settings) = this.get().settings.get(py) else {
            return Ok(None);
        };
        let Rule::Always(trust) = settings.trust else {
            return Ok(None);
        };
        // ASGI has its headers in a list.
        if !headers.is_exact_instance_of::<PyDict>() && !headers.is_exact_instance_of::<PyList>() {
            return Ok(None);
        }
        let remote = PyPropagation::read(settings, &headers, trust)?;
        if !remote.warnings.is_empty() {
            return Ok(None);
        }
        Ok(Some(Bound::new(py, remote)?.into_any()))
    }
}

/// `inject()` and `inject(dict)` of the active span in the standard's format.
pub(crate) struct Inject;

impl Method for Inject {
    type Class = PyPropagation;
    const NAME: &'static CStr = c"inject";
    slow!();

    fn call<'py>(this: &Bound<'py, PyPropagation>, arguments: &Arguments<'_, 'py>) -> Answer<'py> {
        let py = this.py();
        let headers = if let Some([headers]) = arguments.only() {
            let Ok(headers) = headers.cast_exact::<PyDict>() else {
                return Ok(None);
            };
            headers.to_owned()
        } else if arguments.only::<0>().is_some() {
            PyDict::new(py)
        } else {
            return Ok(None);
        };
        let settings = this
            .get()
            .settings
            .get(py)
            .filter(|settings| settings.is_standard());
        let Some(settings) = settings else {
            return Ok(None);
        };
        let Above::Span(Some(span)) = Sender::above(py)? else {
            return Ok(None);
        };
        let Some(core) = span.get().core() else {
            return Ok(None);
        };
        core.announce();
        let parent = span.get().traceparent(py, core);
        headers.set_item(intern!(py, "traceparent"), parent)?;
        let state = core.trace_state().map(AsRef::as_ref);
        if let Some(state) = w3c::writable(state) {
            headers.set_item(intern!(py, "tracestate"), state)?;
        }
        if let Some(remote) = PyRemoteContext::current(py)? {
            let mut written = Vec::new();
            settings.write_baggage(&remote.get().context, &mut written);
            for (name, value) in written {
                headers.set_item(name, value)?;
            }
        }
        Ok(Some(headers.into_any()))
    }
}
