"""`OTEL_CONFIG_FILE`: the file of OpenTelemetry's declarative configuration."""

import json

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

with trace.get_tracer("shop").start_as_current_span("GET /cart") as span:
    span.set_attributes({"a": "long text", "b": 2, "c": 3})
    with trace.get_tracer("driver").start_as_current_span("load_cart"):
        pass
"""

PLUGIN = """
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF


class PrintingExporter(SpanExporter):
    def __init__(self, mark):
        self.mark = mark

    def export(self, spans):
        for span in spans:
            print(self.mark, span.name, flush=True)
        return SpanExportResult.SUCCESS


def never():
    return ALWAYS_OFF
"""

PRINTING = """
file_format: "1.0"
tracer_provider:
  processors:
    - simple:
        exporter:
          printing: {mark: printed}
"""

ENTRY_POINTS = {
    "opentelemetry_traces_exporter:printing": "PrintingExporter",
    "opentelemetry_sampler:never": "never",
}


@pytest.fixture
def run(tmp_path):
    """Runs the program behind `opentelemetry-instrument`, as a file with these sections says."""

    def run(text, *, code=PROGRAM, suffix="yaml", **env):
        file = tmp_path / f"otel.{suffix}"
        file.write_text(text)
        plugin = with_plugin(tmp_path, PLUGIN, ENTRY_POINTS)["PYTHONPATH"]
        hidden = without_other_distros(tmp_path)["PYTHONPATH"]
        path = {"PYTHONPATH": f"{plugin}:{hidden}", "OTEL_CONFIG_FILE": str(file)}
        return run_program(tmp_path, code, {**path, **env})

    return run


def test_the_file_says_where_traces_go_and_what_made_them(run, receiver):
    run(
        """
file_format: "1.0"
resource:
  attributes:
    - {name: service.name, value: shop}
    - {name: shop.shelves, value: 7, type: int}
tracer_provider:
  processors:
    - batch:
        schedule_delay: 100
        export_timeout: 5000
        exporter:
          otlp_http:
            endpoint: ${ENDPOINT}/v1/traces
            compression: gzip
            timeout: 3000
            headers_list: key=k%20k,other=o
            headers:
              - {name: other, value: counts more}
""",
        ENDPOINT=receiver.endpoint,
        OTEL_SERVICE_NAME="variables do not count",
        OTEL_TRACES_SAMPLER="always_off",
    )
    spans = receiver.spans()
    assert sorted(span["name"] for span in spans) == ["GET /cart", "load_cart"]
    assert {span["resource"]["service.name"] for span in spans} == {"str 'shop'"}
    assert {span["resource"]["shop.shelves"] for span in spans} == {"int 7"}
    assert {span["resource"]["telemetry.sdk.name"] for span in spans} == {"str 'nanospan'"}
    headers = receiver.requests[0].headers
    assert (headers["key"], headers["other"]) == ("k k", "counts more")
    assert headers["content-encoding"] == "gzip"
    assert exporters_of(receiver) == {OURS}


def test_the_file_may_be_json(run, receiver):
    exporter = {"otlp_http": {"endpoint": f"{receiver.endpoint}/v1/traces"}}
    section = {"processors": [{"simple": {"exporter": exporter}}]}
    run(json.dumps({"file_format": "1.0", "tracer_provider": section}), suffix="json")
    assert len(receiver.spans()) == 2


def test_limits_and_sampler_hold(run, receiver):
    run(
        """
file_format: "1.0"
attribute_limits:
  attribute_value_length_limit: 4
tracer_provider:
  limits:
    attribute_count_limit: 2
  sampler:
    parent_based:
      root:
        trace_id_ratio_based: {ratio: 1.0}
      local_parent_sampled:
        always_off:
  processors:
    - simple:
        exporter:
          otlp_http:
            endpoint: ${ENDPOINT}
""",
        code=PROGRAM.replace('"c": 3}', '"c": "text"}'),
        ENDPOINT=receiver.endpoint + "/v1/traces",
    )
    (span,) = receiver.spans()
    assert span["name"] == "GET /cart"
    # As with the SDK, the newest stay.
    assert span["attributes"] == {"b": "int 2", "c": "str 'text'"}
    assert span["dropped_attributes_count"] == 1


def test_an_exporter_of_a_package_gets_its_settings(run, receiver):
    completed = run(
        """
file_format: "1.0"
tracer_provider:
  processors:
    - batch:
        exporter:
          printing: {mark: printed}
    - batch:
        exporter:
          otlp_http:
            endpoint: ${ENDPOINT}
""",
        ENDPOINT=receiver.endpoint + "/v1/traces",
    )
    assert completed.stdout == "printed load_cart\nprinted GET /cart\n"
    assert len(receiver.spans()) == 2


def test_a_sampler_of_a_package_is_asked(run):
    completed = run(
        """
file_format: "1.0"
tracer_provider:
  sampler:
    never:
  processors:
    - simple:
        exporter:
          printing: {mark: printed}
"""
    )
    assert completed.stdout == ""


def test_a_rule_turns_tracers_off(run):
    completed = run(
        """
file_format: "1.0"
tracer_provider:
  tracer_configurator/development:
    tracers:
      - name: driv*
        config: {enabled: false}
  processors:
    - simple:
        exporter:
          printing: {mark: printed}
"""
    )
    assert completed.stdout == "printed GET /cart\n"


@pytest.mark.parametrize(
    ("setting", "exporter"),
    [
        ("tls: {ca_file: ca.pem}", THEIRS),
        ("tls: {}", OURS),
        ("encoding: json", THEIRS),
        ("encoding: protobuf", OURS),
        ("compression: none", OURS),
    ],
)
def test_the_exporter_in_python_does_what_ours_cannot(run, receiver, setting, exporter):
    run(
        f"""
file_format: "1.0"
tracer_provider:
  processors:
    - simple:
        exporter:
          otlp_http:
            endpoint: ${{ENDPOINT}}
            {setting}
""",
        ENDPOINT=receiver.endpoint + "/v1/traces",
    )
    assert exporters_of(receiver) == {exporter}


def test_metrics_and_propagators_are_those_of_the_file(run):
    completed = run(
        """
file_format: "1.0"
resource:
  attributes:
    - {name: service.name, value: shop}
propagator:
  composite:
    - baggage:
meter_provider:
  readers:
    - periodic:
        exporter:
          console:
tracer_provider:
  processors:
    - simple:
        exporter:
          printing: {mark: printed}
""",
        code="""
            from opentelemetry import metrics, propagate, trace

            metrics.get_meter("shop").create_counter("carts").add(1)
            with trace.get_tracer("shop").start_as_current_span("GET /cart") as span:
                print(propagate.get_global_textmap().fields, span.is_recording())
        """,
    )
    first_line, second_line, metrics = completed.stdout.split("\n", 2)
    assert (first_line, second_line) == ("{'baggage'} True", "printed GET /cart")
    assert '"service.name": "shop"' in metrics
    assert '"name": "carts"' in metrics


@pytest.mark.parametrize(
    "text",
    ['file_format: "1.0"', f"disabled: true\n{PRINTING}"],
    ids=["no section for traces", "disabled"],
)
def test_a_file_may_leave_tracing_off(run, text):
    code = """
        from opentelemetry import trace

        with trace.get_tracer("shop").start_as_current_span("GET /cart") as span:
            print(span.is_recording())
    """
    assert run(text, code=code).stdout == "False\n"


def test_without_the_package_that_reads_it_one_warning_says_what_to_install(tmp_path, receiver):
    code = f"""
        import sys

        sys.modules["opentelemetry.configuration"] = None  # as where it is not installed

        from nanospan.otel._configurator import NanospanConfigurator

        NanospanConfigurator().configure()
        {PROGRAM.replace(chr(10), chr(10) + " " * 8)}
    """
    completed = run_program(
        tmp_path,
        code,
        {
            "OTEL_CONFIG_FILE": "otel.yaml",
            "OTEL_TRACES_EXPORTER": "otlp",
            "OTEL_EXPORTER_OTLP_ENDPOINT": receiver.endpoint,
        },
        before="",
    )
    (line,) = completed.stderr.splitlines()
    assert line.startswith("OTEL_CONFIG_FILE is ignored: pip install opentelemetry-configuration")
    assert len(receiver.spans()) == 2


def test_one_queue_is_for_all_our_exporters_with_a_warning_where_they_differ(run, receiver):
    completed = run(
        """
file_format: "1.0"
tracer_provider:
  processors:
    - batch:
        max_queue_size: 2048
        max_export_batch_size: 1
        exporter:
          otlp_http: {endpoint: "${ENDPOINT}"}
    - simple:
        exporter:
          console:
""",
        ENDPOINT=receiver.endpoint + "/v1/traces",
    )
    assert len(receiver.spans()) == 2
    assert completed.stderr.startswith(
        "OTEL_CONFIG_FILE: its span processors share one queue, with the first one's settings\n"
    )
