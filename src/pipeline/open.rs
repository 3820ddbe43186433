//! The traces whose root is still open while finished spans of theirs wait: the worker looks
//! through them, so that nothing waits for ever.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant};

use crate::trace::Trace;

/// Open traces by address. They are not kept alive from here.
#[derive(Debug, Default)]
pub(crate) struct OpenTraces(Mutex<HashMap<usize, Weak<Trace>>>);

impl OpenTraces {
    pub(crate) fn insert(&self, trace: &Arc<Trace>) {
        let mut traces = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        traces.insert(Arc::as_ptr(trace) as usize, Arc::downgrade(trace));
    }

    pub(crate) fn remove(&self, trace: &Trace) {
        let mut traces = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        traces.remove(&(std::ptr::from_ref(trace) as usize));
    }

    /// The traces that are there now. The lock is gone before anything is done with them: the last
    /// handle on one may die here, and take it out.
    pub(crate) fn all(&self) -> Vec<Arc<Trace>> {
        let mut traces = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        traces.retain(|_, trace| trace.strong_count() > 0);
        traces.values().filter_map(Weak::upgrade).collect()
    }

    /// Hands over the spans that have waited for `delay`; says when the next will have.
    pub(crate) fn hand_over_overdue(&self, delay: Duration) -> Option<Instant> {
        let mut next: Option<Instant> = None;
        for trace in self.all() {
            let Some(due) = trace.waiting_since().map(|since| since + delay) else {
                continue;
            };
            if due <= Instant::now() {
                trace.hand_over_early();
            } else {
                next = Some(next.map_or(due, |next| next.min(due)));
            }
        }
        next
    }
}
