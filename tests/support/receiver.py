"""A strict OTLP/HTTP receiver whose replies, failures included, are written down beforehand."""

import threading
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from support.otlp_server import OtlpServer
from support.plain import PlainSpan, request_spans
from support.reply import Accept, Reply


@dataclass
class Request:
    """One request, as it came."""

    time: float  # of `time.monotonic`, when its head was read
    connection: int  # 1 for the receiver's first
    headers: dict[str, str]  # names in lower case
    reply: Reply
    body: bytes = b""  # as sent, perhaps compressed; empty where the reply is not to read it
    message: ExportTraceServiceRequest | None = None  # None where the body holds none
    spans: tuple[PlainSpan, ...] = ()  # those that were taken
    given_up: float | None = None  # when its connection ended unanswered


class Receiver:
    """Takes OTLP/HTTP in protobuf on a free port, and complains of all that is not as it should be.

    Requests get the replies queued with `reply`, one each; when there are none, they are accepted.
    A request with anything wrong is answered with status 400 where it would have been taken, and
    `complaints` says what was wrong; complaints that are left at the end fail the test.
    """

    def __init__(self, path: str) -> None:
        self.path = path
        self.requests: list[Request] = []
        self.complaints: list[str] = []
        self._replies: deque[Reply] = deque()
        self._changed = threading.Condition()  # guards what is above
        self._server = OtlpServer(self)
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()

    @property
    def endpoint(self) -> str:
        """Its base URL."""
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    @property
    def connections(self) -> int:
        """How many connections clients have made."""
        return self._server.accepted

    def reply(self, *replies: Reply) -> None:
        """Queues the replies to the next requests."""
        with self._changed:
            self._replies.extend(replies)

    def spans(self) -> list[PlainSpan]:
        """The spans taken so far; one that came twice is there twice."""
        with self._changed:
            return [span for request in self.requests for span in request.spans]

    def wait_for(self, count: int, timeout: float = 10.0) -> list[PlainSpan]:
        """The spans, as soon as at least `count` are taken; fails when they are not in time."""
        with self._changed:
            in_time = self._changed.wait_for(lambda: len(self.spans()) >= count, timeout)
            assert in_time, f"{len(self.spans())} of {count} spans came within {timeout:g} s"
            return self.spans()

    def wait_for_requests(self, count: int, timeout: float = 10.0) -> list[Request]:
        """The requests, as soon as `count` have begun; fails when they have not in time."""
        with self._changed:
            in_time = self._changed.wait_for(lambda: len(self.requests) >= count, timeout)
            assert in_time, f"{len(self.requests)} of {count} requests came within {timeout:g} s"
            return list(self.requests)

    def take_complaints(self) -> list[str]:
        """The complaints so far, which are then forgotten: for a test that expects them."""
        with self._changed:
            taken, self.complaints = self.complaints, []
            return taken

    def end(self) -> None:
        """Closes the port and every connection."""
        self._server.shutdown()
        self._server.end_connections()
        self._server.server_close()

    def complain(self, *complaint: str) -> None:
        """Keeps complaints."""
        with self._changed:
            self.complaints.extend(complaint)

    def begin(self, connection: int, headers: dict[str, str]) -> Request:
        """Keeps a request whose head has come, with the reply that is for it."""
        with self._changed:
            reply = self._replies.popleft() if self._replies else Accept()
            request = Request(time.monotonic(), connection, headers, reply)
            self.requests.append(request)
            self._changed.notify_all()
            return request

    def take(self, request: Request, *, but_the_last: int = 0) -> None:
        """Takes the spans of a request."""
        assert request.message is not None
        spans = tuple(request_spans(request.message))
        with self._changed:
            request.spans = spans[: len(spans) - but_the_last]
            self._changed.notify_all()


@contextmanager
def running_receiver(path: str = "/v1/traces") -> Iterator[Receiver]:
    """A receiver for the length of a `with` block; fails at its end if complaints are left."""
    receiver = Receiver(path)
    try:
        yield receiver
    finally:
        receiver.end()
    assert not receiver.complaints, receiver.complaints
