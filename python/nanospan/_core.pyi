from collections.abc import Callable, Iterable, Mapping, Sequence
from contextvars import Token
from types import TracebackType
from typing import Any, ClassVar, Final, Literal, TypeAlias, TypedDict, TypeVar, final

# For the OpenTelemetry face at the end. Where a package is not installed, its types are Any.
from opentelemetry import trace as otel
from opentelemetry.context import Context
from opentelemetry.context.contextvars_context import ContextVarsRuntimeContext
from opentelemetry.sdk import trace as sdk
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.util.instrumentation import InstrumentationScope as OtelScope
from opentelemetry.util._decorator import (
    _AgnosticContextManager,  # pyright: ignore[reportPrivateUsage] # what the API's tracers give
)
from opentelemetry.util.types import AnyValue, Attributes

from nanospan._data import Event, InstrumentationScope, Link
from nanospan._enum import SpanKind, StatusCode

_F = TypeVar("_F", bound=Callable[..., Any])
_Attributes: TypeAlias = Mapping[str, object]
_Value: TypeAlias = str | bool | int | float | bytes | tuple[_Value, ...] | dict[str, _Value] | None
_Decision: TypeAlias = Literal["parent_probability_fallback", "parent_drop_probability_fallback"]

_Format: TypeAlias = Literal[
    "w3c", "b3", "b3-single", "jaeger", "ot", "datadog", "aws", "gcp", "instana"
]
_Trust: TypeAlias = Literal["continue", "restart", "ignore"]
# Mappings, iterables of pairs, and the containers of HTTP libraries, which share no class.
_Headers: TypeAlias = Any
_Parent: TypeAlias = Span | SpanContext | RemoteContext | _Root

class ReleasedSpanError(RuntimeError):
    """The attributes, events and links of the span are gone.

    They can be read until the span is released or its local trace is handed over to the
    exporters, which happens when its root finishes, at `flush`, and when it waited for longer
    than `max_coalescing_delay`.
    """

@final
class _Root: ...

ROOT: Final[_Root]

@final
class SpanContext:
    """The ids and flags of a span, all that another process knows of it.

    Made by hand it stands for a remote parent: `trace_id` is 16 bytes and `span_id` 8, neither all
    zero; `sampled` is the parent's decision, None where it has taken none; `trace_state` is the
    W3C `tracestate` header. Raises `TypeError` or `ValueError` naming the argument.
    """
    def __new__(
        cls,
        trace_id: bytes,
        span_id: bytes,
        *,
        sampled: bool | None = None,
        trace_state: str = "",
    ) -> SpanContext: ...
    @property
    def trace_id(self) -> bytes:
        """Sixteen bytes; all zero for the no-op span."""
    @property
    def span_id(self) -> bytes:
        """Eight bytes; all zero for the no-op span."""
    @property
    def trace_id_hex(self) -> str:
        """The trace id as 32 lowercase hexadecimal digits."""
    @property
    def span_id_hex(self) -> str:
        """The span id as 16 lowercase hexadecimal digits."""
    @property
    def sampled(self) -> bool | None:
        """The sampling decision when this was read; None where none was taken."""
    @property
    def is_remote(self) -> bool:
        """True when the span is another process's."""
    @property
    def trace_state(self) -> str:
        """The W3C `tracestate` header; empty when there is none."""
    @property
    def adjusted_count(self) -> float | None:
        """How many spans a sampled one with this `tracestate` stands for; None where nobody knows.

        That is the inverse of the probability by which it was sampled, as `ConsistentProbability`
        leaves it there (OpenTelemetry specification, "TraceState: Probability Sampling", "Adjusted
        count").
        """
    def __eq__(self, other: object, /) -> bool: ...
    def __hash__(self) -> int: ...

@final
class RemoteContext:
    """What a caller sent along: ids, the sampling decision, baggage, and how all that was written.

    It can be given as `parent` of a span: then the caller's trace goes on, or a new one begins
    where there is none to go on with. A decision that came without ids counts as `should_sample`.

    Made by hand it is what `Propagation.inject` writes. Ids longer than 16 and 8 bytes keep their
    right-most ones, shorter ones get zeros on the left, as those of headers do; `trace_id_size` is
    how many bytes of the trace id count, `format` the name of the format to answer in. Raises
    `TypeError` or `ValueError` naming the argument.
    """
    def __new__(
        cls,
        *,
        trace_id: bytes | None = None,
        span_id: bytes | None = None,
        parent_id: bytes | None = None,
        sampled: bool | None = None,
        baggage: Mapping[str, str] | None = None,
        trace_state: str = "",
        format: _Format | None = None,
        trace_id_size: int | None = None,
        b3_flags: str | None = None,
    ) -> RemoteContext: ...
    @property
    def trace_id(self) -> bytes | None:
        """The caller's sixteen bytes, None where it sent none."""
    @property
    def span_id(self) -> bytes | None:
        """The eight bytes of the span that made the request, None where it sent none."""
    @property
    def parent_id(self) -> bytes | None:
        """The parent of that span, in formats that say it (B3, Jaeger)."""
    @property
    def sampled(self) -> bool | None:
        """The caller's decision, None where it has taken none."""
    @property
    def span_context(self) -> SpanContext | None:
        """The caller's span as a parent; None where an id is missing."""
    @property
    def links(self) -> tuple[SpanContext, ...]:
        """The caller's span, where a new trace was to begin with a link to it; else nothing."""
    @property
    def baggage(self) -> dict[str, str]:
        """Names and values of the application's, as a new dict."""
    @property
    def trace_state(self) -> str:
        """The W3C `tracestate` header; empty when there is none."""
    @property
    def format(self) -> _Format | None:
        """The name of the format in which it came, None when nothing was found."""
    @property
    def trace_id_size(self) -> int | None:
        """How many bytes of the trace id came: 16, 8, or what a short number needs."""
    @property
    def shared_span(self) -> bool:
        """True when the format lets the receiver use the sender's span id for its own span."""
    @property
    def w3c_flags(self) -> int | None:
        """The W3C trace flags as they came, None in other formats."""
    @property
    def b3_flags(self) -> str | None:
        """What `x-b3-flags` said; "1" asks for debugging."""
    @property
    def warnings(self) -> tuple[str, ...]:
        """What could not be used, as `format.part`, in the order in which it was met."""
    def replace(
        self,
        *,
        trace_id: bytes | None = ...,
        span_id: bytes | None = ...,
        parent_id: bytes | None = ...,
        sampled: bool | None = ...,
        baggage: Mapping[str, str] = ...,
    ) -> RemoteContext:
        """A copy with other ids, another decision or other baggage.

        What is not given stays. Baggage is replaced as a whole; entries that stay keep their
        properties. Raises as the class does.
        """
    def carry(self) -> _Carry:
        """Makes it current for one `with` block: it travels on with every `inject` there.

        It goes where the active span goes: into tasks started inside, and not into plain threads.
        """
    @staticmethod
    def current() -> RemoteContext | None:
        """The one that is current, or None."""
    def __eq__(self, other: object, /) -> bool: ...
    __hash__: ClassVar[None]  # type: ignore[assignment]  # pyright: ignore[reportIncompatibleMethodOverride]

@final
class _Carry:
    # What `RemoteContext.carry` returns: enter it once.
    def __enter__(self) -> RemoteContext: ...
    def __exit__(
        self,
        _exc_type: type[BaseException] | None,
        _exc_value: BaseException | None,
        _traceback: TracebackType | None,
    ) -> None: ...

PRESERVE: Final = "preserve"

@final
class Propagation:
    """Reads what came with a request, and writes what goes out with the next.

    `extract` names the formats to read: `w3c`, `b3` (both shapes), `jaeger`, `ot`, `datadog`,
    `aws`, `gcp`, `instana`. They are tried in this order, and the first that finds a trace id or a
    decision counts; `baggage` is read beside them. `inject` names those to write; it may have
    `b3-single` and `PRESERVE` too, which is the format in which the request came, else
    `default_format`. `clear` names headers that `propagate` removes.

    `trust` is "continue", "restart" or "ignore": the caller's trace goes on, or a new one begins
    with a link to it, or nothing of it is read; or a function that is given the headers and returns
    one of these. A trace that begins anew takes over no baggage and no decision.

    `baggage_keys` are the baggage entries that may come in and go out; None for all. No more than
    180 entries and 8,192 bytes of baggage travel (W3C Baggage, "Limits"). Raises `TypeError` or
    `ValueError` naming the argument.
    """
    def __new__(
        cls,
        *,
        extract: Iterable[str] = ("w3c", "baggage"),
        inject: Iterable[str] = ("w3c", "baggage"),
        clear: Iterable[str] = (),
        default_format: _Format = "w3c",
        trust: _Trust | Callable[[Any], _Trust] = "continue",
        baggage_keys: Iterable[str] | None = None,
    ) -> Propagation: ...
    def extract(
        self, headers: _Headers, *, trust: _Trust | Callable[[Any], _Trust] | None = None
    ) -> RemoteContext:
        """What came with a request.

        `headers` is a mapping of names to text, bytes or a list of them; an iterable of pairs, as
        ASGI and gRPC have it; any container of an HTTP library; a WSGI environ; or `os.environ`.
        Names are compared without regard to case. What the headers say never raises: what cannot be
        used is left out, named in `warnings` of the answer, and logged at most once a minute.

        `trust` is as for the class, for this call; None is the instance's. Raises `TypeError` or
        `ValueError` naming the argument.
        """
    def inject(
        self,
        headers: _Headers = None,
        *,
        span: Span | SpanContext | None = None,
        remote: RemoteContext | None = None,
        environ: bool = False,
    ) -> Any:
        """Writes the context of a span into headers, and returns them.

        `headers` is a dict or another mapping, or a list of pairs, which are changed; a tuple of
        pairs, which is not; or None for a new dict. With `environ` names are those of environment
        variables. `span` is a `Span` or a `SpanContext`; None is the active span, and where none is
        active `remote` goes on as it came. `remote` is what travels beside the ids; None is the
        `RemoteContext` that is current. Where there is nothing to send nothing is written. A format
        that cannot do without an id that is missing is left out and logged. Raises `TypeError`
        naming the argument.
        """
    def propagate(
        self,
        headers: _Headers,
        callback: Callable[[RemoteContext], RemoteContext | Span | SpanContext | None],
        *,
        trust: _Trust | Callable[[Any], _Trust] | None = None,
    ) -> Any:
        """Passes a request on: what came with it, what `callback` makes of that, what goes out.

        `callback` is given the `RemoteContext` and returns what to send: a `RemoteContext`, a
        `Span`, a `SpanContext`, or None for what came. The answer has all the headers but those of
        `clear`, and those of `inject` in the place of what came under their names: a dict for a
        dict, else a list of pairs. What `callback` raises goes to the caller.
        """

propagation: Final[Propagation]

@final
class Span:
    """One unit of work: started by a tracer, finished by hand or by its block.

    Ids, context, name, kind, times, status and `is_recording()` can be read for ever. Attributes,
    events and links can be read until the local trace is handed over to the exporters, then they
    raise `ReleasedSpanError`. Writes to an ended span are ignored and counted in `stats()`.
    """
    @property
    def context(self) -> SpanContext:
        """The ids and flags of the span, with the sampling decision as it stands."""
    @property
    def trace_id(self) -> bytes:
        """Sixteen bytes; all zero for the no-op span."""
    @property
    def span_id(self) -> bytes:
        """Eight bytes; all zero for the no-op span."""
    @property
    def trace_id_hex(self) -> str:
        """The trace id as 32 lowercase hexadecimal digits."""
    @property
    def span_id_hex(self) -> str:
        """The span id as 16 lowercase hexadecimal digits."""
    @property
    def parent_id(self) -> bytes | None:
        """The parent's eight bytes, None for the root of a trace."""
    @property
    def name(self) -> str:
        """The name of the span; empty for a draft and for the no-op span."""
    @property
    def kind(self) -> SpanKind:
        """What the span is to the one who asked for its work."""
    @property
    def start_time_ns(self) -> int:
        """Nanoseconds since 1970; 0 for a draft and for the no-op span."""
    @property
    def end_time_ns(self) -> int | None:
        """Nanoseconds since 1970, None until the span finishes."""
    @property
    def status(self) -> StatusCode:
        """How the work ended, as far as anybody said."""
    @property
    def status_description(self) -> str | None:
        """Why it failed, None unless that was said."""
    @property
    def attributes(self) -> dict[str, _Value]:
        """The attributes, as a new dict; raises `ReleasedSpanError` once they are gone."""
    @property
    def events(self) -> tuple[Event, ...]:
        """The events, as they were added; raises `ReleasedSpanError` once they are gone."""
    @property
    def links(self) -> tuple[Link, ...]:
        """The links, as they were added; raises `ReleasedSpanError` once they are gone."""
    def is_recording(self) -> bool:
        """True while what is set on the span is kept.

        It is sampled, or may still be, and has not ended.
        """
    def set_attribute(self, key: str, value: object) -> None:
        """Sets an attribute; the last write of a key wins, None removes it.

        Any value is taken: text, bool, int, float, bytes, and lists and mappings of these. Others
        become text if they define `__str__`, else they are left out and counted. Raises
        `TypeError` for a key that is not a str.
        """
    def set_attributes(self, attributes: _Attributes) -> None:
        """Sets several attributes, as `set_attribute` does.

        With a key that is not a str it raises `TypeError` and sets none.
        """
    def add_event(
        self, name: str, attributes: _Attributes | None = None, *, time_ns: int | None = None
    ) -> None:
        """Adds an event, now unless `time_ns` (nanoseconds since 1970) says when."""
    def add_link(self, context: SpanContext, attributes: _Attributes | None = None) -> None:
        """Adds a link to a span that has to do with this one without being its parent."""
    def record_error(self, error: str | BaseException) -> None:
        """Adds an event named `exception`.

        Text becomes its `exception.message`; an exception gives `exception.type`,
        `exception.message` and `exception.stacktrace` (OpenTelemetry semantic conventions,
        "Exceptions on spans"). The status is left alone.
        """
    def set_status(self, status: StatusCode | int, description: str | None = None) -> None:
        """Sets the status.

        OK is final, UNSET changes nothing, and a description counts only with ERROR (OpenTelemetry
        trace API, "Set Status").
        """
    def finish(self, end_time_ns: int | None = None) -> None:
        """Ends the span, now unless `end_time_ns` (nanoseconds since 1970) says when.

        The first end wins. An end before the start is logged and ignored, and the span stays open.
        If the span is active, its nearest ancestor of the same namespace that has not finished
        becomes active. Raises `ValueError` for a draft.
        """
    def release(self) -> None:
        """Ends the handle.

        A span that has not finished is discarded; one that has is exported all the same. Afterwards
        writes are ignored, and attributes, events and links raise `ReleasedSpanError`.
        """

@final
class SpanData:
    """A finished span, read only: keep it as long as you like."""
    @property
    def context(self) -> SpanContext:
        """The ids and flags of the span."""
    @property
    def trace_id(self) -> bytes:
        """Sixteen bytes."""
    @property
    def span_id(self) -> bytes:
        """Eight bytes."""
    @property
    def trace_id_hex(self) -> str:
        """The trace id as 32 lowercase hexadecimal digits."""
    @property
    def span_id_hex(self) -> str:
        """The span id as 16 lowercase hexadecimal digits."""
    @property
    def parent_id(self) -> bytes | None:
        """The parent's eight bytes, None for the root of a trace."""
    @property
    def name(self) -> str:
        """The name of the span."""
    @property
    def kind(self) -> SpanKind:
        """What the span was to the one who asked for its work."""
    @property
    def start_time_ns(self) -> int:
        """Nanoseconds since 1970."""
    @property
    def end_time_ns(self) -> int:
        """Nanoseconds since 1970."""
    @property
    def status(self) -> StatusCode:
        """How the work ended."""
    @property
    def status_description(self) -> str | None:
        """Why it failed, None unless that was said."""
    @property
    def attributes(self) -> dict[str, _Value]:
        """The attributes, as a new dict."""
    @property
    def events(self) -> tuple[Event, ...]:
        """The events, in the order in which they were added."""
    @property
    def links(self) -> tuple[Link, ...]:
        """The links, in the order in which they were added."""
    def is_recording(self) -> bool:
        """Always False: the span has finished."""
    @property
    def instrumentation_scope(self) -> InstrumentationScope:
        """The name and version of the tracer."""
    @property
    def resource(self) -> dict[str, _Value]:
        """The attributes of the process that made the span, as a new dict."""
    @property
    def dropped_attributes_count(self) -> int:
        """How many attributes the limit left out."""
    @property
    def dropped_events_count(self) -> int:
        """How many events the limit left out."""
    @property
    def dropped_links_count(self) -> int:
        """How many links the limit left out."""
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
class _Template:
    # What a decorated function makes its spans from.
    def _block(self) -> _Block: ...
    def _called(self) -> _Template: ...
    def _start(self) -> Span: ...
    def _resume(self) -> None: ...
    def _suspend(self) -> None: ...
    def _finish(self, error: BaseException | None = None) -> None: ...

@final
class Tracer:
    """Makes spans under one name, in one namespace. Until `configure` all it does is nothing."""
    @property
    def name(self) -> str:
        """The name of the tracer."""
    @property
    def namespace(self) -> str:
        """The namespace: tracers that share it share the active span."""
    @property
    def version(self) -> str | None:
        """The version of what the tracer traces, None when it was not given."""
    def new(
        self,
        name: str = "default",
        *,
        sampling_rate: float | None = None,
        namespace: str = "default",
        version: str | None = None,
    ) -> Tracer:
        """The tracer of this name and namespace, made if there is none yet.

        `sampling_rate` is a number from 0 to 1: 0.1 samples 1 of every 10 requests, 1 all; None
        asks the sampler of `configure`. For a tracer that is there already the first options stay,
        and others are logged. Raises `TypeError` or `ValueError` naming the argument.
        """
    def start_span(
        self,
        name: str,
        *,
        kind: SpanKind | int = ...,
        start_time_ns: int | None = None,
        should_sample: bool | None = None,
        parent: _Parent | None = None,
        attributes: _Attributes | None = None,
        links: Iterable[SpanContext | Link] = (),
    ) -> Span:
        """Starts a span. It does not become active.

        `kind` is a `SpanKind`; `start_time_ns` is nanoseconds since 1970, None is now;
        `should_sample` decides whatever sampler and parent say; `parent` is None for the active
        span, `ROOT` for a new trace, a `Span`, a `SpanContext`, or a `RemoteContext`; `links` are
        contexts or `Link`s. Raises `TypeError` or `ValueError` naming the argument, and then
        nothing was started.
        """
    def start_as_current_span(
        self,
        name: str,
        *,
        kind: SpanKind | int = ...,
        start_time_ns: int | None = None,
        should_sample: bool | None = None,
        parent: _Parent | None = None,
        attributes: _Attributes | None = None,
        links: Iterable[SpanContext | Link] = (),
    ) -> _Block:
        """Prepares a span for one `with` block, or for each call of a function that it decorates.

        The span starts and becomes active when the block is entered, and finishes when it is left;
        then what was active before is active again. An exception that escapes is recorded and sets
        the status to ERROR, unless a status is set. The arguments are those of `start_span`; wrong
        ones raise at once, except for `attributes` and `links`, which are read when the span
        starts.
        """
    def create_span(
        self,
        *,
        kind: SpanKind | int = ...,
        parent: _Parent | None = None,
        should_sample: bool | None = None,
        links: Iterable[SpanContext | Link] = (),
    ) -> Span:
        """Makes a draft: a span with ids, to be named by `link_span` when its facts are known.

        The arguments are those of `start_span`. A draft that dies is not counted.
        """
    def link_span(
        self,
        span: Span,
        name: str,
        *,
        start_time_ns: int | None = None,
        attributes: _Attributes | None = None,
    ) -> None:
        """Names a draft and starts it, now unless `start_time_ns` says when.

        `attributes` are set as `set_attributes` does. Raises `ValueError` for a span that is no
        draft any more.
        """
    def active_span(self) -> Span | None:
        """The active span of the tracer's namespace in the current context, or None."""
    def set_active_span(self, span: Span | None) -> None:
        """Makes a span active in the current context until another is, or it finishes; None clears.

        Raises `ValueError` for a span of another namespace.
        """
    def root_span(self) -> Span | None:
        """The root of the active span's local trace while it is open, else None."""
    def spans(self) -> tuple[SpanData, ...]:
        """The finished spans of the active span's local trace that are not handed over yet.

        They come in start order, whatever their tracer.
        """
    def process_spans(self, processor: Callable[[SpanData], object]) -> None:
        """Calls `processor` with each span of `spans()`. What it raises goes to the caller."""
    def set_should_sample(self, should_sample: bool) -> bool:
        """Decides on the active span's local trace by hand, until it is handed over.

        True when the decision holds for every span of the trace that does not decide for itself
        (`should_sample=`). A trace that is not recorded cannot be brought back: then True acts on
        spans started afterwards only, and False is returned. So it is when nothing is active.
        """
    def get_sampling_decision(
        self,
        parent_sampled: bool | None = None,
        rate: float | None = None,
        *,
        strategy: _Decision = "parent_probability_fallback",
    ) -> bool:
        """Judges the active span's trace id at `rate`; None is the `sampling_rate` of `configure`.

        A parent's no is always honoured. Its yes is honoured by the strategy
        `parent_probability_fallback`, and judged again by `parent_drop_probability_fallback`. False
        when nothing is active, and where neither a rate nor the parent decides.
        """

__version__: Final[str]
tracing: Final[Tracer]

class _BuiltIn:
    """A sampler of ours: it decides without calling Python."""

@final
class AlwaysOn(_BuiltIn):
    """Samples every span."""
    def __new__(cls) -> AlwaysOn: ...

@final
class AlwaysOff(_BuiltIn):
    """Samples no span."""
    def __new__(cls) -> AlwaysOff: ...

@final
class TraceIdRatio(_BuiltIn):
    """Samples a share of the traces, by trace id: all services give the same answer for one trace.

    `rate` is a number from 0 to 1; others raise `ValueError` (OpenTelemetry SDK specification,
    "TraceIdRatioBased").
    """
    def __new__(cls, rate: float) -> TraceIdRatio: ...
    @property
    def rate(self) -> float:
        """The rate, from 0 to 1. Set, it counts at once wherever this sampler is used."""
    @rate.setter
    def rate(self, rate: float) -> None: ...

@final
class ConsistentProbability(_BuiltIn):
    """Samples a share of the traces by a threshold that travels with them in the `tracestate`.

    `rate` is a number from 0 to 1; others raise `ValueError`. Services with different rates sample
    the same traces as far as the lower rate goes, and `SpanContext.adjusted_count` says how many
    traces a sampled one stands for (OpenTelemetry specification, "TraceState: Probability
    Sampling"). In `ParentBased(ConsistentProbability(rate))` no trace lacks a parent.
    """
    def __new__(cls, rate: float) -> ConsistentProbability: ...
    @property
    def rate(self) -> float:
        """The rate, from 0 to 1. Set, it counts at once wherever this sampler is used."""
    @rate.setter
    def rate(self, rate: float) -> None: ...

@final
class RateLimited(_BuiltIn):
    """Samples so many spans a second, by the clock of the trace, whatever comes.

    `rate` is a finite number, 0 or more; others raise `ValueError`. What was not used is kept for a
    second, or for as long as one takes. `ParentBased(RateLimited(rate))` samples so many traces a
    second, and those whole.
    """
    def __new__(cls, rate: float) -> RateLimited: ...
    @property
    def rate(self) -> float:
        """How many a second. Set, it counts at once wherever this sampler is used."""
    @rate.setter
    def rate(self, rate: float) -> None: ...

@final
class ParentBased(_BuiltIn):
    """Does what the parent did; asks `root` for spans without a parent.

    The others are asked about children, and may do something else than follow: by what the parent
    decided, and by whether it is another process's. Where the parent has decided nothing, `root` is
    asked. None is what follows (OpenTelemetry SDK specification, "ParentBased").
    """
    def __new__(
        cls,
        root: _Sampler,
        *,
        remote_parent_sampled: _Sampler | None = None,
        remote_parent_not_sampled: _Sampler | None = None,
        local_parent_sampled: _Sampler | None = None,
        local_parent_not_sampled: _Sampler | None = None,
    ) -> ParentBased: ...
    @staticmethod
    def by_strategy(
        strategy: Literal["parent_probability_fallback", "parent_drop_probability_fallback"],
        root: _Sampler,
    ) -> ParentBased:
        """The sampler of a strategy for another process's decision.

        A parent's no is always honoured. Its yes is honoured by the strategy
        `parent_probability_fallback`; by `parent_drop_probability_fallback` `root` is asked again,
        which can only drop. Within this process children follow.
        """

@final
class Rule:
    """Which spans a sampler is for: those that match all that is given.

    `name` and `tracer` are patterns of the span's name and of its tracer's, in which `*` stands for
    any text and `?` for any character; `kind` is a `SpanKind`. At least one is given. Raises
    `TypeError` or `ValueError` naming the argument.
    """
    def __new__(
        cls,
        sampler: _Sampler,
        *,
        name: str | None = None,
        tracer: str | None = None,
        kind: SpanKind | int | None = None,
    ) -> Rule: ...

@final
class RuleBased(_BuiltIn):
    """Asks the sampler of the first rule that the span matches; `otherwise` where none does.

    `rules` is a list or tuple of `Rule`. In `ParentBased(RuleBased(...))` the rules are for spans
    without a parent, and their children follow. Raises `TypeError` naming the argument.
    """
    def __new__(cls, rules: Sequence[Rule], *, otherwise: _Sampler) -> RuleBased: ...

@final
class AlwaysRecord(_BuiltIn):
    """Records what `sampler` drops, for span processors of this process; it is not sent.

    OpenTelemetry SDK specification, "AlwaysRecord".
    """
    def __new__(cls, sampler: _Sampler) -> AlwaysRecord: ...

@final
class SamplingInput:
    """What a callable that samples is told of a span before it starts."""
    @property
    def name(self) -> str:
        """The name of the span; empty for a draft."""
    @property
    def kind(self) -> SpanKind:
        """What the span is to the one who asked for its work."""
    @property
    def tracer(self) -> str:
        """The name of its tracer."""
    @property
    def trace_id(self) -> bytes:
        """Sixteen bytes."""
    @property
    def parent(self) -> SpanContext | None:
        """The parent, with its decision; None for a new trace."""

_Sampler: TypeAlias = _BuiltIn | Callable[[SamplingInput], bool]

@final
class SpanLimits:
    """How much one span may hold. What is beyond is left out and counted on the span.

    `attribute_value_length` counts characters of text and bytes of bytes; None keeps all. Raises
    `TypeError` or `ValueError` naming the argument.
    """
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
    """How many spans may wait, and how long.

    `max_batch_size` spans go into one export; a span waits `max_coalescing_delay` seconds for
    others; `max_entries` spans and `max_bytes` bytes may be finished and unsent, then whole traces
    are dropped and counted; `max_live_spans` may be open, then new ones are not recorded. Raises
    `TypeError` or `ValueError` naming the argument.
    """
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
class OtlpExporter:
    """Sends each export to a collector: OTLP in protobuf over HTTP.

    `endpoint` is an `http://` or `https://` URL; one without a path gets `/v1/traces`, any other
    path is used as it is; None is `http://localhost:4318`. `headers` are sent with every request.
    One request may take `timeout` seconds. `compression` is "gzip" or "none"; None compresses for
    all hosts but this machine. Certificates are checked against the system's roots, or those of
    `SSL_CERT_FILE` and `SSL_CERT_DIR`.

    What a collector cannot take now is tried again for a minute, then dropped and counted. Raises
    `TypeError` or `ValueError` naming the argument.
    """
    def __new__(
        cls,
        endpoint: str | None = None,
        *,
        headers: Mapping[str, str] | None = None,
        timeout: float = 10.0,
        compression: Literal["gzip", "none"] | None = None,
    ) -> OtlpExporter: ...

@final
class FileExporter:
    """Appends each export to a file as a line of OTLP/JSON.

    `nanospan view` and the Collector's `otlpjsonfile` receiver read it. `path` is text, bytes or a
    path object. `configure` opens the file, and raises `OSError` if it cannot.
    """
    def __new__(cls, path: str | bytes | Any) -> FileExporter: ...  # str, bytes or os.PathLike

@final
class ConsoleExporter:
    """Draws each trace on the standard error stream."""
    def __new__(cls) -> ConsoleExporter: ...

@final
class MemoryExporter:
    """Keeps what is exported in memory, for tests."""
    def __new__(cls) -> MemoryExporter: ...
    def spans(self) -> tuple[SpanData, ...]:
        """The spans exported so far, in the order in which they came.

        Waits, for at most two seconds, until what was handed over before has arrived. A local trace
        whose root is open keeps its spans until `flush`.
        """
    def clear(self) -> None:
        """Forgets the spans exported so far."""

_Exporter: TypeAlias = OtlpExporter | FileExporter | ConsoleExporter | MemoryExporter

class _Stats(TypedDict):
    started: int  # spans started, whatever was decided of them
    sampled: int  # sampled by the decision at their start
    recorded: int  # of those, the ones that got a record
    finished: int  # recorded spans that finished
    sent: int  # spans that every exporter took
    # Finished spans not sent, by reason: queue_full, unsampled, late_undecided, export_failed,
    # rejected, shutdown; and live_limit for spans that got no record.
    dropped: dict[str, int]
    abandoned: int  # handles that died, or were open at shutdown, unfinished
    discarded: int  # released before finish
    ignored_writes: int  # writes to ended spans
    dropped_values: int  # attribute values of a type that could not be kept
    left_blocks: int  # with blocks left in another context than they were entered in
    kept_traces: int  # traces that a late decision kept
    over_budget: int  # traces that it would have kept, had there been budget
    # Of the OpenTelemetry face, since the program began: Contexts that stayed current, as too many
    # were detached in other contexts than their own.
    lost_detachments: int
    open_spans: int
    queued_spans: int
    queued_bytes: int
    queue_high_water: int
    worker: Literal["not_started", "running", "stopped"]
    last_error: str | None

@final
class KeepRule:
    """Which spans have their trace kept: those that match all that is given.

    `name` is a pattern of the span's name, in which `*` stands for any text and `?` for any
    character. `attributes` is a mapping: the span has each of them when it finishes, with this
    value, or with any where that is None. At least one of both is given. Raises `TypeError` or
    `ValueError` naming the argument.
    """
    def __new__(
        cls, *, name: str | None = None, attributes: _Attributes | None = None
    ) -> KeepRule: ...

@final
class Keep:
    """Which traces that the sampler turned down are kept, decided when their root finishes.

    With `errors` those in which the status of a span is ERROR; with `slower_than` those whose root
    took more seconds; with `rules`, a list or tuple of `KeepRule`, those in which a span matches
    one. No more than `max_traces_per_second` are, where it is given. Raises `TypeError` or
    `ValueError` naming the argument.
    """
    def __new__(
        cls,
        *,
        errors: bool = True,
        slower_than: float | None = None,
        rules: Sequence[KeepRule] = (),
        max_traces_per_second: float | None = None,
    ) -> Keep: ...

@final
class ManualClock:
    """A clock that only moves by hand."""
    def __new__(cls, now_ns: int) -> ManualClock: ...
    @property
    def now_ns(self) -> int:
        """Nanoseconds since 1970."""
    def tick(self, ns: int) -> None:
        """Moves it forward by `ns` nanoseconds."""

@final
class ScriptedIds:
    """Ids given in order, and random ones when they are used up."""
    def __new__(cls, trace_ids: Sequence[bytes], span_ids: Sequence[bytes]) -> ScriptedIds: ...

def _configure(
    *,
    service_name: str | None = None,
    resource: _Attributes | None = None,
    detected: _Attributes | None = None,
    exporter: _Exporter | Sequence[_Exporter] | None = None,
    sampling_rate: float | None = None,
    sampler: _Sampler | None = None,
    limits: SpanLimits | None = None,
    queue: QueueConfig | None = None,
    late_sampling: bool = ...,
    keep: Keep | None = None,
    clock: ManualClock | None = None,
    ids: ScriptedIds | None = None,
) -> None: ...
def flush(timeout: float = 2.0) -> bool:
    """Hands over everything that has finished and waits until it was sent.

    Waits for at most `timeout` seconds. True only if every exporter took all of it. Raises
    `TypeError` or `ValueError` for a timeout that is no number of seconds from 0 to 3600.
    """

def shutdown(timeout: float = 2.0) -> bool:
    """Sends everything that has finished and ends tracing.

    Until the next `configure` every tracer is a no-op. Spans that are still open are counted as
    abandoned. Waits for at most `timeout` seconds; True only if everything was taken. Raises
    `TypeError` or `ValueError` for a timeout that is no number of seconds from 0 to 3600.
    """

def stats() -> _Stats:
    """What the current pipeline, or the last one, has counted since `configure`.

    Counts of spans: `started`, `sampled`, `recorded`, `finished`, `sent`, `dropped` by reason,
    `abandoned` (never finished), `discarded` (released before they finished), `open_spans`, and
    `queued_spans` with `queued_bytes` and `queue_high_water` for what has finished and is not sent.
    Also `ignored_writes` to ended spans, `dropped_values` of attributes, `left_blocks`,
    `lost_detachments`, the traces that a late decision kept (`kept_traces`) or would have
    (`over_budget`), the state of the `worker`, and `last_error` of an exporter. Keys may be added.
    """

# What `flush_async` asks; no part of the public surface.
@final
class Flush:
    """A flush that has begun."""
    def __new__(cls, timeout: float) -> Flush: ...
    def poll(self) -> bool | None:
        """What `flush` returns, None while it would wait."""

# For nanospan's own command line and tests: no part of the public surface.
def _view(
    text: bytes,
    *,
    width: int,
    colour: bool | None,
    ascii: bool,
    attributes: bool,
    trace: str | None,
    slowest: int | None,
    errors: bool,
) -> tuple[str, list[tuple[int, str]]]: ...

# What `nanospan.otel` is made of. It has two of the classes under the names that they have
# themselves, `Span` and `Tracer`.
def _is_configured() -> bool: ...
def _install_otel() -> None: ...
def _share(provider: _Provider) -> None: ...
def _attach(context: Context) -> _ContextToken: ...
def _detach(token: _ContextToken | Token[Context]) -> None: ...
def _get_current() -> Context: ...
def _read_by(
    runtime: ContextVarsRuntimeContext,
    usual: Callable[[], Context],
    while_waiting: Callable[[], Context],
) -> None: ...

@final
class _ContextToken: ...  # passes for the `contextvars.Token` in it

@final
class _Provider:
    def __new__(
        cls,
        *,
        shares: bool = False,
        exporter: _Exporter | Sequence[_Exporter] | None = None,
        resource: _Attributes | None = None,
        schema_url: str = "",
        limits: SpanLimits | None = None,
        queue: QueueConfig | None = None,
        sampler: _Sampler | None = None,
        max_length: int | None = None,
        max_nested_length: int | None = None,
    ) -> _Provider: ...
    # These four can be set and not read.
    _owner: Any
    _processor: Any
    _sampler: Any
    _id_generator: Any
    _shared_resource: Any
    def _set_resource(self, earlier: Any, attributes: _Attributes, schema_url: str) -> None: ...
    def _make_current(self) -> None: ...
    def _new_trace_id(self) -> int: ...
    def _new_span_id(self) -> int: ...
    def _flush(self, timeout: float) -> bool: ...
    def _shutdown(self, timeout: float) -> bool: ...

@final
class _OtelSpan(otel.Span):  # registered with it
    """One unit of work, as OpenTelemetry's API and SDK know it.

    Started by a `Tracer`. Ids, name, kind, parent, times and status can be read for ever;
    attributes, events and links while the span is among the last thousand or so that ended, then
    they are empty. Where a Python span processor is told of the span, all of it can be read for
    ever.
    """
    def get_span_context(self) -> otel.SpanContext:
        """The ids and flags of the span, as an `opentelemetry.trace.SpanContext`."""
    @property
    def context(self) -> otel.SpanContext:
        """The same as `get_span_context()`."""
    @property
    def parent(self) -> otel.SpanContext | None:
        """The context of the parent; None for the root of a trace."""
    @property
    def name(self) -> str:
        """The name of the span."""
    @property
    def kind(self) -> otel.SpanKind:
        """What the span is to the one who asked for its work."""
    @property
    def start_time(self) -> int:
        """Nanoseconds since 1970."""
    @property
    def end_time(self) -> int | None:
        """Nanoseconds since 1970, None until the span ends."""
    @property
    def status(self) -> otel.Status:
        """The `opentelemetry.trace.Status`."""
    @property
    def attributes(self) -> Mapping[str, AnyValue]:
        """The attributes, read only."""
    @property
    def events(self) -> tuple[sdk.Event, ...]:
        """The events, in the order in which they were added."""
    @property
    def links(self) -> tuple[otel.Link, ...]:
        """The links, in the order in which they were added."""
    @property
    def dropped_attributes(self) -> int:
        """How many attributes were left out."""
    @property
    def dropped_events(self) -> int:
        """How many events were left out."""
    @property
    def dropped_links(self) -> int:
        """How many links were left out."""
    @property
    def resource(self) -> Resource | None:
        """The resource of the provider."""
    @property
    def instrumentation_scope(self) -> OtelScope:
        """Who made the span: an `InstrumentationScope`."""
    @property
    def instrumentation_info(self) -> Any:
        """The old name of the instrumentation scope."""
    def is_recording(self) -> bool:
        """True until the span ends, if it is recorded."""
    def set_attribute(self, key: str, value: AnyValue) -> None:
        """Sets an attribute (OpenTelemetry trace API, "Set Attributes").

        Any value is taken as the SDK takes it.
        """
    def set_attributes(self, attributes: Mapping[str, AnyValue]) -> None:
        """Sets several attributes."""
    def _unset_attribute(self, key: str) -> None: ...
    def add_event(
        self, name: str, attributes: Attributes = None, timestamp: int | None = None
    ) -> None:
        """Adds an event, now unless `timestamp` (nanoseconds since 1970) says when."""
    def add_link(self, context: otel.SpanContext, attributes: Attributes = None) -> None:
        """Adds a link to a span that has to do with this one without being its parent."""
    def update_name(self, name: str) -> None:
        """Gives the span another name."""
    def set_status(
        self, status: otel.Status | otel.StatusCode, description: str | None = None
    ) -> None:
        """Sets the status: a `Status`, or a `StatusCode` and why.

        OK is final, UNSET changes nothing (OpenTelemetry trace API, "Set Status").
        """
    def record_exception(
        self,
        exception: BaseException,
        attributes: Attributes = None,
        timestamp: int | None = None,
        escaped: bool | None = None,
    ) -> None:
        """Adds an event named `exception`.

        It tells an exception's type, message and stack trace (OpenTelemetry semantic conventions,
        "Exceptions on spans").
        """
    def end(self, end_time: int | None = None) -> None:
        """Ends the span, now unless `end_time` (nanoseconds since 1970) says when.

        The first end wins.
        """
    def __enter__(self) -> _OtelSpan: ...
    def __exit__(
        self,
        exc_type: type[BaseException] | None = None,
        exc_val: BaseException | None = None,
        exc_tb: TracebackType | None = None,
    ) -> None: ...
    def _readable_span(self) -> sdk.ReadableSpan: ...
    def to_json(self, indent: int | None = 4) -> str:
        """The span as JSON, as the SDK's console exporter writes it."""

@final
class _OtelBlock(_AgnosticContextManager[otel.Span]):
    # What `start_as_current_span` of the OpenTelemetry face returns: enter it once, or decorate
    # with it.
    def __enter__(self) -> otel.Span: ...
    def __exit__(
        self,
        typ: type[BaseException] | None,
        value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None: ...

@final
class _OtelTemplate:
    # What a decorated function makes its blocks from.
    def _block(self) -> _OtelBlock: ...

@final
class _OtelTracer(otel.Tracer):  # registered with it
    """Makes spans for one instrumentation scope; what `TracerProvider.get_tracer` gives."""
    def __new__(
        cls,
        provider: _Provider,
        instrumentation_scope: Any,
        name: str,
        version: str,
        schema_url: str,
        attributes: dict[str, Any],
    ) -> _OtelTracer: ...
    # An `otel.Span` that is none of ours comes where nothing is traced.
    def start_span(
        self,
        name: str,
        context: Context | None = None,
        kind: otel.SpanKind | None = None,
        attributes: Attributes = None,
        links: Sequence[otel.Link] | None = None,
        start_time: int | None = None,
        record_exception: bool = ...,
        set_status_on_exception: bool = ...,
    ) -> otel.Span:
        """Starts a span, which does not become current.

        The parent is the current span, or the one in `context`. `kind` is a `SpanKind`;
        `start_time` is nanoseconds since 1970, None is now (OpenTelemetry trace API, "Span
        Creation"). `record_exception` and `set_status_on_exception` say what `with span:` does with
        an exception that leaves it.
        """
    def start_as_current_span(
        self,
        name: str,
        context: Context | None = None,
        kind: otel.SpanKind | None = None,
        attributes: Attributes = None,
        links: Sequence[otel.Link] | None = None,
        start_time: int | None = None,
        record_exception: bool = ...,
        set_status_on_exception: bool = ...,
        end_on_exit: bool = ...,
    ) -> _OtelBlock:
        """Prepares a span for one `with` block, or for each call of a function that it decorates.

        The span starts and becomes current when the block is entered. When it is left, what was
        current before is so again, an exception is recorded and sets the status, and the span ends,
        each unless the argument named for it says otherwise. The other arguments are those of
        `start_span`.
        """
    @property
    def resource(self) -> Resource:
        """The resource of the provider."""
    @property
    def sampler(self) -> Any:
        """The sampler of the provider."""
    @property
    def id_generator(self) -> Any:
        """The id generator of the provider."""
    @property
    def span_processor(self) -> Any:
        """The span processor of the provider."""
    @property
    def instrumentation_info(self) -> Any:
        """The old name of the instrumentation scope."""
    def _is_enabled(self) -> bool: ...
    def _enable(self, enabled: bool) -> None: ...
