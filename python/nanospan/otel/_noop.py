"""`nanospan.otel` where the extension cannot be loaded: OpenTelemetry's own no-ops by our names."""

from __future__ import annotations

from typing import Any

from opentelemetry import trace
from opentelemetry.trace import NonRecordingSpan as Span
from opentelemetry.trace import NoOpTracer as Tracer

from nanospan.otel import _sdk

__all__ = ["Span", "Tracer", "TracerProvider", "from_environment", "install"]


class TracerProvider(trace.NoOpTracerProvider):
    """OpenTelemetry's no-op provider, with the methods of one that does something."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        pass

    @property
    def resource(self) -> Any:
        """Return an empty resource."""
        return _sdk.resource({})

    def add_span_processor(self, span_processor: Any) -> None:
        """Do nothing."""

    def shutdown(self) -> None:
        """Do nothing."""

    def force_flush(self, timeout_millis: int = 30000) -> bool:
        """Return True: nothing waits."""
        return True


def from_environment() -> TracerProvider:
    """Return a provider whose tracers do nothing."""
    return TracerProvider()


def share(provider: TracerProvider) -> None:
    """Do nothing."""


def install(**arguments: Any) -> TracerProvider:
    """Return a provider whose tracers do nothing; the global one stays as it is."""
    return TracerProvider()
