"""FaaS spans: a function started by a timer, by a data source, and called by another function."""

from collections.abc import Callable, Mapping

import nanospan
from nanospan import SpanKind

tracer = nanospan.tracing.new("examples.faas", version="1.0")

# What is the same for all invocations belongs to the resource, said once in `configure`.
RESOURCE = {
    "faas.name": "nightly-report",
    "faas.version": "12",
    "faas.instance": "2026/11/23/[12]5f1a",
    "faas.max_memory": 134_217_728,
    "cloud.provider": "aws",
    "cloud.platform": "aws_lambda",
    "cloud.region": "eu-central-1",
    "cloud.account.id": "111122223333",
}
ARN = "arn:aws:lambda:eu-central-1:111122223333:function:nightly-report:12"

started_before = False


def invoke(
    invocation_id: str, trigger: str, attributes: Mapping[str, object], body: Callable[[], None]
) -> None:
    """Runs one invocation under a server span named like the function."""
    global started_before
    with tracer.start_as_current_span(
        "nightly-report",
        kind=SpanKind.SERVER,
        attributes={
            "faas.trigger": trigger,
            "faas.invocation_id": invocation_id,
            "faas.coldstart": not started_before,
            "cloud.resource_id": ARN,
            **attributes,
        },
    ):
        started_before = True
        body()


def call(name: str, region: str, transport: Callable[[], None]) -> None:
    """Calls another function under a client span."""
    with tracer.start_as_current_span(
        name,
        kind=SpanKind.CLIENT,
        attributes={
            "faas.invoked_name": name,
            "faas.invoked_provider": "aws",
            "faas.invoked_region": region,
        },
    ):
        transport()


def example() -> None:
    """The timer's invocation calls another function; an uploaded file starts one more."""
    global started_before
    started_before = False
    invoke(
        "af9d5aa4",
        "timer",
        {"faas.time": "2026-11-23T03:00:00Z", "faas.cron": "0 3 * * *"},
        lambda: call("send-mail", "eu-west-1", lambda: None),
    )
    invoke(
        "c0ffee11",
        "datasource",
        {
            "faas.document.collection": "reports",
            "faas.document.operation": "insert",
            "faas.document.time": "2026-11-23T03:00:02Z",
            "faas.document.name": "2026-11-22.csv",
        },
        lambda: None,
    )


if __name__ == "__main__":
    nanospan.configure(
        service_name="reports", resource=RESOURCE, exporter=nanospan.ConsoleExporter()
    )
    example()
    nanospan.shutdown()
