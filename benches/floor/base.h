/* What every file here needs: the C library, CPython, and a few words that GCC and Clang know. */
#pragma once

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <x86intrin.h>

#define likely(x) __builtin_expect(!!(x), 1)
#define unlikely(x) __builtin_expect(!!(x), 0)
/* Rare paths stay out of the callers, whose code is then small enough to stay in the cache. */
#define rare __attribute__((noinline, cold))

static rare void out_of_memory(void) {
    Py_FatalError("floor: out of memory");
}

static inline void *allocate(size_t size) {
    void *memory = malloc(size);
    if (unlikely(memory == NULL)) out_of_memory();
    return memory;
}
