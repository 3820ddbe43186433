"""nanospan's own face and OpenTelemetry's on one pipeline: one trace, whoever makes its spans."""

import os

import pytest
from opentelemetry import baggage, context, trace
from opentelemetry.sdk.trace import SpanProcessor
from opentelemetry.sdk.trace import TracerProvider as SdkTracerProvider
from opentelemetry.trace import NonRecordingSpan, StatusCode

import nanospan
from nanospan import ROOT, MemoryExporter, SpanKind, tracing
from support.otel.same import REMOTE, under
from support.process import checked_python, run_again_without_cells
from support.recording import OTHER, fresh_name
from support.recording import recording as new_recording

otel = pytest.importorskip("nanospan.otel")

pytest_plugins = ("support.plugin",)


@pytest.fixture
def provider(recording):
    """The provider over the pipeline of `recording`."""
    shared = otel.from_environment()
    yield shared
    shared._active_span_processor._span_processors = ()


@pytest.fixture
def tracer(provider):
    """A tracer of OpenTelemetry's, beside `nanospan.tracing`."""
    return provider.get_tracer("library", "1.2")


def parents(recording):
    """Of each exported span by its name: that of its parent."""
    spans = recording.spans()
    assert len({span.trace_id for span in spans}) == 1
    names = {span.span_id: span.name for span in spans}
    return {span.name: names.get(span.parent_id, span.parent_id) for span in spans}


def id_of(span):
    """The span id of either face's span, of either face's context."""
    if isinstance(span, nanospan.Span):
        return span.span_id_hex
    return trace.format_span_id(span.get_span_context().span_id)


# One trace.


def test_blocks_of_both_faces_nest_in_one_trace(recording, tracer):
    with tracer.start_as_current_span("a"):
        with tracing.start_as_current_span("b"):
            with tracer.start_as_current_span("c"):
                with tracing.start_as_current_span("d"):
                    pass
            with tracer.start_as_current_span("e"):
                pass
    assert parents(recording) == {"a": None, "b": "a", "c": "b", "d": "c", "e": "b"}


def test_spans_started_by_hand_come_under_the_current_one_of_either_face(recording, tracer):
    with tracing.start_as_current_span("root"):
        one = tracer.start_span("one")
        with trace.use_span(one, end_on_exit=True):
            two = tracing.start_span("two")
            tracing.set_active_span(two)
            tracer.start_span("three").end()
            two.finish()
            tracing.start_span("four").finish()
    expected = {"root": None, "one": "root", "two": "one", "three": "two", "four": "one"}
    assert parents(recording) == expected


def test_a_decorated_function_of_either_face_comes_under_the_other(recording, tracer):
    @tracer.start_as_current_span("inner")
    def inner():
        pass

    @tracing.start_as_current_span("outer")
    def outer():
        inner()

    outer()
    assert parents(recording) == {"outer": None, "inner": "outer"}


def test_a_context_given_by_hand_may_hold_a_native_span(recording, tracer):
    with tracing.start_as_current_span("root"):
        held = context.get_current()
    tracer.start_span("late", context=held).end()
    assert parents(recording) == {"root": None, "late": "root"}


def test_a_root_by_hand_is_one_inside_of_the_other_face_too(recording, tracer):
    with tracer.start_as_current_span("outer") as outer:
        native = tracing.start_span("native", parent=ROOT)
    with tracing.start_as_current_span("outer"):
        other = tracer.start_span("other", context=context.Context())
    assert (native.parent_id, other.parent) == (None, None)
    assert native.trace_id_hex != trace.format_trace_id(outer.get_span_context().trace_id)
    native.finish()
    other.end()


# Who is active.


def _block(tracer):
    return tracer.start_as_current_span("x")


def _native_block(tracer):
    return tracing.start_as_current_span("x")


def _use_span(tracer):
    return trace.use_span(tracer.start_span("x"), end_on_exit=True)


class _Attached:
    def __init__(self, tracer):
        self.span = tracer.start_span("x")

    def __enter__(self):
        self.token = context.attach(trace.set_span_in_context(self.span))
        return self.span

    def __exit__(self, *_):
        context.detach(self.token)
        self.span.end()


class _SetActive:
    def __init__(self, tracer):
        self.span = tracing.start_span("x")

    def __enter__(self):
        self.before = tracing.active_span()
        tracing.set_active_span(self.span)
        return self.span

    def __exit__(self, *_):
        self.span.finish()
        tracing.set_active_span(self.before)


_WAYS = {
    "start_as_current_span": _block,
    "use_span": _use_span,
    "attach": _Attached,
    "native start_as_current_span": _native_block,
    "set_active_span": _SetActive,
}


@pytest.mark.parametrize("way", _WAYS.values(), ids=_WAYS)
@pytest.mark.parametrize("around", _WAYS.values(), ids=[f"in {name}" for name in _WAYS])
def test_both_faces_see_the_same_span_current_whichever_set_it(tracer, around, way):
    with around(tracer) as outer:
        assert id_of(trace.get_current_span()) == id_of(tracing.active_span()) == id_of(outer)
        with way(tracer) as span:
            assert id_of(trace.get_current_span()) == id_of(tracing.active_span()) == id_of(span)
        assert id_of(trace.get_current_span()) == id_of(tracing.active_span()) == id_of(outer)
    assert trace.get_current_span() is trace.INVALID_SPAN
    assert tracing.active_span() is None


def test_each_face_gets_back_its_own_handle(tracer):
    with tracing.start_as_current_span("native") as native:
        assert tracing.active_span() is native
    with tracer.start_as_current_span("span") as span:
        tracing.set_active_span(tracing.active_span())
        assert trace.get_current_span() is span


def test_a_native_span_can_be_made_current_through_the_api(recording, tracer):
    with tracing.start_as_current_span("root"):
        handle = trace.get_current_span()
    with trace.use_span(handle):
        tracer.start_span("child").end()
    assert parents(recording)["child"] == "root"


def test_none_clears_what_others_made_current(tracer):
    token = context.attach(under(REMOTE))
    tracing.set_active_span(None)
    assert trace.get_current_span() is trace.INVALID_SPAN
    context.detach(token)


def test_other_namespaces_stay_apart(recording, tracer):
    other = tracing.new(fresh_name("own"), namespace=OTHER)
    with tracer.start_as_current_span("here"):
        assert other.active_span() is None
        with other.start_as_current_span("there") as there:
            assert there.parent_id is None
            assert trace.get_current_span().name == tracing.active_span().name == "here"
            tracer.start_span("child").end()
    assert recording.one("child").parent_id == recording.one("here").span_id


def test_no_span_of_opentelemetrys_becomes_active_in_another_namespace(tracer):
    with tracer.start_as_current_span("x"):
        with pytest.raises(ValueError, match="namespace"):
            tracing.new(fresh_name("own"), namespace=OTHER).set_active_span(tracing.active_span())


# What came from elsewhere.


def test_a_native_span_continues_a_remote_trace(recording):
    token = context.attach(under(REMOTE))
    assert tracing.active_span() is None
    with tracing.start_as_current_span("request", kind=SpanKind.SERVER) as span:
        seen = trace.get_current_span().parent
    context.detach(token)
    exported = recording.one("request")
    assert (span.trace_id, span.parent_id) == ((7).to_bytes(16, "big"), (9).to_bytes(8, "big"))
    assert exported.context.trace_state == span.context.trace_state == "vendor=1"
    assert (seen.trace_id, seen.span_id, seen.is_remote) == (7, 9, True)


def test_a_native_span_is_a_child_of_another_librarys(recording):
    theirs = SdkTracerProvider(shutdown_on_exit=False).get_tracer("theirs")
    with theirs.start_as_current_span("outer") as outer:
        with tracing.start_as_current_span("inner"):
            pass
        assert trace.get_current_span() is outer
    assert recording.one("inner").parent_id.hex() == id_of(outer)


def test_a_native_span_under_an_invalid_one_begins_a_trace(recording):
    with trace.use_span(NonRecordingSpan(trace.INVALID_SPAN_CONTEXT)):
        tracing.start_span("x").finish()
    assert recording.one("x").parent_id is None


# Baggage and all else that the Context carries.


@pytest.mark.parametrize("way", _WAYS.values(), ids=_WAYS)
def test_baggage_survives_blocks_and_is_there_inside_of_them(tracer, way):
    token = context.attach(baggage.set_baggage("user", "1"))
    with way(tracer):
        assert baggage.get_baggage("user") == "1"
        with way(tracer):
            assert baggage.get_baggage("user") == "1"
    assert baggage.get_baggage("user") == "1"
    context.detach(token)
    assert baggage.get_baggage("user") is None


@pytest.mark.parametrize(
    "held", [None, "before"], ids=["in an empty Context", "beside other baggage"]
)
@pytest.mark.parametrize("way", list(_WAYS.values())[:4], ids=list(_WAYS)[:4])
def test_what_is_attached_in_a_block_and_never_detached_ends_with_it(tracer, way, held):
    context.attach(baggage.set_baggage("held", held) if held else context.Context())
    with tracer.start_as_current_span("outer") as outer:
        with way(tracer) as inner:
            context.attach(baggage.set_baggage("user", "1"))
            assert id_of(trace.get_current_span()) == id_of(inner)
        assert trace.get_current_span() is outer
        assert baggage.get_all() == ({"held": held} if held else {})
    assert baggage.get_all() == ({"held": held} if held else {})
    assert tracing.active_span() is None


def test_a_context_that_somebody_holds_never_changes(tracer):
    held = [context.get_current()]
    with tracer.start_as_current_span("a"):
        held.append(context.get_current())
        with tracing.start_as_current_span("b"):
            held.append(context.get_current())
        with tracer.start_as_current_span("c"):
            pass
    names = [getattr(trace.get_current_span(each), "name", None) for each in held]
    assert names == [None, "a", "b"]


# One span, two handles.


def test_what_one_handle_writes_the_other_reads(recording, tracer):
    with tracer.start_as_current_span("x", attributes={"a": 1}) as span:
        native = tracing.active_span()
        native.set_attribute("b", 2)
        native.add_event("e")
        native.set_status(StatusCode.ERROR.value, "why")
        assert (dict(span.attributes), span.status.description) == ({"a": 1, "b": 2}, "why")
        span.set_attribute("c", 3)
        span.update_name("renamed")
        assert (native.attributes, native.name) == ({"a": 1, "b": 2, "c": 3}, "renamed")
    exported = recording.one("renamed")
    assert (exported.attributes, len(exported.events)) == ({"a": 1, "b": 2, "c": 3}, 1)


def test_a_span_finished_by_its_native_handle_has_ended(recording, tracer):
    with tracing.start_as_current_span("root"):
        span = tracer.start_span("x")
        with trace.use_span(span):
            tracing.active_span().finish()
            assert not span.is_recording()
            assert span.end_time is not None
            assert trace.get_current_span().name == "root"
        assert trace.get_current_span().name == "root"
    assert recording.names() == ["root", "x"]


def test_a_native_span_ended_through_the_api_has_finished(recording):
    with tracing.start_as_current_span("x") as native:
        trace.get_current_span().end(native.start_time_ns + 5)
        assert not native.is_recording()
    assert recording.one("x").end_time_ns == native.start_time_ns + 5


def test_a_span_that_is_released_is_not_exported(recording, tracer):
    with tracing.start_as_current_span("root"):
        span = tracer.start_span("x")
        with trace.use_span(span):
            tracing.active_span().release()
        span.set_attribute("late", 1)
        assert not span.is_recording()
    assert recording.names() == ["root"]
    assert nanospan.stats()["discarded"] == 1


def test_the_trace_is_seen_whole_through_the_native_face(tracer):
    with tracer.start_as_current_span("root"):
        with tracing.start_as_current_span("native"):
            tracer.start_span("done").end()
            assert tracing.root_span().name == "root"
            assert [span.name for span in tracing.spans()] == ["done"]


# The sampler.


def test_one_decision_holds_for_both_faces():
    with new_recording(sampling_rate=0.0) as recorded:
        tracer = otel.from_environment().get_tracer("library")
        with tracer.start_as_current_span("root") as root:
            with tracing.start_as_current_span("native") as native:
                assert (root.is_recording(), native.is_recording()) == (False, False)
                assert isinstance(trace.get_current_span(), NonRecordingSpan)
        with tracing.start_as_current_span("forced", should_sample=True):
            tracer.start_span("child").end()
        assert recorded.names() == ["child", "forced"]


def test_a_late_decision_by_the_native_face_keeps_spans_of_the_other():
    with new_recording(sampling_rate=0.0, late_sampling=True) as recorded:
        tracer = otel.from_environment().get_tracer("library")
        with tracer.start_as_current_span("dropped") as span:
            assert span.is_recording()
        with tracer.start_as_current_span("root"):
            tracer.start_span("before").end()
            assert tracing.set_should_sample(True)
        assert recorded.names() == ["before", "root"]


def test_a_late_no_drops_spans_of_both_faces():
    with new_recording(late_sampling=True) as recorded:
        tracer = otel.from_environment().get_tracer("library")
        with tracing.start_as_current_span("root"):
            tracer.start_span("child").end()
            tracing.set_should_sample(False)
        assert recorded.spans() == ()


# Processors in Python.


class Watching(SpanProcessor):
    """Writes down who started and ended, and changes what it is given."""

    def __init__(self):
        self.told = []

    def on_start(self, span, parent_context=None):
        self.told.append(("start", span.name))
        span.set_attribute("started", True)

    def _on_ending(self, span):
        self.told.append(("ending", span.name))

    def on_end(self, span):
        self.told.append(("end", span.name))
        span._attributes = {**span._attributes, "card": "****"}
        span._name += "!"


def test_processors_are_told_of_native_spans_too_and_what_they_change_is_sent(recording, provider):
    watching = Watching()
    provider.add_span_processor(watching)
    with provider.get_tracer("x").start_as_current_span("root"):
        with tracing.start_as_current_span("native", attributes={"card": "4111"}):
            pass
    assert watching.told == [
        *[("start", "root"), ("start", "native")],
        *[("ending", "native"), ("end", "native"), ("ending", "root"), ("end", "root")],
    ]
    assert recording.one("native!").attributes == {"card": "****", "started": True}
    assert parents(recording) == {"root!": None, "native!": "root!"}


def test_a_native_span_tells_processors_what_the_apis_does(provider):
    ended = []

    class Keeping(SpanProcessor):
        def on_end(self, span):
            ended.append(span)

    provider.add_span_processor(Keeping())
    root = provider.get_tracer("x").start_span("root")
    link = nanospan.SpanContext(b"t" * 16, b"s" * 8)
    with trace.use_span(root, end_on_exit=True):
        span = tracing.start_span("native", kind=SpanKind.CLIENT, links=[link], start_time_ns=5)
        span.add_event("e", {"k": 1}, time_ns=6)
        span.set_status(2, "why")
        span.finish(9)
    (native, _) = ended
    assert (native.start_time, native.end_time, native.kind) == (5, 9, trace.SpanKind.CLIENT)
    assert native.parent.span_id == root.get_span_context().span_id
    assert (native.status.status_code, native.status.description) == (StatusCode.ERROR, "why")
    assert [(e.name, e.timestamp, dict(e.attributes)) for e in native.events] == [
        ("e", 6, {"k": 1})
    ]
    assert [one.context.span_id for one in native.links] == [int.from_bytes(b"s" * 8, "big")]
    assert native.instrumentation_scope.name == "nanospan"
    assert native.resource is provider.resource


def test_a_processor_hears_nothing_of_spans_that_nobody_records_or_that_are_released(provider):
    watching = Watching()
    provider.add_span_processor(watching)
    tracing.start_span("unsampled", should_sample=False).finish()
    tracing.start_span("released").release()
    assert watching.told == [("start", "released")]


@pytest.mark.parametrize("method", ["on_start", "_on_ending", "on_end"])
def test_a_processor_that_raises_harms_no_native_span(recording, provider, method):
    def fail(*_, **__):
        raise ZeroDivisionError(method)

    failing = SpanProcessor()
    setattr(failing, method, fail)
    watching = Watching()
    provider.add_span_processor(failing)
    provider.add_span_processor(watching)
    with tracing.start_as_current_span("x"):
        pass
    assert watching.told == [("start", "x"), ("ending", "x"), ("end", "x")]
    assert recording.names() == ["x!"]


def test_processors_that_raise_when_they_are_shut_down_or_flushed_stop_nobody(recording, provider):
    done = []

    class Failing(SpanProcessor):
        def shutdown(self):
            raise ZeroDivisionError

        def force_flush(self, timeout_millis=0):
            raise ZeroDivisionError

    class Working(SpanProcessor):
        def shutdown(self):
            done.append("shutdown")

        def force_flush(self, timeout_millis=0):
            done.append("force_flush")
            return True

    provider.add_span_processor(Failing())
    provider.add_span_processor(Working())
    assert provider.force_flush() is False
    provider.shutdown()
    assert done == ["force_flush", "shutdown"]


# Configured again.


def test_after_shutdown_both_faces_rest_until_the_next_configure():
    with new_recording() as first:
        tracer = otel.from_environment().get_tracer("library")
        open_span = tracer.start_span("open")
        tracer.start_span("first").end()
        assert first.names() == ["first"]
    resting = tracer.start_span("resting")
    assert (resting.is_recording(), tracing.start_span("x").is_recording()) == (False, False)
    with new_recording() as second:
        open_span.set_attribute("k", 1)
        open_span.end()
        with tracer.start_as_current_span("second"):
            tracing.start_span("native").finish()
        assert second.names() == ["native", "second"]


def test_where_nothing_is_configured_the_ids_of_the_current_span_travel_on():
    with new_recording():
        tracer = otel.from_environment().get_tracer("library")
    with trace.use_span(NonRecordingSpan(REMOTE)):
        assert tracer.start_span("x").get_span_context() is REMOTE


def test_the_resource_is_that_of_the_pipeline_a_span_began_in():
    shared = otel.from_environment()
    nanospan.configure(service_name="first", exporter=MemoryExporter())
    span = shared.get_tracer("library").start_span("x")
    nanospan.configure(service_name="second", exporter=MemoryExporter())
    assert span.resource.attributes["service.name"] == "first"
    assert shared.resource.attributes["service.name"] == "second"
    assert shared.get_tracer("library").start_span("y").resource is shared.resource
    nanospan.shutdown()
    assert shared.resource.attributes["service.name"] == "second"


# Put in place: each in a process of its own, for OpenTelemetry takes one provider only.

_PRELUDE = """
import os, sys
import nanospan
from nanospan import FileExporter, MemoryExporter, tracing
from opentelemetry import trace

memory = MemoryExporter()

def names(exporter=memory):
    print(*sorted(span.name for span in exporter.spans()))

"""


def run(code, *arguments):
    """What a program prints that begins with the prelude."""
    return checked_python(_PRELUDE + code, *arguments)


def test_tracers_and_decorated_functions_from_before_are_live_after_install():
    code = """
tracer = trace.get_tracer("early")

@tracer.start_as_current_span("decorated")
def decorated():
    return trace.get_current_span().is_recording()

assert not decorated()
nanospan.install(exporter=memory)
assert decorated()
with tracer.start_as_current_span("block"):
    tracer.start_span("by hand").end()
names()
"""
    assert run(code) == "block by hand decorated\n"


def test_a_native_span_that_is_active_when_it_is_installed_stays_so():
    code = """
nanospan.configure(exporter=memory)
with tracing.start_as_current_span("root") as root:
    with tracing.start_as_current_span("before"):
        nanospan.install()
        assert trace.get_current_span().name == tracing.active_span().name == "before"
        trace.get_tracer("x").start_span("child").end()
    assert trace.get_current_span().name == tracing.active_span().name == "root"
    assert tracing.active_span() is root
assert tracing.active_span() is None and trace.get_current_span() is trace.INVALID_SPAN
print({span.name: span.parent_id for span in memory.spans()}["child"] is not None)
names()
"""
    assert run(code) == "True\nbefore child root\n"


def test_install_may_be_called_again_and_gives_the_same_provider():
    code = """
first = nanospan.install(service_name="one", exporter=memory)
assert nanospan.install() is first is trace.get_tracer_provider()
tracer = trace.get_tracer("x")
tracer.start_span("before").end()
other = MemoryExporter()
assert nanospan.install(service_name="two", exporter=other) is first
tracer.start_span("after").end()
names()
names(other)
print(first.resource.attributes["service.name"])
nanospan.shutdown()
assert nanospan.install(exporter=memory) is first
tracer.start_span("again").end()
names()
"""
    assert run(code) == "before\nafter\ntwo\nagain before\n"


def test_where_another_provider_is_in_place_a_warning_says_so_and_it_stays():
    code = """
import logging
logging.basicConfig(stream=sys.stdout, format="%(levelname)s %(message)s")
from opentelemetry.sdk.trace import TracerProvider
theirs = TracerProvider(shutdown_on_exit=False)
trace.set_tracer_provider(theirs)
ours = nanospan.install(exporter=memory)
assert trace.get_tracer_provider() is theirs
with trace.get_tracer("x").start_as_current_span("theirs"):
    ours.get_tracer("x").start_span("ours").end()
names()
"""
    assert run(code) == "WARNING Overriding of current TracerProvider is not allowed\nours\n"


def test_a_disabled_sdk_disables_both_faces_and_lets_contexts_travel(monkeypatch):
    monkeypatch.setenv("OTEL_SDK_DISABLED", "true")
    code = """
nanospan.install(exporter=memory)
tracer = trace.get_tracer("x")
parent = trace.NonRecordingSpan(trace.SpanContext(7, 9, True, trace.TraceFlags(1)))
with trace.use_span(parent):
    with tracer.start_as_current_span("a") as a, tracing.start_as_current_span("b") as b:
        current = trace.get_current_span().get_span_context()
        print(a.is_recording(), b.is_recording(), current.span_id)
names()
"""
    assert run(code) == "False False 9\n\n"


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_a_forked_child_continues_the_trace_with_both_faces(tmp_path):
    code = """
import warnings
warnings.simplefilter("ignore", DeprecationWarning)  # Python's own, about threads and fork
nanospan.install(exporter=FileExporter(sys.argv[1]))
tracer = trace.get_tracer("x")
with tracer.start_as_current_span("root") as root:
    if pid := os.fork():
        assert os.waitpid(pid, 0)[1] == 0
        assert root.is_recording()
    else:
        assert not root.is_recording() and trace.get_current_span() is root
        with tracing.start_as_current_span("native") as native:
            assert native.parent_id == root.get_span_context().span_id.to_bytes(8, "big")
            tracer.start_span("span").end()
        root.set_attribute("child", 1)
        root.end()
        ours = tracer.start_span("y").resource.attributes
        assert ours["process.pid"] == os.getpid(), ours
        nanospan.flush()
        sys.stdout.flush()
        os._exit(0)
"""
    path = tmp_path / "traces"
    completed = _PRELUDE + "import logging; logging.disable()\n" + code
    checked_python(completed, path)
    names = [line.count('"name":"root"') for line in path.read_text().splitlines()]
    assert sum(names) == 1
    text = path.read_text()
    assert text.count('"name":"native"') == text.count('"name":"span"') == 1


def test_a_span_that_is_open_at_the_end_of_the_program_does_no_harm():
    code = """
nanospan.install(exporter=FileExporter(os.devnull))
block = trace.get_tracer("x").start_as_current_span("open")
span = block.__enter__()
native = tracing.start_as_current_span("native")
native.__enter__()
span.me = span
print("done")
"""
    assert run("import logging; logging.disable()\n" + code) == "done\n"


def test_all_of_this_holds_where_contexts_cannot_be_told_apart():
    if os.environ.get("NANOSPAN_NO_CELLS"):
        pytest.skip("that is here")
    run_again_without_cells(__file__)
