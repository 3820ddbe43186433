"""A program that makes spans at a steady rate and says how it is doing: the load of the soak.

`python -m support.load ENDPOINT SECONDS RATE` prints one JSON object a line, some times a second
and once more at its end: `elapsed` seconds, `resident_bytes`, `stats`.
"""

import json
import sys
import time

import nanospan
from nanospan import OtlpExporter, SpanKind, tracing
from support.process import resident_bytes

REPORT_EVERY = 0.25
SPANS_OF_A_REQUEST = 5
SHUTDOWN_TIMEOUT = 30.0


def request(number: int) -> None:
    """One traced request, as services make them."""
    with tracing.start_as_current_span(
        "GET /cart/{id}",
        kind=SpanKind.SERVER,
        attributes={"http.request.method": "GET", "url.path": f"/cart/{number}"},
    ) as root:
        with tracing.start_as_current_span("load_cart") as span:
            span.set_attribute("shop.cart.id", number)
            for table in ("cart_lines", "items"):
                with tracing.start_as_current_span(
                    f"SELECT {table}", kind=SpanKind.CLIENT
                ) as query:
                    query.set_attributes({"db.system.name": "sqlite", "db.collection.name": table})
        with tracing.start_as_current_span("render_cart") as span:
            span.add_event("shop.cart.rendered", {"shop.items.count": number % 7})
        root.set_attribute("http.response.status_code", 200)


def report(begun: float) -> None:
    """How it goes."""
    said = {
        "elapsed": time.monotonic() - begun,
        "resident_bytes": resident_bytes(),
        "stats": nanospan.stats(),
    }
    print(json.dumps(said), flush=True)


def main(endpoint: str, seconds: float, rate: float) -> None:
    """Makes the spans; what a busy machine delays is made up for."""
    nanospan.configure(
        service_name="soak", exporter=OtlpExporter(endpoint=endpoint, compression="none")
    )
    begun = time.monotonic()
    made, reported = 0, 0.0
    while (elapsed := time.monotonic() - begun) < seconds:
        while made * SPANS_OF_A_REQUEST < elapsed * rate:
            request(made)
            made += 1
        if elapsed - reported >= REPORT_EVERY:
            report(begun)
            reported = elapsed
        time.sleep(0.005)
    nanospan.shutdown(timeout=SHUTDOWN_TIMEOUT)
    report(begun)


if __name__ == "__main__":
    main(sys.argv[1], float(sys.argv[2]), float(sys.argv[3]))
