"""`attach`, `use_span` and blocks that end in another context than they began in.

The laws, with Contexts attached and blocks entered in several contexts, in random order:

1. In each context that is current which came last of what has not ended, wherever it ended, and
   whether or not code ran in the context meanwhile.
2. What came later is never lost to what ends below it.
3. Nothing is said in the log, and nothing is left in the end.
"""

import asyncio
import contextvars
import gc
import os
import threading
import weakref
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule, run_state_machine_as_test
from opentelemetry import context, trace

import nanospan
from nanospan import tracing
from support.process import checked_python, run_again_without_cells

otel = pytest.importorskip("nanospan.otel")

pytest_plugins = ("support.plugin",)


@pytest.fixture
def tracer(recording):
    return otel.from_environment().get_tracer("library")


@pytest.fixture(autouse=True)
def _nothing_is_said(caplog):
    yield
    said = [record.getMessage() for record in caplog.get_records("call")]
    assert [each for each in said if "was never finished" not in each] == []


def current():
    """The name of the current span, as the API sees it."""
    return getattr(trace.get_current_span(), "name", None)


def elsewhere(work, *arguments):
    """Calls in another context, while this one runs."""
    return contextvars.Context().run(work, *arguments)


def attached(span):
    return context.attach(trace.set_span_in_context(span))


# Where code runs all the while.


def test_a_context_detached_elsewhere_is_not_current_any_more(tracer):
    with tracer.start_as_current_span("outer"):
        token = attached(tracer.start_span("inner"))
        elsewhere(context.detach, token)
        assert current() == "outer"


def test_the_first_who_asks_may_be_the_next_span(recording, tracer):
    with tracer.start_as_current_span("outer") as outer:
        elsewhere(context.detach, attached(tracer.start_span("inner")))
        assert tracer.start_span("next").parent.span_id == outer.get_span_context().span_id


def test_the_first_who_asks_may_be_the_native_face(tracer):
    with tracing.start_as_current_span("outer"):
        elsewhere(context.detach, attached(tracer.start_span("inner")))
        assert tracing.active_span().name == "outer"


def test_the_first_who_asks_may_be_a_block_with_a_parent_of_its_own(tracer):
    with tracer.start_as_current_span("outer"):
        elsewhere(context.detach, attached(tracer.start_span("inner")))
        with tracing.start_as_current_span("new trace", parent=nanospan.ROOT):
            pass
        assert current() == "outer"


def test_the_first_who_asks_may_attach_something_himself(tracer):
    with tracer.start_as_current_span("outer"):
        elsewhere(context.detach, attached(tracer.start_span("inner")))
        token = context.attach(context.Context())
        context.detach(token)
        assert current() == "outer"


def test_a_context_without_a_span_is_detached_elsewhere_too():
    token = context.attach(context.set_value("key", "value"))
    elsewhere(context.detach, token)
    assert context.get_value("key") is None


def test_what_was_attached_later_stays_until_it_is_detached(tracer):
    with tracer.start_as_current_span("outer"):
        first = attached(tracer.start_span("first"))
        second = attached(tracer.start_span("second"))
        elsewhere(context.detach, first)
        assert current() == "second"
        context.detach(second)
        assert current() == "outer"


def test_baggage_attached_later_stays_until_it_is_detached(tracer):
    first = attached(tracer.start_span("first"))
    second = context.attach(context.set_value("key", "value"))
    elsewhere(context.detach, first)
    assert context.get_value("key") == "value"
    context.detach(second)
    assert (context.get_value("key"), current()) == (None, None)


@pytest.mark.parametrize("is_held", [True, False])
def test_a_block_that_began_later_goes_on(tracer, is_held):
    with tracer.start_as_current_span("outer"):
        made = trace.set_span_in_context(tracer.start_span("first"))
        held = [made] * is_held
        token = context.attach(made)
        del made
        with tracer.start_as_current_span("block"):
            elsewhere(context.detach, token)
            assert current() == "block"
        assert current() == "outer"
    assert len(held) == is_held


@pytest.mark.parametrize("is_held", [True, False])
def test_a_block_that_ended_before_changes_nothing(tracer, is_held):
    with tracer.start_as_current_span("outer"):
        made = trace.set_span_in_context(tracer.start_span("first"))
        held = [made] * is_held
        token = context.attach(made)
        del made
        with tracer.start_as_current_span("block"):
            contextvars.copy_context()
        elsewhere(context.detach, token)
        assert current() == "outer"
    assert len(held) == is_held


def test_one_context_attached_twice_is_detached_twice(tracer):
    both = trace.set_span_in_context(tracer.start_span("both"))
    first, second = context.attach(both), context.attach(both)
    elsewhere(context.detach, first)
    assert current() == "both"
    context.detach(second)
    assert current() is None


def test_a_context_may_be_attached_again_after_it_was_detached_elsewhere(tracer):
    again = trace.set_span_in_context(tracer.start_span("again"))
    elsewhere(context.detach, context.attach(again))
    token = context.attach(again)
    assert current() == "again"
    context.detach(token)
    assert current() is None


def test_a_context_is_detached_once_elsewhere_and_once_here(tracer):
    with tracer.start_as_current_span("outer"):
        token = attached(tracer.start_span("inner"))
        elsewhere(context.detach, token)
        elsewhere(context.detach, token)
        context.detach(token)
        assert current() == "outer"


def test_use_span_in_a_generator_that_the_collector_closes_elsewhere(tracer):
    def work():
        with trace.use_span(tracer.start_span("inner"), end_on_exit=True):
            yield

    def collected():
        generator = work()
        next(generator)
        cycle = [generator]
        cycle.append(cycle)

    with tracer.start_as_current_span("outer"):
        gc.disable()
        collected()
        gc.enable()
        elsewhere(gc.collect)
        assert current() == "outer"


def test_use_span_in_an_async_generator_that_another_task_closes_inside_of_this_one(tracer):
    async def work():
        with trace.use_span(tracer.start_span("inner"), end_on_exit=True):
            yield

    async def main():
        with tracer.start_as_current_span("outer"):
            generator = work()
            await generator.__anext__()
            closing = generator.aclose()
            with pytest.raises(StopIteration):
                elsewhere(closing.send, None)
            assert current() == "outer"

    asyncio.run(main())


def test_a_span_attached_here_and_detached_by_a_thread(tracer):
    with tracer.start_as_current_span("outer"), ThreadPoolExecutor(1) as pool:
        token = attached(tracer.start_span("inner"))
        pool.submit(context.detach, token).result()
        assert current() == "outer"


def test_a_span_attached_by_a_thread_that_runs_on_and_detached_here(tracer):
    is_attached, is_detached = threading.Event(), threading.Event()
    tokens, seen = [], []

    def work():
        tokens.append(attached(tracer.start_span("inner")))
        seen.append(current())
        is_attached.set()
        is_detached.wait(10)
        seen.append(current())

    thread = threading.Thread(target=work)
    thread.start()
    is_attached.wait(10)
    context.detach(tokens[0])
    is_detached.set()
    thread.join()
    assert seen == ["inner", None]


def test_a_wrong_token_is_still_said_in_the_log(caplog):
    other = contextvars.ContextVar("other")
    context.detach(other.set("value"))
    assert [record.levelname for record in caplog.records] == ["ERROR"]
    caplog.clear()


# What waits.


def test_contexts_that_nobody_has_any_more_are_let_go(tracer):
    class Value:
        pass

    def run(value):
        context.attach(context.set_value("value", value))
        elsewhere(context.detach, attached(span))
        # Never asked what is current, so that nobody makes up for it.

    value, span = Value(), tracer.start_span("x")
    gone = weakref.ref(value)
    contextvars.Context().run(run, value)
    del value
    current()
    assert gone() is None


def test_no_more_than_64_wait():
    code = """
        import contextvars
        import nanospan.otel
        from opentelemetry import context

        tokens = [context.attach(context.set_value("number", number)) for number in range(100)]
        for token in tokens[:-1]:
            contextvars.Context().run(context.detach, token)
        context.detach(tokens[-1])
        print(context.get_value("number"), nanospan.stats()["lost_detachments"])
    """
    assert checked_python(code).split() == ["34", "35"]


def test_the_api_reads_its_variable_directly_while_nothing_waits():
    code = """
        import contextvars
        import nanospan.otel
        from opentelemetry import context

        def is_direct():
            return context._RUNTIME_CONTEXT.get_current == variable.get

        def run():
            token = context.attach(context.set_value("key", "value"))
            print(is_direct())
            contextvars.Context().run(context.detach, token)
            print(is_direct())
            print(context.get_value("key"), is_direct())

        variable = context._RUNTIME_CONTEXT._current_context
        contextvars.Context().run(run)
    """
    assert checked_python(code).split() == ["True", "False", "None", "True"]


# In random order.


@dataclass(eq=False)
class Came:
    """What was attached or entered: how it is ended, and what is current by it."""

    end: Any
    view: tuple
    is_block: bool
    ended: bool = False


class DetachMachine(RuleBasedStateMachine):
    tracer: Any

    def __init__(self):
        super().__init__()
        self.contexts = [contextvars.Context() for _ in range(3)]
        self.came: list[list[Came]] = [[], [], []]
        self.copies: list[contextvars.Context] = []
        self.number = 0

    def view(self, index):
        """What is current; what has ended at the end of the list is gone for good."""
        came = self.came[index]
        while came and came[-1].ended:
            came.pop()
        return came[-1].view if came else (None, None)

    def name(self):
        self.number += 1
        return f"span {self.number}"

    indices = st.integers(0, 2)

    @rule(index=indices, value=st.booleans(), held=st.booleans())
    def attach(self, index, value, held):
        name = self.name()

        def work():
            made = trace.set_span_in_context(self.tracer.start_span(name))
            made = context.set_value("value", name, made) if value else made
            token = context.attach(made)
            return token, [made] * held

        before = self.view(index)
        token, kept = self.contexts[index].run(work)
        view = (name, name if value else before[1])
        self.came[index].append(Came(lambda: (context.detach(token), kept), view, False))

    @rule(index=indices)
    def attach_a_value(self, index):
        if any(came.is_block for came in self.came[index]):
            return  # A block takes with it what else came into the Context of its span.
        name = self.name()
        work = lambda: context.attach(context.set_value("value", name))  # noqa: E731
        before = self.view(index)
        token = self.contexts[index].run(work)
        self.came[index].append(Came(lambda: context.detach(token), (before[0], name), False))

    @rule(index=indices, face=st.sampled_from(["ours", "native", "use_span"]))
    def enter(self, index, face):
        name = self.name()
        block = {
            "ours": lambda: self.tracer.start_as_current_span(name),
            "native": lambda: tracing.start_as_current_span(name),
            "use_span": lambda: trace.use_span(self.tracer.start_span(name), end_on_exit=True),
        }[face]()
        before = self.view(index)
        self.contexts[index].run(block.__enter__)
        end = lambda: block.__exit__(None, None, None)  # noqa: E731
        self.came[index].append(Came(end, (name, before[1]), face != "use_span"))

    @rule(index=indices)
    def end_the_last_at_home(self, index):
        self.view(index)
        if self.came[index]:
            came = self.came[index][-1]
            self.contexts[index].run(came.end)
            came.ended = True

    @rule(index=indices, pick=st.integers(0, 5), runs=st.booleans())
    def end_one_elsewhere(self, index, pick, runs):
        open_ones = [came for came in self.came[index] if not came.ended]
        if not open_ones:
            return
        came = open_ones[pick % len(open_ones)]
        other = self.contexts[(index + 1) % 3]
        if runs:
            self.contexts[index].run(other.run, came.end)
        else:
            other.run(came.end)
        came.ended = True

    @rule(index=indices)
    def copy(self, index):
        self.copies.append(self.contexts[index].run(contextvars.copy_context))

    @precondition(lambda self: any(self.came))
    @rule(index=indices, native=st.booleans())
    def ask(self, index, native):
        def work():
            active = tracing.active_span() if native else None
            return active and active.name, current(), context.get_value("value")

        by_native, *seen = self.contexts[index].run(work)
        assert tuple(seen) == self.view(index)
        assert by_native == (seen[0] if native else None)

    def teardown(self):
        for index, came in enumerate(self.came):
            for each in reversed(came):
                if not each.ended:
                    self.contexts[index].run(each.end)
            self.came[index] = []
            self.ask(index, False)


def test_what_is_current_is_what_came_last_of_what_has_not_ended(tracer):
    DetachMachine.tracer = tracer
    run_state_machine_as_test(DetachMachine, settings=settings(stateful_step_count=30))


def test_all_of_this_holds_where_contexts_cannot_be_told_apart():
    if os.environ.get("NANOSPAN_NO_CELLS"):
        pytest.skip("that is here")
    run_again_without_cells(__file__)
