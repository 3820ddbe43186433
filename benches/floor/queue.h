/* The bounded queue between the app, which pushes under the GIL, and one taker, which has no GIL.
   Pointers only; and no atomic operation that locks the bus. */
#pragma once

#include "chunk.h"

enum { QUEUE_LENGTH = 8192 };

static Chunk *queue[QUEUE_LENGTH];
static _Atomic uint64_t pushed, taken; /* chunks, ever */
static _Atomic uint64_t spans_taken, bytes_taken;
static uint64_t spans_pushed, bytes_pushed, spans_dropped, traces_dropped;
static uint64_t max_queued_spans = 1u << 20, max_queued_bytes = 256u << 20;

/* What does not fit is dropped whole, and counted. */
static inline void push_chunk(Chunk *chunk) {
    /* A chunk is filled in a block with room to spare, which stays in the cache; what waits takes no
       more memory than it needs. */
    if (size_class(chunk->size + sizeof(Chunk)) < chunk->size_class)
        chunk = move_chunk(chunk, chunk->size);
    uint64_t last = atomic_load_explicit(&pushed, memory_order_relaxed);
    uint64_t first = atomic_load_explicit(&taken, memory_order_acquire);
    uint64_t spans = spans_pushed - atomic_load_explicit(&spans_taken, memory_order_relaxed);
    uint64_t bytes = bytes_pushed - atomic_load_explicit(&bytes_taken, memory_order_relaxed);
    if (unlikely(last - first == QUEUE_LENGTH || spans + chunk->spans > max_queued_spans ||
                 bytes + chunk->size > max_queued_bytes)) {
        traces_dropped++;
        spans_dropped += chunk->spans;
        release_chunk(chunk);
        return;
    }
    spans_pushed += chunk->spans;
    bytes_pushed += chunk->size;
    queue[last % QUEUE_LENGTH] = chunk;
    atomic_store_explicit(&pushed, last + 1, memory_order_release);
}

/* Takes the oldest chunk, or NULL. */
static Chunk *take_chunk(void) {
    uint64_t first = atomic_load_explicit(&taken, memory_order_relaxed);
    if (first == atomic_load_explicit(&pushed, memory_order_acquire)) return NULL;
    Chunk *chunk = queue[first % QUEUE_LENGTH];
    atomic_store_explicit(&taken, first + 1, memory_order_release);
    atomic_fetch_add_explicit(&spans_taken, chunk->spans, memory_order_relaxed);
    atomic_fetch_add_explicit(&bytes_taken, chunk->size, memory_order_relaxed);
    return chunk;
}

static void forget_queue(void) {
    atomic_store(&taken, atomic_load(&pushed));
    spans_taken = spans_pushed;
    bytes_taken = bytes_pushed;
}
