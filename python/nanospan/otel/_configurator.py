"""The configurator for `opentelemetry-instrument`: the global providers, from the environment.

Traces are ours. Metrics and logs are left to opentelemetry-sdk, in the way of its own configurator,
and get the same resource.
"""

from __future__ import annotations

import os
from importlib import import_module
from typing import TYPE_CHECKING

from opentelemetry.trace import set_tracer_provider

from nanospan import _environment, _resource
from nanospan._environment import text_of, warn
from nanospan.otel._exporters import exporters
from nanospan.otel._resource import attributes as attributes_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from typing import Any

    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import SpanProcessor

    from nanospan.otel import TracerProvider
    from nanospan.otel._exporters import Arguments


class NanospanConfigurator:
    """Configures what `OTEL_*` variables say. A distro may derive from it, and say more."""

    def configure(self, **options: Any) -> None:
        """Set the global providers."""
        self._configure(**options)

    def _configure(self, **options: Any) -> None:
        """Set the global providers; takes what the configurator of opentelemetry-sdk takes."""
        if path := text_of(os.environ, "OTEL_CONFIG_FILE"):
            from nanospan.otel import _config_file

            if _config_file.configure(path):
                if names := sorted(options.keys() - {"auto_instrumentation_version"}):
                    warn(f"OTEL_CONFIG_FILE is used: {', '.join(names)} of the distro are ignored")
                return
        try:
            sdk = import_module("opentelemetry.sdk._configuration")
        except ImportError:
            _configure_traces_alone(**options)
        else:
            _configure_all(sdk, **options)


def make_provider(**options: Any) -> TracerProvider:
    """Make our provider: for variables and for configuration files, this is where it comes from."""
    from nanospan.otel import TracerProvider, share

    provider = TracerProvider(**options)
    share(provider)
    return provider


def _configure_all(
    sdk: Any,
    *,
    auto_instrumentation_version: str | None = None,
    trace_exporter_names: Sequence[str] | None = None,
    metric_exporter_names: Sequence[str] | None = None,
    log_exporter_names: Sequence[str] | None = None,
    sampler: Any = None,
    resource_attributes: Mapping[str, Any] | None = None,
    id_generator: Any = None,
    setup_logging_handler: bool | None = None,
    exporter_args_map: Arguments | None = None,
    span_processors: Sequence[SpanProcessor] | None = None,
    export_span_processor: Callable[..., SpanProcessor] | None = None,
    log_record_processors: Sequence[Any] | None = None,
    export_log_record_processor: Callable[..., Any] | None = None,
    tracer_configurator: Any = None,
    meter_configurator: Any = None,
    logger_configurator: Any = None,
) -> None:
    """Do as `_initialize_components` of opentelemetry-sdk does, with our provider for traces."""
    resource = _detect_resource(resource_attributes, auto_instrumentation_version)
    _run_opamp(sdk, "pre_sdk_init_function", resource)
    set_up_traces(
        resource,
        [*(trace_exporter_names or ()), *_names("OTEL_TRACES_EXPORTER")],
        exporter_args_map,
        span_processors=span_processors or (),
        export_span_processor=export_span_processor,
        sampler=sampler or sdk._import_sampler(sdk._get_sampler()),
        id_generator=id_generator or _id_generator(sdk),
        _tracer_configurator=tracer_configurator
        or sdk._import_tracer_configurator(sdk._get_tracer_configurator()),
    )
    _, metric_exporters, log_exporters = sdk._import_exporters(
        [],
        [*(metric_exporter_names or ()), *sdk._get_exporter_names("metrics")],
        [*(log_exporter_names or ()), *sdk._get_exporter_names("logs")],
    )
    sdk._init_metrics(
        metric_exporters,
        resource,
        exporter_args_map=exporter_args_map,
        meter_configurator=meter_configurator
        or sdk._import_meter_configurator(sdk._get_meter_configurator()),
    )
    if setup_logging_handler is None:
        variable = "OTEL_PYTHON_LOGGING_AUTO_INSTRUMENTATION_ENABLED"
        setup_logging_handler = text_of(os.environ, variable).lower() == "true"
    sdk._init_logging(
        log_exporters,
        resource,
        setup_logging_handler,
        exporter_args_map=exporter_args_map,
        log_record_processors=log_record_processors,
        export_log_record_processor=export_log_record_processor,
        logger_configurator=logger_configurator
        or sdk._import_logger_configurator(sdk._get_logger_configurator()),
    )
    _run_opamp(sdk, "post_sdk_init_function", resource)


def set_up_traces(
    resource: Resource,
    exporter_names: Sequence[str],
    exporter_arguments: Arguments | None,
    *,
    span_processors: Sequence[SpanProcessor],
    export_span_processor: Callable[..., SpanProcessor] | None,
    **options: Any,
) -> None:
    """Make our provider, with the exporters and processors asked for, the global one."""
    ours, theirs = exporters(
        exporter_names,
        os.environ,
        exporter_arguments,
        # It takes an exporter in Python, whatever the name.
        beyond_ours="export_span_processor" if export_span_processor else "",
    )
    provider = make_provider(
        resource=named_ours(resource),
        exporter=ours or None,
        queue=_environment.queue(os.environ),
        **options,
    )
    set_tracer_provider(provider)
    for processor in span_processors:
        provider.add_span_processor(processor)
    if theirs:
        from opentelemetry.sdk.trace.export import BatchSpanProcessor

        process = export_span_processor or BatchSpanProcessor
        for exporter in theirs:
            provider.add_span_processor(process(exporter))


def _configure_traces_alone(
    *,
    auto_instrumentation_version: str | None = None,
    resource_attributes: Mapping[str, Any] | None = None,
    **options: Any,
) -> None:
    """Do what can be done with opentelemetry-api alone."""
    import nanospan

    asked = [name for name, value in options.items() if value]
    asked += [name for name in ("OTEL_METRICS_EXPORTER", "OTEL_LOGS_EXPORTER") if _names(name)]
    if asked:
        warn(f"without the package opentelemetry-sdk, ignored: {', '.join(asked)}")
    attributes = dict(resource_attributes or {})
    if auto_instrumentation_version:
        attributes["telemetry.auto.version"] = auto_instrumentation_version
    nanospan.install(resource=attributes)


def _detect_resource(attributes: Mapping[str, Any] | None, auto_version: str | None) -> Resource:
    """Return what ours and the SDK's detectors find; the SDK reads the environment, too."""
    from opentelemetry.sdk.resources import Resource

    attributes = dict(attributes or {})
    if auto_version:
        attributes["telemetry.auto.version"] = auto_version
    return Resource(_resource.detect()).merge(Resource.create(attributes))


def named_ours(resource: Resource) -> Resource:
    """Return the resource with our name where the SDK has its own."""
    from opentelemetry.sdk.resources import Resource

    return Resource(attributes_of(resource), resource.schema_url)


def _id_generator(sdk: Any) -> Any:
    """Return the one that the environment names, or None: ours is random."""
    name = sdk._get_id_generator().strip()
    return None if name in ("", "random") else sdk._import_id_generator(name)


def _run_opamp(sdk: Any, name: str, resource: Resource) -> None:
    """Call what a distro has registered to fetch its settings from elsewhere."""
    if function := sdk._import_opamp(name):
        function(resource)


def _names(variable: str) -> list[str]:
    names = text_of(os.environ, variable)
    return [] if names.lower() in ("", "none") else names.split(",")
