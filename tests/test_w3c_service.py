"""The service that the test harness of W3C Trace Context drives, driven by us as the harness does.

Each case is a rule of the recommendation, level 2; the harness itself has the same and more.
"""

import http.client
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from urllib.parse import urlsplit

import pytest

PROGRAM = Path(__file__).parents[1] / "examples" / "w3c_service.py"
TRACE = "7f3c9a1e5d2b48609c1d7e4fa2b60f13"
PARENT = f"00-{TRACE}-e2c4a6180b3d5f79-01"


class Harness:
    """Sends requests to the service, and takes its calls."""

    def __init__(self, service: str) -> None:
        self._address = urlsplit(service)
        self._calls: list[list[tuple[str, str]]] = []
        harness = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                self.rfile.read(int(self.headers["content-length"]))
                harness._calls.append(self.headers.items())
                self.send_response(200)
                self.send_header("content-length", "0")
                self.end_headers()

            def log_message(self, format: str, *args: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def send(self, headers: list[tuple[str, str]], calls: int = 1) -> list[dict[str, str]]:
        """The headers of the calls that the service makes; none of them twice."""
        self._calls.clear()
        target = f"http://127.0.0.1:{self._server.server_port}/"
        body = json.dumps([{"url": target, "arguments": []}] * calls).encode()
        connection = http.client.HTTPConnection(str(self._address.hostname), self._address.port)
        connection.putrequest("POST", "/")
        for name, value in [*headers, ("content-length", str(len(body)))]:
            connection.putheader(name, value)
        connection.endheaders(body)
        assert connection.getresponse().status == 200
        connection.close()
        assert len(self._calls) == calls
        for call in self._calls:
            names = [name.lower() for name, _ in call]
            assert len(set(names)) == len(names)
        return [{name.lower(): value for name, value in call} for call in self._calls]


@pytest.fixture(scope="module")
def harness() -> Iterator[Harness]:
    command = [sys.executable, str(PROGRAM), "--port", "0"]
    service = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )
    assert service.stdout is not None
    made = Harness(service.stdout.readline().strip())
    yield made
    made.close()
    service.kill()
    service.wait(10)
    service.stdout.close()


def _ids(headers: dict[str, str]) -> tuple[str, str, str]:
    found = re.fullmatch(r"00-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})", headers["traceparent"])
    assert found is not None
    return found.group(1), found.group(2), found.group(3)


GOOD = {
    "as it is": [PARENT],
    "spaces around": [f" \t{PARENT}\t "],
    "a later version": [f"cc{PARENT[2:]}"],
    "a later version with more": [f"cc{PARENT[2:]}-what-the-future-holds"],
}


@pytest.mark.parametrize("lines", GOOD.values(), ids=GOOD)
def test_a_valid_traceparent_goes_on_in_the_call(harness, lines):
    (sent,) = harness.send([("TraceParent", line) for line in lines])
    trace_id, parent_id, flags = _ids(sent)
    assert (trace_id, flags) == (TRACE, "01")
    assert parent_id != PARENT[36:52]


BAD = {
    "absent": [],
    "twice": [PARENT, PARENT],
    "version ff": [f"ff{PARENT[2:]}"],
    "capitals": [PARENT.upper()],
    "more in version 00": [f"{PARENT}-"],
    "a point": [f"cc{PARENT[2:]}.more"],
    "no trace": [PARENT.replace(TRACE, "0" * 32)],
    "no parent": [PARENT.replace(PARENT[36:52], "0" * 16)],
    "short": [PARENT[:-1]],
}


@pytest.mark.parametrize("lines", BAD.values(), ids=BAD)
def test_another_one_begins_a_new_trace_without_the_tracestate(harness, lines):
    headers = [("traceparent", line) for line in lines]
    (sent,) = harness.send([*headers, ("tracestate", "congo=1")])
    assert _ids(sent)[0] != TRACE
    assert "tracestate" not in sent


def test_the_random_flag_goes_on_and_is_set_on_our_own_ids(harness):
    (sent,) = harness.send([("traceparent", f"{PARENT[:-2]}02")])
    assert _ids(sent)[2] == "02"
    (sent,) = harness.send([])
    assert _ids(sent)[2] == "03"


def test_tracestate_goes_on_in_its_order(harness):
    lines = [("tracestate", "rojo=1,congo=2"), ("tracestate", ""), ("tracestate", "@x=1")]
    (sent,) = harness.send([("traceparent", PARENT), *lines[:2], ("tracestate", "0a@b=c:d")])
    assert sent["tracestate"] == "rojo=1,congo=2,0a@b=c:d"
    (sent,) = harness.send([("traceparent", PARENT), *lines])
    assert (_ids(sent)[0], "tracestate" in sent) == (TRACE, False)


def test_each_call_has_a_parent_of_its_own(harness):
    calls = harness.send([("traceparent", PARENT)], calls=3)
    assert {_ids(sent)[0] for sent in calls} == {TRACE}
    assert len({_ids(sent)[1] for sent in calls}) == 3
