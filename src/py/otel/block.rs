//! What `nanospan.otel.Tracer.start_as_current_span` gives: one `with` block, or the template of a
//! decorated function.

use std::ffi::CStr;

use pyo3::Borrowed;
use pyo3::exceptions::{PyBaseException, PyException, PyRuntimeError};
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;

use super::api::api;
use super::context::{Entered, InPlace, Left, enter, leave, leave_in_place};
use super::span::PyOtelSpan;
use super::start::{Arguments, Brief};
use super::tracer::PyOtelTracer;
use crate::py::ffi::{Kind, Manager, dropping, turn};
use crate::turn::Guarded;

/// A span for one `with` block, or for each call of a function decorated with it.
pub(super) struct OtelBlock {
    /// Until it dies.
    tracer: Option<Py<PyOtelTracer>>,
    /// Until it dies.
    arguments: Option<Arguments>,
    end_on_exit: bool,
    state: Guarded<State>,
}

#[derive(Default)]
struct State {
    entered: bool,
    /// Ours, or the API's that travels on where nothing is traced.
    span: Option<Py<PyAny>>,
    /// One of them is set while the span is current because of this block.
    in_place: Option<InPlace>,
    current: Option<Entered>,
}

impl OtelBlock {
    #[inline]
    pub(super) fn new(tracer: Py<PyOtelTracer>, arguments: Arguments, end_on_exit: bool) -> Self {
        Self {
            tracer: Some(tracer),
            arguments: Some(arguments),
            end_on_exit,
            state: Guarded::default(),
        }
    }

    #[inline]
    fn tracer(&self) -> &Py<PyOtelTracer> {
        self.tracer.as_ref().expect("the block lives")
    }

    #[inline]
    fn arguments(&self) -> &Arguments {
        self.arguments.as_ref().expect("the block lives")
    }

    /// The object that Python holds.
    pub(super) fn into_object(self, py: Python<'_>) -> PyResult<Bound<'_, PyAny>> {
        Kind::get(py, &KIND)?.make(py, |block| *block = self)
    }

    /// Says on the span what left its block.
    #[cold]
    fn tell(&self, span: &Bound<'_, PyOtelSpan>, error: &Bound<'_, PyAny>) -> PyResult<()> {
        if !error.is_instance_of::<PyException>() {
            return Ok(());
        }
        let (record, status) = (
            self.arguments().record_exception,
            self.arguments().set_status_on_exception,
        );
        // PyO3 learns that the thread is attached, and lets go of errors at once.
        Python::try_attach(|py| {
            let error = error.cast::<PyBaseException>()?;
            span.get().fail(py, error, false, record, status)
        })
        .unwrap_or(Ok(()))
    }

    /// The object that Python holds, for a span with a name, a kind, and what else may be given.
    #[inline(always)]
    pub(super) fn make<'py>(
        tracer: &Bound<'py, PyOtelTracer>,
        arguments: &Brief<'_, 'py>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let py = tracer.py();
        Kind::get(py, &KIND)?.make(py, |block| {
            // It was at rest: there is nothing to let go of, and no code to do that.
            std::mem::forget(block.tracer.replace(tracer.clone().unbind()));
            std::mem::forget(block.arguments.replace(arguments.keep()));
            block.end_on_exit = true;
            block.state.get_mut().entered = false;
        })
    }

    /// A block with the same arguments, not entered.
    fn fresh(&self, py: Python<'_>) -> Self {
        let arguments = self.arguments().clone_ref(py);
        Self::new(self.tracer().clone_ref(py), arguments, self.end_on_exit)
    }

    /// Enters with another Context.
    #[inline(never)]
    fn enter_anew<'py>(&self, tracer: &Bound<'py, PyOtelTracer>) -> PyResult<Bound<'py, PyAny>> {
        let py = tracer.py();
        let started = self.arguments().start_to_enter(tracer)?;
        let (span, entered) = if let Some((span, present)) = started {
            let span = span.into_any();
            let entered = present.enter(&span)?;
            (span, entered)
        } else {
            let span = self.arguments().start(tracer)?;
            let entered = enter(py, &span)?;
            (span, entered)
        };
        let mut state = self.state.borrow(turn(py));
        state.current = Some(entered);
        state.span = Some(span.clone().unbind());
        Ok(span)
    }

    /// Makes current again what was before.
    #[inline(always)]
    fn restore(&self, py: Python<'_>, span: &Bound<'_, PyAny>) -> PyResult<()> {
        let (in_place, current) = {
            let mut state = self.state.borrow(turn(py));
            (state.in_place.take(), state.current.take())
        };
        let left = match (in_place, current) {
            (Some(entered), _) => leave_in_place(py, entered, span)?,
            (None, Some(entered)) => leave(py, entered)?,
            (None, None) => Left::Here,
        };
        if left == Left::Here {
            return Ok(());
        }
        if let Ok(span) = span.cast_exact::<PyOtelSpan>() {
            let pipeline = span.get().core().trace().pipeline();
            pipeline.counters().left_blocks.add(1);
        }
        Ok(())
    }
}

#[cold]
fn entered_twice() -> PyErr {
    PyRuntimeError::new_err("a block can be entered once: call start_as_current_span for each")
}

static KIND: PyOnceLock<Kind<OtelBlock>> = PyOnceLock::new();

impl Manager for OtelBlock {
    const NAME: &'static CStr = c"nanospan.otel._Block";

    fn kind() -> Option<&'static Kind<Self>> {
        // The type is there since its first object, and any thread that has one is attached.
        KIND.get(dropping())
    }

    fn enter<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        if std::mem::replace(&mut self.state.borrow(turn(py)).entered, true) {
            return Err(entered_twice());
        }
        let tracer = self.tracer().bind(py);
        if let Some((span, entered)) = self.arguments().start_and_enter(tracer)? {
            let mut state = self.state.borrow(turn(py));
            state.span = Some(span.clone().into_any().unbind());
            state.in_place = Some(entered);
            return Ok(span.into_any());
        }
        self.enter_anew(tracer)
    }

    fn exit(&self, py: Python<'_>, error: Borrowed<'_, '_, PyAny>) -> PyResult<()> {
        let span = self.state.borrow(turn(py)).span.take();
        let Some(span) = span.map(|span| span.into_bound(py)) else {
            return Ok(());
        };
        self.restore(py, &span)?;
        let Some(span) = api(py)?.own_span.cast(span.as_borrowed()) else {
            return Ok(());
        };
        let told = if error.is_none() {
            Ok(())
        } else {
            self.tell(&span, &error)
        };
        if self.end_on_exit {
            PyOtelSpan::end_now(&span)?;
        }
        told
    }

    /// Each call of the function is a span of its own.
    fn decorate<'py>(
        &self,
        py: Python<'py>,
        function: Borrowed<'_, 'py, PyAny>,
    ) -> PyResult<Bound<'py, PyAny>> {
        py.import("nanospan.otel._decorate")?
            .call_method1("decorate", (PyOtelTemplate(self.fresh(py)), function))
    }

    fn blank() -> Self {
        Self {
            tracer: None,
            arguments: None,
            end_on_exit: true,
            state: Guarded::default(),
        }
    }

    #[inline]
    fn rest(&mut self, py: Python<'_>) {
        drop(self.tracer.take().map(|tracer| tracer.into_bound(py)));
        if let Some(arguments) = self.arguments.take() {
            arguments.let_go(py);
        }
        let state = self.state.get_mut();
        drop(state.span.take().map(|span| span.into_bound(py)));
        if let Some(entered) = state.in_place.take() {
            entered.let_go(py);
        }
        if let Some(entered) = state.current.take() {
            entered.let_go(py);
        }
    }
}

/// What a decorated function makes its spans from.
#[pyclass(frozen, name = "_OtelTemplate", module = "nanospan")]
pub(crate) struct PyOtelTemplate(OtelBlock);

#[pymethods]
impl PyOtelTemplate {
    /// A block for one call.
    #[pyo3(name = "_block")]
    fn block<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        self.0.fresh(py).into_object(py)
    }
}
