"""The active span goes where the context goes: tasks, threads, copies, collectors."""

import asyncio
import contextvars
import gc
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

import nanospan
from nanospan import tracing
from support.process import checked_python

pytest_plugins = ("support.plugin",)


def _parents(recording):
    """Span names to their parents' names."""
    names = {span.span_id: span.name for span in recording.spans()}
    return {span.name: names.get(span.parent_id) for span in recording.spans()}


async def _work(name, *, ticks=3):
    with tracing.start_as_current_span(name) as span:
        for _ in range(ticks):
            await asyncio.sleep(0)
            assert tracing.active_span() is span
        with tracing.start_as_current_span(f"{name} inner"):
            await asyncio.sleep(0)
        assert tracing.active_span() is span


def test_gathered_tasks_are_children_of_the_span_that_started_them(recording):
    async def request():
        with tracing.start_as_current_span("request") as span:
            await asyncio.gather(_work("a"), _work("b", ticks=5))
            assert tracing.active_span() is span

    asyncio.run(request())
    assert _parents(recording) == {
        "request": None,
        "a": "request",
        "a inner": "a",
        "b": "request",
        "b inner": "b",
    }


def test_requests_served_at_once_never_see_each_others_spans(recording):
    async def serve():
        await asyncio.gather(*(_work(f"request {number}", ticks=number) for number in range(20)))

    asyncio.run(serve())
    assert _parents(recording) == {
        **{f"request {number}": None for number in range(20)},
        **{f"request {number} inner": f"request {number}" for number in range(20)},
    }
    assert len({span.trace_id for span in recording.spans()}) == 20


def test_a_task_keeps_the_parent_it_was_started_under_after_that_has_ended(recording):
    async def request():
        with tracing.start_as_current_span("request"):
            task = asyncio.create_task(_work("background"))
        assert tracing.active_span() is None
        await task

    asyncio.run(request())
    nanospan.flush()
    assert _parents(recording)["background"] == "request"


def test_a_span_set_active_in_a_task_stays_in_that_task(recording):
    async def activate():
        tracing.set_active_span(tracing.start_span("x"))

    async def main():
        await asyncio.create_task(activate())
        assert tracing.active_span() is None

    asyncio.run(main())


def test_a_cancelled_task_ends_its_span_without_an_error(recording):
    async def main():
        task = asyncio.create_task(_work("waiting", ticks=10**6))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(main())
    assert recording.one("waiting").attributes == {"nanospan.ended_by": "CancelledError"}


def test_a_function_run_by_to_thread_is_a_child_of_the_span_around_it(recording):
    @tracing.start_as_current_span("in thread")
    def work():
        assert threading.current_thread() is not threading.main_thread()

    async def main():
        with tracing.start_as_current_span("request") as span:
            await asyncio.to_thread(work)
            assert tracing.active_span() is span

    asyncio.run(main())
    assert _parents(recording) == {"request": None, "in thread": "request"}


def test_a_plain_thread_begins_with_nothing_active(recording):
    with tracing.start_as_current_span("request"), ThreadPoolExecutor(1) as pool:
        assert pool.submit(tracing.active_span).result() is None


def test_a_copied_context_carries_the_active_span_into_a_thread(recording):
    with tracing.start_as_current_span("request"), ThreadPoolExecutor(1) as pool:
        context = contextvars.copy_context()
        with_block = tracing.start_as_current_span("work")(lambda: None)
        pool.submit(context.run, with_block).result()
    assert _parents(recording) == {"request": None, "work": "request"}


def test_what_a_copied_context_activates_stays_in_it(recording):
    span = tracing.start_span("x")
    context = contextvars.copy_context()
    context.run(tracing.set_active_span, span)
    assert context.run(tracing.active_span) is span
    assert tracing.active_span() is None
    span.finish()


def test_a_block_left_in_another_context_finishes_and_changes_nothing_there(recording, caplog):
    context = contextvars.copy_context()
    block = tracing.start_as_current_span("wandering")
    context.run(block.__enter__)
    with tracing.start_as_current_span("here") as here:
        block.__exit__(None, None, None)
        assert tracing.active_span() is here
    assert recording.names() == ["here", "wandering"]
    assert nanospan.stats()["left_blocks"] == 1
    assert caplog.records == []


def test_who_finds_a_left_span_active_steps_to_the_one_before_it(recording):
    context = contextvars.copy_context()
    outer = context.run(tracing.start_as_current_span("outer").__enter__)
    inner = tracing.start_as_current_span("inner")
    context.run(inner.__enter__)
    inner.__exit__(None, None, None)
    assert context.run(tracing.active_span) is outer
    child = context.run(tracing.start_span, "child")
    assert child.parent_id == outer.span_id
    child.finish()
    outer.finish()


def test_several_left_spans_are_all_stepped_over(recording):
    context = contextvars.copy_context()
    blocks = [tracing.start_as_current_span(name) for name in "abc"]
    for block in blocks:
        context.run(block.__enter__)
    for block in reversed(blocks):
        block.__exit__(None, None, None)
    assert context.run(tracing.active_span) is None
    assert nanospan.stats()["left_blocks"] == 3


def test_a_generator_that_goes_on_in_a_copy_of_its_own_context_is_not_before_itself():
    # In a process of its own: going round in a circle would never give the interpreter back.
    code = """
        import asyncio, contextvars
        import nanospan
        from nanospan import tracing

        class Pause:
            def __await__(self):
                yield

        copies = []

        @tracing.start_as_current_span("rows")
        async def rows():
            copies.append(contextvars.copy_context())
            yield 1
            await Pause()
            yield 2

        async def step():
            await anext(generator)

        nanospan.configure(exporter=nanospan.MemoryExporter())
        generator = rows()
        try:
            anext(generator).send(None)
        except StopIteration:
            pass
        (inside,) = copies
        second = step()
        inside.run(second.send, None)
        try:
            second.throw(asyncio.CancelledError())
        except asyncio.CancelledError:
            pass
        print(nanospan.stats()["left_blocks"], inside.run(tracing.active_span))
    """
    assert checked_python(code, timeout=20) == "1 None\n"


def test_an_async_generator_closed_by_another_task_does_no_harm(recording):
    async def rows():
        with tracing.start_as_current_span("rows"):
            yield 1
            yield 2

    async def first(generator):
        await anext(generator)

    async def main():
        generator = rows()
        await asyncio.create_task(first(generator))
        with tracing.start_as_current_span("closer") as closer:
            await generator.aclose()
            assert tracing.active_span() is closer

    asyncio.run(main())
    assert recording.names() == ["closer", "rows"]
    assert nanospan.stats()["left_blocks"] == 1


@pytest.fixture
def eager_collector():
    before = gc.get_threshold()
    gc.set_threshold(1)
    yield
    gc.set_threshold(*before)


class _TracedDeath:
    """Traces its own end, whenever the collector comes by."""

    def __init__(self):
        self.cycle = self

    def __del__(self):
        with tracing.start_as_current_span("death") as span:
            span.set_attribute("k", [1, {"a": None}])
            tracing.start_span("inner").finish()


@pytest.mark.usefixtures("eager_collector")
def test_a_collector_that_runs_all_the_time_and_traces_changes_nothing(recording):
    for _ in range(50):
        with tracing.start_as_current_span("request") as request:
            _TracedDeath()
            with tracing.start_as_current_span("query", attributes={"k": [1, 2]}) as query:
                query.add_event("e", {"k": {"a": [1]}})
                _TracedDeath()
            assert tracing.active_span() is request
        assert tracing.active_span() is None
    gc.collect()
    nanospan.flush()
    spans = recording.spans()
    requests = {span.span_id for span in spans if span.name == "request"}
    queries = [span for span in spans if span.name == "query"]
    assert (len(requests), len(queries)) == (50, 50)
    assert {span.parent_id for span in queries} == requests
    assert sum(span.name == "death" for span in spans) == 100


@pytest.mark.usefixtures("eager_collector")
def test_a_collector_that_runs_all_the_time_is_harmless_across_tasks(recording):
    async def serve():
        await asyncio.gather(*(_work(f"request {number}") for number in range(10)))

    asyncio.run(serve())
    assert len(recording.spans()) == 20
    assert nanospan.stats()["open_spans"] == 0
