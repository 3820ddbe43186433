//! Attribute values, written at once in OTLP wire form (`AnyValue`).

use crate::wire::{Room, WireType, append, put_bytes, put_message, tag, varint_len};

/// Fields of `AnyValue`.
const TEXT: u32 = 1;
const BOOL: u32 = 2;
const INT: u32 = 3;
const DOUBLE: u32 = 4;
const ARRAY: u32 = 5;
const MAP: u32 = 6;
const BYTES: u32 = 7;

/// One attribute value.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Value<'a> {
    /// Text.
    Text(&'a str),
    /// True or false.
    Bool(bool),
    /// A whole number.
    Int(i64),
    /// A number; NaN and infinities are kept.
    Double(f64),
    /// Bytes.
    Bytes(&'a [u8]),
    /// A value that a [`ValueWriter`] wrote.
    Encoded(&'a [u8]),
}

/// A value that becomes an `AnyValue`: of one known type, so that it is passed in registers, or any.
pub(crate) trait Encode: Copy {
    /// How many bytes its `AnyValue` takes.
    fn encoded_len(self) -> usize;
    /// Puts its `AnyValue`.
    fn put(self, room: Room<'_>) -> Room<'_>;
    /// Appends its `AnyValue`.
    #[inline]
    fn write(self, buffer: &mut Vec<u8>) {
        append(buffer, self.encoded_len(), |room| self.put(room));
    }
    /// The value cut to `max_length` characters or bytes.
    #[inline(always)]
    fn truncated(self, max_length: Option<usize>) -> Self {
        let _ = max_length;
        self
    }
}

impl Encode for &str {
    #[inline(always)]
    fn encoded_len(self) -> usize {
        1 + varint_len(self.len() as u64) + self.len()
    }

    #[inline(always)]
    fn put(self, room: Room<'_>) -> Room<'_> {
        room.bytes(TEXT, self.as_bytes())
    }

    #[inline(always)]
    fn truncated(self, max_length: Option<usize>) -> Self {
        max_length.map_or(self, |max| truncate(self, max))
    }
}

impl Encode for bool {
    #[inline(always)]
    fn encoded_len(self) -> usize {
        2
    }

    #[inline(always)]
    fn put(self, room: Room<'_>) -> Room<'_> {
        room.put([tag(BOOL, WireType::Varint) as u8, u8::from(self)])
    }
}

impl Encode for i64 {
    #[inline(always)]
    fn encoded_len(self) -> usize {
        1 + varint_len(self as u64)
    }

    #[inline(always)]
    fn put(self, room: Room<'_>) -> Room<'_> {
        room.number(INT, self as u64)
    }
}

impl Encode for f64 {
    #[inline(always)]
    fn encoded_len(self) -> usize {
        9
    }

    #[inline(always)]
    fn put(self, room: Room<'_>) -> Room<'_> {
        room.put([tag(DOUBLE, WireType::Fixed64) as u8])
            .put(self.to_le_bytes())
    }
}

impl Encode for &[u8] {
    #[inline(always)]
    fn encoded_len(self) -> usize {
        1 + varint_len(self.len() as u64) + self.len()
    }

    #[inline(always)]
    fn put(self, room: Room<'_>) -> Room<'_> {
        room.bytes(BYTES, self)
    }

    #[inline(always)]
    fn truncated(self, max_length: Option<usize>) -> Self {
        max_length.map_or(self, |max| &self[..self.len().min(max)])
    }
}

/// What a [`ValueWriter`] wrote is cut there.
impl Encode for Value<'_> {
    #[inline(always)]
    fn encoded_len(self) -> usize {
        match self {
            Self::Text(text) => text.encoded_len(),
            Self::Bool(bool) => bool.encoded_len(),
            Self::Int(int) => int.encoded_len(),
            Self::Double(double) => double.encoded_len(),
            Self::Bytes(bytes) => bytes.encoded_len(),
            Self::Encoded(bytes) => bytes.len(),
        }
    }

    #[inline(always)]
    fn put(self, room: Room<'_>) -> Room<'_> {
        match self {
            Self::Text(text) => text.put(room),
            Self::Bool(bool) => bool.put(room),
            Self::Int(int) => int.put(room),
            Self::Double(double) => double.put(room),
            Self::Bytes(bytes) => bytes.put(room),
            Self::Encoded(bytes) => room.extend(bytes),
        }
    }

    #[inline(always)]
    fn truncated(self, max_length: Option<usize>) -> Self {
        match self {
            Self::Text(text) => Self::Text(text.truncated(max_length)),
            Self::Bytes(bytes) => Self::Bytes(bytes.truncated(max_length)),
            value => value,
        }
    }
}

/// The first `max` characters of `text`.
fn truncate(text: &str, max: usize) -> &str {
    if text.len() <= max {
        return text;
    }
    text.char_indices()
        .nth(max)
        .map_or(text, |(end, _)| &text[..end])
}

/// Writes one value, nested or not, into a buffer.
pub struct ValueWriter<'a> {
    buffer: &'a mut Vec<u8>,
    max_length: Option<usize>,
}

impl<'a> ValueWriter<'a> {
    /// A writer at the end of `buffer`; `max_length` is [`crate::SpanLimits::attribute_value_length`].
    pub fn new(buffer: &'a mut Vec<u8>, max_length: Option<usize>) -> Self {
        Self { buffer, max_length }
    }

    /// Writes a value that is not nested.
    pub fn value(&mut self, value: Value<'_>) {
        value.truncated(self.max_length).write(self.buffer);
    }

    /// Writes an array; `write` adds its items.
    pub fn array<R>(&mut self, write: impl FnOnce(&mut ArrayWriter<'_>) -> R) -> R {
        let max_length = self.max_length;
        put_message(self.buffer, ARRAY, |buffer| {
            write(&mut ArrayWriter { buffer, max_length })
        })
    }

    /// Writes a map; `write` adds its entries.
    pub fn map<R>(&mut self, write: impl FnOnce(&mut MapWriter<'_>) -> R) -> R {
        let max_length = self.max_length;
        put_message(self.buffer, MAP, |buffer| {
            write(&mut MapWriter {
                buffer,
                max_length,
                entries: Vec::new(),
            })
        })
    }
}

/// Writes the items of an array.
pub struct ArrayWriter<'a> {
    buffer: &'a mut Vec<u8>,
    max_length: Option<usize>,
}

impl ArrayWriter<'_> {
    /// Adds an item; one that `write` leaves empty is the empty value.
    pub fn item<R>(&mut self, write: impl FnOnce(ValueWriter<'_>) -> R) -> R {
        put_message(self.buffer, 1, |buffer| {
            write(ValueWriter::new(buffer, self.max_length))
        })
    }
}

/// Writes the entries of a map. A key written twice keeps its last value: `{1: "a", "1": "b"}` has
/// one key once its keys are text.
pub struct MapWriter<'a> {
    buffer: &'a mut Vec<u8>,
    max_length: Option<usize>,
    /// Where each entry begins, and its key.
    entries: Vec<(usize, Box<str>)>,
}

impl MapWriter<'_> {
    /// Adds an entry; a value that `write` leaves empty is the empty value.
    pub fn entry<R>(&mut self, key: &str, write: impl FnOnce(ValueWriter<'_>) -> R) -> R {
        self.remove(key);
        self.entries.push((self.buffer.len(), key.into()));
        let max_length = self.max_length;
        put_message(self.buffer, 1, |buffer| {
            put_bytes(buffer, 1, key.as_bytes());
            put_message(buffer, 2, |buffer| {
                write(ValueWriter::new(buffer, max_length))
            })
        })
    }

    fn remove(&mut self, key: &str) {
        let Some(index) = self.entries.iter().position(|(_, known)| **known == *key) else {
            return;
        };
        let (start, _) = self.entries.remove(index);
        let end = self
            .entries
            .get(index)
            .map_or(self.buffer.len(), |(next, _)| *next);
        self.buffer.drain(start..end);
        for (later, _) in &mut self.entries[index..] {
            *later -= end - start;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::otlp::message::{AnyValue, any_value::Value as Read};
    use prost::Message;

    fn read(write: impl FnOnce(&mut ValueWriter<'_>)) -> Option<Read> {
        let mut buffer = Vec::new();
        write(&mut ValueWriter::new(&mut buffer, Some(3)));
        AnyValue::decode(buffer.as_slice()).unwrap().value
    }

    #[test]
    fn a_value_is_as_long_as_it_says() {
        let long = "x".repeat(300);
        for value in [
            Value::Text(""),
            Value::Text(&long),
            Value::Bool(false),
            Value::Int(-1),
            Value::Int(i64::MAX),
            Value::Double(f64::NAN),
            Value::Bytes(&[0; 200]),
        ] {
            let mut buffer = Vec::new();
            value.write(&mut buffer);
            assert_eq!(buffer.len(), value.encoded_len(), "{value:?}");
        }
    }

    #[test]
    fn text_is_cut_by_characters_also_inside_arrays_and_maps() {
        let value = read(|w| {
            w.array(|items| {
                items.item(|mut w| w.value(Value::Text("äöüß")));
                items.item(|mut w| {
                    w.map(|map| map.entry("key stays", |mut w| w.value(Value::Bytes(b"12345"))));
                });
                items.item(|_| ());
            });
        });
        let Some(Read::ArrayValue(array)) = value else {
            panic!("{value:?}")
        };
        assert_eq!(array.values[0].value, Some(Read::StringValue("äöü".into())));
        let Some(Read::KvlistValue(map)) = &array.values[1].value else {
            panic!("no map")
        };
        assert_eq!(map.values[0].key, "key stays");
        assert_eq!(
            map.values[0].value.as_ref().unwrap().value,
            Some(Read::BytesValue(b"123".to_vec()))
        );
        assert_eq!(array.values[2].value, None);
    }

    #[test]
    fn a_map_key_written_twice_keeps_its_last_value() {
        let value = read(|w| {
            w.map(|map| {
                map.entry("a", |mut w| w.value(Value::Int(1)));
                map.entry("b", |mut w| w.value(Value::Int(2)));
                map.entry("a", |mut w| w.value(Value::Int(3)));
            });
        });
        let Some(Read::KvlistValue(map)) = value else {
            panic!("{value:?}")
        };
        let read: Vec<_> = map
            .values
            .iter()
            .map(|kv| (kv.key.as_str(), kv.value.clone().unwrap().value.unwrap()))
            .collect();
        assert_eq!(read, [("b", Read::IntValue(2)), ("a", Read::IntValue(3))]);
    }
}
