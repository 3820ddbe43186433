"""`TracerProvider`, and how it is put in place."""

# pyright: reportPrivateUsage=false

from __future__ import annotations

import atexit
import logging
import os
import sys
import threading
import weakref
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

from opentelemetry import trace

import nanospan
from nanospan import _core, _environment
from nanospan.otel import _ids, _limits, _processors, _resource, _samplers, _sdk

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

_logger = logging.getLogger("nanospan")

_Arguments = ParamSpec("_Arguments")
_Result = TypeVar("_Result")

# What a shutdown may take, as at the end of the program.
_SHUTDOWN_SECONDS = 2.0


class TracerProvider(trace.TracerProvider):
    """Makes tracers whose spans are recorded by nanospan's core.

    The arguments are those of `opentelemetry.sdk.trace.TracerProvider`. `exporter` is one of
    nanospan's exporters or a sequence of them, which send without touching the interpreter; without
    one, spans go to the span processors alone. `queue` is a `nanospan.QueueConfig`. What is not
    given is read from the `OTEL_*` environment variables. Samplers are the SDK's, nanospan's, or
    any object with a `should_sample`; those that the core knows it decides itself.
    """

    def __init__(
        self,
        sampler: Any = None,
        resource: Any = None,
        shutdown_on_exit: bool = True,
        active_span_processor: Any = None,
        id_generator: Any = None,
        span_limits: Any = None,
        *,
        exporter: _core._Exporter | Sequence[_core._Exporter] | None = None,
        queue: nanospan.QueueConfig | None = None,
        meter_provider: Any = None,
        _tracer_configurator: Any = None,
        _shares: bool = False,
    ) -> None:
        self._shares = _shares
        self._disabled = _environment.is_disabled(os.environ)
        self._span_limits = span_limits or _limits.from_environment()
        self.sampler = sampler or _samplers.from_environment()
        native_sampler = _samplers.native(self.sampler)
        if _shares:
            self._core = _core._Provider(shares=True)
            self._resource = _sdk.resource({})
        else:
            self._resource = _resource.detect() if resource is None else resource
            limits, max_length, max_nested_length = _limits.native(self._span_limits)
            self._core = _core._Provider(
                exporter=exporter,
                resource=_resource.attributes(self._resource),
                schema_url=self._resource.schema_url,
                limits=limits,
                queue=queue,
                sampler=native_sampler,
                max_length=max_length,
                max_nested_length=max_nested_length,
            )
        self._core._owner = self
        if native_sampler is None:
            self._core._sampler = self.sampler
        self.id_generator = _ids.IdGenerator(self._core) if id_generator is None else id_generator
        if id_generator is not None and not _ids.is_native(id_generator):
            self._core._id_generator = id_generator
        if active_span_processor is None:
            active_span_processor = _processors.processors(self._core)
        else:
            self._core._processor = active_span_processor
        self._active_span_processor = active_span_processor
        self._meter_provider = meter_provider
        self._tracer_configurator = _tracer_configurator
        self._tracers_lock = threading.Lock()
        self._tracers: dict[Any, _core._OtelTracer] = {}
        if hasattr(os, "register_at_fork"):
            handle_fork = weakref.WeakMethod(self._handle_fork)

            def after_in_child() -> None:
                if handle := handle_fork():
                    handle()

            os.register_at_fork(after_in_child=after_in_child)
        self._atexit_handler = None
        if shutdown_on_exit:
            self._atexit_handler = atexit.register(self.shutdown)

    @property  # type: ignore[misc]
    def __class__(self) -> type:  # pyright: ignore[reportIncompatibleMethodOverride]
        """The SDK's class where the SDK is loaded: `isinstance` takes the provider for its own."""
        sdk = sys.modules.get("opentelemetry.sdk.trace")
        found: type = getattr(sdk, "TracerProvider", TracerProvider)
        return found

    @property
    def resource(self) -> Any:
        """What makes the spans."""
        if self._shares:
            # Of the last pipeline, where there is none now.
            self._resource = self._core._shared_resource or self._resource
        return self._resource

    def get_tracer(
        self,
        instrumenting_module_name: str,
        instrumenting_library_version: str | None = None,
        schema_url: str | None = None,
        attributes: Any = None,
    ) -> trace.Tracer:
        """Return the tracer of an instrumentation scope, the same for the same arguments."""
        if self._disabled:
            return trace.NoOpTracer()
        if not instrumenting_module_name:
            instrumenting_module_name = ""
            _logger.error("get_tracer called without a name of the instrumenting module")
        version = instrumenting_library_version or ""
        scope = _sdk.instrumentation_scope(
            instrumenting_module_name, version, schema_url, attributes
        )
        with self._tracers_lock:
            tracer = self._tracers.get(scope)
            if tracer is None:
                tracer = self._tracers[scope] = _core._OtelTracer(
                    self._core,
                    scope,
                    str(instrumenting_module_name),
                    str(version),
                    str(schema_url or ""),
                    dict(attributes or {}),
                )
                tracer._enable(self._is_enabled(scope))
        return tracer

    def add_span_processor(self, span_processor: Any) -> None:
        """Have a span processor told of all spans that start or end from now on."""
        self._active_span_processor.add_span_processor(span_processor)

    def shutdown(self) -> None:
        """Shut down the span processors, and send what is not sent yet, within two seconds."""
        self._active_span_processor.shutdown()
        self._core._shutdown(_SHUTDOWN_SECONDS)
        if self._atexit_handler is not None:
            atexit.unregister(self._atexit_handler)
            self._atexit_handler = None

    def force_flush(self, timeout_millis: int = 30000) -> bool:
        """Send what has ended. True only if all of it was taken within `timeout_millis`."""
        import time

        deadline = time.monotonic() + timeout_millis / 1000
        flushed = self._active_span_processor.force_flush(timeout_millis)
        left = max(0.0, deadline - time.monotonic())
        return self._core._flush(left) and flushed is not False

    def _set_tracer_configurator(self, *, tracer_configurator: Any) -> None:
        self._tracer_configurator = tracer_configurator
        with self._tracers_lock:
            for scope, tracer in self._tracers.items():
                tracer._enable(self._is_enabled(scope))

    def _is_enabled(self, scope: Any) -> bool:
        if self._tracer_configurator is None:
            return True
        try:
            return bool(self._tracer_configurator(scope).is_enabled)
        except Exception:
            _logger.exception("a tracer configurator raised for %s, which stays enabled", scope)
            return True

    def _update_resource(self, resource: Any) -> None:
        with self._tracers_lock:
            earlier = self.resource
            self._resource = earlier.merge(resource)
            if self._shares:
                self._core._shared_resource = self._resource
                return
            attributes = _resource.attributes(self._resource)
            self._core._set_resource(earlier, attributes, self._resource.schema_url)

    def _handle_fork(self) -> None:
        """Tell the process apart from the one that it was forked from."""
        self._tracers_lock = threading.Lock()
        if not self._shares:
            self._update_resource(_resource.of_process(self._resource))


_shared: TracerProvider | None = None
_shared_lock = threading.Lock()


def from_environment() -> TracerProvider:
    """Return the provider over the pipeline of `nanospan.configure`.

    Where nothing is configured yet, that happens now, from the `OTEL_*` environment variables. It
    is what `OTEL_PYTHON_TRACER_PROVIDER=nanospan` loads.
    """
    global _shared
    with _shared_lock:
        if not _core._is_configured():
            nanospan.configure()
        if _shared is None:
            # The core ends its pipelines itself when the program does.
            _shared = TracerProvider(_shares=True, shutdown_on_exit=False)
            _core._share(_shared._core)
        return _shared


def share(provider: TracerProvider) -> None:
    """Have both faces record into the pipeline of a provider, unless they share one already."""
    global _shared
    with _shared_lock:
        if _shared is None and not _core._is_configured():
            _shared = provider
            provider._core._make_current()
            _core._share(provider._core)


def _takes_what(
    _: Callable[_Arguments, object], /
) -> Callable[[Callable[..., _Result]], Callable[_Arguments, _Result]]:
    """Say that a function takes the arguments of another."""
    return lambda function: function


@_takes_what(nanospan.configure)
def install(**arguments: Any) -> TracerProvider:
    """Configure nanospan and make it OpenTelemetry's provider of tracers.

    The arguments are those of `nanospan.configure`, and go to it. Without any, a pipeline that is
    there already is kept. OpenTelemetry lets its provider be set once: if another one is, it logs a
    warning, and this one is returned all the same.
    """
    if arguments:
        nanospan.configure(**arguments)
    provider = from_environment()
    if trace._TRACER_PROVIDER is not provider:
        trace.set_tracer_provider(provider)
    _spare_proxies()
    return provider


def _spare_proxies() -> None:
    """Have tracers taken before the provider was set prepare no block of their own around ours."""

    def start_as_current_span(self: Any, *args: Any, **kwargs: Any) -> Any:
        return self._tracer.start_as_current_span(*args, **kwargs)

    trace.ProxyTracer.start_as_current_span = start_as_current_span  # type: ignore[method-assign]
