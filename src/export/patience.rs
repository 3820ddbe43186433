//! How long the ways out may still take: without end, until the program wants to stop.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::task::Poll;
use std::time::Instant;

use tokio::sync::Notify;

/// Shared by the worker, which waits for others, and the threads that wait for the worker.
#[derive(Debug, Default)]
pub(crate) struct Patience {
    end: Mutex<Option<Instant>>,
    /// One waiter at most for each, so that a notice given before it waits is kept for it.
    changed: Notify,
    /// Forks under way.
    forks: AtomicUsize,
    forking: Notify,
}

impl Patience {
    /// Sets the end, or brings it nearer. What waits for an answer learns of it.
    pub(crate) fn end_by(&self, end: Instant) {
        let mut known = self.end.lock().unwrap_or_else(PoisonError::into_inner);
        *known = Some(known.map_or(end, |known| known.min(end)));
        drop(known);
        self.changed.notify_one();
    }

    /// Somebody is about to fork: what would take long and loses nothing by it, stops.
    pub(crate) fn rest(&self) {
        self.forks.fetch_add(1, Ordering::Relaxed);
        self.forking.notify_one();
    }

    /// After `rest`.
    pub(crate) fn resume(&self) {
        self.forks.fetch_sub(1, Ordering::Relaxed);
    }

    /// True while somebody forks.
    pub(crate) fn must_rest(&self) -> bool {
        self.forks.load(Ordering::Relaxed) > 0
    }

    /// Waits for a fork.
    pub(crate) async fn fork(&self) {
        while !self.must_rest() {
            self.forking.notified().await;
        }
    }

    /// The end, if there is one yet.
    pub(crate) fn end(&self) -> Option<Instant> {
        *self.end.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// True once the end has come.
    pub(crate) fn is_over(&self) -> bool {
        self.end().is_some_and(|end| end <= Instant::now())
    }

    /// Waits for the end.
    pub(crate) async fn over(&self) {
        while !self.is_over() {
            let changed = self.changed.notified();
            match self.end() {
                None => changed.await,
                Some(end) => {
                    first(tokio::time::sleep_until(end.into()), changed).await;
                }
            }
        }
    }
}

/// What `work` gives, or None if `limit` is reached before.
pub(crate) async fn first<W: Future>(work: W, limit: impl Future) -> Option<W::Output> {
    let (mut work, mut limit) = (pin!(work), pin!(limit));
    poll_fn(|context| match work.as_mut().poll(context) {
        Poll::Ready(output) => Poll::Ready(Some(output)),
        Poll::Pending => limit.as_mut().poll(context).map(|_| None),
    })
    .await
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::thread;
    use std::time::Duration;

    #[test]
    fn an_end_that_is_set_or_brought_nearer_meanwhile_ends_the_wait() {
        let patience = Patience::default();
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .build()
            .unwrap();
        let begun = Instant::now();
        thread::scope(|scope| {
            scope.spawn(|| {
                for seconds in [60, 90, 0] {
                    thread::sleep(Duration::from_millis(5));
                    patience.end_by(begun + Duration::from_secs(seconds));
                }
            });
            runtime.block_on(patience.over());
        });
        assert!(begun.elapsed() < Duration::from_secs(30));
        assert!(patience.is_over());
    }
}
