"""The OpenTelemetry face where opentelemetry-api is installed and opentelemetry-sdk is not.

Each test runs in a process that cannot import the SDK, as if it were not there.
"""

import json

import pytest

from support.process import checked_python, run_python

pytest.importorskip("opentelemetry.trace")

_HIDING = """
import sys

class Hiding:
    def find_spec(self, name, path=None, target=None):
        if any(name == hidden or name.startswith(hidden + ".") for hidden in HIDDEN):
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

HIDDEN = sys.argv[1].split()
sys.meta_path.insert(0, Hiding())
"""

_PRELUDE = """
import json
import nanospan
from nanospan import MemoryExporter, tracing
from nanospan.otel import TracerProvider
from opentelemetry import trace
from opentelemetry.trace import Link, NonRecordingSpan, SpanContext, SpanKind, StatusCode
from opentelemetry.trace import TraceFlags

memory = MemoryExporter()

def show(*anything):
    print(json.dumps(anything))

"""


def without_sdk(code):
    """What a program shows where the SDK is hidden, a list for each line."""
    shown = checked_python(_HIDING + _PRELUDE + code, "opentelemetry.sdk")
    return [json.loads(line) for line in shown.splitlines()]


def test_the_sdk_is_hidden_in_these_tests():
    code = "import opentelemetry.sdk"
    completed = run_python(_HIDING + code, "opentelemetry.sdk")
    assert "No module named 'opentelemetry.sdk'" in completed.stderr


def test_install_gives_a_working_provider_for_both_faces():
    code = """
nanospan.install(service_name="shop", exporter=memory)
with trace.get_tracer("library", "1.2").start_as_current_span("a", kind=SpanKind.SERVER) as a:
    a.set_attribute("k", [1, 2])
    with tracing.start_as_current_span("b"):
        trace.get_tracer("x").start_span("c").end()
ids = {span.span_id: span.name for span in memory.spans()}
show({span.name: ids.get(span.parent_id) for span in memory.spans()})
show(memory.spans()[-1].attributes, memory.spans()[-1].kind)
show([name for name in sys.modules if name.startswith("opentelemetry.sdk")])
"""
    assert without_sdk(code) == [[{"a": None, "b": "a", "c": "b"}], [{"k": [1, 2]}, 2], [[]]]


def test_a_span_has_all_that_the_api_gives_it():
    code = """
provider = TracerProvider(exporter=memory)
tracer = provider.get_tracer("library", "1.2", "https://example.org/schema", {"team": "carts"})
link = Link(SpanContext(1, 2, True, TraceFlags(1)), {"why": "cache"})
span = tracer.start_span("x", attributes={"a": 1}, links=[link], start_time=5)
span.add_event("e", {"k": (True, False)}, 6)
span.add_link(SpanContext(3, 4, False))
try:
    raise ValueError("boom")
except ValueError as error:
    span.record_exception(error, {"more": 1}, 7)
span.set_status(StatusCode.ERROR, "why")
span.update_name("y")
show(isinstance(span, trace.Span), isinstance(tracer, trace.Tracer), span.is_recording())
show(span.name, dict(span.attributes), span.start_time, str(span.status.status_code))
show([(e.name, e.timestamp, e.dropped_attributes) for e in span.events])
show([(l.context.span_id, dict(l.attributes or {})) for l in span.links])
scope = span.instrumentation_scope
show(scope.name, scope.version, scope.schema_url, dict(scope.attributes))
span.end(9)
(sent,) = memory.spans()
show(sent.name, sent.attributes, sent.start_time_ns, sent.end_time_ns, sent.status_description)
show([(e.name, e.attributes.get("exception.message")) for e in sent.events], len(sent.links))
"""
    assert without_sdk(code) == [
        [True, True, True],
        ["y", {"a": 1}, 5, "StatusCode.ERROR"],
        [[["e", 6, 0], ["exception", 7, 0]]],
        [[[2, {"why": "cache"}], [4, {}]]],
        ["library", "1.2", "https://example.org/schema", {"team": "carts"}],
        ["y", {"a": 1}, 5, 9, "why"],
        [[["e", None], ["exception", "boom"]], 2],
    ]


def test_blocks_record_exceptions_and_decorate():
    code = """
tracer = TracerProvider(exporter=memory).get_tracer("library")

@tracer.start_as_current_span("decorated")
def decorated():
    raise KeyError("k")

try:
    decorated()
except KeyError:
    pass
(sent,) = memory.spans()
show(sent.name, sent.status_description, [event.name for event in sent.events])
"""
    assert without_sdk(code) == [["decorated", "KeyError: 'k'", ["exception"]]]


def test_an_unsampled_span_is_the_apis_non_recording_one():
    code = """
tracer = TracerProvider(exporter=memory, sampler=nanospan.AlwaysOff()).get_tracer("library")
with trace.use_span(NonRecordingSpan(SpanContext(7, 9, True, TraceFlags(1)))):
    span = tracer.start_span("x")
show(isinstance(span, NonRecordingSpan), span.is_recording(), span.get_span_context().trace_id)
span.end()
show(len(memory.spans()))
"""
    assert without_sdk(code) == [[True, False, 7], [0]]


@pytest.mark.parametrize(
    ("sampler", "kept"),
    [
        ("nanospan.AlwaysOn()", 20),
        ("nanospan.AlwaysOff()", 0),
        ("nanospan.TraceIdRatio(0.0)", 0),
        ("nanospan.ParentBased(nanospan.AlwaysOn())", 20),
    ],
)
def test_native_samplers_decide(sampler, kept):
    code = f"""
tracer = TracerProvider(exporter=memory, sampler={sampler}).get_tracer("library")
for _ in range(20):
    tracer.start_span("x").end()
show(len(memory.spans()))
"""
    assert without_sdk(code) == [[kept]]


def test_the_environment_chooses_the_sampler_and_the_limits(monkeypatch):
    monkeypatch.setenv("OTEL_TRACES_SAMPLER", "parentbased_always_off")
    monkeypatch.setenv("OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT", "2")
    code = """
tracer = TracerProvider(exporter=memory).get_tracer("library")
tracer.start_span("unsampled").end()
with trace.use_span(NonRecordingSpan(SpanContext(7, 9, True, TraceFlags(1)))):
    span = tracer.start_span("x", attributes={"a": 1, "b": 2, "c": 3})
show(len(span.attributes), span.dropped_attributes)
span.end()
show([span.name for span in memory.spans()])
"""
    assert without_sdk(code) == [[2, 1], [["x"]]]


def test_limits_may_be_given_as_nanospans():
    code = """
limits = nanospan.SpanLimits(attribute_count=1, event_count=1, link_count=0)
tracer = TracerProvider(exporter=memory, span_limits=limits).get_tracer("library")
span = tracer.start_span("x", attributes={"a": 1, "b": 2})
span.add_event("e")
span.add_event("f")
show(len(span.attributes), len(span.events), span.dropped_attributes, span.dropped_events)
span.end()
"""
    assert without_sdk(code) == [[1, 1, 1, 1]]


def test_the_resource_is_found_merged_and_sent():
    code = """
provider = TracerProvider(exporter=memory)
span = provider.get_tracer("library").start_span("x")
found = provider.resource.attributes
show(found["telemetry.sdk.name"], found["service.name"][:15], span.resource is provider.resource)
other = type(provider.resource)({"more": 1})
provider._update_resource(other)
show(provider.resource.attributes["more"], "more" in span.resource.attributes)
nanospan.install(service_name="shop", exporter=memory)
show(trace.get_tracer_provider().resource.attributes["service.name"])
"""
    expected = [["nanospan", "unknown_service", True], [1, False], ["shop"]]
    assert without_sdk(code) == expected


def test_ids_may_come_from_the_application():
    code = """
class Ids:
    def generate_trace_id(self): return 5
    def generate_span_id(self): return 6

provider = TracerProvider(exporter=memory, id_generator=Ids())
context = provider.get_tracer("x").start_span("x").get_span_context()
show(context.trace_id, context.span_id)
ours = TracerProvider(exporter=memory).id_generator
show(ours.generate_trace_id() > 0, ours.generate_span_id() > 0, ours.is_trace_id_random())
"""
    code = "import logging; logging.disable()\n" + code
    assert without_sdk(code) == [[5, 6], [True, True, True]]


def test_a_span_processor_is_refused_and_the_error_says_what_to_install():
    code = """
provider = TracerProvider(exporter=memory)
try:
    provider.add_span_processor(object())
except ImportError as error:
    show(str(error))
with provider.get_tracer("x").start_as_current_span("x"):
    pass
show(len(memory.spans()), provider.force_flush())
provider.shutdown()
"""
    expected = "span processors need opentelemetry-sdk: pip install opentelemetry-sdk"
    assert without_sdk(code) == [[expected], [1, True]]


def test_a_processor_put_in_from_outside_stops_no_span():
    code = """
import logging
logging.basicConfig(stream=sys.stdout, format="%(message)s")

class Processor:
    def on_start(self, span, parent_context=None): show("start", span.name)
    def on_end(self, span): show("never")
    def shutdown(self): pass

provider = TracerProvider(exporter=memory)
provider._active_span_processor._span_processors = (Processor(),)
with provider.get_tracer("x").start_as_current_span("x"):
    pass
show(len(memory.spans()))
"""
    shown = checked_python(_HIDING + _PRELUDE + code, "opentelemetry.sdk")
    assert shown.startswith('["start", "x"]\n')
    assert "pip install opentelemetry-sdk" in shown
    assert shown.endswith("\n[1]\n")


def test_the_provider_of_an_environment_variable_works(monkeypatch):
    monkeypatch.setenv("OTEL_PYTHON_TRACER_PROVIDER", "nanospan")
    monkeypatch.setenv("OTEL_TRACES_EXPORTER", "none")
    code = """
provider = trace.get_tracer_provider()
show(type(provider).__name__, provider.get_tracer("x").start_span("x").is_recording())
"""
    code = "import logging; logging.disable()\n" + code
    assert without_sdk(code) == [["TracerProvider", True]]


def test_baggage_and_propagation_are_the_apis_own():
    code = """
from opentelemetry import context, propagate
tracer = TracerProvider(exporter=memory).get_tracer("x")
incoming = {"traceparent": f"00-{7:032x}-{9:016x}-01", "tracestate": "v=1", "baggage": "user=1"}
token = context.attach(propagate.extract(incoming))
with tracer.start_as_current_span("x") as span:
    outgoing = {}
    propagate.inject(outgoing)
context.detach(token)
ids = outgoing["traceparent"].split("-")
show(int(ids[1], 16), int(ids[2], 16) == span.context.span_id, outgoing["tracestate"])
show(outgoing["baggage"])
"""
    assert without_sdk(code) == [[7, True, "v=1"], ["user=1"]]


# Who imports what.


def test_nanospan_itself_imports_nothing_of_opentelemetry():
    code = """
import sys
import nanospan, nanospan.testing
nanospan.configure(exporter=nanospan.MemoryExporter())
with nanospan.tracing.start_as_current_span("x"):
    pass
nanospan.shutdown()
print([name for name in sys.modules if name.startswith("opentelemetry")])
"""
    assert checked_python(code) == "[]\n"


@pytest.mark.parametrize("way", ["import nanospan.otel", "import nanospan; nanospan.install()"])
def test_without_the_api_the_error_says_what_to_install(way):
    completed = run_python(_HIDING + way, "opentelemetry")
    assert completed.returncode == 1
    last = completed.stderr.splitlines()[-1]
    expected = "ImportError: nanospan.otel needs opentelemetry-api: pip install 'nanospan[otel]'"
    assert last == expected


def test_without_the_api_the_native_face_goes_on_after_the_error():
    code = """
import nanospan
for _ in range(2):
    try:
        nanospan.install()
    except ImportError:
        pass
memory = nanospan.MemoryExporter()
nanospan.configure(exporter=memory)
with nanospan.tracing.start_as_current_span("x"):
    assert nanospan.tracing.active_span().name == "x"
print(len(memory.spans()))
"""
    assert checked_python(_HIDING + code, "opentelemetry") == "1\n"
