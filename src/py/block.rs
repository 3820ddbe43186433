//! What `start_as_current_span` returns: one `with` block, or the template of a decorated function.

use std::ffi::CStr;

use pyo3::Borrowed;
use pyo3::exceptions::{
    PyBaseException, PyException, PyGeneratorExit, PyKeyboardInterrupt, PyRuntimeError,
    PyStopAsyncIteration, PyStopIteration, PySystemExit,
};
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyString, PyType};

use super::exception;
use super::ffi::{Kind, Manager, dropping, turn};
use super::lifecycle;
use super::scope::{Entered, InCell, Left};
use super::span::PySpan;
use super::start::{self, Arguments};
use super::tracer::PyTracer;
use crate::context::{SpanKind, StatusCode};
use crate::span::Span;
use crate::turn::Guarded;
use crate::value::Value;

/// What `start_as_current_span` gives: a span for one `with` block, or for each call of a function
/// decorated with it.
pub(crate) struct Block {
    /// Until it dies.
    tracer: Option<Py<PyTracer>>,
    arguments: Arguments,
    state: Guarded<State>,
}

#[derive(Default)]
struct State {
    entered: bool,
    span: Option<Py<PySpan>>,
    /// One of them is set while the span is active because of this block.
    cell: Option<InCell>,
    active: Option<Entered>,
    /// What a generator's body had active when it yielded.
    suspended: Suspended,
}

/// What was active when a generator's body last yielded.
#[derive(Default)]
enum Suspended {
    /// It has not run yet.
    #[default]
    Never,
    With(Option<Py<PySpan>>),
}

/// The attribute that names what ended a block without being an error.
const ENDED_BY: &str = "nanospan.ended_by";

impl Block {
    pub(crate) fn new(tracer: Py<PyTracer>, arguments: Arguments) -> Self {
        Self {
            tracer: Some(tracer),
            arguments,
            state: Guarded::default(),
        }
    }

    #[inline]
    fn tracer(&self) -> &Py<PyTracer> {
        self.tracer.as_ref().expect("the block lives")
    }

    /// The object that Python holds.
    pub(crate) fn into_object(self, py: Python<'_>) -> PyResult<Bound<'_, PyAny>> {
        Kind::get(py, &KIND)?.make(py, |block| *block = self)
    }

    /// The object that Python holds, for a span with a name and a kind.
    #[inline(always)]
    pub(crate) fn make<'py>(
        tracer: &Bound<'py, PyTracer>,
        name: &Bound<'py, PyString>,
        kind: SpanKind,
    ) -> PyResult<Bound<'py, PyAny>> {
        let py = tracer.py();
        Kind::get(py, &KIND)?.make(py, |block| {
            block.tracer = Some(tracer.clone().unbind());
            block.arguments.begin(name, kind);
            block.state.get_mut().entered = false;
        })
    }

    /// The type of the object.
    pub(crate) fn class(py: Python<'_>) -> PyResult<&Bound<'_, PyType>> {
        Ok(Kind::get(py, &KIND)?.class(py))
    }

    /// A block with the same arguments, not entered.
    fn fresh(&self, py: Python<'_>) -> Self {
        Self::new(self.tracer().clone_ref(py), self.arguments.clone_ref(py))
    }

    /// The span, unless it is the no-op span.
    fn span<'py>(&self, py: Python<'py>) -> Option<Bound<'py, PySpan>> {
        let state = self.state.borrow(turn(py));
        let span = state.span.as_ref().map(|span| span.bind(py).clone());
        span.filter(|span| span.get().core().is_some())
    }

    #[inline(always)]
    fn begin(&self, py: Python<'_>) -> PyResult<()> {
        if std::mem::replace(&mut self.state.borrow(turn(py)).entered, true) {
            return Err(entered_twice());
        }
        Ok(())
    }

    fn start<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PySpan>> {
        let span = self.arguments.start(py, self.tracer().get())?;
        self.state.borrow(turn(py)).span = Some(span.clone().unbind());
        Ok(span)
    }

    /// Enters with a new value of the scope's variable.
    #[inline(never)]
    fn enter_anew<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let tracer = self.tracer().get();
        if let Some((name, text, kind)) = self.arguments.simple(py) {
            if let Some((span, present)) = start::start_to_enter(tracer, name, text, kind)? {
                self.state.borrow(turn(py)).span = Some(span.clone().unbind());
                let entered = present.enter(&span)?;
                self.keep(py, entered);
                return Ok(span.into_any());
            }
        }
        let span = self.start(py)?;
        if span.get().core().is_some() {
            self.activate(py, Some(&span))?;
        }
        Ok(span.into_any())
    }

    fn activate(&self, py: Python<'_>, span: Option<&Bound<'_, PySpan>>) -> PyResult<()> {
        let entered = self.tracer().get().scope().enter(py, span)?;
        self.keep(py, entered);
        Ok(())
    }

    fn keep(&self, py: Python<'_>, entered: Entered) {
        let mut state = self.state.borrow(turn(py));
        match entered {
            Entered::Cell(cell) => state.cell = Some(cell),
            other => state.active = Some(other),
        }
    }

    /// Makes active again what was before.
    fn restore(&self, py: Python<'_>) -> PyResult<()> {
        let (cell, active) = {
            let mut state = self.state.borrow(turn(py));
            (state.cell.take(), state.active.take())
        };
        self.span(py)
            .map_or(Ok(()), |span| self.leave(cell, active, &span))
    }

    #[cold]
    fn leave(
        &self,
        cell: Option<InCell>,
        active: Option<Entered>,
        span: &Bound<'_, PySpan>,
    ) -> PyResult<()> {
        let (py, scope) = (span.py(), self.tracer().get().scope());
        let left = match (cell, active) {
            (Some(cell), _) => scope.leave(py, Entered::Cell(cell))?,
            (None, Some(entered)) => scope.leave(py, entered)?,
            (None, None) => Left::Here,
        };
        match left {
            Left::Here => (),
            Left::Settled => span.get().count_left(),
            Left::Elsewhere(before) => span.get().mark_left(py, before),
        }
        Ok(())
    }

    /// The end of a block that is left in an unusual way: with what it still has to leave.
    #[cold]
    fn exit_otherwise(
        &self,
        cell: Option<InCell>,
        span: &Bound<'_, PySpan>,
        error: &Bound<'_, PyAny>,
    ) -> PyResult<()> {
        let active = self.state.borrow(turn(span.py())).active.take();
        let error = (!error.is_none()).then_some(error);
        match self.leave(cell, active, span) {
            Ok(()) => Self::end(span, error),
            Err(raised) => Self::end(span, error).and(Err(raised)),
        }
    }

    /// Finishes the span; `error` is what left the block, if anything did.
    fn finish(&self, py: Python<'_>, error: Option<&Bound<'_, PyAny>>) -> PyResult<()> {
        let span = self.state.borrow(turn(py)).span.take();
        match span.map(|span| span.into_bound(py)) {
            Some(span) => Self::end(&span, error),
            None => Ok(()),
        }
    }

    fn end(span: &Bound<'_, PySpan>, error: Option<&Bound<'_, PyAny>>) -> PyResult<()> {
        match error.and_then(|error| error.cast::<PyBaseException>().ok()) {
            Some(error) => Self::end_by(span, error),
            None => PySpan::end_now(span).map(drop),
        }
    }

    #[cold]
    fn end_by(span: &Bound<'_, PySpan>, error: &Bound<'_, PyBaseException>) -> PyResult<()> {
        let py = span.py();
        let told = span.get().core().and_then(|core| {
            // PyO3 learns that the thread is attached, and lets go of errors at once.
            Python::try_attach(|_| {
                tell(py, core, error).or_else(|raised| {
                    // An exception that cannot be described must not take the place of the one
                    // described.
                    if raised.is_instance_of::<PyException>(py) {
                        Ok(())
                    } else {
                        Err(raised)
                    }
                })
            })
        });
        PySpan::end_now(span)?;
        told.unwrap_or(Ok(()))
    }
}

#[cold]
fn entered_twice() -> PyErr {
    PyRuntimeError::new_err("a block can be entered once: call start_as_current_span for each")
}

static KIND: PyOnceLock<Kind<Block>> = PyOnceLock::new();

impl Manager for Block {
    const NAME: &'static CStr = c"nanospan._Block";

    fn kind() -> Option<&'static Kind<Self>> {
        // The type is there since its first object, and any thread that has one is attached.
        KIND.get(dropping())
    }

    fn enter<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        self.begin(py)?;
        if let Some((name, text, kind)) = self.arguments.simple(py) {
            let tracer = self.tracer().get();
            if let Some((span, entered)) = start::start_and_enter(tracer, name, text, kind)? {
                let mut state = self.state.borrow(turn(py));
                state.span = Some(span.clone().unbind());
                state.cell = Some(entered);
                return Ok(span.into_any());
            }
        }
        self.enter_anew(py)
    }

    fn exit(&self, py: Python<'_>, error: Borrowed<'_, '_, PyAny>) -> PyResult<()> {
        let (span, cell) = {
            let mut state = self.state.borrow(turn(py));
            (state.span.take(), state.cell.take())
        };
        let Some(span) = span.map(|span| span.into_bound(py)) else {
            return Ok(());
        };
        let cell = match cell {
            Some(cell) => self.tracer().get().scope().leave_in_place(py, cell),
            None => return self.exit_otherwise(None, &span, &error),
        };
        if cell.is_some() || !error.is_none() {
            return self.exit_otherwise(cell, &span, &error);
        }
        PySpan::end_now(&span).map(drop)
    }

    /// Each call of the function is a span of its own. A generator's span is active only while its
    /// body runs.
    fn decorate<'py>(
        &self,
        py: Python<'py>,
        function: Borrowed<'_, 'py, PyAny>,
    ) -> PyResult<Bound<'py, PyAny>> {
        py.import("nanospan._decorate")?
            .call_method1("decorate", (PyTemplate(self.fresh(py)), function))
    }

    fn blank() -> Self {
        Self {
            tracer: None,
            arguments: Arguments::none(),
            state: Guarded::default(),
        }
    }

    #[inline]
    fn rest(&mut self, py: Python<'_>) {
        drop(self.tracer.take().map(|tracer| tracer.into_bound(py)));
        self.arguments.let_go(py);
        let state = self.state.get_mut();
        drop(state.span.take().map(|span| span.into_bound(py)));
        if let Some(entered) = state.cell.take() {
            entered.let_go(py);
        }
        if let Some(entered) = state.active.take() {
            entered.let_go(py);
        }
        if let Suspended::With(suspended) = &mut state.suspended {
            drop(suspended.take().map(|span| span.into_bound(py)));
            state.suspended = Suspended::Never;
        }
    }
}

/// What a decorated function makes its spans from.
#[pyclass(frozen, name = "_Template", module = "nanospan")]
pub(crate) struct PyTemplate(Block);

#[pymethods]
impl PyTemplate {
    /// A block for one call.
    #[pyo3(name = "_block")]
    fn block<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        self.0.fresh(py).into_object(py)
    }

    /// The same for a generator that is called now and runs later: the parent is the span that is
    /// active now, if one is.
    #[pyo3(name = "_called")]
    fn called(&self, py: Python<'_>) -> PyResult<Self> {
        let (tracer, arguments) = (self.0.tracer(), &self.0.arguments);
        let arguments = arguments.called(py, tracer.get())?;
        Ok(Self(Block::new(tracer.clone_ref(py), arguments)))
    }

    /// Starts the span. It is not active yet.
    #[pyo3(name = "_start")]
    fn start<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PySpan>> {
        self.0.begin(py)?;
        self.0.start(py)
    }

    /// Before a step of a generator: makes active what its body had active, at first the span.
    #[pyo3(name = "_resume")]
    fn resume(&self, py: Python<'_>) -> PyResult<()> {
        let suspended = std::mem::take(&mut self.0.state.borrow(turn(py)).suspended);
        let span = self.0.span(py);
        if span.is_none() {
            return Ok(());
        }
        let active = match suspended {
            Suspended::Never => span,
            Suspended::With(active) => active.map(|span| span.into_bound(py)),
        };
        self.0.activate(py, active.as_ref())
    }

    /// After a step of a generator: makes active again what was before.
    #[pyo3(name = "_suspend")]
    fn suspend(&self, py: Python<'_>) -> PyResult<()> {
        if self.0.span(py).is_none() {
            return Ok(());
        }
        let active = self.0.tracer().get().scope().active(py)?;
        self.0.state.borrow(turn(py)).suspended = Suspended::With(active.map(Bound::unbind));
        self.0.restore(py)
    }

    /// Finishes the span; `error` is what left the generator, if anything did.
    #[pyo3(name = "_finish", signature = (error=None))]
    fn finish(&self, py: Python<'_>, error: Option<&Bound<'_, PyAny>>) -> PyResult<()> {
        self.0.finish(py, error)
    }
}

/// Says on the span what left its block.
fn tell(py: Python<'_>, core: &Span, error: &Bound<'_, PyBaseException>) -> PyResult<()> {
    if !core.is_recording(turn(py)) {
        return Ok(());
    }
    let Some(_below) = lifecycle::Below::enter() else {
        return Ok(());
    };
    let name = error.get_type().name()?.to_string();
    if !is_failure(py, error)? {
        core.set_attribute(turn(py), ENDED_BY, Value::Text(&name));
        return Ok(());
    }
    exception::record(core, error)?;
    if core.status_code(turn(py)) == StatusCode::Unset {
        let message = exception::message(error);
        let description = if message.is_empty() {
            name
        } else {
            format!("{name}: {message}")
        };
        core.set_status(turn(py), StatusCode::Error, Some(&description));
    }
    Ok(())
}

/// False for what ends a block in the ordinary course of things.
fn is_failure(py: Python<'_>, error: &Bound<'_, PyBaseException>) -> PyResult<bool> {
    if error.is_instance_of::<PyGeneratorExit>()
        || error.is_instance_of::<PyStopIteration>()
        || error.is_instance_of::<PyStopAsyncIteration>()
        || error.is_instance_of::<PyKeyboardInterrupt>()
    {
        return Ok(false);
    }
    if error.is_instance_of::<PySystemExit>() {
        let code = error.getattr("code")?;
        return Ok(!code.is_none() && !code.eq(0)?);
    }
    // asyncio is not imported for this: if nobody has, nobody raises its errors.
    let modules = py.import("sys")?.getattr("modules")?;
    let asyncio = modules.call_method1("get", ("asyncio.exceptions",))?;
    if asyncio.is_none() {
        return Ok(true);
    }
    Ok(!error.is_instance(&asyncio.getattr("CancelledError")?)?)
}
