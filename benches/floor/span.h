/* The handle that Python holds: its ids, its place in the trace, and while it is open its record. */
#pragma once

#include "random.h"
#include "worker.h"
#include <sys/mman.h>

enum { PREPARED, STARTED, ENDED };
/* How the active span is carried, see scope.h; OFF records nothing at all. */
enum { OFF, PLAIN, CELL, OTEL_PLAIN, OTEL_CELL };

typedef struct {
    PyObject_HEAD
    PyObject *variable;     /* the ContextVar of the active span, or OpenTelemetry's */
    uint32_t variable_hash; /* where it is in a context, see scope.h */
    uint32_t id;
    uint64_t bound; /* trace ids below are sampled, unless all are */
    uint8_t all, body;
} Tracer;

typedef struct Span {
    PyObject_HEAD
    vectorcallfunc call;
    Record *record; /* NULL once ended, and for what is not sampled */
    uint32_t generation;
    Trace *trace;
    Tracer *tracer; /* tracers live for ever */
    PyObject *name, *attributes; /* while only prepared */
    struct Span *previous;       /* while active: who was before */
    PyObject *context_before;    /* the same as OpenTelemetry's Context, for OTEL_PLAIN */
    uint8_t state, sampled, kind, looked_up, entered, left, is_root;
    uint64_t trace_id[2], span_id;
} Span;

static PyTypeObject SpanType;
static Span *free_spans[64];
static int free_span_count;
static uint64_t roots, unsampled, without_record, abandoned;
/* A page that the kernel clears in a forked child: one load tells whether we are in one. */
static volatile uint8_t *same_process;

static PyObject *span_call(PyObject *, PyObject *const *, size_t, PyObject *);
static inline Span *active_span(Tracer *tracer);

/* The record, if it is still this span's. */
static inline Record *open_record(Span *span) {
    Record *record = span->record;
    return likely(record != NULL && record->generation == span->generation) ? record : NULL;
}

static rare void after_fork(void) {
    epoch++;
    seed_random();
    forget_chunks();
    forget_queue();
    worker_runs = 0;
    *same_process = 1;
}

static void watch_for_forks(void) {
    void *page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (page == MAP_FAILED || madvise(page, 4096, MADV_WIPEONFORK) != 0)
        Py_FatalError("floor: no wipe-on-fork page");
    same_process = page;
    *same_process = 1;
}

static inline Span *new_span(Tracer *tracer, uint8_t kind) {
    Span *span;
    if (likely(free_span_count > 0)) {
        span = free_spans[--free_span_count];
        _Py_NewReference((PyObject *)span);
    } else {
        span = PyObject_New(Span, &SpanType);
        if (span == NULL) return NULL;
        span->call = span_call;
        span->record = NULL;
        span->trace = NULL;
        span->name = span->attributes = NULL;
        span->previous = NULL;
        span->context_before = NULL;
    }
    span->tracer = tracer;
    span->kind = kind;
    span->state = PREPARED;
    span->sampled = span->looked_up = span->entered = span->left = 0;
    return span;
}

static inline void claim_ids(Span *span, const Span *parent) {
    span->span_id = random_id();
    if (parent != NULL) {
        memcpy(span->trace_id, parent->trace_id, sizeof span->trace_id);
        span->sampled = parent->sampled;
        return;
    }
    Tracer *tracer = span->tracer;
    roots++;
    span->trace_id[0] = random_id();
    span->trace_id[1] = random_id();
    /* OpenTelemetry's ratio: the lower half of the id, as a big-endian number, under a bound. */
    span->sampled = __builtin_bswap64(span->trace_id[1]) < tracer->bound || tracer->all;
}

static rare void not_recorded(Record *record) {
    if (record != NULL) release_record(record);
    without_record++;
}

/* `parent` NULL is the active span; `attributes` a dict or NULL. */
static inline void start(Span *span, PyObject *name, PyObject *attributes, Span *parent) {
    Tracer *tracer = span->tracer;
    span->state = STARTED;
    if (tracer->body == OFF) return;
    if (unlikely(!*same_process)) after_fork();
    if (parent == NULL) parent = active_span(tracer);
    claim_ids(span, parent);
    if (!span->sampled) {
        unsampled++;
        return;
    }
    Record *record = claim_record();
    if (unlikely(record == NULL)) {
        not_recorded(NULL);
        return;
    }
    record->start = ticks();
    Trace *trace = parent != NULL ? parent->trace : NULL;
    if (trace != NULL && likely(trace->epoch == epoch)) {
        trace->references++;
        span->is_root = 0;
    } else {
        /* Also for a parent from before a fork: it is as remote as one of another host. */
        trace = begin_trace(record->start);
        if (unlikely(trace == NULL)) {
            not_recorded(record);
            return;
        }
        span->is_root = 1;
    }
    span->trace = trace;
    span->record = record;
    span->generation = record->generation;
    record->parent_id = parent != NULL ? parent->span_id : 0;
    record->kind = span->kind;

    const uint8_t *text;
    Py_ssize_t length;
    if (unlikely(!utf8(name, &text, &length))) length = 0;
    uint8_t *to = room(record, (size_t)length + 16);
    written_until(record, put_text(to, 0x2a, text, (size_t)length));
    if (unlikely(attributes != NULL)) set_attributes(record, attributes);
}

static inline void finish(Span *span) {
    Record *record = open_record(span);
    span->state = ENDED;
    if (record == NULL) return;
    uint64_t end = ticks();
    if (unlikely(end < record->start)) end = record->start;
    span->record = NULL;
    if (likely(span->trace->epoch == epoch)) /* else its process finishes it */
        add_span(span->trace, record, span->trace_id, span->span_id, end, span->tracer->id,
                 span->is_root);
    release_record(record);
}

static inline void recycle(Span *span) {
    if (span->trace != NULL) {
        Trace *trace = span->trace;
        span->trace = NULL;
        release_trace(trace);
    }
    if (likely(free_span_count < 64))
        free_spans[free_span_count++] = span;
    else
        PyObject_Free(span);
}

/* A handle that dies open takes its record back, and may be the last to hold the one before it: a
   long chain ends in this loop, not in as many nested calls. */
static rare void drop_open(Span *span) {
    while (span != NULL) {
        Span *previous = span->previous;
        Record *record = open_record(span);
        span->previous = NULL;
        span->record = NULL;
        if (record != NULL) {
            abandoned++;
            if (span->is_root) span->trace->root_ended = 1;
            release_record(record);
        }
        Py_CLEAR(span->name);
        Py_CLEAR(span->attributes);
        Py_CLEAR(span->context_before); /* it may hold the one before too */
        recycle(span);
        if (previous != NULL && Py_REFCNT(previous) > 1) {
            Py_DECREF(previous);
            previous = NULL;
        }
        span = previous;
    }
}

static void span_dealloc(PyObject *object) {
    Span *span = (Span *)object;
    if (unlikely((uintptr_t)span->record | (uintptr_t)span->previous | (uintptr_t)span->name |
                 (uintptr_t)span->attributes | (uintptr_t)span->context_before))
        drop_open(span);
    else
        recycle(span);
}
