"""OTLP/HTTP as a server speaks it: the connections and requests of a `Receiver`."""

import gzip
import select
import socket
import socketserver
import struct
import sys
import time
import zlib
from contextlib import suppress
from http.server import BaseHTTPRequestHandler
from typing import TYPE_CHECKING, Any

from google.protobuf.message import DecodeError
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.trace.v1.trace_pb2 import Status as SpanStatus

from support.reply import (
    PROTOBUF,
    Accept,
    Answer,
    Garbage,
    HangUp,
    PartialSuccess,
    Silence,
    Status,
)
from support.strict import complaints

if TYPE_CHECKING:
    from support.receiver import Receiver, Request


_HEADERS = {"host": 1, "content-type": 1, "content-length": 1, "content-encoding": 0}
"""How often each header must be there at least; none may be there twice."""


class OtlpServer(socketserver.ThreadingTCPServer):
    """One thread for each connection; `server_close` joins them."""

    request_queue_size = 128

    def __init__(self, receiver: "Receiver") -> None:
        self.receiver = receiver
        self.accepted = 0
        self.numbers: dict[socket.socket, int] = {}
        super().__init__(("127.0.0.1", 0), _Handler)

    def process_request(self, request: Any, client_address: Any) -> None:
        self.accepted += 1
        self.numbers[request] = self.accepted
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        # Without the orderly shutdown of the base class, for `HangUp` may want a reset.
        del self.numbers[request]
        self.close_request(request)

    def end_connections(self) -> None:
        for connection in list(self.numbers):
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def handle_error(self, request: Any, client_address: Any) -> None:
        error = sys.exc_info()[1]
        if not isinstance(error, ConnectionError):  # clients may leave as they like
            self.receiver.complain(f"the receiver itself: {error!r}")


class _Handler(BaseHTTPRequestHandler):
    """One connection: its requests, one after the other."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # it holds an answer back until the client acknowledges its head
    server: OtlpServer

    def log_message(self, format: str, *args: object) -> None:
        pass

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        self.server.receiver.complain(f"HTTP: {code} {message}")
        super().send_error(code, message, explain)

    def do_POST(self) -> None:
        receiver = self.server.receiver
        headers = {name.lower(): value for name, value in self.headers.items()}
        request = receiver.begin(self.server.numbers[self.connection], headers)
        if request.reply == HangUp(after_reading=False):
            # What is closed without lingering resets its connection.
            linger_not = struct.pack("ii", 1, 0)
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger_not)
            self.close_connection = True
        elif request.reply == Silence(after_reading=False):
            self._stay_silent(request)
        else:
            wrong = self._read(request)
            receiver.complain(*wrong)
            if request.given_up is None:
                self._respond(request, wrong)

    def _read(self, request: "Request") -> list[str]:
        """Fills in the body and what is in it; says all that is wrong."""
        wrong = [
            f"header {name}: {count} times"
            for name, least in _HEADERS.items()
            if not least <= (count := len(self.headers.get_all(name, []))) <= 1
        ]
        if self.path != self.server.receiver.path:
            wrong.append(f"path: {self.path}")
        if request.headers.get("content-type", PROTOBUF) != PROTOBUF:
            wrong.append(f"header content-type: {request.headers['content-type']}")
        length = request.headers.get("content-length", "")
        if not length.isdecimal():
            self.close_connection = True  # who knows where this request ends
            return [*wrong, f"header content-length: {length!r}"]
        request.body = self.rfile.read(int(length))
        if len(request.body) < int(length):
            self._give_up(request)
            return wrong
        try:
            payload = _decompressed(request.body, request.headers.get("content-encoding"))
            request.message = ExportTraceServiceRequest.FromString(payload)
        except (ValueError, OSError, EOFError, zlib.error, DecodeError) as error:
            return [*wrong, f"body: {error}"]
        return [*wrong, *complaints(request.message)]

    def _respond(self, request: "Request", wrong: list[str]) -> None:
        match request.reply:
            case HangUp():
                self.close_connection = True
            case Silence():
                self._stay_silent(request)
            case Garbage(answer):
                self.close_connection = True
                self._send(request, answer)
            case Status(code, message):
                extra = {"Retry-After": request.reply.retry_after}
                extra["Location"] = request.reply.location
                self._answer(request, code, _status(message), extra)
            case _ if wrong:
                self._answer(request, 400, _status("; ".join(wrong)))
            case PartialSuccess(rejected, message):
                self.server.receiver.take(request, but_the_last=rejected)
                response = ExportTraceServiceResponse()
                response.partial_success.rejected_spans = rejected
                response.partial_success.error_message = message
                self._answer(request, 200, response.SerializeToString())
            case Answer(body, content_type):
                self.server.receiver.take(request)
                self._answer(request, 200, body, {"Content-Type": content_type})
            case Accept(after, spread):
                self.server.receiver.take(request)
                if self._wait(request, after):
                    self._answer(request, 200, b"", spread=spread)

    def _answer(
        self,
        request: "Request",
        status: int,
        body: bytes,
        headers: dict[str, str | None] | None = None,
        spread: float = 0.0,
    ) -> None:
        all_headers = {
            "Content-Type": PROTOBUF,
            "Content-Length": str(len(body)),
            **(headers or {}),
        }
        head = [f"HTTP/1.1 {status} {self.responses.get(status, ('',))[0]}"]
        head += [f"{name}: {value}" for name, value in all_headers.items() if value is not None]
        self._send(request, "\r\n".join([*head, "", ""]).encode("latin-1") + body, spread)

    def _send(self, request: "Request", answer: bytes, spread: float = 0.0) -> None:
        pieces = [answer] if not spread else [bytes([byte]) for byte in answer]
        try:
            for piece in pieces:
                self.wfile.write(piece)
                if spread and not self._wait(request, spread / len(pieces)):
                    return
        except ConnectionError:
            self._give_up(request)

    def _stay_silent(self, request: "Request") -> None:
        self._wait(request, None)

    def _wait(self, request: "Request", seconds: float | None) -> bool:
        """False as soon as the connection ends, be it while the client's bytes are still unread."""
        end = select.poll()
        end.register(self.connection, select.POLLRDHUP)
        if end.poll(None if seconds is None else seconds * 1000):
            self._give_up(request)
            return False
        return True

    def _give_up(self, request: "Request") -> None:
        self.close_connection = True
        request.given_up = time.monotonic()


def _decompressed(body: bytes, encoding: str | None) -> bytes:
    match encoding:
        case None:
            return body
        case "gzip":
            return gzip.decompress(body)
        case _:
            raise ValueError(f"content-encoding {encoding}")


def _status(message: str) -> bytes:
    """A `google.rpc.Status`, whose message has the same tag in the status of a span."""
    return SpanStatus(message=message).SerializeToString()
