/* Protobuf's wire form. Writers take the place to write at and return the place behind; making room
   is the caller's business. A tag is one byte: the field's number, times eight, plus its wire type
   (0 varint, 1 eight bytes, 2 length and bytes, 5 four bytes). */
#pragma once

#include "base.h"

static inline unsigned varint_size(uint64_t value) {
    unsigned highest_bit = 63 - (unsigned)__builtin_clzll(value | 1);
    return (highest_bit * 9 + 73) / 64; /* bits / 7, rounded up, without a division */
}

static inline uint8_t *put_varint(uint8_t *to, uint64_t value) {
    for (; value >= 128; value >>= 7) *to++ = (uint8_t)(value | 128);
    *to++ = (uint8_t)value;
    return to;
}

static inline const uint8_t *get_varint(const uint8_t *from, uint32_t *value) {
    uint32_t result = *from & 127;
    for (int shift = 7; *from++ & 128; shift += 7) result |= (uint32_t)(*from & 127) << shift;
    *value = result;
    return from;
}

static inline uint8_t *put_eight_bytes(uint8_t *to, uint8_t tag, uint64_t value) {
    *to = tag;
    memcpy(to + 1, &value, 8);
    return to + 9;
}

/* A copy of text or of a record is short, and then the call of memcpy costs more than the copy.
   Each branch copies from both ends; the middle is written twice. */
static inline uint8_t *put_bytes(uint8_t *to, const uint8_t *from, size_t size) {
    if (size > 128) {
        memcpy(to, from, size);
    } else if (size >= 16) {
        for (size_t i = 0; i + 16 < size; i += 16)
            _mm_storeu_si128((__m128i *)(to + i), _mm_loadu_si128((const __m128i *)(from + i)));
        size_t last = size - 16;
        _mm_storeu_si128((__m128i *)(to + last), _mm_loadu_si128((const __m128i *)(from + last)));
    } else if (size >= 8) {
        uint64_t first, last;
        memcpy(&first, from, 8);
        memcpy(&last, from + size - 8, 8);
        memcpy(to, &first, 8);
        memcpy(to + size - 8, &last, 8);
    } else if (size >= 4) {
        uint32_t first, last;
        memcpy(&first, from, 4);
        memcpy(&last, from + size - 4, 4);
        memcpy(to, &first, 4);
        memcpy(to + size - 4, &last, 4);
    } else if (size > 0) {
        uint8_t first = from[0], middle = from[size / 2], last = from[size - 1];
        to[0] = first;
        to[size / 2] = middle;
        to[size - 1] = last;
    }
    return to + size;
}

static inline uint8_t *put_text(uint8_t *to, uint8_t tag, const uint8_t *text, size_t size) {
    *to++ = tag;
    return put_bytes(put_varint(to, size), text, size);
}

/* The size of a field of `size` bytes with a tag of one byte. */
static inline size_t field_size(size_t size) {
    return 1 + varint_size(size) + size;
}
