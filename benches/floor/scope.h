/* The active span of a tracer, carried by a ContextVar, so that tasks and copied contexts see what
   they should. Two ways to carry it:

   PLAIN  the variable holds the span; a block sets it, and sets back what was there.
   CELL   the variable holds a cell that holds the span. While no other context can see the cell it
          is changed in place, which costs a tenth of a set; a cell that somebody else may see is
          left alone and a new one is set, so copies keep what they had.

   And the same two with OpenTelemetry's own variable, in which there is a Context, a dict that has
   the span under a key: OTEL_PLAIN sets another Context and sets back the one before, OTEL_CELL
   changes it in place. A span of anybody else's in there counts as none.

   That nobody else sees the cell is read from reference counts: of every object on the way from the
   thread's context to it. The layouts are CPython's private ones, 3.7 to 3.13; they are only read. */
#pragma once

#include "span.h"

#if PY_VERSION_HEX >= 0x030e0000
#error "the layout of contexts has not been checked for this CPython"
#endif

typedef struct {
    PyObject_HEAD
    PyObject *previous, *variables;
} ContextLayout;

typedef struct {
    PyObject_HEAD
    PyObject *root;
} HamtLayout;

typedef struct {
    PyObject_VAR_HEAD
    uint32_t present;  /* which of 32 slots are taken */
    PyObject *slots[]; /* pairs: a variable and its value, or NULL and the node below */
} BitmapNodeLayout;

typedef struct {
    PyObject_HEAD
    Span *active; /* NULL for none */
} Cell;

static PyTypeObject CellType;
static Cell *free_cells[16];
static int free_cell_count;
static PyTypeObject *BitmapNodeType; /* found by `find_bitmap_node_type` */
static uint64_t left_blocks;
/* OpenTelemetry's variable, the key of the span, and the class of its Contexts. */
static PyObject *otel_variable, *otel_key, *no_arguments;
static PyTypeObject *OtelContextType;
static PyObject *spare_otel_context; /* with a None under the key, and nothing else */

static PyObject *thread_context(void) {
    return PyThreadState_Get()->context;
}

/* As CPython's hamt.c folds a hash to 32 bits. */
static uint32_t hamt_hash(PyObject *variable) {
    uint64_t hash = (uint64_t)PyObject_Hash(variable);
    uint32_t folded = (uint32_t)hash ^ (uint32_t)(hash >> 32);
    return folded == UINT32_MAX ? UINT32_MAX - 1 : folded;
}

/* Borrowed from the context; NULL for none. */
static inline PyObject *get_variable(PyObject *variable) {
    PyObject *value = NULL;
    PyContextVar_Get(variable, NULL, &value);
    Py_XDECREF(value);
    return value;
}

static inline void set_variable(PyObject *variable, PyObject *value) {
    /* Before 3.12 a collection inside the set can free the context under it: hold it. */
    PyObject *context = Py_XNewRef(thread_context());
    PyObject *token = PyContextVar_Set(variable, value);
    Py_XDECREF(context);
    if (unlikely(token == NULL))
        PyErr_Clear();
    else
        Py_DECREF(token);
}

/* The value of the tracer's variable, borrowed; NULL for none. */
static inline PyObject *look_up(Tracer *tracer, int *is_ours_alone) {
    *is_ours_alone = 0;
    PyObject *context = thread_context();
    if (unlikely(context == NULL)) return NULL;
    PyObject *map = ((ContextLayout *)context)->variables;
    PyObject *node = ((HamtLayout *)map)->root;
    int alone = Py_REFCNT(map) == 1;
    for (uint32_t hash = tracer->variable_hash;; hash >>= 5) {
        /* Nodes of many variables look different: there the official way has to do. */
        if (unlikely(Py_TYPE(node) != BitmapNodeType)) return get_variable(tracer->variable);
        BitmapNodeLayout *bitmap = (BitmapNodeLayout *)node;
        uint32_t bit = 1u << (hash & 31);
        if (!(bitmap->present & bit)) return NULL;
        PyObject **pair = bitmap->slots + 2 * __builtin_popcount(bitmap->present & (bit - 1));
        alone &= Py_REFCNT(node) == 1;
        if (pair[0] == tracer->variable) {
            *is_ours_alone = alone & (Py_REFCNT(pair[1]) == 1);
            return pair[1];
        }
        if (pair[0] != NULL) return NULL;
        node = pair[1];
    }
}

static inline Cell *look_up_cell(Tracer *tracer, int *is_ours_alone) {
    return (Cell *)look_up(tracer, is_ours_alone);
}

static void set_cell(Tracer *tracer, Span *active) {
    Cell *cell;
    if (free_cell_count > 0) {
        cell = free_cells[--free_cell_count];
        _Py_NewReference((PyObject *)cell);
    } else {
        cell = PyObject_New(Cell, &CellType);
        if (cell == NULL) out_of_memory();
    }
    cell->active = (Span *)Py_XNewRef((PyObject *)active);
    set_variable(tracer->variable, (PyObject *)cell);
    Py_DECREF(cell);
}

static void cell_dealloc(PyObject *object) {
    Cell *cell = (Cell *)object;
    Py_CLEAR(cell->active);
    if (free_cell_count < 16)
        free_cells[free_cell_count++] = cell;
    else
        PyObject_Free(cell);
}

/* Borrowed. */
static inline Span *span_in_otel_context(PyObject *context) {
    PyObject *span = context != NULL ? PyDict_GetItemWithError(context, otel_key) : NULL;
    return span != NULL && Py_IS_TYPE(span, &SpanType) ? (Span *)span : NULL;
}

static inline void put_in_otel_context(PyObject *context, Span *span) {
    PyObject *value = span != NULL ? (PyObject *)span : Py_None;
    if (unlikely(PyDict_SetItem(context, otel_key, value) < 0)) out_of_memory();
}

/* Sets a copy of a Context that has another span. */
static void set_otel_context(Tracer *tracer, PyObject *context, Span *span) {
    int has_more = PyDict_GET_SIZE(context) > PyDict_Contains(context, otel_key);
    PyObject *copy = has_more ? NULL : spare_otel_context;
    if (copy != NULL)
        spare_otel_context = NULL;
    else
        copy = OtelContextType->tp_new(OtelContextType, no_arguments, NULL);
    if (unlikely(copy == NULL || (has_more && PyDict_Update(copy, context) < 0))) out_of_memory();
    put_in_otel_context(copy, span);
    set_variable(tracer->variable, copy);
    Py_DECREF(copy);
}

/* Sets back the Context that was there before a block. */
static void set_back_otel_context(Tracer *tracer, PyObject *before) {
    PyObject *context = Py_NewRef(get_variable(tracer->variable));
    set_variable(tracer->variable, before);
    if (spare_otel_context == NULL && Py_REFCNT(context) == 1 && PyDict_GET_SIZE(context) == 1) {
        put_in_otel_context(context, NULL);
        spare_otel_context = context;
    } else {
        Py_DECREF(context);
    }
}

/* Who is active, whether or not its block has been left elsewhere. Borrowed. */
static inline Span *carried_span(Tracer *tracer) {
    if (tracer->body == PLAIN) {
        PyObject *value = get_variable(tracer->variable);
        return value == Py_None ? NULL : (Span *)value;
    }
    if (tracer->body == OTEL_PLAIN) return span_in_otel_context(get_variable(tracer->variable));
    int is_ours_alone;
    if (tracer->body == OTEL_CELL)
        return span_in_otel_context(look_up(tracer, &is_ours_alone));
    Cell *cell = look_up_cell(tracer, &is_ours_alone);
    return cell != NULL ? cell->active : NULL;
}

/* Borrowed. */
static inline Span *active_span(Tracer *tracer) {
    if (tracer->body == OFF) return NULL;
    Span *span = carried_span(tracer);
    while (unlikely(span != NULL && span->left)) span = span->previous;
    return span;
}

static inline void set_plain(Tracer *tracer, Span *span) {
    set_variable(tracer->variable, span != NULL ? (PyObject *)span : Py_None);
}

static inline void enter_scope(Span *span) {
    Tracer *tracer = span->tracer;
    span->entered = 1;
    if (tracer->body == PLAIN) {
        span->previous = (Span *)Py_XNewRef((PyObject *)carried_span(tracer));
        set_plain(tracer, span);
    } else if (tracer->body == CELL) {
        int is_ours_alone;
        Cell *cell = look_up_cell(tracer, &is_ours_alone);
        if (likely(is_ours_alone)) {
            span->previous = cell->active;
            cell->active = (Span *)Py_NewRef((PyObject *)span);
        } else {
            span->previous = cell != NULL ? (Span *)Py_XNewRef((PyObject *)cell->active) : NULL;
            set_cell(tracer, span);
        }
    } else if (tracer->body == OTEL_PLAIN) {
        PyObject *context = get_variable(tracer->variable);
        span->context_before = Py_NewRef(context);
        span->previous = (Span *)Py_XNewRef((PyObject *)span_in_otel_context(context));
        set_otel_context(tracer, context, span);
    } else if (tracer->body == OTEL_CELL) {
        int is_ours_alone;
        PyObject *context = look_up(tracer, &is_ours_alone);
        if (unlikely(context == NULL)) context = get_variable(tracer->variable); /* the default */
        span->previous = (Span *)Py_XNewRef((PyObject *)span_in_otel_context(context));
        if (likely(is_ours_alone))
            put_in_otel_context(context, span);
        else
            set_otel_context(tracer, context, span);
    }
}

/* A block left in another context than it was entered in changes nothing there. Its span is marked,
   and whoever finds it active later steps to the one before it. */
static rare void leave_elsewhere(Span *span) {
    span->left = 1;
    left_blocks++;
}

static inline void leave_scope(Span *span) {
    Tracer *tracer = span->tracer;
    span->entered = 0;
    if (tracer->body == PLAIN) {
        if (unlikely(carried_span(tracer) != span)) {
            leave_elsewhere(span);
            return;
        }
        set_plain(tracer, span->previous);
    } else if (tracer->body == CELL) {
        int is_ours_alone;
        Cell *cell = look_up_cell(tracer, &is_ours_alone);
        if (unlikely(cell == NULL || cell->active != span)) {
            leave_elsewhere(span);
            return;
        }
        if (likely(is_ours_alone)) {
            cell->active = span->previous;
            span->previous = NULL;
            Py_DECREF(span);
            return;
        }
        set_cell(tracer, span->previous);
    } else if (tracer->body == OTEL_PLAIN) {
        if (unlikely(carried_span(tracer) != span)) {
            leave_elsewhere(span);
            return;
        }
        set_back_otel_context(tracer, span->context_before);
        Py_CLEAR(span->context_before);
    } else if (tracer->body == OTEL_CELL) {
        int is_ours_alone;
        PyObject *context = look_up(tracer, &is_ours_alone);
        if (unlikely(span_in_otel_context(context) != span)) {
            leave_elsewhere(span);
            return;
        }
        if (likely(is_ours_alone))
            put_in_otel_context(context, span->previous);
        else
            set_otel_context(tracer, context, span->previous);
    }
    Py_CLEAR(span->previous);
}

/* A context with one variable has a node of this type at its root. */
static int find_bitmap_node_type(PyObject *variable) {
    PyObject *copy = PyContext_New();
    if (copy == NULL || PyContext_Enter(copy) < 0) return -1;
    set_variable(variable, Py_None);
    HamtLayout *map = (HamtLayout *)((ContextLayout *)thread_context())->variables;
    PyTypeObject *type = Py_TYPE(map->root);
    if (strstr(type->tp_name, "bitmap") != NULL) BitmapNodeType = type;
    int left = PyContext_Exit(copy);
    Py_DECREF(copy);
    if (left == 0 && BitmapNodeType == NULL)
        PyErr_SetString(PyExc_RuntimeError, "contexts of this CPython look different");
    return BitmapNodeType != NULL ? left : -1;
}
