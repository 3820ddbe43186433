//! The traces that may have finished spans waiting while their root is open: the worker looks through
//! them, so that nothing waits for ever.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::Pipeline;
use crate::chunk::Seen;
use crate::trace::Handover;
use crate::turn::Turn;

/// All traces of a pipeline, open or kept for the next.
#[derive(Debug)]
pub(crate) struct OpenTraces {
    traces: Mutex<Vec<Arc<Handover>>>,
    /// What the waiting count from.
    began: Instant,
}

/// When to look again at what somebody is at right now.
const AGAIN: Duration = Duration::from_millis(1);

impl Default for OpenTraces {
    fn default() -> Self {
        Self {
            traces: Mutex::new(Vec::new()),
            began: Instant::now(),
        }
    }
}

impl OpenTraces {
    /// Takes in a new trace; those that nobody has any more go.
    #[cold]
    pub(crate) fn insert(&self, trace: &Arc<Handover>) {
        let mut traces = self.traces();
        if traces.len() == traces.capacity() {
            traces.retain(|trace| Arc::strong_count(trace) > 1);
        }
        traces.push(Arc::clone(trace));
    }

    /// Hands over all that waits, which with a turn nobody is at.
    pub(crate) fn hand_over_all(&self, pipeline: &Arc<Pipeline>, turn: Turn<'_>) {
        let traces = self.traces().clone();
        for trace in traces {
            trace.hand_over_early(pipeline, Some(turn));
        }
    }

    /// Nanoseconds since the pipeline began.
    #[inline]
    pub(crate) fn now_ns(&self) -> u64 {
        self.began.elapsed().as_nanos() as u64
    }

    /// The moment of so many nanoseconds since the pipeline began.
    #[inline]
    pub(crate) fn at(&self, ns: u64) -> Instant {
        self.began + Duration::from_nanos(ns)
    }

    /// Hands over the spans that have waited for `delay`; says when the next will have.
    pub(crate) fn hand_over_overdue(
        &self,
        pipeline: &Arc<Pipeline>,
        delay: Duration,
    ) -> Option<Instant> {
        let (mut overdue, mut next) = (Vec::new(), None::<Instant>);
        for trace in self.traces().iter() {
            let due = match trace.look() {
                Seen::Empty => continue,
                Seen::Out => Instant::now() + AGAIN,
                Seen::Chunk => self.at(trace.since_ns()) + delay,
            };
            if due <= Instant::now() {
                overdue.push(Arc::clone(trace));
            } else {
                next = Some(next.map_or(due, |next| next.min(due)));
            }
        }
        for trace in overdue {
            trace.hand_over_early(pipeline, None);
        }
        next
    }

    fn traces(&self) -> MutexGuard<'_, Vec<Arc<Handover>>> {
        self.traces.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
