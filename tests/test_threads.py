"""Threads that share tracers, spans and traces."""

import sys
import threading
from collections import Counter

import pytest

import nanospan
from nanospan import QueueConfig, tracing
from support.recording import recording as new_recording

_THREADS = 8
_ROOMY = QueueConfig(max_entries=1_000_000, max_bytes=2**30)


@pytest.fixture(autouse=True)
def eager_switching():
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    yield
    sys.setswitchinterval(before)


def _at_once(work):
    """Runs `work(number)` in several threads that begin together; an exception in one is raised."""
    barrier, errors = threading.Barrier(_THREADS), []

    def run(number):
        barrier.wait()
        try:
            work(number)
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=run, args=(number,)) for number in range(_THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []


def test_threads_with_traces_of_their_own_never_mix_them():
    def serve(number):
        for _ in range(200):
            with tracing.start_as_current_span(f"root {number}"):
                with tracing.start_as_current_span(f"child {number}"):
                    tracing.start_span(f"leaf {number}").finish()

    with new_recording(queue=_ROOMY) as recorded:
        _at_once(serve)
        by_id = {span.span_id: span for span in recorded.spans()}
    assert len(by_id) == _THREADS * 200 * 3
    for span in by_id.values():
        parent = by_id.get(span.parent_id)
        assert (parent is None) == span.name.startswith("root")
        assert parent is None or parent.name.split()[1] == span.name.split()[1]


def test_threads_that_share_a_trace_lose_no_span():
    with new_recording(queue=_ROOMY) as recorded:
        root = tracing.start_span("root")

        def work(number):
            for index in range(500):
                tracing.start_span(f"{number} {index}", parent=root).finish()

        _at_once(work)
        root.finish()
        names = Counter(span.name for span in recorded.spans())
        assert nanospan.stats()["dropped"]["queue_full"] == 0
    assert len(names) == sum(names.values()) == _THREADS * 500 + 1


def test_threads_that_share_a_span_lose_no_write():
    with new_recording(limits=nanospan.SpanLimits(attribute_count=10_000)) as recorded:
        span = tracing.start_span("shared")

        def write(number):
            for index in range(200):
                span.set_attribute(f"{number} {index}", index)
                span.set_attribute("contested", number)
                assert span.attributes[f"{number} {index}"] == index

        _at_once(write)
        span.finish()
        attributes = recorded.one("shared").attributes
    assert attributes.pop("contested") in range(_THREADS)
    assert attributes == {f"{n} {i}": i for n in range(_THREADS) for i in range(200)}


def test_of_all_threads_that_finish_a_span_one_does():
    with new_recording(queue=_ROOMY) as recorded:
        for _ in range(50):
            span = tracing.start_span("contested")

            def finish(number, span=span):
                span.set_attribute("k", number)
                span.finish()

            _at_once(finish)
        assert recorded.names() == ["contested"] * 50
        assert nanospan.stats()["finished"] == 50


@pytest.mark.parametrize("other", [nanospan.flush, nanospan.stats, lambda: tracing.spans()])
def test_flushing_and_looking_while_others_trace_loses_nothing(other):
    with new_recording(queue=_ROOMY) as recorded:

        def work(number):
            for index in range(100):
                if number == 0:
                    other()
                    continue
                with tracing.start_as_current_span("root"):
                    child = tracing.start_span("child", attributes={"index": index})
                    child.finish()

        _at_once(work)
        names = Counter(recorded.names())
    assert names == {"root": (_THREADS - 1) * 100, "child": (_THREADS - 1) * 100}


def test_children_that_race_with_their_roots_end_arrive_once():
    with new_recording(queue=_ROOMY) as recorded:
        for _ in range(50):
            root = tracing.start_span("root")
            children = [tracing.start_span("child", parent=root) for _ in range(_THREADS - 1)]
            spans = [root, *children]
            _at_once(lambda number, spans=spans: spans[number].finish())
        nanospan.flush()
        names = Counter(recorded.names())
    assert names == {"root": 50, "child": 50 * (_THREADS - 1)}


def test_configuring_and_shutting_down_while_others_trace_does_no_harm():
    def work(number):
        for _ in range(50):
            if number:
                with tracing.start_as_current_span("x") as span:
                    span.set_attribute("k", [number])
            elif nanospan.stats()["worker"] == "stopped":
                nanospan.configure(exporter=nanospan.MemoryExporter())
            else:
                nanospan.shutdown()

    with new_recording():
        _at_once(work)
