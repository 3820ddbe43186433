"""What is recorded of an exception is what `traceback.format_exception` says of it, whatever frames
it came through, whichever exceptions led to it, and whether or not its frames were told before."""

import traceback

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nanospan import tracing
from nanospan.testing.strategies import expected_text
from support.raising import MuteError, programs
from support.recording import recording

MAX_BYTES = 25_000


def _recorded(error):
    with recording():
        with tracing.start_as_current_span("x") as span:
            span.record_error(error)
            (event,) = span.events
    return event.attributes["exception.stacktrace"]


def _expected(error):
    text = expected_text("".join(traceback.format_exception(error)))
    whole = text.encode()
    if len(whole) <= MAX_BYTES:
        return text
    return "…" + whole[-MAX_BYTES:].decode(errors="ignore")


def _caught(program):
    try:
        program()
    except BaseException as error:
        return error
    raise AssertionError("it raises nothing")


@given(programs, st.booleans())
def test_the_text_is_that_of_the_standard_library(program, told_first):
    error = _caught(program)
    early = _recorded(error) if told_first else None
    expected = _expected(error)
    assert early in (None, expected)
    assert _recorded(error) == expected
    again = _caught(program)
    assert _recorded(again) == _expected(again)


@pytest.mark.parametrize("error", [ValueError(), ValueError("never raised"), MuteError()], ids=repr)
def test_an_exception_that_was_not_raised_has_no_traceback(error):
    assert _recorded(error) == _expected(error)
