"""Faults put into a copy of the SDK, one at a time: those that the comparison has to find.

Each is a mistake that is easily made in a provider of one's own.
"""

import inspect
from collections.abc import Callable
from types import ModuleType, SimpleNamespace
from typing import Any, TypeAlias

from opentelemetry import trace
from opentelemetry.attributes import BoundedAttributes
from opentelemetry.trace import NonRecordingSpan, SpanContext, TraceFlags

from support.otel.copy_of_sdk import copy_of_sdk

Mutation: TypeAlias = Callable[[ModuleType], None]

MUTATIONS: dict[str, Mutation] = {}
"""By what each does."""


def mutant(fault: str) -> Any:
    """A provider class with this fault."""
    sdk = copy_of_sdk()
    MUTATIONS[fault](sdk)
    return sdk.TracerProvider


def _mutation(fault: str) -> Callable[[Mutation], Mutation]:
    def add(mutation: Mutation) -> Mutation:
        MUTATIONS[fault] = mutation
        return mutation

    return add


def _after_start_span(sdk: ModuleType, change: Callable[..., Any]) -> None:
    """`change` is given what `start_span` made and its arguments, and returns what to hand out."""
    start_span = sdk.Tracer.start_span

    def changed(self: Any, name: str, context: Any = None, **options: Any) -> Any:
        span = start_span(self, name, context, **options)
        return change(span, context)

    sdk.Tracer.start_span = changed


def _reword_use_span(sdk: ModuleType, was: str, becomes: str) -> None:
    """Another `use_span` on the lines of the genuine one, for recorded stacks show those."""
    lines, first = inspect.getsourcelines(trace.use_span)
    text = "".join(lines)
    assert was in text
    names = dict(vars(trace))
    code = compile("\n" * (first - 1) + text.replace(was, becomes), trace.__file__, "exec")
    exec(code, names)
    sdk.trace_api = SimpleNamespace(**names)


@_mutation("an ended span takes a new name")
def _(sdk: ModuleType) -> None:
    def update_name(self: Any, name: str) -> None:
        self._name = name

    sdk.Span.update_name = update_name


@_mutation("writing to an ended span is not logged")
def _(sdk: ModuleType) -> None:
    class Quiet:
        def warning(self, *given: object) -> None:
            pass

    sdk.logger = Quiet()


@_mutation("the second end counts")
def _(sdk: ModuleType) -> None:
    end = sdk.Span.end

    def end_again(self: Any, end_time: int | None = None) -> None:
        end(self, end_time)
        if end_time is not None:
            self._end_time = end_time

    sdk.Span.end = end_again


@_mutation("an OK status can be replaced")
def _(sdk: ModuleType) -> None:
    set_status = sdk.Span.set_status

    def set_any_status(self: Any, *given: Any) -> None:
        kept, self._status = self._status, None
        set_status(self, *given)
        self._status = self._status or kept

    sdk.Span.set_status = set_any_status


@_mutation("a description stays when the status becomes OK")
def _(sdk: ModuleType) -> None:
    set_status = sdk.Span.set_status

    def set_status_only(self: Any, *given: Any) -> None:
        before = self._status
        set_status(self, *given)
        if self._status is not before and self._status.description is None:
            self._status._description = before.description

    sdk.Span.set_status = set_status_only


@_mutation("exceptions that leave a span's own block do not say that they escaped")
def _(sdk: ModuleType) -> None:
    record = sdk.Span.record_exception

    def record_exception(self: Any, exception: BaseException, *given: Any, **options: Any) -> None:
        record(self, exception, *given, **options | {"escaped": False})

    sdk.Span.record_exception = record_exception


@_mutation("start_as_current_span records what is no Exception")
def _(sdk: ModuleType) -> None:
    _reword_use_span(sdk, "except Exception as exc", "except BaseException as exc")


@_mutation("start_as_current_span ends its span while it is current")
def _(sdk: ModuleType) -> None:
    end_first = "end_on_exit and span.end(); end_on_exit = False; context_api.detach(token)"
    _reword_use_span(sdk, "context_api.detach(token)", end_first)


@_mutation("an attribute set again keeps its place")
def _(sdk: ModuleType) -> None:
    class Mutant(BoundedAttributes):
        def _setitem_locked(self, key: str, value: Any) -> None:
            if key in self._dict:
                self._dict[key] = value
            else:
                super()._setitem_locked(key, value)

    sdk.BoundedAttributes = Mutant


@_mutation("a full span drops the attribute that is new")
def _(sdk: ModuleType) -> None:
    class Mutant(BoundedAttributes):
        def _setitem_locked(self, key: str, value: Any) -> None:
            if self.maxlen is not None and len(self._dict) >= self.maxlen and key not in self._dict:
                self.dropped += 1
            else:
                super()._setitem_locked(key, value)

    sdk.BoundedAttributes = Mutant


@_mutation("a bad key is not counted as dropped")
def _(sdk: ModuleType) -> None:
    class Mutant(BoundedAttributes):
        def __setitem__(self, key: Any, value: Any) -> None:
            if isinstance(key, str):
                super().__setitem__(key, value)
            else:
                sdk.logger.warning("dropped")

    sdk.BoundedAttributes = Mutant


@_mutation("attributes of events have the limit of a span's")
def _(sdk: ModuleType) -> None:
    class Mutant(sdk.SpanLimits):  # type: ignore[name-defined]
        def __init__(self, given: Any) -> None:
            vars(self).update(vars(given))
            self.max_event_attributes = self.max_span_attributes

    provider = sdk.TracerProvider.__init__

    def init(self: Any, *given: Any, span_limits: Any = None, **options: Any) -> None:
        provider(self, *given, span_limits=Mutant(span_limits or sdk.SpanLimits()), **options)

    sdk.TracerProvider.__init__ = init


@_mutation("links with an invalid context are kept")
def _(sdk: ModuleType) -> None:
    sdk._is_valid_link = lambda context, attributes: context is not None


@_mutation("links with an invalid context are dropped even with attributes")
def _(sdk: ModuleType) -> None:
    sdk._is_valid_link = lambda context, attributes: context is not None and context.is_valid


@_mutation("the parent is equal to the parent's context, but another object")
def _(sdk: ModuleType) -> None:
    def change(span: Any, context: Any) -> Any:
        if not isinstance(span, NonRecordingSpan) and span._parent is not None:
            span._parent = SpanContext(*span._parent.__getnewargs__())
        return span

    _after_start_span(sdk, change)


@_mutation("on_start is given the current context where none was given")
def _(sdk: ModuleType) -> None:
    start = sdk.Span.start

    def start_with_context(self: Any, start_time: Any = None, parent_context: Any = None) -> None:
        start(self, start_time, parent_context or sdk.context_api.get_current())

    sdk.Span.start = start_with_context


@_mutation("an empty context means the current one")
def _(sdk: ModuleType) -> None:
    start_span = sdk.Tracer.start_span

    def start(self: Any, name: str, context: Any = None, **options: Any) -> Any:
        return start_span(self, name, context or None, **options)

    sdk.Tracer.start_span = start


@_mutation("a dropped span has its parent's id")
def _(sdk: ModuleType) -> None:
    def change(span: Any, context: Any) -> Any:
        if isinstance(span, NonRecordingSpan):
            parent = trace.get_current_span(context)
            return NonRecordingSpan(parent.get_span_context())
        return span

    _after_start_span(sdk, change)


@_mutation("all bits of the parent's flags are handed on")
def _(sdk: ModuleType) -> None:
    def change(span: Any, context: Any) -> Any:
        given = span.get_span_context()
        parent = trace.get_current_span(context).get_span_context()
        flags = TraceFlags(given.trace_flags | parent.trace_flags & 0xF0)
        span._context = SpanContext(
            given.trace_id, given.span_id, given.is_remote, flags, given.trace_state
        )
        return span

    _after_start_span(sdk, change)


@_mutation("the sampler's attributes are added to the caller's")
def _(sdk: ModuleType) -> None:
    start_span = sdk.Tracer.start_span

    def start(self: Any, name: str, *given: Any, attributes: Any = None, **options: Any) -> Any:
        sampler = self.sampler

        class Adding:
            def should_sample(self, *given: Any, **options: Any) -> Any:
                result = sampler.should_sample(*given, **options)
                if result.decision.is_recording():
                    result.attributes = {**(attributes or {}), **result.attributes}
                return result

        self.sampler = Adding()
        try:
            return start_span(self, name, *given, attributes=attributes, **options)
        finally:
            self.sampler = sampler

    sdk.Tracer.start_span = start


@_mutation("a sampler that gives no trace state leaves the parent's")
def _(sdk: ModuleType) -> None:
    def change(span: Any, context: Any) -> Any:
        given = span.get_span_context()
        parent = trace.get_current_span(context).get_span_context()
        if not given.trace_state and parent.is_valid:
            ids = (given.trace_id, given.span_id, given.is_remote, given.trace_flags)
            span._context = SpanContext(*ids, parent.trace_state)
        return span

    _after_start_span(sdk, change)


@_mutation("tracers that differ in attributes are one")
def _(sdk: ModuleType) -> None:
    get_tracer = sdk.TracerProvider.get_tracer

    def get(self: Any, *given: Any, attributes: Any = None, **options: Any) -> Any:
        return get_tracer(self, *given, **options)

    sdk.TracerProvider.get_tracer = get


@_mutation("_on_ending is not called")
def _(sdk: ModuleType) -> None:
    sdk.SynchronousMultiSpanProcessor._on_ending = lambda self, span: None


@_mutation("processors are those of the span's start")
def _(sdk: ModuleType) -> None:
    init = sdk.Span.__init__

    def with_processors_of_now(self: Any, *given: Any, **options: Any) -> None:
        processors = sdk.SynchronousMultiSpanProcessor()
        processors._span_processors = options["span_processor"]._span_processors
        init(self, *given, **options | {"span_processor": processors})

    sdk.Span.__init__ = with_processors_of_now


@_mutation("each processor gets an ended span of its own")
def _(sdk: ModuleType) -> None:
    def on_end(self: Any, span: Any) -> None:
        for processor in self._span_processors:
            of_its_own = sdk.ReadableSpan.__new__(sdk.ReadableSpan)
            vars(of_its_own).update(vars(span))
            processor.on_end(of_its_own)

    sdk.SynchronousMultiSpanProcessor.on_end = on_end


@_mutation("the exporter is given the live span")
def _(sdk: ModuleType) -> None:
    sdk.Span._readable_span = lambda self: self


@_mutation("force_flush stops at the first processor that fails")
def _(sdk: ModuleType) -> None:
    def force_flush(self: Any, timeout_millis: int = 30_000) -> bool:
        return all(each.force_flush(timeout_millis) for each in self._span_processors)

    sdk.SynchronousMultiSpanProcessor.force_flush = force_flush


@_mutation("a disabled tracer's spans have ids of their own")
def _(sdk: ModuleType) -> None:
    sdk.Tracer._is_enabled = lambda self: True


@_mutation("a resource update reaches only tracers that are made later")
def _(sdk: ModuleType) -> None:
    sdk.Tracer._set_resource = lambda self, resource: None


@_mutation("the JSON of a span leaves its kind out")
def _(sdk: ModuleType) -> None:
    to_json = sdk.ReadableSpan.to_json

    def without_kind(self: Any, indent: int | None = 4) -> str:
        read = sdk.json.loads(to_json(self, indent))
        del read["kind"]
        return sdk.json.dumps(read, indent=indent)

    sdk.ReadableSpan.to_json = without_kind
