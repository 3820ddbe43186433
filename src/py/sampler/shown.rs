//! `repr` of samplers: the call that makes them.

use crate::sampler::{ParentBased, Rule, Sampler};

/// The call that makes it.
pub(super) fn shown(sampler: &Sampler) -> String {
    match sampler {
        Sampler::AlwaysOn => "AlwaysOn()".to_owned(),
        Sampler::AlwaysOff => "AlwaysOff()".to_owned(),
        Sampler::TraceIdRatio(ratio) => format!("TraceIdRatio({:?})", ratio.get().rate()),
        Sampler::ConsistentProbability(probability) => {
            format!("ConsistentProbability({:?})", probability.get().rate())
        }
        Sampler::RateLimited(limit) => format!("RateLimited({:?})", limit.rate()),
        Sampler::AlwaysRecord(sampler) => format!("AlwaysRecord({})", shown(sampler)),
        Sampler::ParentBased(sampler) => shown_parent_based(sampler),
        Sampler::RuleBased(sampler) => {
            let rules: Vec<_> = sampler.rules.iter().map(shown_rule).collect();
            let otherwise = shown(&sampler.otherwise);
            format!("RuleBased([{}], otherwise={otherwise})", rules.join(", "))
        }
        Sampler::Custom(_) => "<a callable>".to_owned(),
    }
}

fn shown_parent_based(sampler: &ParentBased) -> String {
    let follows = ParentBased::new(sampler.root.clone());
    let mut arguments = vec![shown(&sampler.root)];
    for ((name, own), (_, usual)) in sampler.branches().into_iter().zip(follows.branches()) {
        if own != usual {
            arguments.push(format!("{name}={}", shown(own)));
        }
    }
    format!("ParentBased({})", arguments.join(", "))
}

/// The call that makes it.
pub(super) fn shown_rule(rule: &Rule) -> String {
    let mut arguments = vec![shown(&rule.sampler)];
    let patterns = [("name", &rule.name), ("tracer", &rule.tracer)];
    for (name, pattern) in patterns {
        arguments.extend(
            pattern
                .as_ref()
                .map(|pattern| format!("{name}={pattern:?}")),
        );
    }
    arguments.extend(rule.kind.map(|kind| format!("kind={}", kind as i32)));
    format!("Rule({})", arguments.join(", "))
}
