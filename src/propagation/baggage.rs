//! Baggage: names and values of the application's that travel with its requests, and the header
//! that W3C Baggage gives them.

use super::header::{is_printable, is_token};
use super::percent;
use super::{Header, Warning};

/// The header's name.
pub const NAME: &str = "baggage";

/// How many entries travel, at most (OpenTelemetry's limit; W3C Baggage asks for 64 at least).
const MAX_ENTRIES: usize = 180;
/// How many bytes the header has, at most (W3C Baggage, section 3.3.2).
const MAX_BYTES: usize = 8_192;

/// One name and its value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The name.
    pub key: Box<str>,
    /// The value, not encoded.
    pub value: Box<str>,
    /// The properties, as they came: nothing, or each with a semicolon before it.
    pub properties: Box<str>,
}

/// Entries in the order in which they came; each key is there once.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Baggage {
    entries: Vec<Entry>,
    /// What they would take of the header, not encoded.
    bytes: usize,
}

impl Baggage {
    /// The entries.
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// True when there are none.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Sets an entry without properties; the last one of a key counts. False where there is no room
    /// for it.
    pub fn set(&mut self, key: &str, value: &str) -> bool {
        self.set_entry(key, value, "")
    }

    /// The same with the properties that the key has in `before`, if it has this value there.
    pub fn set_like(&mut self, key: &str, value: &str, before: &Self) -> bool {
        let mut entries = before.entries.iter();
        let like = entries.find(|entry| &*entry.key == key && &*entry.value == value);
        self.set_entry(key, value, like.map_or("", |entry| &entry.properties))
    }

    fn set_entry(&mut self, key: &str, value: &str, properties: &str) -> bool {
        let found = self.entries.iter().position(|entry| &*entry.key == key);
        let freed = found.map_or(0, |index| self.entries[index].size());
        let entry = Entry {
            key: key.into(),
            value: value.into(),
            properties: properties.into(),
        };
        let bytes = self.bytes - freed + entry.size();
        if bytes > MAX_BYTES || (found.is_none() && self.entries.len() == MAX_ENTRIES) {
            return false;
        }
        self.bytes = bytes;
        match found {
            Some(index) => self.entries[index] = entry,
            None => self.entries.push(entry),
        }
        true
    }

    /// Keeps the entries whose keys are allowed.
    pub fn keep(&mut self, limits: &Limits) {
        self.entries.retain(|entry| limits.allows(&entry.key));
        self.bytes = self.entries.iter().map(Entry::size).sum();
    }
}

impl Entry {
    fn size(&self) -> usize {
        // With its equals sign and comma.
        self.key.len() + self.value.len() + self.properties.len() + 2
    }
}

/// Which entries may travel.
#[derive(Clone, Debug, Default)]
pub struct Limits {
    /// The keys that may; None for all.
    pub keys: Option<Vec<Box<str>>>,
}

impl Limits {
    /// True for a key that may travel.
    pub fn allows(&self, key: &str) -> bool {
        let keys = self.keys.as_deref();
        keys.is_none_or(|keys| keys.iter().any(|allowed| &**allowed == key))
    }
}

/// Adds what the lines of the header say to `baggage` (W3C Baggage, section 3.3.1). An entry that
/// is not valid is left out, and so are those for which there is no room.
pub(super) fn read<'a>(
    lines: impl Iterator<Item = &'a str>,
    limits: &Limits,
    baggage: &mut Baggage,
    warnings: &mut Vec<Warning>,
) {
    for member in lines.flat_map(|line| line.split(',')) {
        let member = member.trim_matches(OPTIONAL_SPACE);
        if member.is_empty() {
            continue;
        }
        let Some((key, value, properties)) = read_member(member) else {
            warn_once(warnings, "baggage.malformed");
            continue;
        };
        let value = percent::decode(value, false);
        if limits.allows(key) && !baggage.set_entry(key, &value, &properties) {
            // What is left may be as long as the caller likes.
            warn_once(warnings, "baggage.too_long");
            return;
        }
    }
    baggage.keep(limits);
}

const OPTIONAL_SPACE: [char; 2] = [' ', '\t'];

/// `key=value;property;property`: key, value as it came, and properties without spaces around them.
fn read_member(member: &str) -> Option<(&str, &str, String)> {
    let mut parts = member
        .split(';')
        .map(|part| part.trim_matches(OPTIONAL_SPACE));
    let (key, value) = parts.next()?.split_once('=')?;
    let (key, value) = (
        key.trim_matches(OPTIONAL_SPACE),
        value.trim_matches(OPTIONAL_SPACE),
    );
    let is_value = value.bytes().all(|byte| is_octet(byte) || !byte.is_ascii());
    if key.is_empty() || !is_token(key) || !is_value {
        return None;
    }
    let mut properties = String::new();
    for property in parts.filter(|property| !property.is_empty()) {
        if !is_printable(property) {
            return None;
        }
        properties.push(';');
        properties.push_str(property);
    }
    Some((key, value, properties))
}

/// `baggage-octet`: what a value holds as it is.
fn is_octet(byte: u8) -> bool {
    matches!(byte, 0x21 | 0x23..=0x2b | 0x2d..=0x3a | 0x3c..=0x5b | 0x5d..=0x7e)
}

fn warn_once(warnings: &mut Vec<Warning>, warning: Warning) {
    if !warnings.contains(&warning) {
        warnings.push(warning);
    }
}

/// Writes the header, if there is an entry that can be in it.
pub fn write(baggage: &Baggage, limits: &Limits, headers: &mut Vec<Header>) {
    let mut text = String::new();
    for entry in baggage.entries() {
        if entry.key.is_empty() || !is_token(&entry.key) || !limits.allows(&entry.key) {
            continue;
        }
        // A plus sign too: some readers take it for a space.
        let value = percent::encode(&entry.value, |byte| {
            is_octet(byte) && !matches!(byte, b'%' | b'+')
        });
        let comma = if text.is_empty() { "" } else { "," };
        let member = format!("{comma}{}={value}{}", entry.key, entry.properties);
        if text.len() + member.len() <= MAX_BYTES {
            text.push_str(&member);
        }
    }
    if !text.is_empty() {
        headers.push((NAME.into(), text));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_back(lines: &[&str], limits: &Limits) -> (Baggage, Vec<Warning>) {
        let (mut baggage, mut warnings) = Default::default();
        read(lines.iter().copied(), limits, &mut baggage, &mut warnings);
        (baggage, warnings)
    }

    fn written(baggage: &Baggage) -> String {
        let mut headers = Vec::new();
        write(baggage, &Limits::default(), &mut headers);
        headers.pop().map(|(_, value)| value).unwrap_or_default()
    }

    #[test]
    fn entries_of_all_lines_travel_on_with_their_properties() {
        let lines = ["a=1 ;p;;\tq=2 , b = caf%C3%A9", "c=x=y"];
        let (baggage, warnings) = read_back(&lines, &Limits::default());
        assert_eq!(written(&baggage), "a=1;p;q=2,b=caf%C3%A9,c=x=y");
        assert!(warnings.is_empty());
    }

    #[test]
    fn what_is_no_entry_is_left_out_and_the_others_stay() {
        let (baggage, warnings) = read_back(&["a, =1,b c=2,d=\"e\",f=1"], &Limits::default());
        assert_eq!(written(&baggage), "f=1");
        assert_eq!(warnings, ["baggage.malformed"]);
    }

    #[test]
    fn the_last_entry_of_a_key_counts() {
        let (baggage, _) = read_back(&["a=1,b=2,a=3"], &Limits::default());
        assert_eq!(written(&baggage), "a=3,b=2");
    }

    #[test]
    fn there_are_180_entries_and_8192_bytes_at_most() {
        let many: Vec<String> = (0..200).map(|number| format!("k{number}=v")).collect();
        let (baggage, warnings) = read_back(&[&many.join(",")], &Limits::default());
        assert_eq!(
            (baggage.entries().len(), warnings),
            (180, vec!["baggage.too_long"])
        );
        let long = format!("a=1,b={},c=1", "x".repeat(9_000));
        let (baggage, _) = read_back(&[&long], &Limits::default());
        assert_eq!(written(&baggage), "a=1");
        let mut grows = Baggage::default();
        assert!(grows.set("a", &"é".repeat(4_000)));
        assert_eq!(written(&grows), "", "encoded it is three times as long");
    }

    #[test]
    fn only_keys_that_are_allowed_travel() {
        let limits = Limits {
            keys: Some(vec!["tenant".into()]),
        };
        let (baggage, _) = read_back(&["user=1,tenant=2"], &limits);
        assert_eq!(written(&baggage), "tenant=2");
    }
}
