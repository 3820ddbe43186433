//! Who is active: one `ContextVar` for each namespace. A context variable follows asyncio tasks,
//! threads and copied contexts by itself; nothing else would. It has two bodies, chosen once: the
//! variable holds the span, or a cell that holds it.

use std::collections::HashMap;
use std::ffi::CString;
use std::sync::{Mutex, PoisonError};

use pyo3::Borrowed;
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;

use super::chain;
use super::ffi::{Bin, ContextVar, Exact, Layout, Recycled, Token, current_context, probe, turn};
use super::otel::{self, PyOtelSpan};
use super::span::PySpan;
use crate::context::SpanContext;
use crate::tracer::DEFAULT_NAMESPACE;
use crate::turn::TurnCell;

/// The active-span scope of one namespace. It lives as long as the program.
pub(crate) struct Scope {
    variable: ContextVar,
    /// The variable holds a [`Cell`]; else the span itself, or None.
    cells: Option<Cells>,
    /// The scope of the default namespace, which the OpenTelemetry face shares once it is there: then
    /// OpenTelemetry's Context has the active span, and the variable none.
    is_default: bool,
}

/// How cells are found.
struct Cells {
    layout: &'static Layout,
    class: Exact<Cell>,
}

type Scopes = Option<HashMap<String, &'static Scope>>;
static SCOPES: Mutex<Scopes> = Mutex::new(None);

/// The scope of a namespace, the same for all its tracers.
pub(crate) fn of_namespace(py: Python<'_>, namespace: &str) -> PyResult<&'static Scope> {
    let known = |scopes: &Scopes| {
        scopes
            .as_ref()
            .and_then(|scopes| scopes.get(namespace).copied())
    };
    if let Some(scope) = known(&SCOPES.lock().unwrap_or_else(PoisonError::into_inner)) {
        return Ok(scope);
    }
    // Made without the lock: an allocation may run the garbage collector, and so any code.
    let made = Box::leak(Box::new(Scope::new(py, namespace)?));
    let mut scopes = SCOPES.lock().unwrap_or_else(PoisonError::into_inner);
    let scopes = scopes.get_or_insert_default();
    Ok(scopes.entry(namespace.to_owned()).or_insert(made))
}

/// What the variable of a namespace holds where cells are used: the active span. While nobody else can
/// see the cell it is changed in place, which spares the context a new map for each span.
#[pyclass(frozen, name = "_Cell", module = "nanospan")]
struct Cell(TurnCell<Option<Py<PySpan>>>);

impl Cell {
    /// The span, which stays there.
    fn get<'py>(&self, py: Python<'py>) -> Option<Bound<'py, PySpan>> {
        let span = self.0.take(turn(py))?.into_bound(py);
        self.set(py, Some(span.clone().unbind()));
        Some(span)
    }

    /// Puts another there, or none; gives what was there before.
    #[inline(always)]
    fn set(&self, py: Python<'_>, span: Option<Py<PySpan>>) -> Option<Py<PySpan>> {
        match span {
            Some(span) => self.0.put(turn(py), span),
            None => self.0.take(turn(py)),
        }
    }
}

/// A span that a block made active.
pub(crate) enum Entered {
    /// By setting the variable.
    Token(Token),
    /// By a cell.
    Cell(InCell),
    /// In OpenTelemetry's Context.
    Otel(otel::Entered),
}

/// A span that a block made active in a cell.
pub(crate) struct InCell {
    /// The context whose cell it is.
    context: Py<PyAny>,
    /// What was active there before.
    before: Option<Py<PySpan>>,
}

impl InCell {
    /// Lets go of what it holds; see [`super::ffi::Method`].
    pub(crate) fn let_go(self, py: Python<'_>) {
        drop(self.context.into_bound(py));
        drop(self.before.map(|span| span.into_bound(py)));
    }
}

/// What a new span comes under.
pub(crate) enum Above<'py> {
    /// The active span, if there is one.
    Span(Option<Bound<'py, PySpan>>),
    /// What others made current in OpenTelemetry's Context: a span of which only this is known.
    Context(Box<SpanContext>),
}

impl Entered {
    /// Lets go of what it holds; see [`super::ffi::Method`].
    pub(crate) fn let_go(self, py: Python<'_>) {
        match self {
            Self::Token(token) => token.let_go(py),
            Self::Cell(cell) => cell.let_go(py),
            Self::Otel(entered) => entered.let_go(py),
        }
    }
}

/// Where a block was left.
pub(crate) enum Left<'py> {
    /// In the context in which it was entered.
    Here,
    /// In another, and that in which it was entered is seen to.
    Settled,
    /// In another; with what was active there before it was entered.
    Elsewhere(Option<Bound<'py, PySpan>>),
}

/// Set to anything, this environment variable keeps cells from being used.
const NO_CELLS: &str = "NANOSPAN_NO_CELLS";

/// Where a value that nobody else can see may be changed in place, which is found out once.
pub(crate) fn may_change_in_place(py: Python<'_>) -> PyResult<Option<&'static Layout>> {
    if std::env::var_os(NO_CELLS).is_some_and(|value| !value.is_empty()) {
        return Ok(None);
    }
    probe(py, || Ok(new_cell(py, None)?.into_any()))
}

fn new_cell<'py>(py: Python<'py>, span: Option<&Bound<'_, PySpan>>) -> PyResult<Bound<'py, Cell>> {
    let span = span.map(|span| span.clone().unbind());
    CELLS.make(py, |cell| {
        cell.set(py, span);
    })
}

/// Each task has a context of its own, and so a cell.
static CELLS: Bin<Cell> = Bin::new();

/// Readies the cells: before the first.
pub(crate) fn install(py: Python<'_>) -> PyResult<()> {
    CELLS.install(py)
}

impl Recycled for Cell {
    fn bin() -> &'static Bin<Self> {
        &CELLS
    }

    fn blank() -> Self {
        Self(TurnCell::empty())
    }

    #[inline]
    fn rest(&mut self, py: Python<'_>) {
        if let Some(span) = self.0.take(turn(py)) {
            chain::let_go(span.into_bound(py));
        }
    }
}

/// Where a span is about to become active.
pub(crate) struct Entrance<'py> {
    cell: Borrowed<'py, 'py, Cell>,
    context: Borrowed<'py, 'py, PyAny>,
    /// The active span, which is not in the cell meanwhile.
    above: Option<Bound<'py, PySpan>>,
}

impl<'py> Entrance<'py> {
    /// The active span.
    #[inline(always)]
    pub(crate) fn above(&self) -> Option<&Bound<'py, PySpan>> {
        self.above.as_ref()
    }

    /// Makes a span active.
    #[inline(always)]
    pub(crate) fn enter(self, span: &Bound<'py, PySpan>) -> InCell {
        let py = span.py();
        span.get().mark_active(py);
        // It is empty: there is nothing to drop, and no code to do that.
        std::mem::forget(self.cell.get().set(py, Some(span.clone().unbind())));
        InCell {
            context: self.context.to_owned().unbind(),
            before: self.above.map(Bound::unbind),
        }
    }

    /// Leaves everything as it was.
    #[cold]
    pub(crate) fn forgo(self) {
        let py = self.context.py();
        self.cell.get().set(py, self.above.map(Bound::unbind));
    }
}

/// What is active, where a span is about to become active by a new value of the variable: in the first
/// block of a context, and where there are no cells.
pub(crate) struct Present<'py> {
    scope: &'static Scope,
    active: Option<Bound<'py, PySpan>>,
}

impl<'py> Present<'py> {
    /// The active span.
    #[inline(always)]
    pub(crate) fn above(&self) -> Option<&Bound<'py, PySpan>> {
        self.active.as_ref()
    }

    /// Makes a span active.
    pub(crate) fn enter(self, span: &Bound<'py, PySpan>) -> PyResult<Entered> {
        span.get().mark_active(span.py());
        self.scope.enter_anew(span.py(), Some(span), self.active)
    }
}

type SoleCell<'py> = (Borrowed<'py, 'py, Cell>, Borrowed<'py, 'py, PyAny>);
type Shared<'py> = Result<Bound<'py, PySpan>, Option<Bound<'py, PyAny>>>;

impl Scope {
    fn new(py: Python<'_>, namespace: &str) -> PyResult<Self> {
        let name = CString::new(format!("nanospan:{namespace}").replace('\0', "?"))?;
        Ok(Self {
            cells: may_change_in_place(py)?.map(|layout| Cells {
                layout,
                class: Exact::new(py),
            }),
            is_default: namespace == DEFAULT_NAMESPACE,
            variable: ContextVar::new(py, &name)?,
        })
    }

    /// The active span of the current context. A span whose block was left in another context is
    /// not active any more: the one before it is.
    pub(crate) fn active<'py>(
        &'static self,
        py: Python<'py>,
    ) -> PyResult<Option<Bound<'py, PySpan>>> {
        let span = if self.is_shared(py) {
            self.get_shared(py)?.ok()
        } else {
            self.get(py)?
        };
        self.past_left(py, span)
    }

    /// A span that was found active, or the one before it if its block was left elsewhere.
    fn past_left<'py>(
        &self,
        py: Python<'py>,
        span: Option<Bound<'py, PySpan>>,
    ) -> PyResult<Option<Bound<'py, PySpan>>> {
        let mut span = span;
        let mut stepped = false;
        while let Some(left) = span.take_if(|span| span.get().is_left(py)) {
            span = left.get().before(py);
            stepped = true;
        }
        if stepped {
            self.set(py, span.as_ref())?;
        }
        Ok(span)
    }

    /// What a span that starts now comes under.
    #[inline(always)]
    pub(crate) fn above<'py>(&'static self, py: Python<'py>) -> PyResult<Above<'py>> {
        if self.is_shared(py) {
            return self.above_shared(py);
        }
        match self.get(py)? {
            Some(span) if span.get().is_left(py) => self.past_left(py, Some(span)).map(Above::Span),
            span => Ok(Above::Span(span)),
        }
    }

    fn above_shared<'py>(&'static self, py: Python<'py>) -> PyResult<Above<'py>> {
        match self.get_shared(py)? {
            Ok(span) => self.past_left(py, Some(span)).map(Above::Span),
            Err(None) => Ok(Above::Span(None)),
            Err(Some(other)) => {
                let context = otel::foreign_context(py, &other)?;
                Ok(context.map_or(Above::Span(None), |context| {
                    Above::Context(Box::new(context))
                }))
            }
        }
    }

    /// What is current in OpenTelemetry's Context: a span of ours, or what others have put there.
    fn get_shared<'py>(&'static self, py: Python<'py>) -> PyResult<Shared<'py>> {
        let Some(current) = otel::current(py, None)? else {
            return Ok(Err(None));
        };
        match current.cast_into_exact::<PyOtelSpan>() {
            Ok(span) => PySpan::of_otel(span, self).map(Ok),
            Err(other) => Ok(Err(Some(other.into_inner()))),
        }
    }

    /// True when OpenTelemetry's Context has the active span.
    #[inline]
    pub(crate) fn is_shared(&self, py: Python<'_>) -> bool {
        self.is_default && otel::is_installed(py)
    }

    /// Makes a span active in the current context, or none.
    pub(crate) fn set(&self, py: Python<'_>, span: Option<&Bound<'_, PySpan>>) -> PyResult<()> {
        if self.is_shared(py) {
            let handle = span.map(PyOtelSpan::handle_of).transpose()?;
            return otel::set(py, handle.as_ref().map(Bound::as_any));
        }
        if let Some(span) = span {
            span.get().mark_active(py);
        }
        if let Some((cell, _)) = self.sole_cell(py) {
            let span = span.map(|span| span.clone().unbind());
            let before = cell.get().set(py, span);
            drop(before.map(|span| span.into_bound(py)));
            return Ok(());
        }
        self.put(py, span).map(|token| token.let_go(py))
    }

    /// Makes a span active, or none, until [`Self::leave`]. What this gives belongs to a block, never
    /// to a span: contexts hold spans and it holds its context, so the two would keep each other
    /// alive.
    pub(crate) fn enter(
        &self,
        py: Python<'_>,
        span: Option<&Bound<'_, PySpan>>,
    ) -> PyResult<Entered> {
        if self.is_shared(py) {
            let handle = span.map(PyOtelSpan::handle_of).transpose()?;
            let handle = handle.map_or_else(|| py.None().into_bound(py), Bound::into_any);
            return otel::enter(py, &handle).map(Entered::Otel);
        }
        if let Some(span) = span {
            span.get().mark_active(py);
        }
        if self.cells.is_none() {
            return self.put(py, span).map(Entered::Token);
        }
        if let Some((cell, context)) = self.sole_cell(py) {
            let span = span.map(|span| span.clone().unbind());
            let before = cell.get().set(py, span);
            let context = context.to_owned().unbind();
            return Ok(Entered::Cell(InCell { context, before }));
        }
        let before = self.get(py)?;
        self.enter_anew(py, span, before)
    }

    /// The same by a new value of the variable; `before` is what is active now.
    fn enter_anew(
        &self,
        py: Python<'_>,
        span: Option<&Bound<'_, PySpan>>,
        before: Option<Bound<'_, PySpan>>,
    ) -> PyResult<Entered> {
        let token = self.put(py, span)?;
        if self.cells.is_none() {
            return Ok(Entered::Token(token));
        }
        token.let_go(py);
        // There is a context since something was put into it.
        let context = current_context(py).map(|context| context.to_owned().unbind());
        let context = context.unwrap_or_else(|| py.None());
        let before = before.map(Bound::unbind);
        Ok(Entered::Cell(InCell { context, before }))
    }

    /// Restores what was active before [`Self::enter`], unless that was in another context: then
    /// nothing changes here.
    pub(crate) fn leave<'py>(&self, py: Python<'py>, entered: Entered) -> PyResult<Left<'py>> {
        match entered {
            Entered::Token(token) => self.reset(py, token),
            Entered::Cell(cell) => self.leave_cell(py, cell),
            Entered::Otel(entered) => Ok(match otel::leave(py, entered)? {
                otel::Left::Here => Left::Here,
                otel::Left::Elsewhere => Left::Settled,
            }),
        }
    }

    /// The same for what was entered in a cell, if that takes one look; else it comes back.
    #[inline(always)]
    pub(crate) fn leave_in_place(&self, py: Python<'_>, entered: InCell) -> Option<InCell> {
        // Shared since the block was entered, the cell says nothing any more.
        let found = self.sole_cell(py).filter(|_| !self.is_shared(py));
        let Some((cell, context)) = found else {
            return Some(entered);
        };
        if !context.is(&entered.context) {
            return Some(entered);
        }
        let left = cell.get().set(py, entered.before);
        drop(left.map(|span| span.into_bound(py)));
        drop(entered.context.into_bound(py));
        None
    }

    /// The same for what was entered in a cell.
    #[cold]
    fn leave_cell<'py>(&self, py: Python<'py>, entered: InCell) -> PyResult<Left<'py>> {
        let Some(InCell { context, before }) = self.leave_in_place(py, entered) else {
            return Ok(Left::Here);
        };
        let context = context.into_bound(py);
        let before = before.map(|span| span.into_bound(py));
        if current_context(py).is_some_and(|current| current.is(&context)) {
            self.set(py, before.as_ref())?;
            Ok(Left::Here)
        } else {
            Ok(Left::Elsewhere(before))
        }
    }

    fn reset<'py>(&self, py: Python<'py>, token: Token) -> PyResult<Left<'py>> {
        let token = token.into_bound(py);
        let old_value = || {
            let before = token.getattr("old_value")?;
            Ok::<_, PyErr>(before.cast_into_exact::<PySpan>().ok())
        };
        match self.variable.reset(py, &token) {
            // Shared since the block was entered.
            Ok(()) if self.is_shared(py) => {
                self.set(py, old_value()?.as_ref())?;
                Ok(Left::Here)
            }
            Ok(()) => Ok(Left::Here),
            // "was created in a different Context"
            Err(error) if error.is_instance_of::<PyValueError>(py) => {
                // PyO3 learns that the thread is attached, and lets go of the error at once.
                Python::try_attach(|_| drop(error));
                Ok(Left::Elsewhere(old_value()?))
            }
            Err(error) => Err(error),
        }
    }

    /// The cell of the current context, if nobody else can see it; and the context.
    #[inline(always)]
    fn sole_cell<'py>(&self, py: Python<'py>) -> Option<SoleCell<'py>> {
        let Cells { layout, class } = self.cells.as_ref()?;
        let (value, context) = layout.sole_value(py, &self.variable)?;
        Some((class.cast(value)?, context))
    }

    /// What [`Self::above`] and [`Self::enter`] find at one look, for a span that is about to start and
    /// become active. Until then no Python code may run, and nobody may look at the scope: what comes of
    /// this is entered or forgone. None where it takes more than one look.
    #[inline(always)]
    pub(crate) fn entrance<'py>(&self, py: Python<'py>) -> Option<Entrance<'py>> {
        if self.is_shared(py) {
            return None;
        }
        let (cell, context) = self.sole_cell(py)?;
        let entrance = Entrance {
            cell,
            context,
            above: cell
                .get()
                .0
                .take(turn(py))
                .map(|above| above.into_bound(py)),
        };
        if entrance
            .above()
            .is_some_and(|above| above.get().is_left(py))
        {
            entrance.forgo();
            return None;
        }
        Some(entrance)
    }

    /// The same where [`Self::entrance`] finds none.
    #[inline(always)]
    pub(crate) fn present<'py>(&'static self, py: Python<'py>) -> PyResult<Option<Present<'py>>> {
        if self.is_shared(py) {
            return Ok(None);
        }
        let active = self.get(py)?;
        let is_left = active
            .as_ref()
            .is_some_and(|active| active.get().is_left(py));
        Ok((!is_left).then_some(Present {
            scope: self,
            active,
        }))
    }

    /// Sets the variable.
    fn put(&self, py: Python<'_>, span: Option<&Bound<'_, PySpan>>) -> PyResult<Token> {
        if self.cells.is_some() {
            return self.variable.set(py, new_cell(py, span)?.as_any());
        }
        match span {
            Some(span) => self.variable.set(py, span.as_any()),
            None => self.variable.set(py, &py.None().into_bound(py)),
        }
    }

    #[inline(always)]
    fn get<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PySpan>>> {
        // Only what `put` puts is ever stored, unless somebody else found the variable.
        let Some(value) = self.variable.get(py)? else {
            return Ok(None);
        };
        let Some(cells) = &self.cells else {
            return Ok(value.cast_into_exact::<PySpan>().ok());
        };
        let Some(cell) = cells.class.cast(value.as_borrowed()) else {
            return Ok(None);
        };
        Ok(cell.get().get(py))
    }
}
