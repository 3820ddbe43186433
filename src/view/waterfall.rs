//! One trace: a row for each span, with its place in the tree, its bar and its duration.

use super::Options;
use super::bar::Scale;
use super::column::{fit, pad, width};
use super::detail;
use super::header;
use super::ink::{Ink, Signs, signs};
use super::path::CriticalPath;
use super::time::duration;
use super::trace::{Member, Trace};
use super::tree::Tree;

/// Columns that a name has left at least; a span so deep that it had fewer shows its depth instead
/// of the guides above it.
const NAME_COLUMNS: usize = 10;

/// The trace with its header; every line ends in a newline.
pub(super) fn draw(trace: &Trace, options: &Options) -> String {
    let tree = Tree::of(trace);
    let path = CriticalPath::of(trace, &tree);
    Waterfall {
        trace,
        tree,
        path,
        options,
        signs: signs(options.ascii),
    }
    .draw()
}

struct Waterfall<'a> {
    trace: &'a Trace<'a>,
    tree: Tree,
    path: CriticalPath,
    options: &'a Options,
    signs: &'static Signs,
}

/// The left part of a row: it must be known of all before the first can be drawn.
struct Label {
    index: usize,
    guides: String,
    name: String,
    /// What stands before the details of this span.
    margin: String,
}

impl Waterfall<'_> {
    fn draw(&self) -> String {
        let labels = self.labels();
        let label_width = |label: &Label| width(&label.guides) + width(&label.name);
        let label_columns = labels.iter().map(label_width).max().unwrap_or(0);
        let durations = self
            .trace
            .members
            .iter()
            .map(|member| self.duration(member));
        let total = aligned(self.trace.duration_ns(), self.options.ascii);
        let duration_columns = durations
            .map(|text| width(&text))
            .max()
            .unwrap_or(0)
            .max(width(&total));
        let scale = Scale {
            start_ns: self.trace.start_ns,
            duration_ns: self.trace.duration_ns(),
            // A blank on each side of the bars, and two columns for the sign of the slow one.
            columns: self.options.width - label_columns - duration_columns - 4,
        };
        let mut drawing = header::draw(self.trace, &self.tree, self.options);
        let axis = scale.axis(self.options.ascii);
        let axis = format!(
            "{} {axis} {total:>duration_columns$}",
            " ".repeat(label_columns)
        );
        drawing.push_str(self.options.paint(Ink::Faint, &axis).trim_end());
        drawing.push('\n');
        for label in labels {
            let row = self.row(&label, label_columns, &scale, duration_columns);
            drawing.push_str(row.trim_end());
            drawing.push('\n');
            self.draw_details(&label, &mut drawing);
        }
        drawing
    }

    fn labels(&self) -> Vec<Label> {
        let columns = self.options.width * 2 / 5;
        let mut labels = Vec::with_capacity(self.trace.members.len());
        self.tree.walk(|index, followed| {
            let (guides, margin) = self.guides(index, followed, columns - NAME_COLUMNS);
            let room = columns.saturating_sub(width(&guides));
            labels.push(Label {
                index,
                name: self.name(index, room),
                guides,
                margin,
            });
        });
        labels
    }

    /// The guides to a span and those that go on below it.
    fn guides(&self, index: usize, followed: &[bool], columns: usize) -> (String, String) {
        let Some((is_followed, above)) = followed.split_last() else {
            return (
                String::new(),
                self.guide(!self.tree.children[index].is_empty()).into(),
            );
        };
        let branch = if *is_followed {
            self.signs.branch
        } else {
            self.signs.last_branch
        };
        if 3 * followed.len() > columns {
            let guides = format!("{}{} {branch}", self.signs.more, followed.len());
            let margin = " ".repeat(width(&guides));
            return (guides, margin);
        }
        let above: String = above
            .iter()
            .map(|is_followed| self.guide(*is_followed))
            .collect();
        let own = self.guide(*is_followed);
        let below = self.guide(!self.tree.children[index].is_empty());
        (format!("{above}{branch}"), format!("{above}{own}{below}"))
    }

    fn guide(&self, goes_on: bool) -> &'static str {
        if goes_on { self.signs.guide } else { "   " }
    }

    /// Signs, the service where it is another than the parent's, and the name.
    fn name(&self, index: usize, columns: usize) -> String {
        let member = &self.trace.members[index];
        let orphan = if self.tree.is_orphan[index] {
            self.signs.orphan
        } else {
            ""
        };
        let failed = member.failed().map_or("", |_| self.signs.failed);
        let parent = self.tree.parents[index].unwrap_or(self.tree.roots[0]);
        let is_elsewhere = member.service != self.trace.members[parent].service;
        let service = if is_elsewhere {
            format!("[{}]", member.service)
        } else {
            String::new()
        };
        let name = if member.span.name.is_empty() {
            "(no name)"
        } else {
            &member.span.name
        };
        let mut words = vec![orphan, failed, &service, name];
        words.retain(|word| !word.is_empty());
        fit(&words.join(" "), columns, self.options.ascii)
    }

    fn duration(&self, member: &Member) -> String {
        aligned(member.end_ns() - member.start_ns(), self.options.ascii)
    }

    fn row(
        &self,
        label: &Label,
        label_columns: usize,
        scale: &Scale,
        duration_columns: usize,
    ) -> String {
        let member = &self.trace.members[label.index];
        let is_on_path = self.path.is_on[label.index];
        let is_slow = self.path.slow == Some(label.index);
        let bar_sign = if is_on_path {
            self.signs.bar
        } else {
            self.signs.side_bar
        };
        let bar = scale.bar(
            member.start_ns(),
            member.end_ns(),
            bar_sign,
            self.signs.instant,
        );
        let failed_ink = member.failed().map(|_| Ink::Failed);
        let slow_ink = if is_slow { Ink::Slow } else { Ink::Plain };
        let bar_ink = failed_ink.unwrap_or(if is_on_path { slow_ink } else { Ink::Faint });
        let slow = if is_slow { self.signs.slow } else { "" };
        let duration = format!("{:>duration_columns$} {slow}", self.duration(member));
        let name = pad(label.name.clone(), label_columns - width(&label.guides));
        let paint = |ink, text: &str| self.options.paint(ink, text);
        format!(
            "{}{} {} {}",
            label.guides,
            paint(failed_ink.unwrap_or(Ink::Plain), &name),
            paint(bar_ink, &bar),
            paint(slow_ink, &duration),
        )
    }

    fn draw_details(&self, label: &Label, drawing: &mut String) {
        if !self.options.attributes {
            return;
        }
        let member = &self.trace.members[label.index];
        let columns = self.options.width - width(&label.margin);
        for (ink, line) in detail::lines(member, columns, self.options) {
            drawing.push_str(&label.margin);
            drawing.push_str(&self.options.paint(ink, &line));
            drawing.push('\n');
        }
    }
}

/// A duration whose unit is two columns wide, so that the digits of a column of them align.
fn aligned(ns: u64, ascii: bool) -> String {
    let text = duration(ns, ascii);
    if text.ends_with(" s") {
        text + " "
    } else {
        text
    }
}
