//! Room that was made once for what is about to be written: what is hot is measured first, and then
//! put down without a look at the buffer's capacity for each piece.
#![allow(
    unsafe_code,
    reason = "bytes that are written past the end of a Vec become part of it"
)]

use std::mem::MaybeUninit;

use super::{WireType, tag};

/// The free end of a buffer, being filled from its front. It is passed on by value, in two registers:
/// what passes through memory waits there.
pub(crate) struct Room<'a>(&'a mut [MaybeUninit<u8>]);

/// What is put into a room. A closure may stay a function of its own, whatever the compiler is told, and
/// then all that it takes passes through memory; this becomes part of whoever appends it.
pub(crate) trait Put {
    /// Puts all of it.
    fn put(self, room: Room<'_>) -> Room<'_>;
}

/// A few bytes.
impl Put for &[u8] {
    #[inline(always)]
    fn put(self, room: Room<'_>) -> Room<'_> {
        room.extend(self)
    }
}

struct ByClosure<F>(F);

impl<F: for<'a> FnOnce(Room<'a>) -> Room<'a>> Put for ByClosure<F> {
    #[inline(always)]
    fn put(self, room: Room<'_>) -> Room<'_> {
        self.0(room)
    }
}

/// Appends what `put` puts, at most `length` bytes, or a few of what is there already.
#[inline(always)]
pub(crate) fn append(
    buffer: &mut Vec<u8>,
    length: usize,
    put: impl for<'a> FnOnce(Room<'a>) -> Room<'a>,
) {
    append_here(buffer, length, ByClosure(put));
}

/// The same for what is to become part of the caller.
#[inline(always)]
pub(crate) fn append_here(buffer: &mut Vec<u8>, length: usize, content: impl Put) {
    buffer.reserve(length);
    let start = buffer.len();
    let spare = buffer.spare_capacity_mut();
    let before = spare.len();
    let rest = content.put(Room(spare));
    let written = before - rest.0.len();
    // SAFETY: a room only ever gives up bytes at its front, and only those that it has written
    // (`put`, `fixed`, `extend`), and `rest` is of the room that was given, since no other has its
    // lifetime: the first `written` bytes of the spare capacity are initialized.
    unsafe { buffer.set_len(start + written) };
}

impl<'a> Room<'a> {
    /// Room for fields whose lengths are all known when this is compiled, `N` bytes together: one look
    /// serves for all of them. And the rest.
    #[inline(always)]
    pub(crate) fn fixed<const N: usize>(self) -> Fixed<'a, N> {
        let (front, rest) = self
            .0
            .split_first_chunk_mut::<N>()
            .expect("the room was measured");
        Fixed {
            front,
            filled: 0,
            rest,
        }
    }

    /// So many bytes.
    #[inline(always)]
    pub(crate) fn put<const N: usize>(self, bytes: [u8; N]) -> Self {
        let (front, rest) = self
            .0
            .split_first_chunk_mut::<N>()
            .expect("the room was measured");
        *front = bytes.map(MaybeUninit::new);
        Self(rest)
    }

    /// Bytes, which are few: keys, names and most texts. Two copies of a fixed length that overlap
    /// cost less than a call that finds out the length.
    #[inline(always)]
    pub(crate) fn extend(self, bytes: &[u8]) -> Self {
        let (front, rest) = self
            .0
            .split_at_mut_checked(bytes.len())
            .expect("the room was measured");
        // The usual lengths first, each by few questions.
        let length = bytes.len();
        if length < 16 {
            if length >= 8 {
                by_ends::<8>(front, bytes);
            } else if length >= 4 {
                by_ends::<4>(front, bytes);
            } else {
                copy(front, bytes);
            }
        } else if length <= 32 {
            by_ends::<16>(front, bytes);
        } else if length <= 64 {
            by_ends::<32>(front, bytes);
        } else {
            copy(front, bytes);
        }
        Self(rest)
    }

    /// A varint.
    #[inline(always)]
    pub(crate) fn varint(self, value: u64) -> Self {
        if value < 0x80 {
            return self.put([value as u8]);
        }
        if value < 0x4000 {
            return self.put([value as u8 | 0x80, (value >> 7) as u8]);
        }
        self.long_varint(value)
    }

    #[inline(never)]
    fn long_varint(self, value: u64) -> Self {
        let (mut room, mut value) = (self, value);
        while value >= 0x80 {
            room = room.put([value as u8 | 0x80]);
            value >>= 7;
        }
        room.put([value as u8])
    }

    /// The tag and length of a field of `length` bytes, which the caller puts next.
    #[inline(always)]
    pub(crate) fn length(self, field: u32, length: usize) -> Self {
        let tag = tag(field, WireType::Length);
        // Known when this is compiled, and so are most lengths short: one look at the room for both.
        if tag < 0x80 && length < 0x80 {
            return self.put([tag as u8, length as u8]);
        }
        self.varint(u64::from(tag)).varint(length as u64)
    }

    /// A field of bytes or text.
    #[inline(always)]
    pub(crate) fn bytes(self, field: u32, bytes: &[u8]) -> Self {
        self.length(field, bytes.len()).extend(bytes)
    }

    /// The same; an empty one is left out.
    #[inline(always)]
    pub(crate) fn optional(self, field: u32, bytes: &[u8]) -> Self {
        if bytes.is_empty() {
            self
        } else {
            self.bytes(field, bytes)
        }
    }

    /// A varint field.
    #[inline(always)]
    pub(crate) fn number(self, field: u32, value: u64) -> Self {
        self.varint(u64::from(tag(field, WireType::Varint)))
            .varint(value)
    }
}

/// Room for `N` bytes, of which the first are filled, and the rest.
pub(crate) struct Fixed<'a, const N: usize> {
    front: &'a mut [MaybeUninit<u8>; N],
    filled: usize,
    rest: &'a mut [MaybeUninit<u8>],
}

impl<'a, const N: usize> Fixed<'a, N> {
    /// So many bytes.
    #[inline(always)]
    pub(crate) fn put<const M: usize>(self, bytes: [u8; M]) -> Self {
        let Self {
            front,
            filled,
            rest,
        } = self;
        front[filled..filled + M].copy_from_slice(&bytes.map(MaybeUninit::new));
        Self {
            front,
            filled: filled + M,
            rest,
        }
    }

    /// The rest, once all is filled.
    #[inline(always)]
    pub(crate) fn rest(self) -> Room<'a> {
        assert!(self.filled == N, "the fields take all of it");
        Room(self.rest)
    }
}

/// For slices of one length, which is from `N` to twice that.
#[inline(always)]
fn by_ends<const N: usize>(to: &mut [MaybeUninit<u8>], from: &[u8]) {
    if let (Some(to), Some(from)) = (to.first_chunk_mut::<N>(), from.first_chunk::<N>()) {
        *to = from.map(MaybeUninit::new);
    }
    if let (Some(to), Some(from)) = (to.last_chunk_mut::<N>(), from.last_chunk::<N>()) {
        *to = from.map(MaybeUninit::new);
    }
}

#[inline(always)]
fn copy(to: &mut [MaybeUninit<u8>], from: &[u8]) {
    // SAFETY: initialized bytes are also bytes that may be uninitialized: the two types have one
    // layout (std, `MaybeUninit`: "same size, alignment, and ABI"), and nothing is written through it.
    let from = unsafe { &*(std::ptr::from_ref(from) as *const [MaybeUninit<u8>]) };
    to.copy_from_slice(from);
}
