"""The shop's HTTP service: three routes, one server span for each request."""

import asyncio
import json
import re
import sqlite3
import time
from collections.abc import Awaitable, Callable
from typing import Any, NamedTuple

import nanospan
from nanospan import SpanKind, StatusCode

from .store import Store

tracer = nanospan.tracing.new("shop.service", version="1.0")

READ_TIMEOUT = 2.0
PAYMENT_TIMEOUT = 0.3
ITEMS_ARE_FRESH_FOR = 0.2
MAX_BODY = 65_536


class Request(NamedTuple):
    """One HTTP/1.1 request, as far as the shop reads it."""

    method: str
    path: str
    query: str
    headers: dict[str, str]
    body: bytes


class Response(NamedTuple):
    """A status and what to say as JSON."""

    status: int
    content: object


class ShopError(Exception):
    """A refusal that the client is told about, with the status it gets."""

    status = 400


class BadRequest(ShopError):
    """The order cannot be read."""


class NotFound(ShopError):
    """There is no such cart."""

    status = 404


class SoldOut(ShopError):
    """The stock does not cover the order."""

    status = 409


class PaymentDeclined(ShopError):
    """The card was refused."""

    status = 402


class PaymentTimeout(ShopError):
    """The payment gateway did not answer in time."""

    status = 504


class Line(NamedTuple):
    """One item in a cart, with its price."""

    item: int
    name: str
    price_cents: int


class Shop:
    """What the shop does, without HTTP."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._items: list[Any] = []
        self._items_read_at = float("-inf")

    async def list_items(self, request: Request) -> Response:
        """All items, from memory while they are fresh."""
        with tracer.start_as_current_span("list_items") as span:
            if time.monotonic() - self._items_read_at < ITEMS_ARE_FRESH_FOR:
                span.add_event("shop.cache.hit", {"shop.cache.key": "items"})
            else:
                span.add_event("shop.cache.miss", {"shop.cache.key": "items"})
                self._items = await self._store.query(
                    "SELECT", "items", "SELECT id, name, price_cents FROM items WHERE stock > 0"
                )
                self._items_read_at = time.monotonic()
            span.set_attribute("shop.items.count", len(self._items))
            return Response(200, {"items": self._items})

    async def show_cart(self, request: Request, cart: str) -> Response:
        """A cart's lines, their sum, and what else the customer might want."""
        items = await self.load_cart(int(cart))
        lines, recommended = await asyncio.gather(self.price_lines(items), self.recommend(items))
        return Response(200, render_cart(lines, recommended))

    async def checkout(self, request: Request) -> Response:
        """Turns a cart into an order: reserve, charge, write down."""
        try:
            order = json.loads(request.body)
            cart, card = int(order["cart"]), str(order["card"])
        except (ValueError, KeyError, TypeError) as error:
            raise BadRequest('an order is {"cart": number, "card": text}') from error
        items = await self.load_cart(cart)
        lines = await self.price_lines(items)
        total = sum(line.price_cents for line in lines)
        await self.change_stock(items, -1)
        try:
            await self.charge_card(card, total)
        except ShopError:
            await self.change_stock(items, +1)
            raise
        await self._store.query(
            "INSERT",
            "orders",
            "INSERT INTO orders (cart_id, total_cents) VALUES (?, ?)",
            (cart, total),
        )
        span = tracer.active_span()
        if span is not None:
            span.add_event("shop.order.placed", {"shop.order.total_cents": total})
        return Response(201, {"total_cents": total})

    async def load_cart(self, cart: int) -> list[int]:
        """The ids of the items in a cart."""
        with tracer.start_as_current_span("load_cart", attributes={"shop.cart.id": cart}):
            rows = await self._store.query(
                "SELECT",
                "cart_lines",
                "SELECT item_id FROM cart_lines WHERE cart_id = ?",
                (cart,),
            )
            if not rows:
                raise NotFound(f"no cart {cart}")
            return [item for (item,) in rows]

    async def price_lines(self, items: list[int]) -> list[Line]:
        """Looks all prices up at once."""
        with tracer.start_as_current_span("price_lines"):
            rows = await asyncio.gather(
                *[
                    self._store.query(
                        "SELECT",
                        "items",
                        "SELECT id, name, price_cents FROM items WHERE id = ?",
                        (item,),
                    )
                    for item in items
                ]
            )
            return [Line(*row) for (row,) in rows]

    @tracer.start_as_current_span("recommend")
    async def recommend(self, items: list[int]) -> list[str]:
        """What is in the carts of others who have one of these items."""
        marks = ", ".join("?" * len(items))
        rows = await self._store.query(
            "SELECT",
            "cart_lines",
            "SELECT DISTINCT items.name FROM cart_lines AS mine"
            " JOIN cart_lines AS other USING (cart_id) JOIN items ON items.id = other.item_id"
            f" WHERE mine.item_id IN ({marks}) AND other.item_id NOT IN ({marks})",
            items * 2,
        )
        return [name for (name,) in rows]

    async def change_stock(self, items: list[int], by: int) -> None:
        """Takes items off the shelf or puts them back; the database refuses to go below zero."""
        name = "reserve_stock" if by < 0 else "put_back_stock"
        with tracer.start_as_current_span(name, attributes={"shop.items.count": len(items)}):
            marks = ", ".join("?" * len(items))
            try:
                await self._store.query(
                    "UPDATE",
                    "items",
                    f"UPDATE items SET stock = stock + ? WHERE id IN ({marks})",
                    [by, *items],
                )
            except sqlite3.IntegrityError as error:
                raise SoldOut("not enough stock") from error

    async def charge_card(self, card: str, total: int) -> None:
        """Asks the payment gateway for money, and does not wait for ever."""
        with tracer.start_as_current_span(
            "charge_card", attributes={"shop.order.total_cents": total}
        ):
            try:
                await asyncio.wait_for(authorize(card), PAYMENT_TIMEOUT)
            except asyncio.TimeoutError as error:
                raise PaymentTimeout(f"no answer in {PAYMENT_TIMEOUT:g} s") from error


@tracer.start_as_current_span("authorize", kind=SpanKind.CLIENT)
async def authorize(card: str) -> None:
    """Stands in for the payment gateway: the card's last digits say how it answers."""
    await asyncio.sleep(0.02)
    if card.endswith("0002"):
        raise PaymentDeclined("insufficient funds")
    if card.endswith("0009"):
        await asyncio.sleep(5.0)


@tracer.start_as_current_span("render_cart")
def render_cart(lines: list[Line], recommended: list[str]) -> dict[str, object]:
    """The cart as the client gets it."""
    return {
        "lines": [line._asdict() for line in lines],
        "total_cents": sum(line.price_cents for line in lines),
        "recommended": sorted(recommended),
    }


class Service:
    """Speaks HTTP/1.1, one request on each connection."""

    def __init__(self, shop: Shop) -> None:
        self.requests = 0
        self._open: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None
        self._port = 0
        self._routes: tuple[tuple[str, str, Callable[..., Awaitable[Response]]], ...] = (
            ("GET", "/items", shop.list_items),
            ("GET", "/cart/{id}", shop.show_cart),
            ("POST", "/checkout", shop.checkout),
        )

    async def start(self) -> int:
        """Listens on the loopback interface, and says on which port."""
        self._server = await asyncio.start_server(self._connection, "127.0.0.1", 0)
        self._port = self._server.sockets[0].getsockname()[1]
        return self._port

    async def stop(self, timeout: float) -> bool:
        """Stops listening; False when a request was still open after `timeout` seconds."""
        assert self._server is not None
        self._server.close()
        if self._open:
            await asyncio.wait(self._open, timeout=timeout)
        return not self._open

    async def _connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._open.add(task)
        task.add_done_callback(self._open.discard)
        try:
            request = await asyncio.wait_for(read_request(reader), READ_TIMEOUT)
            response = await self._respond(request, writer.get_extra_info("peername"))
            writer.write(as_bytes(response))
            await writer.drain()
        except (OSError, EOFError, ValueError, asyncio.LimitOverrunError, asyncio.TimeoutError):
            pass  # the client left, was too slow, or does not speak HTTP
        finally:
            writer.close()

    async def _respond(self, request: Request, peer: tuple[str, int]) -> Response:
        self.requests += 1
        route, handler, found = self._match(request)
        with tracer.start_as_current_span(
            f"{request.method} {route}" if route else request.method,
            kind=SpanKind.SERVER,
            attributes={
                "http.request.method": request.method,
                "url.scheme": "http",
                "url.path": request.path,
                "server.address": "127.0.0.1",
                "server.port": self._port,
                "client.address": peer[0],
                "network.peer.address": peer[0],
                "network.peer.port": peer[1],
                "network.protocol.version": "1.1",
                "user_agent.original": request.headers.get("user-agent", ""),
            },
        ) as span:
            if request.query:
                span.set_attribute("url.query", request.query)
            if route:
                span.set_attribute("http.route", route)
            try:
                response = await handler(request, *found)
            except ShopError as error:
                response = Response(error.status, {"error": str(error)})
            except Exception as error:
                span.record_error(error)
                response = Response(500, {"error": "internal error"})
            span.set_attribute("http.response.status_code", response.status)
            if response.status >= 500:
                span.set_attribute("error.type", str(response.status))
                span.set_status(StatusCode.ERROR)
            return response

    def _match(
        self, request: Request
    ) -> tuple[str, Callable[..., Awaitable[Response]], tuple[str, ...]]:
        for method, route, handler in self._routes:
            match = re.fullmatch(route.replace("{id}", r"(\d+)"), request.path)
            if match and method == request.method:
                return route, handler, match.groups()
        return "", no_such_page, ()


async def no_such_page(request: Request) -> Response:
    """What every path without a route gets."""
    return Response(404, {"error": f"no page {request.path}"})


async def read_request(reader: asyncio.StreamReader) -> Request:
    """Reads one request; raises ValueError when it is none, EOFError when it is cut off."""
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    start, *fields = head.rstrip("\r\n").split("\r\n")
    method, target, version = start.split(" ")
    if not version.startswith("HTTP/1."):
        raise ValueError(f"not HTTP/1: {version}")
    headers = {
        name.strip().lower(): value.strip()
        for name, _, value in (field.partition(":") for field in fields)
    }
    length = int(headers.get("content-length", "0"))
    if not 0 <= length <= MAX_BODY:
        raise ValueError(f"a body of {length} bytes")
    path, _, query = target.partition("?")
    return Request(method, path, query, headers, await reader.readexactly(length))


def as_bytes(response: Response) -> bytes:
    """The response on the wire."""
    body = json.dumps(response.content).encode()
    return (
        f"HTTP/1.1 {response.status} \r\n"
        "Content-Type: application/json\r\n"
        f"Content-Length: {len(body)}\r\n"
        "Connection: close\r\n\r\n"
    ).encode() + body
