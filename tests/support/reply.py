"""The ways a receiver can answer a request, or fail to."""

from dataclasses import dataclass
from typing import TypeAlias

PROTOBUF = "application/x-protobuf"


@dataclass(frozen=True)
class Accept:
    """Takes the spans. The answer leaves `after` so many seconds, over `spread` more."""

    after: float = 0.0
    spread: float = 0.0


@dataclass(frozen=True)
class PartialSuccess:
    """Takes all but the last `rejected` spans; with 0 the message is only a warning."""

    rejected: int
    message: str = ""


@dataclass(frozen=True)
class Answer:
    """Takes the spans, and answers with status 200 and this body."""

    body: bytes
    content_type: str = PROTOBUF


@dataclass(frozen=True)
class Status:
    """Takes nothing; `retry_after` and `location` are headers."""

    code: int
    message: str = ""
    retry_after: str | None = None
    location: str | None = None


@dataclass(frozen=True)
class Garbage:
    """Takes nothing, sends these bytes as they are, and closes the connection."""

    answer: bytes


@dataclass(frozen=True)
class HangUp:
    """Takes nothing, and closes the connection when it has read the request.

    Or, not `after_reading`, resets the connection when it has read the head.
    """

    after_reading: bool = True


@dataclass(frozen=True)
class Silence:
    """Takes nothing and never answers; not `after_reading`, it does not even read the body."""

    after_reading: bool = True


Reply: TypeAlias = Accept | PartialSuccess | Answer | Status | Garbage | HangUp | Silence
