//! `nanospan.otel.Span`: the handle that users of OpenTelemetry's API hold.

mod content;
mod life;
mod write;

use std::cell::RefMut;

use pyo3::exceptions::{PyAttributeError, PyBaseException, PyTypeError};
use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::prelude::*;
use pyo3::types::{PyList, PyString, PyTuple, PyType};

use super::api::api;
use super::attribute::{self, Whose};
use super::link::Link;
use super::provider::{PyProvider, shared};
use super::read::{header_of, read_only, to_context};
use super::start::time;
use super::tracer::PyOtelTracer;
use crate::context::StatusCode;
use crate::py::exception;
use crate::py::ffi::{Bin, Recycled, dropping, set_own_attribute, track, turn};
use crate::py::span::PySpan;
use crate::py::value::text;
use crate::span::{Handle, Span};
use crate::turn::Guarded;
use content::Content;

/// One unit of work, as OpenTelemetry's API and SDK know it.
///
/// Started by a `Tracer`. Ids, name, kind, parent, times and status can be read for ever;
/// attributes, events and links while the span is among the last thousand or so that ended, then
/// they are empty. Where a Python span processor is told of the span, all of it can be read for
/// ever.
#[pyclass(frozen, weakref, dict, name = "Span", module = "nanospan.otel")]
pub(crate) struct PyOtelSpan {
    of: Of,
    record_exception: bool,
    set_status_on_exception: bool,
    held: Guarded<Held>,
}

/// Whose span it is.
enum Of {
    /// Nobody's: it is no span, and nobody sees it.
    Nothing,
    /// Its own, made by this tracer, which is there until the handle dies.
    Own(Handle, Option<Py<PyOtelTracer>>),
    /// The native handle's, which is there until this one dies.
    Native(Option<Py<PySpan>>),
}

/// What a span has above it.
#[derive(Default)]
pub(crate) enum Ancestor {
    /// Nothing.
    #[default]
    None,
    /// A span of ours, while this one is open.
    Span(Py<PyOtelSpan>),
    /// What is known of it: an `opentelemetry.trace.SpanContext`.
    Context(Py<PyAny>),
}

/// What the handle holds of Python's. It is moved out before it is dropped: the death of a handle may
/// run anybody's code.
#[derive(Default)]
struct Held {
    name: Option<Py<PyString>>,
    context: Option<Py<PyAny>>,
    ancestor: Ancestor,
    /// The `Status` as it was given.
    status: Option<Py<PyAny>>,
    /// What it held when processors were told of its end.
    told: Option<Py<Content>>,
    /// What was current before its block, if that was left in another context and the span could not
    /// be taken back where it was entered.
    left: Option<Box<Before>>,
}

/// What was current before a block.
struct Before(Option<Py<PyAny>>);

impl PyOtelSpan {
    /// Where a span of its own begins, which `tracer` makes.
    #[inline(always)]
    pub(super) fn handle(&mut self, tracer: Py<PyOtelTracer>) -> &mut Handle {
        if let Of::Own(_, before) = &mut self.of {
            std::mem::forget(before.replace(tracer));
        } else {
            self.of = Of::Own(Handle::default(), Some(tracer));
        }
        match &mut self.of {
            Of::Own(handle, _) => handle,
            Of::Nothing | Of::Native(_) => unreachable!("it was given one"),
        }
    }

    /// What it has beside its span.
    #[inline(always)]
    pub(super) fn begin(
        &mut self,
        name: Py<PyString>,
        ancestor: Ancestor,
        record_exception: bool,
        set_status_on_exception: bool,
    ) {
        self.record_exception = record_exception;
        self.set_status_on_exception = set_status_on_exception;
        let held = self.held.get_mut();
        // It was at rest: there is nothing to let go of, and no code to do that.
        std::mem::forget(held.name.replace(name));
        std::mem::forget(std::mem::replace(&mut held.ancestor, ancestor));
    }

    /// The OpenTelemetry handle of a span, whichever face made it.
    pub(crate) fn handle_of<'py>(span: &Bound<'py, PySpan>) -> PyResult<Bound<'py, Self>> {
        let py = span.py();
        match span.get().otel(py) {
            Some(handle) => Ok(handle.clone()),
            None => Self::bin().make(py, |handle| {
                handle.of = Of::Native(Some(span.clone().unbind()));
                handle.record_exception = true;
                handle.set_status_on_exception = true;
            }),
        }
    }

    /// The core's span.
    #[inline]
    pub(crate) fn core(&self) -> &Span {
        match &self.of {
            Of::Own(span, _) => span,
            Of::Native(native) => native
                .as_ref()
                .and_then(|native| native.get().core())
                .expect("the handle lives, and the no-op span has no other"),
            Of::Nothing => unreachable!("nobody sees it"),
        }
    }

    /// The native handle whose span it is, if it is not its own.
    pub(crate) fn native<'py>(&self, py: Python<'py>) -> Option<&Bound<'py, PySpan>> {
        match &self.of {
            Of::Nothing | Of::Own(..) => None,
            Of::Native(native) => native.as_ref().map(|native| native.bind(py)),
        }
    }

    fn tracer(&self) -> Option<&PyOtelTracer> {
        match &self.of {
            Of::Own(_, tracer) => tracer.as_ref().map(Py::get),
            Of::Nothing | Of::Native(_) => None,
        }
    }

    /// The provider of the tracer that made it; of a native span, the one over its pipeline.
    fn provider(&self) -> Option<&PyProvider> {
        match self.tracer() {
            Some(tracer) => Some(tracer.provider.get()),
            None => shared(),
        }
    }

    #[inline]
    fn held<'a>(&'a self, py: Python<'a>) -> RefMut<'a, Held> {
        self.held.borrow(turn(py))
    }

    /// The `opentelemetry.trace.SpanContext`, made when it is first asked for.
    pub(crate) fn python_context<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        if let Some(context) = &self.held(py).context {
            return Ok(context.bind(py).clone());
        }
        let context = self.core().context();
        let inherited = match &context.trace_state {
            Some(header) => self.inherited_trace_state(py, header)?,
            None => None,
        };
        let made = to_context(py, api(py)?, &context, inherited)?;
        Ok(self
            .held(py)
            .context
            .get_or_insert(made.unbind())
            .bind(py)
            .clone())
    }

    /// The parent's `TraceState`, if it is the one that the span has.
    fn inherited_trace_state<'py>(
        &self,
        py: Python<'py>,
        header: &str,
    ) -> PyResult<Option<Bound<'py, PyAny>>> {
        let parent = match &self.held(py).ancestor {
            Ancestor::None => None,
            Ancestor::Context(context) => Some(context.clone_ref(py)),
            Ancestor::Span(parent) => parent.get().known_context(py),
        };
        let Some(parent) = parent.map(|parent| parent.into_bound(py)) else {
            return Ok(None);
        };
        let state = parent.getattr("trace_state")?;
        let is_it = *header_of(api(py)?, &state)? == *header;
        Ok(is_it.then_some(state))
    }
}

static BIN: Bin<PyOtelSpan> = Bin::new();

impl Recycled for PyOtelSpan {
    fn bin() -> &'static Bin<Self> {
        &BIN
    }

    fn blank() -> Self {
        Self {
            of: Of::Nothing,
            record_exception: true,
            set_status_on_exception: true,
            held: Guarded::default(),
        }
    }

    #[inline]
    fn rest(&mut self, py: Python<'_>) {
        self.let_go(py);
    }
}

#[pymethods]
impl PyOtelSpan {
    /// The SDK's class where the SDK is loaded, so that `isinstance` takes the span for one of its
    /// own; a span that is not recorded has the class that the SDK makes of those.
    #[getter(__class__)]
    fn class<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        let py = slf.py();
        let is_span = !matches!(slf.get().of, Of::Nothing);
        let recorded = is_span && slf.get().core().is_recorded();
        if !recorded {
            return Ok(api(py)?.non_recording.bind(py).clone().into_any());
        }
        Ok(match sdk_span_class(py)? {
            Some(class) => class.clone().into_any(),
            None => py.get_type::<Self>().into_any(),
        })
    }

    /// The ids and flags of the span, as an `opentelemetry.trace.SpanContext`.
    fn get_span_context<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        self.python_context(py)
    }

    /// The same as `get_span_context()`.
    #[getter]
    fn context<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        self.python_context(py)
    }

    #[getter(_context)]
    fn held_context<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        self.python_context(py)
    }

    /// The context of the parent; None for the root of a trace.
    #[getter]
    pub(super) fn parent<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyAny>>> {
        let known = match &self.held(py).ancestor {
            Ancestor::Context(context) => return Ok(Some(context.bind(py).clone())),
            Ancestor::Span(parent) => Some(parent.bind(py).clone()),
            Ancestor::None => None,
        };
        let core = self.core();
        let made = match (known, core.parent_id()) {
            (Some(parent), _) => return parent.get().python_context(py).map(Some),
            (None, None) => return Ok(None),
            (None, Some(parent_id)) => {
                let context = crate::context::SpanContext {
                    span_id: parent_id,
                    is_remote: core.parent_is_remote(),
                    ..core.context()
                };
                to_context(py, api(py)?, &context, None)?
            }
        };
        self.held(py).ancestor = Ancestor::Context(made.clone().unbind());
        Ok(Some(made))
    }

    #[getter(_parent)]
    fn held_parent<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyAny>>> {
        self.parent(py)
    }

    /// The name of the span.
    #[getter]
    pub(crate) fn name<'py>(&self, py: Python<'py>) -> Bound<'py, PyString> {
        if let Some(native) = self.native(py) {
            return native.get().name(py);
        }
        let held = self.held(py);
        let name = held.name.as_ref().map(|name| name.bind(py).clone());
        name.unwrap_or_else(|| PyString::new(py, ""))
    }

    #[getter(_name)]
    fn held_name<'py>(&self, py: Python<'py>) -> Bound<'py, PyString> {
        self.name(py)
    }

    /// What the span is to the one who asked for its work.
    #[getter]
    fn kind<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        Ok(api(py)?.kind(py, self.core().kind()))
    }

    #[getter(_kind)]
    fn held_kind<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        self.kind(py)
    }

    /// Nanoseconds since 1970.
    #[getter]
    fn start_time(&self, py: Python<'_>) -> u64 {
        self.core().start_time_ns(turn(py))
    }

    #[getter(_start_time)]
    fn held_start_time(&self, py: Python<'_>) -> u64 {
        self.start_time(py)
    }

    /// Nanoseconds since 1970, None until the span ends.
    #[getter]
    fn end_time(&self, py: Python<'_>) -> Option<u64> {
        self.core().end_time_ns(turn(py))
    }

    #[getter(_end_time)]
    fn held_end_time(&self, py: Python<'_>) -> Option<u64> {
        self.end_time(py)
    }

    /// The `opentelemetry.trace.Status`.
    #[getter]
    fn status<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        if let Some(status) = &self.held(py).status {
            return Ok(status.bind(py).clone());
        }
        let status = self.core().status(turn(py));
        let made = api(py)?.status(py, status.code, status.description.as_deref())?;
        Ok(self
            .held(py)
            .status
            .get_or_insert(made.unbind())
            .bind(py)
            .clone())
    }

    #[getter(_status)]
    fn held_status<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        self.status(py)
    }

    /// The attributes, read only.
    #[getter]
    fn attributes<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        Ok(read_only(
            self.content(py)?.get().attributes.bind(py).clone(),
        ))
    }

    /// The attributes, to be changed in place.
    #[getter(_attributes)]
    fn live_attributes<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        let py = slf.py();
        let told = slf
            .get()
            .held(py)
            .told
            .as_ref()
            .map(|told| told.clone_ref(py));
        match told {
            Some(told) => Ok(told.get().attributes.bind(py).clone().into_any()),
            None => py
                .import("nanospan.otel._attributes")?
                .call_method1("LiveAttributes", (slf,)),
        }
    }

    /// The events, in the order in which they were added.
    #[getter]
    fn events<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyTuple>> {
        Ok(self.held_events(py)?.to_tuple())
    }

    #[getter(_events)]
    fn held_events<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyList>> {
        Ok(self.content(py)?.get().events.bind(py).clone())
    }

    /// The links, in the order in which they were added.
    #[getter]
    fn links<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyTuple>> {
        Ok(self.held_links(py)?.to_tuple())
    }

    #[getter(_links)]
    fn held_links<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyList>> {
        Ok(self.content(py)?.get().links.bind(py).clone())
    }

    /// How many attributes were left out.
    #[getter]
    fn dropped_attributes(&self, py: Python<'_>) -> PyResult<u32> {
        Ok(self.content(py)?.get().dropped.0)
    }

    /// How many events were left out.
    #[getter]
    fn dropped_events(&self, py: Python<'_>) -> PyResult<u32> {
        Ok(self.content(py)?.get().dropped.1)
    }

    /// How many links were left out.
    #[getter]
    fn dropped_links(&self, py: Python<'_>) -> PyResult<u32> {
        Ok(self.content(py)?.get().dropped.2)
    }

    /// The resource of the provider.
    #[getter]
    fn resource<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let resource = match self.provider() {
            Some(provider) => provider.resource(py, self.core())?,
            None => None,
        };
        Ok(resource.unwrap_or_else(|| py.None().into_bound(py)))
    }

    #[getter(_resource)]
    fn held_resource<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        self.resource(py)
    }

    /// Who made the span: an `InstrumentationScope`.
    #[getter]
    fn instrumentation_scope<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        if let Some(tracer) = self.tracer() {
            return Ok(tracer.instrumentation_scope.bind(py).clone());
        }
        let tracer = self.core().tracer();
        let name_and_version = (tracer.name(), tracer.version().unwrap_or_default());
        py.import("nanospan.otel._sdk")?
            .call_method1("instrumentation_scope", name_and_version)
    }

    #[getter(_instrumentation_scope)]
    fn held_instrumentation_scope<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        self.instrumentation_scope(py)
    }

    /// The old name of the instrumentation scope.
    #[getter]
    fn instrumentation_info<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let scope = self.instrumentation_scope(py)?;
        py.import("nanospan.otel._sdk")?
            .call_method1("instrumentation_info", (scope,))
    }

    /// True until the span ends, if it is recorded.
    fn is_recording(&self, py: Python<'_>) -> bool {
        self.core().is_recording(turn(py))
    }

    /// Sets an attribute (OpenTelemetry trace API, "Set Attributes").
    ///
    /// Any value is taken as the SDK takes it.
    fn set_attribute(
        &self,
        py: Python<'_>,
        key: &Bound<'_, PyAny>,
        value: &Bound<'_, PyAny>,
    ) -> PyResult<()> {
        if !self.takes(py, "Setting attribute")? {
            return Ok(());
        }
        let read = attribute::one(self.bounds(Whose::Span), key, value)?;
        self.put_attributes(py, &read);
        Ok(())
    }

    /// Sets several attributes.
    fn set_attributes(&self, py: Python<'_>, attributes: &Bound<'_, PyAny>) -> PyResult<()> {
        if !self.takes(py, "Setting attribute")? {
            return Ok(());
        }
        if attributes.is_none() {
            return Err(PyTypeError::new_err(
                "attributes must be a mapping, got None",
            ));
        }
        let read = attribute::all(self.bounds(Whose::Span), Some(attributes))?;
        self.put_attributes(py, &read);
        Ok(())
    }

    /// Removes an attribute: for `_attributes`.
    fn _unset_attribute(&self, py: Python<'_>, key: &str) {
        self.core().unset_attribute(turn(py), key);
    }

    /// Adds an event, now unless `timestamp` (nanoseconds since 1970) says when.
    #[pyo3(signature = (name, attributes=None, timestamp=None))]
    fn add_event(
        &self,
        py: Python<'_>,
        name: &Bound<'_, PyAny>,
        attributes: Option<&Bound<'_, PyAny>>,
        timestamp: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<()> {
        if !self.core().is_recorded() {
            return Ok(());
        }
        let timestamp = time("timestamp", timestamp)?;
        let read = attribute::all(self.bounds(Whose::Event), attributes)?;
        let name = match name.cast::<PyString>() {
            Ok(name) => name.clone(),
            Err(_) => name.str()?,
        };
        if self.takes(py, "Adding an event")? {
            self.put_event(py, &text(&name), timestamp, &read);
        }
        Ok(())
    }

    /// Adds a link to a span that has to do with this one without being its parent.
    #[pyo3(signature = (context, attributes=None))]
    fn add_link<'py>(
        &self,
        py: Python<'py>,
        context: &Bound<'py, PyAny>,
        attributes: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<()> {
        let core = self.core();
        if !core.is_recorded() {
            return Ok(());
        }
        let attributes = attributes.filter(|attributes| !attributes.is_none());
        let Some(link) = Link::read(self.bounds(Whose::Link), context, attributes)? else {
            return Ok(());
        };
        if self.takes(py, "Adding a link")? {
            link.add(turn(py), core);
        }
        Ok(())
    }

    /// Gives the span another name.
    fn update_name(&self, py: Python<'_>, name: &Bound<'_, PyAny>) -> PyResult<()> {
        if self.takes(py, "Updating the name")? {
            self.rename(py, name)?;
        }
        Ok(())
    }

    /// Sets the status: a `Status`, or a `StatusCode` and why.
    ///
    /// OK is final, UNSET changes nothing (OpenTelemetry trace API, "Set Status").
    #[pyo3(signature = (status, description=None))]
    pub(super) fn set_status(
        &self,
        py: Python<'_>,
        status: &Bound<'_, PyAny>,
        description: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<()> {
        if !self.takes(py, "Setting the status")? {
            return Ok(());
        }
        let api = api(py)?;
        let description = description.filter(|description| !description.is_none());
        if let Some(code) = api.code_of(status) {
            if self.core().status_code(turn(py)) == StatusCode::Ok || code == StatusCode::Unset {
                return Ok(());
            }
            let why = match description {
                None => None,
                Some(description) => match description.cast_exact::<PyString>() {
                    Ok(why) if code == StatusCode::Error => Some(why),
                    // The API says in the log what is wrong with it.
                    _ => {
                        let given = api.status_class.bind(py).call1((status, description))?;
                        return self.take_status(py, api, &given);
                    }
                },
            };
            self.put_status(py, code, why.map(text).as_deref(), None);
            return Ok(());
        }
        if !status.is_instance(api.status_class.bind(py))? {
            return Ok(());
        }
        if let (Some(description), Some(code)) =
            (description, api.code_of(&status.getattr("status_code")?))
        {
            let ignored =
                self.core().status_code(turn(py)) == StatusCode::Ok || code == StatusCode::Unset;
            if !ignored {
                py.import("nanospan.otel._log")?
                    .call_method1("description_ignored", (description,))?;
            }
        }
        self.take_status(py, api, status)
    }

    /// Adds an event named `exception`.
    ///
    /// It tells an exception's type, message and stack trace (OpenTelemetry semantic conventions,
    /// "Exceptions on spans").
    #[pyo3(signature = (exception, attributes=None, timestamp=None, escaped=None))]
    fn record_exception(
        &self,
        py: Python<'_>,
        exception: &Bound<'_, PyAny>,
        attributes: Option<&Bound<'_, PyAny>>,
        timestamp: Option<&Bound<'_, PyAny>>,
        escaped: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<()> {
        if !self.core().is_recorded() {
            return Ok(());
        }
        let timestamp = time("timestamp", timestamp)?;
        let error = exception.cast::<PyBaseException>()?;
        let escaped = escaped.map_or_else(|| Ok(PyString::new(py, "False")), PyAnyMethods::str)?;
        let event = exception::attributes(error, Some(&text(&escaped)))?;
        if let Some(more) = attributes.filter(|more| !more.is_none()) {
            if more.is_truthy()? {
                event.update(more.cast()?)?;
            }
        }
        if self.takes(py, "Recording an exception")? {
            self.put_exception(&event, timestamp)?;
        }
        Ok(())
    }

    /// Ends the span, now unless `end_time` (nanoseconds since 1970) says when.
    ///
    /// The first end wins.
    #[pyo3(signature = (end_time=None))]
    fn end(slf: &Bound<'_, Self>, end_time: Option<&Bound<'_, PyAny>>) -> PyResult<()> {
        Self::end_at(slf, time("end_time", end_time)?)
    }

    fn __enter__<'py>(slf: &Bound<'py, Self>) -> Bound<'py, Self> {
        slf.clone()
    }

    /// Ends the span; an exception is recorded and sets the status, unless the start said otherwise.
    #[pyo3(signature = (kind=None, error=None, traceback=None))]
    fn __exit__(
        slf: &Bound<'_, Self>,
        kind: Option<&Bound<'_, PyAny>>,
        error: Option<&Bound<'_, PyAny>>,
        traceback: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<()> {
        let _ = (kind, traceback);
        let this = slf.get();
        if let Some(error) = error.and_then(|error| error.cast::<PyBaseException>().ok()) {
            let (record, status) = (this.record_exception, this.set_status_on_exception);
            this.fail(slf.py(), error, true, record, status)?;
        }
        Self::end(slf, None)
    }

    /// The span as processors see ended ones.
    #[pyo3(name = "_readable_span")]
    fn readable_span<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        self.read_all(py, &self.content(py)?)
    }

    /// The span as JSON, as the SDK's console exporter writes it.
    #[pyo3(signature = (indent=4))]
    fn to_json<'py>(&self, py: Python<'py>, indent: Option<usize>) -> PyResult<Bound<'py, PyAny>> {
        self.readable_span(py)?.call_method1("to_json", (indent,))
    }

    fn __setattr__(
        slf: &Bound<'_, Self>,
        name: &Bound<'_, PyString>,
        value: &Bound<'_, PyAny>,
    ) -> PyResult<()> {
        let py = slf.py();
        let this = slf.get();
        match name.to_str()? {
            "_name" => this.rename(py, value),
            "_attributes" => {
                let read = attribute::all(this.bounds(Whose::Span), Some(value))?;
                this.core()
                    .change(turn(py), |record, _| record.clear_attributes(0));
                this.put_attributes(py, &read);
                Ok(())
            }
            "_status" => this.take_status(py, api(py)?, value),
            known if py.get_type::<Self>().hasattr(known)? => Err(PyAttributeError::new_err(
                format!("attribute '{known}' of a span that has not ended is read-only"),
            )),
            _ => {
                // The object can be part of a cycle from now on, as can spans below it.
                track(slf);
                if let Ok(span) = value.cast_exact::<Self>() {
                    track(span);
                }
                set_own_attribute(slf, name, Some(value))
            }
        }
    }

    fn __delattr__(slf: &Bound<'_, Self>, name: &Bound<'_, PyString>) -> PyResult<()> {
        set_own_attribute(slf, name, None)
    }

    fn __repr__(&self, py: Python<'_>) -> PyResult<String> {
        let context = self.python_context(py)?.repr()?;
        if !self.core().is_recorded() {
            return Ok(format!("NonRecordingSpan({context})"));
        }
        let name = self.name(py);
        Ok(format!("_Span(name=\"{name}\", context={context})"))
    }

    #[allow(clippy::unused_self, reason = "what copy and pickle call")]
    #[pyo3(signature = (*_arguments))]
    fn __reduce_ex__(&self, _arguments: &Bound<'_, PyTuple>) -> PyResult<()> {
        Err(PyTypeError::new_err(
            "a span cannot be copied or pickled: pass on span.get_span_context()",
        ))
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        match &self.of {
            Of::Nothing => (),
            Of::Own(_, tracer) => visit.call(tracer)?,
            Of::Native(native) => visit.call(native)?,
        }
        let Some(held) = self.held.peek(turn(dropping())) else {
            return Ok(());
        };
        visit.call(&held.name)?;
        visit.call(&held.context)?;
        match &held.ancestor {
            Ancestor::None => (),
            Ancestor::Span(parent) => visit.call(parent)?,
            Ancestor::Context(context) => visit.call(context)?,
        }
        if let Some(left) = &held.left {
            visit.call(&left.0)?;
        }
        visit.call(&held.status)?;
        visit.call(&held.told)
    }
}

/// `opentelemetry.sdk.trace._Span`, if the SDK is loaded.
fn sdk_span_class(py: Python<'_>) -> PyResult<Option<&Bound<'_, PyType>>> {
    static CLASS: pyo3::sync::PyOnceLock<Py<PyType>> = pyo3::sync::PyOnceLock::new();
    if let Some(class) = CLASS.get(py) {
        return Ok(Some(class.bind(py)));
    }
    let modules = py.import("sys")?.getattr("modules")?;
    let Ok(module) = modules.get_item("opentelemetry.sdk.trace") else {
        return Ok(None);
    };
    // It may be on its way.
    let Ok(class) = module.getattr("_Span") else {
        return Ok(None);
    };
    let class = class.cast_into::<PyType>()?.unbind();
    Ok(Some(CLASS.get_or_init(py, || class).bind(py)))
}
