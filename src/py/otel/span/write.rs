//! What is written to a span: attributes, events, its name and status.

use pyo3::exceptions::PyBaseException;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyString};

use super::PyOtelSpan;
use crate::context::StatusCode;
use crate::py::exception;
use crate::py::ffi::turn;
use crate::py::otel::api::Api;
use crate::py::otel::attribute::{self, Bounds, Whose};
use crate::py::value::{pairs, text};

impl PyOtelSpan {
    pub(in crate::py::otel) fn max_length(&self) -> Option<usize> {
        self.provider().and_then(|provider| provider.max_length)
    }

    pub(in crate::py::otel) fn max_nested_length(&self) -> Option<usize> {
        self.provider()
            .and_then(|provider| provider.max_nested_length)
    }

    pub(super) fn bounds(&self, whose: Whose) -> Bounds<'_> {
        Bounds::new(self.core().trace().pipeline(), self.provider(), whose)
    }

    /// True while it can be written to. Writes to a span that has ended are said in the log.
    #[inline]
    pub(in crate::py::otel) fn takes(&self, py: Python<'_>, what: &str) -> PyResult<bool> {
        let core = self.core();
        if core.is_recording(turn(py)) {
            return Ok(true);
        }
        if core.is_recorded() {
            core.trace().pipeline().counters().ignored_writes.add(1);
            py.import("nanospan.otel._log")?
                .call_method1("ended", (what,))?;
        }
        Ok(false)
    }

    pub(in crate::py::otel) fn put_attributes(&self, py: Python<'_>, read: &attribute::Read) {
        let (core, turn) = (self.core(), turn(py));
        pairs(&read.attributes).for_each(|(key, value)| core.set_attribute(turn, key, value));
        if read.dropped > 0 {
            core.miss_attributes(turn, read.dropped);
        }
    }

    pub(super) fn put_event(
        &self,
        py: Python<'_>,
        name: &str,
        time_ns: Option<u64>,
        read: &attribute::Read,
    ) {
        let core = self.core();
        let time_ns = time_ns.unwrap_or_else(|| core.trace().now_ns());
        core.change(turn(py), |record, rules| {
            let attributes = pairs(&read.attributes);
            record.add_event(name, time_ns, attributes, read.dropped, rules);
        });
    }

    pub(super) fn put_exception(
        &self,
        event: &Bound<'_, PyDict>,
        time_ns: Option<u64>,
    ) -> PyResult<()> {
        let read = attribute::all(self.bounds(Whose::Event), Some(event))?;
        self.put_event(event.py(), "exception", time_ns, &read);
        Ok(())
    }

    /// Says what left a block of the span: an event, and the status, each if it is wanted.
    pub(in crate::py::otel) fn fail(
        &self,
        py: Python<'_>,
        error: &Bound<'_, PyBaseException>,
        escaped: bool,
        record: bool,
        status: bool,
    ) -> PyResult<()> {
        if !self.core().is_recording(turn(py)) {
            return Ok(());
        }
        if record {
            let escaped = if escaped { "True" } else { "False" };
            let event = exception::attributes(error, Some(escaped))?;
            self.put_exception(&event, None)?;
        }
        if status {
            let kind = error.get_type().name()?.to_string();
            let description = format!("{kind}: {}", exception::message(error));
            self.put_status(py, StatusCode::Error, Some(&description), None);
        }
        Ok(())
    }

    pub(in crate::py::otel) fn put_status(
        &self,
        py: Python<'_>,
        code: StatusCode,
        description: Option<&str>,
        given: Option<&Bound<'_, PyAny>>,
    ) {
        let core = self.core();
        let is_final = core.status_code(turn(py)) == StatusCode::Ok;
        if is_final || code == StatusCode::Unset {
            return;
        }
        core.set_status(turn(py), code, description);
        let given = given.map(|given| given.clone().unbind());
        let before = std::mem::replace(&mut self.held(py).status, given);
        drop(before.map(|before| before.into_bound(py)));
    }

    pub(super) fn take_status(
        &self,
        py: Python<'_>,
        api: &Api,
        status: &Bound<'_, PyAny>,
    ) -> PyResult<()> {
        let code = api.code_of(&status.getattr("status_code")?);
        let description: Option<String> = status.getattr("description")?.extract()?;
        let code = code.unwrap_or(StatusCode::Unset);
        self.put_status(py, code, description.as_deref(), Some(status));
        Ok(())
    }

    pub(super) fn rename(&self, py: Python<'_>, name: &Bound<'_, PyAny>) -> PyResult<()> {
        let name = match name.cast::<PyString>() {
            Ok(name) => name.clone(),
            Err(_) => name.str()?,
        };
        let plain = text(&name).into_owned();
        self.core()
            .change(turn(py), |record, _| record.set_name(&plain));
        let before = self.held(py).name.replace(name.unbind());
        drop(before.map(|before| before.into_bound(py)));
        Ok(())
    }
}
