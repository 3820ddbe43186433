"""Database spans: a statement, a batch, and a statement that the database refuses."""

import sqlite3
from collections.abc import Sequence
from contextlib import AbstractContextManager, closing, suppress

import nanospan
from nanospan import Span, SpanKind

tracer = nanospan.tracing.new("examples.database", version="1.0")


class Traced:
    """A connection to SQLite with one client span for each call.

    The operation and the table are the caller's to say: the conventions advise against reading
    them out of the text.
    """

    def __init__(self, connection: sqlite3.Connection, database: str) -> None:
        self._connection = connection
        self._database = database

    def execute(
        self, operation: str, table: str, text: str, parameters: Sequence[object] = ()
    ) -> list[tuple[object, ...]]:
        """Runs one statement and gives its rows."""
        with self._span(operation, table, text) as span:
            try:
                rows = self._connection.execute(text, parameters).fetchall()
            except sqlite3.Error as error:
                self._refused(span, error)
                raise
            span.set_attribute("db.response.returned_rows", len(rows))
            return rows

    def executemany(
        self, operation: str, table: str, text: str, batch: Sequence[Sequence[object]]
    ) -> None:
        """Runs one statement for each set of parameters: a batch operation."""
        with self._span(f"BATCH {operation}", table, text) as span:
            span.set_attribute("db.operation.batch.size", len(batch))
            self._connection.executemany(text, batch)

    def _span(self, operation: str, table: str, text: str) -> AbstractContextManager[Span]:
        summary = f"{operation} {table}"
        return tracer.start_as_current_span(
            summary,
            kind=SpanKind.CLIENT,
            attributes={
                "db.system.name": "sqlite",
                "db.namespace": self._database,
                "db.operation.name": operation,
                "db.collection.name": table,
                "db.query.summary": summary,
                "db.query.text": text,
            },
        )

    @staticmethod
    def _refused(span: Span, error: sqlite3.Error) -> None:
        code = getattr(error, "sqlite_errorname", None)  # since Python 3.11
        span.set_attribute("db.response.status_code", code)  # None sets nothing
        span.set_attribute("error.type", code or type(error).__name__)


def example() -> None:
    """Fills the shelves, looks at them, and tries to take what is not there."""
    with (
        closing(sqlite3.connect(":memory:")) as connection,
        tracer.start_as_current_span("restock"),
    ):
        connection.execute("CREATE TABLE items (id INTEGER, stock INTEGER CHECK (stock >= 0))")
        database = Traced(connection, "shop")
        database.executemany(
            "INSERT", "items", "INSERT INTO items VALUES (?, ?)", [(1, 3), (2, 0), (3, 12)]
        )
        database.execute("SELECT", "items", "SELECT id FROM items WHERE stock > ?", [0])
        with suppress(sqlite3.IntegrityError):
            database.execute(
                "UPDATE", "items", "UPDATE items SET stock = stock - 1 WHERE id = ?", [2]
            )


if __name__ == "__main__":
    nanospan.configure(service_name="shop", exporter=nanospan.ConsoleExporter())
    example()
    nanospan.shutdown()
