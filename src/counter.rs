//! What a pipeline counts, so that nothing is lost in silence.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::turn::Turn;

/// A count that only grows, of what happens at the application's side on every span: a plain
/// addition, since only the thread whose turn it is adds.
#[derive(Debug, Default)]
pub struct Tally(AtomicU64);

impl Tally {
    /// Adds `n` and says what the count is then.
    #[inline]
    pub fn add(&self, _turn: Turn<'_>, n: usize) -> u64 {
        let count = self.0.load(Ordering::Relaxed).wrapping_add(n as u64);
        self.0.store(count, Ordering::Relaxed);
        count
    }

    /// The count so far.
    #[inline]
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// A count that only grows, of what any thread may count.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// Adds `n`.
    pub fn add(&self, n: usize) {
        self.0.fetch_add(n as u64, Ordering::Relaxed);
    }

    /// The count so far.
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// Begins new lines of the cache: what one processor writes all the time is not to be near what others
/// do.
#[derive(Debug, Default)]
#[repr(align(128))]
struct Apart;

/// The counts of one pipeline, all in spans unless they say otherwise.
#[derive(Debug, Default)]
#[repr(C)]
pub struct Counters {
    /// Started, whatever was decided of them.
    pub started: Tally,
    /// Sampled by the decision at their start.
    pub sampled: Tally,
    /// Got a record.
    pub recorded: Tally,
    /// Recorded and finished.
    pub finished: Tally,
    apart: Apart,
    /// Taken by every exporter.
    pub sent: Counter,
    /// Died, or were open at shutdown, unfinished.
    pub abandoned: Counter,
    /// Released before they finished.
    pub discarded: Counter,
    /// Writes to spans that had ended.
    pub ignored_writes: Counter,
    /// Attribute values of a type that cannot be kept.
    pub dropped_values: Counter,
    /// Traces that a late decision kept.
    pub kept_traces: Counter,
    /// Traces that a late decision would have kept, had there been budget.
    pub over_budget: Counter,
    /// `with` blocks left in another context than they were entered in.
    pub left_blocks: Counter,
    /// Finished and not sent, by reason.
    pub dropped: Dropped,
}

/// Why finished spans were not sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// The queue had no room for their trace.
    QueueFull,
    /// The late decision on their trace was no.
    Unsampled,
    /// They had to be handed over before the late decision.
    LateUndecided,
    /// An exporter failed.
    ExportFailed,
    /// A collector did not take them.
    Rejected,
    /// Their pipeline had ended.
    Shutdown,
    /// Too many spans were open, so they got no record.
    LiveLimit,
}

/// Spans by [`Reason`].
#[derive(Debug, Default)]
pub struct Dropped([Counter; Reason::ALL.len()]);

impl Reason {
    /// All reasons.
    pub const ALL: [Self; 7] = [
        Self::QueueFull,
        Self::Unsampled,
        Self::LateUndecided,
        Self::ExportFailed,
        Self::Rejected,
        Self::Shutdown,
        Self::LiveLimit,
    ];

    /// The reason as `stats()` names it.
    pub fn name(self) -> &'static str {
        match self {
            Self::QueueFull => "queue_full",
            Self::Unsampled => "unsampled",
            Self::LateUndecided => "late_undecided",
            Self::ExportFailed => "export_failed",
            Self::Rejected => "rejected",
            Self::Shutdown => "shutdown",
            Self::LiveLimit => "live_limit",
        }
    }
}

impl Dropped {
    /// Counts `spans` as dropped for `reason`.
    pub fn add(&self, reason: Reason, spans: usize) {
        self.0[reason as usize].add(spans);
    }

    /// How many were dropped for `reason`.
    pub fn get(&self, reason: Reason) -> u64 {
        self.0[reason as usize].get()
    }
}
