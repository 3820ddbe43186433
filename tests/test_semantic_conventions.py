"""The examples of the semantic conventions: their whole spans, and every name they use."""

import ast
import importlib
import importlib.util
import pkgutil
import re
import sys
import threading
from collections.abc import Iterator
from functools import cache
from itertools import pairwise
from pathlib import Path
from types import ModuleType
from typing import Any

import opentelemetry.semconv._incubating.attributes
import opentelemetry.semconv.attributes
import pytest

import nanospan
from support.recording import Recording

pytest_plugins = ["support.plugin"]

ROOT = Path(__file__).parent.parent
EXAMPLES = ROOT / "examples" / "semantic_conventions"
FAMILIES = sorted(path.stem for path in EXAMPLES.glob("*.py"))


def example(family: str) -> ModuleType:
    """The family's program as a module, under a name that hides no module of Python."""
    spec = importlib.util.spec_from_file_location(f"example_{family}", EXAMPLES / f"{family}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def whole_spans(recording: Recording) -> list[dict[str, Any]]:
    """All that the conventions speak of, in start order; a span id reads as its span's name."""
    spans = sorted(recording.spans(), key=lambda span: span.start_time_ns)
    names = {span.span_id: span.name for span in spans}
    return [
        {
            "name": span.name,
            "kind": span.kind.name,
            "parent": names[span.parent_id] if span.parent_id else None,
            "attributes": span.attributes,
            "events": [(event.name, without_stack(event.attributes)) for event in span.events],
            "links": [(names[link.context.span_id], link.attributes) for link in span.links],
            "status": (span.status.name, span.status_description),
        }
        for span in spans
    ]


def without_stack(attributes: dict[str, Any]) -> dict[str, Any]:
    """The stack trace names lines of files, so only its last line is kept."""
    if "exception.stacktrace" in attributes:
        stack = attributes["exception.stacktrace"]
        assert stack.startswith("Traceback (most recent call last):\n")
        return {**attributes, "exception.stacktrace": stack.strip().splitlines()[-1]}
    return attributes


def expected(
    name: str,
    kind: str = "INTERNAL",
    parent: str | None = None,
    attributes: dict[str, Any] | None = None,
    events: list[tuple[str, dict[str, Any]]] | None = None,
    links: list[tuple[str, dict[str, Any]]] | None = None,
    status: tuple[str, str | None] = ("UNSET", None),
) -> dict[str, Any]:
    """A whole span, with what most spans do not have left out."""
    return {
        "name": name,
        "kind": kind,
        "parent": parent,
        "attributes": attributes or {},
        "events": events or [],
        "links": links or [],
        "status": status,
    }


def test_general(recording: Recording) -> None:
    module = example("general")
    seen = module.example()
    thread = next(span for span in recording.spans() if span.name == "answer").attributes
    assert isinstance(thread["thread.id"], int)
    assert thread["thread.id"] != threading.get_ident()
    line = module.answer_of_everything.__code__.co_firstlineno
    spans = {span["name"]: span for span in whole_spans(recording)}
    assert spans == {
        "ask": expected(
            "ask",
            "CLIENT",
            attributes={
                "server.address": "localhost",
                "server.port": seen["server"][1],
                "service.peer.name": "echo",
                "network.transport": "tcp",
                "network.type": "ipv4",
                "network.local.address": "127.0.0.1",
                "network.local.port": seen["client"][1],
                "network.peer.address": "127.0.0.1",
                "network.peer.port": seen["server"][1],
            },
        ),
        "answer": expected(
            "answer",
            "SERVER",
            attributes={
                "client.address": "127.0.0.1",
                "client.port": seen["client"][1],
                "network.protocol.name": "echo",
                "thread.id": thread["thread.id"],
                "thread.name": "echo-1",
            },
        ),
        "throw": expected(
            "throw",
            "PRODUCER",
            attributes={
                "source.address": "127.0.0.1",
                "source.port": seen["source"][1],
                "destination.address": "127.0.0.1",
                "destination.port": seen["destination"][1],
                "network.transport": "udp",
            },
        ),
        "answer_of_everything": expected(
            "answer_of_everything",
            attributes={
                "code.function.name": "example_general.answer_of_everything",
                "code.file.path": str(EXAMPLES / "general.py"),
                "code.line.number": line,
            },
        ),
    }


def test_http(recording: Recording) -> None:
    example("http").example()
    ask = {
        "http.request.method": "GET",
        "url.full": "http://stock.example:8080/items?id=4",
        "server.address": "stock.example",
        "server.port": 8080,
        "network.protocol.version": "1.1",
    }
    assert whole_spans(recording) == [
        expected(
            "GET /cart/{id}",
            "SERVER",
            attributes={
                "http.request.method": "GET",
                "http.route": "/cart/{id}",
                "url.scheme": "https",
                "url.path": "/cart/7",
                "url.query": "currency=eur",
                "server.address": "shop.example",
                "server.port": 443,
                "client.address": "203.0.113.9",
                "network.peer.address": "10.0.0.2",
                "network.peer.port": 51234,
                "network.protocol.version": "1.1",
                "user_agent.original": "curl/8.5.0",
                "http.request.header.x-request-id": ("5d0c",),
                "http.response.status_code": 200,
            },
        ),
        expected(
            "GET",
            "CLIENT",
            parent="GET /cart/{id}",
            attributes={**ask, "http.response.status_code": 503, "error.type": "503"},
            status=("ERROR", None),
        ),
        expected(
            "GET",
            "CLIENT",
            parent="GET /cart/{id}",
            attributes={**ask, "http.request.resend_count": 1, "http.response.status_code": 200},
        ),
    ]


def test_database(recording: Recording) -> None:
    example("database").example()
    items = {"db.system.name": "sqlite", "db.namespace": "shop", "db.collection.name": "items"}
    message = "CHECK constraint failed: stock >= 0"
    # The sqlite3 module tells SQLite's own code since Python 3.11.
    known = sys.version_info >= (3, 11)
    code = "SQLITE_CONSTRAINT_CHECK" if known else "IntegrityError"
    assert whole_spans(recording) == [
        expected("restock"),
        expected(
            "BATCH INSERT items",
            "CLIENT",
            parent="restock",
            attributes={
                **items,
                "db.operation.name": "BATCH INSERT",
                "db.operation.batch.size": 3,
                "db.query.summary": "BATCH INSERT items",
                "db.query.text": "INSERT INTO items VALUES (?, ?)",
            },
        ),
        expected(
            "SELECT items",
            "CLIENT",
            parent="restock",
            attributes={
                **items,
                "db.operation.name": "SELECT",
                "db.query.summary": "SELECT items",
                "db.query.text": "SELECT id FROM items WHERE stock > ?",
                "db.response.returned_rows": 2,
            },
        ),
        expected(
            "UPDATE items",
            "CLIENT",
            parent="restock",
            attributes={
                **items,
                "db.operation.name": "UPDATE",
                "db.query.summary": "UPDATE items",
                "db.query.text": "UPDATE items SET stock = stock - 1 WHERE id = ?",
                **({"db.response.status_code": code} if known else {}),
                "error.type": code,
            },
            events=[
                (
                    "exception",
                    {
                        "exception.type": "sqlite3.IntegrityError",
                        "exception.message": message,
                        "exception.stacktrace": f"sqlite3.IntegrityError: {message}",
                    },
                )
            ],
            status=("ERROR", f"IntegrityError: {message}"),
        ),
    ]


def test_rpc(recording: Recording) -> None:
    example("rpc").example()
    stock = {
        "rpc.system.name": "grpc",
        "server.address": "stock.example",
        "server.port": 50051,
    }
    reserve, release = "shop.Stock/Reserve", "shop.Stock/Release"
    assert whole_spans(recording) == [
        expected("checkout"),
        expected(
            reserve,
            "CLIENT",
            parent="checkout",
            attributes={
                **stock,
                "rpc.method": reserve,
                "rpc.request.metadata.x-tenant": ("blue",),
                "rpc.response.status_code": "NOT_FOUND",
                "error.type": "NOT_FOUND",
            },
            status=("ERROR", None),
        ),
        expected(
            reserve,
            "SERVER",
            parent=reserve,
            attributes={
                **stock,
                "rpc.method": reserve,
                "client.address": "10.0.0.7",
                "client.port": 40112,
                "network.peer.address": "10.0.0.7",
                "network.peer.port": 40112,
                "network.transport": "tcp",
                "rpc.response.status_code": "NOT_FOUND",
            },
        ),
        expected(
            release,
            "CLIENT",
            parent="checkout",
            attributes={
                **stock,
                "rpc.method": release,
                "rpc.request.metadata.x-tenant": ("blue",),
                "rpc.response.status_code": "DEADLINE_EXCEEDED",
                "error.type": "DEADLINE_EXCEEDED",
            },
            status=("ERROR", None),
        ),
    ]


def test_messaging(recording: Recording) -> None:
    example("messaging").example()
    topic = {
        "messaging.system": "kafka",
        "messaging.destination.name": "orders",
        "messaging.destination.partition.id": "0",
    }
    create, receive, process = (
        {**topic, "messaging.operation.name": name, "messaging.operation.type": kind}
        for name, kind in (("create", "create"), ("poll", "receive"), ("process", "process"))
    )
    group = {"messaging.consumer.group.name": "mailers"}
    created = ("create orders", {})
    assert whole_spans(recording) == [
        expected("checkout"),
        *[
            expected(
                "create orders",
                "PRODUCER",
                parent="checkout",
                attributes={
                    **create,
                    "messaging.kafka.message.key": key,
                    "messaging.message.body.size": size,
                },
            )
            for key, size in (("order-1", 15), ("order-2", 14))
        ],
        expected(
            "send orders",
            "CLIENT",
            parent="checkout",
            attributes={
                **topic,
                "messaging.operation.name": "send",
                "messaging.operation.type": "send",
                "messaging.client.id": "shop-1",
                "messaging.batch.message_count": 2,
            },
            links=[created, created],
        ),
        expected("mailer"),
        expected(
            "poll orders",
            "CLIENT",
            parent="mailer",
            attributes={**receive, **group, "messaging.batch.message_count": 2},
            links=[created, created],
        ),
        *[
            expected(
                "process orders",
                "CONSUMER",
                parent="mailer",
                attributes={
                    **process,
                    **group,
                    "messaging.kafka.message.key": f"order-{offset + 1}",
                    "messaging.kafka.offset": offset,
                },
                links=[created],
            )
            for offset in (0, 1)
        ],
    ]


def test_a_message_is_linked_to_the_span_that_created_it(recording: Recording) -> None:
    example("messaging").example()
    key = "messaging.kafka.message.key"
    created = {
        span.attributes[key]: span.span_id
        for span in recording.spans()
        if span.name == "create orders"
    }
    processed = {
        span.attributes[key]: span.links[0].context.span_id
        for span in recording.spans()
        if span.name == "process orders"
    }
    assert created == processed


def test_faas(recording: Recording) -> None:
    module = example("faas")
    module.example()
    assert whole_spans(recording) == [
        expected(
            "nightly-report",
            "SERVER",
            attributes={
                "faas.trigger": "timer",
                "faas.invocation_id": "af9d5aa4",
                "faas.coldstart": True,
                "faas.time": "2026-11-23T03:00:00Z",
                "faas.cron": "0 3 * * *",
                "cloud.resource_id": module.ARN,
            },
        ),
        expected(
            "send-mail",
            "CLIENT",
            parent="nightly-report",
            attributes={
                "faas.invoked_name": "send-mail",
                "faas.invoked_provider": "aws",
                "faas.invoked_region": "eu-west-1",
            },
        ),
        expected(
            "nightly-report",
            "SERVER",
            attributes={
                "faas.trigger": "datasource",
                "faas.invocation_id": "c0ffee11",
                "faas.coldstart": False,
                "faas.document.collection": "reports",
                "faas.document.operation": "insert",
                "faas.document.time": "2026-11-23T03:00:02Z",
                "faas.document.name": "2026-11-22.csv",
                "cloud.resource_id": module.ARN,
            },
        ),
    ]


def test_exceptions(recording: Recording) -> None:
    example("exceptions").example()

    def refused(card: str) -> tuple[str, dict[str, Any]]:
        kind, message = "example_exceptions.CardRefused", f"card ending in {card}"
        return "exception", {
            "exception.type": kind,
            "exception.message": message,
            "exception.stacktrace": f"{kind}: {message}",
        }

    assert whole_spans(recording) == [
        expected("checkout"),
        expected(
            "ask_cache",
            parent="checkout",
            events=[("exception", {"exception.message": "cache did not answer"})],
        ),
        expected("try_first_card", parent="checkout", events=[refused("0002")]),
        expected(
            "try_second_card",
            parent="checkout",
            events=[refused("0005")],
            status=("ERROR", "CardRefused: card ending in 0005"),
        ),
        expected(
            "try_third_card",
            parent="checkout",
            attributes={"error.type": "no_card_left"},
            events=[refused("0008")],
            status=("ERROR", "no card left to try"),
        ),
    ]


def test_compatibility(recording: Recording) -> None:
    example("compatibility").example()
    assert whole_spans(recording) == [
        expected("upload"),
        expected("upload 2"),
        expected("schedule"),
        expected(
            "import",
            parent="schedule",
            attributes={"thread.name": "importer"},
            events=[("row.skipped", {"code.line.number": 17})],
            links=[
                ("upload", {"opentracing.ref_type": "follows_from"}),
                ("upload 2", {"opentracing.ref_type": "follows_from"}),
                ("schedule", {"opentracing.ref_type": "child_of"}),
            ],
            status=("ERROR", None),
        ),
    ]


def test_what_is_the_same_for_all_invocations_of_a_function_is_on_the_resource() -> None:
    module, memory = example("faas"), nanospan.MemoryExporter()
    nanospan.configure(service_name="reports", resource=module.RESOURCE, exporter=memory)
    module.example()
    sdk = {"name": "nanospan", "language": "python", "version": nanospan.__version__}
    expected_resource = {
        "service.name": "reports",
        **module.RESOURCE,
        **{f"telemetry.sdk.{key}": value for key, value in sdk.items()},
    }
    for span in memory.spans():
        assert span.resource == {**span.resource, **expected_resource}
    assert len(memory.spans()) == 3


def test_every_detected_name_is_published_with_its_value() -> None:
    memory = nanospan.MemoryExporter()
    nanospan.configure(exporter=memory)
    nanospan.tracing.start_span("x").finish()
    (span,) = memory.spans()
    assert "host.arch" in span.resource
    for name, value in span.resource.items():
        values = values_of(name)
        assert values is not None, name
        # An SDK that is not OpenTelemetry's own has a name of its own.
        assert not values or value in values or name == "telemetry.sdk.name", (name, value)


@cache
def published() -> dict[str, set[str]]:
    """Each published name that is not deprecated, with its well-known values, if it has any."""
    names: dict[str, set[str]] = {}
    for package in (
        opentelemetry.semconv.attributes,
        opentelemetry.semconv._incubating.attributes,
    ):
        for found in pkgutil.iter_modules(package.__path__):
            module = importlib.import_module(f"{package.__name__}.{found.name}")
            assert module.__file__ is not None
            body = ast.parse(Path(module.__file__).read_text(encoding="utf-8")).body
            for constant, docs in pairwise(body):
                match constant, docs:
                    case (
                        ast.AnnAssign(target=ast.Name(id=key), value=ast.Constant(value=name)),
                        ast.Expr(value=ast.Constant(value=str(text))),
                    ) if not text.strip().startswith("Deprecated: "):
                        name = f"{name}.*" if key.endswith("_TEMPLATE") else name
                        values = key.title().replace("_", "") + "Values"
                        known = getattr(module, values, ())
                        names.setdefault(name, set()).update(member.value for member in known)
    return names


def values_of(name: str) -> set[str] | None:
    """The well-known values of a published name, None when it is not published."""
    return published().get(name, published().get(f"{name.rpartition('.')[0]}.*"))


def literal_names(path: Path) -> Iterator[str]:
    """What a program writes out as attribute names: keys of dicts, and keys of `set_attribute`."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        match node:
            case ast.Dict(keys=keys):
                found = keys
            case ast.Call(func=ast.Attribute(attr="set_attribute"), args=[key, *_]):
                found = [key]
            case _:
                continue
        for key in found:
            if isinstance(key, ast.Constant) and isinstance(key.value, str) and "." in key.value:
                yield key.value


@pytest.mark.parametrize(
    "path",
    [
        pytest.param(path, id=f"{path.parent.name}/{path.name}")
        for path in sorted((ROOT / "examples").glob("*/*.py"))
    ],
)
def test_every_name_that_an_example_writes_is_published(path: Path) -> None:
    names = {name for name in literal_names(path) if not name.startswith("shop.")}
    assert {name for name in names if values_of(name) is None} == set()
    assert names or path.name in {"__init__.py", "load.py"}


@pytest.mark.parametrize("family", FAMILIES)
def test_every_recorded_name_is_published_with_its_value(recording: Recording, family: str) -> None:
    example(family).example()
    recorded = [
        pair
        for span in recording.spans()
        for attributes in (
            span.attributes,
            *(event.attributes for event in span.events),
            *(link.attributes for link in span.links),
        )
        for pair in attributes.items()
    ]
    assert recorded
    for name, value in recorded:
        values = values_of(name)
        assert values is not None, name
        # error.type has one well-known value, for instrumentations without values of their own.
        assert not values or value in values or name == "error.type", (name, value)


@pytest.mark.parametrize("family", FAMILIES)
def test_the_docs_name_what_the_example_shows(family: str) -> None:
    page = (ROOT / "docs" / "semantic-conventions.md").read_text(encoding="utf-8")
    (row,) = [line for line in page.splitlines() if f"| `{family}.py` |" in line]
    shown = set(literal_names(EXAMPLES / f"{family}.py"))
    set_by_nanospan = {name for name in published() if name.startswith("exception.")}
    assert names_in(row)
    assert names_in(row) <= shown | set_by_nanospan


def test_the_docs_tell_older_names_from_published_ones() -> None:
    page = (ROOT / "docs" / "semantic-conventions.md").read_text(encoding="utf-8")
    changes = page.partition("## Names that changed")[2].partition("## ")[0]
    rows = [line.split("|")[1:3] for line in changes.splitlines() if line.startswith("| `")]
    assert len(rows) > 5
    for was, now in rows:
        assert {name: values_of(name) for name in names_in(was)} == dict.fromkeys(names_in(was))
        assert None not in {name: values_of(name) for name in names_in(now)}.values(), now


def names_in(text: str) -> set[str]:
    """What stands there as code and has a dot in it, but for file names."""
    names = set(re.findall(r"`([a-z_]+(?:\.[a-z_-]+)+)`", text))
    return {name for name in names if not name.endswith(".py")}
