//! What a handle knows of the spans above it, and of those that were active before it.

use pyo3::prelude::*;

use super::{Of, PySpan};
use crate::py::chain;
use crate::py::ffi::{dropping, turn};
use crate::py::scope::Scope;

impl PySpan {
    /// Of a span and its ancestors in the local trace, the root, if it is still open.
    pub(crate) fn open_root<'py>(of: &Bound<'py, PySpan>) -> Option<Bound<'py, Self>> {
        let of_trace = of.get().core()?;
        let mut span = Self::unfinished_from(of.clone())?;
        loop {
            let core = span.get().core()?;
            if !std::ptr::eq(core.trace(), of_trace.trace()) || core.is_inherited() {
                return None;
            }
            if core.is_root() {
                return Some(span);
            }
            span = Self::unfinished_from(span.get().parent(span.py())?)?;
        }
    }

    /// True when its block was left in another context than it was entered in.
    pub(crate) fn is_left(&self, py: Python<'_>) -> bool {
        self.held(py).left
    }

    /// What was active before the block that left it.
    pub(crate) fn before<'py>(&self, py: Python<'py>) -> Option<Bound<'py, PySpan>> {
        let held = self.held(py);
        held.before.as_ref().map(|span| span.bind(py).clone())
    }

    /// Marks the span as left by its block in another context, for whoever finds it active.
    pub(crate) fn mark_left(&self, py: Python<'_>, before: Option<Bound<'_, PySpan>>) {
        let before = before.filter(|before| !self.comes_before(before));
        let before = before.map(Bound::unbind);
        let replaced = {
            let mut held = self.held(py);
            held.left = true;
            std::mem::replace(&mut held.before, before)
        };
        self.count_left();
        drop(replaced.map(|span| span.into_bound(py)));
    }

    /// Counts a block that was left in another context than it was entered in.
    pub(crate) fn count_left(&self) {
        if let Some(span) = self.core() {
            span.trace().pipeline().counters().left_blocks.add(1);
        }
    }

    /// True when whoever steps back from `span` over left spans meets this one. A generator that
    /// goes on in a copy of its own context enters its span where it is active already; its span
    /// must not come before itself, or the steps would never end.
    pub(super) fn comes_before(&self, span: &Bound<'_, PySpan>) -> bool {
        let mut step = Some(span.clone());
        while let Some(span) = step {
            if std::ptr::eq(span.get(), self) {
                return true;
            }
            step = span.get().before(span.py());
        }
        false
    }

    pub(super) fn parent<'py>(&self, py: Python<'py>) -> Option<Bound<'py, PySpan>> {
        if self.otel(py).is_some() {
            return self.parent_by_otel(py);
        }
        let held = self.held(py);
        held.parent.as_ref().map(|parent| parent.bind(py).clone())
    }

    /// The parent that a handle of the OpenTelemetry face has until it ends.
    pub(super) fn parent_by_otel<'py>(&self, py: Python<'py>) -> Option<Bound<'py, PySpan>> {
        let parent = self.otel(py)?.get().open_parent(py)?;
        Self::of_otel(parent, self.scope?).ok()
    }

    /// `span`, or its nearest ancestor that has not finished.
    #[inline(always)]
    pub(super) fn unfinished_from(span: Bound<'_, PySpan>) -> Option<Bound<'_, PySpan>> {
        if span.get().is_unfinished(span.py()) {
            return Some(span);
        }
        Self::unfinished_above(span)
    }

    #[cold]
    fn unfinished_above(span: Bound<'_, PySpan>) -> Option<Bound<'_, PySpan>> {
        let mut span = span;
        while !span.get().is_unfinished(span.py()) {
            span = span.get().parent(span.py())?;
        }
        Some(span)
    }
}

/// If the span is active, its nearest unfinished ancestor of the same namespace becomes active;
/// `parent` is the one that it had, where it has forgotten it.
#[inline(always)]
pub(super) fn step_up<'py>(
    span: &Bound<'py, PySpan>,
    parent: Option<Bound<'py, PySpan>>,
) -> PyResult<()> {
    let py = span.py();
    let Some(scope) = span.get().scope else {
        return Ok(());
    };
    if !span.get().was_active.get(turn(py)) && !scope.is_shared(py) {
        return Ok(());
    }
    step_up_from(span, scope, parent)
}

#[cold]
fn step_up_from<'py>(
    span: &Bound<'py, PySpan>,
    scope: &'static Scope,
    parent: Option<Bound<'py, PySpan>>,
) -> PyResult<()> {
    let py = span.py();
    if !scope
        .active(py)?
        .is_some_and(|active| active.get().is_same(span.get()))
    {
        return Ok(());
    }
    let parent = parent.or_else(|| span.get().parent(py));
    let mut ancestor = parent.and_then(PySpan::unfinished_from);
    while let Some(other) = ancestor.take_if(|ancestor| !ancestor.get().is_in(scope)) {
        ancestor = other.get().parent(py).and_then(PySpan::unfinished_from);
    }
    scope.set(py, ancestor.as_ref())
}

impl PySpan {
    /// The handle dies: lets go of all but the box of its span. What may run anybody's code comes last,
    /// and the ancestors go one by one.
    #[inline(always)]
    pub(super) fn let_go(&mut self, py: Python<'_>) {
        match &mut self.of {
            Of::Own(span) => span.rest(turn(py)),
            Of::Otel(otel) => drop(otel.take().map(|otel| otel.into_bound(py))),
            Of::Nothing => (),
        }
        let held = self.held.get_mut();
        drop(held.name.take().map(|name| name.into_bound(py)));
        if let Some((_, header)) = held.traceparent.take() {
            drop(header.into_bound(py));
        }
        held.left = false;
        let (parent, before) = (held.parent.take(), held.before.take());
        if let Some(parent) = parent {
            chain::let_go(parent.into_bound(py));
        }
        if let Some(before) = before {
            chain::let_go(before.into_bound(py));
        }
    }
}

/// The end of what is not kept for another span.
impl Drop for PySpan {
    fn drop(&mut self) {
        let py = dropping();
        self.let_go(py);
        if let Of::Own(span) = &mut self.of {
            span.discard(turn(py));
        }
    }
}
