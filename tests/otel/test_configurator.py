"""What `opentelemetry-instrument` sets up: by variables, and by what a vendor's distro adds."""

import json
import re
from textwrap import dedent

import pytest

from support.programs import (
    OURS,
    THEIRS,
    exporters_of,
    needs_group_otel,
    run_program,
    with_plugin,
    without_other_distros,
)

needs_group_otel()

pytest_plugins = ("support.plugin",)

PROGRAM = """
from opentelemetry import trace

with trace.get_tracer("shop").start_as_current_span("GET /cart"):
    with trace.get_tracer("driver").start_as_current_span("load_cart"):
        pass
"""

# What packages may register, each printing what it is asked.
PLUGIN = """
import json, sys

from opentelemetry.sdk.resources import Resource, ResourceDetector
from opentelemetry.sdk.trace import _TracerConfig
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.id_generator import IdGenerator
from opentelemetry.sdk.trace.sampling import Decision, Sampler, SamplingResult


class PrintingExporter(SpanExporter):
    def __init__(self, mark="exported"):
        self.mark = mark

    def export(self, spans):
        for span in spans:
            print(json.dumps([self.mark, span.name, dict(span.resource.attributes)]), flush=True)
        return SpanExportResult.SUCCESS


class OnlyCarts(Sampler):
    def __init__(self, argument):
        self.argument = argument

    def should_sample(self, parent_context, trace_id, name, *args, **kwargs):
        decision = Decision.RECORD_AND_SAMPLE if self.argument in name else Decision.DROP
        return SamplingResult(decision)

    def get_description(self):
        return "OnlyCarts"


class Counting(IdGenerator):
    def __init__(self):
        self.last = 0

    def generate_span_id(self):
        self.last += 1
        return self.last

    def generate_trace_id(self):
        return 0xABC


class Detector(ResourceDetector):
    def detect(self):
        return Resource({"shop.region": "eu"})


def no_drivers(scope):
    return _TracerConfig(is_enabled=scope.name != "driver")
"""

ENTRY_POINTS = {
    "opentelemetry_traces_exporter:printing": "PrintingExporter",
    "opentelemetry_traces_sampler:only": "OnlyCarts",
    "opentelemetry_id_generator:counting": "Counting",
    "opentelemetry_resource_detector:region": "Detector",
    "_opentelemetry_tracer_configurator:no_drivers": "no_drivers",
}

NAMES = ["load_cart", "GET /cart"]


@pytest.fixture
def run(tmp_path):
    """Runs a program behind `opentelemetry-instrument`, which knows our distro and the plugin."""

    def run(code=PROGRAM, **env):
        plugin = with_plugin(tmp_path, PLUGIN, ENTRY_POINTS)["PYTHONPATH"]
        hidden = without_other_distros(tmp_path)["PYTHONPATH"]
        return run_program(tmp_path, code, {"PYTHONPATH": f"{plugin}:{hidden}", **env})

    return run


def exported(completed):
    """The mark, name and resource of each span that the plugin's exporters have printed."""
    return [json.loads(line) for line in completed.stdout.splitlines() if line.startswith("[")]


def names(completed):
    return [name for _, name, _ in exported(completed)]


def test_without_variables_traces_are_sent_by_our_exporter(run, receiver):
    run(OTEL_EXPORTER_OTLP_ENDPOINT=receiver.endpoint)
    assert sorted(span["name"] for span in receiver.spans()) == sorted(NAMES)
    assert exporters_of(receiver) == {OURS}


def test_the_resource_says_what_made_the_spans(run, receiver):
    run(
        OTEL_EXPORTER_OTLP_ENDPOINT=receiver.endpoint,
        OTEL_SERVICE_NAME="shop",
        OTEL_RESOURCE_ATTRIBUTES="team=blue%20team",
        OTEL_EXPERIMENTAL_RESOURCE_DETECTORS="region",
    )
    (resource,) = {
        json.dumps(span["resource"]): span["resource"] for span in receiver.spans()
    }.values()
    assert resource["service.name"] == "str 'shop'"
    assert resource["team"] == "str 'blue team'"
    assert resource["shop.region"] == "str 'eu'"
    assert resource["telemetry.sdk.name"] == "str 'nanospan'"
    assert resource["telemetry.auto.version"].startswith("str '0.66b")
    assert resource["process.runtime.name"] == "str 'cpython'"
    assert "service.instance.id" in resource


def test_another_exporter_is_the_one_that_a_package_registers(run):
    assert names(run(OTEL_TRACES_EXPORTER="printing")) == NAMES


def test_spans_go_to_every_exporter_that_is_named(run, receiver):
    completed = run(
        OTEL_TRACES_EXPORTER="otlp, printing", OTEL_EXPORTER_OTLP_ENDPOINT=receiver.endpoint
    )
    assert names(completed) == NAMES
    assert sorted(span["name"] for span in receiver.spans()) == sorted(NAMES)


def test_an_exporter_that_no_package_has_is_left_out(run):
    completed = run(OTEL_TRACES_EXPORTER="printing,unheard_of")
    assert names(completed) == NAMES
    assert completed.stderr == (
        "the traces exporter 'unheard_of' is ignored: no installed package has it\n"
    )


@pytest.mark.parametrize(
    "variables",
    [
        {"OTEL_TRACES_EXPORTER": "none"},
        {"OTEL_SDK_DISABLED": "true"},
        {"OTEL_TRACES_SAMPLER": "always_off"},
    ],
    ids=lambda variables: next(iter(variables)),
)
def test_nothing_is_sent_where_a_variable_forbids_it(run, receiver, variables):
    run(OTEL_EXPORTER_OTLP_ENDPOINT=receiver.endpoint, **variables)
    assert receiver.requests == []


NO_GRPC = (
    "gRPC takes opentelemetry-exporter-otlp-proto-grpc: without it, plain OTLP/HTTP is sent, "
    "for which collectors have port 4318\n"
)


def test_grpc_without_its_package_is_sent_over_http_with_a_warning(run, receiver):
    completed = run(
        OTEL_EXPORTER_OTLP_ENDPOINT=receiver.endpoint, OTEL_EXPORTER_OTLP_PROTOCOL="grpc"
    )
    assert len(receiver.spans()) == 2
    assert completed.stderr == NO_GRPC


def test_the_port_of_grpc_asks_for_grpc(run):
    code = """
        import os

        print(os.environ.get("OTEL_EXPORTER_OTLP_PROTOCOL"))
    """
    completed = run(code, OTEL_EXPORTER_OTLP_ENDPOINT="http://127.0.0.1:4317")
    assert (completed.stdout, completed.stderr) == ("None\n", NO_GRPC)
    completed = run(code, OTEL_EXPORTER_OTLP_ENDPOINT="http://127.0.0.1:4318")
    assert (completed.stdout, completed.stderr) == ("http/protobuf\n", "")


def test_a_certificate_takes_the_exporter_in_python(run, receiver):
    run(OTEL_EXPORTER_OTLP_ENDPOINT=receiver.endpoint, OTEL_EXPORTER_OTLP_CERTIFICATE="ca.pem")
    assert exporters_of(receiver) == {THEIRS}


def test_the_sampler_may_be_one_that_a_package_registers(run):
    completed = run(
        OTEL_TRACES_EXPORTER="printing",
        OTEL_TRACES_SAMPLER="only",
        OTEL_TRACES_SAMPLER_ARG="load",
    )
    assert names(completed) == ["load_cart"]


def test_the_id_generator_may_be_one_that_a_package_registers(run):
    code = """
        from opentelemetry import trace

        with trace.get_tracer("shop").start_as_current_span("GET /cart") as span:
            print(*span.get_span_context()[:2])
    """
    completed = run(code, OTEL_PYTHON_ID_GENERATOR="counting", OTEL_TRACES_EXPORTER="none")
    assert completed.stdout == f"{0xABC} 1\n"


def test_a_tracer_configurator_turns_tracers_off(run):
    completed = run(OTEL_TRACES_EXPORTER="printing", OTEL_PYTHON_TRACER_CONFIGURATOR="no_drivers")
    assert names(completed) == ["GET /cart"]


def test_propagators_stay_those_of_opentelemetry(run):
    code = """
        from opentelemetry import baggage, context, propagate, trace

        context.attach(baggage.set_baggage("user", "7"))
        with trace.get_tracer("shop").start_as_current_span("GET /cart"):
            headers = {}
            propagate.inject(headers)
            print(headers)
    """
    completed = run(code, OTEL_PROPAGATORS="baggage", OTEL_TRACES_EXPORTER="none")
    assert completed.stdout == "{'baggage': 'user=7'}\n"


def test_metrics_and_logs_are_the_sdks_and_say_that_they_come_from_the_same_instance(run):
    code = """
        import logging

        from opentelemetry import _logs, metrics, trace

        with trace.get_tracer("shop").start_as_current_span("GET /cart"):
            metrics.get_meter("shop").create_counter("carts").add(1)
            _logs.get_logger("shop").emit(body="in the cart", severity_text="INFO")
        for provider in (metrics.get_meter_provider(), _logs.get_logger_provider()):
            provider.force_flush()
            provider.shutdown()
    """
    completed = run(
        code,
        OTEL_TRACES_EXPORTER="printing",
        OTEL_METRICS_EXPORTER="console",
        OTEL_LOGS_EXPORTER="console",
    )
    ((_, _, resource),) = exported(completed)
    instances = re.findall(r'"service.instance.id": "(.*?)"', completed.stdout)
    assert set(instances) == {resource["service.instance.id"]}
    assert len(instances) >= 3
    assert '"name": "carts"' in completed.stdout
    assert '"body": "in the cart"' in completed.stdout


@pytest.mark.parametrize(
    "variables",
    [
        {"OTEL_PYTHON_DISTRO": "nanospan", "OTEL_PYTHON_CONFIGURATOR": "nanospan"},
        {"OTEL_PYTHON_DISTRO": "nanospan"},
        {
            "OTEL_PYTHON_CONFIGURATOR": "nanospan",
            "OTEL_METRICS_EXPORTER": "none",
            "OTEL_LOGS_EXPORTER": "none",
            "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf",
        },
    ],
    ids=["both", "the distro", "the configurator"],
)
def test_a_variable_chooses_ours_beside_another_distro(tmp_path, receiver, variables):
    endpoint = {"OTEL_EXPORTER_OTLP_ENDPOINT": receiver.endpoint}
    completed = run_program(tmp_path, PROGRAM, {**variables, **endpoint})
    assert {span["resource"]["telemetry.sdk.name"] for span in receiver.spans()} == {
        "str 'nanospan'"
    }
    assert completed.stderr == (
        "Configuration of configurator not loaded because nanospan is set by "
        "OTEL_PYTHON_CONFIGURATOR\n"
    )


VENDOR = """
from nanospan.otel._configurator import NanospanConfigurator
from opentelemetry import trace
from plugin import *

class VendorConfigurator(NanospanConfigurator):
    def _configure(self, **options):
        super()._configure(**options, {arguments})

{before}
VendorConfigurator().configure(auto_instrumentation_version="7")
with trace.get_tracer("shop").start_as_current_span("GET /cart"):
    with trace.get_tracer("driver").start_as_current_span("load_cart"):
        pass
{after}
trace.get_tracer_provider().shutdown()
"""


@pytest.fixture
def run_vendor(tmp_path):
    """Runs a vendor's configurator that gives ours these arguments, written in Python."""

    def run(arguments, before="", after="", **env):
        plugin = with_plugin(tmp_path, PLUGIN, ENTRY_POINTS)
        code = VENDOR.format(arguments=arguments, before=dedent(before), after=dedent(after))
        return run_program(tmp_path, code, {**plugin, **env}, before="")

    return run


def test_a_vendor_names_exporters_and_their_arguments(run_vendor):
    completed = run_vendor(
        "trace_exporter_names=['printing'],"
        "exporter_args_map={PrintingExporter: {'mark': 'vendor'}},"
        "resource_attributes={'vendor': 'acme'}",
    )
    assert [(mark, name) for mark, name, _ in exported(completed)] == [
        ("vendor", name) for name in NAMES
    ]
    resources = [resource for _, _, resource in exported(completed)]
    assert {(r["vendor"], r["telemetry.auto.version"]) for r in resources} == {("acme", "7")}


def test_a_vendors_sampler_counts_more_than_the_variable(run_vendor):
    completed = run_vendor(
        "trace_exporter_names=['printing'], sampler=OnlyCarts('GET')",
        OTEL_TRACES_SAMPLER="always_off",
    )
    assert names(completed) == ["GET /cart"]


def test_a_vendor_turns_tracers_off(run_vendor):
    completed = run_vendor("trace_exporter_names=['printing'], tracer_configurator=no_drivers")
    assert names(completed) == ["GET /cart"]


def test_a_vendor_brings_processors_of_its_own(run_vendor):
    completed = run_vendor(
        "span_processors=[Noting()], id_generator=Counting()",
        before="""
            from opentelemetry.sdk.trace import SpanProcessor

            class Noting(SpanProcessor):
                def on_end(self, span):
                    print(span.name, span.context.span_id)
        """,
    )
    assert completed.stdout == "load_cart 2\nGET /cart 1\n"


def test_a_vendors_processor_for_exporters_gets_the_exporters_in_python(run_vendor, receiver):
    completed = run_vendor(
        "export_span_processor=SimpleSpanProcessor",
        before="from opentelemetry.sdk.trace.export import SimpleSpanProcessor",
        OTEL_TRACES_EXPORTER="otlp,printing",
        OTEL_EXPORTER_OTLP_ENDPOINT=receiver.endpoint,
    )
    assert names(completed) == NAMES
    assert len(receiver.requests) == 2  # one for each span


@pytest.mark.parametrize(
    ("arguments", "exporter"),
    [
        ("'timeout': 3, 'compression': Compression.Gzip", OURS),
        ("'session': requests.Session()", THEIRS),
    ],
    ids=["that ours takes", "that only theirs takes"],
)
def test_a_vendors_arguments_for_otlp_are_kept(run_vendor, receiver, arguments, exporter):
    run_vendor(
        "exporter_args_map={OTLPSpanExporter: {"
        f"'endpoint': '{receiver.endpoint}/v1/traces', 'headers': {{'key': 'k'}}, {arguments}"
        "}}",
        before="""
            import requests
            from opentelemetry.exporter.otlp.proto.http import Compression
            from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        """,
        OTEL_TRACES_EXPORTER="otlp",
    )
    assert len(receiver.spans()) == 2
    assert [request.headers["key"] for request in receiver.requests] == ["k"]
    assert exporters_of(receiver) == {exporter}


def test_a_vendor_brings_what_is_for_metrics_and_logs(run_vendor):
    completed = run_vendor(
        "metric_exporter_names=['console'], log_exporter_names=['console'],"
        "log_record_processors=[Noting()], export_log_record_processor=SimpleLogRecordProcessor,"
        "meter_configurator=lambda scope: _MeterConfig.default(), setup_logging_handler=False",
        before="""
            from opentelemetry import _logs, metrics
            from opentelemetry.sdk._logs import LogRecordProcessor
            from opentelemetry.sdk._logs.export import SimpleLogRecordProcessor
            from opentelemetry.sdk.metrics._internal import _MeterConfig

            class Noting(LogRecordProcessor):
                def on_emit(self, record):
                    print("noted")

                def shutdown(self):
                    pass

                def force_flush(self, timeout_millis=0):
                    return True
        """,
        after="""
            metrics.get_meter("shop").create_counter("carts").add(1)
            _logs.get_logger("shop").emit(body="in the cart")
        """,
    )
    assert completed.stdout.count("noted") == 1
    assert '"name": "carts"' in completed.stdout
    assert '"body": "in the cart"' in completed.stdout


def test_traces_work_without_the_sdk_and_the_rest_is_named_in_a_warning(tmp_path, receiver):
    code = """
        import sys

        # As it is where opentelemetry-api and opentelemetry-instrumentation are installed alone.
        sys.modules["opentelemetry.sdk"] = None

        from nanospan.otel._configurator import NanospanConfigurator
        from opentelemetry import trace

        NanospanConfigurator().configure(auto_instrumentation_version="7")
        with trace.get_tracer("shop").start_as_current_span("GET /cart"):
            pass
        trace.get_tracer_provider().shutdown()
    """
    completed = run_program(
        tmp_path,
        code,
        {"OTEL_EXPORTER_OTLP_ENDPOINT": receiver.endpoint, "OTEL_METRICS_EXPORTER": "otlp"},
        before="",
    )
    (span,) = receiver.spans()
    assert span["resource"]["telemetry.auto.version"] == "str '7'"
    assert completed.stderr == (
        "without the package opentelemetry-sdk, ignored: OTEL_METRICS_EXPORTER\n"
    )
