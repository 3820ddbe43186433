//! Who is whose child: the shape of a trace, whatever its parent ids say.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use super::trace::Trace;

/// Both bits of [`flags`](crate::otlp::message::Span::flags) that say the parent is in another process.
const REMOTE_PARENT: u32 = 0x300;

/// The members of a trace, by their index, as a forest in which each of them stands exactly once.
pub(super) struct Tree {
    pub roots: Vec<usize>,
    /// In the order of the members, so by start.
    pub children: Vec<Vec<usize>>,
    pub parents: Vec<Option<usize>>,
    /// Roots that should have a parent here: it is not in the data, or the parents go in a circle.
    pub is_orphan: Vec<bool>,
    pub oddities: Oddities,
}

/// What is wrong with the data of a trace, counted in spans.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Oddities {
    pub orphans: usize,
    pub cycles: usize,
    pub repeated_ids: usize,
    /// A clock that was set, or two hosts' clocks that differ.
    pub earlier_than_parent: usize,
    pub end_before_start: usize,
}

impl Tree {
    pub(super) fn of(trace: &Trace) -> Tree {
        let members = &trace.members;
        let mut oddities = Oddities::default();
        let mut by_id = HashMap::new();
        for (index, member) in members.iter().enumerate() {
            match by_id.entry(&*member.span.span_id) {
                // Its children go to the first of that id: nothing tells whose they are.
                Entry::Occupied(_) => oddities.repeated_ids += 1,
                Entry::Vacant(free) => _ = free.insert(index),
            }
        }
        let parent_ids = members.iter().map(|member| &*member.span.parent_span_id);
        let mut parents: Vec<_> = parent_ids.map(|id| by_id.get(id).copied()).collect();
        let mut is_orphan = vec![false; members.len()];
        for (index, member) in members.iter().enumerate() {
            let id = &member.span.parent_span_id;
            let is_root = id.iter().all(|byte| *byte == 0);
            if is_root {
                parents[index] = None;
            }
            let is_remote = member.span.flags & REMOTE_PARENT == REMOTE_PARENT;
            is_orphan[index] = parents[index].is_none() && !is_root && !is_remote;
        }
        oddities.orphans = is_orphan.iter().filter(|is| **is).count();
        for index in cut_cycles(&mut parents) {
            is_orphan[index] = true;
            oddities.cycles += 1;
        }
        for (member, parent) in members.iter().zip(&parents) {
            let parent_start = parent.map_or(0, |parent| members[parent].start_ns());
            oddities.earlier_than_parent += usize::from(member.start_ns() < parent_start);
            let end_ns = member.span.end_time_unix_nano;
            oddities.end_before_start += usize::from(end_ns < member.start_ns());
        }
        let (roots, children) = children_of(&parents);
        Tree {
            roots,
            children,
            parents,
            is_orphan,
            oddities,
        }
    }

    /// Calls `visit` with each member in drawing order. The list has an entry for each level above
    /// it and for its own: whether a sibling follows there. Roots have none.
    pub(super) fn walk(&self, mut visit: impl FnMut(usize, &[bool])) {
        let mut ahead: Vec<_> = self
            .roots
            .iter()
            .rev()
            .map(|root| (*root, 0, false))
            .collect();
        let mut followed = Vec::new();
        while let Some((index, depth, is_followed)) = ahead.pop() {
            followed.truncate(depth);
            if depth > 0 {
                followed[depth - 1] = is_followed;
            }
            visit(index, &followed);
            followed.push(false);
            for (position, child) in self.children[index].iter().rev().enumerate() {
                ahead.push((*child, depth + 1, position > 0));
            }
        }
    }
}

/// Takes the parent from one member of each circle, and tells which.
fn cut_cycles(parents: &mut [Option<usize>]) -> Vec<usize> {
    let mut cut = Vec::new();
    let mut seen_from = vec![None; parents.len()];
    for start in 0..parents.len() {
        let mut next = Some(start);
        while let Some(index) = next {
            match seen_from[index] {
                None => seen_from[index] = Some(start),
                Some(earlier) => {
                    if earlier == start {
                        parents[index] = None;
                        cut.push(index);
                    }
                    break;
                }
            }
            next = parents[index];
        }
    }
    cut
}

fn children_of(parents: &[Option<usize>]) -> (Vec<usize>, Vec<Vec<usize>>) {
    let (mut roots, mut children) = (Vec::new(), vec![Vec::new(); parents.len()]);
    for (index, parent) in parents.iter().enumerate() {
        match parent {
            Some(parent) => children[*parent].push(index),
            None => roots.push(index),
        }
    }
    (roots, children)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::otlp::message::Span;
    use crate::view::sample::{export, span};
    use crate::view::trace::gather;

    fn outline(spans: Vec<Span>) -> (String, Oddities) {
        let data = [export("shop", spans)];
        let traces = gather(&data);
        let tree = Tree::of(&traces[0]);
        let mut lines = Vec::new();
        tree.walk(|index, followed| {
            let mark = if tree.is_orphan[index] { "?" } else { "" };
            let name = &traces[0].members[index].span.name;
            lines.push(format!("{}{mark}{name}", ".".repeat(followed.len())));
        });
        (lines.join(" "), tree.oddities)
    }

    #[test]
    fn children_come_by_start_whatever_the_order_in_the_data() {
        let spans = vec![
            span(4, 2, "d", 4, 5),
            span(3, 1, "c", 6, 7),
            span(2, 1, "b", 3, 5),
            span(1, 0, "a", 0, 9),
        ];
        assert_eq!(outline(spans), ("a .b ..d .c".into(), Oddities::default()));
    }

    #[test]
    fn a_span_whose_parent_is_missing_is_an_orphan_unless_the_parent_is_remote() {
        let mut remote = span(2, 8, "b", 1, 2);
        remote.flags = 0x301;
        let spans = vec![span(1, 9, "a", 0, 1), remote, span(3, 2, "c", 1, 2)];
        let oddities = Oddities {
            orphans: 1,
            ..Oddities::default()
        };
        assert_eq!(outline(spans), ("?a b .c".into(), oddities));
    }

    #[test]
    fn a_circle_of_parents_is_cut_once() {
        let spans = vec![
            span(1, 3, "a", 0, 9),
            span(2, 1, "b", 1, 9),
            span(3, 2, "c", 2, 9),
            span(4, 4, "own parent", 3, 9),
            span(5, 2, "beside", 4, 9),
        ];
        let oddities = Oddities {
            cycles: 2,
            ..Oddities::default()
        };
        assert_eq!(
            outline(spans),
            ("?a .b ..c ..beside ?own parent".into(), oddities)
        );
    }

    #[test]
    fn spans_that_share_an_id_are_both_there() {
        let spans = vec![
            span(1, 0, "a", 0, 9),
            span(2, 1, "b", 1, 2),
            span(2, 1, "b'", 3, 4),
            span(3, 2, "c", 3, 4),
        ];
        let oddities = Oddities {
            repeated_ids: 1,
            ..Oddities::default()
        };
        assert_eq!(outline(spans), ("a .b ..c .b'".into(), oddities));
    }

    #[test]
    fn impossible_times_are_counted() {
        let spans = vec![
            span(1, 0, "a", 5, 9),
            span(2, 1, "b", 4, 6),
            span(3, 1, "c", 7, 6),
        ];
        let oddities = Oddities {
            earlier_than_parent: 1,
            end_before_start: 1,
            ..Oddities::default()
        };
        assert_eq!(outline(spans), ("a .b .c".into(), oddities));
    }
}
