"""The suites of OpenTelemetry's contrib packages that are run, and what each takes.

Versions stand in constraints.txt.
"""

from typing import NamedTuple

BASE = (
    "opentelemetry-api",
    "opentelemetry-sdk",
    "opentelemetry-test-utils",
    "pytest",
    "pytest-timeout",
    "hatchling",  # pip asks it what a source distribution is called
)
"""What every environment has beside the suites' own packages."""

CONTRIB_VERSION = "0.66b1"


class Suite(NamedTuple):
    """The tests of one `opentelemetry-instrumentation-*`."""

    name: str
    passes: int
    """So many of its tests pass with the genuine SDK at least, on every supported Python."""
    needs: tuple[str, ...] = ()
    """What its tests import beside what the package itself depends on."""
    fast: bool = False
    """Is part of `make contrib-sample`: quick to install, quick to run."""

    @property
    def package(self) -> str:
        return f"opentelemetry-instrumentation-{self.name}"

    @property
    def folder(self) -> str:
        """Its source distribution, unpacked."""
        return f"{self.package.replace('-', '_')}-{CONTRIB_VERSION}"


SUITES = (
    Suite("aiohttp-client", 48, ("aiohttp", "http-server-mock")),
    Suite("aiohttp-server", 34, ("aiohttp", "pytest-aiohttp", "pytest-asyncio")),
    Suite("asgi", 93, fast=True),
    Suite("asyncio", 23, ("pytest-asyncio",), fast=True),
    Suite("celery", 30, ("celery",)),
    Suite("click", 8, ("click", "flask", "opentelemetry-instrumentation-flask"), fast=True),
    Suite("dbapi", 58, fast=True),
    Suite("django", 77, ("django", "opentelemetry-instrumentation-asgi"), fast=True),
    Suite("falcon", 41, ("falcon",)),
    Suite("fastapi", 107, ("fastapi", "httpx", "requests"), fast=True),
    Suite("flask", 60, ("flask",), fast=True),
    Suite("grpc", 156, ("grpcio", "protobuf"), fast=True),
    Suite("httpx", 179, ("httpx", "httpx2", "respx")),
    Suite("jinja2", 9, ("jinja2",), fast=True),
    Suite("kafka-python", 14, ("kafka-python",)),
    Suite("logging", 71, fast=True),
    Suite("pika", 33, ("pika",)),
    Suite("pymemcache", 40, ("pymemcache",)),
    Suite("pymongo", 24, ("pymongo",)),
    Suite("pyramid", 32, ("pyramid", "setuptools", "werkzeug")),
    Suite("redis", 68, ("redis", "fakeredis"), fast=True),
    Suite("requests", 80, ("requests", "mocket"), fast=True),
    Suite("sqlalchemy", 60, ("sqlalchemy", "aiosqlite", "greenlet"), fast=True),
    Suite("sqlite3", 11, fast=True),
    Suite("starlette", 62, ("starlette", "httpx", "requests"), fast=True),
    Suite("threading", 14, fast=True),
    Suite("tornado", 47, ("tornado", "http-server-mock")),
    Suite("urllib", 42, ("mocket",), fast=True),
    Suite("urllib3", 61, ("urllib3", "mocket"), fast=True),
    Suite("wsgi", 52, fast=True),
)
