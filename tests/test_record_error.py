"""`record_error`: an event, and nothing but an event."""

import pytest
from hypothesis import given

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
