//! Protobuf's wire format: tags, varints, and messages whose length is known only once written.

mod room;

pub(crate) use room::{Put, Room, append, append_here};

/// The wire types that OTLP uses.
#[derive(Clone, Copy)]
pub(crate) enum WireType {
    Varint = 0,
    Fixed64 = 1,
    Length = 2,
    Fixed32 = 5,
}

/// The tag of a field.
pub(crate) const fn tag(field: u32, wire_type: WireType) -> u32 {
    field << 3 | wire_type as u32
}

/// How many bytes `value` takes as a varint.
#[inline(always)]
pub(crate) fn varint_len(value: u64) -> usize {
    if value < 0x80 {
        return 1;
    }
    // One byte for each seven bits begun, 1 to 10; a division by seven as a product.
    let bits = 64 - value.leading_zeros() as usize;
    (bits * 9 + 64) >> 6
}

/// Appends `value` as a varint.
#[inline]
pub(crate) fn put_varint(buffer: &mut Vec<u8>, value: u64) {
    append(buffer, varint_len(value), |room| room.varint(value));
}

/// How many bytes a length-delimited field takes, its tag included.
#[inline(always)]
pub(crate) fn field_len(field: u32, length: usize) -> usize {
    varint_len(u64::from(tag(field, WireType::Length))) + varint_len(length as u64) + length
}

/// Appends the tag and length of a field of `length` bytes, which the caller appends next.
#[inline]
pub(crate) fn put_length(buffer: &mut Vec<u8>, field: u32, length: usize) {
    put_varint(buffer, u64::from(tag(field, WireType::Length)));
    put_varint(buffer, length as u64);
}

/// Appends a field of bytes or text.
#[inline]
pub(crate) fn put_bytes(buffer: &mut Vec<u8>, field: u32, bytes: &[u8]) {
    append(buffer, field_len(field, bytes.len()), |room| {
        room.bytes(field, bytes)
    });
}

/// Appends a varint field.
#[inline]
pub(crate) fn put_number(buffer: &mut Vec<u8>, field: u32, value: u64) {
    put_varint(buffer, u64::from(tag(field, WireType::Varint)));
    put_varint(buffer, value);
}

/// Appends a field of eight bytes.
#[inline]
pub(crate) fn put_fixed64(buffer: &mut Vec<u8>, field: u32, value: u64) {
    put_varint(buffer, u64::from(tag(field, WireType::Fixed64)));
    buffer.extend_from_slice(&value.to_le_bytes());
}

/// Appends a field of four bytes.
#[inline]
pub(crate) fn put_fixed32(buffer: &mut Vec<u8>, field: u32, value: u32) {
    put_varint(buffer, u64::from(tag(field, WireType::Fixed32)));
    buffer.extend_from_slice(&value.to_le_bytes());
}

/// Appends a message that `write` writes. One byte is kept for its length; a longer length moves
/// the message up, which only nested values of 128 bytes and more pay for.
pub(crate) fn put_message<R>(
    buffer: &mut Vec<u8>,
    field: u32,
    write: impl FnOnce(&mut Vec<u8>) -> R,
) -> R {
    put_varint(buffer, u64::from(tag(field, WireType::Length)));
    let start = buffer.len();
    buffer.push(0);
    let result = write(buffer);
    put_length_at(buffer, start);
    result
}

/// Writes the length of all that comes after `at`, where one byte is kept for it.
#[inline(always)]
pub(crate) fn put_length_at(buffer: &mut Vec<u8>, at: usize) {
    match u8::try_from(buffer.len() - at - 1) {
        Ok(length @ ..0x80) => buffer[at] = length,
        _ => put_long_length_at(buffer, at),
    }
}

#[cold]
fn put_long_length_at(buffer: &mut Vec<u8>, at: usize) {
    let end = buffer.len();
    let mut rest = end - at - 1;
    let extra = varint_len(rest as u64) - 1;
    buffer.resize(end + extra, 0);
    buffer.copy_within(at + 1..end, at + 1 + extra);
    for byte in &mut buffer[at..at + extra] {
        *byte = rest as u8 | 0x80;
        rest >>= 7;
    }
    buffer[at + extra] = rest as u8;
}

/// One field of a message as found in its bytes.
pub(crate) enum Field<'a> {
    Varint,
    Fixed,
    Bytes(&'a [u8]),
}

impl<'a> Field<'a> {
    /// What is in it, if it is bytes or a message.
    pub(crate) fn bytes(self) -> Option<&'a [u8]> {
        match self {
            Self::Bytes(bytes) => Some(bytes),
            Self::Varint | Self::Fixed => None,
        }
    }
}

/// How long the field is where an empty one is left out.
pub(crate) fn optional_len(number: u32, length: usize) -> usize {
    if length == 0 {
        0
    } else {
        field_len(number, length)
    }
}

/// Appends a field of bytes; an empty one is left out.
pub(crate) fn put_optional(buffer: &mut Vec<u8>, number: u32, bytes: &[u8]) {
    if !bytes.is_empty() {
        put_bytes(buffer, number, bytes);
    }
}

/// The number, content and whole length of the first field of `bytes`; None at the end, or where
/// the bytes are not ours.
pub(crate) fn first_field(bytes: &[u8]) -> Option<(u32, Field<'_>, usize)> {
    let mut rest = bytes;
    let tag = take_varint(&mut rest)?;
    let field = match tag & 7 {
        0 => {
            take_varint(&mut rest)?;
            Field::Varint
        }
        1 => {
            rest = rest.get(8..)?;
            Field::Fixed
        }
        5 => {
            rest = rest.get(4..)?;
            Field::Fixed
        }
        2 => {
            let length = usize::try_from(take_varint(&mut rest)?).ok()?;
            let content = rest.get(..length)?;
            rest = &rest[length..];
            Field::Bytes(content)
        }
        _ => return None,
    };
    Some(((tag >> 3) as u32, field, bytes.len() - rest.len()))
}

fn take_varint(bytes: &mut &[u8]) -> Option<u64> {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let (&byte, rest) = bytes.split_first()?;
        *bytes = rest;
        value |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return Some(value);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_of_any_length_are_appended_as_they_are() {
        let bytes: Vec<u8> = (0..100).collect();
        for length in 0..bytes.len() {
            let mut buffer = vec![7; 3];
            append(&mut buffer, length, |room| room.extend(&bytes[..length]));
            assert_eq!(buffer[..3], [7; 3]);
            assert_eq!(buffer[3..], bytes[..length]);
        }
    }

    #[test]
    #[should_panic(expected = "the room was measured")]
    fn more_than_there_is_room_for_is_not_written() {
        let mut buffer = Vec::with_capacity(4);
        append(&mut buffer, 4, |room| room.extend(&[0; 5]));
    }

    #[test]
    fn a_varint_is_as_long_as_it_says_and_reads_back() {
        for value in (0..64)
            .flat_map(|shift| [(1u64 << shift) - 1, 1 << shift])
            .chain([u64::MAX])
        {
            let mut buffer = Vec::new();
            put_varint(&mut buffer, value);
            assert_eq!(buffer.len(), varint_len(value), "{value}");
            assert_eq!(take_varint(&mut buffer.as_slice()), Some(value));
        }
    }

    #[test]
    fn a_message_of_any_length_reads_back() {
        for length in [0, 1, 127, 128, 16_383, 16_384, 2_097_152] {
            let mut buffer = vec![9];
            put_message(&mut buffer, 3, |b| b.extend(std::iter::repeat_n(7, length)));
            let (number, field, whole) = first_field(&buffer[1..]).unwrap();
            let Field::Bytes(content) = field else {
                panic!("not a message")
            };
            assert_eq!((number, whole), (3, buffer.len() - 1));
            assert_eq!(whole, field_len(3, length));
            assert_eq!(content, vec![7; length]);
        }
    }

    #[test]
    fn a_cut_off_field_is_no_field() {
        let mut buffer = Vec::new();
        put_bytes(&mut buffer, 1, b"abc");
        for end in 0..buffer.len() {
            assert!(first_field(&buffer[..end]).is_none());
        }
    }
}
