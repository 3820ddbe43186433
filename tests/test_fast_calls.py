"""Calls that hot code makes take a short way: it must lead to the same place as the long one."""

import contextlib
import contextvars
import gc
import inspect
import weakref

import pytest
from hypothesis import given
from hypothesis import strategies as st

import nanospan
from nanospan import SpanKind, StatusCode, tracing
from nanospan.testing import strategies
from support.process import checked_python
from support.recording import recording as new_recording

pytest_plugins = ("support.plugin",)

_plain_values = st.one_of(
    st.booleans(),
    st.integers(-(2**70), 2**70),
    st.floats(allow_nan=False),
    strategies.texts(),
    st.none(),
    st.binary(max_size=3),
)


@given(st.lists(st.tuples(strategies.attribute_keys(), _plain_values), max_size=12))
def test_an_attribute_by_place_is_the_attribute_by_name(pairs):
    with new_recording():
        short, long = tracing.start_span("short"), tracing.start_span("long")
        for key, value in pairs:
            short.set_attribute(key, value)
            long.set_attribute(key=key, value=value)
        assert short.attributes == long.attributes


@given(strategies.texts(), st.dictionaries(strategies.attribute_keys(), _plain_values, max_size=6))
def test_an_event_by_place_is_the_event_by_name(name, attributes):
    with new_recording():
        span = tracing.start_span("x")
        span.add_event(name, attributes)
        span.add_event(name=name, attributes=attributes)
        short, long = span.events
        assert (short.name, short.attributes) == (long.name, long.attributes)


@given(st.sampled_from(StatusCode), st.none() | strategies.texts())
def test_a_status_by_place_is_the_status_by_name(status, description):
    with new_recording():
        short, long = tracing.start_span("short"), tracing.start_span("long")
        short.set_status(status, description)
        long.set_status(status=status, description=description)
        assert (short.status, short.status_description) == (long.status, long.status_description)


@pytest.mark.parametrize("kind", [*SpanKind, 3])
def test_a_kind_by_itself_and_among_others_is_the_same(recording, kind):
    tracing.start_span("short", kind=kind).finish()
    tracing.start_span("long", kind=kind, attributes={}).finish()
    with tracing.start_as_current_span("block", kind=kind):
        pass
    assert {span.kind for span in recording.spans()} == {kind}


@pytest.mark.parametrize(
    "arguments",
    [{}, {"key": "k"}, {"key": "k", "value": 1, "more": 2}, {"key": 1, "value": 1}],
)
def test_a_wrong_call_raises_as_a_python_function_does(recording, arguments):
    with pytest.raises(TypeError):
        tracing.start_span("x").set_attribute(**arguments)
    with pytest.raises(TypeError):
        tracing.start_span("x").set_attribute(*arguments.values(), **{"unknown": 1})


def test_signatures_and_docs_are_those_of_the_long_way():
    assert list(inspect.signature(nanospan.Span.set_attribute).parameters) == [
        "self",
        "key",
        "value",
    ]
    assert "last write" in (nanospan.Span.set_attribute.__doc__ or "")


def test_a_method_refuses_an_object_of_another_class():
    with pytest.raises(TypeError):
        nanospan.Span.set_attribute(object(), "k", 1)


def test_a_block_that_somebody_calls_without_arguments_is_not_entered(recording):
    block = tracing.start_as_current_span("x")
    with pytest.raises(TypeError, match="with"):
        block()
    for arguments in [(1, 2), (1, 2, 3, 4)]:
        with pytest.raises(TypeError):
            block(*arguments)
    assert tracing.active_span() is None
    assert nanospan.stats()["started"] == 0
    with block as span:
        assert tracing.active_span() is span


def test_a_block_is_entered_and_left_by_hand_and_by_an_exit_stack(recording):
    block = tracing.start_as_current_span("by hand")
    span = block.__enter__()
    assert tracing.active_span() is span
    block.__exit__(None, None, None)
    with contextlib.ExitStack() as stack:
        span = stack.enter_context(tracing.start_as_current_span("by a stack"))
        assert tracing.active_span() is span
    assert tracing.active_span() is None
    assert recording.names() == ["by a stack", "by hand"]


def test_the_entrance_of_a_block_leads_nowhere_for_other_objects():
    entrance = type(tracing.start_as_current_span("x")).__enter__
    for other in [42, object(), None]:
        assert entrance.__get__(other, type(other)) is entrance


def test_memory_that_is_used_again_brings_nothing_along(recording):
    names = []
    for number in range(1_000):
        span = tracing.start_span(f"span {number}")
        span.set_attribute(f"key {number}", number)
        assert span.attributes == {f"key {number}": number}
        died = weakref.ref(span, lambda _: names.append(1))
        span.finish()
        del span
        assert died() is None
    assert len(names) == 1_000
    gc.collect()
    assert len({span.span_id for span in recording.spans()}) == 1_000


def test_a_span_is_held_by_the_context_in_which_it_is_active_and_by_nobody_after(recording):
    def enter():
        with tracing.start_as_current_span("outer") as outer:
            copy = contextvars.copy_context()
            with tracing.start_as_current_span("inner") as inner:
                assert copy.run(tracing.active_span) is outer
                assert contextvars.copy_context().run(tracing.active_span) is inner
            assert tracing.active_span() is outer
        assert tracing.active_span() is None
        assert copy.run(tracing.active_span) is outer
        return weakref.ref(outer), weakref.ref(inner)

    outer, inner = contextvars.Context().run(enter)
    assert (outer(), inner()) == (None, None)


@pytest.mark.parametrize("start", ["span", "block"])
def test_a_destructor_that_traces_while_a_name_is_read_harms_nobody(start):
    # The name is no UTF-8: reading it allocates, and before 3.12 any allocation may collect.
    code = f"""
        import gc
        import nanospan
        from nanospan import tracing

        nanospan.configure(exporter=nanospan.MemoryExporter())
        raised = []

        class Cycle:
            def __init__(self):
                self.me = self

            def __del__(self):
                try:
                    tracing.start_span("in a destructor").finish()
                except BaseException as error:
                    raised.append(error)
                if goes_on:
                    Cycle()
                    held.append([[], [], [], [], []])

        goes_on, held = True, []
        Cycle()
        gc.set_threshold(1)
        for _ in range(50):
            if {start!r} == "span":
                tracing.start_span("a\\ud800").finish()
            else:
                with tracing.start_as_current_span("a\\ud800"):
                    pass
        goes_on = False
        gc.set_threshold(700)
        assert not raised, raised[0]
    """
    assert checked_python(code) == ""


def test_an_exception_that_cannot_be_told_is_let_go_of_at_once(recording):
    held = []

    class Big:
        pass

    class Untold(Exception):
        def __str__(self):
            local = Big()
            held.append(weakref.ref(local))
            raise RuntimeError

    for _ in range(3):
        with pytest.raises(Untold), tracing.start_as_current_span("x"):
            raise Untold
    gc.collect()
    assert held
    assert [big() for big in held] == [None] * len(held)


def test_an_interrupt_inside_a_log_handler_of_ours_reaches_the_program():
    code = """
        import logging, signal, time
        import nanospan

        signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored in background jobs

        class Interrupted(logging.Handler):
            def emit(self, record):
                raise KeyboardInterrupt

        logging.getLogger("nanospan").addHandler(Interrupted())
        nanospan.configure(exporter=nanospan.MemoryExporter())
        nanospan.tracing.start_span("abandoned")
        try:
            nanospan.tracing.start_span("x").finish()
            time.sleep(10)
        except KeyboardInterrupt:
            print("interrupted")
    """
    assert checked_python(code) == "interrupted\n"
