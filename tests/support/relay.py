"""Another port before a receiver: a given one, or one that speaks TLS."""

import select
import socket
import socketserver
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any
from urllib.parse import urlsplit


class _Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    target: tuple[str | None, int | None]
    context: ssl.SSLContext | None

    def __init__(self, port: int) -> None:
        super().__init__(("127.0.0.1", port), _Handler)
        self.open: set[socket.socket] = set()

    def handle_error(self, request: Any, client_address: Any) -> None:
        pass  # a client that trusts no certificate of ours, or leaves


class _Handler(socketserver.BaseRequestHandler):
    server: _Server

    def handle(self) -> None:
        client = self.request
        self.server.open.add(client)
        client.settimeout(10)
        if self.server.context:
            client = self.server.context.wrap_socket(client, server_side=True)
            self.server.open.add(client)
        with client, socket.create_connection(self.server.target, timeout=10) as server:
            self.server.open.add(server)
            other = {client: server, server: client}
            while True:
                # What TLS has read and not given yet makes no socket readable.
                decrypted = isinstance(client, ssl.SSLSocket) and client.pending()
                readable = [client] if decrypted else select.select([client, server], [], [])[0]
                for side in readable:
                    data = side.recv(65536)
                    if not data:
                        return
                    other[side].sendall(data)


@contextmanager
def relay(endpoint: str, *, port: int = 0, context: ssl.SSLContext | None = None) -> Iterator[int]:
    """A port whose connections go on to `endpoint`; with a context it speaks TLS."""
    server = _Server(port)
    url = urlsplit(endpoint)
    server.target, server.context = (url.hostname, url.port), context
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()
        for connection in server.open:
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        server.server_close()
