//! Who is recorded: the head decision, taken when a span starts.
//!
//! | file | what is there |
//! |---|---|
//! | `ratio` | a share of the traces, and the two strategies for a parent's yes |
//! | `parent` | what follows from the parent's decision |
//! | `rule` | other samplers for other spans |
//! | `limit` | so many a second |
//! | `probability`, `trace_state` | consistent probability, and the thresholds that travel with it |

mod limit;
mod parent;
mod probability;
mod ratio;
mod rule;
mod trace_state;

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::context::SpanKind;
use crate::id::{SpanId, TraceId};
pub use limit::RateLimit;
pub use parent::ParentBased;
pub use probability::{Probability, adjusted_count};
pub use ratio::{Ratio, SettableRatio, Strategy};
pub(crate) use rule::is_like;
pub use rule::{Rule, RuleBased};

/// Decides whether a span is sampled.
#[derive(Clone, Debug, PartialEq)]
pub enum Sampler {
    /// All.
    AlwaysOn,
    /// None.
    AlwaysOff,
    /// A share of the traces, judged by trace id.
    TraceIdRatio(Arc<SettableRatio>),
    /// As the parent's decision says.
    ParentBased(Arc<ParentBased>),
    /// As the first rule says that the span matches.
    RuleBased(Arc<RuleBased>),
    /// So many a second.
    RateLimited(Arc<RateLimit>),
    /// A share of the traces, by a threshold that travels with the trace.
    ConsistentProbability(Arc<Probability>),
    /// What the sampler inside drops is recorded, for this process only.
    AlwaysRecord(Arc<Sampler>),
    /// What the application says.
    Custom(Custom),
}

/// What is asked of a sampler: all that is known of a span before it starts.
pub struct Question<'a> {
    /// The trace that it will be of.
    pub trace_id: &'a TraceId,
    /// True when the trace id is known to be random.
    pub random: bool,
    /// None for a new trace.
    pub parent: Option<AskedParent>,
    /// The `tracestate` of the parent.
    pub trace_state: Option<&'a str>,
    /// The name of the tracer that is asked for the span.
    pub tracer: &'a str,
    /// The name of the span; empty for a draft.
    pub name: &'a str,
    /// What the span is to the one who asked for its work.
    pub kind: SpanKind,
    /// The time on the clock of the trace: nanoseconds since 1970.
    pub now_ns: &'a dyn Fn() -> u64,
}

/// The parent of the span that a sampler is asked about.
#[derive(Clone, Copy, Debug)]
pub struct AskedParent {
    /// Which it is.
    pub span_id: SpanId,
    /// What it decided, None where it has not.
    pub sampled: Option<bool>,
    /// True when it is another process's.
    pub is_remote: bool,
}

/// What becomes of a span (OpenTelemetry SDK specification, "ShouldSample").
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Nothing is kept of it.
    Drop,
    /// It is recorded, for this process only.
    RecordOnly,
    /// It is recorded and sent.
    RecordAndSample,
}

impl Decision {
    fn of(sampled: bool) -> Self {
        if sampled {
            Self::RecordAndSample
        } else {
            Self::Drop
        }
    }
}

/// A sampler's answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// What becomes of the span.
    pub decision: Decision,
    /// Its `tracestate`, perhaps an empty one; None has the parent's.
    pub trace_state: Option<Arc<str>>,
}

/// A sampler of the application's.
#[derive(Clone)]
pub struct Custom(Arc<dyn Fn(&Question<'_>) -> bool + Send + Sync>);

/// True once there is a sampler of the application's in the process: whoever asks a sampler then must
/// hold nothing that the application's code may want.
#[inline]
pub fn may_call_out() -> bool {
    CALLS_OUT.load(Ordering::Relaxed)
}

static CALLS_OUT: AtomicBool = AtomicBool::new(false);

impl Custom {
    /// A sampler that does what `decides` says.
    pub fn new(decides: Arc<dyn Fn(&Question<'_>) -> bool + Send + Sync>) -> Self {
        CALLS_OUT.store(true, Ordering::Relaxed);
        Self(decides)
    }
}

/// Only ever equal to itself.
impl PartialEq for Custom {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl fmt::Debug for Custom {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Custom").finish_non_exhaustive()
    }
}

/// A decision, and how many traces one that was sampled by it stands for.
type Judged = (Decision, Count);

/// Which threshold the `tracestate` shall have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Count {
    /// The parent's: the decision followed from its own.
    AsParent,
    /// None: nobody can say, or nothing was sampled.
    Unknown,
    /// This.
    Threshold(u64),
}

/// The `tracestate` of a span whose decision was taken by hand: nobody can say how many it stands for,
/// and who reads a threshold below one that was not sampled would sample. None where nothing changes.
pub fn without_threshold(state: &str) -> Option<Arc<str>> {
    trace_state::with_threshold(state, None)
}

/// The `tracestate` of a span that was not chosen by chance: it stands for itself only.
pub(crate) fn with_count_of_one(state: &str) -> Arc<str> {
    trace_state::with_threshold(state, Some(0)).unwrap_or_else(|| state.into())
}

/// Which spans a sampler is asked about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum About {
    All,
    /// None but children of sampled parents, so that it cannot have more than those.
    ChildrenOfSampled,
}

/// What is known of a sampler's decisions before it is asked.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Known {
    /// That on every span without a parent, if it is always the same.
    pub(crate) roots: Option<bool>,
    /// Children of this process's spans do what those did.
    pub(crate) children_follow: bool,
}

impl Sampler {
    /// What `sampling_rate` stands for: parent-based over the ratio.
    pub fn parent_based_ratio(rate: Ratio) -> Self {
        Self::parent_based(Self::TraceIdRatio(Arc::new(SettableRatio::new(rate))))
    }

    /// The parent's decision; without one, that of `root`.
    pub fn parent_based(root: Self) -> Self {
        Self::ParentBased(Arc::new(ParentBased::new(root)))
    }

    /// True when children of this process's spans do what those did.
    #[inline]
    pub fn follows_local_parents(&self) -> bool {
        match self {
            Self::ParentBased(sampler) => sampler.follows_local_parents(),
            _ => false,
        }
    }

    /// What is known of its decisions before it is asked for one.
    pub(crate) fn known(&self) -> Known {
        let of_roots = match self {
            Self::ParentBased(sampler) => &sampler.root,
            sampler => sampler,
        };
        Known {
            roots: match of_roots {
                Self::AlwaysOn => Some(true),
                Self::AlwaysOff => Some(false),
                _ => None,
            },
            children_follow: self.follows_local_parents(),
        }
    }

    /// The decision on a span without a parent, where the trace id is all that it takes, and no
    /// `tracestate` comes of it; None where more is to be asked.
    #[inline]
    pub(crate) fn decide_on_root(&self, trace_id: &TraceId) -> Option<bool> {
        match self {
            Self::ParentBased(sampler) => sampler.root.decide_on_its_own(trace_id),
            sampler => sampler.decide_on_its_own(trace_id),
        }
    }

    #[inline]
    fn decide_on_its_own(&self, trace_id: &TraceId) -> Option<bool> {
        match self {
            Self::AlwaysOn => Some(true),
            Self::AlwaysOff => Some(false),
            Self::TraceIdRatio(ratio) => Some(ratio.keeps(trace_id)),
            _ => None,
        }
    }

    /// The decision on a span.
    pub fn decide(&self, question: &Question<'_>) -> Answer {
        let (decision, count) = self.judge(question, About::All);
        let wanted = match count {
            Count::AsParent => None,
            Count::Unknown => question.trace_state.map(|_| None),
            Count::Threshold(threshold) => Some(Some(threshold)),
        };
        Answer {
            decision,
            trace_state: wanted.and_then(|threshold| {
                trace_state::with_threshold(question.trace_state.unwrap_or_default(), threshold)
            }),
        }
    }

    fn judge(&self, question: &Question<'_>, about: About) -> Judged {
        match self {
            // Where all sampled parents have their children sampled, those stand for as many.
            Self::AlwaysOn if about == About::ChildrenOfSampled => {
                (Decision::RecordAndSample, Count::AsParent)
            }
            Self::AlwaysOn => (Decision::RecordAndSample, Count::Unknown),
            Self::AlwaysOff => (Decision::Drop, Count::Unknown),
            Self::TraceIdRatio(ratio) => {
                let sampled = ratio.keeps(question.trace_id);
                (Decision::of(sampled), Count::Unknown)
            }
            Self::ParentBased(sampler) => sampler.judge(question, about),
            Self::RuleBased(sampler) => sampler.sampler_for(question).judge(question, about),
            Self::RateLimited(limit) => {
                let sampled = limit.takes((question.now_ns)());
                (Decision::of(sampled), Count::Unknown)
            }
            Self::ConsistentProbability(probability) => probability.judge(question, about),
            Self::AlwaysRecord(sampler) => match sampler.judge(question, about) {
                (Decision::Drop, count) => (Decision::RecordOnly, count),
                judged => judged,
            },
            Self::Custom(Custom(decides)) => (Decision::of(decides(question)), Count::Unknown),
        }
    }
}

#[cfg(test)]
mod tests;
