//! A set of attributes in wire form: the last write of a key wins, and a limit is kept.

use crate::limits::Surplus;
use crate::value::{Encode, Value};
use crate::wire::{
    Field, Put, Room, WireType, append_here, field_len, first_field, tag, varint_len,
};

/// The attributes of one span, event, link or resource, each a `KeyValue` field of its message.
#[derive(Debug, Default)]
pub struct Attributes {
    bytes: Vec<u8>,
    entries: Vec<Entry>,
    dropped: u32,
}

/// Where one attribute lies in the bytes. They lie in the order in which keys were first set.
#[derive(Debug)]
struct Entry {
    start: usize,
    key_start: usize,
    key_length: usize,
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
        let key_start = write(&mut self.bytes, field, key, value);
        self.entries.push(Entry {
            start,
            key_start,
            key_length: key.len(),
            fingerprint,
        });
    }

    /// Removes `key`, if it is set.
    pub fn unset(&mut self, key: &str) {
        if let Some(index) = self.position(key, fingerprint(key)) {
            self.remove(index);
        }
    }

    /// Counts attributes that were left out before they came here.
    pub fn miss(&mut self, count: u32) {
        self.dropped += count;
    }

    /// The `AnyValue` of `key`, if it is set.
    pub(crate) fn get(&self, key: &str) -> Option<&[u8]> {
        let index = self.position(key, fingerprint(key))?;
        let key_end = self.entries[index].key_start + key.len();
        match first_field(&self.bytes[key_end..]) {
            Some((2, Field::Bytes(value), _)) => Some(value),
            _ => None,
        }
    }

    #[cold]
    fn remove(&mut self, index: usize) {
        let (start, end) = self.span_of(index);
        self.bytes.drain(start..end);
        self.entries.remove(index);
        self.shift(index, start as isize - end as isize);
    }

    /// The attributes as fields of their message.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// How many the limit left out.
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

    /// False while it is as [`Self::clear`] leaves it.
    #[inline(always)]
    pub(crate) fn is_touched(&self) -> bool {
        !self.bytes.is_empty() || self.dropped != 0
    }

    /// Empties the set and keeps its memory, up to `keep` bytes, for the next.
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
        self.entries.iter().position(|entry| {
            entry.fingerprint == fingerprint
                && &self.bytes[entry.key_start..entry.key_start + entry.key_length]
                    == key.as_bytes()
        })
    }

    fn span_of(&self, index: usize) -> (usize, usize) {
        let end = self
            .entries
            .get(index + 1)
            .map_or(self.bytes.len(), |next| next.start);
        (self.entries[index].start, end)
    }

    #[cold]
    fn replace<V: Encode>(&mut self, index: usize, field: u32, key: &str, value: V) {
        let (start, end) = self.span_of(index);
        let tail = self.bytes.len() - end;
        // Written behind the rest, then rotated into the old one's place: no second buffer.
        let key_start = write(&mut self.bytes, field, key, value);
        let length = self.bytes.len() - end - tail;
        self.bytes[start..].rotate_right(length);
        self.bytes.drain(start + length..length + end);
        self.entries[index].key_start = key_start - end - tail + start;
        self.shift(index + 1, length as isize - (end - start) as isize);
    }

    fn shift(&mut self, from: usize, by: isize) {
        for entry in &mut self.entries[from..] {
            entry.start = entry.start.wrapping_add_signed(by);
            entry.key_start = entry.key_start.wrapping_add_signed(by);
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

    /// How many of them come before the key.
    #[inline(always)]
    fn key_at(&self) -> usize {
        if self.is_short() {
            return 4;
        }
        let key_field = 1 + varint_len(self.key.len() as u64);
        self.len() - self.length + key_field
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
    };
}

/// Appends a `KeyValue` and says where its key begins.
#[inline(always)]
fn write<V: Encode>(bytes: &mut Vec<u8>, field: u32, key: &str, value: V) -> usize {
    let pair = KeyValue::new(field, key, value);
    let key_start = bytes.len() + pair.key_at();
    append_here(bytes, pair.len(), pair);
    key_start
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
