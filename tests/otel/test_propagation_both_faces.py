"""What OpenTelemetry's face makes current is what `nanospan.propagation` sends, and the reverse."""

import pytest

from support.process import checked_python

pytest.importorskip("nanospan.otel")


def test_each_face_sends_the_span_that_the_other_made_current():
    code = """
        import nanospan
        from nanospan import propagation, tracing
        from opentelemetry import propagate, trace

        nanospan.install(exporter=[])
        tracer = trace.get_tracer("x")
        remote = {"traceparent": "00-7f3c9a1e5d2b48609c1d7e4fa2b60f13-e2c4a6180b3d5f79-01"}

        def theirs():
            headers = {}
            propagate.inject(headers)
            return headers["traceparent"]

        with tracer.start_as_current_span("theirs") as span:
            assert f"{span.get_span_context().span_id:016x}" in propagation.inject()["traceparent"]
            assert propagation.inject()["traceparent"] == theirs()
        with tracing.start_as_current_span("ours", parent=propagation.extract(remote)) as span:
            assert span.span_id_hex in theirs()
            assert propagation.inject()["traceparent"] == theirs()
        with trace.use_span(trace.get_current_span(propagate.extract(remote))):
            assert propagation.inject() == remote
        nanospan.shutdown()
        print("done")
    """
    assert checked_python(code) == "done\n"
