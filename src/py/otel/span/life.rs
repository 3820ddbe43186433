//! What a handle knows of the spans above it, how it ends, and how it dies.

use pyo3::prelude::*;

use super::{Ancestor, Before, Of, PyOtelSpan};
use crate::py::chain;
use crate::py::ffi::{dropping, turn};
use crate::py::otel::end;
use crate::py::span::PySpan;

impl PyOtelSpan {
    /// Ends it, with everything that belongs to the end.
    pub(crate) fn finish(slf: &Bound<'_, Self>, end_time_ns: Option<u64>) -> PyResult<bool> {
        let py = slf.py();
        match &slf.get().body().of {
            Of::Own(_, Some(tracer)) => end::end(slf, tracer.get().provider.get(), end_time_ns),
            Of::Native(Some(native)) => PySpan::end(native.bind(py), end_time_ns),
            Of::Own(_, None) | Of::Native(None) => Ok(false),
        }
    }

    /// The same, now.
    #[inline]
    pub(in crate::py::otel) fn end_now(slf: &Bound<'_, Self>) -> PyResult<()> {
        Self::end_at(slf, None)
    }

    pub(super) fn end_at(slf: &Bound<'_, Self>, end_time_ns: Option<u64>) -> PyResult<()> {
        if !Self::finish(slf, end_time_ns)? && slf.get().core().is_recorded() {
            let log = slf.py().import("nanospan.otel._log")?;
            log.call_method1("ended", ("Ending",))?;
        }
        Ok(())
    }

    /// An ended span keeps no other, only what is known of it already.
    pub(crate) fn let_parent_go(&self, py: Python<'_>) {
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

/// Lets go of the ancestors one by one.
impl Drop for PyOtelSpan {
    fn drop(&mut self) {
        let Some(body) = &mut self.0 else { return };
        let py = dropping();
        match &mut body.of {
            Of::Own(span, tracer) => {
                span.discard(turn(py));
                drop(tracer.take().map(|tracer| tracer.into_bound(py)));
            }
            Of::Native(native) => drop(native.take().map(|native| native.into_bound(py))),
        }
        let held = std::mem::take(body.held.get_mut());
        drop(held.name.map(|name| name.into_bound(py)));
        drop(held.context.map(|context| context.into_bound(py)));
        drop(held.status.map(|status| status.into_bound(py)));
        drop(held.told.map(|told| told.into_bound(py)));
        drop(
            held.left
                .and_then(|left| left.0)
                .map(|before| before.into_bound(py)),
        );
        match held.ancestor {
            Ancestor::None => (),
            Ancestor::Context(context) => drop(context.into_bound(py)),
            Ancestor::Span(parent) => chain::let_go(py, [parent.into_bound(py)]),
        }
    }
}
