"""The span processors of a provider, told one after the other."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Any

from nanospan.otel import _log, _sdk

if TYPE_CHECKING:
    from nanospan._core import _Provider  # pyright: ignore[reportPrivateUsage]


class Processors:
    """What a provider has as `_active_span_processor`.

    Others replace its `_span_processors`, so the core learns from that when there is somebody to
    tell. A processor that raises is logged once, and the others are told all the same.
    """

    def __init__(self, core: _Provider) -> None:
        self._core = core
        self._lock = threading.Lock()
        self._span_processors = ()

    @property
    def _span_processors(self) -> tuple[Any, ...]:
        return self._told

    @_span_processors.setter
    def _span_processors(self, processors: tuple[Any, ...]) -> None:
        self._told = processors
        self._core._processor = self if processors else None

    def add_span_processor(self, span_processor: Any) -> None:
        """Add one to be told after the others. Raises `ImportError` where the SDK is missing."""
        _sdk.readable_class()
        with self._lock:
            self._span_processors += (span_processor,)

    def on_start(self, span: Any, parent_context: Any = None) -> None:
        """Tell that a span has started."""
        for processor in self._told:
            try:
                processor.on_start(span, parent_context=parent_context)
            except Exception as error:
                _log.processor_raised("on_start", error)

    def _on_ending(self, span: Any) -> None:
        for processor in self._told:
            # Only those that derive from the SDK's class have it.
            on_ending = getattr(processor, "_on_ending", None)
            if on_ending is not None:
                try:
                    on_ending(span)
                except Exception as error:
                    _log.processor_raised("_on_ending", error)

    def on_end(self, span: Any) -> None:
        """Tell that a span has ended."""
        for processor in self._told:
            try:
                processor.on_end(span)
            except Exception as error:
                _log.processor_raised("on_end", error)

    def shutdown(self) -> None:
        """Shut all of them down."""
        for processor in self._told:
            try:
                processor.shutdown()
            except Exception as error:
                _log.processor_raised("shutdown", error)

    def force_flush(self, timeout_millis: int = 30000) -> bool:
        """Flush all of them, as long as time is left. True if each said so."""
        deadline = time.monotonic() + timeout_millis / 1000
        flushed = True
        for processor in self._told:
            left = deadline - time.monotonic()
            if left <= 0:
                return False
            try:
                flushed &= processor.force_flush(int(left * 1000)) is not False
            except Exception as error:
                _log.processor_raised("force_flush", error)
                flushed = False
        return flushed


def processors(core: _Provider) -> Processors:
    """Return the processors of a provider; where the SDK is installed, of the SDK's class too."""
    base = _sdk.find("opentelemetry.sdk.trace", "SynchronousMultiSpanProcessor")
    if base is None:
        return Processors(core)
    made: Processors = type("Processors", (Processors, base), {})(core)
    return made
