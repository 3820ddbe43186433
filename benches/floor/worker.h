/* The taker: chunks into one ExportTraceServiceRequest, without the GIL. Lengths are known first,
   then everything is copied once. Here the request goes nowhere: the last one is kept for a look. */
#pragma once

#include "trace.h"
#include <pthread.h>
#include <signal.h>

enum { MAX_TRACERS = 256, MAX_BATCH = 512 };

typedef struct {
    uint8_t *bytes;
    size_t size, capacity;
} Buffer;

/* Written before a tracer's spans, and before all of them: an InstrumentationScope, a Resource. */
static Buffer scope_messages[MAX_TRACERS], resource_message;
static uint32_t tracers_made;

static Buffer last_request;
static pthread_t worker;
static _Atomic int worker_runs;
static _Atomic uint64_t spans_swept;
static _Atomic uint64_t max_wait = UINT64_MAX; /* ticks that a finished span waits for its root */

static void encode(Chunk *const *chunks, size_t count, Buffer *request) {
    size_t sizes[MAX_TRACERS] = {0};
    uint8_t *places[MAX_TRACERS];
    for (size_t i = 0; i < count; i++) {
        const uint8_t *at = chunks[i]->bytes, *end = at + chunks[i]->size;
        for (; at < end; at += sizeof(Run) + ((const Run *)at)->size)
            sizes[((const Run *)at)->tracer] += ((const Run *)at)->size;
    }
    size_t total = resource_message.size;
    for (uint32_t i = 0; i < MAX_TRACERS; i++)
        if (sizes[i] > 0) total += field_size(sizes[i] + scope_messages[i].size);
    if (request->capacity < total + 16) {
        free(request->bytes);
        request->capacity = 2 * total + 64;
        request->bytes = allocate(request->capacity);
    }
    uint8_t *to = request->bytes;
    *to++ = 0x0a;
    to = put_bytes(put_varint(to, total), resource_message.bytes, resource_message.size);
    for (uint32_t i = 0; i < MAX_TRACERS; i++) {
        if (sizes[i] == 0) continue;
        *to++ = 0x12;
        to = put_varint(to, sizes[i] + scope_messages[i].size);
        places[i] = put_bytes(to, scope_messages[i].bytes, scope_messages[i].size);
        to = places[i] + sizes[i];
    }
    for (size_t i = 0; i < count; i++) {
        const uint8_t *at = chunks[i]->bytes, *end = at + chunks[i]->size;
        while (at < end) {
            const Run *run = (const Run *)at;
            at += sizeof *run;
            memcpy(places[run->tracer], at, run->size);
            places[run->tracer] += run->size;
            at += run->size;
        }
    }
    request->size = (size_t)(to - request->bytes);
}

static size_t take_queued(Chunk **batch, size_t max) {
    size_t count = 0;
    while (count < max && (batch[count] = take_chunk()) != NULL) count++;
    return count;
}

/* Chunks of open traces in which a span has waited for longer than `max_wait`. */
static size_t sweep(Chunk **batch, size_t max) {
    size_t count = 0;
    uint32_t known = atomic_load_explicit(&traces_made, memory_order_acquire);
    for (uint32_t i = 0; i < known && count < max; i++) {
        uint64_t since = atomic_load_explicit(&traces[i]->waiting, memory_order_relaxed);
        uint64_t now = ticks();
        if (since == 0 || now < since || now - since < max_wait) continue;
        if (!atomic_compare_exchange_strong(&traces[i]->waiting, &since, 0)) continue;
        Chunk *chunk = own_chunk(traces[i]);
        if (chunk == NULL) continue;
        spans_swept += chunk->spans;
        batch[count++] = chunk;
    }
    return count;
}

static void *work(void *nothing) {
    Chunk *batch[MAX_BATCH];
    (void)nothing;
    for (;;) {
        int last_look = !worker_runs;
        size_t count = take_queued(batch, MAX_BATCH);
        count += sweep(batch + count, MAX_BATCH - count);
        if (count > 0) encode(batch, count, &last_request);
        for (size_t i = 0; i < count; i++) return_chunk(batch[i]);
        if (count == 0 && last_look) return NULL;
        if (count < MAX_BATCH && !last_look) usleep(200);
    }
}

/* Signals are the app's. */
static int start_worker(void) {
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    worker_runs = 1;
    int error = pthread_create(&worker, NULL, work, NULL);
    if (error != 0) worker_runs = 0;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return error;
}

static void stop_worker(void) {
    worker_runs = 0;
    pthread_join(worker, NULL);
}
