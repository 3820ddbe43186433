from collections.abc import Callable, Iterable, Mapping, Sequence
from types import TracebackType
from typing import Any, ClassVar, Final, Literal, TypeAlias, TypedDict, TypeVar, final

from nanospan._data import Event, InstrumentationScope, Link
from nanospan._enum import SpanKind, StatusCode

_F = TypeVar("_F", bound=Callable[..., Any])
_Attributes: TypeAlias = Mapping[str, object]
_Value: TypeAlias = str | bool | int | float | bytes | tuple[_Value, ...] | dict[str, _Value] | None
_Decision: TypeAlias = Literal["parent_probability_fallback", "parent_drop_probability_fallback"]

class ReleasedSpanError(RuntimeError): ...

@final
class _Root: ...

ROOT: Final[_Root]

@final
class SpanContext:
    def __new__(
        cls,
        trace_id: bytes,
        span_id: bytes,
        *,
        sampled: bool | None = None,
        trace_state: str = "",
    ) -> SpanContext: ...
    @property
    def trace_id(self) -> bytes: ...
    @property
    def span_id(self) -> bytes: ...
    @property
    def trace_id_hex(self) -> str: ...
    @property
    def span_id_hex(self) -> str: ...
    @property
    def sampled(self) -> bool | None: ...
    @property
    def is_remote(self) -> bool: ...
    @property
    def trace_state(self) -> str: ...
    def __eq__(self, other: object, /) -> bool: ...
    def __hash__(self) -> int: ...

@final
class Span:
    @property
    def context(self) -> SpanContext: ...
    @property
    def trace_id(self) -> bytes: ...
    @property
    def span_id(self) -> bytes: ...
    @property
    def trace_id_hex(self) -> str: ...
    @property
    def span_id_hex(self) -> str: ...
    @property
    def parent_id(self) -> bytes | None: ...
    @property
    def name(self) -> str: ...
    @property
    def kind(self) -> SpanKind: ...
    @property
    def start_time_ns(self) -> int: ...
    @property
    def end_time_ns(self) -> int | None: ...
    @property
    def status(self) -> StatusCode: ...
    @property
    def status_description(self) -> str | None: ...
    @property
    def attributes(self) -> dict[str, _Value]: ...
    @property
    def events(self) -> tuple[Event, ...]: ...
    @property
    def links(self) -> tuple[Link, ...]: ...
    def is_recording(self) -> bool: ...
    def set_attribute(self, key: str, value: object) -> None: ...
    def set_attributes(self, attributes: _Attributes) -> None: ...
    def add_event(
        self, name: str, attributes: _Attributes | None = None, *, time_ns: int | None = None
    ) -> None: ...
    def add_link(self, context: SpanContext, attributes: _Attributes | None = None) -> None: ...
    def record_error(self, error: str | BaseException) -> None: ...
    def set_status(self, status: StatusCode | int, description: str | None = None) -> None: ...
    def finish(self, end_time_ns: int | None = None) -> None: ...
    def release(self) -> None: ...

@final
class SpanData:
    @property
    def context(self) -> SpanContext: ...
    @property
    def trace_id(self) -> bytes: ...
    @property
    def span_id(self) -> bytes: ...
    @property
    def trace_id_hex(self) -> str: ...
    @property
    def span_id_hex(self) -> str: ...
    @property
    def parent_id(self) -> bytes | None: ...
    @property
    def name(self) -> str: ...
    @property
    def kind(self) -> SpanKind: ...
    @property
    def start_time_ns(self) -> int: ...
    @property
    def end_time_ns(self) -> int | None: ...
    @property
    def status(self) -> StatusCode: ...
    @property
    def status_description(self) -> str | None: ...
    @property
    def attributes(self) -> dict[str, _Value]: ...
    @property
    def events(self) -> tuple[Event, ...]: ...
    @property
    def links(self) -> tuple[Link, ...]: ...
    def is_recording(self) -> bool: ...
    @property
    def instrumentation_scope(self) -> InstrumentationScope: ...
    @property
    def resource(self) -> dict[str, _Value]: ...
    @property
    def dropped_attributes_count(self) -> int: ...
    @property
    def dropped_events_count(self) -> int: ...
    @property
    def dropped_links_count(self) -> int: ...
    def __eq__(self, other: object, /) -> bool: ...
    __hash__: ClassVar[None]  # type: ignore[assignment]  # pyright: ignore[reportIncompatibleMethodOverride]

@final
class _Block:
    # What `Tracer.start_as_current_span` returns: enter it once, or decorate with it.
    def __enter__(self) -> Span: ...
    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc_value: BaseException | None,
        traceback: TracebackType | None,
        /,
    ) -> None: ...
    def __call__(self, function: _F, /) -> _F: ...

@final
class Tracer:
    @property
    def name(self) -> str: ...
    @property
    def namespace(self) -> str: ...
    @property
    def version(self) -> str | None: ...
    def new(
        self,
        name: str = "default",
        *,
        sampling_rate: float | None = None,
        namespace: str = "default",
        version: str | None = None,
    ) -> Tracer: ...
    def start_span(
        self,
        name: str,
        *,
        kind: SpanKind | int = ...,
        start_time_ns: int | None = None,
        should_sample: bool | None = None,
        parent: Span | SpanContext | _Root | None = None,
        attributes: _Attributes | None = None,
        links: Iterable[SpanContext | Link] = (),
    ) -> Span: ...
    def start_as_current_span(
        self,
        name: str,
        *,
        kind: SpanKind | int = ...,
        start_time_ns: int | None = None,
        should_sample: bool | None = None,
        parent: Span | SpanContext | _Root | None = None,
        attributes: _Attributes | None = None,
        links: Iterable[SpanContext | Link] = (),
    ) -> _Block: ...
    def create_span(
        self,
        *,
        kind: SpanKind | int = ...,
        parent: Span | SpanContext | _Root | None = None,
        should_sample: bool | None = None,
        links: Iterable[SpanContext | Link] = (),
    ) -> Span: ...
    def link_span(
        self,
        span: Span,
        name: str,
        *,
        start_time_ns: int | None = None,
        attributes: _Attributes | None = None,
    ) -> None: ...
    def active_span(self) -> Span | None: ...
    def set_active_span(self, span: Span | None) -> None: ...
    def root_span(self) -> Span | None: ...
    def spans(self) -> tuple[SpanData, ...]: ...
    def process_spans(self, processor: Callable[[SpanData], object]) -> None: ...
    def set_should_sample(self, should_sample: bool) -> bool: ...
    def get_sampling_decision(
        self,
        parent_sampled: bool | None = None,
        rate: float | None = None,
        *,
        strategy: _Decision = "parent_probability_fallback",
    ) -> bool: ...

tracing: Final[Tracer]

@final
class AlwaysOn:
    def __new__(cls) -> AlwaysOn: ...

@final
class AlwaysOff:
    def __new__(cls) -> AlwaysOff: ...

@final
class TraceIdRatio:
    def __new__(cls, rate: float) -> TraceIdRatio: ...
    @property
    def rate(self) -> float: ...

@final
class ParentBased:
    def __new__(cls, root: AlwaysOn | AlwaysOff | TraceIdRatio | ParentBased) -> ParentBased: ...

_Sampler: TypeAlias = AlwaysOn | AlwaysOff | TraceIdRatio | ParentBased

@final
class SpanLimits:
    def __new__(
        cls,
        *,
        attribute_count: int = 128,
        attribute_value_length: int | None = None,
        event_count: int = 128,
        link_count: int = 128,
        attribute_per_event_count: int = 128,
        attribute_per_link_count: int = 128,
    ) -> SpanLimits: ...

@final
class QueueConfig:
    def __new__(
        cls,
        *,
        max_batch_size: int = 512,
        max_coalescing_delay: float = 1.0,
        max_entries: int = 10_000,
        max_bytes: int = 16_777_216,
        max_live_spans: int = 100_000,
    ) -> QueueConfig: ...

@final
class FileExporter:
    def __new__(cls, path: str | bytes | Any) -> FileExporter: ...  # str, bytes or os.PathLike

@final
class ConsoleExporter:
    def __new__(cls) -> ConsoleExporter: ...

@final
class MemoryExporter:
    def __new__(cls) -> MemoryExporter: ...
    def spans(self) -> tuple[SpanData, ...]: ...
    def clear(self) -> None: ...

_Exporter: TypeAlias = FileExporter | ConsoleExporter | MemoryExporter

class _Stats(TypedDict):
    started: int            # spans started, whatever was decided of them
    sampled: int            # sampled by the decision at their start
    recorded: int           # of those, the ones that got a record
    finished: int           # recorded spans that finished
    sent: int               # spans that every exporter took
    # Finished spans not sent, by reason: queue_full, unsampled, late_undecided, export_failed,
    # shutdown; and live_limit for spans that got no record.
    dropped: dict[str, int]
    abandoned: int          # handles that died, or were open at shutdown, unfinished
    discarded: int          # released before finish
    ignored_writes: int     # writes to ended spans
    dropped_values: int     # attribute values of a type that could not be kept
    left_blocks: int        # with blocks left in another context than they were entered in
    open_spans: int
    queued_spans: int
    queued_bytes: int
    queue_high_water: int
    worker: Literal["not_started", "running", "stopped"]
    last_error: str | None

def configure(
    *,
    service_name: str | None = None,
    resource: _Attributes | None = None,
    exporter: _Exporter | Sequence[_Exporter] | None = None,
    sampling_rate: float | None = None,
    sampler: _Sampler | None = None,
    limits: SpanLimits | None = None,
    queue: QueueConfig | None = None,
    late_sampling: bool = False,
) -> None: ...
def flush(timeout: float = 2.0) -> bool: ...
def shutdown(timeout: float = 2.0) -> bool: ...
def stats() -> _Stats: ...

# For nanospan's own command line and tests: no part of the public surface.
def _view(
    text: bytes,
    *,
    width: int,
    colour: bool,
    ascii: bool,
    attributes: bool,
    trace: str | None,
    slowest: int | None,
    errors: bool,
) -> tuple[str, list[tuple[int, str]]]: ...
