"""A provider that is wrong on purpose: `run.py --candidate sham:TracerProvider` must notice.

It keeps three attributes of each span.
"""

from opentelemetry.sdk import trace


class TracerProvider(trace.TracerProvider):
    def __init__(self, **options):
        super().__init__(**options, span_limits=trace.SpanLimits(max_span_attributes=3))
