"""The shop's database: SQLite in a file, one span for each query."""

import asyncio
import sqlite3
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import nanospan
from nanospan import SpanKind

tracer = nanospan.tracing.new("shop.store")

ITEMS = (
    ("teapot", 2900, 100_000),
    ("kettle", 4500, 100_000),
    ("cup", 700, 100_000),
    ("tray", 1800, 100_000),
    ("strainer", 900, 100_000),
    ("samovar", 39_900, 0),
)
SOLD_OUT_CART = 9
CARTS = {cart: [(cart + step) % 5 + 1 for step in range(cart % 3 + 1)] for cart in range(1, 9)}
CARTS[SOLD_OUT_CART] = [1, 6]

SCHEMA = """
PRAGMA journal_mode = WAL;
CREATE TABLE items (
    id INTEGER PRIMARY KEY,
    name TEXT NOT NULL,
    price_cents INTEGER NOT NULL,
    stock INTEGER NOT NULL CHECK (stock >= 0)
);
CREATE TABLE cart_lines (cart_id INTEGER NOT NULL, item_id INTEGER NOT NULL REFERENCES items (id));
CREATE TABLE orders (
    id INTEGER PRIMARY KEY,
    cart_id INTEGER NOT NULL,
    total_cents INTEGER NOT NULL
);
"""


class Store:
    """Queries run in worker threads; `asyncio.to_thread` carries the active span there."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def create(self) -> None:
        """Makes the tables and puts something on the shelves."""
        with closing(self._connect()) as connection, connection:
            connection.executescript(SCHEMA)
            connection.executemany(
                "INSERT INTO items (name, price_cents, stock) VALUES (?, ?, ?)", ITEMS
            )
            connection.executemany(
                "INSERT INTO cart_lines VALUES (?, ?)",
                [(cart, item) for cart, items in CARTS.items() for item in items],
            )

    async def query(
        self, operation: str, collection: str, text: str, parameters: Sequence[object] = ()
    ) -> list[Any]:
        """The rows that `text` gives, each a tuple."""
        return await asyncio.to_thread(self._query, operation, collection, text, parameters)

    def _query(
        self, operation: str, collection: str, text: str, parameters: Sequence[object]
    ) -> list[Any]:
        with tracer.start_as_current_span(
            f"{operation} {collection}",
            kind=SpanKind.CLIENT,
            attributes={
                "db.system.name": "sqlite",
                "db.namespace": self.path.name,
                "db.operation.name": operation,
                "db.collection.name": collection,
                "db.query.text": text,
            },
        ) as span:
            try:
                with closing(self._connect()) as connection, connection:
                    rows = connection.execute(text, parameters).fetchall()
            except sqlite3.Error as error:
                span.set_attribute("error.type", type(error).__name__)
                raise
            span.set_attribute("db.response.returned_rows", len(rows))
            return rows

    def _connect(self) -> sqlite3.Connection:
        return sqlite3.connect(self.path, timeout=2.0)
