//! Percent-encoding (RFC 3986, section 2.1).

use std::borrow::Cow;

/// Decodes. What is no encoding stays as it is, and what is no UTF-8 afterwards becomes U+FFFD.
pub(super) fn decode(text: &str, plus_is_space: bool) -> Cow<'_, str> {
    let is_encoded = text.contains('%') || (plus_is_space && text.contains('+'));
    if !is_encoded {
        return Cow::Borrowed(text);
    }
    let mut decoded = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&byte, after)) = rest.split_first() {
        rest = after;
        match (byte, octet(after)) {
            (b'%', Some(octet)) => {
                decoded.push(octet);
                rest = &after[2..];
            }
            (b'+', _) if plus_is_space => decoded.push(b' '),
            _ => decoded.push(byte),
        }
    }
    Cow::Owned(String::from_utf8_lossy(&decoded).into_owned())
}

fn octet(digits: &[u8]) -> Option<u8> {
    let [high, low, ..] = digits else { return None };
    let digit = |byte: u8| char::from(byte).to_digit(16);
    Some((digit(*high)? << 4 | digit(*low)?) as u8)
}

/// Encodes all octets but those that `is_plain` says.
pub(super) fn encode(text: &str, is_plain: impl Fn(u8) -> bool) -> String {
    const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii() && is_plain(byte) {
            encoded.push(char::from(byte));
        } else {
            let [high, low] = [byte >> 4, byte & 0xf].map(|nibble| DIGITS[usize::from(nibble)]);
            encoded.extend(['%', char::from(high), char::from(low)]);
        }
    }
    encoded
}

/// The octets that a component of a URL holds as they are (ECMAScript, "encodeURIComponent").
pub(super) fn is_plain_in_url(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-_.~!'()*".contains(&byte)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_encoded_is_decoded_to_the_same() {
        for text in ["", "plain", "a b/c&d=é", "100 %", "+"] {
            assert_eq!(decode(&encode(text, is_plain_in_url), true), text);
        }
    }

    #[test]
    fn what_is_no_encoding_stays_and_what_is_no_text_is_replaced() {
        assert_eq!(decode("50% %zz %e", false), "50% %zz %e");
        assert_eq!(decode("%FF", false), "\u{fffd}");
        assert_eq!(decode("a+b", false), "a+b");
    }
}
