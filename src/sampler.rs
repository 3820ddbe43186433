//! Who is recorded: the head decision, taken when a span starts.

use crate::id::TraceId;

/// Decides whether a span is sampled.
#[derive(Clone, Debug, PartialEq)]
pub enum Sampler {
    /// All.
    AlwaysOn,
    /// None.
    AlwaysOff,
    /// A share of the traces, judged by trace id.
    TraceIdRatio(Ratio),
    /// The parent's decision; without one, that of the sampler inside.
    ParentBased(Box<Sampler>),
}

impl Sampler {
    /// What `sampling_rate` stands for: parent-based over the ratio.
    pub fn parent_based_ratio(rate: Ratio) -> Self {
        Self::ParentBased(Box::new(Self::TraceIdRatio(rate)))
    }

    /// The decision on a span of the trace `trace_id` whose parent decided `parent`.
    pub fn decide(&self, parent: Option<bool>, trace_id: &TraceId) -> bool {
        match self {
            Self::AlwaysOn => true,
            Self::AlwaysOff => false,
            Self::TraceIdRatio(ratio) => ratio.keeps(trace_id),
            Self::ParentBased(root) => parent.unwrap_or_else(|| root.decide(None, trace_id)),
        }
    }
}

/// A sampling rate from 0 to 1.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Ratio {
    rate: f64,
    bound: u128,
}

impl Ratio {
    /// None for NaN and for what is outside 0 to 1.
    pub fn new(rate: f64) -> Option<Self> {
        // OpenTelemetry's Python SDK rounds to even, and so do we: services that mix both agree.
        let bound = (rate * 2f64.powi(64)).round_ties_even() as u128;
        (0.0..=1.0).contains(&rate).then_some(Self { rate, bound })
    }

    /// The rate it was made from.
    pub fn rate(&self) -> f64 {
        self.rate
    }

    /// True for the trace ids whose last eight bytes, big-endian, are below the bound: the same
    /// answer for the same trace in every service (OpenTelemetry's `TraceIdRatioBased`).
    pub fn keeps(&self, trace_id: &TraceId) -> bool {
        let low = trace_id.to_bytes()[8..]
            .try_into()
            .expect("a trace id has sixteen bytes");
        u128::from(u64::from_be_bytes(low)) < self.bound
    }
}

/// How `get_sampling_decision` treats a parent's yes. Both honour its no.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Strategy {
    /// A parent's yes is honoured; the rate judges only where the parent said nothing.
    ParentProbabilityFallback,
    /// A parent's yes is judged again at the local rate.
    ParentDropProbabilityFallback,
}

impl Strategy {
    /// The decision on the trace at `rate`; without a rate, what the parent said.
    pub fn decide(self, parent: Option<bool>, rate: Option<Ratio>, trace_id: &TraceId) -> bool {
        match (self, parent) {
            (_, Some(false)) => false,
            (Self::ParentProbabilityFallback, Some(true)) => true,
            _ => rate.is_some_and(|rate| rate.keeps(trace_id)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::Ids;

    #[test]
    fn a_rate_outside_nought_to_one_is_none() {
        for rate in [-0.1, 1.1, f64::NAN, f64::INFINITY] {
            assert_eq!(Ratio::new(rate), None);
        }
    }

    #[test]
    fn a_lower_rate_keeps_a_subset_of_what_a_higher_one_keeps() {
        let ids = Ids::random();
        let rates: Vec<_> = [0.0, 0.1, 0.5, 0.9, 1.0]
            .map(|r| Ratio::new(r).unwrap())
            .into();
        for _ in 0..1_000 {
            let id = ids.trace_id(crate::turn::take().turn(), 0);
            assert!(rates.iter().map(|rate| rate.keeps(&id)).is_sorted());
            assert!(!rates[0].keeps(&id) && rates[4].keeps(&id));
        }
    }

    #[test]
    fn the_parent_is_followed_and_the_root_sampler_judges_only_without_one() {
        let id = TraceId::new([1; 16]).unwrap();
        let sampler = Sampler::ParentBased(Box::new(Sampler::AlwaysOff));
        assert!(sampler.decide(Some(true), &id));
        assert!(!sampler.decide(Some(false), &id));
        assert!(!sampler.decide(None, &id));
    }
}
