"""`record_error`: an event, and nothing but an event."""

import gc
import sys
import traceback
import weakref

import pytest
from hypothesis import given

import nanospan
from nanospan import StatusCode, _core, tracing
from nanospan.testing.strategies import texts
from support.recording import recording as new_recording

pytest_plugins = ("support.plugin",)


def _exported_bytes(write):
    """What is exported of one span after `write`, with time and ids the same each time."""
    ids = _core.ScriptedIds([b"\x11" * 16], [b"\x22" * 8])
    with new_recording(clock=_core.ManualClock(1_000), ids=ids) as recorded:
        span = tracing.start_span("x")
        write(span)
        span.finish()
        recorded.spans()
        return recorded.exporter._otlp()


@given(texts())
def test_a_recorded_text_equals_the_event_written_by_hand(message):
    assert _exported_bytes(lambda span: span.record_error(message)) == _exported_bytes(
        lambda span: span.add_event("exception", {"exception.message": message})
    )


def test_a_recorded_exception_has_its_type_message_and_trace(recording):
    span = tracing.start_span("x")
    try:
        raise ValueError("boom")
    except ValueError as error:
        span.record_error(error)
    span.finish()
    ((name, _, attributes),) = recording.one("x").events
    assert (name, set(attributes)) == (
        "exception",
        {"exception.type", "exception.message", "exception.stacktrace"},
    )
    assert (attributes["exception.type"], attributes["exception.message"]) == ("ValueError", "boom")
    assert attributes["exception.stacktrace"].startswith("Traceback (most recent call last):\n")
    assert attributes["exception.stacktrace"].rstrip().endswith("ValueError: boom")


class _ShopError(Exception):
    pass


def test_the_type_of_a_programs_own_exception_names_its_module(recording):
    span = tracing.start_span("x")
    span.record_error(_ShopError("boom"))
    span.finish()
    (event,) = recording.one("x").events
    assert event.attributes["exception.type"] == f"{__name__}._ShopError"


def test_the_status_is_left_alone(recording):
    span = tracing.start_span("x")
    span.record_error("boom")
    assert span.status == StatusCode.UNSET
    span.finish()


@pytest.mark.parametrize("error", [None, 3, ValueError], ids=repr)
def test_what_is_neither_text_nor_exception_raises(recording, error):
    span = tracing.start_span("x")
    with pytest.raises(TypeError, match="error"):
        span.record_error(error)
    assert span.events == ()
    span.finish()


def test_an_exception_of_a_class_that_names_no_module_is_told_by_its_name(recording):
    homeless = type("HomelessError", (Exception,), {"__module__": None})
    with pytest.raises(homeless), tracing.start_as_current_span("x") as span:
        span.record_error(homeless("by hand"))
        raise homeless("escaped")
    read = recording.one("x")
    assert [event.attributes["exception.type"] for event in read.events] == ["HomelessError"] * 2
    assert read.status_description == "HomelessError: escaped"


def _stack_trace(error):
    with new_recording():
        with tracing.start_as_current_span("x") as span:
            span.record_error(error)
            (event,) = span.events
    return event.attributes["exception.stacktrace"]


def _caught(function, *arguments):
    try:
        function(*arguments)
    except Exception as error:
        return error
    raise AssertionError("it raises nothing")


def _dive(depth):
    if depth:
        _dive(depth - 1)
    else:
        raise ValueError("deep")


def _there(depth):
    _back(depth - 1)


def _back(depth):
    if depth > 0:
        _there(depth - 1)
    raise ValueError("deep")


def test_repeated_frames_are_counted():
    error = _caught(_dive, 900)
    stack = _stack_trace(error)
    assert "  [Previous line repeated 897 more times]\n" in stack
    assert stack == "".join(traceback.format_exception(error))


def test_of_an_over_deep_traceback_the_innermost_frames_are_told():
    before = sys.getrecursionlimit()
    sys.setrecursionlimit(5_000)
    try:
        stack = _stack_trace(_caught(_dive, 1_500))
    finally:
        sys.setrecursionlimit(before)
    # Of 1,502 frames.
    assert stack.startswith("Traceback (most recent call last):\n  [502 frames left out]\n  File ")
    assert "  [Previous line repeated 996 more times]\n" in stack
    assert stack.endswith("ValueError: deep\n")


def test_a_text_that_is_too_long_keeps_its_end():
    stack = _stack_trace(_caught(_there, 900))
    assert len(stack.encode()) == 25_000 + len("…".encode())
    whole = "".join(traceback.format_exception(_caught(_there, 900)))
    assert whole.endswith(stack[1:])


def test_a_chain_that_is_too_long_keeps_its_end():
    error = ValueError("first")
    for number in range(10_000):
        error, cause = ValueError(f"number {number}"), error
        error.__cause__ = cause
    stack = _stack_trace(error)
    assert len(stack.encode()) == 25_000 + len("…".encode())
    assert stack.endswith("ValueError: number 9999\n")


def test_a_limit_of_the_program_for_its_tracebacks_is_kept(monkeypatch):
    error = _caught(_there, 5)
    monkeypatch.setattr(sys, "tracebacklimit", 2, raising=False)
    assert _stack_trace(error) == "".join(traceback.format_exception(error))
    assert _stack_trace(error).count("  File ") == 2


def _made(source, file):
    names = {}
    exec(compile(source, file, "exec"), names)
    return names["fail"]


def test_a_source_line_is_told_as_it_was_when_its_frame_was_first(tmp_path):
    file = tmp_path / "made.py"
    source = "def fail():\n    raise ValueError('old')\n"
    file.write_text(source)
    fail = _made(source, str(file))
    first = _stack_trace(_caught(fail))
    file.write_text("# a comment more\n" + source)
    assert _stack_trace(_caught(fail)) == first
    assert "    raise ValueError('old')\n" in first


def test_new_code_at_the_place_of_old_code_is_told_anew():
    for number in range(50):
        fail = _made("\n" * number + "def fail():\n    raise ValueError\n", "<made>")
        assert f'  File "<made>", line {number + 2}, in fail\n' in _stack_trace(_caught(fail))
        del fail


def test_code_that_is_gone_is_not_kept_for_ever():
    codes = []
    with new_recording(limits=nanospan.SpanLimits(event_count=1)):
        span = tracing.start_span("x")
        for _ in range(3_000):
            fail = _made("def fail():\n    raise ValueError\n", "<made>")
            codes.append(weakref.ref(fail.__code__))
            span.record_error(_caught(fail))
        span.finish()
    del fail
    gc.collect()
    assert 100 < sum(code() is not None for code in codes) <= 1_024
