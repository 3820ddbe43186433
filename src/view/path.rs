//! The critical path: the spans that a trace waited for, seen from its end.

use super::trace::{Member, Trace};
use super::tree::Tree;

/// What is on the path, and where most of it was spent.
pub(super) struct CriticalPath {
    pub is_on: Vec<bool>,
    /// The span whose own share of the path, its children's left out, is the largest. None where
    /// that tells nothing: a single span, or a trace that took no time.
    pub slow: Option<usize>,
}

impl CriticalPath {
    /// Going back from the end of a span, it waited for the child that ended last; before that child
    /// started, for the one that had ended last by then; and so on into each of them. (Jaeger's
    /// rule.) A child that outlives its parent counts up to the parent's end.
    pub(super) fn of(trace: &Trace, tree: &Tree) -> CriticalPath {
        let members = &trace.members;
        let mut own_ns = vec![None; members.len()];
        let whole = Wait {
            from: trace.start_ns,
            until: trace.end_ns,
        };
        let (mut ahead, _) = whole.back_through(&tree.roots, members);
        while let Some((index, until)) = ahead.pop() {
            let wait = Wait {
                from: members[index].start_ns(),
                until,
            };
            let (children, own) = wait.back_through(&tree.children[index], members);
            own_ns[index] = Some(own);
            ahead.extend(children);
        }
        let is_on = own_ns.iter().map(Option::is_some).collect();
        let longest = own_ns
            .iter()
            .flatten()
            .max()
            .copied()
            .filter(|own| *own > 0);
        let slow = longest.and_then(|own| own_ns.iter().position(|share| *share == Some(own)));
        CriticalPath {
            is_on,
            slow: slow.filter(|_| members.len() > 1),
        }
    }
}

struct Wait {
    from: u64,
    until: u64,
}

impl Wait {
    /// The children waited for, each with the end of that wait, and the time in between.
    fn back_through(&self, children: &[usize], members: &[Member]) -> (Vec<(usize, u64)>, u64) {
        let mut by_end: Vec<_> = children
            .iter()
            .map(|child| {
                (
                    members[*child].end_ns().min(self.until),
                    members[*child].start_ns(),
                    *child,
                )
            })
            .filter(|(end, start, _)| *start <= *end && *end >= self.from)
            .collect();
        // Of those that end together, the longest first: it was waited for from its start.
        by_end.sort_by_key(|(end, start, _)| (std::cmp::Reverse(*end), *start));
        let (mut now, mut own, mut waited_for) = (self.until, 0, Vec::new());
        for (end, start, child) in by_end {
            if end <= now {
                own += now - end;
                now = start.max(self.from);
                waited_for.push((child, end));
            }
        }
        (waited_for, own + (now - self.from))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::otlp::message::Span;
    use crate::view::sample::{export, span};
    use crate::view::trace::gather;

    fn path(spans: Vec<Span>) -> (Vec<String>, Option<String>) {
        let data = [export("shop", spans)];
        let trace = &gather(&data)[0];
        let path = CriticalPath::of(trace, &Tree::of(trace));
        let name = |index: usize| trace.members[index].span.name.clone();
        let on = (0..trace.members.len())
            .filter(|index| path.is_on[*index])
            .map(name);
        (on.collect(), path.slow.map(name))
    }

    #[test]
    fn of_parallel_children_the_one_that_ends_last_is_on_the_path() {
        let spans = vec![
            span(1, 0, "root", 0, 100),
            span(2, 1, "auth", 5, 20),
            span(3, 1, "price", 30, 90),
            span(4, 1, "stock", 30, 70),
            span(5, 3, "query", 35, 85),
            span(6, 4, "redis", 30, 70),
        ];
        let on = ["root", "auth", "price", "query"]
            .map(String::from)
            .to_vec();
        assert_eq!(path(spans), (on, Some("query".into())));
    }

    #[test]
    fn work_left_behind_is_on_the_path_only_while_its_parent_runs() {
        let spans = vec![
            span(1, 0, "root", 0, 10),
            span(2, 1, "overlaps", 8, 100),
            span(3, 1, "after", 20, 90),
        ];
        let on = ["root", "overlaps"].map(String::from).to_vec();
        assert_eq!(path(spans), (on, Some("root".into())));
    }

    #[test]
    fn every_root_that_was_waited_for_is_on_the_path() {
        let spans = vec![
            span(1, 0, "a", 0, 10),
            span(2, 7, "b", 12, 40),
            span(3, 7, "c", 15, 30),
        ];
        let on = ["a", "b"].map(String::from).to_vec();
        assert_eq!(path(spans), (on, Some("b".into())));
    }

    #[test]
    fn a_span_alone_or_without_time_is_never_slow() {
        assert_eq!(path(vec![span(1, 0, "a", 0, 10)]), (vec!["a".into()], None));
        let still = vec![span(1, 0, "a", 5, 5), span(2, 1, "b", 5, 5)];
        assert_eq!(path(still), (vec!["a".into(), "b".into()], None));
    }
}
