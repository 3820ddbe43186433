"""Handles used too late, too often, from elsewhere or for ever: never another span's data."""

import os
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

import nanospan
from nanospan import ReleasedSpanError, StatusCode, tracing
from support.process import checked_python
from support.recording import recording as new_recording

pytest_plugins = ("support.plugin",)


def _write_everything(span):
    span.set_attribute("k", "not mine")
    span.set_attributes({"k": "not mine"})
    span.add_event("not mine")
    span.add_link(span.context)
    span.record_error("not mine")
    span.set_status(StatusCode.ERROR, "not mine")
    span.finish()
    span.release()


def _in_thread(function, *arguments):
    thread = threading.Thread(target=function, args=arguments)
    thread.start()
    thread.join()


_ENDS = {
    "finished": lambda span: span.finish(),
    "released": lambda span: span.release(),
    "finished and released": lambda span: (span.finish(), span.release()),
    "handed over": lambda span: (span.finish(), nanospan.flush()),
}


@pytest.mark.parametrize("end", _ENDS.values(), ids=_ENDS)
@pytest.mark.parametrize("call", [lambda f, *a: f(*a), _in_thread], ids=["same", "other thread"])
def test_an_ended_handle_never_writes_to_the_span_that_took_its_place(recording, end, call):
    ended = tracing.start_span("first", attributes={"k": 1})
    end(ended)
    with tracing.start_as_current_span("second", attributes={"k": 2}) as second:
        call(_write_everything, ended)
        assert (second.attributes, second.events, second.links) == ({"k": 2}, (), ())
    read = recording.one("second")
    assert (read.attributes, read.events, read.status) == ({"k": 2}, (), StatusCode.UNSET)


@pytest.mark.parametrize("end", _ENDS.values(), ids=_ENDS)
def test_an_ended_handle_never_reads_the_span_that_took_its_place(recording, end):
    ended = tracing.start_span("first", attributes={"k": 1})
    context = ended.context
    end(ended)
    others = [tracing.start_span("other", attributes={"k": 2}) for _ in range(10)]
    assert (ended.context, ended.name) == (context, "first")
    for name in ("attributes", "events", "links"):
        with pytest.raises(ReleasedSpanError):
            getattr(ended, name)
    for other in others:
        other.finish()


def test_a_span_may_be_finished_in_another_thread(recording):
    span = tracing.start_span("x")
    _in_thread(span.set_attribute, "k", 1)
    _in_thread(span.finish)
    assert recording.one("x").attributes == {"k": 1}


def test_a_handle_from_before_shutdown_is_harmless_after_the_next_configure():
    with new_recording():
        old = tracing.start_span("old")
    with new_recording() as recorded:
        new = tracing.start_span("new", attributes={"k": 2})
        _write_everything(old)
        new.finish()
        assert recorded.one("new").attributes == {"k": 2}


@given(st.lists(st.tuples(st.integers(0, 9), st.sampled_from(["start", "finish", "release"]))))
def test_every_handle_keeps_to_its_own_span_whatever_the_order(steps):
    handles = {}
    with new_recording() as recorded:
        for number, (slot, step) in enumerate(steps):
            if step == "start":
                handles[slot] = tracing.start_span(f"{number}", attributes={"number": number})
            elif slot in handles:
                getattr(handles[slot], step)()
                _write_everything(handles[slot])
        read = recorded.spans()
    assert all(span.attributes == {"number": int(span.name)} for span in read)
    assert all(span.status == StatusCode.UNSET for span in read)


_MEASURED = """
    import contextvars, gc, logging, os, sys
    import nanospan
    from nanospan import FileExporter, ROOT, tracing
    from support.process import resident_bytes

    logging.getLogger("nanospan").addHandler(logging.NullHandler())
    nanospan.configure(exporter=FileExporter(os.devnull))

    {work}

    work(50_000)
    before = resident_bytes()
    work({count})
    print(resident_bytes() - before, nanospan.stats()["open_spans"])
"""

_WORK = {
    "roots": """
    def work(count):
        for _ in range(count):
            tracing.start_span("x").finish()
    """,
    "a chain of ended parents": """
    def work(count):
        span = tracing.start_span("x")
        for _ in range(count):
            child = tracing.start_span("x", parent=span)
            span.finish()
            span = child
        span.finish()
    """,
    "a chain of ended parents under an open root": """
    def work(count):
        root = tracing.start_span("root")
        span = root
        for _ in range(count):
            child = tracing.start_span("x", parent=span)
            if span is not root:
                span.finish()
            span = child
        span.finish()
        root.finish()
    """,
    "blocks": """
    def work(count):
        with tracing.start_as_current_span("root"):
            for _ in range(count):
                with tracing.start_as_current_span("x", attributes={"k": 1}):
                    pass
    """,
    "abandoned handles": """
    def work(count):
        for _ in range(count):
            tracing.start_span("x")
    """,
}


def _growth(work, count):
    code = _MEASURED.format(work=work.strip(), count=count)
    return tuple(map(int, checked_python(code, timeout=100).split()))


@pytest.mark.parametrize("work", _WORK.values(), ids=_WORK)
def test_a_million_spans_leave_memory_flat(work):
    growth, open_spans = _growth(work, 1_000_000)
    assert growth < 8 * 2**20
    assert open_spans == 0


def test_abandoned_blocks_leave_memory_flat():
    work = """
    def work(count):
        for _ in range(count):
            block = tracing.start_as_current_span("x")
            contextvars.copy_context().run(block.__enter__)
    """
    growth, open_spans = _growth(work, 100_000)
    assert growth < 4 * 2**20
    assert open_spans == 0


def test_a_chain_of_a_million_open_spans_dies_without_a_crash():
    code = """
        import logging, os
        import nanospan
        from nanospan import FileExporter, tracing

        logging.getLogger("nanospan").addHandler(logging.NullHandler())
        nanospan.configure(exporter=FileExporter(os.devnull))
        span = tracing.start_span("x")
        for _ in range(1_000_000):
            span = tracing.start_span("x", parent=span)
        del span
        print(nanospan.stats()["open_spans"])
    """
    assert checked_python(code, timeout=100) == "0\n"


@pytest.mark.skipif(not os.path.exists("/proc/self/statm"), reason="measures memory on Linux")
def test_finished_handles_that_are_kept_stay_small():
    work = """
    kept = []
    def work(count):
        kept.extend(tracing.start_span("x", attributes={"k": "v" * 100}) for _ in range(count))
        for span in kept:
            span.finish()
    """
    growth, _ = _growth(work, 100_000)
    assert growth < 100_000 * 1_000
