//! One JSON value to one plain field, and what to say when it does not fit.

use std::fmt;

use serde_json::Value as Json;

/// Why a line is no OTLP/JSON: where, and what is odd there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JsonError {
    place: String,
    reason: String,
}

impl fmt::Display for JsonError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.place.is_empty() {
            write!(f, "{}: ", self.place)?;
        }
        f.write_str(&self.reason)
    }
}

impl std::error::Error for JsonError {}

impl JsonError {
    pub(super) fn new(reason: impl Into<String>) -> Self {
        JsonError {
            place: String::new(),
            reason: reason.into(),
        }
    }

    pub(super) fn expected(what: &str, got: &Json) -> Self {
        let got = match got {
            Json::Object(_) => "an object".into(),
            Json::Array(_) => "a list".into(),
            // `{:?}` escapes what could move a terminal's cursor; the line may come from anywhere.
            Json::String(text) if text.chars().count() > 40 => {
                format!("{:?}...", text.chars().take(40).collect::<String>())
            }
            Json::String(text) => format!("{text:?}"),
            plain => plain.to_string(),
        };
        JsonError::new(format!("expected {what}, got {got}"))
    }

    pub(super) fn syntax(error: &serde_json::Error) -> Self {
        let place = format!("column {}", error.column());
        if error.is_eof() {
            return JsonError {
                place,
                reason: "the line is cut off".into(),
            };
        }
        let text = error.to_string();
        let reason = text
            .rsplit_once(" at line ")
            .map_or(&*text, |(reason, _)| reason);
        JsonError {
            place,
            reason: reason.into(),
        }
    }

    pub(super) fn inside(mut self, place: &str) -> Self {
        let separator = if self.place.is_empty() || self.place.starts_with('[') {
            ""
        } else {
            "."
        };
        self.place = format!("{place}{separator}{}", self.place);
        self
    }
}

pub(super) type Read<T> = Result<T, JsonError>;

pub(super) fn text(json: &Json) -> Read<String> {
    json.as_str()
        .map(String::from)
        .ok_or_else(|| JsonError::expected("text", json))
}

pub(super) fn boolean(json: &Json) -> Read<bool> {
    json.as_bool()
        .ok_or_else(|| JsonError::expected("true or false", json))
}

/// A whole number of the width that the field has; JavaScript writes large ones as `1.7e18`.
pub(super) fn integer<N: TryFrom<i128>>(json: &Json) -> Read<N> {
    let whole = match json {
        Json::String(digits) => digits.parse().ok(),
        Json::Number(number) => match number.as_f64() {
            Some(float) if number.is_f64() => (float.fract() == 0.0).then_some(float as i128),
            _ => number.as_i128(),
        },
        _ => None,
    };
    let whole = whole.ok_or_else(|| JsonError::expected("a whole number", json))?;
    N::try_from(whole).map_err(|_| JsonError::expected("a number in the field's range", json))
}

pub(super) fn double(json: &Json) -> Read<f64> {
    let float = match json {
        // Rust also takes "inf" and "nan" in any case, as some writers spell them.
        Json::String(word) => word.parse().ok(),
        number => number.as_f64(),
    };
    float.ok_or_else(|| JsonError::expected("a number, \"NaN\" or \"Infinity\"", json))
}

/// An enum by its number, or by its name with or without `prefix`.
pub(super) fn named(json: &Json, prefix: &str, names: &[&str]) -> Read<i32> {
    let Json::String(name) = json else {
        return integer(json);
    };
    let short = name.strip_prefix(prefix).unwrap_or(name);
    match (0..).zip(names).find(|(_, known)| **known == short) {
        Some((number, _)) => Ok(number),
        None => {
            integer(json).map_err(|_| JsonError::expected("a number or one of its names", json))
        }
    }
}

/// An id in hex; empty is none.
pub(super) fn id(json: &Json, length: usize) -> Read<Vec<u8>> {
    let hex = json
        .as_str()
        .filter(|hex| hex.is_empty() || hex.len() == 2 * length);
    let bytes = hex.and_then(|hex| hex.as_bytes().chunks(2).map(byte_of_hex).collect());
    bytes.ok_or_else(|| JsonError::expected(&format!("{} hex digits", 2 * length), json))
}

fn byte_of_hex(digits: &[u8]) -> Option<u8> {
    let [high, low] = digits else { return None };
    let value = |digit: &u8| (*digit as char).to_digit(16);
    Some((value(high)? << 4 | value(low)?) as u8)
}

/// Base64 in either alphabet, with its padding or without.
pub(super) fn base64(json: &Json) -> Read<Vec<u8>> {
    let decoded = json.as_str().and_then(|text| {
        let digits: Option<Vec<u32>> = text
            .trim_end_matches('=')
            .bytes()
            .map(base64_digit)
            .collect();
        digits?
            .chunks(4)
            .map(bytes_of_digits)
            .collect::<Option<Vec<_>>>()
    });
    decoded
        .map(|groups| groups.concat())
        .ok_or_else(|| JsonError::expected("base64", json))
}

fn bytes_of_digits(digits: &[u32]) -> Option<Vec<u8>> {
    let bits = digits
        .iter()
        .enumerate()
        .fold(0, |bits, (n, digit)| bits | digit << (18 - 6 * n));
    // Two digits make one byte, three two, four three; one digit alone is a cut-off text.
    (digits.len() > 1).then(|| bits.to_be_bytes()[1..digits.len()].to_vec())
}

fn base64_digit(digit: u8) -> Option<u32> {
    let value = match digit {
        b'A'..=b'Z' => digit - b'A',
        b'a'..=b'z' => digit - b'a' + 26,
        b'0'..=b'9' => digit - b'0' + 52,
        b'+' | b'-' => 62,
        b'/' | b'_' => 63,
        _ => return None,
    };
    Some(value.into())
}
