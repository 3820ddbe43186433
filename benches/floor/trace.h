/* The local trace: the spans of one request in this process. Its finished spans wait in one chunk
   for the root. The chunk has one owner at a time, taken by exchange, so the worker may take it too
   when its oldest span has waited for too long. */
#pragma once

#include "clock.h"
#include "queue.h"
#include "record.h"

enum { MAX_TRACES = 8192, WORKING_CHUNK = 4096, LARGE_CHUNK = 65536 };

typedef struct Trace {
    _Atomic(Chunk *) chunk;  /* put there by the app only, taken by app and worker */
    _Atomic uint64_t waiting; /* the tick at which the chunk's oldest span ended; 0 for no chunk */
    Anchor anchor;
    struct Trace *next;  /* in the pool */
    uint32_t references; /* handles of its spans */
    uint32_t epoch;      /* which process began it */
    int root_ended;
} Trace;

static Trace *trace_pool;
static Trace *traces[MAX_TRACES]; /* for the worker; headers are never freed */
static _Atomic uint32_t traces_made;
static uint32_t epoch = 1; /* one more with each fork */

static rare Trace *new_trace(void) {
    uint32_t count = atomic_load_explicit(&traces_made, memory_order_relaxed);
    if (count == MAX_TRACES) return NULL;
    Trace *trace = allocate(sizeof *trace);
    memset(trace, 0, sizeof *trace);
    traces[count] = trace;
    atomic_store_explicit(&traces_made, count + 1, memory_order_release);
    return trace;
}

/* NULL when too many are open. */
static inline Trace *begin_trace(uint64_t now) {
    Trace *trace = trace_pool;
    if (likely(trace != NULL))
        trace_pool = trace->next;
    else if ((trace = new_trace()) == NULL)
        return NULL;
    trace->anchor = current_anchor(now);
    trace->references = 1;
    trace->epoch = epoch;
    trace->root_ended = 0;
    return trace;
}

/* The chunk, if there is one. Without one no exchange is needed: nobody else puts one there. */
static inline Chunk *own_chunk(Trace *trace) {
    if (atomic_load_explicit(&trace->chunk, memory_order_relaxed) == NULL) return NULL;
    return atomic_exchange_explicit(&trace->chunk, NULL, memory_order_acquire);
}

/* The last handle is gone. Finished spans still here had a root that never finished. */
static inline void release_trace(Trace *trace) {
    if (--trace->references > 0) return;
    Chunk *chunk = own_chunk(trace);
    if (unlikely(chunk != NULL)) {
        atomic_store_explicit(&trace->waiting, 0, memory_order_relaxed);
        if (trace->epoch == epoch) push_chunk(chunk);
    }
    trace->next = trace_pool;
    trace_pool = trace;
}

/* A chunk with room for `size` more bytes and for the run of `tracer`, which is begun if need be. */
static inline Chunk *chunk_for_span(Trace *trace, size_t size, uint32_t tracer, int is_root) {
    size_t needed = size + sizeof(Run);
    Chunk *chunk = own_chunk(trace);
    if (chunk == NULL) {
        /* A root without children is the whole trace, which goes straight into a block that fits. */
        size_t room = WORKING_CHUNK - sizeof *chunk;
        chunk = claim_chunk(is_root ? needed : needed > room / 2 ? 2 * needed : room);
    } else if (unlikely(chunk->capacity - chunk->size < needed)) {
        chunk = move_chunk(chunk, 2 * (size_t)chunk->size + needed);
    }
    if (chunk->run == NO_RUN || unlikely(((Run *)(chunk->bytes + chunk->run))->tracer != tracer)) {
        chunk->run = chunk->size;
        *(Run *)(chunk->bytes + chunk->size) = (Run){0, tracer};
        chunk->size += sizeof(Run);
    }
    return chunk;
}

/* `end` is where the span just written ends. Hands the chunk over when the trace is complete. */
static inline void added_to_chunk(Trace *trace, Chunk *chunk, const uint8_t *end, uint64_t now,
                                  int is_root) {
    uint32_t size = (uint32_t)(end - chunk->bytes) - chunk->size;
    ((Run *)(chunk->bytes + chunk->run))->size += size;
    chunk->size += size;
    chunk->spans++;
    if (is_root || unlikely(trace->root_ended || chunk->size > LARGE_CHUNK)) {
        trace->root_ended |= is_root;
        atomic_store_explicit(&trace->waiting, 0, memory_order_relaxed);
        push_chunk(chunk);
        return;
    }
    if (chunk->spans == 1) atomic_store_explicit(&trace->waiting, now, memory_order_relaxed);
    atomic_store_explicit(&trace->chunk, chunk, memory_order_release);
}

static inline size_t count_size(uint32_t count) {
    return count > 0 ? 1 + varint_size(count) : 0;
}

/* Writes one ScopeSpans.spans: what the handle knows, then what the record has in wire form. */
static inline void add_span(Trace *trace, const Record *record, const uint64_t *trace_id,
                            uint64_t span_id, uint64_t end, uint32_t tracer, int is_root) {
    size_t size = 54 + record->size + (record->parent_id != 0 ? 10 : 0);
    if (unlikely(record->dropped_attributes | record->dropped_events))
        size += count_size(record->dropped_attributes) + count_size(record->dropped_events);
    Chunk *chunk = chunk_for_span(trace, field_size(size), tracer, is_root);
    uint8_t *to = chunk->bytes + chunk->size;
    *to++ = 0x12;
    to = put_varint(to, size);
    *to++ = 0x0a;
    *to++ = 16;
    memcpy(to, trace_id, 16);
    to += 16;
    *to++ = 0x12;
    to = put_eight_bytes(to, 8, span_id);
    if (record->parent_id != 0) {
        *to++ = 0x22;
        to = put_eight_bytes(to, 8, record->parent_id);
    }
    *to++ = 0x30;
    *to++ = record->kind;
    to = put_eight_bytes(to, 0x39, to_ns(&trace->anchor, record->start));
    to = put_eight_bytes(to, 0x41, to_ns(&trace->anchor, end));
    to = put_bytes(to, record->bytes, record->size);
    if (unlikely(record->dropped_attributes > 0)) {
        *to++ = 0x50;
        to = put_varint(to, record->dropped_attributes);
    }
    if (unlikely(record->dropped_events > 0)) {
        *to++ = 0x60;
        to = put_varint(to, record->dropped_events);
    }
    uint32_t flags = 0x101; /* sampled; and it is known that the parent is not remote */
    *to++ = 0x85;
    *to++ = 1;
    memcpy(to, &flags, sizeof flags);
    added_to_chunk(trace, chunk, to + sizeof flags, end, is_root);
}
