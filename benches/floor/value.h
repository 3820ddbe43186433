/* Python values as OTLP's AnyValue and KeyValue. A value is converted before the span is touched,
   and only exact types are read, so no Python code can run in between. */
#pragma once

#include "wire.h"

enum { STRING = 0x0a, BOOL = 0x10, INT = 0x18, DOUBLE = 0x21, ARRAY = 0x2a, BYTES = 0x3a };

typedef struct {
    uint8_t tag;
    size_t size;         /* of the AnyValue, all included */
    uint64_t number;     /* of BOOL, INT and DOUBLE; the size of an ARRAY's content */
    const uint8_t *text; /* of STRING and BYTES */
    Py_ssize_t length;
    PyObject *owned; /* what the text or the items belong to, where that must be kept */
} Value;

static Py_ssize_t max_value_length = PY_SSIZE_T_MAX;

/* The UTF-8 of a str: for ASCII the str's own bytes. False for a lone surrogate. */
static inline int utf8(PyObject *str, const uint8_t **text, Py_ssize_t *length) {
    if (likely(PyUnicode_IS_COMPACT_ASCII(str))) {
        *text = (const uint8_t *)((PyASCIIObject *)str + 1);
        *length = PyUnicode_GET_LENGTH(str);
        return 1;
    }
    *text = (const uint8_t *)PyUnicode_AsUTF8AndSize(str, length);
    if (*text == NULL) PyErr_Clear();
    return *text != NULL;
}

static inline int read_text(PyObject *object, Value *value) {
    value->tag = STRING;
    if (unlikely(!utf8(object, &value->text, &value->length))) return 0;
    if (unlikely(value->length > max_value_length)) {
        value->length = max_value_length;
        while (value->length > 0 && (value->text[value->length] & 0xc0) == 0x80) value->length--;
    }
    value->size = field_size((size_t)value->length);
    return 1;
}

static rare int read_big_int(PyObject *object, Value *value) {
    value->owned = PyObject_Str(object);
    if (value->owned != NULL) return read_text(value->owned, value);
    PyErr_Clear(); /* more digits than Python agrees to write */
    return 0;
}

static int read_value(PyObject *object, Value *value);

static rare int read_array(PyObject *object, Value *value) {
    value->tag = ARRAY;
    value->number = 0;
    for (Py_ssize_t i = 0; i < PySequence_Fast_GET_SIZE(object); i++) {
        PyObject *item = PySequence_Fast_GET_ITEM(object, i);
        Value inner;
        if (PyList_Check(item) || PyTuple_Check(item) || !read_value(item, &inner)) return 0;
        Py_CLEAR(inner.owned);
        value->number += field_size(inner.size);
    }
    value->owned = Py_NewRef(object);
    value->size = field_size(value->number);
    return 1;
}

/* False for what OTLP has no value for. After true the caller clears `owned`. */
static inline __attribute__((always_inline)) int read_scalar(PyObject *object, Value *value) {
    PyTypeObject *type = Py_TYPE(object);
    value->owned = NULL;
    if (likely(type == &PyUnicode_Type)) return read_text(object, value);
    if (type == &PyLong_Type) {
        int overflow;
        value->number = (uint64_t)PyLong_AsLongLongAndOverflow(object, &overflow);
        if (unlikely(overflow)) return read_big_int(object, value);
        value->tag = INT;
        value->size = 1 + varint_size(value->number);
        return 1;
    }
    if (type == &PyBool_Type) {
        value->tag = BOOL;
        value->number = object == Py_True;
        value->size = 2;
        return 1;
    }
    if (type == &PyFloat_Type) {
        value->tag = DOUBLE;
        memcpy(&value->number, &((PyFloatObject *)object)->ob_fval, 8);
        value->size = 9;
        return 1;
    }
    if (type == &PyBytes_Type) {
        value->tag = BYTES;
        value->text = (const uint8_t *)PyBytes_AS_STRING(object);
        value->length = PyBytes_GET_SIZE(object);
        value->size = field_size((size_t)value->length);
        return 1;
    }
    if (type == &PyList_Type || type == &PyTuple_Type) return read_array(object, value);
    return 0;
}

static rare int read_value(PyObject *object, Value *value) {
    return read_scalar(object, value);
}

static uint8_t *put_array(uint8_t *to, const Value *value);

static inline uint8_t *put_value(uint8_t *to, const Value *value) {
    switch (value->tag) {
    case STRING:
    case BYTES:
        return put_text(to, value->tag, value->text, (size_t)value->length);
    case DOUBLE:
        return put_eight_bytes(to, DOUBLE, value->number);
    case ARRAY:
        return put_array(to, value);
    default:
        *to++ = value->tag;
        return put_varint(to, value->number);
    }
}

static rare uint8_t *put_array(uint8_t *to, const Value *value) {
    *to++ = ARRAY;
    to = put_varint(to, value->number);
    for (Py_ssize_t i = 0; i < PySequence_Fast_GET_SIZE(value->owned); i++) {
        Value inner;
        read_value(PySequence_Fast_GET_ITEM(value->owned, i), &inner);
        *to++ = 0x0a;
        to = put_value(put_varint(to, inner.size), &inner);
        Py_CLEAR(inner.owned);
    }
    return to;
}

static inline size_t key_value_size(size_t key, const Value *value) {
    if (likely(key + value->size < 124)) return key + value->size + 4; /* lengths of one byte */
    return field_size(key) + field_size(value->size);
}

/* A KeyValue of `size` bytes as the field `tag`. */
static inline uint8_t *put_key_value(uint8_t *to, uint8_t tag, const uint8_t *key, size_t key_size,
                                     const Value *value, size_t size) {
    *to++ = tag;
    if (likely(size < 128)) { /* then every length inside is one byte as well */
        *to++ = (uint8_t)size;
        *to++ = 0x0a;
        *to++ = (uint8_t)key_size;
        to = put_bytes(to, key, key_size);
        *to++ = 0x12;
        *to++ = (uint8_t)value->size;
        if (likely(value->tag == STRING)) {
            *to++ = STRING;
            *to++ = (uint8_t)value->length;
            return put_bytes(to, value->text, (size_t)value->length);
        }
        return put_value(to, value);
    }
    to = put_text(put_varint(to, size), 0x0a, key, key_size);
    *to++ = 0x12;
    return put_value(put_varint(to, value->size), value);
}
