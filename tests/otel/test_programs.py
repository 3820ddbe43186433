"""Flask, Django and FastAPI behind their servers, traced by what OpenTelemetry's packages record.

No program names nanospan: it is loaded by `opentelemetry-instrument`, or by a variable.
"""

import time
from collections import Counter
from contextlib import contextmanager

import pytest

from support.collector import BUILD_TIMEOUT
from support.programs import INSTRUMENT, needs_group_otel, without_other_distros
from support.server import running_server

needs_group_otel()

pytest_plugins = ("support.plugin",)

FLASK = """
import os
from flask import Flask
from opentelemetry import trace

tracer = trace.get_tracer("shop", "1.2")
app = Flask("shop")

@app.get("/")
def cart():
    with tracer.start_as_current_span("load_cart"):
        span = trace.get_current_span()
    return [os.getpid(), trace.format_trace_id(span.get_span_context().trace_id)]
"""

FLASK_IN_CODE = """
from opentelemetry.instrumentation.flask import FlaskInstrumentor
FlaskInstrumentor().instrument_app(app)
"""

FASTAPI = """
import os
from fastapi import FastAPI
from opentelemetry import trace

tracer = trace.get_tracer("shop", "1.2")
app = FastAPI()

@app.get("/")
async def cart():
    with tracer.start_as_current_span("load_cart"):
        span = trace.get_current_span()
    return [os.getpid(), trace.format_trace_id(span.get_span_context().trace_id)]
"""

FASTAPI_IN_CODE = """
from opentelemetry.instrumentation.fastapi import FastAPIInstrumentor
FastAPIInstrumentor.instrument_app(app)
"""

DJANGO = """
import os
from django.core.wsgi import get_wsgi_application
from django.http import JsonResponse
from django.urls import path
from opentelemetry import trace

SECRET_KEY, ROOT_URLCONF, ALLOWED_HOSTS = "none", "served", ["127.0.0.1"]
tracer = trace.get_tracer("shop", "1.2")

def cart(request):
    with tracer.start_as_current_span("load_cart"):
        span = trace.get_current_span()
    trace_id = trace.format_trace_id(span.get_span_context().trace_id)
    return JsonResponse([os.getpid(), trace_id], safe=False)

urlpatterns = [path("", cart)]

def app(environ, start_response):
    global application
    if application is None:
        application = get_wsgi_application()
    return application(environ, start_response)

application = None
"""

DJANGO_IN_CODE = """
from opentelemetry.instrumentation.django import DjangoInstrumentor
DjangoInstrumentor().instrument()
"""

# Two workers each; a preloaded one is forked from a process in which all is set up.
PROGRAMS = {
    "flask": (FLASK, FLASK_IN_CODE, ("gunicorn", "--workers=2", "--preload")),
    "django": (DJANGO, DJANGO_IN_CODE, ("gunicorn", "--workers=2", "--threads=4")),
    "fastapi": (FASTAPI, FASTAPI_IN_CODE, ("uvicorn", "--workers=2", "--port=0")),
}

SPANS = {
    "flask": {"GET /": 1, "load_cart": 1},
    "django": {"GET": 1, "load_cart": 1},
    "fastapi": {"GET /": 1, "load_cart": 1, "GET / http send": 2},
}


@contextmanager
def _served(folder, name, collector, *, in_code=False, **env):
    code, in_code_only, (module, *words) = PROGRAMS[name]
    (folder / "served.py").write_text(code + (in_code_only if in_code else ""))
    if module == "gunicorn":
        words += ["--bind=127.0.0.1:0", "--worker-tmp-dir=/dev/shm"]
    env = {
        "OTEL_SERVICE_NAME": "shop",
        "OTEL_EXPORTER_OTLP_ENDPOINT": collector.endpoint,
        "OTEL_BSP_SCHEDULE_DELAY": "100",
        "DJANGO_SETTINGS_MODULE": "served",
        **env,
    }
    before = "" if in_code else INSTRUMENT
    with running_server(folder, module, *words, "served:app", env=env, before=before) as server:
        yield server


def _check(name, server, collector):
    """Every request arrives as one whole tree, from the process that has answered it."""
    answers = server.ask_until_all_answer(2)
    trace_ids = [trace_id for ids in answers.values() for trace_id in ids]
    spans = _wait_for(collector, len(trace_ids) * sum(SPANS[name].values()))
    server.stop()
    assert "Traceback" not in server.log()
    found = Counter((span["trace_id"], span["name"]) for span in spans)
    assert found == {(id_, name_): n for id_ in trace_ids for name_, n in SPANS[name].items()}

    servers = {span["trace_id"]: span for span in spans if span["kind"] == 2}
    assert {span["parent_id"] for span in servers.values()} == {None}
    for span in spans:
        if span["name"] == "load_cart":
            assert span["parent_id"] == servers[span["trace_id"]]["span_id"]
            assert span["instrumentation_scope"][:2] == ("shop", "1.2")
    for span in servers.values():
        assert span["instrumentation_scope"][0] == f"opentelemetry.instrumentation.{name}"
        assert span["attributes"]["http.method"] == "str 'GET'"

    resources = {id_: span["resource"] for id_, span in servers.items()}
    assert {resource["service.name"] for resource in resources.values()} == {"str 'shop'"}
    assert {resource["telemetry.sdk.name"] for resource in resources.values()} == {"str 'nanospan'"}
    instances = [{resources[id_]["service.instance.id"] for id_ in ids} for ids in answers.values()]
    assert [len(ids) for ids in instances] == [1, 1]
    assert instances[0] != instances[1]


def _wait_for(collector, count):
    deadline = time.monotonic() + 20
    while len(spans := collector.spans()) < count:
        assert time.monotonic() < deadline, f"{len(spans)} of {count} spans came"
        time.sleep(0.05)
    return spans


@pytest.mark.timeout(BUILD_TIMEOUT)
@pytest.mark.parametrize("name", PROGRAMS)
def test_opentelemetry_instrument_sends_the_spans_of_every_worker(tmp_path, collector, name):
    env = without_other_distros(tmp_path)
    with _served(tmp_path, name, collector, **env) as server:
        _check(name, server, collector)


@pytest.mark.timeout(BUILD_TIMEOUT)
@pytest.mark.parametrize("name", PROGRAMS)
def test_one_variable_is_enough_where_the_program_instruments_itself(tmp_path, collector, name):
    env = {"OTEL_PYTHON_TRACER_PROVIDER": "nanospan"}
    with _served(tmp_path, name, collector, in_code=True, **env) as server:
        _check(name, server, collector)


@pytest.mark.timeout(BUILD_TIMEOUT)
def test_a_variable_chooses_nanospan_where_another_distro_is_installed(tmp_path, collector):
    env = {"OTEL_PYTHON_DISTRO": "nanospan", "OTEL_PYTHON_CONFIGURATOR": "nanospan"}
    with _served(tmp_path, "flask", collector, **env) as server:
        _check("flask", server, collector)
