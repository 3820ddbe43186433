"""A real OpenTelemetry Collector, built from `tests/collector` and run on this machine.

What it acknowledges is in its file: it writes each request to the file, unbuffered, before it
answers, so that even a killed Collector loses nothing that a client may believe to be safe.
"""

import fcntl
import functools
import hashlib
import json
import os
import random
import selectors
import shutil
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, NoReturn

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from support.plain import PlainSpan, json_request, json_spans

_SOURCES = Path(__file__).parent.parent / "collector"
_CACHE = Path(__file__).parent.parent.parent / "target" / "collector"

BUILD_TIMEOUT = 480.0
"""From nothing a build takes a minute or two; pytest ends a run that stands still for ten."""

_START_TIMEOUT = 20.0
_STOP_TIMEOUT = 10.0


class Collector:
    """One Collector and its file."""

    def __init__(self, folder: Path, zipkin: str | None) -> None:
        self._binary = collector_binary()
        self._folder = folder
        self._zipkin = zipkin
        self._process: subprocess.Popen[bytes] | None = None
        self._begin = 0
        self.file = folder / "traces.jsonl"
        self.http_port = self.grpc_port = 0

    @property
    def endpoint(self) -> str:
        """Where it receives OTLP/HTTP."""
        return f"http://127.0.0.1:{self.http_port}"

    def start(self) -> None:
        """Starts it on ports of its own choice; returns when it receives."""
        for _ in range(3):  # another process may take a port between our look and the start
            self.http_port, self.grpc_port = free_ports(2)
            if self._try_to_start():
                return
        raise RuntimeError(f"the Collector does not start: {self._log()}")

    def restart(self) -> None:
        """Starts it again on its ports, after `kill` or `stop`; it goes on in the same file."""
        if not self._try_to_start():
            raise RuntimeError(f"the Collector does not start again: {self._log()}")

    def kill(self) -> None:
        """Ends it at once, whatever it is doing.

        A line that it was writing is cut off: it was never acknowledged.
        """
        assert self._process is not None, "the Collector does not run"
        self._process.kill()
        self._reap(self._process)
        with self.file.open("ab+") as file:
            file.truncate(_end_of_last_line(file))

    def stop(self) -> None:
        """Lets it end in its own time, if it runs; fails if it ends badly."""
        if self._process is None:
            return
        process = self._process
        assert process.stdin is not None
        process.stdin.close()
        try:
            process.wait(_STOP_TIMEOUT)
        except subprocess.TimeoutExpired:
            process.kill()
            raise
        finally:
            self._reap(process)
        assert process.returncode == 0, self._log()

    def requests(self) -> list[ExportTraceServiceRequest]:
        """Every acknowledged request, as Google's protobuf reads the Collector's JSON."""
        return [json_request(line) for line in self.lines()]

    def spans(self) -> list[PlainSpan]:
        """Every acknowledged span."""
        return json_spans("".join(self.lines()))

    def lines(self) -> Iterator[str]:
        """The lines of its file, without one that it is still writing."""
        if self.file.exists():
            with self.file.open(encoding="utf-8", newline="\n") as file:
                file.seek(self._begin)
                yield from (line for line in file if line.endswith("\n"))

    def forget(self) -> None:
        """From now on shows only what comes later."""
        if self.file.exists():
            self._begin = self.file.stat().st_size

    def _try_to_start(self) -> bool:
        assert self._process is None, "the Collector runs already"
        config = self._folder / "collector.json"
        config.write_text(json.dumps(self._config()))
        with (self._folder / "collector.log").open("ab") as log:
            self._process = process = subprocess.Popen(
                [self._binary, config], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log
            )
        if says_ready(process):
            return True
        process.kill()
        self._reap(process)
        return False

    def _reap(self, process: subprocess.Popen[bytes]) -> None:
        process.wait(_STOP_TIMEOUT)
        for pipe in (process.stdin, process.stdout):
            assert pipe is not None
            pipe.close()
        self._process = None

    def _log(self) -> str:
        return (self._folder / "collector.log").read_text(errors="replace")[-2000:]

    def _config(self) -> dict[str, Any]:
        # The file exporter writes through a buffer, and acknowledges what is in there, unless it
        # rotates its files. So it rotates, at a size that no test reaches.
        exporters: dict[str, Any] = {
            "file": {"path": str(self.file), "rotation": {"max_megabytes": 1_000_000}},
        }
        if self._zipkin:
            exporters["zipkin"] = {
                "endpoint": self._zipkin,
                "sending_queue": {"enabled": False},
                "retry_on_failure": {"enabled": False},
            }
        protocols = {
            "http": {"endpoint": f"127.0.0.1:{self.http_port}"},
            "grpc": {"endpoint": f"127.0.0.1:{self.grpc_port}"},
        }
        pipeline = {"receivers": ["otlp"], "exporters": sorted(exporters)}
        return {
            "receivers": {"otlp": {"protocols": protocols}},
            "exporters": exporters,
            "service": {"pipelines": {"traces": pipeline}},
        }


@contextmanager
def running_collector(folder: Path, *, zipkin: str | None = None) -> Iterator[Collector]:
    """A Collector that receives for the length of a `with` block, and keeps its file in `folder`.

    `zipkin` is the address of a Zipkin server that gets every span as well, before the Collector
    acknowledges it.
    """
    collector = Collector(folder, zipkin)
    collector.start()
    try:
        yield collector
    finally:
        collector.stop()


def says_ready(process: subprocess.Popen[bytes]) -> bool:
    """Waits for its word; False when it ended instead, or said nothing in time."""
    assert process.stdout is not None
    with selectors.DefaultSelector() as selector:
        selector.register(process.stdout, selectors.EVENT_READ)
        return bool(selector.select(_START_TIMEOUT)) and process.stdout.readline() == b"ready\n"


def free_ports(count: int) -> list[int]:
    """Ports that nobody listens on, below those that the kernel gives to outgoing connections.

    Among the latter, a client that keeps trying a port while the Collector is down is one day
    given that very port as its own, and connects to itself.
    """
    system = random.SystemRandom()  # the other one is seeded alike in every run of the tests
    ports: list[int] = []
    while len(ports) < count:
        port = system.randrange(20_000, 32_000)
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        if port not in ports:
            ports.append(port)
    return ports


@functools.cache
def collector_binary() -> Path:
    """Builds it, once for each version of its sources.

    Without Go the test is skipped, or fails where NANOSPAN_REQUIRE_COLLECTOR is 1.
    """
    sources = b"".join((_SOURCES / name).read_bytes() for name in ("main.go", "go.mod", "go.sum"))
    binary = _CACHE / hashlib.sha256(sources).hexdigest()[:16]
    if binary.exists():
        return binary
    go = shutil.which("go")
    if go is None:
        _unavailable("Go is not installed")
    _CACHE.mkdir(parents=True, exist_ok=True)
    with (_CACHE / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # one build at a time; the others wait for it
        if not binary.exists():
            _build(go, binary)
    return binary


def _build(go: str, binary: Path) -> None:
    new_enough = subprocess.run(
        [go, "list", "-m"], cwd=_SOURCES, capture_output=True, text=True, timeout=60
    )
    if new_enough.returncode:
        _unavailable(f"this Go cannot build the Collector: {new_enough.stderr.strip()}")
    unfinished = binary.with_suffix(".unfinished")
    built = subprocess.run(
        [go, "build", "-buildvcs=false", "-trimpath", "-ldflags=-s -w", "-o", unfinished],
        cwd=_SOURCES,
        capture_output=True,
        text=True,
        timeout=BUILD_TIMEOUT,
    )
    if built.returncode:
        raise RuntimeError(f"the Collector does not build: {built.stderr[-2000:]}")
    unfinished.replace(binary)


def _unavailable(reason: str) -> NoReturn:
    if os.environ.get("NANOSPAN_REQUIRE_COLLECTOR") == "1":
        pytest.fail(f"NANOSPAN_REQUIRE_COLLECTOR is 1, but {reason}")
    pytest.skip(f"needs the OpenTelemetry Collector, but {reason}")


def _end_of_last_line(file: BinaryIO) -> int:
    """How much of the file is whole lines."""
    at = file.seek(0, os.SEEK_END)
    while at:
        begin = max(0, at - 65_536)
        file.seek(begin)
        newline = file.read(at - begin).rfind(b"\n")
        if newline >= 0:
            return begin + newline + 1
        at = begin
    return 0
