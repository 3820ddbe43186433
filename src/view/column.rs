//! Text in columns: how wide it is on a terminal, and what of it may be shown there.

use super::ink::signs;

/// `text` in at most `columns`, with a sign where the rest is cut off.
pub(super) fn fit(text: &str, columns: usize, ascii: bool) -> String {
    let more: String = signs(ascii).more.chars().take(columns).collect();
    let mut shown = String::new();
    let (mut used, mut keep) = (0, 0);
    for character in text.chars() {
        used += push(&mut shown, character, ascii);
        if used > columns {
            shown.truncate(keep);
            return shown + &more;
        }
        if used + width(&more) <= columns {
            keep = shown.len();
        }
    }
    shown
}

/// `text` in lines of at most `columns`; its own line breaks are kept. Never empty.
pub(super) fn wrap(text: &str, columns: usize, ascii: bool) -> Vec<String> {
    let mut wrapped = Vec::new();
    for line in text.lines() {
        let (mut shown, mut used) = (String::new(), 0);
        for character in line.chars() {
            let start = shown.len();
            let needed = push(&mut shown, character, ascii);
            if used + needed > columns && start > 0 {
                let begun = shown.split_off(start);
                wrapped.push(std::mem::replace(&mut shown, begun));
                used = 0;
            }
            used += needed;
        }
        wrapped.push(shown);
    }
    if wrapped.is_empty() {
        wrapped.push(String::new());
    }
    wrapped
}

/// `text` with blanks up to `columns`.
pub(super) fn pad(mut text: String, columns: usize) -> String {
    text.extend(std::iter::repeat_n(
        ' ',
        columns.saturating_sub(width(&text)),
    ));
    text
}

/// The columns that `text` takes, which must hold nothing that needs escaping.
pub(super) fn width(text: &str) -> usize {
    text.chars().map(columns_of).sum()
}

/// Adds one character as it may be shown, and tells its columns.
fn push(shown: &mut String, character: char, ascii: bool) -> usize {
    if !is_hostile(character) && (character.is_ascii() || !ascii) {
        shown.push(character);
        return columns_of(character);
    }
    let escaped = match (character, character as u32) {
        ('\n', _) => "\\n".into(),
        ('\r', _) => "\\r".into(),
        ('\t', _) => "\\t".into(),
        (_, code @ ..=0xff) => format!("\\x{code:02x}"),
        (_, code @ ..=0xffff) => format!("\\u{code:04x}"),
        (_, code) => format!("\\U{code:08x}"),
    };
    shown.push_str(&escaped);
    escaped.len()
}

/// What moves the cursor, turns the writing direction, breaks the line or hides itself.
fn is_hostile(character: char) -> bool {
    character.is_control()
        || matches!(character,
            '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}' | '\u{200e}'..='\u{200f}'
            | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}'
            | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

/// Two for what East Asian Width calls wide or fullwidth, none for the common combining marks.
///
/// Where a table of the exact widths would be long, this one is too wide: a bar then stands a
/// column to the left, but no line is longer than the terminal. U+FE0F counts one, since it widens
/// the symbol before it.
fn columns_of(character: char) -> usize {
    let code = character as u32;
    if code < 0x300 {
        return 1;
    }
    let within =
        |ranges: &[(u32, u32)]| ranges.iter().any(|&(from, to)| (from..=to).contains(&code));
    match () {
        () if within(&COMBINING) => 0,
        () if within(&WIDE) => 2,
        () => 1,
    }
}

const COMBINING: [(u32, u32); 8] = [
    (0x0300, 0x036f),
    (0x1ab0, 0x1add),
    (0x1dc0, 0x1dff),
    (0x200c, 0x200d), // the joiners
    (0x20d0, 0x20f0),
    (0xfe00, 0xfe0e), // variation selectors
    (0xfe20, 0xfe2f),
    (0xe0100, 0xe01ef),
];

const WIDE: [(u32, u32); 50] = [
    (0x1100, 0x115f), // Hangul Jamo
    (0x231a, 0x231b),
    (0x2329, 0x232a),
    (0x23e9, 0x23ec),
    (0x23f0, 0x23f0),
    (0x23f3, 0x23f3),
    (0x25fd, 0x25fe),
    (0x2614, 0x2615),
    (0x2630, 0x2637),
    (0x2648, 0x2653),
    (0x267f, 0x267f),
    (0x268a, 0x268f),
    (0x2693, 0x2693),
    (0x26a1, 0x26a1),
    (0x26aa, 0x26ab),
    (0x26bd, 0x26be),
    (0x26c4, 0x26c5),
    (0x26ce, 0x26ce),
    (0x26d4, 0x26d4),
    (0x26ea, 0x26ea),
    (0x26f2, 0x26f3),
    (0x26f5, 0x26f5),
    (0x26fa, 0x26fa),
    (0x26fd, 0x26fd),
    (0x2705, 0x2705),
    (0x270a, 0x270b),
    (0x2728, 0x2728),
    (0x274c, 0x274c),
    (0x274e, 0x274e),
    (0x2753, 0x2755),
    (0x2757, 0x2757),
    (0x2795, 0x2797),
    (0x27b0, 0x27b0),
    (0x27bf, 0x27bf),
    (0x2b1b, 0x2b1c),
    (0x2b50, 0x2b50),
    (0x2b55, 0x2b55),
    (0x2e80, 0x303e), // CJK radicals and punctuation
    (0x3041, 0xa4cf), // Kana to Yi
    (0xa960, 0xa97f),
    (0xac00, 0xd7a3), // Hangul
    (0xf900, 0xfaff),
    (0xfe10, 0xfe19),
    (0xfe30, 0xfe6f),
    (0xff01, 0xff60), // fullwidth forms
    (0xffe0, 0xffe6),
    (0x16fe0, 0x1b2ff), // Tangut, Khitan, Kana supplements
    (0x1d300, 0x1d37f),
    (0x1f004, 0x1faff), // emoji, with the narrow ones among them
    (0x20000, 0x3fffd),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_that_is_too_long_ends_in_a_sign() {
        for (text, columns, ascii, shown) in [
            ("load_cart", 9, false, "load_cart"),
            ("load_cart", 8, false, "load_ca…"),
            ("load_cart", 8, true, "load_..."),
            ("load_cart", 2, true, ".."),
            ("購物車", 6, false, "購物車"),
            ("購物車", 5, false, "購物…"),
            ("購物車", 4, false, "購…"),
            ("e\u{301}t\u{e9}", 3, false, "e\u{301}t\u{e9}"),
            ("", 0, false, ""),
        ] {
            assert_eq!(fit(text, columns, ascii), shown);
        }
    }

    #[test]
    fn what_could_move_the_cursor_is_shown_as_its_number() {
        for (text, shown) in [
            ("a\x1b[2Jb", "a\\x1b[2Jb"),
            ("a\nb\tc\r", "a\\nb\\tc\\r"),
            ("\u{9b}31m\u{7f}", "\\x9b31m\\x7f"),
            ("user\u{202e}nimda", "user\\u202enimda"),
            ("\u{e0041}", "\\U000e0041"),
        ] {
            assert_eq!(fit(text, 80, false), shown);
        }
        assert_eq!(fit("é購\u{1f600}", 80, true), "\\xe9\\u8cfc\\U0001f600");
    }

    #[test]
    fn wrapped_text_loses_nothing() {
        assert_eq!(
            wrap("abcdefg\n\nhi\r\n", 3, false),
            ["abc", "def", "g", "", "hi"]
        );
        assert_eq!(wrap("購物車", 4, false), ["購物", "車"]);
        assert_eq!(wrap("a\x1b", 3, false), ["a", "\\x1b"]);
        assert_eq!(wrap("", 3, false), [""]);
    }
}
