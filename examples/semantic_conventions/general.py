"""General attributes: the two ends of a connection, a datagram, the thread, the place in the code.

The sockets are real and on the loopback interface.
"""

import inspect
import socket
import threading
from collections.abc import Callable

import nanospan
from nanospan import SpanKind

tracer = nanospan.tracing.new("examples.general", version="1.0")

WAIT = 2.0

Address = tuple[str, int]


def ask(server: Address) -> None:
    """The client's side of a connection. Client and server are roles, peer is the other socket."""
    with (
        tracer.start_as_current_span(
            "ask",
            kind=SpanKind.CLIENT,
            attributes={
                "server.address": "localhost",
                "server.port": server[1],
                "service.peer.name": "echo",
                "network.transport": "tcp",
                "network.type": "ipv4",
            },
        ) as span,
        socket.create_connection(server, timeout=WAIT) as connection,
    ):
        local, peer = connection.getsockname(), connection.getpeername()
        span.set_attributes(
            {
                "network.local.address": local[0],
                "network.local.port": local[1],
                "network.peer.address": peer[0],
                "network.peer.port": peer[1],
            }
        )
        connection.sendall(b"hello")
        connection.recv(16)


def answer(listener: socket.socket) -> Address:
    """The server's side, in a thread of its own; gives the client's address."""
    connection, client = listener.accept()
    with connection:
        thread = threading.current_thread()
        with tracer.start_as_current_span(
            "answer",
            kind=SpanKind.SERVER,
            attributes={
                "client.address": client[0],
                "client.port": client[1],
                "network.protocol.name": "echo",
                "thread.id": thread.ident,
                "thread.name": thread.name,
            },
        ):
            connection.sendall(connection.recv(16))
    return client


def throw(sender: socket.socket, target: Address) -> None:
    """A datagram has no client and no server, only where it came from and where it goes."""
    with tracer.start_as_current_span("throw", kind=SpanKind.PRODUCER) as span:
        source = sender.getsockname()
        span.set_attributes(
            {
                "source.address": source[0],
                "source.port": source[1],
                "destination.address": target[0],
                "destination.port": target[1],
                "network.transport": "udp",
            }
        )
        sender.sendto(b"hello", target)


def compute(function: Callable[[], object]) -> object:
    """Says which code a span stands for."""
    with tracer.start_as_current_span(
        function.__name__,
        attributes={
            "code.function.name": f"{function.__module__}.{function.__qualname__}",
            "code.file.path": inspect.getsourcefile(function),
            "code.line.number": function.__code__.co_firstlineno,
        },
    ):
        return function()


def answer_of_everything() -> int:
    """Something to compute."""
    return 6 * 7


def example() -> dict[str, Address]:
    """All of it once; gives the addresses that the system chose."""
    seen: dict[str, Address] = {}
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(WAIT)
        seen["server"] = listener.getsockname()
        server = threading.Thread(
            target=lambda: seen.update(client=answer(listener)), name="echo-1"
        )
        server.start()
        ask(seen["server"])
        server.join(WAIT)
    with (
        socket.socket(type=socket.SOCK_DGRAM) as sender,
        socket.socket(type=socket.SOCK_DGRAM) as receiver,
    ):
        sender.bind(("127.0.0.1", 0))
        receiver.bind(("127.0.0.1", 0))
        seen["source"], seen["destination"] = sender.getsockname(), receiver.getsockname()
        throw(sender, seen["destination"])
    compute(answer_of_everything)
    return seen


if __name__ == "__main__":
    nanospan.configure(service_name="shop", exporter=nanospan.ConsoleExporter())
    example()
    nanospan.shutdown()
