//! What time it is: nanoseconds since 1970 that never run backwards within one local trace.
//!
//! Where the kernel trusts the processor's time-stamp counter, so do we: a reading costs 10 ns where
//! the system's clock costs 25. Ticks are converted by the anchor that the local trace took at its
//! root, so children lie inside their parents, and what is read is what is sent.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::sys;
use crate::turn::{Guarded, Turn};

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

/// One trace's tie between wall time and a clock that only runs forward. All times of a local trace
/// come from one anchor.
#[derive(Clone, Debug, Default)]
pub struct Anchor {
    /// Counts where there is no `other` clock.
    tie: Tie,
    other: Option<Box<Other>>,
}

/// A clock that is not the processor's.
#[derive(Clone, Debug)]
enum Other {
    /// The system's monotonic clock.
    Monotonic {
        /// Nanoseconds since 1970.
        wall_ns: u64,
        /// The same moment.
        at: Instant,
    },
    /// A time that only moves by hand.
    Manual(Arc<ManualClock>),
}

/// A moment in wall time and in ticks, and how long a tick is.
#[derive(Clone, Copy, Debug, Default)]
struct Tie {
    wall_ns: u64,
    ticks: u64,
    /// Nanoseconds a tick, times 2^32.
    rate: u64,
}

impl Tie {
    #[inline]
    fn wall_ns_at(&self, ticks: u64) -> u64 {
        let passed = u128::from(ticks.saturating_sub(self.ticks)) * u128::from(self.rate);
        self.wall_ns.saturating_add((passed >> 32) as u64)
    }
}

impl Clock {
    /// Ties wall time to a clock that only runs forward, and says what time it is; in an anchor that is
    /// new, or has no other clock. The tie is written where it stays: what is moved right after it was written waits for the store.
    #[inline(always)]
    pub fn tie(&self, turn: Turn<'_>, anchor: &mut Anchor) -> u64 {
        match self {
            Self::System => TICKS.borrow(turn).tie(anchor),
            Self::Manual(clock) => {
                anchor.other = Some(Box::new(Other::Manual(Arc::clone(clock))));
                clock.now_ns()
            }
        }
    }

    /// Nanoseconds since 1970, tied to nothing.
    pub(crate) fn now_ns(&self) -> u64 {
        match self {
            Self::System => together().1,
            Self::Manual(clock) => clock.now_ns(),
        }
    }

    /// Another anchor, and what time it is.
    pub fn anchor(&self, turn: Turn<'_>) -> (Anchor, u64) {
        let mut anchor = Anchor::default();
        let now_ns = self.tie(turn, &mut anchor);
        (anchor, now_ns)
    }
}

impl Anchor {
    /// True for one that goes by another clock than the processor's.
    #[inline(always)]
    pub(crate) fn has_other(&self) -> bool {
        self.other.is_some()
    }

    /// Nanoseconds since 1970.
    #[inline]
    pub fn now_ns(&self) -> u64 {
        match &self.other {
            None => self.tie.wall_ns_at(sys::ticks()),
            Some(other) => other.now_ns(),
        }
    }
}

impl Anchor {
    /// Nanoseconds since 1970 for a [`Moment`], whatever time the trace goes by.
    #[inline]
    pub(crate) fn wall_ns(&self) -> u64 {
        match &self.other {
            None => {
                let now_ns = self.tie.wall_ns_at(sys::ticks());
                if now_ns - self.tie.wall_ns < FRESH_NS {
                    return now_ns;
                }
                wall_ns()
            }
            Some(_) => wall_ns(),
        }
    }
}

impl Other {
    #[cold]
    fn now_ns(&self) -> u64 {
        match self {
            Self::Monotonic { wall_ns, at } => {
                wall_ns.saturating_add(at.elapsed().as_nanos() as u64)
            }
            Self::Manual(clock) => clock.now_ns(),
        }
    }
}

/// What is known of the time-stamp counter.
static TICKS: Guarded<Ticks> = Guarded::new(Ticks::Unknown);

enum Ticks {
    /// Nobody has looked yet.
    Unknown,
    /// The kernel does not trust it, or it went astray twice within a minute.
    Unfit,
    /// Its rate is not known yet: the time since the first look is too short to tell.
    Measuring(Look),
    Known(Known),
}

/// One moment by both clocks.
#[derive(Clone, Copy)]
struct Look {
    at: Instant,
    ticks: u64,
}

struct Known {
    first: Look,
    tie: Tie,
    /// How long a tie holds.
    renewal_ticks: u64,
    /// When wall time last jumped against the ticks.
    jumped_at: Option<Instant>,
}

/// The rate is taken over at least this long: two looks are each right to some 50 ns.
const MEASURE: Duration = Duration::from_millis(20);
/// A tie is renewed when a root starts after this long.
const RENEWAL_NS: u64 = 100_000_000;
/// Beyond this, wall time was set, the machine slept, or the counter changed.
const JUMP_NS: u64 = 1_000_000;
/// For this long a tie says what wall time is, though that may be slewed meanwhile.
const FRESH_NS: u64 = 10_000_000_000;
/// By no more than this it is wrong then: clocks are slewed by at most 500 millionths (Linux, adjtimex).
const ASTRAY_NS: u64 = JUMP_NS + FRESH_NS / 1_000;
/// Two jumps within this long: the counter is not to be trusted.
const ASTRAY: Duration = Duration::from_secs(60);

impl Look {
    fn now() -> Self {
        Self {
            at: Instant::now(),
            ticks: sys::ticks(),
        }
    }

    /// Nanoseconds a tick since an earlier look, times 2^32; None while that cannot be told.
    fn rate_since(&self, first: &Self) -> Option<u64> {
        let ns = self.at.duration_since(first.at).as_nanos();
        let ticks = u128::from(self.ticks.checked_sub(first.ticks)?);
        let rate = (ns << 32).checked_div(ticks)?;
        // A counter of less than 100 MHz or more than 100 GHz is none.
        let allowed = (1 << 32) / 100..=10 << 32;
        u64::try_from(rate)
            .ok()
            .filter(|rate| allowed.contains(rate))
    }
}

impl Ticks {
    #[inline(always)]
    fn tie(&mut self, anchor: &mut Anchor) -> u64 {
        if let Self::Known(known) = self {
            let ticks = sys::ticks();
            // Wraps, and so renews, where the counter ran back: a machine that slept may start it anew.
            if ticks.wrapping_sub(known.tie.ticks) < known.renewal_ticks {
                anchor.tie = known.tie;
                return known.tie.wall_ns_at(ticks);
            }
        }
        self.tie_anew(anchor)
    }

    #[cold]
    fn tie_anew(&mut self, anchor: &mut Anchor) -> u64 {
        let (now, wall_ns) = together();
        match self {
            Self::Unknown if sys::has_ticks() => *self = Self::Measuring(now),
            Self::Unknown => *self = Self::Unfit,
            Self::Unfit => (),
            Self::Measuring(first) if now.at.duration_since(first.at) < MEASURE => (),
            Self::Measuring(first) => {
                let first = *first;
                *self = now.rate_since(&first).map_or(Self::Unfit, |rate| {
                    Self::Known(Known::new(first, now, wall_ns, rate))
                });
            }
            Self::Known(known) => {
                if !known.renew(now, wall_ns) {
                    *self = Self::Unfit;
                }
            }
        }
        anchor.other = None;
        if let Self::Known(known) = self {
            anchor.tie = known.tie;
        } else {
            let at = now.at;
            anchor.other = Some(Box::new(Other::Monotonic { wall_ns, at }));
        }
        wall_ns
    }
}

impl Known {
    fn new(first: Look, now: Look, wall_ns: u64, rate: u64) -> Self {
        let renewal_ticks = ((u128::from(RENEWAL_NS) << 32) / u128::from(rate)) as u64;
        Self {
            first,
            tie: Tie {
                wall_ns,
                ticks: now.ticks,
                rate,
            },
            renewal_ticks,
            jumped_at: None,
        }
    }

    /// Ties again. False when the counter cannot be trusted any more.
    fn renew(&mut self, now: Look, wall_ns: u64) -> bool {
        let expected = self.tie.wall_ns_at(now.ticks);
        let since = now.at.duration_since(self.first.at);
        // A clock that is being set right may run wrong by a part in 2,000.
        let slew = expected.saturating_sub(self.tie.wall_ns) / 1_000;
        if expected.abs_diff(wall_ns) > JUMP_NS.max(slew) {
            let again = self
                .jumped_at
                .is_some_and(|at| now.at.duration_since(at) < ASTRAY);
            self.jumped_at = Some(now.at);
            if again {
                return false;
            }
            self.first = now;
        }
        let mut rate = self.tie.rate;
        if since >= MEASURE {
            match now.rate_since(&self.first) {
                // The system's clock is being set right by a part in 2,000 at most.
                Some(measured) if measured.abs_diff(rate) <= rate / 1_000 => rate = measured,
                // One of the two stood still meanwhile, as a sleeping machine's clock does.
                _ => self.first = now,
            }
        }
        self.tie = Tie {
            wall_ns,
            ticks: now.ticks,
            rate,
        };
        true
    }
}

/// Both clocks and wall time at one moment. Where the thread was interrupted in between it looks again,
/// a few times: what is read apart would make a jump that never was.
fn together() -> (Look, u64) {
    /// About a microsecond.
    const CLOSE: u64 = 3_000;
    let look = || {
        let before = sys::ticks();
        let read = (Look::now(), wall_ns());
        (sys::ticks().wrapping_sub(before), read)
    };
    let mut best = look();
    for _ in 0..4 {
        if best.0 < CLOSE {
            break;
        }
        let next = look();
        if next.0 < best.0 {
            best = next;
        }
    }
    best.1
}

/// A moment by both of the system's clocks, for those who ask how long ago something was.
#[derive(Clone, Copy)]
pub(crate) struct Moment {
    pub(crate) at: Instant,
    wall_ns: u64,
}

impl Moment {
    pub(crate) fn now() -> Self {
        Self {
            at: Instant::now(),
            wall_ns: wall_ns(),
        }
    }

    /// How long ago it was so many nanoseconds since 1970, as [`Anchor::wall_ns`] told. What is yet to
    /// come, by more than ticks go astray, was very long ago: wall time was set back since.
    pub(crate) fn since(&self, wall_ns: u64) -> Duration {
        let passed = (self.wall_ns + ASTRAY_NS).checked_sub(wall_ns);
        passed.map_or(Duration::MAX, |passed| {
            Duration::from_nanos(passed.saturating_sub(ASTRAY_NS))
        })
    }
}

fn wall_ns() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |passed| passed.as_nanos() as u64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::turn;

    #[test]
    fn times_of_one_anchor_never_run_backwards() {
        let taken = turn::take();
        let (anchor, _) = Clock::System.anchor(taken.turn());
        let times: Vec<u64> = (0..1_000).map(|_| anchor.now_ns()).collect();
        assert!(times.is_sorted());
    }

    #[test]
    fn anchors_agree_with_the_wall_clock_whatever_they_count() {
        let begun = Instant::now();
        while begun.elapsed() < 3 * MEASURE {
            let taken = turn::take();
            let (anchor, _) = Clock::System.anchor(taken.turn());
            drop(taken);
            std::thread::sleep(MEASURE / 5);
            let apart = anchor.now_ns().abs_diff(wall_ns());
            assert!(apart < 5 * JUMP_NS, "{apart} ns by {anchor:?}");
        }
    }

    #[test]
    fn what_a_moment_says_is_how_long_ago_and_never_that_something_is_yet_to_come() {
        let now = Moment {
            at: Instant::now(),
            wall_ns: 1_000 * JUMP_NS,
        };
        let ago = |passed_ns: u64| now.since(now.wall_ns - passed_ns);
        assert_eq!(ago(0), Duration::ZERO);
        assert_eq!(ago(JUMP_NS), Duration::from_nanos(JUMP_NS));
        assert_eq!(now.since(now.wall_ns + ASTRAY_NS), Duration::ZERO);
        assert_eq!(now.since(now.wall_ns + ASTRAY_NS + 1), Duration::MAX);
    }

    #[test]
    fn an_old_anchor_tells_wall_time_by_the_system() {
        let tied = || Clock::System.anchor(turn::take().turn()).0;
        let begun = Instant::now();
        let mut anchor = tied();
        while anchor.has_other() && begun.elapsed() < 3 * MEASURE {
            std::thread::sleep(MEASURE / 5);
            anchor = tied();
        }
        let apart = |anchor: &Anchor| anchor.wall_ns().abs_diff(wall_ns());
        assert!(apart(&anchor) < 5 * JUMP_NS);
        if !anchor.has_other() {
            // As if that many had been counted since, which were none.
            let ticks = (u128::from(2 * FRESH_NS) << 32) / u128::from(anchor.tie.rate);
            anchor.tie.ticks -= ticks as u64;
            assert!(anchor.now_ns() > wall_ns() + FRESH_NS);
            assert!(apart(&anchor) < 5 * JUMP_NS);
        }
        let manual = Clock::Manual(Arc::new(ManualClock::new(7)));
        let (manual, _) = manual.anchor(turn::take().turn());
        assert!(apart(&manual) < 5 * JUMP_NS);
    }

    #[test]
    fn a_second_jump_within_a_minute_ends_the_trust_in_the_counter() {
        let first = Look::now();
        std::thread::sleep(MEASURE);
        let now = Look::now();
        let wall_ns = wall_ns();
        let Some(rate) = now.rate_since(&first) else {
            return; // no counter here
        };
        let mut known = Known::new(first, now, wall_ns, rate);
        assert!(known.renew(now, wall_ns));
        assert!(known.renew(now, wall_ns + 1_000_000_000), "the first");
        assert!(!known.renew(now, wall_ns), "the second");
    }

    #[test]
    fn a_counter_that_begins_anew_is_noticed_by_the_next_root() {
        let first = Look::now();
        std::thread::sleep(MEASURE);
        let (now, wall_ns) = together();
        let Some(rate) = now.rate_since(&first) else {
            return; // no counter here
        };
        let mut known = Known::new(first, now, wall_ns, rate);
        known.tie.ticks = u64::MAX / 2;
        let mut ticks = Ticks::Known(known);
        let mut anchor = Anchor::default();
        let read = ticks.tie(&mut anchor);
        assert!(read >= wall_ns && anchor.now_ns() >= read);
        assert!(anchor.now_ns() - wall_ns < 1_000_000_000);
    }

    #[test]
    fn a_rate_is_not_believed_when_one_clock_stood_still() {
        let first = Look::now();
        std::thread::sleep(MEASURE);
        let (now, wall_ns) = together();
        let Some(rate) = now.rate_since(&first) else {
            return; // no counter here
        };
        let mut known = Known::new(first, now, wall_ns, rate);
        let slept = Look {
            at: now.at + MEASURE,
            ticks: now.ticks + 1_000 * (now.ticks - first.ticks),
        };
        known.renew(slept, known.tie.wall_ns_at(slept.ticks));
        assert_eq!(known.tie.rate, rate);
    }

    #[test]
    fn a_manual_clock_moves_only_by_hand() {
        let clock = Arc::new(ManualClock::new(5));
        let taken = turn::take();
        let (anchor, _) = Clock::Manual(Arc::clone(&clock)).anchor(taken.turn());
        assert_eq!(anchor.now_ns(), 5);
        clock.tick(3);
        assert_eq!(anchor.now_ns(), 8);
    }
}
