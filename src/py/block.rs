//! What `start_as_current_span` returns: one `with` block, or the template of a decorated function.

use std::sync::{Mutex, MutexGuard, PoisonError};

use pyo3::exceptions::{
    PyBaseException, PyException, PyGeneratorExit, PyKeyboardInterrupt, PyRuntimeError,
    PyStopAsyncIteration, PyStopIteration, PySystemExit,
};
use pyo3::prelude::*;

use super::exception;
use super::ffi::{Token, turn};
use super::lifecycle;
use super::span::PySpan;
use super::start::Arguments;
use super::tracer::PyTracer;
use crate::context::StatusCode;
use crate::span::Span;
use crate::value::Value;

/// A span for one `with` block, or for each call of a function decorated with it.
#[pyclass(frozen, weakref, name = "_Block", module = "nanospan")]
pub(crate) struct PyBlock {
    tracer: Py<PyTracer>,
    arguments: Arguments,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    entered: bool,
    span: Option<Py<PySpan>>,
    /// Set while the span is active because of this block.
    active: Option<Active>,
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

struct Active {
    token: Token,
    before: Option<Py<PySpan>>,
}

/// The attribute that names what ended a block without being an error.
const ENDED_BY: &str = "nanospan.ended_by";

impl PyBlock {
    pub(crate) fn new(tracer: Py<PyTracer>, arguments: Arguments) -> Self {
        Self {
            tracer,
            arguments,
            state: Mutex::default(),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The span, unless it is the no-op span.
    fn span<'py>(&self, py: Python<'py>) -> Option<Bound<'py, PySpan>> {
        let span = self.state().span.as_ref().map(|span| span.bind(py).clone());
        span.filter(|span| span.get().core().is_some())
    }

    fn activate(&self, py: Python<'_>, span: Option<&Bound<'_, PySpan>>) -> PyResult<()> {
        if self.span(py).is_none() {
            return Ok(());
        }
        let scope = self.tracer.get().scope();
        let before = scope.active(py)?.map(Bound::unbind);
        let token = scope.enter(py, span)?;
        self.state().active = Some(Active { token, before });
        Ok(())
    }

    /// Makes active again what was before.
    fn restore(&self, py: Python<'_>) -> PyResult<()> {
        let active = self.state().active.take();
        let Some(Active { token, before }) = active else {
            return Ok(());
        };
        if !self.tracer.get().scope().leave(py, token)? {
            if let Some(span) = self.span(py) {
                span.get()
                    .mark_left(py, before.map(|span| span.into_bound(py)));
            }
        }
        Ok(())
    }
}

#[pymethods]
impl PyBlock {
    fn __enter__<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PySpan>> {
        let span = self.start(py)?;
        self.activate(py, Some(&span))?;
        Ok(span)
    }

    #[pyo3(signature = (exc_type, exc_value, traceback, /))]
    fn __exit__(
        &self,
        py: Python<'_>,
        exc_type: &Bound<'_, PyAny>,
        exc_value: &Bound<'_, PyAny>,
        traceback: &Bound<'_, PyAny>,
    ) -> PyResult<()> {
        let _ = (exc_type, traceback);
        self.restore(py)?;
        self.finish(py, Some(exc_value))
    }

    /// Decorates a function, coroutine function, generator function or async generator function:
    /// each call is a span of its own. A generator's span is active only while its body runs.
    #[pyo3(signature = (function, /))]
    fn __call__<'py>(
        slf: &Bound<'py, Self>,
        function: &Bound<'py, PyAny>,
    ) -> PyResult<Bound<'py, PyAny>> {
        slf.py()
            .import("nanospan._decorate")?
            .call_method1("decorate", (slf, function))
    }

    /// A block with the same arguments, not entered.
    #[pyo3(name = "_fresh")]
    fn fresh(&self, py: Python<'_>) -> Self {
        Self::new(self.tracer.clone_ref(py), self.arguments.clone_ref(py))
    }

    /// Starts the span. It is not active yet.
    #[pyo3(name = "_start")]
    fn start<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PySpan>> {
        if std::mem::replace(&mut self.state().entered, true) {
            return Err(PyRuntimeError::new_err(
                "a block can be entered once: call start_as_current_span for each",
            ));
        }
        let span = self.arguments.start(py, self.tracer.get())?;
        self.state().span = Some(span.clone().unbind());
        Ok(span)
    }

    /// Before a step of a generator: makes active what its body had active, at first the span.
    #[pyo3(name = "_resume")]
    fn resume(&self, py: Python<'_>) -> PyResult<()> {
        let suspended = std::mem::take(&mut self.state().suspended);
        let active = match suspended {
            Suspended::Never => self.span(py),
            Suspended::With(active) => active.map(|span| span.into_bound(py)),
        };
        self.activate(py, active.as_ref())
    }

    /// After a step of a generator: makes active again what was before.
    #[pyo3(name = "_suspend")]
    fn suspend(&self, py: Python<'_>) -> PyResult<()> {
        if self.span(py).is_none() {
            return Ok(());
        }
        let active = self.tracer.get().scope().active(py)?;
        self.state().suspended = Suspended::With(active.map(Bound::unbind));
        self.restore(py)
    }

    /// Finishes the span; `error` is what left the block, if anything did.
    #[pyo3(name = "_finish", signature = (error=None))]
    fn finish(&self, py: Python<'_>, error: Option<&Bound<'_, PyAny>>) -> PyResult<()> {
        let Some(span) = self.state().span.take() else {
            return Ok(());
        };
        let span = span.get();
        let error = error.and_then(|error| error.cast::<PyBaseException>().ok());
        let told = match (span.core(), error) {
            (Some(core), Some(error)) => tell(py, core, error),
            _ => Ok(()),
        };
        span.end(py, None)?;
        // An exception that cannot be described must not take the place of the one described.
        told.or_else(|error| {
            if error.is_instance_of::<PyException>(py) {
                Ok(())
            } else {
                Err(error)
            }
        })
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
    if core.status(turn(py)).code == StatusCode::Unset {
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
