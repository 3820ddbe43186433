"""`start_as_current_span`: a block to enter once, or a decorator evaluated anew per call."""

import asyncio
import contextlib
import functools
import gc
import inspect
import pickle
import types

import pytest

import nanospan
from nanospan import SpanKind, StatusCode, _core, tracing
from support.process import checked_python
from support.recording import recording as new_recording

pytest_plugins = ("support.plugin",)


def test_a_block_starts_activates_and_finishes_its_span(recording):
    with tracing.start_as_current_span("x", kind=SpanKind.SERVER, attributes={"k": 1}) as span:
        assert tracing.active_span() is span
        assert span.is_recording()
    assert tracing.active_span() is None
    read = recording.one("x")
    assert (read.span_id, read.kind, read.attributes) == (span.span_id, 2, {"k": 1})


def test_nothing_is_sampled_claimed_or_timed_before_a_block_is_entered():
    clock = _core.ManualClock(100)
    with new_recording(clock=clock):
        block = tracing.start_as_current_span("x")
        assert nanospan.stats()["started"] == nanospan.stats()["open_spans"] == 0
        clock.tick(11)
        with tracing.start_as_current_span("parent") as parent, block as span:
            assert (span.start_time_ns, span.parent_id) == (111, parent.span_id)


def test_a_block_that_is_never_entered_leaves_no_trace(recording):
    tracing.start_as_current_span("x")
    assert nanospan.stats()["started"] == nanospan.stats()["abandoned"] == 0


def test_entering_a_block_twice_raises(recording):
    block = tracing.start_as_current_span("x")
    with block:
        with pytest.raises(RuntimeError, match=r"twice|once|again|already"):
            block.__enter__()
    with pytest.raises(RuntimeError):
        block.__enter__()
    assert recording.names() == ["x"]


def test_an_escaping_exception_is_recorded_and_goes_on(recording):
    with pytest.raises(ValueError, match="boom"), tracing.start_as_current_span("x"):
        raise ValueError("boom")
    read = recording.one("x")
    assert (read.status, read.status_description) == (StatusCode.ERROR, "ValueError: boom")
    (event,) = read.events
    assert (event.name, event.attributes["exception.type"]) == ("exception", "ValueError")
    assert event.attributes["exception.message"] == "boom"
    assert 'raise ValueError("boom")' in event.attributes["exception.stacktrace"]
    assert read.attributes == {}


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        ((StatusCode.OK,), (StatusCode.OK, None)),
        ((StatusCode.ERROR, "mine"), (StatusCode.ERROR, "mine")),
    ],
)
def test_a_status_that_was_set_stays_when_an_exception_escapes(recording, status, expected):
    with pytest.raises(KeyError), tracing.start_as_current_span("x") as span:
        span.set_status(*status)
        raise KeyError
    read = recording.one("x")
    assert (read.status, read.status_description) == expected
    assert [event.name for event in read.events] == ["exception"]


@pytest.mark.parametrize(
    "exception",
    [
        GeneratorExit(),
        StopIteration(3),
        StopAsyncIteration(),
        asyncio.CancelledError(),
        KeyboardInterrupt(),
        SystemExit(0),
        SystemExit(),
    ],
    ids=repr,
)
def test_an_exception_that_only_ends_the_work_is_no_error(recording, exception):
    with pytest.raises(type(exception)) as raised, tracing.start_as_current_span("x"):
        raise exception
    assert raised.value is exception
    read = recording.one("x")
    assert (read.status, read.events) == (StatusCode.UNSET, ())
    assert read.attributes == {"nanospan.ended_by": type(exception).__name__}


@pytest.mark.parametrize("code", [1, "no"])
def test_a_system_exit_that_says_failure_is_an_error(recording, code):
    with pytest.raises(SystemExit), tracing.start_as_current_span("x"):
        raise SystemExit(code)
    assert recording.one("x").status_description == f"SystemExit: {code}"


def test_an_exception_without_text_is_described_by_its_type(recording):
    with pytest.raises(KeyError), tracing.start_as_current_span("x"):
        raise KeyError
    assert recording.one("x").status_description.rstrip(": ") == "KeyError"


def test_an_exception_whose_text_raises_is_recorded_all_the_same(recording):
    class MuteError(Exception):
        def __str__(self):
            raise RuntimeError("no text")

    with pytest.raises(MuteError), tracing.start_as_current_span("x"):
        raise MuteError
    read = recording.one("x")
    assert read.status == StatusCode.ERROR
    assert read.events[0].attributes["exception.type"].endswith("MuteError")


def test_an_exception_caught_inside_is_no_error(recording):
    with tracing.start_as_current_span("x") as span:
        try:
            raise ValueError("boom")
        except ValueError as error:
            span.record_error(error)
    assert recording.one("x").status == StatusCode.UNSET


def test_a_decorated_function_runs_in_a_span_of_its_own_per_call(recording):
    @tracing.start_as_current_span("add")
    def add(a, *, b):
        return a + b, tracing.active_span().span_id

    results = [add(1, b=number) for number in (2, 3)]
    assert [total for total, _ in results] == [3, 4]
    assert {span_id for _, span_id in results} == {span.span_id for span in recording.spans()}
    assert recording.names() == ["add", "add"]


def test_the_template_of_a_decorator_is_evaluated_per_call():
    clock = _core.ManualClock(10)
    with new_recording(clock=clock) as recorded:
        decorated = tracing.start_as_current_span("f")(lambda: tracing.active_span())
        with tracing.start_as_current_span("parent") as parent:
            clock.tick(1)
            assert decorated().start_time_ns == 11
        clock.tick(1)
        decorated()
        spans = [span for span in recorded.spans() if span.name == "f"]
    assert {(span.start_time_ns, span.parent_id) for span in spans} == {
        (11, parent.span_id),
        (12, None),
    }


def test_a_function_decorated_before_configure_is_live_after_it():
    code = """
        import nanospan
        from nanospan import MemoryExporter, tracing

        @tracing.start_as_current_span("f")
        def f():
            return tracing.active_span() is not None

        before = f()
        exporter = MemoryExporter()
        nanospan.configure(exporter=exporter)
        print(before, f(), [span.name for span in exporter.spans()])
    """
    assert checked_python(code) == "False True ['f']\n"


def test_recursion_of_a_decorated_function_nests(recording):
    @tracing.start_as_current_span("f")
    def f(depth):
        if depth:
            f(depth - 1)

    f(2)
    inner, middle, outer = sorted(
        recording.spans(), key=lambda span: span.start_time_ns, reverse=True
    )
    assert (inner.parent_id, middle.parent_id) == (middle.span_id, outer.span_id)


def test_an_exception_out_of_a_decorated_function_is_recorded_and_goes_on(recording):
    @tracing.start_as_current_span("f")
    def f():
        raise ValueError("boom")

    with pytest.raises(ValueError, match="boom"):
        f()
    assert recording.one("f").status_description == "ValueError: boom"


async def _coroutine():
    """Says something."""


def _generator():
    yield


async def _async_generator():
    yield


@pytest.mark.parametrize(
    ("function", "is_kind"),
    [
        (_coroutine, inspect.iscoroutinefunction),
        (_coroutine, asyncio.iscoroutinefunction),
        (_generator, inspect.isgeneratorfunction),
        (_async_generator, inspect.isasyncgenfunction),
    ],
)
@pytest.mark.filterwarnings("ignore:'asyncio.iscoroutinefunction':DeprecationWarning")
def test_a_decorated_function_stays_of_its_kind(function, is_kind):
    decorated = tracing.start_as_current_span("x")(function)
    assert is_kind(decorated)
    assert inspect.isroutine(decorated)


class _Rows:
    @tracing.start_as_current_span("rows")
    def method(self):
        yield self

    @classmethod
    @tracing.start_as_current_span("rows")
    def of_class(cls):
        yield cls

    @tracing.start_as_current_span("rows")
    @staticmethod
    async def asynchronous():
        yield 1


def test_generators_that_are_methods_stay_so_and_of_their_kind(recording):
    rows = _Rows()
    assert list(rows.method()) == list(_Rows.method(rows)) == [rows]
    assert list(rows.of_class()) == list(_Rows.of_class()) == [_Rows]
    assert inspect.isgeneratorfunction(rows.method)
    assert inspect.isgeneratorfunction(_Rows.of_class)
    assert inspect.isasyncgenfunction(_Rows.asynchronous)
    assert inspect.ismethod(rows.method)
    assert pickle.loads(pickle.dumps(_Rows.method)) is _Rows.method


def test_a_decorated_function_keeps_its_name_text_and_signature():
    def f(a: int, *, b: str = "x") -> bytes:
        """Says something."""

    def g(a: int, *, b: str = "x") -> bytes:
        """Says something."""
        yield b

    for function in (f, g):
        decorated = tracing.start_as_current_span("x")(function)
        assert (decorated.__name__, decorated.__doc__) == (function.__name__, "Says something.")
        assert inspect.signature(decorated) == inspect.signature(f)
        assert inspect.getsource(decorated) == inspect.getsource(function)
        assert decorated.__wrapped__ is function


def test_methods_class_methods_and_static_methods_can_be_decorated_in_either_order(recording):
    class Shop:
        @tracing.start_as_current_span("x")
        def method(self):
            return self

        @classmethod
        @tracing.start_as_current_span("x")
        def inside_class(cls):
            return cls

        @tracing.start_as_current_span("x")
        @classmethod
        def outside_class(cls):
            return cls

        @staticmethod
        @tracing.start_as_current_span("x")
        def inside_static(value):
            return value

        @tracing.start_as_current_span("x")
        @staticmethod
        def outside_static(value):
            return value

    shop = Shop()
    assert shop.method() is shop
    assert shop.inside_class() is Shop.inside_class() is Shop
    assert shop.outside_class() is Shop.outside_class() is Shop
    assert (shop.inside_static(1), shop.outside_static(2), Shop.outside_static(3)) == (1, 2, 3)
    assert len(recording.spans()) == 8


def test_a_partial_can_be_decorated(recording):
    decorated = tracing.start_as_current_span("x")(functools.partial(int, base=2))
    assert decorated("101") == 5
    generator = tracing.start_as_current_span("y")(functools.partial(_generator))
    assert list(generator()) == [None]
    assert inspect.isgeneratorfunction(generator)
    assert recording.names() == ["x", "y"]


@pytest.mark.parametrize("thing", [None, 3, "f"])
def test_what_is_no_function_cannot_be_decorated(recording, thing):
    with pytest.raises(TypeError, match=f"function must be .* got {thing!r}"):
        tracing.start_as_current_span("x")(thing)


def test_calling_a_block_without_arguments_raises_and_enters_nothing(recording):
    block = tracing.start_as_current_span("x")
    with pytest.raises(TypeError):
        block()
    assert (tracing.active_span(), nanospan.stats()["started"]) == (None, 0)


def test_a_coroutine_runs_in_its_span_also_across_awaits(recording):
    @tracing.start_as_current_span("load")
    async def load(value):
        before = tracing.active_span()
        await asyncio.sleep(0)
        assert tracing.active_span() is before
        return value

    assert asyncio.run(load(3)) == 3
    assert recording.names() == ["load"]


def test_a_coroutine_that_is_never_awaited_starts_nothing(recording):
    @tracing.start_as_current_span("load")
    async def load():
        pass

    load().close()
    assert nanospan.stats()["started"] == 0


def test_what_types_coroutine_made_awaitable_can_still_be_awaited(recording):
    @tracing.start_as_current_span("pause")
    @types.coroutine
    def pause():
        assert tracing.active_span().name == "pause"
        yield

    async def main():
        await pause()

    asyncio.run(main())
    assert recording.names() == ["pause"]


def test_an_exception_out_of_a_coroutine_is_recorded_and_goes_on(recording):
    @tracing.start_as_current_span("load")
    async def load():
        await asyncio.sleep(0)
        raise ValueError("boom")

    with pytest.raises(ValueError, match="boom"):
        asyncio.run(load())
    assert recording.one("load").status_description == "ValueError: boom"


def test_a_generators_span_is_active_only_while_its_body_runs(recording):
    @tracing.start_as_current_span("rows")
    def rows():
        for number in range(2):
            assert tracing.active_span().name == "rows"
            with tracing.start_as_current_span(f"row {number}"):
                yield number
        return "end"

    def consume():
        result = yield from rows()
        assert result == "end"

    with tracing.start_as_current_span("consumer") as consumer:
        for _ in consume():
            assert tracing.active_span() is consumer
    spans = {span.name: span for span in recording.spans()}
    assert spans["rows"].parent_id == consumer.span_id
    assert spans["row 0"].parent_id == spans["row 1"].parent_id == spans["rows"].span_id
    assert {span.status for span in spans.values()} == {StatusCode.UNSET}


def test_a_block_around_a_yield_is_active_again_when_its_generator_resumes(recording):
    @tracing.start_as_current_span("rows")
    def rows():
        with tracing.start_as_current_span("inner") as inner:
            yield
            assert tracing.active_span() is inner
        assert tracing.active_span().name == "rows"
        yield

    with tracing.start_as_current_span("consumer") as consumer:
        for _ in rows():
            assert tracing.active_span() is consumer


def test_a_generator_starts_its_span_when_it_starts_to_run(recording):
    @tracing.start_as_current_span("rows")
    def rows():
        yield

    generator = rows()
    assert nanospan.stats()["started"] == 0
    with tracing.start_as_current_span("consumer") as consumer:
        list(generator)
    assert recording.one("rows").parent_id == consumer.span_id


@pytest.mark.parametrize("other", [True, False])
def test_a_generator_has_the_parent_that_was_active_when_it_was_called(other):
    clock = _core.ManualClock(10)
    with new_recording(clock=clock) as recorded:

        @tracing.start_as_current_span("rows")
        def rows():
            yield tracing.active_span().name

        with tracing.start_as_current_span("caller") as caller:
            generator = rows()
        clock.tick(5)
        with tracing.start_as_current_span("consumer") if other else contextlib.nullcontext():
            assert list(generator) == ["rows"]
        read = recorded.one("rows")
    assert (read.parent_id, read.start_time_ns) == (caller.span_id, 15)
    assert read.trace_id == caller.trace_id


def test_an_async_generator_has_the_parent_that_was_active_when_it_was_called(recording):
    @tracing.start_as_current_span("rows")
    async def rows():
        yield

    async def consume(generator):
        return [row async for row in generator]

    with tracing.start_as_current_span("caller") as caller:
        generator = rows()
    asyncio.run(consume(generator))
    assert recording.one("rows").parent_id == caller.span_id


def test_a_parent_that_was_given_is_a_generators_wherever_it_is_called(recording):
    @tracing.start_as_current_span("rows", parent=nanospan.ROOT)
    def rows():
        yield

    with tracing.start_as_current_span("caller"):
        list(rows())
    assert recording.one("rows").parent_id is None


def test_a_generator_called_with_wrong_arguments_raises_at_the_call(recording):
    @tracing.start_as_current_span("rows")
    def rows(number):
        yield number

    with pytest.raises(TypeError, match="number"):
        rows()
    assert nanospan.stats()["started"] == 0


def test_a_generator_that_is_never_run_starts_nothing(recording):
    tracing.start_as_current_span("rows")(_generator)()
    assert nanospan.stats()["started"] == nanospan.stats()["abandoned"] == 0


def test_values_and_exceptions_sent_into_a_generator_reach_its_body(recording):
    @tracing.start_as_current_span("echo")
    def echo():
        received = yield "ready"
        try:
            yield received
        except KeyError as error:
            yield repr(error)

    generator = echo()
    assert (next(generator), generator.send("hello")) == ("ready", "hello")
    assert generator.throw(KeyError("k")) == "KeyError('k')"
    assert list(generator) == []
    assert recording.one("echo").status == StatusCode.UNSET


def test_an_exception_out_of_a_generator_is_recorded_and_goes_on(recording):
    @tracing.start_as_current_span("rows")
    def rows():
        yield 1
        raise ValueError("boom")

    with pytest.raises(ValueError, match="boom"):
        list(rows())
    assert recording.one("rows").status_description == "ValueError: boom"


@pytest.mark.parametrize("end", ["close", "drop"])
def test_a_generator_ended_before_its_last_row_is_no_error(recording, end):
    @tracing.start_as_current_span("rows")
    def rows():
        yield 1
        yield 2

    generator = rows()
    next(generator)
    if end == "close":
        generator.close()
    del generator
    gc.collect()
    read = recording.one("rows")
    assert (read.status, read.attributes) == (
        StatusCode.UNSET,
        {"nanospan.ended_by": "GeneratorExit"},
    )


def test_generators_that_take_turns_keep_their_spans_apart(recording):
    @tracing.start_as_current_span("rows")
    def rows():
        while True:
            yield tracing.active_span().span_id

    first, second = rows(), rows()
    seen = [next(generator) for generator in (first, second) * 3]
    assert seen == seen[:2] * 3
    assert len(set(seen)) == 2
    assert tracing.active_span() is None
    first.close()
    second.close()


def test_an_async_generators_span_is_active_only_while_its_body_runs(recording):
    @tracing.start_as_current_span("rows")
    async def rows():
        for number in range(2):
            await asyncio.sleep(0)
            assert tracing.active_span().name == "rows"
            yield number

    async def consume():
        with tracing.start_as_current_span("consumer") as consumer:
            async for _ in rows():
                assert tracing.active_span() is consumer
                await asyncio.sleep(0)
                assert tracing.active_span() is consumer
        return consumer

    consumer = asyncio.run(consume())
    assert recording.one("rows").parent_id == consumer.span_id
    assert recording.one("rows").status == StatusCode.UNSET


def test_values_and_exceptions_sent_into_an_async_generator_reach_its_body(recording):
    @tracing.start_as_current_span("echo")
    async def echo():
        received = yield "ready"
        try:
            yield received
        except KeyError as error:
            yield repr(error)

    async def talk():
        generator = echo()
        said = [await anext(generator), await generator.asend("hello")]
        said.append(await generator.athrow(KeyError("k")))
        await generator.aclose()
        return said

    assert asyncio.run(talk()) == ["ready", "hello", "KeyError('k')"]
    assert recording.one("echo").attributes == {"nanospan.ended_by": "GeneratorExit"}


def test_an_async_generator_left_in_the_middle_finishes_its_span(recording):
    @tracing.start_as_current_span("rows")
    async def rows():
        yield 1
        yield 2

    async def consume():
        async for _ in rows():
            break

    asyncio.run(consume())
    assert recording.one("rows").status == StatusCode.UNSET
    assert tracing.active_span() is None
