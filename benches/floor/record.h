/* The working memory of one open span: name, attributes, events and status, already in wire form.
   Only open spans have one, so few are in use at once and those few stay in the cache; they are kept
   in a pool, and the one given back last is taken first. All of this happens under the GIL. */
#pragma once

#include "value.h"

enum { MAX_ATTRIBUTES = 128, MAX_EVENTS = 128, MAX_RECORDS = 8192 };
enum { INLINE_ATTRIBUTES = 16, INLINE_BYTES = 1024 };
enum { STATUS_UNSET, STATUS_OK, STATUS_ERROR };

typedef struct Record {
    struct Record *next; /* in the pool */
    uint32_t generation; /* one more with each span: a handle of an earlier span sees that */
    uint8_t kind, status;
    uint64_t start, parent_id;
    uint8_t *bytes;
    uint32_t size, capacity;
    uint32_t *hashes, *offsets; /* of each attribute: of its key, and where it begins in `bytes` */
    uint32_t attributes, max_indexed;
    uint32_t events, dropped_attributes, dropped_events, status_at;
    uint32_t inline_index[2 * INLINE_ATTRIBUTES] __attribute__((aligned(64)));
    uint8_t inline_bytes[INLINE_BYTES];
} Record;

static Record *record_pool;
static uint32_t records_made;
static uint64_t rejected_values;

static rare void use_inline_memory(Record *record) {
    if (record->bytes != record->inline_bytes) free(record->bytes);
    if (record->hashes != record->inline_index) free(record->hashes);
    record->bytes = record->inline_bytes;
    record->capacity = INLINE_BYTES;
    record->hashes = record->inline_index;
    record->offsets = record->inline_index + INLINE_ATTRIBUTES;
    record->max_indexed = INLINE_ATTRIBUTES;
}

static rare Record *new_record(void) {
    if (records_made == MAX_RECORDS) return NULL;
    Record *record = aligned_alloc(64, sizeof *record);
    if (record == NULL) out_of_memory();
    memset(record, 0, sizeof *record);
    record->bytes = record->inline_bytes;
    record->hashes = record->inline_index;
    use_inline_memory(record);
    records_made++;
    return record;
}

/* NULL when too many spans are open. */
static inline Record *claim_record(void) {
    Record *record = record_pool;
    if (unlikely(record == NULL)) {
        if ((record = new_record()) == NULL) return NULL;
    } else {
        record_pool = record->next;
    }
    record->size = record->attributes = record->events = record->status = 0;
    record->dropped_attributes = record->dropped_events = 0;
    return record;
}

static inline void release_record(Record *record) {
    if (unlikely(record->bytes != record->inline_bytes || record->hashes != record->inline_index))
        use_inline_memory(record);
    record->generation++;
    record->next = record_pool;
    record_pool = record;
}

static rare void grow_record(Record *record, size_t more) {
    size_t capacity = record->capacity;
    while (capacity < record->size + more) capacity *= 2;
    uint8_t *bytes = allocate(capacity);
    memcpy(bytes, record->bytes, record->size);
    if (record->bytes != record->inline_bytes) free(record->bytes);
    record->bytes = bytes;
    record->capacity = (uint32_t)capacity;
}

/* The place for `more` bytes at the end; `written_until` says where they ended. */
static inline uint8_t *room(Record *record, size_t more) {
    if (unlikely(record->size + more > record->capacity)) grow_record(record, more);
    return record->bytes + record->size;
}

static inline void written_until(Record *record, const uint8_t *end) {
    record->size = (uint32_t)(end - record->bytes);
}

/* Takes out the field that begins at `at`; what is behind moves up. */
static rare void cut_field(Record *record, uint32_t at) {
    uint32_t size;
    uint8_t *begin = record->bytes + at;
    const uint8_t *end = get_varint(begin + 1, &size) + size;
    uint32_t gone = (uint32_t)(end - begin);
    memmove(begin, end, (size_t)(record->bytes + record->size - end));
    record->size -= gone;
    for (uint32_t i = 0; i < record->attributes; i++)
        if (record->offsets[i] > at) record->offsets[i] -= gone;
    if (record->status_at > at) record->status_at -= gone;
}

static rare void grow_index(Record *record) {
    uint32_t *index = allocate(2 * MAX_ATTRIBUTES * sizeof *index);
    memcpy(index, record->hashes, record->attributes * sizeof *index);
    memcpy(index + MAX_ATTRIBUTES, record->offsets, record->attributes * sizeof *index);
    record->hashes = index;
    record->offsets = index + MAX_ATTRIBUTES;
    record->max_indexed = MAX_ATTRIBUTES;
}

static inline int key_is(const Record *record, uint32_t attribute, const uint8_t *key, size_t size) {
    uint32_t length;
    const uint8_t *at = record->bytes + record->offsets[attribute] + 1;
    at = get_varint(get_varint(at, &length) + 1, &length);
    return length == size && memcmp(at, key, size) == 0;
}

/* Where the attribute with this key is in the index, or -1. Compares four hashes at a time; both
   halves of the index are multiples of four long. */
static inline int find_attribute(const Record *record, uint32_t hash, const uint8_t *key,
                                 size_t size) {
    __m128i wanted = _mm_set1_epi32((int)hash);
    for (uint32_t first = 0; first < record->attributes; first += 4) {
        __m128i four = _mm_loadu_si128((const __m128i *)(record->hashes + first));
        unsigned equal = (unsigned)_mm_movemask_ps(_mm_castsi128_ps(_mm_cmpeq_epi32(four, wanted)));
        for (; unlikely(equal != 0); equal &= equal - 1) {
            uint32_t i = first + (uint32_t)__builtin_ctz(equal);
            if (i < record->attributes && key_is(record, i, key, size)) return (int)i;
        }
    }
    return -1;
}

/* A str keeps its hash once somebody asked for it, and the constants of a program have it. */
static inline uint32_t key_hash(PyObject *key) {
    Py_hash_t hash = ((PyASCIIObject *)key)->hash;
    return (uint32_t)(likely(hash != -1) ? hash : PyUnicode_Type.tp_hash(key));
}

static rare void unset_attribute(Record *record, uint32_t attribute) {
    cut_field(record, record->offsets[attribute]);
    uint32_t last = --record->attributes;
    record->hashes[attribute] = record->hashes[last];
    record->offsets[attribute] = record->offsets[last];
}

/* Sets an attribute; the last write of a key wins, None removes it. `key` is a str. */
static inline __attribute__((always_inline)) void set_attribute(Record *record, PyObject *key,
                                                                PyObject *object) {
    const uint8_t *text;
    Py_ssize_t length;
    Value value;
    if (unlikely(!utf8(key, &text, &length))) {
        rejected_values++;
        return;
    }
    uint32_t hash = key_hash(key);
    int known = find_attribute(record, hash, text, (size_t)length);
    if (unlikely(!read_scalar(object, &value))) {
        if (object != Py_None) {
            rejected_values++;
            record->dropped_attributes++;
        } else if (known >= 0) {
            unset_attribute(record, (uint32_t)known);
        }
        Py_CLEAR(value.owned);
        return;
    }
    size_t size = key_value_size((size_t)length, &value);
    uint32_t slot = record->attributes;
    if (unlikely(known >= 0)) {
        uint8_t *at = record->bytes + record->offsets[known];
        uint32_t old_size;
        get_varint(at + 1, &old_size);
        if (old_size == size) {
            put_key_value(at, 0x4a, text, (size_t)length, &value, size);
            goto done;
        }
        cut_field(record, record->offsets[known]);
        slot = (uint32_t)known;
    } else if (unlikely(slot == MAX_ATTRIBUTES)) {
        record->dropped_attributes++;
        goto done;
    } else {
        if (unlikely(slot == record->max_indexed)) grow_index(record);
        record->attributes++;
    }
    uint8_t *at = room(record, field_size(size));
    record->hashes[slot] = hash;
    record->offsets[slot] = record->size;
    written_until(record, put_key_value(at, 0x4a, text, (size_t)length, &value, size));
done:
    if (unlikely(value.owned != NULL)) Py_CLEAR(value.owned);
}

static void set_attributes(Record *record, PyObject *dict) {
    PyObject *key, *value;
    Py_ssize_t at = 0;
    while (PyDict_Next(dict, &at, &key, &value)) {
        if (likely(PyUnicode_Check(key)))
            set_attribute(record, key, value);
        else
            rejected_values++;
    }
}

static inline void put_event_attributes(Record *record, PyObject *dict) {
    PyObject *key, *object;
    Py_ssize_t at = 0;
    uint32_t count = 0;
    while (PyDict_Next(dict, &at, &key, &object)) {
        const uint8_t *text;
        Py_ssize_t length;
        Value value;
        if (count == MAX_ATTRIBUTES || !PyUnicode_Check(key) || !utf8(key, &text, &length) ||
            !read_scalar(object, &value)) {
            rejected_values++;
            continue;
        }
        count++;
        size_t size = key_value_size((size_t)length, &value);
        uint8_t *to = room(record, field_size(size));
        written_until(record, put_key_value(to, 0x1a, text, (size_t)length, &value, size));
        Py_CLEAR(value.owned);
    }
}

/* `attributes` is a dict or NULL. The event's length is known last; two bytes are left for it, which
   fit almost every event, and else the event moves. */
static void add_event(Record *record, uint64_t time_ns, PyObject *name, PyObject *attributes) {
    const uint8_t *text;
    Py_ssize_t length;
    if (unlikely(!utf8(name, &text, &length))) {
        rejected_values++;
        return;
    }
    if (unlikely(record->events == MAX_EVENTS)) {
        record->dropped_events++;
        return;
    }
    uint32_t begin = record->size;
    uint8_t *to = room(record, (size_t)length + 32) + 3;
    to = put_eight_bytes(to, 0x09, time_ns);
    written_until(record, put_text(to, 0x12, text, (size_t)length));
    if (attributes != NULL) put_event_attributes(record, attributes);

    uint32_t size = record->size - begin - 3;
    unsigned length_size = varint_size(size);
    room(record, 8);
    to = record->bytes + begin;
    if (length_size != 2) memmove(to + 1 + length_size, to + 3, size);
    *to = 0x5a;
    put_varint(to + 1, size);
    record->size = begin + 1 + length_size + size;
    record->events++;
}

/* OK is final; text counts with ERROR only. */
static void set_status(Record *record, uint8_t code, const uint8_t *text, size_t length) {
    if (code == STATUS_UNSET || record->status == STATUS_OK) return;
    if (unlikely(record->status != STATUS_UNSET)) cut_field(record, record->status_at);
    record->status = code;
    if (code != STATUS_ERROR) length = 0;
    record->status_at = record->size;
    uint8_t *to = room(record, length + 32);
    *to++ = 0x7a;
    to = put_varint(to, 2 + (length > 0 ? field_size(length) : 0));
    if (length > 0) to = put_text(to, 0x12, text, length);
    *to++ = 0x18;
    *to++ = code;
    written_until(record, to);
}
