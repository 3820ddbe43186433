"""The OpenTelemetry face: a provider for `opentelemetry-api` on nanospan's core.

`nanospan.install()` puts it in place in one line. `TracerProvider` takes the arguments of
`opentelemetry.sdk.trace.TracerProvider`, and its spans pass for the SDK's. It needs
`opentelemetry-api` (`pip install nanospan[otel]`); span processors, samplers and exporters of the
SDK work where `opentelemetry-sdk` is installed.
"""

try:
    import opentelemetry.trace
except ImportError as error:
    raise ImportError(
        "nanospan.otel needs opentelemetry-api: pip install 'nanospan[otel]'"
    ) from error

from nanospan._core import _install_otel
from nanospan._core import _OtelSpan as Span
from nanospan._core import _OtelTracer as Tracer
from nanospan.otel import _context

_install_otel()
_context.install()
opentelemetry.trace.Span.register(Span)
opentelemetry.trace.Tracer.register(Tracer)

from nanospan.otel._provider import TracerProvider, from_environment, install  # noqa: E402

__all__ = ["Span", "Tracer", "TracerProvider", "from_environment", "install"]
