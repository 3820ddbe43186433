"""The current span follows tasks, threads and copies of contexts; and blocks may be left elsewhere.

A generator that is closed by an event loop, by another task or by the garbage collector leaves its
block in another context than it entered it in. That is no error: nothing is said in the log, the
span ends, and where the block was entered what was current before is so again, even while code runs
there. All of it holds where contexts cannot be told apart, too (CPython 3.14, `NANOSPAN_NO_CELLS`).
"""

import asyncio
import contextvars
import gc
import os
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import pytest
from opentelemetry import baggage, context, trace

import nanospan
from nanospan import tracing
from support.process import run_again_without_cells

otel = pytest.importorskip("nanospan.otel")

pytest_plugins = ("support.plugin",)

TELLS_CONTEXTS_APART = not os.environ.get("NANOSPAN_NO_CELLS") and sys.version_info < (3, 14)


@pytest.fixture
def tracer(recording):
    return otel.from_environment().get_tracer("library")


@pytest.fixture(autouse=True)
def _nothing_is_said(caplog):
    yield
    assert [record.getMessage() for record in caplog.get_records("call")] == []


def current():
    """The name of the current span, once both faces agree on it."""
    span = trace.get_current_span()
    name = None if span is trace.INVALID_SPAN else span.name
    active = tracing.active_span()
    assert (active and active.name) == name
    return name


# Tasks, threads and copies.


def test_concurrent_tasks_have_their_own_current_spans(recording, tracer):
    async def work(number):
        with tracer.start_as_current_span(f"task {number}"):
            for _ in range(3):
                await asyncio.sleep(0)
                assert current() == f"task {number}"
            with tracing.start_as_current_span(f"inner {number}") as inner:
                await asyncio.sleep(0)
                assert current() == f"inner {number}"
        return inner.parent_id

    async def main():
        with tracer.start_as_current_span("main"):
            parents = await asyncio.gather(*map(work, range(20)))
            assert current() == "main"
        return parents

    parents = asyncio.run(main())
    tasks = {span.span_id: span for span in recording.spans() if span.name.startswith("task")}
    assert [tasks[parent].name for parent in parents] == [f"task {n}" for n in range(20)]
    assert {span.parent_id for span in tasks.values()} == {recording.one("main").span_id}


def test_concurrent_calls_of_a_decorated_coroutine_have_a_span_each(recording, tracer):
    @tracer.start_as_current_span("call")
    async def call(number):
        await asyncio.sleep(0)
        trace.get_current_span().set_attribute("number", number)
        await asyncio.sleep(0)
        assert current() == "call"

    async def main():
        await asyncio.gather(*map(call, range(10)))

    asyncio.run(main())
    assert sorted(span.attributes["number"] for span in recording.spans()) == [*range(10)]


def test_a_cancelled_task_ends_its_span_and_touches_no_other(recording, tracer):
    async def work():
        with tracer.start_as_current_span("cancelled"):
            await asyncio.sleep(60)

    async def main():
        with tracer.start_as_current_span("main"):
            task = asyncio.create_task(work())
            await asyncio.sleep(0)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            return current()

    assert asyncio.run(main()) == "main"
    assert recording.names() == ["cancelled", "main"]


def test_to_thread_takes_the_current_span_along(recording, tracer):
    async def main():
        with tracer.start_as_current_span("main"):
            await asyncio.to_thread(lambda: tracer.start_span("in thread").end())
            return current()

    assert asyncio.run(main()) == "main"
    assert recording.one("in thread").parent_id == recording.one("main").span_id


def test_a_thread_of_its_own_begins_with_nothing(tracer):
    with tracer.start_as_current_span("x"), ThreadPoolExecutor(1) as pool:
        assert pool.submit(current).result() is None
        assert pool.submit(contextvars.copy_context().run, current).result() == "x"


def test_threads_with_blocks_of_both_faces_do_not_meet(recording, tracer):
    def work(number):
        for _ in range(50):
            with tracer.start_as_current_span(f"outer {number}"):
                with tracing.start_as_current_span(f"inner {number}"):
                    assert current() == f"inner {number}"
                assert current() == f"outer {number}"
            assert current() is None

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(work, range(8)))
    assert len(recording.spans()) == 800


def test_what_happens_in_a_copy_of_the_context_stays_there(tracer):
    def inside():
        context.attach(trace.set_span_in_context(span, baggage.set_baggage("k", "v")))
        return current()

    with tracer.start_as_current_span("inside") as span:
        pass
    with tracer.start_as_current_span("outside"):
        assert contextvars.copy_context().run(inside) == "inside"
        assert (current(), baggage.get_all()) == ("outside", {})


def test_a_copy_keeps_what_was_current_when_it_was_made(tracer):
    with tracer.start_as_current_span("a"):
        a = contextvars.copy_context()
        with tracer.start_as_current_span("b"):
            b = contextvars.copy_context()
    assert (a.run(current), b.run(current), current()) == ("a", "b", None)


# Blocks that are left elsewhere.


def _ours(tracer):
    return tracer.start_as_current_span("left")


def _native(tracer):
    return tracing.start_as_current_span("left")


def _use_span(tracer):
    return trace.use_span(tracer.start_span("left"), end_on_exit=True)


@contextmanager
def _attach(tracer):
    span = tracer.start_span("left")
    token = context.attach(trace.set_span_in_context(span))
    try:
        yield span
    finally:
        context.detach(token)
        span.end()


OURS = {"start_as_current_span": _ours, "native": _native}
APIS = {"use_span": _use_span, "attach": _attach}
every_block = pytest.mark.parametrize("block", [*OURS.values(), *APIS.values()], ids=[*OURS, *APIS])
every_block_of_ours = pytest.mark.parametrize("block", OURS.values(), ids=OURS)


def numbers(block, tracer):
    with block(tracer):
        yield from range(3)


async def slow_numbers(block, tracer):
    with block(tracer):
        for number in range(3):
            await asyncio.sleep(0)
            yield number


def seen_after(tracer):
    """What is current after a block was left elsewhere, to the API and to the next span."""
    name = getattr(trace.get_current_span(), "name", None)
    with tracer.start_as_current_span("next") as span:
        pass
    parent = span.parent and span.parent.span_id
    (outer,) = [each for each in tracing.spans() if each.name == "left"]
    return name, "left" if parent == int.from_bytes(outer.span_id, "big") else "outer"


@every_block
def test_the_loop_closes_a_generator_that_a_loop_broke_out_of(tracer, block):
    async def main():
        with tracer.start_as_current_span("outer"):
            async for _ in slow_numbers(block, tracer):
                break
            gc.collect()
            for _ in range(5):
                await asyncio.sleep(0)
            return seen_after(tracer)

    assert asyncio.run(main()) == ("outer", "outer")
    assert current() is None


@every_block
def test_another_task_closes_a_generator(tracer, block):
    async def main():
        with tracer.start_as_current_span("outer"):
            generator = slow_numbers(block, tracer)
            await generator.__anext__()
            assert current() == "left"
            await asyncio.create_task(generator.aclose())
            return seen_after(tracer)

    assert asyncio.run(main()) == ("outer", "outer")


@every_block
def test_the_end_of_the_loop_closes_a_generator(recording, tracer, block):
    kept = []

    async def main():
        with tracer.start_as_current_span("outer"):
            kept.append(slow_numbers(block, tracer))
            await kept[0].__anext__()
        return getattr(trace.get_current_span(), "name", None)

    assert asyncio.run(main()) is None
    assert recording.names() == ["left", "outer"]
    assert current() is None


@every_block
def test_a_generator_closed_while_the_task_is_in_a_later_block_leaves_that_alone(tracer, block):
    async def main():
        with tracer.start_as_current_span("outer"):
            generator = slow_numbers(block, tracer)
            await generator.__anext__()
            with tracer.start_as_current_span("later"):
                await asyncio.create_task(generator.aclose())
                assert current() == "later"
            return current()

    assert asyncio.run(main()) == "outer"


@every_block
def test_a_generator_is_closed_in_another_thread(tracer, block):
    with tracer.start_as_current_span("outer"):
        generator = numbers(block, tracer)
        next(generator)
        thread = threading.Thread(target=generator.close)
        thread.start()
        thread.join()
        # This context runs, so nobody could reach it from there.
        assert seen_after(tracer) == ("outer", "outer")
    assert current() is None


@every_block
def test_a_generator_is_closed_in_a_copy_of_the_running_context(tracer, block):
    with tracer.start_as_current_span("outer"):
        generator = numbers(block, tracer)
        next(generator)
        contextvars.copy_context().run(generator.close)
        assert seen_after(tracer) == ("outer", "outer")
    assert current() is None


@every_block
def test_the_native_face_sees_past_a_block_that_was_left_elsewhere(tracer, block):
    with tracer.start_as_current_span("outer"):
        generator = numbers(block, tracer)
        next(generator)
        contextvars.copy_context().run(generator.close)
        assert tracing.active_span().name == "outer"
        assert trace.get_current_span().name == "outer"


@every_block
def test_several_blocks_left_elsewhere_are_passed_at_once(tracer, block):
    with tracer.start_as_current_span("outer"):
        generators = [numbers(block, tracer) for _ in range(3)]
        for generator in generators:
            next(generator)
        for generator in generators:
            contextvars.copy_context().run(generator.close)
        assert tracing.active_span().name == current() == "outer"


@every_block_of_ours
def test_baggage_comes_back_with_the_span_before_a_block_left_elsewhere(tracer, block):
    async def main():
        context.attach(baggage.set_baggage("user", "1"))
        with tracer.start_as_current_span("outer"):
            generator = slow_numbers(block, tracer)
            await generator.__anext__()
            context.attach(baggage.set_baggage("user", "2"))
            await asyncio.create_task(generator.aclose())
            with tracer.start_as_current_span("next"):
                pass
        return baggage.get_baggage("user"), current()

    assert asyncio.run(main()) == ("1", None)


@every_block
def test_a_generator_entered_in_a_copy_and_left_here_changes_nothing_here(tracer, block):
    with tracer.start_as_current_span("outer"):
        generator = numbers(block, tracer)
        copy = contextvars.copy_context()
        copy.run(next, generator)
        generator.close()
        assert current() == "outer"
    assert current() is None


@every_block
def test_a_generator_is_collected_where_it_ran(recording, tracer, block):
    with tracer.start_as_current_span("outer"):
        generator = numbers(block, tracer)
        next(generator)
        generator = [generator]
        generator.append(generator)
        del generator
        gc.collect()
        assert current() == "outer"
    assert recording.names() == ["left", "outer"]


@every_block
def test_a_generator_that_goes_on_in_a_copy_of_its_context_ends_well(recording, tracer, block):
    with tracer.start_as_current_span("outer"):
        generator = numbers(block, tracer)
        next(generator)
        copy = contextvars.copy_context()
        assert copy.run(list, generator) == [1, 2]
        tracer.start_span("next").end()
    assert recording.names() == ["left", "next", "outer"]
    assert current() is None


@every_block_of_ours
def test_a_block_left_elsewhere_is_counted(tracer, block):
    entered = block(tracer)
    entered.__enter__()
    contextvars.copy_context().run(entered.__exit__, None, None, None)
    assert nanospan.stats()["left_blocks"] == 1


def test_a_span_left_open_by_its_block_can_be_made_current_again(tracer):
    with tracer.start_as_current_span("outer"):
        block = tracer.start_as_current_span("open", end_on_exit=False)
        span = block.__enter__()
        contextvars.copy_context().run(block.__exit__, None, None, None)
        with trace.use_span(span):
            assert current() == "open"
            child = tracer.start_span("child")
            assert child.parent is span.get_span_context()
            child.end()
        span.end()
        assert tracing.active_span().name == "outer"


@every_block
def test_blocks_that_overlap_in_generators_end_well(recording, tracer, block):
    first, second = numbers(block, tracer), numbers(block, tracer)
    for generator in (first, second, first, second):
        next(generator)
    first.close()
    second.close()
    assert recording.names() == ["left", "left"]


def test_all_of_this_holds_where_contexts_cannot_be_told_apart():
    if not TELLS_CONTEXTS_APART:
        pytest.skip("that is here")
    run_again_without_cells(__file__)
