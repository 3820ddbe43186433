"""What nanospan is where its extension cannot be loaded: the same names, and nothing happens.

A subinterpreter, as mod_wsgi makes them, or a wheel for another machine must not take a service
down. Nothing is checked here and nothing is recorded; `nanospan` logs once why.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from nanospan._enum import SpanKind, StatusCode

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any


class ReleasedSpanError(RuntimeError):
    """Never raised here."""


class _Anything:
    """Takes any arguments: samplers, limits, exporters."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        pass


class AlwaysOn(_Anything):
    """Samples nothing here."""


class AlwaysOff(_Anything):
    """Samples nothing here."""


class AlwaysRecord(_Anything):
    """Samples nothing here."""


class ParentBased(_Anything):
    """Samples nothing here."""

    @staticmethod
    def by_strategy(strategy: str, root: object) -> ParentBased:
        """Return one that samples nothing."""
        return ParentBased(root)


class Rule(_Anything):
    """Samples nothing here."""


class RuleBased(_Anything):
    """Samples nothing here."""


class SamplingInput(_Anything):
    """Never made here."""


class TraceIdRatio(_Anything):
    """Samples nothing here."""

    def __init__(self, rate: float) -> None:
        self.rate = rate


class ConsistentProbability(TraceIdRatio):
    """Samples nothing here."""


class RateLimited(TraceIdRatio):
    """Samples nothing here."""


class Keep(_Anything):
    """Keeps nothing here."""


class KeepRule(_Anything):
    """Matches nothing here."""


class SpanLimits(_Anything):
    """Limits nothing here."""


class QueueConfig(_Anything):
    """Bounds nothing here."""


class OtlpExporter(_Anything):
    """Sends nothing here."""


class ConsoleExporter(_Anything):
    """Draws nothing here."""


class FileExporter(_Anything):
    """Writes nothing here."""


class MemoryExporter(_Anything):
    """Keeps nothing here."""

    def spans(self) -> tuple[SpanData, ...]:
        """Return no spans."""
        return ()

    def clear(self) -> None:
        """Do nothing."""


class SpanContext:
    """Ids and flags, as they were given."""

    def __init__(
        self,
        trace_id: bytes,
        span_id: bytes,
        *,
        sampled: bool | None = None,
        trace_state: str = "",
    ) -> None:
        self.trace_id = trace_id
        self.span_id = span_id
        self.sampled = sampled
        self.trace_state = trace_state
        self.is_remote = True
        self.adjusted_count = None

    @property
    def trace_id_hex(self) -> str:
        """The trace id in hexadecimal digits."""
        return self.trace_id.hex()

    @property
    def span_id_hex(self) -> str:
        """The span id in hexadecimal digits."""
        return self.span_id.hex()

    def __eq__(self, other: object) -> bool:
        return isinstance(other, SpanContext) and vars(self) == vars(other)

    def __hash__(self) -> int:
        return hash((self.trace_id, self.span_id))


class RemoteContext:
    """Nothing that came with a request."""

    trace_id = span_id = parent_id = sampled = span_context = format = None
    trace_id_size = w3c_flags = b3_flags = None
    links: tuple[()] = ()
    warnings: tuple[()] = ()
    trace_state = ""
    shared_span = False

    def __init__(self, **facts: Any) -> None:
        self.baggage: dict[str, str] = {}

    def replace(self, **facts: Any) -> RemoteContext:
        """Return the same."""
        return self

    def carry(self) -> _Carry:
        """Return a block that does nothing."""
        return _Carry(self)

    @staticmethod
    def current() -> None:
        """Return None."""


class _Carry:
    def __init__(self, remote: RemoteContext) -> None:
        self._remote = remote

    def __enter__(self) -> RemoteContext:
        return self._remote

    def __exit__(self, *raised: object) -> None:
        pass


class Propagation(_Anything):
    """Reads and writes no headers."""

    def extract(self, headers: object, **options: Any) -> RemoteContext:
        """Return nothing that came with a request."""
        return RemoteContext()

    def inject(self, headers: Any = None, **options: Any) -> Any:
        """Return the headers as they are."""
        return {} if headers is None else headers

    def propagate(self, headers: Any, callback: Callable[[RemoteContext], object], **o: Any) -> Any:
        """Call `callback`, and return the headers as they are."""
        callback(RemoteContext())
        return headers


class SpanData:
    """Never made here."""


class Span:
    """The one span of every tracer."""

    context = SpanContext(bytes(16), bytes(8))
    trace_id = context.trace_id
    span_id = context.span_id
    trace_id_hex = context.trace_id_hex
    span_id_hex = context.span_id_hex
    parent_id = None
    name = ""
    kind = SpanKind.INTERNAL
    start_time_ns = 0
    end_time_ns = None
    status = StatusCode.UNSET
    status_description = None
    events: tuple[()] = ()
    links: tuple[()] = ()

    @property
    def attributes(self) -> dict[str, Any]:
        """No attributes."""
        return {}

    def is_recording(self) -> bool:
        """Return False."""
        return False

    def _ignore(self, *args: Any, **kwargs: Any) -> None:
        """Do nothing."""

    set_attribute = set_attributes = add_event = add_link = _ignore
    record_error = set_status = finish = release = _ignore


_SPAN = Span()


class _Block:
    def __enter__(self) -> Span:
        return _SPAN

    def __exit__(self, *raised: object) -> None:
        pass

    def __call__(self, function: Any) -> Any:
        return function


class Tracer:
    """Starts nothing."""

    def __init__(self, name: str, namespace: str, version: str | None) -> None:
        self.name = name
        self.namespace = namespace
        self.version = version

    def new(
        self,
        name: str = "default",
        *,
        sampling_rate: float | None = None,
        namespace: str = "default",
        version: str | None = None,
    ) -> Tracer:
        """Return another tracer that starts nothing."""
        return Tracer(name, namespace, version)

    def start_span(self, *args: Any, **kwargs: Any) -> Span:
        """Return the one span."""
        return _SPAN

    create_span = start_span

    def start_as_current_span(self, *args: Any, **kwargs: Any) -> _Block:
        """Return a block that does nothing."""
        return _Block()

    def _nothing(self, *args: Any, **kwargs: Any) -> None:
        """Do nothing."""

    link_span = active_span = set_active_span = root_span = _nothing

    def process_spans(self, processor: Callable[[SpanData], object]) -> None:
        """Do nothing."""

    def spans(self) -> tuple[SpanData, ...]:
        """Return no spans."""
        return ()

    def _refuse(self, *args: Any, **kwargs: Any) -> bool:
        """Return False."""
        return False

    set_should_sample = get_sampling_decision = _refuse


class _Root:
    def __repr__(self) -> str:
        return "nanospan.ROOT"


__version__ = "unknown"
PRESERVE = "preserve"
ROOT = _Root()
propagation = Propagation()
tracing = Tracer("nanospan", "default", None)


def configure(**options: Any) -> None:
    """Do nothing."""


class Flush(_Anything):
    """Waits for nothing here."""

    def poll(self) -> bool:
        """Return True: nothing waits."""
        return True


def flush(timeout: float = 2.0) -> bool:
    """Return True: nothing waits."""
    return True


def shutdown(timeout: float = 2.0) -> bool:
    """Return True: nothing waits."""
    return True


def stats() -> dict[str, Any]:
    """Return the keys of the real one, all nought."""
    counts = (
        *("started", "sampled", "recorded", "finished", "sent", "abandoned", "discarded"),
        *("ignored_writes", "dropped_values", "left_blocks", "lost_detachments"),
        *("kept_traces", "over_budget"),
        *("open_spans", "queued_spans", "queued_bytes", "queue_high_water"),
    )
    reasons = "queue_full unsampled late_undecided export_failed rejected shutdown live_limit"
    return {
        **dict.fromkeys(counts, 0),
        "dropped": dict.fromkeys(reasons.split(), 0),
        "worker": "not_started",
        "last_error": None,
    }
