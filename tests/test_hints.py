"""What somebody who knows opentelemetry-api will try says what to use instead."""

import contextlib

import pytest

import nanospan
from nanospan import tracing

pytest_plugins = ("support.plugin",)

_HINTS = {
    "span.end": (lambda span: span.end(), "span.finish()"),
    "span.record_exception": (lambda span: span.record_exception(KeyError()), "span.record_error"),
    "span.update_name": (lambda span: span.update_name("y"), "named once"),
    "span.get_span_context": (lambda span: span.get_span_context(), "span.context"),
    "context.trace_flags": (lambda span: span.context.trace_flags, "context.sampled"),
    "context.is_valid": (lambda span: span.context.is_valid, "no-op span"),
    "tracer.get_tracer": (lambda span: tracing.get_tracer("x"), "tracer.new(name)"),
    "tracer.get_current_span": (lambda span: tracing.get_current_span(), "active_span()"),
    "a write to a block": (
        lambda span: tracing.start_as_current_span("x").set_attribute("k", 1),
        "with tracer.start_as_current_span(name) as span:",
    ),
    "the end of a block": (lambda span: tracing.start_as_current_span("x").finish(), "as span:"),
    "nanospan.get_tracer": (lambda span: nanospan.get_tracer("x"), "nanospan.tracing.new(name)"),
    "nanospan.get_current_span": (lambda span: nanospan.get_current_span(), "active_span()"),
    "nanospan.use_span": (lambda span: nanospan.use_span(span), "set_active_span(span)"),
    "nanospan.TracerProvider": (lambda span: nanospan.TracerProvider(), "nanospan.configure"),
}


@pytest.mark.parametrize(("attempt", "instead"), _HINTS.values(), ids=_HINTS)
def test_a_name_of_opentelemetry_says_what_to_use(recording, attempt, instead):
    span = tracing.start_span("x")
    with pytest.raises(AttributeError, match="has no attribute") as raised:
        attempt(span)
    assert instead in str(raised.value)
    span.finish()


def test_what_has_a_hint_is_not_there(recording):
    span = tracing.start_span("x")
    for thing in (span, nanospan.Span):
        for name in ("end", "record_exception", "__enter__"):
            assert not hasattr(thing, name)
    assert not isinstance(span, contextlib.AbstractContextManager)
    assert getattr(nanospan, "get_tracer", None) is None
    span.finish()


def test_a_name_that_nobody_has_gets_the_usual_message(recording):
    span = tracing.start_span("x")
    with pytest.raises(AttributeError, match=r"'nanospan.Span' object has no attribute 'colour'$"):
        span.colour  # noqa: B018
    with pytest.raises(AttributeError, match=r"module 'nanospan' has no attribute 'colour'$"):
        nanospan.colour  # noqa: B018
    span.finish()


def test_a_span_is_no_context_manager_and_says_which_call_gives_one(recording):
    with pytest.raises(AttributeError, match=r"with tracer\.start_as_current_span\(name\) as span"):
        with tracing.start_span("x"):
            pass
    assert tracing.active_span() is None


def test_a_block_is_entered_with_with_in_coroutines_too(recording):
    async def main():
        async with tracing.start_as_current_span("x"):
            pass

    with pytest.raises(AttributeError, match="use `with`, in coroutines too"):
        main().send(None)


def test_a_decorator_without_its_name_says_how_to_write_it(recording):
    with pytest.raises(TypeError, match=r'@tracer\.start_as_current_span\("load_cart"\)'):

        @tracing.start_as_current_span
        def load_cart():
            pass


def test_a_decorated_class_is_told_to_decorate_its_methods(recording):
    with pytest.raises(TypeError, match="decorate its methods"):

        @tracing.start_as_current_span("x")
        class Shop:
            pass


def test_only_public_names_are_listed():
    names = [name for name in dir(nanospan) if not name.startswith("__")]
    assert names == sorted(nanospan.__all__)
