//! Consistent probability sampling: a trace's 56 bits of randomness are compared with a threshold,
//! which travels with the trace and says how many traces each sampled one stands for (OpenTelemetry
//! specification, "TraceState: Probability Sampling").

use super::{About, Count, Decision, Judged, Question, Ratio, SettableRatio, trace_state};
use crate::id::TraceId;

/// One more than the most randomness there is: the threshold that nothing reaches.
const ALL: u64 = 1 << 56;

/// A share of the traces.
#[derive(Debug, PartialEq)]
pub struct Probability(SettableRatio);

impl Probability {
    /// At first.
    pub fn new(ratio: Ratio) -> Self {
        Self(SettableRatio::new(ratio))
    }

    /// The probability now.
    pub fn get(&self) -> Ratio {
        self.0.get()
    }

    /// The probability from now on.
    pub fn set(&self, ratio: Ratio) {
        self.0.set(ratio);
    }

    pub(super) fn judge(&self, question: &Question<'_>, about: About) -> Judged {
        let own = ALL - (self.get().rate() * ALL as f64).round_ties_even() as u64;
        let parents = question.trace_state.and_then(trace_state::threshold);
        let (threshold, is_known) = match about {
            About::All => (own, true),
            // Of children of sampled parents no more can be had than of those.
            About::ChildrenOfSampled => (own.max(parents.unwrap_or(0)), parents.is_some()),
        };
        if randomness(question.trace_id, question.trace_state) < threshold {
            return (Decision::Drop, Count::Unknown);
        }
        let count = if is_known {
            Count::Threshold(threshold)
        } else {
            Count::Unknown
        };
        (Decision::RecordAndSample, count)
    }
}

/// `rv` of the `tracestate`, else the last seven bytes of the trace id, which are presumed random, as
/// the specification has it, whether or not the flag says so ("Presumption of TraceID randomness").
fn randomness(trace_id: &TraceId, state: Option<&str>) -> u64 {
    state.and_then(trace_state::randomness).unwrap_or_else(|| {
        let low = trace_id.to_bytes()[8..]
            .try_into()
            .expect("a trace id has sixteen bytes");
        u64::from_be_bytes(low) & (ALL - 1)
    })
}

/// How many traces a sampled one with this `tracestate` stands for; None where that does not say.
pub fn adjusted_count(state: &str) -> Option<f64> {
    let threshold = trace_state::threshold(state)?;
    Some(ALL as f64 / (ALL - threshold) as f64)
}
