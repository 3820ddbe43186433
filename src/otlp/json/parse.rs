//! A line to one JSON value, no deeper than its readers can go.

use serde_json::Value as Json;

use super::leaf::{JsonError, Read};

/// How deep brackets may nest. Our own deepest line has 144: an attribute nested 33 times, four
/// brackets each, in an event. The parser and the mapping recurse, so there must be an end.
const MAX_NESTING: usize = 256;

/// The value that is all of the line; null for a blank one.
pub(super) fn parse(line: &str) -> Read<Json> {
    if nesting(line) > MAX_NESTING {
        return Err(JsonError::new(format!(
            "nested deeper than {MAX_NESTING} brackets"
        )));
    }
    let mut parser = serde_json::Deserializer::from_str(line);
    // Its own limit of 128 is below what an attribute may hold; `nesting` has seen to the rest.
    parser.disable_recursion_limit();
    let mut values = parser.into_iter();
    let value = values
        .next()
        .unwrap_or(Ok(Json::Null))
        .map_err(|e| JsonError::syntax(&e))?;
    match values.next() {
        None => Ok(value),
        Some(_) => Err(JsonError::new("more text after the export")),
    }
}

/// How deep the brackets of a JSON text nest.
fn nesting(text: &str) -> usize {
    let (mut depth, mut deepest) = (0_usize, 0);
    let (mut in_string, mut escaped) = (false, false);
    for byte in text.bytes() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = in_string,
            b'"' => in_string = !in_string,
            b'{' | b'[' if !in_string => {
                depth += 1;
                deepest = deepest.max(depth);
            }
            b'}' | b']' if !in_string => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    deepest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_that_is_not_one_value_says_why() {
        for (line, reason) in [
            (
                r#"{"resourceSpans":[{"sco"#,
                "column 23: the line is cut off",
            ),
            ("{} {}", "more text after the export"),
            ("{]", "column 2: key must be a string"),
        ] {
            assert_eq!(parse(line).unwrap_err().to_string(), reason);
        }
    }

    #[test]
    fn nesting_without_end_is_refused_before_it_is_parsed() {
        let error = parse(&"[".repeat(1_000_000)).unwrap_err();
        assert_eq!(error.to_string(), "nested deeper than 256 brackets");
        let brackets = "[\"".repeat(1_000);
        assert_eq!(
            parse(&Json::from(&*brackets).to_string()),
            Ok(Json::from(brackets))
        );
    }
}
