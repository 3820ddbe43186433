//! What time it is: nanoseconds since 1970 that never run backwards within one local trace.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

/// Where a pipeline's times come from.
#[derive(Clone, Debug, Default)]
pub enum Clock {
    /// Wall time at the local root, monotonic time from there on.
    #[default]
    System,
    /// A time that only moves by hand.
    Manual(Arc<ManualClock>),
}

/// A clock for tests.
#[derive(Debug)]
pub struct ManualClock(AtomicU64);

impl ManualClock {
    /// A clock that stands at `now_ns`.
    pub fn new(now_ns: u64) -> Self {
        Self(AtomicU64::new(now_ns))
    }

    /// The time at which it stands, in nanoseconds since 1970.
    pub fn now_ns(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    /// Moves it forward.
    pub fn tick(&self, ns: u64) {
        self.0.fetch_add(ns, Ordering::Relaxed);
    }
}

/// One trace's tie between wall time and the monotonic clock. All times of a local trace come from
/// one anchor, so children lie inside their parents whatever the wall clock does meanwhile.
#[derive(Debug)]
pub struct Anchor {
    clock: Clock,
    wall_ns: u64,
    monotonic: Instant,
}

impl Clock {
    /// Ties the two clocks together, now.
    pub fn anchor(&self) -> Anchor {
        let wall_ns = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .map_or(0, |d| d.as_nanos() as u64);
        Anchor {
            clock: self.clone(),
            wall_ns,
            monotonic: Instant::now(),
        }
    }
}

impl Anchor {
    /// Nanoseconds since 1970.
    pub fn now_ns(&self) -> u64 {
        match &self.clock {
            Clock::System => self
                .wall_ns
                .saturating_add(self.monotonic.elapsed().as_nanos() as u64),
            Clock::Manual(clock) => clock.now_ns(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_of_one_anchor_never_run_backwards() {
        let anchor = Clock::System.anchor();
        let times: Vec<u64> = (0..1_000).map(|_| anchor.now_ns()).collect();
        assert!(times.is_sorted());
    }

    #[test]
    fn a_manual_clock_moves_only_by_hand() {
        let clock = Arc::new(ManualClock::new(5));
        let anchor = Clock::Manual(Arc::clone(&clock)).anchor();
        assert_eq!(anchor.now_ns(), 5);
        clock.tick(3);
        assert_eq!(anchor.now_ns(), 8);
    }
}
