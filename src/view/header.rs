//! The lines above a waterfall: which trace it is, and what is to be known about its data.

use super::Options;
use super::column::{fit, width};
use super::ink::Ink;
use super::time::{duration, moment};
use super::trace::Trace;
use super::tree::Tree;

/// Service, trace id, start, counts, duration and oddities; on one line where there is room.
pub(super) fn draw(trace: &Trace, tree: &Tree, options: &Options) -> String {
    let mut pieces = vec![
        (Ink::Title, services(trace, tree, options)),
        (
            Ink::Title,
            if trace.id.is_empty() {
                "no trace id".into()
            } else {
                trace.hex_id()
            },
        ),
        (Ink::Plain, moment(trace.start_ns)),
        (Ink::Plain, counted(trace.members.len(), "span", "spans")),
        (
            if trace.errors > 0 {
                Ink::Failed
            } else {
                Ink::Plain
            },
            counted(trace.errors, "error", "errors"),
        ),
        (Ink::Plain, duration(trace.duration_ns(), options.ascii)),
    ];
    let odd = &tree.oddities;
    for (count, one, many) in [
        (odd.orphans, "orphan", "orphans"),
        (odd.cycles, "parent cycle", "parent cycles"),
        (odd.repeated_ids, "repeated id", "repeated ids"),
        (
            odd.earlier_than_parent,
            "starts before its parent",
            "start before their parent",
        ),
        (
            odd.end_before_start,
            "ends before it starts",
            "end before they start",
        ),
    ] {
        if count > 0 {
            pieces.push((Ink::Slow, counted(count, one, many)));
        }
    }
    flow(&pieces, options)
}

fn counted(count: usize, one: &str, many: &str) -> String {
    format!("{count} {}", if count == 1 { one } else { many })
}

/// The service of the first root, then all others.
fn services(trace: &Trace, tree: &Tree, options: &Options) -> String {
    let first = trace.members[tree.roots[0]].service;
    let mut others: Vec<_> = trace.members.iter().map(|member| member.service).collect();
    others.retain(|service| *service != first);
    others.sort_unstable();
    others.dedup();
    others.insert(0, first);
    fit(&others.join(", "), options.width * 2 / 5, options.ascii)
}

/// The pieces two blanks apart, on as few lines as they need.
fn flow(pieces: &[(Ink, String)], options: &Options) -> String {
    let (mut lines, mut used) = (String::new(), 0);
    for (ink, piece) in pieces {
        let needed = width(piece);
        if used + 2 + needed > options.width {
            lines.push('\n');
            used = 0;
        } else if used > 0 {
            lines.push_str("  ");
            used += 2;
        }
        lines.push_str(&options.paint(*ink, piece));
        used += needed;
    }
    lines.push('\n');
    lines
}
