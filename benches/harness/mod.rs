//! Times closures in turns and takes the least: on a shared machine it is the figure that repeats.

#![allow(
    clippy::print_stdout,
    reason = "a benchmark's results are what it prints"
)]

use std::time::{Duration, Instant};

/// Something that is done `per_round` times in each round, and what is due after it, untimed.
pub(crate) struct Case<'a> {
    name: &'static str,
    per_round: usize,
    work: Box<dyn FnMut() + 'a>,
    after: Box<dyn FnMut() + 'a>,
}

impl<'a> Case<'a> {
    /// A case; `work` does it `per_round` times.
    pub(crate) fn new(name: &'static str, per_round: usize, work: impl FnMut() + 'a) -> Self {
        Self {
            name,
            per_round,
            work: Box::new(work),
            after: Box::new(|| ()),
        }
    }

    /// With something to do after each round.
    #[allow(dead_code, reason = "not every benchmark needs it")]
    pub(crate) fn after(mut self, after: impl FnMut() + 'a) -> Self {
        self.after = Box::new(after);
        self
    }
}

/// Nanoseconds for one of each case: the least of interleaved rounds, printed line by line.
pub(crate) fn measure(cases: &mut [Case<'_>]) -> Vec<f64> {
    let rounds = if std::env::args().any(|word| word == "--quick") {
        200
    } else {
        1000
    };
    let mut least = vec![Duration::MAX; cases.len()];
    for _ in 0..rounds {
        for (case, least) in cases.iter_mut().zip(&mut least) {
            let begun = Instant::now();
            (case.work)();
            *least = begun.elapsed().min(*least);
            (case.after)();
        }
    }
    let each = |(case, least): (&Case<'_>, Duration)| {
        let ns = least.as_nanos() as f64 / case.per_round as f64;
        println!("{:28}{ns:10.1} ns", case.name);
        ns
    };
    cases.iter().zip(least).map(each).collect()
}
