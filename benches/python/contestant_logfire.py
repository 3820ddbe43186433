"""logfire: opentelemetry-sdk with messages, levels and a schema of the attributes. It sends nothing
and prints nothing; its spans go through the SDK's batch processor to an exporter that discards. It
does not look at the caller's source for arguments, which the statements here do not have. It starts
spans in blocks alone."""

import logfire
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import StatusCode

from answer import PlainSpan
from cases import ATTRIBUTES, Words
from contestant_sdk import Discard, spans_of
from contestants import Contestant


class Logfire(Contestant):
    words = Words(block="{tracer}.span({name!r})")
    lacks = ("start_span",)

    def __init__(self) -> None:
        self.exporter = Discard()
        super().__init__(
            "logfire",
            tracer=self._logfire(1.0),
            not_sampled=self._logfire(0.0),
            ERROR=StatusCode.ERROR,
        )

    def _logfire(self, rate: float) -> logfire.Logfire:
        return logfire.configure(
            local=True,
            service_name="bench",
            send_to_logfire=False,
            console=False,
            metrics=False,
            inspect_arguments=False,
            sampling=logfire.SamplingOptions(head=rate),
            additional_span_processors=[BatchSpanProcessor(self.exporter)],
        )

    def flush(self) -> None:
        assert self.names["tracer"].force_flush()

    def arrived(self) -> int:
        return self.exporter.count

    def last_spans(self) -> list[PlainSpan]:
        spans = spans_of(self.exporter.last)
        for span in spans:
            # It adds its own.
            span.attributes = {k: v for k, v in span.attributes.items() if k in ATTRIBUTES}
        return spans

    def close(self) -> None:
        self.names["tracer"].shutdown()
