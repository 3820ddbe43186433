"""`OTEL_CONFIG_FILE`: declarative configuration, as `opentelemetry-configuration` reads it.

That package reads the file and sets up all but the traces. Of those it makes the sampler, the
limits, and the exporters that ours cannot stand in for.
"""

# pyright: reportMissingTypeStubs=false

from __future__ import annotations

import atexit
from copy import copy
from dataclasses import replace
from typing import TYPE_CHECKING

from opentelemetry.trace import set_tracer_provider

from nanospan._core import ConsoleExporter, OtlpExporter, QueueConfig
from nanospan._environment import pairs, warn
from nanospan.otel._configurator import make_provider, named_ours

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from opentelemetry.configuration import OpenTelemetryConfiguration, models

    from nanospan._core import _Exporter  # pyright: ignore[reportPrivateUsage]
    from nanospan.otel import TracerProvider


def configure(path: str) -> bool:
    """Set the global providers that a file describes; False where nothing here can read it."""
    try:
        from opentelemetry.configuration import configure_sdk, load_config_file
    except ImportError as error:
        warn(f"OTEL_CONFIG_FILE is ignored: pip install opentelemetry-configuration ({error})")
        return False
    config = load_config_file(path)
    if config.tracer_provider and not config.disabled:
        set_tracer_provider(tracer_provider(config))
    others = copy(config)
    others.tracer_provider = None  # leaves the global one as it is
    configure_sdk(others)
    return True


def tracer_provider(config: OpenTelemetryConfiguration) -> TracerProvider:
    """Make our provider as a file describes it."""
    from opentelemetry.configuration.file import create_resource, create_tracer_provider

    section = config.tracer_provider
    assert section is not None, "the file describes no traces"
    ours, queue, others = _divide(section.processors)
    # A provider of the SDK, for its parts: every sampler and plugin that the package knows.
    parts: Any = create_tracer_provider(
        replace(section, processors=others), global_attribute_limits=config.attribute_limits
    )
    atexit.unregister(parts.shutdown)
    is_plugin = section.id_generator is not None and section.id_generator.random is None
    provider = make_provider(
        resource=named_ours(create_resource(config.resource)),
        exporter=ours or None,
        queue=queue,
        sampler=parts.sampler,
        id_generator=parts.id_generator if is_plugin else None,  # ours is random
        span_limits=parts._span_limits,
        _tracer_configurator=parts._tracer_configurator,
    )
    for processor in parts._active_span_processor._span_processors:
        provider.add_span_processor(processor)
    return provider


def _divide(
    processors: Sequence[models.SpanProcessor],
) -> tuple[list[_Exporter], QueueConfig, list[models.SpanProcessor]]:
    """Return our exporters, the one queue before them, and the processors that are not ours."""
    ours: list[_Exporter] = []
    queues: list[dict[str, Any]] = []
    others: list[models.SpanProcessor] = []
    for processor in processors:
        exporter, queue = _ours(processor)
        if exporter:
            ours.append(exporter)
            queues.append(queue)
        else:
            others.append(processor)
    queue = queues[0] if queues else {}
    if any(other != queue for other in queues):
        warn("OTEL_CONFIG_FILE: its span processors share one queue, with the first one's settings")
    return ours, QueueConfig(**queue), others


def _ours(processor: models.SpanProcessor) -> tuple[_Exporter | None, dict[str, Any]]:
    """Return the exporter of ours that can do what a processor is for, and its queue's settings."""
    if batch := processor.batch:
        delay, timeout = batch.schedule_delay, batch.export_timeout
        queue = {
            "max_coalescing_delay": None if delay is None else delay / 1000,
            "max_entries": batch.max_queue_size,
            "max_batch_size": batch.max_export_batch_size,
        }
        given = {name: value for name, value in queue.items() if value is not None}
        return _exporter(batch.exporter, timeout), given
    if processor.simple:
        return _exporter(processor.simple.exporter, None), {"max_coalescing_delay": 0.0}
    return None, {}


def _exporter(config: models.SpanExporter, bound_ms: int | None) -> _Exporter | None:
    if config.console is not None:
        return ConsoleExporter()
    http = config.otlp_http
    if http is None:
        return None
    if http.encoding is not None and http.encoding.value != "protobuf":
        return None
    compression: Any = http.compression
    if compression not in (None, "gzip", "none"):
        return None
    if http.tls is not None and any(vars(http.tls).values()):
        return None
    # OpenTelemetry's 0 stands for no timeout; here every wait has an end.
    bounds = [3600.0 if ms == 0 else ms / 1000 for ms in (http.timeout, bound_ms) if ms is not None]
    return OtlpExporter(
        http.endpoint,
        headers={
            **dict(pairs({"headers_list": http.headers_list or ""}, "headers_list")),
            **{header.name: header.value or "" for header in http.headers or ()},
        },
        timeout=min(bounds, default=10.0),
        compression=compression,
    )
