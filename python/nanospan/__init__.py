"""OpenTelemetry tracing for Python, recorded in Rust.

`configure(...)` builds the pipeline, `tracing` is the global tracer, and until `configure` is
called every tracer is a no-op.
"""

try:
    import nanospan._core  # pyright: ignore[reportUnusedImport]
except ImportError as error:
    # A subinterpreter, or an extension built for another machine: no reason to take a service down.
    import logging
    import sys

    import nanospan._noop

    sys.modules["nanospan._core"] = sys.modules["nanospan._configure"] = nanospan._noop
    logging.getLogger("nanospan").warning("tracing is off, the extension does not load: %s", error)

from nanospan._configure import configure
from nanospan._core import (
    PRESERVE,
    ROOT,
    AlwaysOff,
    AlwaysOn,
    AlwaysRecord,
    ConsistentProbability,
    ConsoleExporter,
    FileExporter,
    Keep,
    KeepRule,
    MemoryExporter,
    OtlpExporter,
    ParentBased,
    Propagation,
    QueueConfig,
    RateLimited,
    ReleasedSpanError,
    RemoteContext,
    Rule,
    RuleBased,
    SamplingInput,
    Span,
    SpanContext,
    SpanData,
    SpanLimits,
    TraceIdRatio,
    Tracer,
    flush,
    propagation,
    shutdown,
    stats,
    tracing,
)
from nanospan._core import __version__ as __version__
from nanospan._data import Event, InstrumentationScope, Link
from nanospan._enum import SpanKind, StatusCode
from nanospan._flush import flush_async

__all__ = [
    "PRESERVE",
    "ROOT",
    "AlwaysOff",
    "AlwaysOn",
    "AlwaysRecord",
    "ConsistentProbability",
    "ConsoleExporter",
    "Event",
    "FileExporter",
    "InstrumentationScope",
    "Keep",
    "KeepRule",
    "Link",
    "MemoryExporter",
    "OtlpExporter",
    "ParentBased",
    "Propagation",
    "QueueConfig",
    "RateLimited",
    "ReleasedSpanError",
    "RemoteContext",
    "Rule",
    "RuleBased",
    "SamplingInput",
    "Span",
    "SpanContext",
    "SpanData",
    "SpanKind",
    "SpanLimits",
    "StatusCode",
    "TraceIdRatio",
    "Tracer",
    "configure",
    "flush",
    "flush_async",
    "install",
    "propagation",
    "shutdown",
    "stats",
    "tracing",
]


TYPE_CHECKING = False  # typing's own takes milliseconds to import
if TYPE_CHECKING:
    from nanospan.otel import install
else:

    def install(**arguments: object) -> object:
        """Configure nanospan and make it OpenTelemetry's provider: see `nanospan.otel.install`."""
        from nanospan.otel import install

        return install(**arguments)

    # To a type checker every name would be there.
    def __getattr__(name: str) -> object:
        """Say what to use instead of a name that opentelemetry-api has."""
        instead = {
            "get_tracer": "use nanospan.tracing or nanospan.tracing.new(name)",
            "get_current_span": "use nanospan.tracing.active_span()",
            "use_span": "use nanospan.tracing.set_active_span(span)",
            "get_tracer_provider": "use nanospan.tracing",
            "set_tracer_provider": "use nanospan.configure(exporter=...) or nanospan.install()",
            "TracerProvider": "use nanospan.configure(exporter=...) or nanospan.otel",
        }.get(name)
        text = f"module 'nanospan' has no attribute '{name}'"
        raise AttributeError(f"{text}: {instead}" if instead else text)

    def __dir__() -> list[str]:
        """List the public names alone."""
        return [*__all__, *(name for name in globals() if name.startswith("__"))]
