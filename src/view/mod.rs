//! Traces as text: the waterfall that the console exporter and `nanospan view` draw.
//!
//! ```text
//! shop  4bf92f3577b34da6a3ce929d0e0e4736  2023-11-14 22:13:20.000Z  5 spans
//! 1 error  184.2 ms
//!                             0         46.1 ms   92.1 ms   138.2 ms    184.2 ms
//! GET /cart/{id}              █████████████████████████████████████████ 184.2 ms
//! ├─ auth.verify              █████                                      21.0 ms
//! ├─ GET stock.internal/items     ░░░░░░░░░░░                            44.0 ms
//! ├─ ✖ SELECT price               ███████████████████████                96.0 ms ◀
//! └─ render cart.html                                   ███████████████  61.0 ms
//! ```
//!
//! `✖` has failed. `░` is off the critical path: had it been faster, the trace would not. `◀` is the
//! span to look at first: of the critical path, most was spent in this span itself, and not in its
//! children. `?` has a parent that is not in the data. `▏` took no time. Colour repeats what signs
//! say, it never says more.
//!
//! Names and attributes come from anywhere, so what could move a cursor is escaped. Nothing here
//! recurses over the tree: a chain of a million spans is drawn like any other.

mod bar;
mod column;
mod detail;
mod header;
mod ink;
mod lines;
mod path;
mod time;
mod trace;
mod tree;
mod waterfall;

pub use ink::Colours;
pub use lines::{BrokenLine, read_lines};
pub use trace::Selection;

use crate::otlp::message::TracesData;

/// How to draw, and what.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// Columns of the terminal; drawn as at least 40 and at most 500.
    pub width: usize,
    /// Whether to use ANSI colours.
    pub colour: bool,
    /// Whether the reader can show ASCII only.
    pub ascii: bool,
    /// Whether to show status, attributes, events and links below each span.
    pub attributes: bool,
    /// Which traces to draw.
    pub selection: Selection,
}

impl Default for Options {
    fn default() -> Self {
        Options {
            width: 80,
            colour: false,
            ascii: false,
            attributes: false,
            selection: Selection::default(),
        }
    }
}

/// The selected traces, one below the other; empty when there are none.
///
/// A trace is drawn once, with all its spans, however many exports they came in.
pub fn draw(data: &[TracesData], options: &Options) -> String {
    let options = Options {
        width: options.width.clamp(40, 500),
        ..options.clone()
    };
    let traces = options.selection.of(trace::gather(data));
    let drawings: Vec<String> = traces
        .iter()
        .map(|trace| waterfall::draw(trace, &options))
        .collect();
    drawings.join("\n")
}

#[cfg(test)]
mod sample;
#[cfg(test)]
mod tests;
