"""References are given back, whatever a span was told; threads that share a span corrupt nothing.

A few seconds of it in the suite; NANOSPAN_LONG=1 makes it a million spans, for `make deep`.
"""

import gc
import os
import sys
import threading

import pytest

from nanospan import FileExporter, QueueConfig, SpanLimits, StatusCode, tracing
from support.recording import recording

LONG = os.environ.get("NANOSPAN_LONG") == "1"
SPANS = 1_000_000 if LONG else 20_000
WRITES = 20_000 if LONG else 500
THREADS = 8

pytestmark = pytest.mark.timeout(1_800 if LONG else 120)

NAME, KEY, TEXT = "a name of the test", "a key of the test", "a text of the test"
ATTRIBUTES = {KEY: TEXT, "list": [1, 2.5, None, TEXT]}
ERROR = ValueError(TEXT)
OBJECTS = [None, True, tracing, NAME, KEY, TEXT, ATTRIBUTES, ERROR, ValueError, StatusCode.ERROR]
# Since 3.12 the counts of immortal objects say nothing: extensions built for an older Python change
# them.
IMMORTAL = 2**31


def _natively(count):
    for _ in range(count):
        with tracing.start_as_current_span(NAME, attributes=ATTRIBUTES) as span:
            span.set_attribute(KEY, TEXT)
            span.add_event(NAME, ATTRIBUTES)
            span.record_error(ERROR)
            child = tracing.start_span(NAME, parent=span)
            child.set_status(StatusCode.ERROR, TEXT)
            assert child.context.trace_id == span.context.trace_id
            child.finish()


def _through_otel(count):
    otel = pytest.importorskip("nanospan.otel")
    provider = otel.TracerProvider(exporter=FileExporter(os.devnull))
    tracer = provider.get_tracer("references")
    for _ in range(count):
        with tracer.start_as_current_span(NAME, attributes=ATTRIBUTES) as span:
            span.set_attribute(KEY, TEXT)
            span.add_event(NAME, ATTRIBUTES)
            span.record_exception(ERROR)
            assert span.is_recording()
    provider.shutdown()


def _held():
    gc.collect()
    return list(map(sys.getrefcount, OBJECTS)), sys.getallocatedblocks()


@pytest.mark.parametrize("work", [_natively, _through_otel])
def test_spans_leave_no_reference_and_no_object_behind(work):
    with recording(exporter=FileExporter(os.devnull)):
        work(2_000)
        # The interpreter itself, and what is left of other tests, holds and lets go of some: a leak
        # of ours is there each time.
        for _ in range(3):
            counts, blocks = _held()
            work(SPANS)
            counts_after, blocks_after = _held()
            pairs = zip(counts, counts_after, strict=True)
            drift = [after - before for before, after in pairs if before < IMMORTAL]
            is_flat = all(abs(change) < 100 for change in drift)
            if is_flat and abs(blocks_after - blocks) < 1_000:
                return
    raise AssertionError(f"references: {drift}, objects: {blocks_after - blocks}")


def test_threads_that_share_a_span_leave_exactly_what_they_wrote():
    limits = SpanLimits(attribute_count=10**6, event_count=10**6)
    roomy = QueueConfig(max_entries=10**6, max_bytes=2**30)
    before, errors = sys.getswitchinterval(), []
    with recording(limits=limits, queue=roomy) as recorded:
        shared = tracing.start_span("shared")
        barrier = threading.Barrier(THREADS)

        def work(number):
            try:
                barrier.wait()
                for index in range(WRITES):
                    shared.set_attribute(f"{number}", index)
                    shared.add_event("e", {"n": number})
                    child = tracing.start_span("child", parent=shared)
                    assert shared.attributes[f"{number}"] == index
                    (child.finish if index % 2 else child.release)()
            except BaseException as error:
                errors.append(error)

        threads = [threading.Thread(target=work, args=(number,)) for number in range(THREADS)]
        sys.setswitchinterval(1e-6)
        try:
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
        finally:
            sys.setswitchinterval(before)
        shared.finish()
        read = recorded.one("shared")
        assert errors == []
        assert recorded.names().count("child") == THREADS * WRITES // 2
    assert read.attributes == {f"{number}": WRITES - 1 for number in range(THREADS)}
    numbers = [event.attributes["n"] for event in read.events]
    assert [numbers.count(number) for number in range(THREADS)] == [WRITES] * THREADS
