//! The current span in OpenTelemetry's own Context: the one truth of the default namespace once this
//! face is there, so that whatever library sets or reads it, both faces agree.
//!
//! A Context is an immutable dict in a context variable. Making a span current sets the variable to a
//! copy; where nobody else can see the present one, and it has nothing but a span, it is changed in
//! place. What else comes into the current Context inside of a block is gone after it, as with the
//! API's own `use_span`.

use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::PyDict;

use super::api::{Api, api};
use super::pending::{Detachment, Undo, catch_up, context_of, undo};
use super::span::PyOtelSpan;
use crate::py::ffi::{ContextVar, Token, current_context};

/// A span that was made current.
pub(crate) enum Entered {
    /// In which context, where contexts can be told apart, and what was current there before.
    In {
        context: Py<PyAny>,
        span: Py<PyAny>,
        before: Before,
    },
    /// By setting the variable; what was current before may be a span that another context left.
    Set {
        token: Token,
        span: Py<PyAny>,
        before: Option<Py<PyAny>>,
    },
    /// By the API, which was given a runtime context of another kind.
    Attached(Py<PyAny>),
}

/// What was current before.
pub(crate) enum Before {
    /// A span, or none, in a Context with nothing else in it.
    Span(Option<Py<PyAny>>),
    /// A Context with other things in it.
    Context(Py<PyAny>),
}

impl Before {
    pub(super) fn let_go(self, py: Python<'_>) {
        match self {
            Self::Span(span) => drop(span.map(|span| span.into_bound(py))),
            Self::Context(context) => drop(context.into_bound(py)),
        }
    }
}

impl Entered {
    /// Lets go of what it holds; see [`crate::py::ffi::Method`].
    pub(crate) fn let_go(self, py: Python<'_>) {
        match self {
            Self::In {
                context,
                span,
                before,
            } => {
                drop(context.into_bound(py));
                drop(span.into_bound(py));
                before.let_go(py);
            }
            Self::Set {
                token,
                span,
                before,
            } => {
                token.let_go(py);
                drop(span.into_bound(py));
                drop(before.map(|before| before.into_bound(py)));
            }
            Self::Attached(token) => drop(token.into_bound(py)),
        }
    }
}

/// Where what was entered was left.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Left {
    /// Where it was entered.
    Here,
    /// In another context. That in which it was entered is as it was before, or will be once that can
    /// be: while some code runs in it, or has made something else current there, the span is marked.
    Elsewhere,
}

/// What is under the span's key in a Context, or in the current one.
#[inline]
pub(crate) fn current<'py>(
    py: Python<'py>,
    context: Option<&Bound<'py, PyAny>>,
) -> PyResult<Option<Bound<'py, PyAny>>> {
    let api = api(py)?;
    let Some(context) = context else {
        return now_current(py, api);
    };
    let found = in_context(py, api, context)?;
    Ok(found.filter(|span| !span.is_none()))
}

/// The current span. One whose block was left elsewhere gives way to what was current before.
#[inline]
fn now_current<'py>(py: Python<'py>, api: &Api) -> PyResult<Option<Bound<'py, PyAny>>> {
    let found = match now(py, api)? {
        Some(context) => in_context(py, api, &context)?,
        None => None,
    };
    let found = found.filter(|span| !span.is_none());
    if !found.as_ref().is_some_and(is_left) {
        return Ok(found);
    }
    let before = found.and_then(past_left);
    set(py, before.as_ref())?;
    Ok(before)
}

/// True for an ended span that is current only because its block was left elsewhere.
#[inline]
fn is_left(span: &Bound<'_, PyAny>) -> bool {
    span.cast_exact::<PyOtelSpan>()
        .is_ok_and(|span| span.get().is_left(span.py()))
}

/// A span, or what was current before it if it is such a one.
#[inline]
fn past_left(span: Bound<'_, PyAny>) -> Option<Bound<'_, PyAny>> {
    let mut span = span;
    while is_left(&span) {
        span = span
            .cast_exact::<PyOtelSpan>()
            .ok()
            .and_then(|left| left.get().before(left.py()))?;
    }
    Some(span)
}

fn in_context<'py>(
    py: Python<'py>,
    api: &Api,
    context: &Bound<'py, PyAny>,
) -> PyResult<Option<Bound<'py, PyAny>>> {
    let key = api.span_key.bind(py);
    if let Ok(context) = context.cast::<PyDict>() {
        return context.get_item(key);
    }
    context.call_method1("get", (key,)).map(Some)
}

/// The current Context.
#[inline]
pub(super) fn now<'py>(py: Python<'py>, api: &Api) -> PyResult<Option<Bound<'py, PyAny>>> {
    if let Some(variable) = &api.variable {
        catch_up(py, api)?;
        return variable.get(py);
    }
    let context = py.import("opentelemetry.context")?;
    context.call_method0("get_current").map(Some)
}

/// Makes a span current until [`leave`].
pub(crate) fn enter(py: Python<'_>, span: &Bound<'_, PyAny>) -> PyResult<Entered> {
    let api = api(py)?;
    let Some(variable) = &api.variable else {
        let context = with_span(py, api, now(py, api)?.as_ref(), Some(span))?;
        let module = py.import("opentelemetry.context")?;
        let token = module.call_method1("attach", (context,))?;
        return Ok(Entered::Attached(token.unbind()));
    };
    catch_up(py, api)?;
    let key = api.span_key.bind(py);
    let sole = sole_context(py, api).filter(|(_, context)| context.len() < 2);
    if let Some((current, context)) = sole {
        if has_only_span(api, &context)? {
            let before = context.get_item(key)?.map(Bound::unbind);
            let current = current.to_owned().unbind();
            context.set_item(key, span)?;
            return Ok(Entered::In {
                context: current,
                span: span.clone().unbind(),
                before: Before::Span(before),
            });
        }
    }
    let now = variable.get(py)?;
    Present::of(py, api, variable, now)?.enter(span)
}

/// What is current, for a span that is about to become current with another Context.
pub(super) struct Present<'py> {
    api: &'py Api,
    variable: &'py ContextVar,
    context: Option<Bound<'py, PyAny>>,
    /// What is under the span's key there, perhaps Python's None.
    span: Option<Bound<'py, PyAny>>,
}

/// What [`current`] and [`enter`] find at one look, where [`entrance`] finds none. None where it takes more
/// than one.
pub(super) fn present(py: Python<'_>) -> PyResult<Option<Present<'_>>> {
    let api = api(py)?;
    let Some(variable) = &api.variable else {
        return Ok(None);
    };
    catch_up(py, api)?;
    let found = Present::of(py, api, variable, variable.get(py)?)?;
    let is_simple = match found.span.as_ref().filter(|span| !span.is_none()) {
        None => true,
        Some(span) => {
            let own = api.own_span.cast(span.as_borrowed());
            own.is_some_and(|span| !span.get().is_left(py))
        }
    };
    Ok(is_simple.then_some(found))
}

impl<'py> Present<'py> {
    fn of(
        py: Python<'py>,
        api: &'py Api,
        variable: &'py ContextVar,
        context: Option<Bound<'py, PyAny>>,
    ) -> PyResult<Self> {
        let span = match &context {
            Some(context) => in_context(py, api, context)?,
            None => None,
        };
        Ok(Self {
            api,
            variable,
            context,
            span,
        })
    }

    /// The current span, if it is one of ours.
    #[inline]
    pub(super) fn above(&self) -> Option<Borrowed<'_, 'py, PyOtelSpan>> {
        let span = self.span.as_ref()?;
        self.api.own_span.cast(span.as_borrowed())
    }

    /// Makes a span current.
    pub(super) fn enter(self, span: &Bound<'py, PyAny>) -> PyResult<Entered> {
        let (py, api) = (span.py(), self.api);
        let value = with_span(py, api, self.context.as_ref(), Some(span))?;
        let token = self.variable.set(py, &value)?;
        let span = span.clone().unbind();
        let before = self.span.map(Bound::unbind);
        if api.in_place.is_none() {
            return Ok(Entered::Set {
                token,
                span,
                before,
            });
        }
        token.let_go(py);
        let before = match self.context {
            Some(context) if has_more(api, &context)? => Before::Context(context.unbind()),
            _ => Before::Span(before),
        };
        // There is a context since something was put into it.
        let context = current_context(py).map(|context| context.to_owned().unbind());
        Ok(Entered::In {
            context: context.unwrap_or_else(|| py.None()),
            span,
            before,
        })
    }
}

/// A span that was made current by a change in place, in a Context with nothing else in it.
pub(super) struct InPlace {
    context: Py<PyAny>,
    /// What was current before, perhaps Python's None.
    before: Option<Py<PyAny>>,
}

impl InPlace {
    /// Lets go of what it holds; see [`crate::py::ffi::Method`].
    pub(super) fn let_go(self, py: Python<'_>) {
        drop(self.context.into_bound(py));
        drop(self.before.map(|span| span.into_bound(py)));
    }
}

/// Where a span is about to become current.
pub(super) struct Entrance<'py> {
    api: &'py Api,
    context: Borrowed<'py, 'py, PyAny>,
    in_context: Borrowed<'py, 'py, PyDict>,
    /// What is current, perhaps Python's None.
    before: Option<Bound<'py, PyAny>>,
}

/// What [`current`] and [`enter`] find at one look, for a span that is about to start and become current.
/// Until then no Python code may run. None where it takes more than one look.
#[inline(always)]
pub(super) fn entrance(py: Python<'_>) -> PyResult<Option<Entrance<'_>>> {
    let api = api(py)?;
    catch_up(py, api)?;
    let Some((context, in_context)) = sole_context(py, api) else {
        return Ok(None);
    };
    let before = match in_context.len() {
        0 => None,
        1 => in_context.get_item(api.span_key.bind(py))?,
        _ => return Ok(None),
    };
    match &before {
        // Something else than a span is in it.
        None if in_context.len() > 0 => return Ok(None),
        Some(before) if !before.is_none() => match api.own_span.cast(before.as_borrowed()) {
            Some(parent) if !parent.get().is_left(py) => (),
            _ => return Ok(None),
        },
        _ => (),
    }
    Ok(Some(Entrance {
        api,
        context,
        in_context,
        before,
    }))
}

impl<'py> Entrance<'py> {
    /// The current span.
    #[inline(always)]
    pub(super) fn above(&self) -> Option<Borrowed<'_, 'py, PyOtelSpan>> {
        let before = self.before.as_ref()?;
        self.api.own_span.cast(before.as_borrowed())
    }

    /// Makes a span current.
    #[inline(always)]
    pub(super) fn enter(self, span: &Bound<'py, PyOtelSpan>) -> PyResult<InPlace> {
        let py = span.py();
        let context = self.context.to_owned().unbind();
        let before = self.before.map(Bound::unbind);
        self.in_context.set_item(self.api.span_key.bind(py), span)?;
        Ok(InPlace { context, before })
    }
}

/// Makes current what was before [`Entrance::enter`].
#[inline(always)]
pub(super) fn leave_in_place(
    py: Python<'_>,
    entered: InPlace,
    span: &Bound<'_, PyAny>,
) -> PyResult<Left> {
    let api = api(py)?;
    let InPlace { context, before } = entered;
    let context = context.into_bound(py);
    let before = before.map(|before| before.into_bound(py));
    catch_up(py, api)?;
    if let Some((current, in_context)) = sole_context(py, api) {
        let is_left = before.as_ref().is_some_and(is_left);
        if current.is(&context) && in_context.len() == 1 && !is_left {
            let key = api.span_key.bind(py);
            match &before {
                Some(before) => in_context.set_item(key, before)?,
                None => in_context.set_item(key, py.None())?,
            }
            if in_context.len() == 1 {
                return Ok(Left::Here);
            }
            // Something else was in it, in the place of the span: the general way sees to that.
        }
    }
    let before = before.filter(|before| !before.is_none());
    let entered = Entered::In {
        context: context.unbind(),
        span: span.clone().unbind(),
        before: Before::Span(before.map(Bound::unbind)),
    };
    leave(py, entered)
}

/// True for a dict with a span, or nothing.
#[inline]
fn has_only_span(api: &Api, context: &Bound<'_, PyDict>) -> PyResult<bool> {
    Ok(match context.len() {
        0 => true,
        1 => context.contains(api.span_key.bind(context.py()))?,
        _ => false,
    })
}

/// True for a Context with other things than a span.
pub(super) fn has_more(api: &Api, context: &Bound<'_, PyAny>) -> PyResult<bool> {
    match context.cast::<PyDict>() {
        Ok(context) => has_only_span(api, context).map(|only| !only),
        Err(_) => Ok(true),
    }
}

/// Makes current what was before [`enter`].
pub(crate) fn leave(py: Python<'_>, entered: Entered) -> PyResult<Left> {
    let api = api(py)?;
    match entered {
        Entered::In {
            context,
            span,
            before,
        } => {
            let (context, span) = (context.into_bound(py), span.into_bound(py));
            if current_context(py).is_some_and(|current| current.is(&context)) {
                restore(py, api, before)?;
                return Ok(Left::Here);
            }
            let was_current = match &before {
                Before::Span(before) => before.as_ref().map(|before| before.bind(py).clone()),
                Before::Context(before) => in_context(py, api, before.bind(py))?,
            };
            let restore = Undo::Restore(before);
            let detachment = Detachment::new(&context, Some(span.clone()), restore);
            if !undo(py, api, detachment)? {
                mark_left(&span, was_current);
            }
            Ok(Left::Elsewhere)
        }
        Entered::Set {
            token,
            span,
            before,
        } => {
            let (token, span) = (token.into_bound(py), span.into_bound(py));
            let before = before.map(|before| before.into_bound(py));
            let variable = api.variable.as_ref();
            let reset = variable.map_or(Ok(()), |variable| variable.reset(py, &token));
            match reset {
                Ok(()) => {
                    if before.as_ref().is_some_and(is_left) {
                        now_current(py, api)?;
                    }
                    Ok(Left::Here)
                }
                // "was created in a different Context"
                Err(error) if error.is_instance_of::<PyValueError>(py) => {
                    // PyO3 learns that the thread is attached, and lets go of the error at once.
                    Python::try_attach(|_| drop(error));
                    let before = token.getattr("old_value")?;
                    let was_current = match before.cast::<PyDict>() {
                        Ok(before) => before.get_item(api.span_key.bind(py))?,
                        Err(_) => None,
                    };
                    let reset = Undo::Reset {
                        token: token.clone().unbind(),
                        attached: None,
                    };
                    let undone = match context_of(&token)? {
                        Some(context) => undo(
                            py,
                            api,
                            Detachment::new(&context, Some(span.clone()), reset),
                        )?,
                        None => false,
                    };
                    if !undone {
                        mark_left(&span, was_current);
                    }
                    Ok(Left::Elsewhere)
                }
                Err(error) => Err(error),
            }
        }
        Entered::Attached(token) => {
            let module = py.import("opentelemetry.context")?;
            module.call_method1("detach", (token.into_bound(py),))?;
            Ok(Left::Here)
        }
    }
}

/// Makes current in the current context what was before.
pub(super) fn restore(py: Python<'_>, api: &Api, before: Before) -> PyResult<()> {
    match before {
        Before::Span(span) => {
            let span = span.and_then(|span| past_left(span.into_bound(py)));
            let now = now(py, api)?.filter(|now| has_more(api, now).unwrap_or(true));
            if let (Some(_), Some(variable)) = (now, &api.variable) {
                let value = with_span_alone(py, api, span.as_ref())?;
                return variable.set(py, &value).map(|token| token.let_go(py));
            }
            set(py, span.as_ref())
        }
        Before::Context(context) => {
            if let Some(variable) = &api.variable {
                variable.set(py, context.bind(py))?.let_go(py);
            }
            drop(context.into_bound(py));
            now_current(py, api).map(drop)
        }
    }
}

/// Marks a span that stays current where it was entered, for whoever finds it there.
fn mark_left(span: &Bound<'_, PyAny>, before: Option<Bound<'_, PyAny>>) {
    if let Ok(span) = span.cast_exact::<PyOtelSpan>() {
        let before = before.filter(|before| !before.is_none() && !comes_before(span, before));
        span.get().mark_left(span.py(), before);
    }
}

/// True when whoever steps back from `before` over left spans meets `span`.
fn comes_before(span: &Bound<'_, PyOtelSpan>, before: &Bound<'_, PyAny>) -> bool {
    let mut step = Some(before.clone());
    while let Some(before) = step {
        if before.is(span) {
            return true;
        }
        step = before
            .cast_exact::<PyOtelSpan>()
            .ok()
            .and_then(|before| before.get().before(before.py()));
    }
    false
}

/// Makes a span current, or none, until another is.
pub(crate) fn set(py: Python<'_>, span: Option<&Bound<'_, PyAny>>) -> PyResult<()> {
    let api = api(py)?;
    catch_up(py, api)?;
    if let Some((_, context)) = sole_context(py, api) {
        let key = api.span_key.bind(py);
        return match span {
            Some(span) => context.set_item(key, span),
            None => context.set_item(key, py.None()),
        };
    }
    let value = with_span(py, api, now(py, api)?.as_ref(), span)?;
    if let Some(variable) = &api.variable {
        return variable.set(py, &value).map(|token| token.let_go(py));
    }
    let module = py.import("opentelemetry.context")?;
    module.call_method1("attach", (value,)).map(drop)
}

/// The current context of Python, and OpenTelemetry's Context in it, if nobody else can see that.
#[inline]
fn sole_context<'py>(py: Python<'py>, api: &Api) -> Option<Sole<'py>> {
    let (layout, variable) = (api.in_place?, api.variable.as_ref()?);
    let (value, context) = layout.sole_value(py, variable)?;
    let is_context = value.get_type_ptr() == api.context_class.as_ptr().cast();
    // A Context is a dict, and writes past its methods, which refuse all.
    let value = is_context.then(|| value.cast::<PyDict>().ok()).flatten()?;
    Some((context, value))
}

type Sole<'py> = (Borrowed<'py, 'py, PyAny>, Borrowed<'py, 'py, PyDict>);

/// A copy of a Context with another span, or none.
fn with_span<'py>(
    py: Python<'py>,
    api: &Api,
    context: Option<&Bound<'py, PyAny>>,
    span: Option<&Bound<'_, PyAny>>,
) -> PyResult<Bound<'py, PyAny>> {
    let class = api.context_class.bind(py);
    let made = match context {
        Some(context) if !context.cast::<PyDict>().is_ok_and(PyDictMethods::is_empty) => {
            class.call1((context,))?
        }
        _ => class.call0()?,
    };
    let values = made.cast::<PyDict>()?;
    let key = api.span_key.bind(py);
    match span {
        Some(span) => values.set_item(key, span)?,
        None if values.contains(key)? => values.del_item(key)?,
        None => (),
    }
    Ok(made)
}

/// A Context with a span, or none, and nothing else.
fn with_span_alone<'py>(
    py: Python<'py>,
    api: &Api,
    span: Option<&Bound<'py, PyAny>>,
) -> PyResult<Bound<'py, PyAny>> {
    let made = api.context_class.bind(py).call0()?;
    if let Some(span) = span {
        made.cast::<PyDict>()?
            .set_item(api.span_key.bind(py), span)?;
    }
    Ok(made)
}
