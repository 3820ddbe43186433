"""Exception events: told as text, handled, escaping, and escaping with a reason given before."""

from contextlib import suppress

import nanospan
from nanospan import StatusCode

tracer = nanospan.tracing.new("examples.exceptions", version="1.0")


class CardRefused(Exception):
    """The bank said no."""


def charge(card: str) -> None:
    """Raises for every card."""
    raise CardRefused(f"card ending in {card[-4:]}")


def told_as_text() -> None:
    """A failure that is no exception: only its message is known. The status is left alone."""
    with tracer.start_as_current_span("ask_cache") as span:
        span.record_error("cache did not answer")


def handled() -> None:
    """An exception that was dealt with: recorded, with the span's status left as it was."""
    with tracer.start_as_current_span("try_first_card") as span:
        try:
            charge("4000-0002")
        except CardRefused as error:
            span.record_error(error)


def escaping() -> None:
    """An exception that leaves the block is recorded, and makes the span an error."""
    with suppress(CardRefused), tracer.start_as_current_span("try_second_card"):
        charge("4000-0005")


def escaping_with_a_reason() -> None:
    """A status set by hand stays; `error.type` says what the error is counted as."""
    with suppress(CardRefused), tracer.start_as_current_span("try_third_card") as span:
        span.set_attribute("error.type", "no_card_left")
        span.set_status(StatusCode.ERROR, "no card left to try")
        charge("4000-0008")


def example() -> None:
    """All four in one trace."""
    with tracer.start_as_current_span("checkout"):
        told_as_text()
        handled()
        escaping()
        escaping_with_a_reason()


if __name__ == "__main__":
    nanospan.configure(service_name="shop", exporter=nanospan.ConsoleExporter())
    example()
    nanospan.shutdown()
