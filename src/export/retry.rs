//! When a batch that was not taken is tried again, and for how long.

use std::time::{Duration, Instant, SystemTime};

/// The longest pause after the first failure; each further one doubles it.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
/// The longest pause of all.
const LONGEST_PAUSE: Duration = Duration::from_secs(16);
/// A pause that the other side asks for is not shorter than this, nor longer than that.
const ASKED: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(30));
/// Who waits is tried for no sooner than this after a failure: many may wait, one after the other,
/// and a collector that has no time must not have less by it.
const HURRIED: Duration = Duration::from_millis(100);
/// A batch that is older is not tried again.
pub(crate) const LONGEST_AGE: Duration = Duration::from_secs(60);

/// How the tries of one way out go.
#[derive(Debug, Default)]
pub(crate) struct Retry {
    /// In a row, whatever the batch.
    failures: u32,
    /// The last of them.
    failed_at: Option<Instant>,
    /// Nothing is tried before; none is at once.
    due: Option<Instant>,
    /// The other side set that time.
    asked: bool,
}

impl Retry {
    /// When the next try is due, None when it is at once.
    pub(crate) fn due(&self) -> Option<Instant> {
        self.due
    }

    /// A batch was taken.
    pub(crate) fn succeeded(&mut self) {
        *self = Self::default();
    }

    /// A try failed, and another may do better: at the time that is returned. `random` is from 0 to
    /// 1: the tries of many processes that fail at once must not come back at once.
    pub(crate) fn failed(&mut self, asked: Option<Duration>, now: Instant, random: f64) -> Instant {
        let doubled = FIRST_PAUSE * 2_u32.saturating_pow(self.failures.min(16));
        let own = doubled.min(LONGEST_PAUSE).mul_f64(0.5 + random / 2.0);
        let due = now + asked.map_or(own, |asked| asked.clamp(ASKED.0, ASKED.1));
        self.failures = self.failures.saturating_add(1);
        self.failed_at = Some(now);
        self.due = Some(due);
        self.asked = asked.is_some();
        due
    }

    /// Somebody waits: the next try is due soon, unless the other side said when.
    pub(crate) fn hurry(&mut self) {
        if !self.asked {
            let soon = self.failed_at.map(|failed| failed + HURRIED);
            self.due = self.due.min(soon);
        }
    }
}

/// The pause that a `Retry-After` header asks for: seconds, or a date (RFC 9110, 10.2.3).
pub(crate) fn retry_after(value: &str, now: SystemTime) -> Option<Duration> {
    let value = value.trim();
    if !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit()) {
        // More digits than a number holds: as long as can be.
        return Some(Duration::from_secs(value.parse().unwrap_or(u64::MAX)));
    }
    let date = httpdate::parse_http_date(value).ok()?;
    Some(date.duration_since(now).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seconds(seconds: f64) -> Duration {
        Duration::from_secs_f64(seconds)
    }

    fn pauses(asked: Option<Duration>, random: f64) -> Vec<f64> {
        let now = Instant::now();
        let mut retry = Retry::default();
        let pause = |_| (retry.failed(asked, now, random) - now).as_secs_f64();
        (0..7).map(pause).collect()
    }

    #[test]
    fn pauses_double_up_to_a_bound_and_their_length_is_half_chance() {
        assert_eq!(pauses(None, 1.0), [1., 2., 4., 8., 16., 16., 16.]);
        assert_eq!(pauses(None, 0.0), [0.5, 1., 2., 4., 8., 8., 8.]);
        let mut retry = Retry {
            failures: u32::MAX,
            ..Retry::default()
        };
        retry.failed(None, Instant::now(), 0.5);
    }

    #[test]
    fn the_other_side_says_when_within_bounds() {
        assert_eq!(pauses(Some(seconds(25.)), 0.5), [25.; 7]);
        assert_eq!(pauses(Some(Duration::MAX), 0.5), [30.; 7]);
        assert_eq!(pauses(Some(Duration::ZERO), 0.5), [0.1; 7]);
    }

    #[test]
    fn who_waits_hurries_the_next_try_unless_the_other_side_said_when() {
        let now = Instant::now();
        let mut retry = Retry::default();
        retry.failed(Some(seconds(3.)), now, 0.5);
        retry.hurry();
        assert_eq!(retry.due(), Some(now + seconds(3.)));
        retry.failed(None, now, 0.5);
        retry.hurry();
        assert_eq!(retry.due(), Some(now + HURRIED));
        retry.succeeded();
        retry.hurry();
        assert_eq!(retry.due(), None);
    }

    #[test]
    fn retry_after_is_seconds_or_a_date_and_nothing_else() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(784_111_770);
        for (value, pause) in [
            ("120", Some(120)),
            (" 0 ", Some(0)),
            ("99999999999999999999999", Some(u64::MAX)),
            ("Sun, 06 Nov 1994 08:49:37 GMT", Some(7)),
            ("Sunday, 06-Nov-94 08:49:37 GMT", Some(7)),
            ("Sun Nov  6 08:49:37 1994", Some(7)),
            ("Sun, 06 Nov 1994 08:49:20 GMT", Some(0)),
            ("", None),
            ("-1", None),
            ("1.5", None),
            ("soon", None),
        ] {
            assert_eq!(
                retry_after(value, now),
                pause.map(Duration::from_secs),
                "{value}"
            );
        }
    }
}
