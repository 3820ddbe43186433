//! A share of the traces, judged by trace id.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::id::TraceId;

/// A sampling rate from 0 to 1.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Ratio {
    rate: f64,
    bound: Bound,
}

/// Below this are the last eight bytes of the ids that are kept. No rate but 1 comes near the largest
/// number, which stands for all of them.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Bound(u64);

impl Bound {
    #[inline(always)]
    fn keeps(self, trace_id: &TraceId) -> bool {
        let low = trace_id.to_bytes()[8..]
            .try_into()
            .expect("a trace id has sixteen bytes");
        u64::from_be_bytes(low) < self.0 || self.0 == u64::MAX
    }
}

impl Ratio {
    /// None for NaN and for what is outside 0 to 1.
    pub fn new(rate: f64) -> Option<Self> {
        (0.0..=1.0).contains(&rate).then(|| Self::of(rate))
    }

    fn of(rate: f64) -> Self {
        // OpenTelemetry's Python SDK rounds to even, and so do we: services that mix both agree.
        let bound = (rate * 2f64.powi(64)).round_ties_even() as u64;
        let bound = Bound(bound);
        Self { rate, bound }
    }

    /// The rate it was made from.
    pub fn rate(&self) -> f64 {
        self.rate
    }

    /// True for the trace ids whose last eight bytes, big-endian, are below the bound: the same
    /// answer for the same trace in every service (OpenTelemetry's `TraceIdRatioBased`).
    pub fn keeps(&self, trace_id: &TraceId) -> bool {
        self.bound.keeps(trace_id)
    }
}

/// A rate that can be changed while samplers use it: each decision is by the old one or the new.
#[derive(Debug)]
pub struct SettableRatio {
    rate: AtomicU64,
    bound: AtomicU64,
}

impl SettableRatio {
    /// At first.
    pub fn new(ratio: Ratio) -> Self {
        Self {
            rate: AtomicU64::new(ratio.rate.to_bits()),
            bound: AtomicU64::new(ratio.bound.0),
        }
    }

    /// The rate now.
    pub fn get(&self) -> Ratio {
        Ratio::of(f64::from_bits(self.rate.load(Ordering::Relaxed)))
    }

    /// [`Ratio::keeps`] of the rate now.
    #[inline(always)]
    pub(crate) fn keeps(&self, trace_id: &TraceId) -> bool {
        Bound(self.bound.load(Ordering::Relaxed)).keeps(trace_id)
    }

    /// The rate from now on.
    pub fn set(&self, ratio: Ratio) {
        self.rate.store(ratio.rate.to_bits(), Ordering::Relaxed);
        self.bound.store(ratio.bound.0, Ordering::Relaxed);
    }
}

impl PartialEq for SettableRatio {
    fn eq(&self, other: &Self) -> bool {
        self.get() == other.get()
    }
}

/// How a parent's yes is treated at a local rate. Both honour its no.
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
