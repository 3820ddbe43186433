//! The traces that may have finished spans waiting while their root is open: the worker looks through
//! them, so that nothing waits for ever.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::Pipeline;
use crate::chunk::Seen;
use crate::clock::Moment;
use crate::trace::Handover;
use crate::turn::Turn;

/// All traces of a pipeline, open or kept for the next.
#[derive(Debug, Default)]
pub(crate) struct OpenTraces(Mutex<Vec<Arc<Handover>>>);

/// When to look again at what somebody is at right now.
const AGAIN: Duration = Duration::from_millis(1);

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

    /// Hands over the spans that have waited for `delay`; says when the next will have.
    pub(crate) fn hand_over_overdue(
        &self,
        pipeline: &Arc<Pipeline>,
        delay: Duration,
    ) -> Option<Instant> {
        let now = Moment::now();
        let (mut overdue, mut next) = (Vec::new(), None::<Duration>);
        for trace in self.traces().iter() {
            let left = match trace.look() {
                Seen::Empty => continue,
                Seen::Out => AGAIN,
                Seen::Chunk => delay.saturating_sub(now.since(trace.since_ns())),
            };
            if left.is_zero() {
                overdue.push(Arc::clone(trace));
            } else {
                next = Some(next.map_or(left, |next| next.min(left)));
            }
        }
        for trace in overdue {
            trace.hand_over_early(pipeline, None);
        }
        next.map(|left| now.at + left)
    }

    fn traces(&self) -> MutexGuard<'_, Vec<Arc<Handover>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn traces_that_nobody_has_any_more_are_forgotten() {
        let open = OpenTraces::default();
        let kept = Arc::new(Handover::default());
        open.insert(&kept);
        for _ in 0..10_000 {
            open.insert(&Arc::new(Handover::default()));
        }
        let traces = open.traces();
        assert!(traces.capacity() < 100, "{}", traces.capacity());
        assert!(traces.iter().any(|trace| Arc::ptr_eq(trace, &kept)));
    }
}
