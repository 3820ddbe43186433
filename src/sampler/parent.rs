//! What follows from the parent's decision (OpenTelemetry SDK specification, "ParentBased").

use super::{About, Judged, Question, Sampler, Strategy};

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

    #[inline]
    pub(super) fn follows_local_parents(&self) -> bool {
        matches!(self.local_parent_sampled, Sampler::AlwaysOn)
            && matches!(self.local_parent_not_sampled, Sampler::AlwaysOff)
    }

    /// The samplers for children, by name.
    pub fn branches(&self) -> [(&'static str, &Sampler); 4] {
        [
            ("remote_parent_sampled", &self.remote_parent_sampled),
            ("remote_parent_not_sampled", &self.remote_parent_not_sampled),
            ("local_parent_sampled", &self.local_parent_sampled),
            ("local_parent_not_sampled", &self.local_parent_not_sampled),
        ]
    }

    pub(super) fn judge(&self, question: &Question<'_>, about: About) -> Judged {
        let decided = question
            .parent
            .and_then(|parent| Some((parent.sampled?, parent.is_remote)));
        let (sampler, about) = match decided {
            None => (&self.root, about),
            Some((true, true)) => (&self.remote_parent_sampled, About::ChildrenOfSampled),
            Some((true, false)) => (&self.local_parent_sampled, About::ChildrenOfSampled),
            Some((false, true)) => (&self.remote_parent_not_sampled, About::All),
            Some((false, false)) => (&self.local_parent_not_sampled, About::All),
        };
        sampler.judge(question, about)
    }
}
