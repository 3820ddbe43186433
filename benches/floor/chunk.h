/* Finished spans in wire form, one after the other: what a local trace collects and the queue holds.
   A run is spans in a row of one tracer, whose name the worker must write before them. */
#pragma once

#include "base.h"

/* Sizes are the powers of two from 128 bytes to 1 MiB and three steps between each two, so a block
   that fits wastes a fifth at most. Larger ones come from malloc and go back to it. */
enum { SMALLEST = 128, SIZE_CLASSES = 53 };
#define NO_RUN UINT32_MAX

typedef struct Chunk {
    struct Chunk *next; /* in a pool */
    uint32_t capacity, size, spans;
    uint32_t run; /* where the last run begins */
    uint32_t size_class;
    uint8_t bytes[];
} Chunk;

/* Packed: a run lies where the spans before it end. */
typedef struct __attribute__((packed)) {
    uint32_t size, tracer;
} Run;

/* One pool a size, used under the GIL. The worker, which has no GIL, gives back to a stack that the
   app takes whole once its own pool is empty. */
static Chunk *chunk_pool[SIZE_CLASSES];
static _Atomic(Chunk *) returned_chunks[SIZE_CLASSES];

static inline unsigned size_class(size_t size) {
    if (size < SMALLEST) return 0;
    unsigned power = 63 - (unsigned)__builtin_clzll(size - 1);
    unsigned quarters = (unsigned)((size - 1) >> (power - 2)) + 1; /* 5 to 8 of this power of two */
    return 4 * power + quarters - 32;
}

static inline size_t class_size(unsigned class) {
    return (size_t)(4 + class % 4) << (5 + class / 4);
}

static rare Chunk *new_chunk(unsigned class, size_t size) {
    if (class < SIZE_CLASSES) {
        Chunk *all = atomic_exchange_explicit(&returned_chunks[class], NULL, memory_order_acquire);
        if (all != NULL) {
            chunk_pool[class] = all->next;
            return all;
        }
        size = class_size(class);
    }
    Chunk *chunk = allocate(size);
    chunk->capacity = (uint32_t)(size - sizeof *chunk);
    chunk->size_class = class < SIZE_CLASSES ? class : SIZE_CLASSES;
    return chunk;
}

static inline Chunk *claim_chunk(size_t bytes) {
    size_t size = bytes + sizeof(Chunk);
    unsigned class = size_class(size);
    Chunk *chunk = NULL;
    if (likely(class < SIZE_CLASSES)) chunk = chunk_pool[class];
    if (likely(chunk != NULL))
        chunk_pool[class] = chunk->next;
    else
        chunk = new_chunk(class, size);
    chunk->size = chunk->spans = 0;
    chunk->run = NO_RUN;
    return chunk;
}

static inline void release_chunk(Chunk *chunk) {
    if (unlikely(chunk->size_class == SIZE_CLASSES)) {
        free(chunk);
        return;
    }
    chunk->next = chunk_pool[chunk->size_class];
    chunk_pool[chunk->size_class] = chunk;
}

static void return_chunk(Chunk *chunk) {
    if (chunk->size_class == SIZE_CLASSES) {
        free(chunk);
        return;
    }
    _Atomic(Chunk *) *stack = &returned_chunks[chunk->size_class];
    chunk->next = atomic_load_explicit(stack, memory_order_relaxed);
    while (!atomic_compare_exchange_weak_explicit(stack, &chunk->next, chunk, memory_order_release,
                                                  memory_order_relaxed)) {
    }
}

static inline Chunk *move_chunk(Chunk *chunk, size_t capacity) {
    Chunk *other = claim_chunk(capacity);
    memcpy(other->bytes, chunk->bytes, chunk->size);
    other->size = chunk->size;
    other->spans = chunk->spans;
    other->run = chunk->run;
    release_chunk(chunk);
    return other;
}

/* Nobody knows what the thread that was lost in a fork held: the child leaves it all behind. */
static void forget_chunks(void) {
    memset(chunk_pool, 0, sizeof chunk_pool);
    for (int i = 0; i < SIZE_CLASSES; i++) returned_chunks[i] = NULL;
}
