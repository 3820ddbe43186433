"""Tries the nanospan that is installed: a program with no dependencies, away from the sources.

python -I tests/smoke.py
"""

import importlib.metadata
import logging
import multiprocessing
import os
import subprocess
import sys
import tempfile
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import nanospan
from nanospan import FileExporter, OtlpExporter, StatusCode, tracing


def traced(name: str) -> None:
    with tracing.start_as_current_span(name) as span:
        span.set_attribute("http.route", "/cart")
        with tracing.start_as_current_span(f"inside {name}") as inner:
            inner.add_event("cache.miss", {"key": "cart:7"})
            inner.set_status(StatusCode.ERROR, "why not")


def the_package_is_the_installed_one() -> None:
    package = Path(nanospan.__file__).parent
    assert package.is_relative_to(sys.prefix), package
    assert (package / "py.typed").exists()
    assert importlib.metadata.version("nanospan") == nanospan.__version__
    needed = importlib.metadata.requires("nanospan") or []
    assert all("extra ==" in need for need in needed), needed
    assert {d.name for d in importlib.metadata.distributions()} <= {"nanospan", "pip", "setuptools"}
    assert tracing.start_span("not configured").is_recording() is False


def spans_arrive_in_a_file_from_this_process_and_from_children(folder: Path) -> None:
    file = folder / "traces.jsonl"
    nanospan.configure(service_name="smoke", exporter=FileExporter(file))
    traced("parent")
    if pid := os.fork():
        assert os.waitpid(pid, 0)[1] == 0
    else:
        traced("child")
        os._exit(not nanospan.shutdown())
    worker = multiprocessing.get_context("fork").Process(target=traced, args=("worker",))
    worker.start()
    worker.join(20)
    assert worker.exitcode == 0
    assert nanospan.shutdown()
    text = file.read_text()
    for name in ("parent", "child", "worker"):
        assert text.count(f'"inside {name}"') == 1, text
    command = [Path(sys.executable).parent / "nanospan", "view", file]
    drawn = subprocess.run(command, capture_output=True, text=True, timeout=20, check=True)
    assert "inside worker" in drawn.stdout, drawn


def spans_arrive_over_http() -> None:
    bodies = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            bodies.append(self.rfile.read(int(self.headers["content-length"])))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        nanospan.configure(exporter=OtlpExporter(f"http://127.0.0.1:{server.server_port}"))
        traced("sent")
        assert nanospan.flush(timeout=20), nanospan.stats()
        assert nanospan.shutdown()
        # What it says then is that the other side speaks no TLS.
        nanospan.configure(exporter=OtlpExporter(f"https://127.0.0.1:{server.server_port}"))
        traced("encrypted")
        assert not nanospan.flush(timeout=1)
        assert "TLS" in str(nanospan.stats()["last_error"]), nanospan.stats()
        nanospan.shutdown(timeout=0)
        server.shutdown()
    assert b"inside sent" in b"".join(bodies)


if __name__ == "__main__":
    logging.getLogger("nanospan").addHandler(logging.NullHandler())
    the_package_is_the_installed_one()
    with tempfile.TemporaryDirectory() as folder:
        spans_arrive_in_a_file_from_this_process_and_from_children(Path(folder))
    spans_arrive_over_http()
    print(f"nanospan {nanospan.__version__} works in {sys.prefix}")
