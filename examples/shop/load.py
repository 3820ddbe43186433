"""Sends the shop a fixed list of requests and checks each answer's status.

Runs in a process of its own: `python load.py PORT COUNT`. Prints how many answers had which
status, as JSON; exits with 1 when an answer was not the expected one.
"""

import http.client
import json
import sys
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

CLIENTS = 4
ANSWER_TIMEOUT = 3.0
GOOD_CARD, DECLINED_CARD, SILENT_CARD = "4000-0000-0001", "4000-0000-0002", "4000-0000-0009"
SOLD_OUT_CART = 9


class Call(NamedTuple):
    """One request and the status that answers it."""

    method: str
    path: str
    expected: int
    content: dict[str, object] | None = None


def checkout(expected: int, cart: int, card: str) -> Call:
    """An order for all that is in a cart."""
    return Call("POST", "/checkout", expected, {"cart": cart, "card": card})


def calls(count: int) -> Iterator[Call]:
    """The same `count` requests each time, some of them bound to fail."""
    for number in range(count):
        cart = number // 2 % 8 + 1
        yield (
            Call("GET", "/items", 200),
            Call("GET", f"/cart/{cart}", 200),
            checkout(201, cart, GOOD_CARD),
            Call("GET", f"/cart/{cart}?currency=eur", 200),
            checkout(402, cart, DECLINED_CARD),
            Call("GET", "/items", 200),
            checkout(409, SOLD_OUT_CART, GOOD_CARD),
            Call("GET", "/cart/999", 404),
            Call("GET", f"/cart/{cart}", 200),
            checkout(504, cart, SILENT_CARD) if number % 20 == 9 else Call("GET", "/help", 404),
        )[number % 10]


def send(port: int, call: Call) -> int:
    """The status that came back, 0 when none did."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=ANSWER_TIMEOUT)
    body = None if call.content is None else json.dumps(call.content)
    try:
        connection.request(call.method, call.path, body, {"User-Agent": "shop-load/1.0"})
        response = connection.getresponse()
        response.read()
        return response.status
    except (OSError, http.client.HTTPException) as error:
        print(f"{call.method} {call.path}: {error!r}", file=sys.stderr)
        return 0
    finally:
        connection.close()


def main(port: int, count: int) -> int:
    """Sends all, some at a time."""
    planned = list(calls(count))
    with ThreadPoolExecutor(CLIENTS) as clients:
        answers = list(clients.map(lambda call: send(port, call), planned))
    wrong = [
        (call, got) for call, got in zip(planned, answers, strict=True) if got != call.expected
    ]
    for call, got in wrong:
        print(f"{call.method} {call.path}: {got}, not {call.expected}", file=sys.stderr)
    print(json.dumps(dict(sorted(Counter(answers).items()))))
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]), int(sys.argv[2])))
