//! `Span`: the handle that Python holds.

mod ancestor;

use std::cell::RefMut;

use pyo3::exceptions::{PyBaseException, PyTypeError};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyString, PyTuple};

use super::argument;
use super::context::PySpanContext;
use super::data::{events, links, span_kind, status_code};
use super::error::{ReleasedSpanError, misuse, wrong_type};
use super::exception;
use super::ffi::{Bin, Recycled, turn};
use super::lifecycle;
use super::otel::{self, PyOtelSpan};
use super::scope::Scope;
use super::value::{Change, Reader, pairs, plain, text, to_dict};
use crate::id::{SpanId, TraceId};
use crate::otlp::message;
use crate::propagation::w3c;
use crate::span::{FinishError, Handle, Span};
use crate::turn::{Guarded, Turn, TurnCell};
use ancestor::step_up;

/// One unit of work: started by a tracer, finished by hand or by its block.
///
/// Ids, context, name, kind, times, status and `is_recording()` can be read for ever. Attributes,
/// events and links can be read until the local trace is handed over to the exporters, then they
/// raise `ReleasedSpanError`. Writes to an ended span are ignored and counted in `stats()`.
#[pyclass(frozen, weakref, name = "Span", module = "nanospan")]
pub(crate) struct PySpan {
    of: Of,
    /// Whose active span it may be; None for the no-op span.
    scope: Option<&'static Scope>,
    /// It was made active at some time, in a scope of ours.
    was_active: TurnCell<bool>,
    held: Guarded<Held>,
}

/// Whose span it is.
enum Of {
    /// Nobody's: the no-op span.
    Nothing,
    /// Its own.
    Own(Handle),
    /// That of a handle of the OpenTelemetry face, which is there until this one dies.
    Otel(Option<Py<PyOtelSpan>>),
}

/// What the handle holds of Python's. It is moved out before it is dropped: the death of a handle may
/// run anybody's code.
#[derive(Default)]
struct Held {
    name: Option<Py<PyString>>,
    /// The `traceparent` header, made when it is first sent, and the flags in it.
    traceparent: Option<(u8, Py<PyString>)>,
    /// The nearest ancestor that had not finished when this was last looked at: it becomes active
    /// when this span finishes. A span that has finished keeps no finished parent.
    parent: Option<Py<PySpan>>,
    /// Its block was left in another context than it was entered in.
    left: bool,
    /// What was active before that block.
    before: Option<Py<PySpan>>,
}

impl PySpan {
    /// The span that every tracer starts until one is configured.
    pub(crate) fn no_op() -> Self {
        Self {
            of: Of::Nothing,
            scope: None,
            was_active: TurnCell::new(false),
            held: Guarded::default(),
        }
    }

    /// Where a span of its own begins.
    #[inline(always)]
    pub(crate) fn handle(&mut self) -> &mut Handle {
        if !matches!(self.of, Of::Own(_)) {
            self.of = Of::Own(Handle::default());
        }
        match &mut self.of {
            Of::Own(handle) => handle,
            Of::Nothing | Of::Otel(_) => unreachable!("it was given one"),
        }
    }

    /// What it has beside its span, whose parent this is.
    #[inline(always)]
    pub(crate) fn begin(
        &mut self,
        name: Option<Py<PyString>>,
        scope: &'static Scope,
        parent: Option<Bound<'_, PySpan>>,
    ) {
        self.scope = Some(scope);
        self.was_active = TurnCell::new(false);
        let held = self.held.get_mut();
        // It was at rest: there is nothing to let go of, and no code to do that.
        std::mem::forget(std::mem::replace(&mut held.name, name));
        if let Some(parent) = parent.and_then(Self::unfinished_from) {
            std::mem::forget(held.parent.replace(parent.unbind()));
        }
    }

    /// The native handle of a span of the OpenTelemetry face.
    pub(crate) fn of_otel<'py>(
        span: Bound<'py, PyOtelSpan>,
        scope: &'static Scope,
    ) -> PyResult<Bound<'py, Self>> {
        let py = span.py();
        if let Some(native) = span.get().native(py) {
            return Ok(native.clone());
        }
        Self::bin().make(py, |handle| {
            handle.of = Of::Otel(Some(span.unbind()));
            handle.begin(None, scope, None);
        })
    }

    /// The handle of the OpenTelemetry face whose span it is, if it is not its own.
    pub(crate) fn otel<'py>(&self, py: Python<'py>) -> Option<&Bound<'py, PyOtelSpan>> {
        match &self.of {
            Of::Nothing | Of::Own(_) => None,
            Of::Otel(otel) => otel.as_ref().map(|otel| otel.bind(py)),
        }
    }

    /// True for two handles of one span.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        match (self.core(), other.core()) {
            (Some(span), Some(other)) => std::ptr::eq(span, other),
            _ => false,
        }
    }

    /// The core's span; None for the no-op span.
    #[inline(always)]
    pub(crate) fn core(&self) -> Option<&Span> {
        match &self.of {
            Of::Own(span) => Some(span),
            Of::Otel(otel) => otel.as_ref().map(|otel| otel.get().core()),
            Of::Nothing => None,
        }
    }

    /// It is made active: whoever finishes it looks whether it still is.
    #[inline]
    pub(crate) fn mark_active(&self, py: Python<'_>) {
        self.was_active.set(turn(py), true);
    }

    /// The `traceparent` header (W3C Trace Context, "traceparent Header"), made once.
    pub(crate) fn traceparent<'py>(&self, py: Python<'py>, core: &Span) -> Bound<'py, PyString> {
        let flags = core.trace_flags();
        let known = {
            let held = self.held(py);
            let known = held.traceparent.as_ref();
            known
                .filter(|(of, _)| *of == flags)
                .map(|(_, header)| header.bind(py).clone())
        };
        known.unwrap_or_else(|| {
            let made = w3c::traceparent(core.trace().trace_id(), *core.span_id(), flags);
            let made = PyString::new(py, w3c::as_text(&made));
            let header = made.clone().unbind();
            let replaced = self.held(py).traceparent.replace((flags, header));
            drop(replaced.map(|(_, header)| header.into_bound(py)));
            made
        })
    }

    /// True when the span's tracer has the namespace of `scope`.
    pub(crate) fn is_in(&self, scope: &'static Scope) -> bool {
        self.scope.is_some_and(|own| std::ptr::eq(own, scope))
    }

    /// Names a draft.
    pub(crate) fn link(
        &self,
        py: Python<'_>,
        name: &Bound<'_, PyString>,
        start_time_ns: Option<u64>,
    ) -> PyResult<()> {
        let Some(span) = self.core() else {
            return Ok(());
        };
        span.link(turn(py), &text(name), start_time_ns)
            .map_err(|_| {
                misuse(format!(
                    "span must be a draft that is not linked yet, got {}",
                    self.name_text(py)
                ))
            })?;
        let name = plain(name);
        self.held(py).name.get_or_insert(name);
        Ok(())
    }

    /// Ends the span and leaves the active span alone: for blocks, which have restored it already.
    /// True if it had not ended before.
    pub(crate) fn end(slf: &Bound<'_, Self>, end_time_ns: Option<u64>) -> PyResult<bool> {
        Self::end_with(slf, end_time_ns)
    }

    /// The same, now.
    #[inline(always)]
    pub(crate) fn end_now(slf: &Bound<'_, Self>) -> PyResult<bool> {
        Self::end_with(slf, None)
    }

    #[inline(always)]
    fn end_with(slf: &Bound<'_, Self>, end_time_ns: Option<u64>) -> PyResult<bool> {
        let (this, py) = (slf.get(), slf.py());
        let span = match &this.of {
            Of::Own(span) => span,
            Of::Nothing => return Ok(false),
            Of::Otel(otel) => {
                return otel.as_ref().map_or(Ok(false), |otel| {
                    PyOtelSpan::finish(otel.bind(py), end_time_ns)
                });
            }
        };
        let told = otel::processor_of_native(slf);
        let result = match told {
            None if end_time_ns.is_none() => span.finish_now(turn(py)),
            None => span.finish(turn(py), end_time_ns),
            Some(processor) => otel::finish_native(slf, &processor, end_time_ns)?,
        };
        match result {
            Ok(first) => {
                if first {
                    this.shorten(py);
                }
                if span.is_root() {
                    lifecycle::deliver_at_root(py, span);
                }
                Ok(first)
            }
            Err(refused) => this.refuse(py, span, refused),
        }
    }

    /// What an end that is refused says.
    #[cold]
    fn refuse(&self, py: Python<'_>, span: &Span, refused: FinishError) -> PyResult<bool> {
        match refused {
            FinishError::Draft => Err(misuse(
                "finish: the span is a draft, give it a name with link_span first".to_owned(),
            )),
            // In a forked child the parent's table of notices may be locked for ever.
            FinishError::EndBeforeStart(_) if span.is_inherited() => Ok(false),
            FinishError::EndBeforeStart(by_ns) => {
                let (name, pipeline) = (self.name_text(py), span.trace().pipeline());
                pipeline.notices().leave("end before start", || {
                    format!(
                        "span {name}: end_time_ns lies {by_ns} ns before its start; it stays open"
                    )
                });
                lifecycle::deliver(py, pipeline);
                Ok(false)
            }
        }
    }

    /// Ends the span now; if it is active, an ancestor is then.
    #[inline(always)]
    pub(crate) fn finish_now(slf: &Bound<'_, Self>) -> PyResult<()> {
        if !matches!(slf.get().of, Of::Own(_)) {
            return Self::finish_at(slf, None);
        }
        if Self::end_now(slf)? {
            step_up(slf, None)?;
        }
        Ok(())
    }

    fn finish_at(slf: &Bound<'_, Self>, end_time_ns: Option<u64>) -> PyResult<()> {
        let parent = slf.get().parent_by_otel(slf.py());
        if Self::end(slf, end_time_ns)? {
            step_up(slf, parent)?;
        }
        Ok(())
    }

    #[inline]
    fn held<'a>(&'a self, py: Python<'a>) -> RefMut<'a, Held> {
        self.held.borrow(turn(py))
    }

    /// Keeps the nearest unfinished ancestor instead of a finished parent.
    #[inline(always)]
    fn shorten(&self, py: Python<'_>) {
        let is_finished = {
            let held = self.held(py);
            let parent = held.parent.as_ref();
            parent.is_some_and(|parent| !parent.get().is_unfinished(py))
        };
        if is_finished {
            self.shorten_below(py);
        }
    }

    #[cold]
    fn shorten_below(&self, py: Python<'_>) {
        let parent = match &self.held(py).parent {
            Some(parent) => parent.bind(py).clone(),
            None => return,
        };
        let nearest = PySpan::unfinished_from(parent).map(Bound::unbind);
        let replaced = std::mem::replace(&mut self.held(py).parent, nearest);
        drop(replaced.map(|span| span.into_bound(py)));
    }

    #[inline(always)]
    fn is_unfinished(&self, py: Python<'_>) -> bool {
        self.core().is_some_and(|span| span.is_unfinished(turn(py)))
    }

    fn read(&self, py: Python<'_>) -> PyResult<message::Span> {
        let Some(span) = self.core() else {
            return Ok(message::Span::default());
        };
        span.read(turn(py)).map_err(|_| {
            ReleasedSpanError::new_err(
                "attributes, events and links are gone: the span was released, or its trace was \
                 handed over to the exporters",
            )
        })
    }

    fn name_text(&self, py: Python<'_>) -> String {
        format!("{:?}", text(&self.name(py)))
    }
}

static BIN: Bin<PySpan> = Bin::new();

impl Recycled for PySpan {
    fn bin() -> &'static Bin<Self> {
        &BIN
    }

    fn blank() -> Self {
        Self::no_op()
    }

    #[inline]
    fn rest(&mut self, py: Python<'_>) {
        self.let_go(py);
    }
}

#[pymethods]
impl PySpan {
    /// The ids and flags of the span, with the sampling decision as it stands.
    #[getter]
    fn context(&self) -> PySpanContext {
        PySpanContext(self.core().map(Span::context))
    }

    /// Sixteen bytes; all zero for the no-op span.
    #[getter]
    fn trace_id<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
        let id = self.core().map(|span| span.trace().trace_id());
        PyBytes::new(py, &id.map_or([0; 16], TraceId::to_bytes))
    }

    /// Eight bytes; all zero for the no-op span.
    #[getter]
    fn span_id<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
        let id = self.core().map(|span| *span.span_id());
        PyBytes::new(py, &id.map_or([0; 8], SpanId::to_bytes))
    }

    /// The trace id as 32 lowercase hexadecimal digits.
    #[getter]
    fn trace_id_hex(&self) -> String {
        self.context().trace_id_hex()
    }

    /// The span id as 16 lowercase hexadecimal digits.
    #[getter]
    fn span_id_hex(&self) -> String {
        self.context().span_id_hex()
    }

    /// The parent's eight bytes, None for the root of a trace.
    #[getter]
    fn parent_id<'py>(&self, py: Python<'py>) -> Option<Bound<'py, PyBytes>> {
        let id = self.core().and_then(Span::parent_id);
        id.map(|id| PyBytes::new(py, &id.to_bytes()))
    }

    /// The name of the span; empty for a draft and for the no-op span.
    #[getter]
    pub(crate) fn name<'py>(&self, py: Python<'py>) -> Bound<'py, PyString> {
        if let Some(otel) = self.otel(py) {
            return otel.get().name(py);
        }
        let held = self.held(py);
        let name = held.name.as_ref().map(|name| name.bind(py).clone());
        drop(held);
        name.unwrap_or_else(|| PyString::new(py, ""))
    }

    /// What the span is to the one who asked for its work.
    #[getter]
    fn kind<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        span_kind(py, self.core().map_or(1, |span| span.kind() as i32))
    }

    /// Nanoseconds since 1970; 0 for a draft and for the no-op span.
    #[getter]
    fn start_time_ns(&self, py: Python<'_>) -> u64 {
        self.core().map_or(0, |span| span.start_time_ns(turn(py)))
    }

    /// Nanoseconds since 1970, None until the span finishes.
    #[getter]
    fn end_time_ns(&self, py: Python<'_>) -> Option<u64> {
        self.core().and_then(|span| span.end_time_ns(turn(py)))
    }

    /// How the work ended, as far as anybody said.
    #[getter]
    fn status<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        status_code(
            py,
            self.core()
                .map_or(0, |span| span.status_code(turn(py)) as i32),
        )
    }

    /// Why it failed, None unless that was said.
    #[getter]
    fn status_description(&self, py: Python<'_>) -> Option<String> {
        self.core()
            .and_then(|span| span.status(turn(py)).description)
            .map(String::from)
    }

    /// The attributes, as a new dict; raises `ReleasedSpanError` once they are gone.
    #[getter]
    fn attributes<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        to_dict(py, &self.read(py)?.attributes)
    }

    /// The events, as they were added; raises `ReleasedSpanError` once they are gone.
    #[getter]
    fn events<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyTuple>> {
        events(py, &self.read(py)?)
    }

    /// The links, as they were added; raises `ReleasedSpanError` once they are gone.
    #[getter]
    fn links<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyTuple>> {
        links(py, &self.read(py)?)
    }

    /// True while what is set on the span is kept.
    ///
    /// It is sampled, or may still be, and has not ended.
    fn is_recording(&self, py: Python<'_>) -> bool {
        self.core().is_some_and(|span| span.is_recording(turn(py)))
    }

    /// Sets an attribute; the last write of a key wins, None removes it.
    ///
    /// Any value is taken: text, bool, int, float, bytes, and lists and mappings of these. Others
    /// become text if they define `__str__`, else they are left out and counted. Raises
    /// `TypeError` for a key that is not a str.
    fn set_attribute(&self, key: &Bound<'_, PyAny>, value: &Bound<'_, PyAny>) -> PyResult<()> {
        let Some(span) = self.core() else {
            return Ok(());
        };
        let key = key
            .cast::<PyString>()
            .map_err(|_| wrong_type("key", "a str", key))?;
        let key = text(key);
        let changed = Reader::new(span.trace().pipeline()).change(&key, value)?;
        apply(turn(value.py()), span, &key, changed);
        Ok(())
    }

    /// Sets several attributes, as `set_attribute` does.
    ///
    /// With a key that is not a str it raises `TypeError` and sets none.
    fn set_attributes(&self, attributes: &Bound<'_, PyAny>) -> PyResult<()> {
        let Some(span) = self.core() else {
            return Ok(());
        };
        let reader = Reader::new(span.trace().pipeline());
        let changes = reader.changes("attributes", Some(attributes))?;
        change(turn(attributes.py()), span, changes);
        Ok(())
    }

    /// Adds an event, now unless `time_ns` (nanoseconds since 1970) says when.
    #[pyo3(signature = (name, attributes=None, *, time_ns=None))]
    fn add_event(
        &self,
        name: &Bound<'_, PyAny>,
        attributes: Option<&Bound<'_, PyAny>>,
        time_ns: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<()> {
        let Some(span) = self.core() else {
            return Ok(());
        };
        let name = name
            .cast::<PyString>()
            .map_err(|_| wrong_type("name", "a str", name))?;
        let time_ns = argument::time_ns("time_ns", time_ns)?;
        let reader = Reader::new(span.trace().pipeline());
        let attributes = reader.attributes("attributes", attributes)?;
        span.add_event(turn(name.py()), &text(name), time_ns, pairs(&attributes));
        Ok(())
    }

    /// Adds a link to a span that has to do with this one without being its parent.
    #[pyo3(signature = (context, attributes=None))]
    fn add_link(
        &self,
        context: &Bound<'_, PyAny>,
        attributes: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<()> {
        let Some(span) = self.core() else {
            return Ok(());
        };
        let context = context
            .cast::<PySpanContext>()
            .map_err(|_| wrong_type("context", "a SpanContext", context))?;
        let reader = Reader::new(span.trace().pipeline());
        let attributes = reader.attributes("attributes", attributes)?;
        let turn = turn(context.py());
        if let Some(context) = &context.get().0 {
            span.add_link(turn, context.into(), pairs(&attributes));
        }
        Ok(())
    }

    /// Adds an event named `exception`.
    ///
    /// Text becomes its `exception.message`; an exception gives `exception.type`,
    /// `exception.message` and `exception.stacktrace` (OpenTelemetry semantic conventions,
    /// "Exceptions on spans"). The status is left alone.
    fn record_error(&self, _py: Python<'_>, error: &Bound<'_, PyAny>) -> PyResult<()> {
        let Some(span) = self.core() else {
            return Ok(());
        };
        if let Ok(error) = error.cast::<PyBaseException>() {
            return exception::record(span, error);
        }
        let message = error
            .cast::<PyString>()
            .map_err(|_| wrong_type("error", "a str or an exception", error))?;
        let message = text(message);
        let attributes = [("exception.message", crate::value::Value::Text(&message))];
        span.add_event(turn(error.py()), "exception", None, attributes.into_iter());
        Ok(())
    }

    /// Sets the status.
    ///
    /// OK is final, UNSET changes nothing, and a description counts only with ERROR (OpenTelemetry
    /// trace API, "Set Status").
    #[pyo3(signature = (status, description=None))]
    fn set_status(
        &self,
        status: &Bound<'_, PyAny>,
        description: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<()> {
        let Some(span) = self.core() else {
            return Ok(());
        };
        let code = argument::status(status)?;
        let description = description
            .map(|came| {
                came.cast::<PyString>()
                    .map_err(|_| wrong_type("description", "a str or None", came))
            })
            .transpose()?;
        span.set_status(turn(status.py()), code, description.map(text).as_deref());
        Ok(())
    }

    /// Ends the span, now unless `end_time_ns` (nanoseconds since 1970) says when.
    ///
    /// The first end wins. An end before the start is logged and ignored, and the span stays open.
    /// If the span is active, its nearest ancestor of the same namespace that has not finished
    /// becomes active. Raises `ValueError` for a draft.
    #[pyo3(signature = (end_time_ns=None))]
    fn finish(slf: &Bound<'_, Self>, end_time_ns: Option<&Bound<'_, PyAny>>) -> PyResult<()> {
        if slf.get().core().is_none() {
            return Ok(());
        }
        let end_time_ns = argument::time_ns("end_time_ns", end_time_ns)?;
        Self::finish_at(slf, end_time_ns)
    }

    /// Ends the handle.
    ///
    /// A span that has not finished is discarded; one that has is exported all the same. Afterwards
    /// writes are ignored, and attributes, events and links raise `ReleasedSpanError`.
    fn release(slf: &Bound<'_, Self>, py: Python<'_>) -> PyResult<()> {
        let Some(span) = slf.get().core() else {
            return Ok(());
        };
        let parent = slf.get().parent_by_otel(py);
        span.release(turn(py));
        slf.get().shorten(py);
        if let Some(otel) = slf.get().otel(py) {
            otel.get().let_parent_go(py);
        }
        step_up(slf, parent)
    }

    fn __repr__(&self, py: Python<'_>) -> String {
        let name = self.name(py);
        let (name, trace, span) = (text(&name), self.trace_id_hex(), self.span_id_hex());
        format!("Span(name={name:?}, trace_id={trace}, span_id={span})")
    }

    #[allow(clippy::unused_self, reason = "what copy and pickle call")]
    fn __reduce__(&self) -> PyResult<()> {
        Err(PyTypeError::new_err(
            "a span cannot be copied or pickled: pass on span.context",
        ))
    }
}

/// Sets and unsets what a mapping asked for.
pub(crate) fn change(turn: Turn<'_>, span: &Span, changes: Vec<(String, Change)>) {
    for (key, change) in changes {
        apply(turn, span, &key, change);
    }
}

fn apply(turn: Turn<'_>, span: &Span, key: &str, change: Change) {
    match change {
        Change::Set(value) => span.set_attribute(turn, key, value.as_value()),
        Change::Unset => span.unset_attribute(turn, key),
        Change::Nothing => (),
    }
}
