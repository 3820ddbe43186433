"""The class that tracers say they have."""

from __future__ import annotations

from typing import Any

from opentelemetry import trace


class Tracer(trace.Tracer):
    """What `tracer.__class__` gives.

    Objects that wrap a tracer call the methods of its class with themselves, which those of a
    native class refuse.
    """

    def start_span(self, *args: Any, **kwargs: Any) -> trace.Span:
        """Start a span of the tracer that is wrapped."""
        return _wrapped(self).start_span(*args, **kwargs)

    def start_as_current_span(self, *args: Any, **kwargs: Any) -> Any:
        """Prepare a block of the tracer that is wrapped."""
        return _wrapped(self).start_as_current_span(*args, **kwargs)


def _wrapped(tracer: Any) -> trace.Tracer:
    wrapped: trace.Tracer = tracer.__wrapped__
    return wrapped
