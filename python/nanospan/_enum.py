"""The two enums of a span, with OpenTelemetry's numbers."""

from enum import IntEnum


class SpanKind(IntEnum):
    """What a span's work is to the one who asked for it (OpenTelemetry trace API, "SpanKind")."""

    UNSPECIFIED = 0
    INTERNAL = 1
    SERVER = 2
    CLIENT = 3
    PRODUCER = 4
    CONSUMER = 5


class StatusCode(IntEnum):
    """How a span's work ended (OpenTelemetry trace API, "Set Status")."""

    UNSET = 0
    OK = 1
    ERROR = 2
