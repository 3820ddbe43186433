"""OpenTelemetry tracing whose spans cost next to nothing.

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
    ROOT,
    AlwaysOff,
    AlwaysOn,
    ConsoleExporter,
    FileExporter,
    MemoryExporter,
    OtlpExporter,
    ParentBased,
    QueueConfig,
    ReleasedSpanError,
    Span,
    SpanContext,
    SpanData,
    SpanLimits,
    TraceIdRatio,
    Tracer,
    flush,
    shutdown,
    stats,
    tracing,
)
from nanospan._core import __version__ as __version__
from nanospan._data import Event, InstrumentationScope, Link
from nanospan._enum import SpanKind, StatusCode
from nanospan._flush import flush_async

__all__ = [
    "ROOT",
    "AlwaysOff",
    "AlwaysOn",
    "ConsoleExporter",
    "Event",
    "FileExporter",
    "InstrumentationScope",
    "Link",
    "MemoryExporter",
    "OtlpExporter",
    "ParentBased",
    "QueueConfig",
    "ReleasedSpanError",
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
    "shutdown",
    "stats",
    "tracing",
]
