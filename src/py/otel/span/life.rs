//! What a handle knows of the spans above it, how it ends, and how it dies.

use pyo3::prelude::*;

use super::{Ancestor, Before, Held, Of, PyOtelSpan};
use crate::py::chain;
use crate::py::ffi::{dropping, turn};
use crate::py::otel::end;
use crate::py::span::PySpan;

impl PyOtelSpan {
    /// Ends it, with everything that belongs to the end.
    pub(crate) fn finish(slf: &Bound<'_, Self>, end_time_ns: Option<u64>) -> PyResult<bool> {
        let py = slf.py();
        match &slf.get().of {
            Of::Own(_, Some(tracer)) => end::end(slf, tracer.get().provider.get(), end_time_ns),
            Of::Native(Some(native)) => PySpan::end(native.bind(py), end_time_ns),
            Of::Nothing | Of::Own(_, None) | Of::Native(None) => Ok(false),
        }
    }

    /// The same, now.
    #[inline(always)]
    pub(in crate::py::otel) fn end_now(slf: &Bound<'_, Self>) -> PyResult<()> {
        if let Of::Own(_, Some(tracer)) = &slf.get().of {
            if end::end(slf, tracer.get().provider.get(), None)? {
                return Ok(());
            }
            return Self::ended_before(slf);
        }
        Self::end_at(slf, None)
    }

    /// Says that it had ended before.
    #[cold]
    fn ended_before(slf: &Bound<'_, Self>) -> PyResult<()> {
        if slf.get().core().is_recorded() {
            let log = slf.py().import("nanospan.otel._log")?;
            log.call_method1("ended", ("Ending",))?;
        }
        Ok(())
    }

    pub(super) fn end_at(slf: &Bound<'_, Self>, end_time_ns: Option<u64>) -> PyResult<()> {
        if Self::finish(slf, end_time_ns)? {
            return Ok(());
        }
        Self::ended_before(slf)
    }

    /// An ended span keeps no other, only what is known of it already.
    #[inline]
    pub(crate) fn let_parent_go(&self, py: Python<'_>) {
        if matches!(self.held(py).ancestor, Ancestor::Span(_)) {
            self.let_span_go(py);
        }
    }

    fn let_span_go(&self, py: Python<'_>) {
        let mut held = self.held(py);
        let Ancestor::Span(parent) = &held.ancestor else {
            return;
        };
        let context = parent.get().known_context(py);
        let parent = std::mem::replace(
            &mut held.ancestor,
            context.map_or(Ancestor::None, Ancestor::Context),
        );
        drop(held);
        if let Ancestor::Span(parent) = parent {
            drop(parent.into_bound(py));
        }
    }

    /// The parent, if it is a span of ours and this one is open.
    pub(crate) fn open_parent<'py>(&self, py: Python<'py>) -> Option<Bound<'py, Self>> {
        match &self.held(py).ancestor {
            Ancestor::Span(parent) => Some(parent.bind(py).clone()),
            Ancestor::None | Ancestor::Context(_) => None,
        }
    }

    /// Marks the span as one that stays current somewhere because its block was left elsewhere.
    pub(in crate::py::otel) fn mark_left(&self, py: Python<'_>, before: Option<Bound<'_, PyAny>>) {
        let left = Box::new(Before(before.map(Bound::unbind)));
        let replaced = self.held(py).left.replace(left);
        drop(replaced.and_then(|left| Some(left.0?.into_bound(py))));
    }

    /// True once such a span has ended. An open one may have been made current again.
    #[inline]
    pub(in crate::py::otel) fn is_left(&self, py: Python<'_>) -> bool {
        self.held(py).left.is_some() && !self.core().is_unfinished(turn(py))
    }

    /// What was current before the block of such a span.
    pub(in crate::py::otel) fn before<'py>(&self, py: Python<'py>) -> Option<Bound<'py, PyAny>> {
        let held = self.held(py);
        let before = held.left.as_ref()?.0.as_ref()?;
        Some(before.bind(py).clone())
    }

    pub(super) fn known_context(&self, py: Python<'_>) -> Option<Py<PyAny>> {
        let held = self.held(py);
        held.context.as_ref().map(|context| context.clone_ref(py))
    }
}

impl PyOtelSpan {
    /// The handle dies: lets go of all but the box of its span. What may run anybody's code comes last,
    /// and the ancestors go one by one.
    #[inline(always)]
    pub(super) fn let_go(&mut self, py: Python<'_>) {
        let tracer = match &mut self.of {
            Of::Own(span, tracer) => {
                span.rest(turn(py));
                tracer.take()
            }
            Of::Native(native) => {
                drop(native.take().map(|native| native.into_bound(py)));
                None
            }
            Of::Nothing => None,
        };
        let held = self.held.get_mut();
        drop(held.name.take().map(|name| name.into_bound(py)));
        drop(tracer.map(|tracer| tracer.into_bound(py)));
        if held.has_more() {
            held.let_more_go(py);
        }
        match std::mem::take(&mut held.ancestor) {
            Ancestor::None => (),
            Ancestor::Context(context) => drop(context.into_bound(py)),
            Ancestor::Span(parent) => chain::let_go(parent.into_bound(py)),
        }
    }
}

impl Held {
    /// True where it holds what most do not.
    #[inline(always)]
    fn has_more(&self) -> bool {
        self.context.is_some()
            || self.status.is_some()
            || self.told.is_some()
            || self.left.is_some()
    }

    fn let_more_go(&mut self, py: Python<'_>) {
        let (context, status) = (self.context.take(), self.status.take());
        let (told, left) = (self.told.take(), self.left.take());
        drop(context.map(|context| context.into_bound(py)));
        drop(status.map(|status| status.into_bound(py)));
        drop(told.map(|told| told.into_bound(py)));
        if let Some(before) = left.and_then(|left| left.0) {
            drop(before.into_bound(py));
        }
    }
}

/// The end of what is not kept for another span.
impl Drop for PyOtelSpan {
    fn drop(&mut self) {
        let py = dropping();
        self.let_go(py);
        if let Of::Own(span, _) = &mut self.of {
            span.discard(turn(py));
        }
    }
}
