//! The traces whose root is still open while finished spans of theirs wait: the worker looks
//! through them, so that nothing waits for ever.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

use crate::trace::Trace;

/// Open traces, which are not kept alive from here.
#[derive(Debug, Default)]
pub(crate) struct OpenTraces(Mutex<Places>);

/// Where a trace is, until it is removed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place(usize);

#[derive(Debug, Default)]
struct Places {
    traces: Vec<Option<Weak<Trace>>>,
    free: Vec<usize>,
}

impl OpenTraces {
    pub(crate) fn insert(&self, trace: &Arc<Trace>) -> Place {
        let mut places = self.places();
        let trace = Some(Arc::downgrade(trace));
        if let Some(place) = places.free.pop() {
            places.traces[place] = trace;
            return Place(place);
        }
        places.traces.push(trace);
        Place(places.traces.len() - 1)
    }

    pub(crate) fn remove(&self, place: Place) {
        let mut places = self.places();
        places.traces[place.0] = None;
        places.free.push(place.0);
    }

    /// The traces that are there now. The lock is gone before anything is done with them: the last
    /// handle on one may die here, and take it out.
    pub(crate) fn all(&self) -> Vec<Arc<Trace>> {
        let places = self.places();
        let traces = places.traces.iter().flatten();
        traces.filter_map(Weak::upgrade).collect()
    }

    fn places(&self) -> MutexGuard<'_, Places> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
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
