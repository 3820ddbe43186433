//! What the command `nanospan view` asks of the core.

use std::io;

use pyo3::prelude::*;

use crate::view::{self, Colours, Options, Selection};

/// The traces in a file of OTLP/JSON lines, drawn; and number and reason of each line left out.
/// Without a `colour` it is the environment's and the terminal's to say.
#[pyfunction]
#[pyo3(signature = (text, *, width, colour, ascii, attributes, trace, slowest, errors))]
#[allow(
    clippy::too_many_arguments,
    clippy::fn_params_excessive_bools,
    reason = "the options of the command line, named by keyword"
)]
pub(crate) fn _view(
    py: Python<'_>,
    text: &[u8],
    width: usize,
    colour: Option<bool>,
    ascii: bool,
    attributes: bool,
    trace: Option<String>,
    slowest: Option<usize>,
    errors: bool,
) -> (String, Vec<(usize, String)>) {
    let selection = Selection {
        trace,
        slowest,
        errors,
    };
    let options = Options {
        width,
        colour: colour.unwrap_or_else(|| Colours::from_environment().on(&io::stdout())),
        ascii,
        attributes,
        selection,
    };
    py.detach(|| {
        let (exports, broken) = view::read_lines(text);
        let broken = broken
            .into_iter()
            .map(|line| (line.number, line.reason))
            .collect();
        (view::draw(&exports, &options), broken)
    })
}
