//! A file of exports, one OTLP/JSON object a line, as the file exporter and the Collector write it.

use crate::otlp::json;
use crate::otlp::message::TracesData;

/// A line that could not be read, and is left out of the drawing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BrokenLine {
    /// Counted from 1.
    pub number: usize,
    /// What is odd, and where in the line.
    pub reason: String,
}

/// Every export in `text`, and the lines that are none. Blank lines are neither.
pub fn read_lines(text: &[u8]) -> (Vec<TracesData>, Vec<BrokenLine>) {
    let text = text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(text);
    let (mut exports, mut broken) = (Vec::new(), Vec::new());
    for (index, line) in text.split(|byte| *byte == b'\n').enumerate() {
        if line.trim_ascii().is_empty() {
            continue;
        }
        match read_line(line) {
            Ok(export) => exports.push(export),
            Err(reason) => broken.push(BrokenLine {
                number: index + 1,
                reason,
            }),
        }
    }
    (exports, broken)
}

fn read_line(line: &[u8]) -> Result<TracesData, String> {
    let text = std::str::from_utf8(line)
        .map_err(|error| format!("column {}: not UTF-8", error.valid_up_to() + 1))?;
    json::read(text).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_broken_line_costs_only_itself() {
        let text =
            b"\xef\xbb\xbf{}\r\n\n{\"resourceSpans\":[{\n{}\n\xff\n{\"resourceSpans\":1}\n{}";
        let (exports, broken) = read_lines(text);
        let broken: Vec<_> = broken
            .iter()
            .map(|line| format!("{}: {}", line.number, line.reason))
            .collect();
        assert_eq!(exports.len(), 3);
        assert_eq!(
            broken,
            [
                "3: column 19: the line is cut off",
                "5: column 1: not UTF-8",
                "6: resourceSpans: expected a list, got 1",
            ]
        );
    }
}
