"""Web servers with several workers: gunicorn, uvicorn. Nothing is configured but by `OTEL_*`."""

import socket
from collections import Counter
from contextlib import contextmanager

import pytest

from support.collector import BUILD_TIMEOUT
from support.server import running_server

pytest_plugins = ("support.plugin",)

WSGI = """
import json, os, time
import nanospan
from nanospan import ROOT, tracing

nanospan.configure()
tracing.start_span("import").finish()

def app(environ, start_response):
    with tracing.start_as_current_span("GET /", parent=ROOT) as span:
        with tracing.start_as_current_span("work"):
            time.sleep(0.02)
        body = json.dumps([os.getpid(), span.trace_id_hex]).encode()
    start_response("200 OK", [("Content-Length", str(len(body)))])
    return [body]
"""

ASGI = """
import asyncio, json, os
import nanospan
from nanospan import ROOT, tracing

nanospan.configure()
tracing.start_span("import").finish()

async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        return await lifespan(receive, send)
    with tracing.start_as_current_span("GET /", parent=ROOT) as span:
        with tracing.start_as_current_span("work"):
            await asyncio.sleep(0.02)
        body = json.dumps([os.getpid(), span.trace_id_hex]).encode()
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": body})

async def lifespan(receive, send):
    await receive()
    await send({"type": "lifespan.startup.complete"})
    await receive()
    # uvicorn's workers end themselves by the signal that stopped them: nothing comes after this.
    nanospan.shutdown()
    await send({"type": "lifespan.shutdown.complete"})
"""

SERVERS = {
    "gunicorn sync": ("gunicorn", "--workers=2"),
    "gunicorn sync, preloaded": ("gunicorn", "--workers=2", "--preload"),
    "gunicorn gthread": ("gunicorn", "--workers=2", "--threads=4"),
    "gunicorn gthread, preloaded": ("gunicorn", "--workers=2", "--threads=4", "--preload"),
    "uvicorn": ("uvicorn", "--workers=2", "--port=0"),
}


@contextmanager
def _server(folder, name, endpoint, **env):
    """A server with an exporter that sends nothing before its process ends."""
    module, *words = SERVERS[name]
    if module == "gunicorn":
        words += ["--bind=127.0.0.1:0", "--worker-tmp-dir=/dev/shm"]
    (folder / "served.py").write_text(WSGI if module == "gunicorn" else ASGI)
    env = {
        "OTEL_SERVICE_NAME": "served",
        "OTEL_EXPORTER_OTLP_ENDPOINT": endpoint,
        "OTEL_BSP_SCHEDULE_DELAY": "3600000",
        **env,
    }
    with running_server(folder, module, *words, "served:app", env=env) as server:
        yield server


def _check(spans, answers, server, preloaded):
    """Every request is there once, made by the process that answered it."""
    found = Counter((s["name"], s["resource"]["process.pid"], s["trace_id"]) for s in spans)
    wanted = Counter(
        (name, f"int {pid}", trace_id)
        for pid, trace_ids in answers.items()
        for trace_id in trace_ids
        for name in ("GET /", "work")
    )
    imports = Counter(pid for name, pid, _ in found.elements() if name == "import")
    assert imports == Counter(f"int {pid}" for pid in ([server.pid] if preloaded else answers))
    assert Counter({k: n for k, n in found.items() if k[0] != "import"}) == wanted
    instances = {
        (s["resource"]["process.pid"], s["resource"]["service.instance.id"]) for s in spans
    }
    assert len(instances) == len({pid for pid, _ in instances}) == len({i for _, i in instances})
    assert {s["resource"]["service.name"] for s in spans} == {"str 'served'"}


@pytest.mark.parametrize("name", SERVERS)
def test_the_spans_of_every_worker_arrive_once_and_say_whose_they_are(tmp_path, receiver, name):
    with _server(tmp_path, name, receiver.endpoint) as server:
        answers = server.ask_until_all_answer(2)
        server.stop()
        assert "Traceback" not in server.log()
    _check(receiver.spans(), answers, server, "preloaded" in name)


@pytest.mark.timeout(BUILD_TIMEOUT)
def test_the_spans_of_preloaded_workers_arrive_in_a_collector(tmp_path, collector):
    with _server(tmp_path, "gunicorn gthread, preloaded", collector.endpoint) as server:
        answers = server.ask_until_all_answer(2)
        server.stop()
    _check(collector.spans(), answers, server, preloaded=True)


@pytest.mark.parametrize("name", ["gunicorn sync", "gunicorn gthread", "uvicorn"])
def test_a_collector_that_does_not_answer_delays_a_stop_by_two_seconds_at_most(tmp_path, name):
    def stop_takes(**env):
        with _server(tmp_path, name, endpoint, **env) as server:
            server.ask_until_all_answer(2)
            return server.stop()

    with socket.create_server(("127.0.0.1", 0)) as silent:
        endpoint = f"http://127.0.0.1:{silent.getsockname()[1]}"
        without = stop_takes(OTEL_SDK_DISABLED="true")
        assert 1.0 < stop_takes() - without < 2.5


@pytest.mark.parametrize("name", ["gunicorn sync", "gunicorn gthread", "uvicorn"])
def test_a_collector_that_is_not_there_does_not_delay_a_stop(tmp_path, name):
    def stop_takes(**env):
        with _server(tmp_path, name, endpoint, **env) as server:
            server.ask_until_all_answer(2)
            return server.stop()

    with socket.create_server(("127.0.0.1", 0)) as gone:
        endpoint = f"http://127.0.0.1:{gone.getsockname()[1]}"
    without = stop_takes(OTEL_SDK_DISABLED="true")
    assert stop_takes() - without < 1.0
