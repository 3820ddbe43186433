"""One of three processes that call each other: `chain.py ROLE COLLECTOR READS WRITES [NEXT]`.

The edge makes requests at once under asyncio, the middle serves them in threads and calls on, the
back answers under asyncio. A server says its URL on stdout and ends when its stdin does.
"""

import asyncio
import contextvars
import sys
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from urllib.request import Request, urlopen

import nanospan
from nanospan import Propagation, RemoteContext, SpanKind, tracing

REQUESTS = 12


def call(url: str, headers: dict[str, str]) -> None:
    urlopen(Request(url, headers=headers), timeout=20).close()


def edge(propagation: Propagation, url: str) -> None:
    async def request(number: int) -> None:
        with RemoteContext(baggage={"number": str(number)}).carry():
            with tracing.start_as_current_span(f"edge {number}", kind=SpanKind.CLIENT):
                await asyncio.sleep(0)
                await asyncio.to_thread(call, url, propagation.inject())

    async def main() -> None:
        await asyncio.gather(*map(request, range(REQUESTS)))

    asyncio.run(main())


def middle(propagation: Propagation, url: str) -> None:
    pool = ThreadPoolExecutor(4)

    def call_on() -> None:
        remote = RemoteContext.current()
        assert remote is not None
        name = f"middle call {remote.baggage['number']}"
        with tracing.start_as_current_span(name, kind=SpanKind.CLIENT):
            call(url, propagation.inject())

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            with propagation.extract(self.headers).carry() as remote:
                name = f"middle {remote.baggage['number']}"
                with tracing.start_as_current_span(name, kind=SpanKind.SERVER, parent=remote):
                    pool.submit(contextvars.copy_context().run, call_on).result()
            self.send_response(204)
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    Thread(target=server.serve_forever, daemon=True).start()
    print(f"http://127.0.0.1:{server.server_port}/", flush=True)
    sys.stdin.read()
    server.shutdown()


def back(propagation: Propagation) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        _, *lines = (await reader.readuntil(b"\r\n\r\n")).split(b"\r\n")
        headers = [tuple(line.split(b": ", 1)) for line in lines if line]
        with propagation.extract(headers).carry() as remote:
            number = remote.baggage["number"]
            with tracing.start_as_current_span(f"back {number}", parent=remote):
                await asyncio.gather(query(f"back query {number}"), asyncio.sleep(0.01))
        writer.write(b"HTTP/1.1 204 No Content\r\nconnection: close\r\n\r\n")
        await writer.drain()
        writer.close()

    async def query(name: str) -> None:
        with tracing.start_as_current_span(name):
            await asyncio.sleep(0)

    async def main() -> None:
        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        print(f"http://127.0.0.1:{port}/", flush=True)
        await asyncio.to_thread(sys.stdin.read)
        server.close()

    asyncio.run(main())


def main() -> None:
    role, collector, reads, writes, *following = sys.argv[1:]
    nanospan.configure(service_name=role, exporter=nanospan.OtlpExporter(collector))
    propagation = Propagation(extract=[reads, "baggage"], inject=[writes, "baggage"])
    {"edge": edge, "middle": middle, "back": back}[role](propagation, *following)
    assert nanospan.shutdown(timeout=10)


if __name__ == "__main__":
    main()
