"""The floor does its duties. `make bench` runs this before it measures anything."""

import asyncio
import contextvars
import os
import sys
import threading
import time
from contextlib import ExitStack
from pathlib import Path

import pytest
from opentelemetry import context as context_api
from opentelemetry.context.context import Context
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.trace.propagation import _SPAN_KEY

sys.path.insert(0, str(Path(__file__).parents[2] / "target" / "floor"))
import floor

floor.opentelemetry(context_api._RUNTIME_CONTEXT._current_context, _SPAN_KEY, Context)
BODIES = ["plain", "cell", "otel plain", "otel cell"]
MILLISECOND = 1_000_000


def request(data):
    message = ExportTraceServiceRequest()
    message.ParseFromString(data)
    return message


def sent(data=None):
    """The spans of a request, by default of all that is queued."""
    message = request(floor.drain() if data is None else data)
    groups = [group for resource in message.resource_spans for group in resource.scope_spans]
    return [span for group in groups for span in group.spans]


def value(any_value):
    kind = any_value.WhichOneof("value")
    if kind == "array_value":
        return [value(item) for item in any_value.array_value.values]
    return getattr(any_value, kind)


def attributes(message):
    assert len({pair.key for pair in message.attributes}) == len(message.attributes)
    return {pair.key: value(pair.value) for pair in message.attributes}


@pytest.fixture(autouse=True)
def _nothing_is_left():
    floor.limit()
    floor.drain()
    yield
    floor.worker(False)
    assert floor.stats()["queued"] == 0 or sent()


@pytest.fixture(params=BODIES)
def tracer(request):
    return floor.Tracer("test", body=request.param)


VALUES = {
    "text": "GET",
    "long": "x" * 200,
    "other text": "é€" * 3,
    "int": 5,
    "negative": -5,
    "beyond 64 bits": 1 << 70,
    "bool": True,
    "float": 1.5,
    "bytes": b"\0\xff",
    "list": ["a", "b"],
    "tuple": (1, 2.5, True),
    "empty": [],
}


def test_every_value_reads_back_as_it_was_set(tracer):
    span = tracer.start_span("values")
    for key, given in VALUES.items():
        span.set_attribute(key, given)
    span.add_event("the same", VALUES)
    span.finish()
    [span] = sent()
    expected = VALUES | {"beyond 64 bits": str(1 << 70), "tuple": [1, 2.5, True]}
    assert attributes(span) == expected
    assert attributes(span.events[0]) == expected


def test_the_last_write_of_a_key_wins_and_none_removes_it(tracer):
    span = tracer.start_span("writes", attributes={"kept": 1, "same size": 1, "larger": 1})
    for key, given in [("same size", 2), ("larger", "two"), ("gone", 1), ("gone", None)]:
        span.set_attribute(key, given)
    span.set_attribute("never", None)
    span.set_attribute("bad", object())
    span.finish()
    [span] = sent()
    assert attributes(span) == {"kept": 1, "same size": 2, "larger": "two"}
    assert span.dropped_attributes_count == 1


def test_ids_times_kind_status_and_events_read_back(tracer):
    before = time.time_ns()
    with tracer.start_as_current_span("outer", kind=1) as outer:
        with tracer.start_as_current_span("inner") as inner:
            inner.add_event("first", {"a": 1})
            inner.set_attribute("between", 1)
            inner.add_event("large", {"b": "z" * 20_000})
            inner.add_event("bare")
            inner.set_status(2, "first")
            inner.set_attribute("after", "status")
            inner.set_status(2, "why")
        outer.set_status(1)
        outer.set_status(2, "too late")
    after = time.time_ns()
    sent_inner, sent_outer = sent()
    trace_id, span_id, sampled = outer.context
    assert (sent_outer.trace_id, sent_outer.span_id, sampled) == (trace_id, span_id, True)
    assert (sent_inner.trace_id, sent_inner.parent_span_id) == (trace_id, span_id)
    assert (sent_inner.trace_id, sent_inner.span_id, True) == inner.context
    assert (sent_outer.name, sent_outer.kind, sent_outer.parent_span_id) == ("outer", 2, b"")
    assert (sent_outer.status.code, sent_outer.status.message) == (1, "")
    assert (sent_inner.status.code, sent_inner.status.message) == (2, "why")
    assert attributes(sent_inner) == {"between": 1, "after": "status"}
    assert [event.name for event in sent_inner.events] == ["first", "large", "bare"]
    assert [attributes(event) for event in sent_inner.events] == [{"a": 1}, {"b": "z" * 20_000}, {}]
    assert sent_inner.flags == sent_outer.flags == 0x101
    times = [sent_outer.start_time_unix_nano, sent_inner.start_time_unix_nano]
    times += [event.time_unix_nano for event in sent_inner.events]
    times += [sent_inner.end_time_unix_nano, sent_outer.end_time_unix_nano]
    assert times == sorted(times)
    assert before - MILLISECOND <= times[0] <= times[-1] <= after + MILLISECOND


def test_spans_are_grouped_by_tracer_under_one_resource():
    first, second = (floor.Tracer(name, body="cell") for name in ("first", "second"))
    with first.start_as_current_span("a") as span:
        second.start_span("b", parent=span).finish()
        first.start_span("c").finish()
    message = request(floor.drain())
    [resource] = message.resource_spans
    assert attributes(resource.resource) == {"service.name": "floor"}
    groups = {
        group.scope.name: [span.name for span in group.spans] for group in resource.scope_spans
    }
    assert groups == {"first": ["c", "a"], "second": ["b"]}


def test_an_ended_span_takes_no_more(tracer):
    span = tracer.start_span("ended")
    span.finish()
    span.set_attribute("late", 1)
    span.add_event("late")
    span.set_status(2)
    span.finish()
    [message] = sent()
    assert (attributes(message), len(message.events), message.status.code) == ({}, 0, 0)
    assert not span.is_recording()


def test_a_span_holds_128_attributes_and_events_and_counts_the_rest(tracer):
    span = tracer.start_span("n" * 3_000)
    for i in range(200):
        span.set_attribute(f"key{i}", "v" * i)
    for i in range(0, 128, 3):
        span.set_attribute(f"key{i}", i)
    span.set_attribute("key5", None)
    span.set_attribute("new", 1)
    for i in range(130):
        span.add_event(f"event{i}")
    span.finish()
    [message] = sent()
    expected = {f"key{i}": i if i % 3 == 0 else "v" * i for i in range(128) if i != 5}
    assert attributes(message) == expected | {"new": 1}
    assert message.name == "n" * 3_000
    assert (message.dropped_attributes_count, message.dropped_events_count) == (72, 2)


@pytest.mark.parametrize("size", [0, 1, 60, 100, 128, 300, 5_000, 70_000, 3_000_000])
def test_any_length_of_text_reads_back(tracer, size):
    with tracer.start_as_current_span("root"):
        for i in range(3):
            tracer.start_span("child", attributes={"text": "z" * (size + i)}).finish()
    assert [len(attributes(span)["text"]) for span in sent()[:3]] == [size, size + 1, size + 2]


def test_a_long_value_is_cut_between_characters(tracer):
    floor.limit(value_length=5)
    tracer.start_span("cut", attributes={"text": "ééé"}).finish()
    assert attributes(sent()[0]) == {"text": "éé"}


def test_the_ratio_decides_by_trace_id_for_whole_traces():
    half = floor.Tracer(body="plain", rate=0.5)
    decisions = {}
    for _ in range(4_000):
        with half.start_as_current_span("root") as root:
            with half.start_as_current_span("child") as child:
                trace_id, _, sampled = root.context
                assert child.context[0] == trace_id
                assert child.context[2] == child.is_recording() == root.is_recording() == sampled
                decisions[trace_id] = sampled
    assert all((trace_id[8] < 128) == sampled for trace_id, sampled in decisions.items())
    kept = {trace_id for trace_id, sampled in decisions.items() if sampled}
    assert 1_800 < len(kept) < 2_200
    spans = sent()
    assert len(spans) == 2 * len(kept)
    assert {span.trace_id for span in spans} == kept


def test_the_spans_of_a_trace_wait_for_its_root(tracer):
    with tracer.start_as_current_span("root") as root:
        tracer.start_span("child").finish()
        late = tracer.start_span("late")
        assert not sent()
    assert [span.name for span in sent()] == ["child", "root"]
    late.finish()
    tracer.start_span("after", parent=root).finish()
    last = sent()
    assert [span.name for span in last] == ["late", "after"]
    assert {span.trace_id for span in last} == {root.context[0]}


def test_finished_children_of_an_abandoned_root_go_on(tracer):
    abandoned = floor.stats()["abandoned"]
    root = tracer.start_span("root")
    tracer.start_span("child", parent=root).finish()
    del root
    assert [span.name for span in sent()] == ["child"]
    assert floor.stats()["abandoned"] == abandoned + 1


def test_a_large_trace_goes_on_in_parts(tracer):
    root = tracer.start_span("root")
    children = 0
    while floor.stats()["queued"] == 0:
        tracer.start_span("child", parent=root).finish()
        children += 1
    assert len(sent()) == children > 500
    root.finish()
    assert len(sent()) == 1


def test_a_long_chain_of_open_blocks_dies_without_recursion(tracer):
    def enter_many():
        for _ in range(100_000):
            block = tracer.start_as_current_span("deep")
            type(block).__enter__(block)

    contextvars.Context().run(enter_many)


def test_what_does_not_fit_the_queue_is_dropped_and_counted(tracer):
    floor.limit(queued_spans=10)
    dropped = floor.stats()["dropped"]
    for _ in range(20):
        tracer.start_span("span").finish()
    assert len(sent()) == 10
    assert floor.stats()["dropped"] == dropped + 10


def test_the_worker_takes_all_that_threads_finish(tracer):
    def finish_many():
        for i in range(5_000):
            with tracer.start_as_current_span("outer") as span:
                span.set_attribute("i", i)
                with tracer.start_as_current_span("inner"):
                    pass
            if i % 500 == 0:
                time.sleep(0.001)

    before = floor.stats()
    floor.worker(True)
    threads = [threading.Thread(target=finish_many) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    floor.worker(False)
    after = floor.stats()
    gone = sum(after[key] - before[key] for key in ("taken", "dropped"))
    assert (gone, after["queued"]) == (40_000, 0)
    assert sent(floor.last_request())


def test_the_worker_takes_children_whose_root_stays_open(tracer):
    floor.limit(wait_ms=5)
    swept = floor.stats()["swept"]
    root = tracer.start_span("root")
    tracer.start_span("child", parent=root).finish()
    floor.worker(True)
    deadline = time.monotonic() + 30
    while floor.stats()["swept"] == swept and time.monotonic() < deadline:
        time.sleep(0.005)
    floor.worker(False)
    assert [span.name for span in sent(floor.last_request())] == ["child"]
    root.finish()
    assert [span.name for span in sent()] == ["root"]


def test_a_forked_child_sends_its_own_spans_in_the_trace_of_its_parent(tracer):
    with tracer.start_as_current_span("parent") as parent:
        tracer.start_span("before").finish()
        pid = os.fork()
        if pid == 0:
            ok = False
            try:
                child = tracer.start_span("child")
                child.finish()
                parent.finish()
                [span] = sent()
                ok = (span.name, span.trace_id, span.span_id) == ("child", *child.context[:2])
                ok = ok and (span.trace_id, span.parent_span_id) == parent.context[:2]
            finally:
                os._exit(not ok)
        assert os.waitpid(pid, 0)[1] == 0
    assert [span.name for span in sent()] == ["before", "parent"]


def test_an_escaping_exception_is_recorded(tracer):
    with pytest.raises(ValueError, match="why"):
        with tracer.start_as_current_span("failing"):
            raise ValueError("why")
    [span] = sent()
    assert (span.status.code, span.status.message) == (2, "why")
    assert attributes(span.events[0]) == {
        "exception.type": "ValueError",
        "exception.message": "why",
    }


def test_a_block_is_entered_once_by_with_or_an_exit_stack_and_never_by_a_call(tracer):
    block = tracer.start_as_current_span("block")
    with pytest.raises(TypeError):
        block()
    with pytest.raises(TypeError):
        block(None, None, None)
    with block as span:
        assert tracer.active_span() is span
    with pytest.raises(RuntimeError), block:
        pass
    with ExitStack() as stack:
        span = stack.enter_context(tracer.start_as_current_span("stacked"))
        assert tracer.active_span() is span
    assert tracer.active_span() is None
    assert [span.name for span in sent()] == ["block", "stacked"]


def test_an_off_tracer_records_nothing():
    tracer = floor.Tracer(body="off")
    with tracer.start_as_current_span("nothing") as span:
        span.set_attribute("key", 1)
        assert tracer.active_span() is None
        assert not span.is_recording()
    assert not sent()


def test_copies_of_a_context_keep_the_span_that_was_active(tracer):
    with tracer.start_as_current_span("a") as a:
        with tracer.start_as_current_span("b") as b:
            copy = contextvars.copy_context()
        assert tracer.active_span() is a
        assert copy.run(tracer.active_span) is b

        def block_in_the_copy():
            with tracer.start_as_current_span("c") as c:
                assert tracer.active_span() is c
            assert tracer.active_span() is b

        copy.run(block_in_the_copy)
        assert tracer.active_span() is a
        seen = []
        thread = threading.Thread(target=lambda: seen.append(tracer.active_span()))
        thread.start()
        thread.join(30)
        assert seen == [None]
    assert tracer.active_span() is None


def test_a_block_left_in_another_context_changes_nothing_there(tracer):
    def generator():
        with tracer.start_as_current_span("inside"):
            yield

    with tracer.start_as_current_span("outer") as outer:
        suspended = generator()
        other = contextvars.copy_context()
        other.run(next, suspended)
        assert tracer.active_span() is outer
        suspended.close()
        assert tracer.active_span() is outer
        assert other.run(tracer.active_span) is outer


def test_a_task_inherits_what_was_active_when_it_was_made(tracer):
    async def child(name, go):
        inherited = tracer.active_span()
        with tracer.start_as_current_span(name) as span:
            await go.wait()
            assert tracer.active_span() is span
            await asyncio.sleep(0)
            assert tracer.active_span() is span
        assert tracer.active_span() is inherited
        return inherited

    async def main():
        go = asyncio.Event()
        with tracer.start_as_current_span("root") as root:
            with tracer.start_as_current_span("middle") as middle:
                tasks = [asyncio.create_task(child(f"{i}", go)) for i in range(3)]
            assert tracer.active_span() is root
            tasks.append(asyncio.create_task(child("3", go)))
        tasks.append(asyncio.create_task(child("4", go)))
        await asyncio.sleep(0)
        go.set()
        inherited = await asyncio.wait_for(asyncio.gather(*tasks), 30)
        assert inherited == [middle, middle, middle, root, None]
        with tracer.start_as_current_span("thread") as span:
            assert await asyncio.to_thread(tracer.active_span) is span

    asyncio.run(main())


def test_many_other_variables_do_not_matter(tracer):
    variables = [contextvars.ContextVar(f"v{i}") for i in range(60)]

    def nested():
        with tracer.start_as_current_span("outer") as outer:
            for variable in variables:
                variable.set(1)
            with tracer.start_as_current_span("inner") as inner:
                copy = contextvars.copy_context()
                variables[3].set(2)
                assert tracer.active_span() is inner
            assert tracer.active_span() is outer
            assert copy.run(tracer.active_span) is inner

    contextvars.Context().run(nested)


@pytest.mark.parametrize("body", ["otel plain", "otel cell"])
def test_the_span_is_in_opentelemetrys_context_beside_what_others_put_there(body):
    tracer = floor.Tracer(body=body)
    token = context_api.attach(context_api.set_value("theirs", 1))
    with tracer.start_as_current_span("outer") as outer:
        held = context_api.get_current()
        assert held == {"theirs": 1, _SPAN_KEY: outer}
        with tracer.start_as_current_span("inner") as inner:
            assert context_api.get_value(_SPAN_KEY) is inner
            assert held[_SPAN_KEY] is outer
        assert context_api.get_value(_SPAN_KEY) is outer
    assert context_api.get_value(_SPAN_KEY) is None
    assert context_api.get_value("theirs") == 1
    context_api.detach(token)
    assert len(sent()) == 2
