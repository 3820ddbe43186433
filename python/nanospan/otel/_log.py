"""What the face says in the log."""

from __future__ import annotations

import logging

_logger = logging.getLogger("nanospan")
_raised: set[tuple[str, type[BaseException]]] = set()


def ended(what: str) -> None:
    """Say that a call came after the end of its span, as the SDK does, each time."""
    _logger.warning("%s on an ended span has no effect.", what)


def description_ignored(description: object) -> None:
    """Say that `set_status` was given a description beside a `Status`, as the SDK does."""
    _logger.warning(
        "The description %r is ignored: a Status has its own, a StatusCode takes one.", description
    )


def processor_raised(method: str, error: BaseException) -> None:
    """Say that a span processor raised: once for each of its methods and kind of error."""
    key = method, type(error)
    if key not in _raised:
        _raised.add(key)
        _logger.warning(
            "a span processor raised in %s, which is logged once", method, exc_info=error
        )
