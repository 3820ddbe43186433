//! Ids and numbers in digits.

use crate::id::{SpanId, TraceId};

/// The number that up to 32 hexadecimal digits of either case write; None for anything else.
pub(super) fn hex(text: &str) -> Option<u128> {
    let fits = (1..=32).contains(&text.len());
    let digits = fits && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    digits
        .then(|| u128::from_str_radix(text, 16).ok())
        .flatten()
}

/// The same in lowercase digits alone, and exactly `N` of them.
pub(super) fn lowercase_hex<const N: usize>(text: &[u8]) -> Option<u128> {
    let digits: &[u8; N] = text.try_into().ok()?;
    let mut number = 0;
    for &digit in digits {
        let value = match digit {
            b'0'..=b'9' => digit - b'0',
            b'a'..=b'f' => digit - b'a' + 10,
            _ => return None,
        };
        number = number << 4 | u128::from(value);
    }
    Some(number)
}

/// The number that decimal digits write, spaces around them allowed; None beyond 64 bits.
pub(super) fn decimal(text: &str) -> Option<u64> {
    let text = text.trim_matches(' ');
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    digits.then(|| text.parse().ok()).flatten()
}

/// The trace id of a number, None for 0: an id of zeros is no id.
pub(super) fn trace_id(number: u128) -> Option<TraceId> {
    TraceId::new(number.to_be_bytes())
}

/// The span id of a number's low 64 bits, None for 0.
pub(super) fn span_id(number: u128) -> Option<SpanId> {
    SpanId::new((number as u64).to_be_bytes())
}

/// The low 64 bits of a trace id.
pub(super) fn low_half(trace_id: TraceId) -> u64 {
    u128::from_be_bytes(trace_id.to_bytes()) as u64
}

/// The span id as a number.
pub(super) fn number(span_id: SpanId) -> u64 {
    u64::from_be_bytes(span_id.to_bytes())
}

/// A trace id in 32 digits or, of `size` 8, in the right 16 of them.
pub(super) fn sized(trace_id: TraceId, size: u8) -> String {
    let mut digits = trace_id.to_string();
    if size == 8 {
        digits.drain(..16);
    }
    digits
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hexadecimal_digits_have_no_sign_and_no_separator() {
        assert_eq!(hex("fF"), Some(255));
        for wrong in ["", "+1", "0x1", "1_0", " 1", &"1".repeat(33)] {
            assert_eq!(hex(wrong), None, "{wrong}");
        }
        assert_eq!(lowercase_hex::<2>(b"ff"), Some(255));
        assert_eq!(lowercase_hex::<2>(b"fF"), None);
    }

    #[test]
    fn decimal_digits_may_have_spaces_around_and_no_sign() {
        assert_eq!(decimal(" 18446744073709551615 "), Some(u64::MAX));
        for wrong in ["", "+1", "-1", "1 2", "18446744073709551616"] {
            assert_eq!(decimal(wrong), None, "{wrong}");
        }
    }
}
