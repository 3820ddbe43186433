/* The floor: about the least that a span recorder with nanospan's duties can cost on CPython, in C.

   Not a product: it exists to be measured beside nanospan, so that their ratio speaks of how the
   work is done and not of work left undone. Its duties: a ratio sampler, local traces, ids, time,
   attributes of which the last write wins, events, status, limits, OTLP's wire form, a bounded queue
   with counts, a worker without the GIL, fork, and the active span under asyncio and threads. What
   it leaves out: links, remote parents, late sampling, reading what was set, values other than
   scalars and lists of them, and sending.

   All files are one translation unit, so that the compiler sees through every call. State is guarded
   by the GIL unless it is atomic. Linux, x86-64, CPython 3.10 to 3.13. */
#include "scope.h"

static PyObject *word_kind, *word_attributes, *word_parent;

static PyObject *wrong(PyObject *type, const char *message) {
    PyErr_SetString(type, message);
    return NULL;
}

/* Keywords at a call are interned: mostly the comparison of pointers decides. */
static inline int is_word(PyObject *keyword, PyObject *word) {
    return keyword == word || PyUnicode_Compare(keyword, word) == 0;
}

typedef struct {
    uint8_t kind;
    PyObject *attributes;
    Span *parent;
} Options;

static int read_options(PyObject *const *values, PyObject *words, Options *options) {
    for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(words); i++) {
        PyObject *word = PyTuple_GET_ITEM(words, i), *value = values[i];
        if (is_word(word, word_kind) && PyLong_Check(value)) {
            options->kind = (uint8_t)(PyLong_AsLong(value) + 1);
        } else if (is_word(word, word_attributes) && PyDict_Check(value)) {
            options->attributes = value;
        } else if (is_word(word, word_parent) && Py_IS_TYPE(value, &SpanType)) {
            options->parent = (Span *)value;
        } else {
            PyErr_SetString(PyExc_TypeError, "kind=int, attributes=dict, parent=Span");
            return 0;
        }
    }
    return 1;
}

static inline int read_arguments(PyObject *const *values, Py_ssize_t count, PyObject *words,
                                 Options *options) {
    *options = (Options){1, NULL, NULL};
    if (unlikely(count != 1 || !PyUnicode_Check(values[0]))) {
        PyErr_SetString(PyExc_TypeError, "name must be a str");
        return 0;
    }
    return likely(words == NULL) || read_options(values + 1, words, options);
}

static PyObject *tracer_start_span(PyObject *self, PyObject *const *values, Py_ssize_t count,
                                   PyObject *words) {
    Options options;
    if (unlikely(!read_arguments(values, count, words, &options))) return NULL;
    Span *span = new_span((Tracer *)self, options.kind);
    if (likely(span != NULL)) start(span, values[0], options.attributes, options.parent);
    return (PyObject *)span;
}

/* Only prepares: a block that is never entered costs no record and leaves no span. */
static PyObject *tracer_start_as_current_span(PyObject *self, PyObject *const *values,
                                              Py_ssize_t count, PyObject *words) {
    Options options;
    if (unlikely(!read_arguments(values, count, words, &options))) return NULL;
    if (unlikely(options.parent != NULL)) return wrong(PyExc_TypeError, "the parent is the active");
    Span *span = new_span((Tracer *)self, options.kind);
    if (unlikely(span == NULL)) return NULL;
    span->name = Py_NewRef(values[0]);
    if (options.attributes != NULL) span->attributes = Py_NewRef(options.attributes);
    return (PyObject *)span;
}

static PyObject *tracer_active_span(PyObject *self, PyObject *nothing) {
    Span *span = active_span((Tracer *)self);
    (void)nothing;
    return Py_NewRef(span != NULL ? (PyObject *)span : Py_None);
}

static PyMethodDef tracer_methods[] = {
    {"start_span", (PyCFunction)(void *)tracer_start_span, METH_FASTCALL | METH_KEYWORDS, NULL},
    {"start_as_current_span", (PyCFunction)(void *)tracer_start_as_current_span,
     METH_FASTCALL | METH_KEYWORDS, NULL},
    {"active_span", tracer_active_span, METH_NOARGS, NULL},
    {NULL, NULL, 0, NULL},
};

static PyTypeObject TracerType = {
    PyVarObject_HEAD_INIT(NULL, 0)
    .tp_name = "floor.Tracer",
    .tp_basicsize = sizeof(Tracer),
    .tp_flags = Py_TPFLAGS_DEFAULT,
    .tp_methods = tracer_methods,
};

static PyTypeObject CellType = {
    PyVarObject_HEAD_INIT(NULL, 0)
    .tp_name = "floor.Cell",
    .tp_basicsize = sizeof(Cell),
    .tp_flags = Py_TPFLAGS_DEFAULT,
    .tp_dealloc = cell_dealloc,
};

static PyObject *span_set_attribute(PyObject *self, PyObject *const *values, Py_ssize_t count) {
    if (unlikely(count != 2 || !PyUnicode_Check(values[0])))
        return wrong(PyExc_TypeError, "a key, which is a str, and a value");
    Record *record = open_record((Span *)self);
    if (likely(record != NULL)) set_attribute(record, values[0], values[1]);
    Py_RETURN_NONE;
}

static PyObject *span_add_event(PyObject *self, PyObject *const *values, Py_ssize_t count) {
    if (unlikely(count < 1 || count > 2 || !PyUnicode_Check(values[0])))
        return wrong(PyExc_TypeError, "a name, which is a str, and a dict");
    PyObject *attributes = count == 2 ? values[1] : NULL;
    if (unlikely(attributes != NULL && !PyDict_Check(attributes)))
        return wrong(PyExc_TypeError, "attributes must be a dict");
    Span *span = (Span *)self;
    Record *record = open_record(span);
    if (likely(record != NULL))
        add_event(record, to_ns(&span->trace->anchor, ticks()), values[0], attributes);
    Py_RETURN_NONE;
}

static PyObject *span_set_status(PyObject *self, PyObject *const *values, Py_ssize_t count) {
    long code = count >= 1 ? PyLong_AsLong(values[0]) : -1;
    if (unlikely(code < 0 || code > 2 || count > 2)) {
        if (PyErr_Occurred()) return NULL;
        return wrong(PyExc_ValueError, "a status is 0, 1 or 2");
    }
    const uint8_t *text = NULL;
    Py_ssize_t length = 0;
    if (count == 2 && (!PyUnicode_Check(values[1]) || !utf8(values[1], &text, &length)))
        return wrong(PyExc_TypeError, "a description is a str");
    Record *record = open_record((Span *)self);
    if (likely(record != NULL)) set_status(record, (uint8_t)code, text, (size_t)length);
    Py_RETURN_NONE;
}

static PyObject *span_finish(PyObject *self, PyObject *nothing) {
    (void)nothing;
    finish((Span *)self);
    Py_RETURN_NONE;
}

static PyObject *span_is_recording(PyObject *self, PyObject *nothing) {
    (void)nothing;
    return PyBool_FromLong(open_record((Span *)self) != NULL);
}

/* (trace id, span id, sampled) */
static PyObject *span_context(PyObject *self, void *nothing) {
    Span *span = (Span *)self;
    (void)nothing;
    return Py_BuildValue("y#y#O", span->trace_id, (Py_ssize_t)16, &span->span_id, (Py_ssize_t)8,
                         span->sampled ? Py_True : Py_False);
}

static PyObject *enter_block(Span *span) {
    if (unlikely(span->state != PREPARED || span->name == NULL))
        return wrong(PyExc_RuntimeError, "a block is entered once");
    PyObject *name = span->name, *attributes = span->attributes;
    span->name = span->attributes = NULL;
    start(span, name, attributes, NULL);
    Py_DECREF(name);
    Py_XDECREF(attributes);
    enter_scope(span);
    return Py_NewRef((PyObject *)span);
}

static rare void record_exception(Span *span, PyObject *type, PyObject *error) {
    PyObject *text = PyObject_Str(error); /* Python code: afterwards the record may be gone */
    PyObject *name = PyUnicode_FromString("exception");
    PyObject *attributes = Py_BuildValue("{s:s,s:O}", "exception.type",
                                         ((PyTypeObject *)type)->tp_name, "exception.message",
                                         text != NULL ? text : Py_None);
    Record *record = open_record(span);
    const uint8_t *message;
    Py_ssize_t length;
    if (text != NULL && name != NULL && attributes != NULL && record != NULL &&
        utf8(text, &message, &length)) {
        add_event(record, to_ns(&span->trace->anchor, ticks()), name, attributes);
        set_status(record, STATUS_ERROR, message, (size_t)length);
    }
    PyErr_Clear();
    Py_XDECREF(text);
    Py_XDECREF(name);
    Py_XDECREF(attributes);
}

static PyObject *leave_block(Span *span, PyObject *const *error) {
    if (unlikely(error[0] != Py_None)) record_exception(span, error[0], error[1]);
    finish(span);
    leave_scope(span);
    Py_RETURN_FALSE;
}

/* Up to 3.13 `with` makes two bound methods, objects that the garbage collector must track. So one
   descriptor stands for both methods and gives back the span itself, which is called with nothing
   to enter and with three arguments to leave. That a lone `span()` must not enter is why the span
   notes which of the two was looked up: `with` does both before it calls. */
typedef struct {
    PyObject_HEAD
    uint8_t bit; /* 1 for __enter__, 2 for __exit__ */
} BlockMethod;

static PyObject *span_call(PyObject *self, PyObject *const *values, size_t count, PyObject *words) {
    Span *span = (Span *)self;
    (void)words;
    switch (PyVectorcall_NARGS(count)) {
    case 0:
        if (unlikely(span->looked_up != 3)) break;
        span->looked_up = 0;
        return enter_block(span);
    case 3:
        if (unlikely(!span->entered)) break;
        return leave_block(span, values);
    }
    return wrong(PyExc_TypeError, "'Span' object is not callable");
}

static PyObject *block_method_get(PyObject *self, PyObject *object, PyObject *type) {
    (void)type;
    if (unlikely(object == NULL)) return Py_NewRef(self);
    ((Span *)object)->looked_up |= ((BlockMethod *)self)->bit;
    return Py_NewRef(object);
}

/* `type(block).__enter__(block)`, as ExitStack asks. */
static PyObject *block_method_call(PyObject *self, PyObject *arguments, PyObject *words) {
    Py_ssize_t count = PyTuple_GET_SIZE(arguments);
    (void)words;
    if (count < 1 || !Py_IS_TYPE(PyTuple_GET_ITEM(arguments, 0), &SpanType))
        return wrong(PyExc_TypeError, "not a block");
    Span *span = (Span *)PyTuple_GET_ITEM(arguments, 0);
    if (((BlockMethod *)self)->bit == 1 && count == 1) return enter_block(span);
    if (((BlockMethod *)self)->bit == 2 && count == 4 && span->entered)
        return leave_block(span, &PyTuple_GET_ITEM(arguments, 1));
    return wrong(PyExc_TypeError, "wrong arguments for a block");
}

static PyTypeObject BlockMethodType = {
    PyVarObject_HEAD_INIT(NULL, 0)
    .tp_name = "floor.BlockMethod",
    .tp_basicsize = sizeof(BlockMethod),
    .tp_flags = Py_TPFLAGS_DEFAULT,
    .tp_descr_get = block_method_get,
    .tp_call = block_method_call,
};

static PyMethodDef span_methods[] = {
    {"set_attribute", (PyCFunction)(void *)span_set_attribute, METH_FASTCALL, NULL},
    {"add_event", (PyCFunction)(void *)span_add_event, METH_FASTCALL, NULL},
    {"set_status", (PyCFunction)(void *)span_set_status, METH_FASTCALL, NULL},
    {"is_recording", span_is_recording, METH_NOARGS, NULL},
    {"finish", span_finish, METH_NOARGS, NULL},
    {NULL, NULL, 0, NULL},
};

static PyGetSetDef span_properties[] = {
    {"context", span_context, NULL, NULL, NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyTypeObject SpanType = {
    PyVarObject_HEAD_INIT(NULL, 0)
    .tp_name = "floor.Span",
    .tp_basicsize = sizeof(Span),
    .tp_flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_VECTORCALL,
    .tp_vectorcall_offset = offsetof(Span, call),
    .tp_call = PyVectorcall_Call,
    .tp_dealloc = span_dealloc,
    .tp_methods = span_methods,
    .tp_getset = span_properties,
};

/* Resource{attributes{key: text}} with a key, else InstrumentationScope{name: text}; as field 1. */
static Buffer named_message(const char *key, const char *text) {
    size_t length = strlen(text), key_length = key != NULL ? strlen(key) : 0;
    Value value = {.tag = STRING, .text = (const uint8_t *)text, .length = (Py_ssize_t)length};
    value.size = field_size(length);
    size_t pair = key_value_size(key_length, &value);
    uint8_t *bytes = allocate(length + key_length + 64), *to = bytes;
    *to++ = 0x0a;
    if (key == NULL)
        to = put_text(put_varint(to, field_size(length)), 0x0a, value.text, length);
    else
        to = put_key_value(put_varint(to, field_size(pair)), 0x0a, (const uint8_t *)key, key_length,
                           &value, pair);
    return (Buffer){bytes, (size_t)(to - bytes), 0};
}

static int body_named(const char *name) {
    static const char *const names[] = {"off", "plain", "cell", "otel plain", "otel cell"};
    for (int body = 0; body < 5; body++)
        if (strcmp(name, names[body]) == 0) return body;
    return -1;
}

static PyObject *floor_tracer(PyObject *module, PyObject *arguments, PyObject *words) {
    static char *keywords[] = {"name", "body", "rate", NULL};
    const char *name = "floor", *body_name = "plain";
    double rate = 1;
    (void)module;
    if (!PyArg_ParseTupleAndKeywords(arguments, words, "|ssd", keywords, &name, &body_name, &rate))
        return NULL;
    int body = body_named(body_name);
    if (body < 0) return wrong(PyExc_ValueError, "body is off, plain, cell, or otel with one of them");
    int is_otel = body == OTEL_PLAIN || body == OTEL_CELL;
    if (is_otel && otel_variable == NULL) return wrong(PyExc_RuntimeError, "opentelemetry() first");
    if (tracers_made == MAX_TRACERS) return wrong(PyExc_RuntimeError, "too many tracers");
    Tracer *tracer = PyObject_New(Tracer, &TracerType);
    if (tracer == NULL) return NULL;
    tracer->variable = is_otel ? Py_NewRef(otel_variable) : PyContextVar_New("floor", NULL);
    if (tracer->variable == NULL) return NULL;
    if (BitmapNodeType == NULL && find_bitmap_node_type(tracer->variable) < 0) return NULL;
    tracer->variable_hash = hamt_hash(tracer->variable);
    tracer->body = (uint8_t)body;
    tracer->all = rate >= 1;
    tracer->bound = tracer->all ? UINT64_MAX : (uint64_t)(rate * 18446744073709551616.0);
    tracer->id = tracers_made++;
    scope_messages[tracer->id] = named_message(NULL, name);
    return Py_NewRef((PyObject *)tracer); /* it lives for ever, so spans need not count it */
}

/* What carries OpenTelemetry's current span: a ContextVar that has a default, the key of the span, and
   the class of the variable's values. */
static PyObject *floor_opentelemetry(PyObject *module, PyObject *arguments) {
    PyObject *variable, *key, *type;
    (void)module;
    if (!PyArg_ParseTuple(arguments, "O!UO!", &PyContextVar_Type, &variable, &key, &PyType_Type,
                          &type))
        return NULL;
    if (!PyType_IsSubtype((PyTypeObject *)type, &PyDict_Type))
        return wrong(PyExc_TypeError, "a Context is a dict");
    if (otel_variable != NULL) return wrong(PyExc_RuntimeError, "once is enough");
    no_arguments = PyTuple_New(0);
    otel_variable = Py_NewRef(variable);
    otel_key = Py_NewRef(key);
    OtelContextType = (PyTypeObject *)Py_NewRef(type);
    Py_RETURN_NONE;
}

/* What is queued, as one ExportTraceServiceRequest. While the worker runs it takes that itself. */
static PyObject *floor_drain(PyObject *module, PyObject *nothing) {
    static Chunk *batch[QUEUE_LENGTH];
    (void)module, (void)nothing;
    if (worker_runs) return wrong(PyExc_RuntimeError, "the worker runs");
    size_t count = take_queued(batch, QUEUE_LENGTH);
    encode(batch, count, &last_request);
    while (count > 0) release_chunk(batch[--count]);
    return PyBytes_FromStringAndSize((char *)last_request.bytes, (Py_ssize_t)last_request.size);
}

static PyObject *floor_last_request(PyObject *module, PyObject *nothing) {
    (void)module, (void)nothing;
    if (worker_runs) return wrong(PyExc_RuntimeError, "the worker runs");
    return PyBytes_FromStringAndSize((char *)last_request.bytes, (Py_ssize_t)last_request.size);
}

static PyObject *floor_worker(PyObject *module, PyObject *wanted) {
    (void)module;
    int run = PyObject_IsTrue(wanted);
    if (run && !worker_runs && start_worker() != 0)
        return wrong(PyExc_RuntimeError, "no thread could be started");
    if (!run && worker_runs) {
        Py_BEGIN_ALLOW_THREADS;
        stop_worker();
        Py_END_ALLOW_THREADS;
    }
    Py_RETURN_NONE;
}

static PyObject *floor_limit(PyObject *module, PyObject *arguments, PyObject *words) {
    static char *keywords[] = {"queued_spans", "value_length", "wait_ms", NULL};
    unsigned long long queued_spans = 1u << 20;
    Py_ssize_t value_length = PY_SSIZE_T_MAX;
    double wait_ms = -1;
    (void)module;
    if (!PyArg_ParseTupleAndKeywords(arguments, words, "|$Knd", keywords, &queued_spans,
                                     &value_length, &wait_ms))
        return NULL;
    max_queued_spans = queued_spans;
    max_value_length = value_length;
    max_wait = wait_ms < 0 ? UINT64_MAX : (uint64_t)(wait_ms / 1000 * (double)ticks_per_second);
    Py_RETURN_NONE;
}

static PyObject *floor_stats(PyObject *module, PyObject *nothing) {
    (void)module, (void)nothing;
    uint64_t sent = spans_taken;
    return Py_BuildValue(
        "{s:K,s:K,s:K,s:K,s:K,s:K,s:K,s:K,s:K,s:K,s:K,s:I}", "roots", roots, "unsampled", unsampled,
        "without_record", without_record, "abandoned", abandoned, "rejected_values",
        rejected_values, "left_blocks", left_blocks, "queued", spans_pushed - sent, "taken", sent,
        "dropped", spans_dropped, "dropped_traces", traces_dropped, "swept", (uint64_t)spans_swept,
        "records", records_made);
}

static PyMethodDef module_functions[] = {
    {"Tracer", (PyCFunction)(void *)floor_tracer, METH_VARARGS | METH_KEYWORDS, NULL},
    {"opentelemetry", floor_opentelemetry, METH_VARARGS, NULL},
    {"drain", floor_drain, METH_NOARGS, NULL},
    {"last_request", floor_last_request, METH_NOARGS, NULL},
    {"worker", floor_worker, METH_O, NULL},
    {"limit", (PyCFunction)(void *)floor_limit, METH_VARARGS | METH_KEYWORDS, NULL},
    {"stats", floor_stats, METH_NOARGS, NULL},
    {NULL, NULL, 0, NULL},
};

static struct PyModuleDef module_definition = {
    PyModuleDef_HEAD_INIT, "floor", NULL, -1, module_functions, NULL, NULL, NULL, NULL,
};

static int add_block_method(const char *name, uint8_t bit) {
    BlockMethod *method = PyObject_New(BlockMethod, &BlockMethodType);
    if (method == NULL) return -1;
    method->bit = bit;
    return PyDict_SetItemString(SpanType.tp_dict, name, (PyObject *)method);
}

PyMODINIT_FUNC PyInit_floor(void) {
    calibrate_clock();
    seed_random();
    watch_for_forks();
    resource_message = named_message("service.name", "floor");
    word_kind = PyUnicode_InternFromString("kind");
    word_attributes = PyUnicode_InternFromString("attributes");
    word_parent = PyUnicode_InternFromString("parent");
    if (PyType_Ready(&TracerType) < 0 || PyType_Ready(&CellType) < 0 ||
        PyType_Ready(&BlockMethodType) < 0)
        return NULL;
    SpanType.tp_dict = PyDict_New();
    if (SpanType.tp_dict == NULL || add_block_method("__enter__", 1) < 0 ||
        add_block_method("__exit__", 2) < 0 || PyType_Ready(&SpanType) < 0)
        return NULL;
    return PyModule_Create(&module_definition);
}
