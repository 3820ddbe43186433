"""One of the two providers: what is done to it, and all that it lets a program see of that."""

import contextvars
import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.sdk.trace import SpanProcessor
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.id_generator import IdGenerator
from opentelemetry.sdk.trace.sampling import Decision, Sampler, SamplingResult
from opentelemetry.trace import TraceState

from support.otel.differences import Difference, log_alike
from support.otel.observed import Observed, Observer

_SPREAD = 0x9E3779B97F4A7C15
"""An odd number: its multiples modulo 2**64 are all different, and lie all over."""

_NONE: Mapping[str, object] = MappingProxyType({})


class CountedIds(IdGenerator):
    """Ids that both sides draw alike; trace ids are spread, for samplers that look at them."""

    def __init__(self, *, random: bool) -> None:
        self._random = random
        self._drawn = 0

    def generate_span_id(self) -> int:
        self._drawn += 1
        return self._drawn

    def generate_trace_id(self) -> int:
        self._drawn += 1
        return (self._drawn << 64) + (self._drawn * _SPREAD) % 2**64

    def is_trace_id_random(self) -> bool:
        return self._random


class ScriptedSampler(Sampler):
    """Decides by the span's name, and shows its side what it was asked."""

    def __init__(self, side: "Side") -> None:
        self._side = side

    def should_sample(
        self,
        parent_context: Context | None,
        trace_id: int,
        name: str,
        kind: Any = None,
        attributes: Any = None,
        links: Any = None,
        trace_state: Any = None,
    ) -> SamplingResult:
        see = self._side.see
        shown = [see.link(link) for link in links]
        what = self._side.which_context(parent_context)
        facts = (f"{trace_id:032x}", name, kind, see.value(attributes), shown, trace_state)
        self._side.saw("should_sample", what, *facts)
        match name:
            case "drop":
                return SamplingResult(Decision.DROP, attributes, TraceState([("drop", "1")]))
            case "record only":
                return SamplingResult(Decision.RECORD_ONLY, {"sampler": "record only"})
            case "bare":
                return SamplingResult(Decision.RECORD_AND_SAMPLE)
        given = attributes or {}
        attributes = {"sampler": name, **given, "sampler list": [1, name, None]}
        return SamplingResult(
            Decision.RECORD_AND_SAMPLE, attributes, TraceState([("sampler", "a"), ("more", "b")])
        )

    def get_description(self) -> str:
        return "ScriptedSampler"


class Recorder(SpanProcessor):
    """Shows its side each call that it gets."""

    def __init__(self, side: "Side", name: str) -> None:
        self._side = side
        self._name = name

    def on_start(self, span: Any, parent_context: Context | None = None) -> None:
        side = self._side
        context = side.which_context(parent_context)
        facts = (side.see.span(span), side.see.readable(span._readable_span()))
        side.saw("on_start", self._name, context, side.current(), *facts)

    def _on_ending(self, span: Any) -> None:
        self._side.saw("_on_ending", self._name, self._side.current(), self._side.see.span(span))

    def on_end(self, span: Any) -> None:
        side = self._side
        ended = side.see.which("ended span", span)
        side.saw("on_end", self._name, side.current(), ended, side.see.readable(span))

    def shutdown(self) -> None:
        self._side.saw("shutdown", self._name)

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        self._side.saw("force_flush", self._name, 0 <= timeout_millis <= 30_000)
        return True


class Meddler(Recorder):
    """Writes in every hook; `changes` are private attributes of the span that `on_end` is given."""

    def __init__(self, side: "Side", name: str, changes: Mapping[str, object] = _NONE) -> None:
        super().__init__(side, name)
        self._changes = changes

    def on_start(self, span: Any, parent_context: Context | None = None) -> None:
        span.set_attribute("on_start", self._name)
        span.update_name(f"{span.name} of {self._name}")
        super().on_start(span, parent_context)

    def _on_ending(self, span: Any) -> None:
        span.set_attribute("_on_ending", self._name)
        super()._on_ending(span)

    def on_end(self, span: Any) -> None:
        for name, value in self._changes.items():
            setattr(span, name, value)
        super().on_end(span)

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        super().force_flush(timeout_millis)
        return False


class _Log(logging.Handler):
    def __init__(self) -> None:
        super().__init__()
        self.records: list[tuple[str, str]] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.records.append((record.levelname, record.getMessage()))


class Side:
    """A provider, and under the same indices on both sides all that was made with it.

    Everything is called in a `contextvars` context of the side's own, for the two would share
    their current span otherwise.
    """

    def __init__(self, differences: Iterable[Difference]) -> None:
        self.see = Observer(differences)
        self.provider: Any = None
        self.tracers: list[Any] = []
        self.spans: list[Any] = []
        self.blocks: list[Any] = []
        self.contexts: list[Context] = []
        self.given: Context | None = None
        self.tokens: list[Any] = []
        self.processors: list[Any] = []
        self.exporters: list[InMemorySpanExporter] = []
        self.thrown: list[BaseException] = []
        self._differences = tuple(differences)
        self._context = contextvars.copy_context()
        self._seen: list[Observed] = []

    def saw(self, *facts: Observed) -> None:
        """Notes what a processor, a sampler or a traced function was shown."""
        self._seen.append(facts)

    def current(self) -> Observed:
        """Which span is current."""
        span = trace.get_current_span()
        return (self.see.which("span", span), self.see.context(span.get_span_context()))

    def which_context(self, context: Context | None) -> Observed:
        """Whether it is the one that was given, and the span in it."""
        if context is None:
            return None
        return (context is self.given, self.see.which("span", trace.get_current_span(context)))

    def throw(self, error: BaseException) -> BaseException:
        """An exception with a traceback, which the side's calls may let out."""
        self.thrown.append(error)
        try:
            raise error
        except BaseException as raised:
            return raised

    def add_exporter(self, name: str) -> SpanProcessor:
        """A processor whose exporter keeps what it gets."""
        self.exporters.append(InMemorySpanExporter())
        return SimpleSpanProcessor(self.exporters[-1])

    def read_all_again(self) -> None:
        """Shows what the exporters hold: nothing that came later has changed it."""
        for exporter in self.exporters:
            for span in exporter.get_finished_spans():
                self.saw("kept", self.see.readable(span))

    def do(self, call: Callable[["Side"], object]) -> Observed:
        """Makes a call and tells all that can be seen of it and after it."""
        return self._context.run(self._do, call)

    def _do(self, call: Callable[["Side"], object]) -> Observed:
        self._seen = []
        before = [len(exporter.get_finished_spans()) for exporter in self.exporters]
        log = _Log()
        root = logging.getLogger()
        handlers, root.handlers = root.handlers, [log]
        try:
            outcome = self._outcome(call)
        finally:
            root.handlers = handlers
        return {
            "outcome": outcome,
            "log": log_alike(log.records, self._differences),
            "seen": self._seen,
            "exported": self._exported_since(before),
            "current": self.current(),
            "spans": [self.see.span(span) for span in self.spans],
            "provider": self.see.resource(self.provider and self.provider.resource),
        }

    def _outcome(self, call: Callable[["Side"], object]) -> Observed:
        try:
            result = call(self)
        except BaseException as error:
            if any(error is thrown for thrown in self.thrown):
                return ("let out", self.see.which("exception", error))
            if not isinstance(error, Exception):
                raise
            return ("raised", type(error).__name__)
        return ("returned", self._result(result))

    def _result(self, result: Any) -> Observed:
        if isinstance(result, trace.Span):
            return self.see.which("span", result)
        if isinstance(result, trace.Tracer):
            return (self.see.which("tracer", result), self.see.which("resource", result.resource))
        return self.see.value(result)

    def _exported_since(self, before: Sequence[int]) -> Observed:
        counts = [*before, *[0] * (len(self.exporters) - len(before))]
        return [
            [self.see.readable(span) for span in exporter.get_finished_spans()[count:]]
            for exporter, count in zip(self.exporters, counts, strict=True)
        ]
