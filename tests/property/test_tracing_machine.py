"""Tracers, namespaces, spans and their handles, driven in random order against plain objects.

The laws:

1. A span that finished arrives exactly once, with its name, ids, parent, attributes and tracer;
   a span that was released, abandoned or never linked does not arrive.
2. A finished span arrives when its local trace is handed over (the root finished, was released or
   is gone, or `flush`), not before; one that finishes after that arrives at once.
3. Attributes of a handle are its own span's, and readable until that hand-over or `release`.
4. Each namespace has its own active span. When it finishes or is released, its nearest unfinished
   ancestor of the same namespace is active; a block restores what was active before it, ended or
   not.
5. An open span that no handle, no active span and no unfinished descendant's handle leads to is
   abandoned; a draft is forgotten. Both end at once, and only the first is counted.
6. The counts of `stats()` are those of the model.
"""

import gc
from dataclasses import dataclass, field

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
)

import nanospan
from nanospan import ROOT, QueueConfig, ReleasedSpanError, _core, tracing
from support.recording import OTHER, no_active_span, recording

TRACERS = {"default": tracing, OTHER: tracing.new("other tracer", namespace=OTHER)}

namespaces = st.sampled_from(sorted(TRACERS))
picks = st.integers(0, 7)
keys = st.sampled_from("abc")
values = st.integers(0, 3) | st.none()


@dataclass(eq=False)
class Trace:
    """A local trace: the finished spans that wait, until it has ended."""

    root: "Known | None" = None
    waiting: "list[Known]" = field(default_factory=list)
    ended: bool = False


@dataclass(eq=False)
class Known:
    """What the model knows of one span."""

    namespace: str
    parent: "Known | None"
    trace: Trace
    ids: tuple
    state: str
    name: str = ""
    attributes: dict = field(default_factory=dict)
    handed_over: bool = False
    released: bool = False

    @property
    def unfinished(self):
        return self.state in ("draft", "open")

    def ancestors(self):
        known = self.parent
        while known is not None:
            yield known
            known = known.parent

    def facts(self):
        """What arrives of it."""
        return (self.name, *self.ids, self.attributes, TRACERS[self.namespace].name)


class TracingMachine(RuleBasedStateMachine):
    def __init__(self):
        super().__init__()
        self.clock = _core.ManualClock(1_000)
        patient = QueueConfig(max_coalescing_delay=3600)
        self.open_recording = recording(clock=self.clock, queue=patient)
        self.recorded = self.open_recording.__enter__()
        self.spans = []
        self.handles = {}
        self.blocks = []
        self.active = dict.fromkeys(TRACERS)

    def teardown(self):
        try:
            self.let_everything_go()
        finally:
            self.open_recording.__exit__(None, None, None)

    def let_everything_go(self):
        while self.blocks:
            self.leave_block()
        self.handles.clear()
        no_active_span()
        self.active = dict.fromkeys(TRACERS)
        gc.collect(0)
        self.note_abandoned()
        self.counts_agree()
        self.flush()

    # What the rules share.

    def pick(self, number):
        """One of the held handles, the newest first."""
        known = list(self.handles)[-1 - number % len(self.handles)]
        return known, self.handles[known]

    def parent(self, number):
        """A parent as it is given to a tracer, and as the model knows it."""
        if number < 2 or not self.handles:
            return (None, None) if number else (ROOT, None)
        known, handle = self.pick(number)
        return (handle, known) if number < 6 else (handle.context, known)

    def add(self, handle, namespace, given, parent, state, **facts):
        """Takes a new span into the model."""
        parent = self.active[namespace] if given is None else parent
        assert handle.parent_id == (parent and parent.ids[1])
        assert parent is None or handle.trace_id == parent.ids[0]
        remote = isinstance(given, nanospan.SpanContext)
        begins = parent is None or remote
        ids = (handle.trace_id, handle.span_id, handle.parent_id)
        known = Known(
            namespace,
            None if remote else parent,
            Trace() if begins else parent.trace,
            ids,
            state,
            **facts,
        )
        if begins:
            known.trace.root = known
        self.spans.append(known)
        return known

    def end(self, known, state):
        """Ends a span: hand-over and the next active span."""
        known.state = state
        if state == "finished":
            known.trace.waiting.append(known)
        if known.trace.root is known:
            known.trace.ended = True
        if known.trace.ended:
            self.hand_over(known.trace)
        self.step_up(known)

    def step_up(self, known):
        if self.active[known.namespace] is known:
            self.active[known.namespace] = self.nearest_unfinished(known.parent, known.namespace)

    def nearest_unfinished(self, known, namespace):
        lineage = [] if known is None else [known, *known.ancestors()]
        return next((a for a in lineage if a.unfinished and a.namespace == namespace), None)

    def hand_over(self, trace):
        for known in trace.waiting:
            known.handed_over = True
        trace.waiting.clear()

    def note_abandoned(self):
        """Law 5: what nothing leads to has ended."""
        roots = [*self.handles, *filter(None, self.active.values())]
        for _, known, before in self.blocks:
            roots += [known, *([before] if before else [])]
        reachable = {known for root in roots for known in (root, *root.ancestors())}
        for known in reversed(self.spans):
            if known.unfinished and known not in reachable:
                self.end(known, "abandoned" if known.state == "open" else "forgotten")

    # Making spans.

    @rule(namespace=namespaces, number=picks, attribute=values)
    def start(self, namespace, number, attribute):
        given, parent = self.parent(number)
        self.clock.tick(1)
        name = f"span {len(self.spans)}"
        attributes = {"a": attribute}
        handle = TRACERS[namespace].start_span(name, parent=given, attributes=attributes)
        kept = {} if attribute is None else attributes
        known = self.add(handle, namespace, given, parent, "open", name=name, attributes=kept)
        self.handles[known] = handle

    @rule(namespace=namespaces, number=picks)
    def draft(self, namespace, number):
        given, parent = self.parent(number)
        handle = TRACERS[namespace].create_span(parent=given)
        self.handles[self.add(handle, namespace, given, parent, "draft")] = handle

    @precondition(lambda self: self.handles)
    @rule(number=picks, attribute=values)
    def link(self, number, attribute):
        known, handle = self.pick(number)
        self.clock.tick(1)
        if known.state != "draft":
            with pytest.raises(ValueError, match="span"):
                TRACERS[known.namespace].link_span(handle, "never")
            return
        known.name, known.state = f"linked {len(self.spans)}", "open"
        TRACERS[known.namespace].link_span(handle, known.name, attributes={"b": attribute})
        self.note_write(known, "b", attribute)

    # Writing.

    def note_write(self, known, key, value):
        if not known.unfinished:
            return
        if value is None:
            known.attributes.pop(key, None)
        else:
            known.attributes[key] = value

    @precondition(lambda self: self.handles)
    @rule(number=picks, key=keys, value=values)
    def set_attribute(self, number, key, value):
        known, handle = self.pick(number)
        handle.set_attribute(key, value)
        self.note_write(known, key, value)

    # Ending.

    @precondition(lambda self: self.handles)
    @rule(number=picks)
    def finish(self, number):
        known, handle = self.pick(number)
        self.clock.tick(1)
        if known.state == "draft":
            with pytest.raises(ValueError, match="link_span"):
                handle.finish()
            return
        handle.finish()
        if known.state == "open":
            self.end(known, "finished")

    @precondition(lambda self: self.handles)
    @rule(number=picks)
    def release(self, number):
        known, handle = self.pick(number)
        handle.release()
        known.released = True
        if known.unfinished:
            self.end(known, "discarded" if known.state == "open" else "forgotten")
        self.step_up(known)

    @precondition(lambda self: self.handles)
    @rule(number=picks, collect=st.booleans())
    def drop(self, number, collect):
        known, handle = self.pick(number)
        del self.handles[known], handle
        if collect:
            gc.collect(0)
        self.note_abandoned()

    # The active span.

    @precondition(lambda self: self.handles)
    @rule(number=picks)
    def activate(self, number):
        known, handle = self.pick(number)
        if known.state == "open":
            TRACERS[known.namespace].set_active_span(handle)
            self.active[known.namespace] = known
            self.note_abandoned()

    @rule(namespace=namespaces)
    def deactivate(self, namespace):
        TRACERS[namespace].set_active_span(None)
        self.active[namespace] = None
        self.note_abandoned()

    @precondition(lambda self: len(self.blocks) < 5)
    @rule(namespace=namespaces, keep=st.booleans())
    def enter_block(self, namespace, keep):
        self.clock.tick(1)
        name = f"block {len(self.spans)}"
        block = TRACERS[namespace].start_as_current_span(name)
        handle = block.__enter__()
        known = self.add(handle, namespace, None, None, "open", name=name)
        self.blocks.append((block, known, self.active[namespace]))
        self.active[namespace] = known
        if keep:
            self.handles[known] = handle

    @precondition(lambda self: self.blocks)
    @rule()
    def leave_block(self):
        block, known, before = self.blocks.pop()
        self.clock.tick(1)
        block.__exit__(None, None, None)
        if known.unfinished:
            self.end(known, "finished")
        self.active[known.namespace] = before
        del block
        self.note_abandoned()

    # The way out.

    @rule()
    def flush(self):
        assert nanospan.flush()
        for known in self.spans:
            self.hand_over(known.trace)
        self.what_was_handed_over_has_arrived()

    @rule()
    def what_was_handed_over_has_arrived(self):
        arrived = [
            (
                span.name,
                span.trace_id,
                span.span_id,
                span.parent_id,
                span.attributes,
                span.instrumentation_scope.name,
            )
            for span in self.recorded.spans()
        ]
        expected = [known.facts() for known in self.spans if known.handed_over]
        assert sorted(arrived, key=repr) == sorted(expected, key=repr)

    @invariant()
    def active_spans_agree(self):
        for namespace, known in self.active.items():
            handle = TRACERS[namespace].active_span()
            assert (handle and handle.span_id) == (known and known.ids[1])

    @invariant()
    def handles_show_their_own_spans(self):
        for known, handle in self.handles.items():
            assert (handle.trace_id, handle.span_id, handle.parent_id) == known.ids
            assert handle.name == known.name
            assert handle.is_recording() == known.unfinished
            if known.handed_over or known.released:
                with pytest.raises(ReleasedSpanError):
                    handle.attributes  # noqa: B018
            else:
                assert handle.attributes == known.attributes

    @invariant()
    def finished_spans_wait_in_start_order(self):
        for namespace, active in self.active.items():
            waiting = active.trace.waiting if active else []
            shown = TRACERS[namespace].spans()
            assert {span.span_id for span in shown} == {known.ids[1] for known in waiting}
            starts = [span.start_time_ns for span in shown]
            assert starts == sorted(starts)

    @invariant()
    def the_root_is_shown_while_it_is_open(self):
        for namespace, active in self.active.items():
            root = TRACERS[namespace].root_span()
            if active is None or not active.trace.root.unfinished:
                assert root is None
            elif active.trace.root.state == "open":
                assert root.span_id == active.trace.root.ids[1]

    @invariant()
    def counts_agree(self):
        states = [known.state for known in self.spans]
        stats = nanospan.stats()
        assert stats["started"] == len(states)
        assert stats["finished"] == states.count("finished")
        assert stats["abandoned"] == states.count("abandoned")
        assert stats["discarded"] == states.count("discarded")
        assert stats["open_spans"] == states.count("open") + states.count("draft")
        assert set(stats["dropped"].values()) == {0}


TestTracing = TracingMachine.TestCase
TestTracing.settings = settings(stateful_step_count=40)
