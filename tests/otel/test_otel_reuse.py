"""Spans used too late, too often, by many, by nobody, or by code that runs inside of a call."""

import contextlib
import copy
import gc
import pickle
import threading
import weakref

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import SpanProcessor
from opentelemetry.sdk.trace.id_generator import RandomIdGenerator
from opentelemetry.sdk.trace.sampling import Decision, Sampler, SamplingResult
from opentelemetry.trace import Link, Status, StatusCode

import nanospan
from nanospan import MemoryExporter, QueueConfig, tracing
from support.process import checked_python

otel = pytest.importorskip("nanospan.otel")

READABLE = 1_024
"""That many ended spans can still be read."""


@pytest.fixture
def memory():
    return MemoryExporter()


@pytest.fixture
def provider(memory):
    made = otel.TracerProvider(
        exporter=memory, shutdown_on_exit=False, queue=QueueConfig(max_entries=1_000_000)
    )
    yield made
    made.shutdown()


@pytest.fixture
def tracer(provider):
    return provider.get_tracer("library")


def names(memory):
    return sorted(span.name for span in memory.spans())


# Memory, measured in processes of their own.

_PRELUDE = """
    import contextvars, gc, logging, os, sys
    import nanospan
    from nanospan import FileExporter, tracing
    from nanospan.otel import TracerProvider
    from opentelemetry import context, trace
    from opentelemetry.context import Context
    from opentelemetry.sdk.trace import SpanProcessor
    from opentelemetry.sdk.trace.sampling import Decision, Sampler, SamplingResult
    from support.process import resident_bytes

    logging.getLogger("nanospan").addHandler(logging.NullHandler())
"""

_CHAINS = {
    "kept": """
    span = tracer.start_span("x")
    chain = [span]
    for _ in range(1_000_000):
        span = tracer.start_span("x", context=trace.set_span_in_context(span, empty))
        chain.append(span)
    assert len({each.get_span_context().trace_id for each in chain[::50_000]}) == 1
    for each in chain[::3]:
        each.end()
    del chain, span
    """,
    "dropped": """
    span = tracer.start_span("x")
    for _ in range(1_000_000):
        span = tracer.start_span("x", context=trace.set_span_in_context(span, empty))
    del span
    """,
    "dropped with the collector knowing them": """
    span = tracer.start_span("x")
    span.own = 1
    for _ in range(300_000):
        span = tracer.start_span("x", context=trace.set_span_in_context(span, empty))
    del span
    """,
    "across both faces": """
    nanospan.configure(exporter=FileExporter(os.devnull))
    tracer = nanospan.otel.from_environment().get_tracer("x")
    native = tracing.start_span("x")
    for _ in range(150_000):
        tracing.set_active_span(native)
        with trace.use_span(tracer.start_span("x")):
            native = tracing.start_span("x")
    tracing.set_active_span(None)
    del native
    """,
}


@pytest.mark.parametrize("chain", _CHAINS.values(), ids=_CHAINS)
def test_a_chain_of_very_many_open_spans_dies_without_a_crash(chain):
    code = f"""{_PRELUDE}
    tracer = TracerProvider(exporter=FileExporter(os.devnull)).get_tracer("x")
    empty = Context()
    {chain.strip()}
    gc.collect()
    print(nanospan.stats()["open_spans"])
    """
    assert checked_python(code, timeout=100) == "0\n"


_MODES = {
    "plain": "made()",
    "with a processor": "made(processor=SpanProcessor())",
    "with a sampler in Python": "made(sampler=InPython())",
    "unsampled": "made(sampler=nanospan.AlwaysOff())",
    "over the pipeline of configure": "nanospan.install(exporter=FileExporter(os.devnull))",
}

_MADE = """
    class InPython(Sampler):
        def should_sample(self, parent_context, trace_id, name, kind, attributes, links):
            return SamplingResult(Decision.RECORD_AND_SAMPLE, {"sampler": 1})

        def get_description(self):
            return "InPython"

    def made(processor=None, **options):
        provider = TracerProvider(exporter=FileExporter(os.devnull), **options)
        if processor:
            provider.add_span_processor(processor)
        return provider
"""

_WORK = """
    shared = Exception("shared")

    def work(count):
        with tracer.start_as_current_span("root") as root:
            for _ in range(count):
                with tracer.start_as_current_span("x", attributes={"k": "v"}) as span:
                    span.set_attribute("number", 1)
                    span.set_status(trace.StatusCode.ERROR, "why")
                    span.get_span_context()
                tracer.start_span("y", links=[trace.Link(root.get_span_context())]).end()
                with tracing.start_as_current_span("native"):
                    trace.get_current_span()
                try:
                    with tracer.start_as_current_span("raising"):
                        raise shared
                except Exception:
                    shared.__traceback__ = None
"""


@pytest.mark.parametrize("provider", _MODES.values(), ids=_MODES)
def test_spans_leave_memory_and_counts_of_references_flat(provider):
    code = f"""{_PRELUDE}{_MADE}
    provider = {provider}
    tracer = provider.get_tracer("x")
{_WORK}
    def counts():
        watched = [None, tracer, provider, trace.Span, trace.StatusCode.ERROR, shared, type(shared)]
        watched += [context.get_current(), "why", Context, trace.INVALID_SPAN]
        return [sys.getrefcount(each) for each in watched]

    work(2_000)
    gc.collect()
    before, counted = resident_bytes(), counts()
    work(20_000)  # of four spans each
    nanospan.flush()
    gc.collect()
    changed = [now - then for then, now in zip(counted, counts())]
    print(resident_bytes() - before < 8 * 2**20, max(map(abs, changed)) < 2_000, changed)
    """
    assert checked_python(code, timeout=100).startswith("True True ")


def test_blocks_that_nobody_leaves_are_given_up_and_leave_memory_flat():
    code = f"""{_PRELUDE}
    tracer = TracerProvider(exporter=FileExporter(os.devnull)).get_tracer("x")

    def work(count):
        for _ in range(count):
            block = tracer.start_as_current_span("x")
            contextvars.copy_context().run(block.__enter__)
            del block
            copy = contextvars.copy_context()
            copy.run(context.attach, trace.set_span_in_context(tracer.start_span("y")))

    work(5_000)
    before = resident_bytes()
    work(100_000)
    print(resident_bytes() - before < 4 * 2**20, nanospan.stats()["open_spans"])
    """
    assert checked_python(code, timeout=100) == "True 0\n"


# The garbage collector.


class Mark:
    """Something that a span and others can hold."""


def test_spans_in_cycles_are_collected(tracer):
    dead = []
    for _ in range(100):
        span, mark = tracer.start_span("x"), Mark()
        span.mark, span.me, mark.span = mark, span, span
        dead += [weakref.ref(span), weakref.ref(mark)]
    del span, mark
    gc.collect()
    assert [ref() for ref in dead] == [None] * 200


@pytest.mark.parametrize("when", ["before", "after"])
def test_open_spans_in_a_cycle_with_their_parent_are_collected(tracer, when):
    parent = tracer.start_span("parent")
    if when == "before":
        parent.children = []
    child = tracer.start_span("child", context=trace.set_span_in_context(parent))
    if when == "before":
        parent.children.append(child)
    else:
        parent.child = child
    dead = weakref.ref(parent), weakref.ref(child)
    del parent, child
    gc.collect()
    assert (dead[0](), dead[1]()) == (None, None)


def test_a_native_span_in_a_cycle_through_its_other_handle_is_collected():
    nanospan.configure(exporter=MemoryExporter())
    with tracing.start_as_current_span("x"):
        handle = trace.get_current_span()
    handle.me = handle
    dead = weakref.ref(handle)
    del handle
    gc.collect()
    assert dead() is None


def test_a_span_has_no_attributes_of_the_one_whose_memory_it_took(tracer):
    for number in range(600):
        span = tracer.start_span("x")
        assert vars(span) == {}
        if number % 2:
            span.own = number
        span.end()
        del span


def test_a_dict_that_somebody_keeps_of_a_span_is_no_other_spans(tracer):
    kept = []
    for number in range(600):
        span = tracer.start_span("x")
        assert vars(span) == {}
        kept.append(vars(span))
        span.end()
        del span
        kept[-1]["own"] = number


def test_a_dict_that_was_emptied_serves_the_next_span_like_a_new_one(tracer):
    for number in range(600):
        span = tracer.start_span("x")
        assert vars(span) == {}
        span.own = number
        assert span.own == number
        del span.own
        span.end()
        del span


def test_a_weak_reference_dies_with_its_span_and_only_then(tracer):
    told = []
    span = tracer.start_span("x")
    dead = weakref.ref(span, told.append)
    with trace.use_span(span, end_on_exit=True):
        pass
    assert (dead() is span, told) == (True, [])
    del span
    gc.collect()
    fresh = tracer.start_span("y")
    assert (dead(), told, weakref.getweakrefcount(fresh)) == (None, [dead], 0)


def test_a_collection_at_every_allocation_with_code_that_traces_in_it():
    # CPython 3.11 has collected while an object of a class with a `__dict__` had no value yet.
    code = f"""{_PRELUDE}
    tracer = TracerProvider(exporter=FileExporter(os.devnull)).get_tracer("x")
    deaths = 0

    class Tracing:
        def __init__(self):
            self.me = self

        def __del__(self):
            global deaths
            deaths += 1
            with tracer.start_as_current_span("in __del__") as span:
                span.set_attribute("k", [1, 2])
                tracer.start_span("child").end()
            trace.get_current_span().set_attribute("from __del__", 1)

    gc.collect()
    gc.freeze()  # what is there already takes no time
    gc.set_threshold(1, 1, 1)
    kept = []
    for number in range(100):
        Tracing()
        with tracer.start_as_current_span("a", attributes={{"k": (1, "a")}}) as a:
            a.own = a
            Tracing()
            with trace.use_span(tracer.start_span("b"), end_on_exit=True) as b:
                b.add_event("e", {{"k": "v"}})
                b.record_exception(ValueError("x"))
            assert trace.get_current_span() is a
            kept.append(tracer.start_span("c"))
        assert trace.get_current_span() is trace.INVALID_SPAN
    print(deaths > 150)
    """
    assert checked_python(code, timeout=100) == "True\n"


# Ended spans that are kept.


def test_ended_spans_answer_for_themselves_or_with_nothing_for_ever(tracer):
    spans = []
    for number in range(3 * READABLE):
        span = tracer.start_span(f"{number}", attributes={"number": number}, start_time=number + 1)
        span.add_event("e", {"number": number})
        span.set_status(StatusCode.ERROR, f"{number}")
        span.end(number + 2)
        spans.append(span)
    readable = 0
    for number, span in enumerate(spans):
        assert (span.name, span.start_time, span.end_time) == (str(number), number + 1, number + 2)
        assert span.status.description == str(number)
        assert span.parent is None
        if span.attributes:
            readable += 1
            assert dict(span.attributes) == {"number": number}
            assert [dict(event.attributes) for event in span.events] == [{"number": number}]
        else:
            assert (dict(span.attributes), span.events, span.links) == ({}, (), ())
    assert readable == READABLE
    assert len({span.get_span_context().span_id for span in spans}) == 3 * READABLE


def test_writes_to_ended_spans_reach_no_other_span(tracer, memory, caplog):
    ended = [tracer.start_span(f"{number}") for number in range(READABLE + 100)]
    for span in ended:
        span.end()
    written = [tracer.start_span("new", attributes={"k": 1}) for _ in range(50)]
    for span in ended:
        span.set_attribute("k", 2)
        span.add_event("not mine")
        span.update_name("not mine")
        span.set_status(StatusCode.ERROR)
        span.end()
    for span in written:
        span.end()
    new = [span for span in memory.spans() if span.name == "new"]
    assert [(s.attributes, s.events, s.status) for s in new] == [({"k": 1}, (), 0)] * 50
    assert "not mine" not in names(memory)


def test_a_provider_goes_with_the_last_of_its_tracers_and_spans():
    provider = otel.TracerProvider(exporter=MemoryExporter(), shutdown_on_exit=False)
    provider.add_span_processor(SpanProcessor())
    span = provider.get_tracer("x").start_span("x", attributes={"k": 1})
    dead = weakref.ref(provider)
    provider.shutdown()
    del provider
    gc.collect()
    span.end()
    assert span.resource.attributes["telemetry.sdk.name"] == "nanospan"
    del span
    gc.collect()
    assert dead() is None


# Copies.


@pytest.mark.parametrize("way", [copy.copy, copy.deepcopy, pickle.dumps])
@pytest.mark.parametrize("ended", [False, True])
def test_a_span_cannot_be_copied_and_says_what_can(tracer, way, ended):
    span = tracer.start_span("x")
    if ended:
        span.end()
    with pytest.raises(TypeError, match="get_span_context"):
        way(span)
    kept = pickle.loads(pickle.dumps(span.get_span_context()))
    assert kept == span.get_span_context()


# Threads.


def test_threads_that_share_a_span_lose_nothing(tracer, memory):
    span = tracer.start_span("shared")
    together = threading.Barrier(8)

    def work(thread):
        together.wait()
        for number in range(15):
            span.set_attribute(f"{thread}.{number}", number)
            tracer.start_span("child", context=trace.set_span_in_context(span)).end()
        span.add_event(f"{thread}")
        dict(span.attributes)

    threads = [threading.Thread(target=work, args=(thread,)) for thread in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    span.end()
    (shared,) = [each for each in memory.spans() if each.name == "shared"]
    assert len(shared.attributes) == 120
    assert sorted(event.name for event in shared.events) == [str(thread) for thread in range(8)]
    children = [each for each in memory.spans() if each.name == "child"]
    assert {child.parent_id for child in children} == {shared.span_id}
    assert len(children) == 120


def test_threads_that_end_one_span_end_it_once(tracer, memory, caplog):
    for _ in range(50):
        span = tracer.start_span("x")
        threads = [threading.Thread(target=span.end) for _ in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert names(memory) == ["x"] * 50


# The application's code in the middle of a call.


class Processor(SpanProcessor):
    """Calls a function at each of its three moments."""

    def __init__(self, call, methods=("on_start", "_on_ending", "on_end")):
        self.call = call
        self.depth = 0
        for method in methods:
            setattr(self, method, self.told)

    def told(self, span, parent_context=None):
        if self.depth:
            return
        self.depth += 1
        try:
            self.call(span)
        finally:
            self.depth -= 1


def _raise(_):
    raise ZeroDivisionError("on purpose")


def test_a_processor_that_raises_is_logged_once_and_stops_nobody(provider, tracer, memory, caplog):
    told = []
    provider.add_span_processor(Processor(_raise))
    provider.add_span_processor(Processor(lambda span: told.append(span.name)))
    for _ in range(3):
        with tracer.start_as_current_span("x"):
            pass
    assert told == ["x"] * 9
    assert names(memory) == ["x"] * 3
    assert len(caplog.records) <= 3  # no second time in this process


def test_what_interrupts_a_processor_interrupts_the_program(provider, tracer):
    def interrupt(_):
        raise KeyboardInterrupt

    provider.add_span_processor(Processor(interrupt, ["on_end"]))
    with pytest.raises(KeyboardInterrupt):
        with tracer.start_as_current_span("x") as span:
            pass
    assert not span.is_recording()
    assert trace.get_current_span() is trace.INVALID_SPAN
    provider._active_span_processor._span_processors = ()
    tracer.start_span("y").end()


def test_a_processor_may_trace(provider, tracer, memory):
    def start_one(span):
        with tracer.start_as_current_span("own"):
            tracer.start_span("below").end()

    provider.add_span_processor(Processor(start_one))
    with tracer.start_as_current_span("x"):
        assert trace.get_current_span().name == "x"
    assert trace.get_current_span() is trace.INVALID_SPAN
    assert names(memory) == ["below"] * 3 + ["own"] * 3 + ["x"]


def test_a_processor_may_call_back_into_its_span(provider, tracer, memory, caplog):
    seen = []

    def call_back(span):
        seen.append((span.name, dict(span.attributes), span.end_time is None))
        span.get_span_context()
        if isinstance(span, trace.Span):
            span.set_attribute("called back", len(seen))
            span.end()
            assert span._readable_span().name == "x"

    provider.add_span_processor(Processor(call_back, ["_on_ending", "on_end"]))
    tracer.start_span("x", attributes={"k": 1}).end()
    assert seen == [("x", {"k": 1}, False)] * 2
    assert [span.attributes for span in memory.spans()] == [{"k": 1}]


def test_a_processor_may_end_its_span_when_it_starts(provider, tracer, memory, caplog):
    provider.add_span_processor(Processor(lambda span: span.end(), ["on_start"]))
    with tracer.start_as_current_span("x") as span:
        assert not span.is_recording()
        assert trace.get_current_span() is span
    assert names(memory) == ["x"]


def test_a_processor_may_take_itself_away(provider, tracer, memory):
    def go(span):
        provider._active_span_processor._span_processors = ()

    for methods in (["on_start"], ["_on_ending"], ["on_end"]):
        provider.add_span_processor(Processor(go, methods))
        tracer.start_span("x").end()
    assert names(memory) == ["x"] * 3


@pytest.mark.parametrize(
    "broken",
    [
        {"_attributes": 5},
        {"_attributes": {"k": object()}},
        {"_attributes": None},
        {"_events": [object()]},
        {"_links": None},
        {"_status": None},
        {"_name": 5},
        {"_end_time": "now"},
        {"_start_time": -5},
    ],
    ids=lambda broken: f"{broken}"[:30],
)
def test_whatever_a_processor_makes_of_an_ended_span_something_is_sent(
    provider, tracer, memory, broken
):
    provider.add_span_processor(Processor(lambda span: vars(span).update(broken), ["on_end"]))
    tracer.start_span("x", attributes={"k": 1}).end()
    assert len(memory.spans()) == 1


class Asked(Sampler):
    """A sampler that calls a function first."""

    def __init__(self, call):
        self.call = call
        self.depth = 0

    def should_sample(self, parent_context, trace_id, name, kind=None, attributes=None, links=None):
        if not self.depth:
            self.depth += 1
            try:
                self.call(name)
            finally:
                self.depth -= 1
        return SamplingResult(Decision.RECORD_AND_SAMPLE)

    def get_description(self):
        return "Asked"


class Ids(RandomIdGenerator):
    """An id generator that calls a function first."""

    def __init__(self, call):
        self.call = call
        self.depth = 0

    def generate_span_id(self):
        if not self.depth:
            self.depth += 1
            try:
                self.call("")
            finally:
                self.depth -= 1
        return super().generate_span_id()


def _options(kind, call):
    return {"sampler": Asked(call)} if kind == "sampler" else {"id_generator": Ids(call)}


asked_of_python = pytest.mark.parametrize("kind", ["sampler", "id generator"])


@asked_of_python
def test_what_a_sampler_or_an_id_generator_raises_goes_to_the_caller_as_in_the_sdk(kind, memory):
    made = otel.TracerProvider(exporter=memory, shutdown_on_exit=False, **_options(kind, _raise))
    tracer = made.get_tracer("x")
    with pytest.raises(ZeroDivisionError):
        tracer.start_span("x")
    with pytest.raises(ZeroDivisionError):
        with tracer.start_as_current_span("x"):
            pytest.fail("not entered")
    assert trace.get_current_span() is trace.INVALID_SPAN
    assert nanospan.stats()["open_spans"] == 0
    made.shutdown()


@asked_of_python
def test_a_sampler_or_an_id_generator_may_trace(kind, memory):
    made = otel.TracerProvider(
        exporter=memory,
        shutdown_on_exit=False,
        **_options(kind, lambda _: tracer.start_span("asked").end()),
    )
    tracer = made.get_tracer("x")
    with tracer.start_as_current_span("x"):
        tracer.start_span("child").end()
    assert names(memory) == ["asked", "asked", "child", "x"]
    made.shutdown()


class Odd:
    """A value that does something when it is looked at."""

    def __init__(self, call):
        self.call = call

    def __str__(self):
        self.call("")
        return "odd"

    __repr__ = __str__

    def __iter__(self):
        self.call("")
        return iter(())

    def __bool__(self):
        self.call("")
        return True

    def __len__(self):
        self.call("")
        return 0


class OddText(str):
    """Text that does something when it is looked at."""

    def __str__(self):
        self.call("")
        return "odd"

    def encode(self, *_):
        self.call("")
        return b"odd"


def _odd_text(call):
    text = OddText("odd")
    text.call = call
    return text


def _odd_list(call):
    return [1, Odd(call)]


def _odd_generator(call):
    def values():
        call("")
        yield 1

    return values()


@pytest.mark.parametrize("value", [Odd, _odd_text, _odd_list, _odd_generator])
@pytest.mark.parametrize("call", ["raise", "end", "trace", "rename"])
def test_values_that_run_code_harm_no_span(tracer, memory, caplog, value, call):
    span = tracer.start_span("x", attributes={"before": 1})
    calls = {
        "raise": _raise,
        "end": lambda _: span.end(),
        "trace": lambda _: tracer.start_span("traced").end(),
        "rename": lambda _: (span.set_attribute("called", 1), span.update_name("x")),
    }
    odd = value(calls[call])
    for write in (
        lambda: span.set_attribute("k", odd),
        lambda: span.set_attributes({"k": odd}),
        lambda: span.add_event("e", {"k": odd}),
        lambda: span.add_link(span.get_span_context(), {"k": odd}),
        lambda: span.set_status(StatusCode.ERROR, odd),
        lambda: span.record_exception(ValueError(odd)),
        lambda: tracer.start_span("y", attributes={"k": odd}).end(),
        lambda: tracer.start_span("y", links=[Link(span.get_span_context(), {"k": odd})]).end(),
    ):
        with contextlib.suppress(ZeroDivisionError, TypeError, AttributeError):
            write()
    span.set_attribute("after", 2)
    span.end()
    (read,) = [each for each in memory.spans() if each.name == "x"]
    assert read.attributes["before"] == 1
    assert read.attributes.get("after", 2) == 2
    assert nanospan.stats()["open_spans"] == 0


@pytest.mark.parametrize("method", ["start_as_current_span", "native"])
def test_an_exception_that_cannot_be_described_leaves_a_block_as_it_is(tracer, memory, method):
    class Unspeakable(Exception):
        def __str__(self):
            raise ZeroDivisionError

    nanospan.configure(exporter=memory)
    blocks = {
        "start_as_current_span": lambda: tracer.start_as_current_span("x"),
        "native": lambda: tracing.start_as_current_span("x"),
    }
    with pytest.raises(Unspeakable):
        with blocks[method]():
            raise Unspeakable
    assert names(memory) == ["x"]


def test_a_status_that_lies_about_itself_is_no_crash(tracer, memory):
    class Lying(Status):
        @property
        def status_code(self):
            return "ok"

    span = tracer.start_span("x")
    span.set_status(Lying(StatusCode.ERROR, "why"))
    span.end()
    assert names(memory) == ["x"]


def test_a_context_that_is_no_context_is_refused_or_empty(tracer):
    for odd in ({}, 5, "text", object()):
        try:
            span = tracer.start_span("x", context=odd)
        except (TypeError, AttributeError):
            continue
        assert span.parent is None
        span.end()
    assert trace.get_current_span() is trace.INVALID_SPAN
