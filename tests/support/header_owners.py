"""Those who own the header formats, or write most of them: OpenTelemetry's propagators and ddtrace.

Each writes ids and a decision into a dict of headers, and reads them from one.
"""

import json
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any, NamedTuple

import pytest

from support.process import checked_python


class Sent(NamedTuple):
    """What both sides can say; `sampled` is None where nothing is said."""

    trace_id: str
    span_id: str
    sampled: bool | None


Headers = dict[str, Any]

# In a dict OpenTelemetry's propagator finds this name in this spelling alone.
_SPELLINGS = {"x-amzn-trace-id": "X-Amzn-Trace-Id"}


def as_sent(headers: Headers) -> Headers:
    """The headers of a dict, as a server hands them on."""
    return {_SPELLINGS.get(name, name): value for name, value in headers.items()}


@dataclass(frozen=True)
class Otel:
    """A propagator of OpenTelemetry's, by its module and class."""

    module: str
    name: str

    def is_installed(self) -> bool:
        try:
            return find_spec(self.module) is not None
        except ModuleNotFoundError:
            return False

    def _propagator(self) -> Any:
        module = pytest.importorskip(self.module, reason=f"{self.module} is not installed")
        return getattr(module, self.name)()

    def write(self, sent: Sent, baggage: dict[str, str] | None = None) -> Headers:
        baggage_api = pytest.importorskip("opentelemetry.baggage")
        trace = pytest.importorskip("opentelemetry.trace")
        context = trace.SpanContext(
            int(sent.trace_id, 16),
            int(sent.span_id, 16),
            False,
            trace.TraceFlags(bool(sent.sampled)),
        )
        current = trace.set_span_in_context(trace.NonRecordingSpan(context))
        for key, value in (baggage or {}).items():
            current = baggage_api.set_baggage(key, value, current)
        headers: Headers = {}
        self._propagator().inject(headers, context=current)
        return headers

    def read(self, headers: Headers) -> Sent | None:
        trace = pytest.importorskip("opentelemetry.trace")
        context = trace.get_current_span(self._extract(headers)).get_span_context()
        if not context.is_valid:
            return None
        ids = trace.format_trace_id(context.trace_id), trace.format_span_id(context.span_id)
        return Sent(*ids, context.trace_flags.sampled)

    def read_baggage(self, headers: Headers) -> dict[str, str]:
        baggage_api = pytest.importorskip("opentelemetry.baggage")
        return dict(baggage_api.get_all(self._extract(headers)))

    def _extract(self, headers: Headers) -> Any:
        context = pytest.importorskip("opentelemetry.context").Context()
        return self._propagator().extract(headers, context=context)


OTEL = {
    "w3c": Otel("opentelemetry.trace.propagation.tracecontext", "TraceContextTextMapPropagator"),
    "b3": Otel("opentelemetry.propagators.b3", "B3MultiFormat"),
    "b3-single": Otel("opentelemetry.propagators.b3", "B3SingleFormat"),
    "jaeger": Otel("opentelemetry.propagators.jaeger", "JaegerPropagator"),
    "ot": Otel("opentelemetry.propagators.ot_trace", "OTTracePropagator"),
    "aws": Otel("opentelemetry.propagators.aws", "AwsXRayPropagator"),
    "gcp": Otel("opentelemetry.propagators.cloud_trace_propagator", "CloudTraceFormatPropagator"),
    "baggage": Otel("opentelemetry.baggage.propagation", "W3CBaggagePropagator"),
}

# In a process of its own: ddtrace starts threads and hooks of its own when it is imported.
_DDTRACE = """
    import json, os, sys

    style, cases = sys.argv[1], json.loads(sys.argv[2])
    os.environ["DD_TRACE_PROPAGATION_STYLE"] = style
    os.environ["DD_INSTRUMENTATION_TELEMETRY_ENABLED"] = "false"
    os.environ["DD_REMOTE_CONFIGURATION_ENABLED"] = "false"
    os.environ["DD_TRACE_LOGS_ENABLED"] = "false"
    from ddtrace.propagation.http import HTTPPropagator
    from ddtrace.trace import Context

    def sent(trace_id, span_id, priority):
        context = Context(trace_id=int(trace_id, 16), span_id=int(span_id, 16))
        context.sampling_priority = priority
        headers = {}
        HTTPPropagator.inject(context, headers)
        return headers

    def read(headers):
        context = HTTPPropagator.extract(headers)
        if context.trace_id is None:
            return None
        span_id = context.span_id and f"{context.span_id:016x}"
        return f"{context.trace_id:032x}", span_id, context.sampling_priority

    answers = [read(case) if isinstance(case, dict) else sent(*case) for case in cases]
    print(json.dumps(answers))
"""


@dataclass(frozen=True)
class Ddtrace:
    """ddtrace's HTTP propagator, in one of its styles; all cases go in one call."""

    style: str

    def _ask(self, cases: list[Any]) -> list[Any]:
        if find_spec("ddtrace") is None:
            pytest.skip("ddtrace, Datadog's own tracer, is not installed for this Python")
        return json.loads(checked_python(_DDTRACE, self.style, json.dumps(cases)))

    def write(self, sent: list[Sent]) -> list[Headers]:
        cases = [[*case[:2], None if case[2] is None else int(case[2])] for case in sent]
        return self._ask(cases)

    def read(self, headers: list[Headers]) -> list[Sent | None]:
        answers = self._ask(headers)
        return [
            answer and Sent(*answer[:2], answer[2] if answer[2] is None else answer[2] > 0)
            for answer in answers
        ]


DDTRACE = {
    "datadog": Ddtrace("datadog"),
    "b3": Ddtrace("b3multi"),
    "b3-single": Ddtrace("b3"),
    "w3c": Ddtrace("tracecontext"),
}
