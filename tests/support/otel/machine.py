"""Two providers driven through the same random calls, alike after each of them.

`machine_for` gives the state machine for a pair of providers. After every call both sides must
agree on all that a program can see: what the call returned or raised, the log, what processors,
samplers and exporters were shown, the current span, and every field of every span so far.
"""

import difflib
import inspect
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pprint import pformat
from typing import Any, ClassVar

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule
from opentelemetry import context as context_api
from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.sdk.trace import TracerProvider, _TracerConfig
from opentelemetry.sdk.trace.sampling import (
    ALWAYS_OFF,
    ALWAYS_ON,
    DEFAULT_ON,
    AlwaysRecordSampler,
    ParentBased,
    ParentBasedTraceIdRatio,
    Sampler,
    TraceIdRatioBased,
)
from opentelemetry.trace import Link, NonRecordingSpan, Status, StatusCode

from support.otel import values
from support.otel.differences import INTENDED, Difference
from support.otel.observed import Observed
from support.otel.side import CountedIds, Meddler, Recorder, ScriptedSampler, Side

_NIGHT = 20_000
_ENOUGH_BY_DAY = 200
STEPS = settings(
    stateful_step_count=30,
    # A run takes a twentieth of a second: that many only where there is a night for them.
    max_examples=_NIGHT
    if settings().max_examples >= _NIGHT
    else min(settings().max_examples, _ENOUGH_BY_DAY),
)
"""How long a run of calls gets, and how many runs there are."""


class SidesDiffer(AssertionError):
    """What one side shows and the other does not."""


_SAMPLERS: dict[str, Callable[[Side], Sampler | None]] = {
    "from the environment": lambda side: None,
    "always on": lambda side: ALWAYS_ON,
    "always off": lambda side: ALWAYS_OFF,
    "half": lambda side: TraceIdRatioBased(0.5),
    "parent-based on": lambda side: DEFAULT_ON,
    "parent-based half": lambda side: ParentBasedTraceIdRatio(0.5),
    "parent-based turned round": lambda side: ParentBased(
        ALWAYS_OFF,
        remote_parent_sampled=ALWAYS_OFF,
        remote_parent_not_sampled=ALWAYS_ON,
        local_parent_sampled=TraceIdRatioBased(0.5),
        local_parent_not_sampled=ALWAYS_ON,
    ),
    "all recorded": lambda side: AlwaysRecordSampler(TraceIdRatioBased(0.5)),
    "scripted": ScriptedSampler,
    "parent-based scripted": lambda side: ParentBased(ScriptedSampler(side)),
}

_picks = st.integers(0, 9)
_flags = st.booleans()

# Where a context comes from: none given, or one of these with the arguments of `_context`.
_contexts = st.one_of(
    st.tuples(st.just("span"), _picks),
    st.tuples(st.just("span"), _picks),
    st.tuples(st.just("context"), values.span_contexts),
    st.tuples(st.just("empty"), st.none()),
    st.tuples(st.just("kept"), _picks),
    st.tuples(st.just("current"), st.none()),
)
_linked = st.tuples(st.just("span"), _picks) | st.tuples(st.just("context"), values.linked_contexts)
_links = st.lists(st.none() | st.tuples(_linked, values.maybe_attributes), max_size=4)

_start_options = {
    "context": _contexts,
    "kind": values.kinds,
    "attributes": values.maybe_attributes,
    "links": st.none() | _links,
    "start_time": values.times,
    "record_exception": _flags,
    "set_status_on_exception": _flags,
}
_starts = st.fixed_dictionaries({}, optional=_start_options)
_blocks = st.fixed_dictionaries({}, optional=_start_options | {"end_on_exit": _flags})
_decorations = st.fixed_dictionaries(
    {},
    optional={
        key: values_of
        for key, values_of in (_start_options | {"end_on_exit": _flags}).items()
        if key != "links"
    },
)
"""Without links: the SDK changes them for the first span, which the second one shows."""

_uses = st.fixed_dictionaries(
    {},
    optional={
        "end_on_exit": _flags,
        "record_exception": _flags,
        "set_status_on_exception": _flags,
    },
)

_changes: st.SearchStrategy[Mapping[str, object]] = st.sampled_from(
    [
        {},
        {"_name": "renamed at its end"},
        {"_attributes": {"all": "replaced"}},
        {"_status": Status(StatusCode.ERROR, "changed"), "_kind": trace.SpanKind.CONSUMER},
        {"_events": (), "_links": ()},
        {"_start_time": 1, "_end_time": 2, "_parent": None},
    ]
)

_timeouts = st.sampled_from([{}, {"timeout_millis": 30_000}, {"timeout_millis": 0}])
_administration = st.one_of(
    st.tuples(st.just("add processor"), st.sampled_from([Recorder, Side.add_exporter])),
    st.tuples(st.just("add meddler"), _changes),
    st.tuples(st.just("replace processors"), st.lists(_picks, max_size=4, unique=True)),
    st.tuples(st.just("force_flush"), _timeouts),
    st.tuples(st.just("shutdown"), st.just({})),
    st.tuples(st.just("update resource"), values.resources),
    st.tuples(
        st.just("enable tracers"), st.sampled_from([set(), {"library"}, {"library", "other"}])
    ),
    st.tuples(
        st.just("enable tracers"), st.sampled_from([set(), {"library"}, {"library", "other"}])
    ),
)


def _link(side: Side, given: Any) -> Link | None:
    """A new one for each side: the SDK changes it."""
    if given is None:
        return None
    linked, attributes = given
    return Link(_span_context(side, linked), attributes)


def _span_context(side: Side, linked: tuple[str, Any]) -> Any:
    how, what = linked
    if how == "context" or not side.spans:
        return what if how == "context" else trace.INVALID_SPAN_CONTEXT
    context = _span(side, what).get_span_context()
    # What travels on where nothing is traced may have ids that are too large, as its parent has.
    is_small = context.trace_id < 2**128 and context.span_id < 2**64
    return context if is_small else trace.INVALID_SPAN_CONTEXT


def _newest(things: list[Any], number: int) -> Any:
    return things[-1 - number % len(things)]


def _span(side: Side, number: int) -> Any:
    """One of the open ones if there are any; of all that were made for the higher numbers."""
    unfinished = [span for span in side.spans if span.is_recording()]
    return _newest(unfinished if unfinished and number < 6 else side.spans, number)


def _context(side: Side, given: tuple[str, Any]) -> Context:
    how, what = given
    match how:
        case "span" if side.spans:
            context = trace.set_span_in_context(_span(side, what), Context({"more": 1}))
        case "context":
            context = trace.set_span_in_context(NonRecordingSpan(what))
        case "kept" if side.contexts:
            context = _newest(side.contexts, what)
        case "current":
            context = context_api.get_current()
        case _:
            context = Context()
    side.contexts.append(context)
    side.given = context
    return context


def _options(side: Side, given: Mapping[str, Any]) -> dict[str, Any]:
    options = dict(given)
    if "context" in options:
        options["context"] = _context(side, options["context"])
    if options.get("links") is not None:
        options["links"] = [_link(side, link) for link in options["links"]]
    return options


class ProvidersMachine(RuleBasedStateMachine):
    """The calls; `machine_for` says of what."""

    genuine: Callable[..., Any]
    other: Callable[..., Any]
    differences: ClassVar[tuple[Difference, ...]]

    def __init__(self) -> None:
        super().__init__()
        self.left = Side(self.differences)
        self.right = Side(self.differences)
        self.alike = True

    def teardown(self) -> None:
        """Leaves all blocks and ends all spans: left to die, either side would complain later."""

        def leave_all(side: Side) -> None:
            while side.blocks:
                side.blocks.pop().__exit__(None, None, None)
            for span in side.spans:
                if span.is_recording():
                    span.end()

        if self.alike:
            self.both(leave_all)
            self.both(Side.read_all_again)
        else:
            self.left.do(leave_all)
            self.right.do(leave_all)

    def flush_options(self, given: dict[str, Any]) -> dict[str, Any]:
        """How a flush is called."""
        return given

    def both(self, call: Callable[[Side], object]) -> None:
        """Makes one call on each side, and compares."""
        self.both_are_alike(self.left.do(call), self.right.do(call))

    def both_are_alike(self, left: Observed, right: Observed) -> None:
        """Raises with the lines that differ."""
        if left == right:
            return
        self.alike = False
        texts = [pformat(side, width=120, sort_dicts=False).split("\n") for side in (left, right)]
        lines = difflib.unified_diff(*texts, "the SDK", "the other", lineterm="")
        raise SidesDiffer("\n".join(["the sides differ", *lines]))

    # Providers and tracers.

    @initialize(
        sampler=st.sampled_from(["always on", "always on", "scripted", "scripted", *_SAMPLERS]),
        limits=values.limits,
        random=_flags,
        resource=values.resources,
        processors=st.lists(st.sampled_from([Recorder, Meddler, Side.add_exporter]), max_size=3),
    )
    def make_providers(self, sampler, limits, random, resource, processors):
        options = {"resource": resource, "span_limits": limits, "shutdown_on_exit": False}
        for side, provider in ((self.left, self.genuine), (self.right, self.other)):
            ids = CountedIds(random=random)
            side.provider = provider(sampler=_SAMPLERS[sampler](side), id_generator=ids, **options)
            for number, make in enumerate(processors):
                self._add(side, make(side, f"processor {number}"))
        self.both(lambda side: self._get_tracer(side, {"instrumenting_module_name": "library"}))

    def _add(self, side, processor):
        side.provider.add_span_processor(processor)
        side.processors.append(processor)

    def _get_tracer(self, side, scope):
        side.tracers.append(side.provider.get_tracer(**scope))
        return side.tracers[-1]

    @rule(scope=values.scopes)
    def get_tracer(self, scope):
        self.both(lambda side: self._get_tracer(side, scope))

    @rule(what=_administration)
    def administer(self, what):
        """What a program does at its beginning and its end, now at any time."""
        how, given = what
        number = len(self.left.processors)

        def administer(side):
            match how:
                case "shutdown":
                    side.provider.shutdown()
                case "force_flush":
                    return side.provider.force_flush(**self.flush_options(given))
                case "update resource":
                    side.provider._update_resource(given)
                case "enable tracers":
                    side.provider._set_tracer_configurator(
                        tracer_configurator=lambda scope: _TracerConfig(scope.name in given)
                    )
                case "add processor":
                    self._add(side, given(side, f"processor {number}"))
                case "add meddler":
                    self._add(side, Meddler(side, f"processor {number}", given))
                case "replace processors":
                    chosen = dict.fromkeys(index % number for index in given if number)
                    processors = tuple(side.processors[index] for index in chosen)
                    side.provider._active_span_processor._span_processors = processors

        self.both(administer)

    # Spans and blocks.

    def _start(self, side, tracer, name, given):
        span = _newest(side.tracers, tracer).start_span(name, **_options(side, given))
        side.spans.append(span)
        return span

    @rule(tracer=_picks, name=values.names, given=_starts)
    def start_span(self, tracer, name, given):
        self.both(lambda side: self._start(side, tracer, name, given))

    def _enter(self, side, block):
        side.blocks.append(block)
        span = block.__enter__()
        side.spans.append(span)
        return span

    def _block(self, side, tracer, name, given):
        return _newest(side.tracers, tracer).start_as_current_span(name, **_options(side, given))

    @rule(tracer=_picks, name=values.names, given=_blocks)
    def enter_block(self, tracer, name, given):
        self.both(lambda side: self._enter(side, self._block(side, tracer, name, given)))

    @precondition(lambda self: self.left.spans)
    @rule(span=_picks, options=st.none() | _uses)
    def enter_span(self, span, options):
        def enter(side):
            block = _span(side, span)
            return self._enter(side, block if options is None else trace.use_span(block, **options))

        self.both(enter)

    @precondition(lambda self: self.left.blocks)
    @rule(number=st.just(0) | _picks, thrown=values.thrown)
    def leave_block(self, number, thrown):
        # Never in another context: what stays current then differs on purpose (test_otel_context).
        def leave(side):
            block = side.blocks.pop(-1 - number % len(side.blocks))
            error = thrown and side.throw(thrown())
            how = (type(error), error, error.__traceback__) if error else (None, None, None)
            return bool(block.__exit__(*how))

        self.both(leave)

    @rule(tracer=_picks, name=values.names, given=_blocks, thrown=values.thrown, started=_flags)
    def whole_block(self, tracer, name, given, thrown, started):
        def whole(side):
            with (
                self._start(side, tracer, name, given)
                if started
                else self._block(side, tracer, name, given)
            ) as span:
                side.spans.append(span)
                side.saw("inside", side.current(), side.see.span(span))
                span.set_attribute("inside", True)
                if thrown:
                    raise side.throw(thrown())

        if started:
            given = {key: value for key, value in given.items() if key != "end_on_exit"}
        self.both(whole)

    @rule(tracer=_picks, name=values.names, given=_decorations, thrown=values.thrown)
    def decorated_function(self, tracer, name, given, thrown):
        def call(side):
            @self._block(side, tracer, name, given)
            def traced(number, *, thrown=None):
                side.spans.append(trace.get_current_span())
                side.saw("inside", side.current())
                if thrown:
                    raise side.throw(thrown())
                return number

            facts = (traced.__name__, inspect.iscoroutinefunction(traced), traced(1))
            return (facts, traced(2, thrown=thrown))

        self.both(call)

    @rule(
        tracer=_picks,
        name=values.names,
        given=_decorations,
        thrown=values.thrown,
        ending=st.sampled_from(["inside", "thrown in", "closed"]),
    )
    def decorated_coroutine(self, tracer, name, given, thrown, ending):
        def call(side):
            @self._block(side, tracer, name, given)
            async def traced(number):
                side.spans.append(trace.get_current_span())
                await _Pause()
                side.saw("inside", side.current())
                if thrown:
                    raise side.throw(thrown())
                return number

            coroutine = traced(1)
            side.saw("called", inspect.iscoroutinefunction(traced), side.current())
            coroutine.send(None)
            side.saw("suspended", side.current())
            with _returned(side):
                if ending == "closed":
                    coroutine.close()
                elif ending == "thrown in" and thrown:
                    coroutine.throw(side.throw(thrown()))
                else:
                    coroutine.send(None)

        self.both(call)

    # Writing.

    def write(self, span: int, call: Callable[[Any, Side], object]) -> None:
        """One call on a span of each side."""
        self.both(lambda side: call(_span(side, span), side))

    @precondition(lambda self: self.left.spans)
    @rule(
        span=_picks,
        pairs=st.lists(st.tuples(values.keys, values.values), min_size=1, max_size=3),
    )
    def set_attribute(self, span, pairs):
        self.write(span, lambda span, side: [span.set_attribute(*pair) for pair in pairs])

    @precondition(lambda self: self.left.spans)
    @rule(span=_picks, attributes=values.attributes | values.attributes | st.none())
    def set_attributes(self, span, attributes):
        self.write(span, lambda span, side: span.set_attributes(attributes))

    @precondition(lambda self: self.left.spans)
    @rule(span=_picks, name=values.names, attributes=values.maybe_attributes, time=values.times)
    def add_event(self, span, name, attributes, time):
        self.write(span, lambda span, side: span.add_event(name, attributes, timestamp=time))

    @precondition(lambda self: self.left.spans)
    @rule(span=_picks, linked=_linked | st.just(("context", None)), given=values.maybe_attributes)
    def add_link(self, span, linked, given):
        self.write(span, lambda span, side: span.add_link(_span_context(side, linked), given))

    @precondition(lambda self: self.left.spans)
    @rule(span=_picks, name=values.names)
    def update_name(self, span, name):
        self.write(span, lambda span, side: span.update_name(name))

    @precondition(lambda self: self.left.spans)
    @rule(span=_picks, given=st.lists(values.status_arguments, min_size=1, max_size=3))
    def set_status(self, span, given):
        self.write(span, lambda span, side: [span.set_status(*arguments) for arguments in given])

    @precondition(lambda self: self.left.spans)
    @rule(
        span=_picks,
        make=values.errors | values.exits,
        raised=_flags,
        options=st.fixed_dictionaries(
            {},
            optional={
                "attributes": values.maybe_attributes,
                "timestamp": values.times,
                "escaped": _flags,
            },
        ),
    )
    def record_exception(self, span, make, raised, options):
        def record(span, side):
            error = side.throw(make()) if raised else make()
            span.record_exception(error, **options)

        self.write(span, record)

    @precondition(lambda self: self.left.spans)
    @rule(span=_picks, times=st.lists(values.times, max_size=1))
    def end(self, span, times):
        self.write(span, lambda span, side: span.end(*times))

    # The current context.

    @rule(given=st.none() | _contexts, number=st.just(0) | _picks, again=st.integers(0, 9))
    def switch_context(self, given, number, again):
        """Attaches a context, or detaches one, now and then twice."""

        def switch(side):
            if given is not None or not side.tokens:
                context = _context(side, given or ("empty", None))
                side.tokens.append(context_api.attach(context))
                return
            context_api.detach(_newest(side.tokens, number))
            if again < 9:
                side.tokens.pop(-1 - number % len(side.tokens))

        self.both(switch)


class _Pause:
    """Suspends a coroutine once."""

    def __await__(self) -> Iterator[None]:
        yield


@contextmanager
def _returned(side: Side) -> Iterator[None]:
    """Shows what a coroutine driven by hand returned."""
    try:
        yield
    except StopIteration as stop:
        if any(stop is thrown for thrown in side.thrown):
            raise
        side.saw("returned", stop.value)


def machine_for(
    other: Callable[..., Any],
    *,
    genuine: Callable[..., Any] = TracerProvider,
    differences: Iterable[Difference] = INTENDED,
) -> type[ProvidersMachine]:
    """The machine for a pair of providers, each called with the SDK's arguments."""
    return type(
        "ProvidersMachine",
        (ProvidersMachine,),
        {
            "genuine": staticmethod(genuine),
            "other": staticmethod(other),
            "differences": tuple(differences),
        },
    )
