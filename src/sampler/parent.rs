//! What follows from the parent's decision (OpenTelemetry SDK specification, "ParentBased").

use super::{Given, Judged, Question, Sampler, Strategy, trace_state};

/// Which sampler is asked about which children.
#[derive(Debug, PartialEq)]
pub struct ParentBased {
    /// About spans without a parent, or with one that has decided nothing.
    pub root: Sampler,
    /// About children of another process's sampled spans.
    pub remote_parent_sampled: Sampler,
    /// About children of another process's spans that were not sampled.
    pub remote_parent_not_sampled: Sampler,
    /// About children of this process's sampled spans.
    pub local_parent_sampled: Sampler,
    /// About children of this process's spans that were not sampled.
    pub local_parent_not_sampled: Sampler,
}

impl ParentBased {
    /// All children follow their parents.
    pub fn new(root: Sampler) -> Self {
        Self {
            root,
            remote_parent_sampled: Sampler::AlwaysOn,
            remote_parent_not_sampled: Sampler::AlwaysOff,
            local_parent_sampled: Sampler::AlwaysOn,
            local_parent_not_sampled: Sampler::AlwaysOff,
        }
    }

    /// Children follow as the strategy has it. Within the process they follow their local root.
    pub fn by_strategy(strategy: Strategy, root: Sampler) -> Self {
        let follows = Self::new(root.clone());
        match strategy {
            Strategy::ParentProbabilityFallback => follows,
            Strategy::ParentDropProbabilityFallback => Self {
                remote_parent_sampled: root,
                ..follows
            },
        }
    }

    /// True when all children follow their parents.
    pub fn follows(&self) -> bool {
        self.remote_parent_sampled == Sampler::AlwaysOn
            && self.local_parent_sampled == Sampler::AlwaysOn
            && self.remote_parent_not_sampled == Sampler::AlwaysOff
            && self.local_parent_not_sampled == Sampler::AlwaysOff
    }

    pub(super) fn judge(&self, question: &Question<'_>, given: Option<Given>) -> Judged {
        let decided = question
            .parent
            .and_then(|parent| Some((parent.sampled?, parent.is_remote)));
        let (sampler, is_sampled) = match decided {
            None => return self.root.judge(question, given),
            Some((true, true)) => (&self.remote_parent_sampled, true),
            Some((true, false)) => (&self.local_parent_sampled, true),
            Some((false, true)) => (&self.remote_parent_not_sampled, false),
            Some((false, false)) => (&self.local_parent_not_sampled, false),
        };
        let given = is_sampled.then(|| Given {
            threshold: question.trace_state.and_then(trace_state::threshold),
        });
        sampler.judge(question, given)
    }
}
