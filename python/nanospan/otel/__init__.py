"""The OpenTelemetry face: a provider for `opentelemetry-api` on nanospan's core.

`nanospan.install()` puts it in place in one line. `TracerProvider` takes the arguments of
`opentelemetry.sdk.trace.TracerProvider`, and its spans pass for the SDK's. It needs
`opentelemetry-api` (`pip install nanospan[otel]`); span processors, samplers and exporters of the
SDK work where `opentelemetry-sdk` is installed.
"""

# pyright: reportPrivateUsage=false

from typing import TYPE_CHECKING

try:
    import opentelemetry.trace
except ImportError as error:
    raise ImportError(
        "nanospan.otel needs opentelemetry-api: pip install 'nanospan[otel]'"
    ) from error

from nanospan import _core

if TYPE_CHECKING or _core.__name__ == "nanospan._core":
    from nanospan.otel import _context

    Span = _core._OtelSpan
    Tracer = _core._OtelTracer

    _core._install_otel()
    _context.install()
    opentelemetry.trace.Span.register(Span)
    opentelemetry.trace.Tracer.register(Tracer)

    from nanospan.otel._provider import TracerProvider, from_environment, install, share
else:  # the extension does not load, and `nanospan` has said so
    from nanospan.otel._noop import Span, Tracer, TracerProvider, from_environment, install, share

__all__ = ["Span", "Tracer", "TracerProvider", "from_environment", "install", "share"]
