//! So many a second.

use std::sync::atomic::{AtomicU64, Ordering};

const SECOND_NS: f64 = 1e9;

/// A token bucket: a second's worth of tokens, at least one, filled evenly. It is kept as the time at
/// which it will be full again (the generic cell rate algorithm), so that one exchange takes a token.
#[derive(Debug)]
pub struct RateLimit {
    rate: AtomicU64,
    full_at_ns: AtomicU64,
}

impl RateLimit {
    /// `rate` a second: None unless it is nought or more, and finite.
    pub fn new(rate: f64) -> Option<Self> {
        let limit = Self {
            rate: AtomicU64::new(0),
            full_at_ns: AtomicU64::new(0),
        };
        limit.set_rate(rate).then_some(limit)
    }

    /// How many a second.
    pub fn rate(&self) -> f64 {
        f64::from_bits(self.rate.load(Ordering::Relaxed))
    }

    /// How many a second from now on. False for what `new` refuses; then nothing changes.
    pub fn set_rate(&self, rate: f64) -> bool {
        let is_rate = rate.is_finite() && rate >= 0.0;
        if is_rate {
            self.rate.store(rate.to_bits(), Ordering::Relaxed);
        }
        is_rate
    }

    /// Takes a token. False when there is none.
    pub fn takes(&self, now_ns: u64) -> bool {
        let rate = self.rate();
        if rate == 0.0 {
            return false;
        }
        let token_ns = (SECOND_NS / rate) as u64;
        let bucket_ns = token_ns.max(SECOND_NS as u64);
        let taken = |full_at_ns: u64| {
            // Later than an empty bucket would be full: the clock was set back, or the rate raised.
            let is_known = full_at_ns <= now_ns.saturating_add(bucket_ns);
            let full_at_ns = if is_known {
                full_at_ns.max(now_ns)
            } else {
                now_ns
            };
            let full_at_ns = full_at_ns.saturating_add(token_ns);
            (full_at_ns - now_ns <= bucket_ns).then_some(full_at_ns)
        };
        let update = self
            .full_at_ns
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, taken);
        update.is_ok()
    }
}

impl PartialEq for RateLimit {
    fn eq(&self, other: &Self) -> bool {
        self.rate() == other.rate()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const START_NS: u64 = 1_700_000_000_000_000_000;

    fn taken(limit: &RateLimit, times_ns: impl Iterator<Item = u64>) -> usize {
        times_ns.filter(|now| limit.takes(START_NS + now)).count()
    }

    #[test]
    fn a_burst_gets_a_seconds_worth_and_then_so_many_a_second() {
        let limit = RateLimit::new(10.0).unwrap();
        assert_eq!(taken(&limit, std::iter::repeat_n(0, 100)), 10);
        assert_eq!(taken(&limit, std::iter::repeat_n(500_000_000, 100)), 5);
        assert_eq!(
            taken(&limit, (1..=1_000).map(|n| 500_000_000 + n * 10_000_000)),
            100
        );
    }

    #[test]
    fn less_than_one_a_second_is_one_in_so_many_seconds() {
        let limit = RateLimit::new(0.1).unwrap();
        assert_eq!(
            taken(&limit, (0..100).map(|second| second * 1_000_000_000)),
            10
        );
    }

    #[test]
    fn a_clock_that_is_set_back_stops_nothing() {
        let limit = RateLimit::new(1.0).unwrap();
        assert!(limit.takes(START_NS));
        assert!(limit.takes(START_NS / 2));
        assert!(!limit.takes(START_NS / 2));
    }

    #[test]
    fn a_rate_that_is_set_counts_at_once() {
        let limit = RateLimit::new(0.0).unwrap();
        assert!(!limit.takes(START_NS));
        assert!(limit.set_rate(1e12) && limit.takes(START_NS));
        assert!(
            !limit.set_rate(f64::NAN) && !limit.set_rate(-1.0) && !limit.set_rate(f64::INFINITY)
        );
        assert_eq!(limit.rate().to_bits(), 1e12f64.to_bits());
    }
}
