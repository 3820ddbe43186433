//! What was detached in another context than it was attached in, and is not made up for yet.
//!
//! A context can be changed from outside only while no code runs in it. Until then, and while
//! something else is current there, the detachment waits here; whoever next reads or changes what is
//! current in that context makes up for it first. What waits is bounded, and goes with its context.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyDict, PyWeakrefMethods, PyWeakrefReference};

use super::api::Api;
use super::context::{Before, has_more, restore};
use crate::py::ffi::{ContextVar, current_context, has_weak_references, references, run_in, turn};
use crate::turn::Guarded;

/// How many may wait. Each keeps a context, and what is current in it, alive.
const MOST: usize = 64;

/// What is to be undone in a context.
pub(super) struct Detachment {
    context: Py<PyAny>,
    /// The span that came in with it.
    span: Option<Py<PyAny>>,
    undo: Undo,
}

/// How.
pub(super) enum Undo {
    /// By the token of a Context that was attached; None for whatever Context has the span.
    Reset {
        token: Py<PyAny>,
        attached: Option<Attached>,
    },
    /// By making current what was before.
    Restore(Before),
}

/// A Context that was attached.
pub(super) struct Attached {
    reference: Reference,
    /// It has a span, or none, and nothing else.
    is_bare: bool,
}

/// To a Context. Held, it could not be changed in place.
enum Reference {
    Weak(Py<PyWeakrefReference>),
    /// To what takes no weak one.
    Strong(Py<PyAny>),
}

impl Attached {
    pub(super) fn new(api: &Api, context: &Bound<'_, PyAny>) -> PyResult<Self> {
        let reference = match PyWeakrefReference::new(context) {
            Ok(reference) => Reference::Weak(reference.unbind()),
            Err(_) => Reference::Strong(context.clone().unbind()),
        };
        Ok(Self {
            reference,
            is_bare: !has_more(api, context)?,
        })
    }

    pub(super) fn clone_ref(&self, py: Python<'_>) -> Self {
        let reference = match &self.reference {
            Reference::Weak(reference) => Reference::Weak(reference.clone_ref(py)),
            Reference::Strong(context) => Reference::Strong(context.clone_ref(py)),
        };
        Self {
            reference,
            is_bare: self.is_bare,
        }
    }

    fn is(&self, now: &Bound<'_, PyAny>) -> bool {
        match &self.reference {
            Reference::Weak(reference) => reference
                .bind(now.py())
                .upgrade()
                .is_some_and(|context| context.is(now)),
            Reference::Strong(context) => context.is(now),
        }
    }

    fn let_go(self, py: Python<'_>) {
        match self.reference {
            Reference::Weak(reference) => drop(reference.into_bound(py)),
            Reference::Strong(context) => drop(context.into_bound(py)),
        }
    }
}

/// What is current.
struct Now<'py> {
    context: Bound<'py, PyAny>,
    span: Option<Bound<'py, PyAny>>,
    /// A Context with a span, or none, and nothing else, that nobody attached: a block that was left
    /// made it, in the place of one just like it.
    is_made: bool,
}

impl<'py> Now<'py> {
    fn read(api: &Api, context: Bound<'py, PyAny>) -> PyResult<Self> {
        Ok(Self {
            span: span_in(api, &context)?,
            is_made: !has_weak_references(&context) && !has_more(api, &context)?,
            context,
        })
    }
}

impl Detachment {
    /// Of `span` in `context`.
    pub(super) fn new(
        context: &Bound<'_, PyAny>,
        span: Option<Bound<'_, PyAny>>,
        undo: Undo,
    ) -> Self {
        Self {
            context: context.clone().unbind(),
            span: span.filter(|span| !span.is_none()).map(Bound::unbind),
            undo,
        }
    }

    /// True when what is current in its context is what it undoes, and nothing that came later.
    ///
    /// Two Contexts with the same things in them are two, and a second `attach` of one attaches a
    /// copy, so that each waits for its own. A block, while it lasts, has another span there, in a
    /// Context of its own or in that one; after it there is that one again, or one just like it.
    fn is_due(&self, now: &Now<'_>) -> bool {
        let is_span = match (&self.span, &now.span) {
            (Some(own), Some(span)) => own.is(span),
            (own, span) => own.is_none() && span.is_none(),
        };
        let is_context = match &self.undo {
            Undo::Reset {
                attached: Some(attached),
                ..
            } => attached.is(&now.context) || attached.is_bare && now.is_made,
            Undo::Reset { attached: None, .. } | Undo::Restore(_) => true,
        };
        is_span && is_context
    }

    /// How many references to the context it has: its own, and that of the token.
    fn references(&self) -> isize {
        match self.undo {
            Undo::Reset { .. } => 2,
            Undo::Restore(_) => 1,
        }
    }

    fn undo(self, py: Python<'_>, api: &Api) -> PyResult<()> {
        drop(self.context.into_bound(py));
        drop(self.span.map(|span| span.into_bound(py)));
        match (self.undo, &api.variable) {
            (Undo::Reset { token, attached }, Some(variable)) => {
                if let Some(attached) = attached {
                    attached.let_go(py);
                }
                // It fails for a token that was used meanwhile: then there is nothing to do.
                if let Err(error) = variable.reset(py, &token.into_bound(py)) {
                    Python::try_attach(|_| drop(error));
                }
                Ok(())
            }
            (Undo::Restore(before), Some(_)) => restore(py, api, before),
            (undo, None) => {
                undo.let_go(py);
                Ok(())
            }
        }
    }

    /// Lets go of what it holds; see [`crate::py::ffi::Method`].
    fn let_go(self, py: Python<'_>) {
        drop(self.context.into_bound(py));
        drop(self.span.map(|span| span.into_bound(py)));
        self.undo.let_go(py);
    }
}

impl Undo {
    fn let_go(self, py: Python<'_>) {
        match self {
            Self::Reset { token, attached } => {
                drop(token.into_bound(py));
                if let Some(attached) = attached {
                    attached.let_go(py);
                }
            }
            Self::Restore(before) => before.let_go(py),
        }
    }
}

/// In the order they came, each with its number.
static WAITING: Guarded<Vec<(u64, Detachment)>> = Guarded::new(Vec::new());
/// How many wait, so that all who have nothing to do with this pay for one load.
static COUNT: AtomicUsize = AtomicUsize::new(0);
static NUMBER: AtomicU64 = AtomicU64::new(0);
static LOST: AtomicU64 = AtomicU64::new(0);

/// How many detachments were given up since the program began, as too many waited.
pub(crate) fn lost() -> u64 {
    LOST.load(Ordering::Relaxed)
}

/// Undoes it, now or as soon as it is due. True if now.
pub(super) fn undo(py: Python<'_>, api: &Api, detachment: Detachment) -> PyResult<bool> {
    let context = detachment.context.bind(py).clone();
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    change(py, |waiting| waiting.push((number, detachment)));
    let undone = run_in(py, &context, || catch_up(py, api)).transpose();
    let oldest = change(py, |waiting| {
        (waiting.len() > MOST).then(|| waiting.remove(0))
    });
    if let Some((_, oldest)) = oldest {
        LOST.fetch_add(1, Ordering::Relaxed);
        oldest.let_go(py);
    }
    Reader::follow(py)?;
    undone?;
    Ok(change(py, |waiting| {
        waiting.iter().all(|(known, _)| *known != number)
    }))
}

/// Makes up for what waits for the current context.
#[inline]
pub(super) fn catch_up(py: Python<'_>, api: &Api) -> PyResult<()> {
    if COUNT.load(Ordering::Relaxed) == 0 {
        return Ok(());
    }
    catch_up_now(py, api)
}

#[cold]
fn catch_up_now(py: Python<'_>, api: &Api) -> PyResult<()> {
    let Some(variable) = &api.variable else {
        return Ok(());
    };
    let here = match current_context(py) {
        Some(context) => context.to_owned(),
        None => match context_by_token(py, variable)? {
            Some(context) => context,
            None => return Ok(()),
        },
    };
    let waits = |waiting: &mut Vec<(u64, Detachment)>| {
        waiting.iter().any(|(_, each)| each.context.is(&here))
    };
    while change(py, waits) {
        let Some(now) = variable.get(py)? else { break };
        let now = Now::read(api, now)?;
        let due = change(py, |waiting| {
            let is_due =
                |(_, each): &(u64, Detachment)| each.context.is(&here) && each.is_due(&now);
            let index = waiting.iter().rposition(is_due)?;
            Some(waiting.remove(index))
        });
        drop(now);
        let Some((_, due)) = due else { break };
        due.undo(py, api)?;
    }
    for (_, gone) in change(py, |waiting| take_gone(py, waiting)) {
        gone.let_go(py);
    }
    Reader::follow(py)
}

/// Those of contexts that nobody else has: no code can come to run in them.
fn take_gone(py: Python<'_>, waiting: &mut Vec<(u64, Detachment)>) -> Vec<(u64, Detachment)> {
    let is_gone = |(_, one): &(u64, Detachment)| {
        let of_same = waiting
            .iter()
            .filter(|(_, each)| each.context.is(&one.context));
        let own: isize = of_same.map(|(_, each)| each.references()).sum();
        references(one.context.bind(py)) <= own
    };
    let gone: Vec<bool> = waiting.iter().map(is_gone).collect();
    let mut taken = Vec::new();
    for index in (0..gone.len()).rev().filter(|index| gone[*index]) {
        taken.push(waiting.remove(index));
    }
    taken
}

/// Does what runs no Python code with those that wait.
fn change<R>(py: Python<'_>, work: impl FnOnce(&mut Vec<(u64, Detachment)>) -> R) -> R {
    let mut waiting = WAITING.borrow(turn(py));
    let result = work(&mut waiting);
    COUNT.store(waiting.len(), Ordering::Relaxed);
    result
}

/// The span in a Context of the API's.
pub(super) fn span_in<'py>(
    api: &Api,
    context: &Bound<'py, PyAny>,
) -> PyResult<Option<Bound<'py, PyAny>>> {
    let Ok(values) = context.cast::<PyDict>() else {
        return Ok(None);
    };
    let span = values.get_item(api.span_key.bind(context.py()))?;
    Ok(span.filter(|span| !span.is_none()))
}

/// The context in which a token was made. Its attributes do not say; the garbage collector does.
pub(super) fn context_of<'py>(token: &Bound<'py, PyAny>) -> PyResult<Option<Bound<'py, PyAny>>> {
    let py = token.py();
    let class = py.import("contextvars")?.getattr("Context")?;
    let held = py.import("gc")?.call_method1("get_referents", (token,))?;
    for each in held.try_iter()? {
        let each = each?;
        if each.is_instance(&class)? {
            return Ok(Some(each));
        }
    }
    Ok(None)
}

/// The current context where only a token can tell.
fn context_by_token<'py>(
    py: Python<'py>,
    variable: &ContextVar,
) -> PyResult<Option<Bound<'py, PyAny>>> {
    let Some(now) = variable.get(py)? else {
        return Ok(None);
    };
    let token = variable.set(py, &now)?.into_bound(py);
    let context = context_of(&token);
    variable.reset(py, &token)?;
    context
}

/// By what the API reads its current Context: straight from the variable, except while something
/// waits.
struct Reader {
    runtime: Py<PyAny>,
    usual: Py<PyAny>,
    while_waiting: Py<PyAny>,
}

static READER: PyOnceLock<Reader> = PyOnceLock::new();

/// Has the runtime context of the API read by `usual`, and by `while_waiting` while something waits.
#[pyfunction]
#[pyo3(name = "_read_by")]
pub(crate) fn read_by(
    py: Python<'_>,
    runtime: Py<PyAny>,
    usual: Py<PyAny>,
    while_waiting: Py<PyAny>,
) -> PyResult<()> {
    let reader = Reader {
        runtime,
        usual,
        while_waiting,
    };
    // A second runtime context does not come: the first is in the API's place for good.
    let _ = READER.set(py, reader);
    Reader::follow(py)
}

impl Reader {
    fn follow(py: Python<'_>) -> PyResult<()> {
        let Some(reader) = READER.get(py) else {
            return Ok(());
        };
        // Setting an attribute may run the garbage collector, and that a detachment.
        loop {
            let count = COUNT.load(Ordering::Relaxed);
            let read = if count == 0 {
                &reader.usual
            } else {
                &reader.while_waiting
            };
            let runtime = reader.runtime.bind(py);
            runtime.setattr(pyo3::intern!(py, "get_current"), read)?;
            if (COUNT.load(Ordering::Relaxed) == 0) == (count == 0) {
                return Ok(());
            }
        }
    }
}
