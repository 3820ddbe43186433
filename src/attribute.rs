//! A set of attributes in wire form: the last write of a key wins, and a limit is kept.

use std::ops::Range;

use crate::limits::Surplus;
use crate::value::{Encode, Value};
use crate::wire::{Put, Room, WireType, append_here, field_len, first_field, tag, varint_len};

/// The attributes of one span, event, link or resource, each a `KeyValue` field of its message. A span's
/// other fields of this kind lie among them, in the order in which all came.
#[derive(Debug, Default)]
pub struct Attributes {
    bytes: Vec<u8>,
    /// In the order of their places, which is that in which keys were first set.
    entries: Vec<Entry>,
    dropped: u32,
}

/// Where one attribute begins in the bytes.
#[derive(Debug)]
struct Entry {
    start: usize,
    /// Keys that differ in it differ.
    fingerprint: u64,
}

impl Attributes {
    /// Sets `key`, over an earlier value. Where `limit` are set already one is dropped and counted.
    #[inline(always)]
    pub(crate) fn set<V: Encode>(
        &mut self,
        field: u32,
        key: &str,
        value: V,
        limit: usize,
        surplus: Surplus,
    ) {
        let fingerprint = fingerprint(key);
        match self.position(key, fingerprint) {
            Some(index) if surplus == Surplus::Newest => {
                return self.replace(index, field, key, value);
            }
            Some(index) => self.remove(index),
            None if self.entries.len() >= limit => {
                self.dropped += 1;
                if surplus == Surplus::Newest || limit == 0 {
                    return;
                }
                self.remove(0);
            }
            None => (),
        }
        let start = self.bytes.len();
        write(&mut self.bytes, field, key, value);
        self.entries.push(Entry { start, fingerprint });
    }

    /// Removes `key`, if it is set.
    pub fn unset(&mut self, key: &str) {
        if let Some(index) = self.position(key, fingerprint(key)) {
            self.remove(index);
        }
    }

    /// Removes all of them, which are `field`s.
    pub(crate) fn unset_all(&mut self, field: u32) {
        self.cut_all(field);
        self.entries.clear();
        self.dropped = 0;
    }

    /// Counts attributes that were left out before they came here.
    pub fn miss(&mut self, count: u32) {
        self.dropped += count;
    }

    /// The `AnyValue` of `key`, if it is set.
    pub(crate) fn get(&self, key: &str) -> Option<&[u8]> {
        let index = self.position(key, fingerprint(key))?;
        let (_, pair, _) = first_field(&self.bytes[self.entries[index].start..])?;
        let pair = pair.bytes()?;
        let (_, _, key_length) = first_field(pair)?;
        first_field(&pair[key_length..])?.1.bytes()
    }

    #[cold]
    fn remove(&mut self, index: usize) {
        let place = self.place_of(self.entries[index].start);
        self.entries.remove(index);
        self.cut(place);
    }

    /// Where other fields of the message are appended.
    #[inline(always)]
    pub(crate) fn others(&mut self) -> &mut Vec<u8> {
        &mut self.bytes
    }

    /// The content of the first of the other fields with this number.
    pub(crate) fn other(&self, field: u32) -> Option<&[u8]> {
        let place = self.first(field)?;
        first_field(&self.bytes[place])?.1.bytes()
    }

    /// Takes out the first of the other fields with this number.
    #[cold]
    pub(crate) fn cut_first(&mut self, field: u32) -> bool {
        let Some(place) = self.first(field) else {
            return false;
        };
        self.cut(place);
        true
    }

    /// Takes out all fields with this number.
    #[cold]
    pub(crate) fn cut_all(&mut self, field: u32) {
        while self.cut_first(field) {}
    }

    fn first(&self, field: u32) -> Option<Range<usize>> {
        let mut start = 0;
        while let Some((number, _, length)) = first_field(&self.bytes[start..]) {
            if number == field {
                return Some(start..start + length);
            }
            start += length;
        }
        None
    }

    fn cut(&mut self, place: Range<usize>) {
        self.shift(place.start, -(place.len() as isize));
        self.bytes.drain(place);
    }

    /// All fields of the message.
    #[inline(always)]
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// How many the limit left out.
    #[inline(always)]
    pub fn dropped(&self) -> u32 {
        self.dropped
    }

    /// How many are set.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// True when none is set.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Empties the message and keeps its memory, up to `keep` bytes, for the next.
    #[inline(always)]
    pub(crate) fn clear(&mut self, keep: usize) {
        self.bytes.clear();
        if self.bytes.capacity() > keep {
            self.bytes = Vec::new();
        }
        self.entries.clear();
        self.dropped = 0;
    }

    #[inline(always)]
    fn position(&self, key: &str, fingerprint: u64) -> Option<usize> {
        self.entries
            .iter()
            .position(|entry| entry.fingerprint == fingerprint && self.is_at(entry.start, key))
    }

    /// True when the attribute that begins there has this key.
    #[inline(never)]
    fn is_at(&self, start: usize, key: &str) -> bool {
        let pair = first_field(&self.bytes[start..]).and_then(|(_, pair, _)| pair.bytes());
        let found = pair
            .and_then(first_field)
            .and_then(|(_, key, _)| key.bytes());
        found == Some(key.as_bytes())
    }

    /// From where the field that begins at `start` to where it ends.
    fn place_of(&self, start: usize) -> Range<usize> {
        let length = first_field(&self.bytes[start..]).map_or(0, |(_, _, length)| length);
        start..start + length
    }

    #[cold]
    fn replace<V: Encode>(&mut self, index: usize, field: u32, key: &str, value: V) {
        let old = self.place_of(self.entries[index].start);
        let tail = self.bytes.len() - old.end;
        // Written behind the rest, then rotated into the old one's place: no second buffer.
        write(&mut self.bytes, field, key, value);
        let length = self.bytes.len() - old.end - tail;
        self.bytes[old.start..].rotate_right(length);
        self.bytes.drain(old.start + length..old.end + length);
        self.shift(old.end, length as isize - old.len() as isize);
    }

    /// What begins at `from` or later has moved.
    fn shift(&mut self, from: usize, by: isize) {
        for entry in &mut self.entries {
            if entry.start >= from {
                entry.start = entry.start.wrapping_add_signed(by);
            }
        }
    }
}

/// The length of a key and its last bytes, which differ more often than the first: keys are names in
/// namespaces.
#[inline]
fn fingerprint(key: &str) -> u64 {
    let bytes = key.as_bytes();
    let tail = match bytes.last_chunk::<8>() {
        Some(tail) => u64::from_le_bytes(*tail),
        None => bytes
            .iter()
            .fold(0, |tail, byte| tail << 8 | u64::from(*byte)),
    };
    tail ^ (bytes.len() as u64) << 56
}

/// A `KeyValue`, measured, as a field of the message that has it.
pub(crate) struct KeyValue<'a, V> {
    field: u32,
    key: &'a str,
    value: V,
    value_length: usize,
    length: usize,
}

impl<'a, V: Encode> KeyValue<'a, V> {
    #[inline(always)]
    pub(crate) fn new(field: u32, key: &'a str, value: V) -> Self {
        let value_length = value.encoded_len();
        let value_field = 1 + varint_len(value_length as u64) + value_length;
        let key_field = 1 + varint_len(key.len() as u64) + key.len();
        Self {
            field,
            key,
            value,
            value_length,
            length: key_field + value_field,
        }
    }

    /// How many bytes it takes.
    #[inline(always)]
    pub(crate) fn len(&self) -> usize {
        field_len(self.field, self.length)
    }

    /// Nearly all are: each length is a byte, and so is the tag.
    #[inline(always)]
    fn is_short(&self) -> bool {
        self.length < 0x80 && self.field < 16
    }
}

impl<V: Encode> Put for KeyValue<'_, V> {
    #[inline(always)]
    fn put(self, room: Room<'_>) -> Room<'_> {
        if self.is_short() {
            let head = [
                tag(self.field, WireType::Length) as u8,
                self.length as u8,
                tag(1, WireType::Length) as u8,
                self.key.len() as u8,
            ];
            let value_head = [tag(2, WireType::Length) as u8, self.value_length as u8];
            let room = room.put(head).extend(self.key.as_bytes());
            return self.value.put(room.put(value_head));
        }
        let room = room
            .length(self.field, self.length)
            .bytes(1, self.key.as_bytes())
            .length(2, self.value_length);
        self.value.put(room)
    }
}

/// Appends a `KeyValue` whose value has at most `max_length` characters or bytes.
#[inline(always)]
pub(crate) fn append(
    bytes: &mut Vec<u8>,
    field: u32,
    key: &str,
    value: Value<'_>,
    max_length: Option<usize>,
) {
    match value {
        Value::Text(text) => write(bytes, field, key, text.truncated(max_length)),
        Value::Int(int) => write(bytes, field, key, int),
        Value::Bool(bool) => write(bytes, field, key, bool),
        value => write(bytes, field, key, value.truncated(max_length)),
    }
}

/// Appends a `KeyValue`.
#[inline(always)]
fn write<V: Encode>(bytes: &mut Vec<u8>, field: u32, key: &str, value: V) {
    let pair = KeyValue::new(field, key, value);
    append_here(bytes, pair.len(), pair);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::otlp::message::{Span, any_value};
    use crate::value::Value;
    use prost::Message;

    const FIELD: u32 = 9;

    fn read(attributes: &Attributes) -> Vec<(String, i64)> {
        let span = Span::decode(attributes.as_bytes()).unwrap();
        let pairs = span
            .attributes
            .into_iter()
            .map(|kv| (kv.key, kv.value.unwrap().value.unwrap()));
        pairs
            .map(|(key, value)| match value {
                any_value::Value::IntValue(int) => (key, int),
                other => panic!("{other:?}"),
            })
            .collect()
    }

    #[test]
    fn any_order_of_sets_and_unsets_gives_what_a_map_gives() {
        let mut state = 7u64;
        let mut next = move |below: u64| {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            (state >> 33) % below
        };
        for _ in 0..200 {
            let mut attributes = Attributes::default();
            let mut model: Vec<(String, i64)> = Vec::new();
            for _ in 0..30 {
                let key = "k".repeat(next(6) as usize);
                // Values of one to ten bytes, so that replacing changes lengths.
                let value = 1i64 << next(63);
                let known = model.iter().position(|(k, _)| *k == key);
                if next(4) == 0 {
                    attributes.unset(&key);
                    known.map(|index| model.remove(index));
                } else {
                    attributes.set(FIELD, &key, Value::Int(value), 4, Surplus::Newest);
                    match known {
                        Some(index) => model[index].1 = value,
                        None if model.len() < 4 => model.push((key, value)),
                        None => (),
                    }
                }
                assert_eq!(read(&attributes), model);
            }
        }
    }

    #[test]
    fn what_the_limit_leaves_out_is_counted() {
        let mut attributes = Attributes::default();
        for key in ["a", "b", "c", "a"] {
            attributes.set(FIELD, key, Value::Int(1), 2, Surplus::Newest);
        }
        assert_eq!((attributes.len(), attributes.dropped()), (2, 1));
    }

    #[test]
    fn where_the_oldest_goes_a_key_that_is_set_again_is_the_newest() {
        let mut attributes = Attributes::default();
        for (value, key) in ["a", "b", "a", "c"].into_iter().enumerate() {
            let value = Value::Int(value as i64);
            attributes.set(FIELD, key, value, 2, Surplus::Oldest);
        }
        assert_eq!(
            read(&attributes),
            [("a".to_owned(), 2), ("c".to_owned(), 3)]
        );
        assert_eq!(attributes.dropped(), 1);
        attributes.set(FIELD, "d", Value::Int(4), 0, Surplus::Oldest);
        assert_eq!((attributes.len(), attributes.dropped()), (2, 2));
    }
}
