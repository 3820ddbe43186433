//! The threshold and the randomness in a `tracestate`: `th` and `rv` of its member `ot`
//! (OpenTelemetry specification, "TraceState Handling"; W3C Trace Context, "tracestate Header").

use std::fmt::Write;
use std::sync::Arc;

const KEY: &str = "ot";
/// Of the value of the member, in characters.
const MOST: usize = 256;
/// Of the members.
const MOST_MEMBERS: usize = 32;
/// Of a threshold and of randomness: 56 bits.
const DIGITS: usize = 14;

/// `th`: who has less randomness is not sampled.
pub(super) fn threshold(state: &str) -> Option<u64> {
    let digits = field(state, "th")?;
    let number = hexadecimal(digits)?;
    // Noughts at the end are left out.
    Some(number << (4 * (DIGITS - digits.len())))
}

/// `rv`: the randomness that the trace was given.
pub(super) fn randomness(state: &str) -> Option<u64> {
    let digits = field(state, "rv").filter(|digits| digits.len() == DIGITS)?;
    hexadecimal(digits)
}

/// The `tracestate` with another threshold, or without one. None where nothing changes.
pub(super) fn with_threshold(state: &str, wanted: Option<u64>) -> Option<Arc<str>> {
    if threshold(state) == wanted && (wanted.is_some() || field(state, "th").is_none()) {
        return None;
    }
    let mut made = String::with_capacity(state.len() + KEY.len() + DIGITS + 8);
    let mut separator = format!("{KEY}=");
    if let Some(wanted) = wanted {
        let digits = format!("{wanted:014x}");
        let digits = digits.trim_end_matches('0');
        let digits = if digits.is_empty() { "0" } else { digits };
        // Writing to a String does not fail.
        let _ = write!(made, "{separator}th:{digits}");
        ";".clone_into(&mut separator);
    }
    let fields = own(state).unwrap_or_default().split(';');
    for field in fields.filter(|field| !field.is_empty() && !field.starts_with("th:")) {
        if made.len() + separator.len() + field.len() > MOST + KEY.len() + 1 {
            break;
        }
        let _ = write!(made, "{separator}{field}");
        ";".clone_into(&mut separator);
    }
    // What was changed comes first, and the last give way.
    let others = members(state).filter(|(key, _)| *key != KEY);
    let room = MOST_MEMBERS - usize::from(!made.is_empty());
    for (key, value) in others.take(room) {
        let comma = if made.is_empty() { "" } else { "," };
        let _ = write!(made, "{comma}{key}={value}");
    }
    Some(made.into())
}

/// The text of a field of the member.
fn field<'a>(state: &'a str, key: &str) -> Option<&'a str> {
    own(state)?
        .split(';')
        .find_map(|field| field.strip_prefix(key)?.strip_prefix(':'))
}

/// The value of the member.
fn own(state: &str) -> Option<&str> {
    let (_, value) = members(state).find(|(key, _)| *key == KEY)?;
    (value.len() <= MOST).then_some(value)
}

fn members(state: &str) -> impl Iterator<Item = (&str, &str)> {
    state
        .split(',')
        .filter_map(|member| member.trim_matches([' ', '\t']).split_once('='))
}

/// Up to 56 bits in lowercase digits.
fn hexadecimal(digits: &str) -> Option<u64> {
    let is_digit = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
    let is_number = !digits.is_empty() && digits.len() <= DIGITS && digits.bytes().all(is_digit);
    is_number
        .then(|| u64::from_str_radix(digits, 16).ok())
        .flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thresholds_lose_the_noughts_at_their_end() {
        for (text, number) in [
            ("ot=th:0", 0),
            ("ot=th:8", 1 << 55),
            ("a=b, ot=rv:00000000000001;th:c ,d=e", 3 << 54),
            ("ot=th:00000000000001", 1),
        ] {
            assert_eq!(threshold(text), Some(number), "{text}");
        }
        for text in [
            "",
            "ot=",
            "ot=th:",
            "ot=th:G",
            "ot=th:A",
            "ot=th:000000000000000",
            "th:8",
        ] {
            assert_eq!(threshold(text), None, "{text}");
        }
    }

    #[test]
    fn randomness_has_fourteen_digits() {
        assert_eq!(randomness("ot=th:8;rv:0000000000000a"), Some(10));
        assert_eq!(randomness("ot=rv:a"), None);
    }

    #[test]
    fn a_new_threshold_comes_first_and_all_else_stays() {
        let half = Some(1 << 55);
        for (state, wanted, made) in [
            ("", half, Some("ot=th:8")),
            ("a=1,b=2", half, Some("ot=th:8,a=1,b=2")),
            (
                "a=1,ot=rv:0000000000000a;x:y;th:c,b=2",
                half,
                Some("ot=th:8;rv:0000000000000a;x:y,a=1,b=2"),
            ),
            ("a=1,ot=th:8,b=2", half, None),
            ("a=1,ot=th:8,b=2", None, Some("a=1,b=2")),
            (
                "ot=th:8;rv:0000000000000a",
                None,
                Some("ot=rv:0000000000000a"),
            ),
            ("ot=th:8", None, Some("")),
            ("ot=th:wrong", None, Some("")),
            ("a=1", None, None),
            ("ot=th:8", Some(0), Some("ot=th:0")),
        ] {
            assert_eq!(with_threshold(state, wanted).as_deref(), made, "{state}");
        }
    }

    #[test]
    fn no_more_than_32_members_and_256_characters_are_made() {
        let many = (0..32)
            .map(|n| format!("k{n}=v"))
            .collect::<Vec<_>>()
            .join(",");
        let made = with_threshold(&many, Some(0)).unwrap();
        assert_eq!(members(&made).count(), 32);
        assert!(made.starts_with("ot=th:0,k0=v") && made.ends_with("k30=v"));
        let long = format!("ot=x:{};y:{}", "z".repeat(245), "z".repeat(5));
        let made = with_threshold(&long, Some(0)).unwrap();
        assert_eq!(*made, *format!("ot=th:0;x:{}", "z".repeat(245)));
        assert_eq!(made.len() - 3, 252);
    }
}
