"""The resource: what is said of the process that makes the spans, without being asked."""

import os
import platform
import sys
import uuid

import pytest

import nanospan
from nanospan import MemoryExporter, tracing
from support.process import checked_python


def _resource(**options):
    memory = MemoryExporter()
    nanospan.configure(exporter=memory, **options)
    tracing.start_span("x").finish()
    (span,) = memory.spans()
    return span.resource


def test_process_runtime_and_host_are_found_out():
    resource = _resource(service_name="shop")
    architecture = {"x86_64": "amd64", "aarch64": "arm64"}.get(platform.machine())
    assert uuid.UUID(resource.pop("service.instance.id")).version == 4
    assert resource.pop("host.arch") == (architecture or resource["host.arch"])
    assert resource == {
        "service.name": "shop",
        "telemetry.sdk.name": "nanospan",
        "telemetry.sdk.language": "python",
        "telemetry.sdk.version": nanospan.__version__,
        "process.pid": os.getpid(),
        "process.executable.name": os.path.basename(sys.executable),
        "process.executable.path": sys.executable,
        "process.runtime.name": "cpython",
        "process.runtime.version": platform.python_version(),
        "process.runtime.description": sys.version,
        "host.name": platform.node(),
        "os.type": platform.system().lower(),
    }


def test_a_service_without_a_name_is_called_after_its_executable():
    name = os.path.basename(sys.executable)
    assert _resource()["service.name"] == f"unknown_service:{name}"


def test_where_no_executable_is_known_none_is_named(monkeypatch):
    monkeypatch.setattr(sys, "executable", "")
    resource = _resource()
    assert resource["service.name"] == "unknown_service"
    assert not [name for name in resource if name.startswith("process.executable")]


def test_nothing_of_the_command_line_is_told():
    code = """
        import sys
        import nanospan
        memory = nanospan.MemoryExporter()
        nanospan.configure(exporter=memory)
        nanospan.tracing.start_span("x").finish()
        (span,) = memory.spans()
        assert sys.argv[1] == "--password=secret"
        assert "secret" not in str(span.resource)
    """
    checked_python(code, "--password=secret")


def test_what_is_given_counts_more_than_what_is_found_out():
    given = {
        "host.name": "h1",
        "process.pid": 7,
        "service.instance.id": "one",
        "service.name": "shop",
        "telemetry.sdk.name": "mine",
    }
    resource = _resource(resource=given)
    assert resource == {**resource, **given}


@pytest.mark.parametrize(
    "name", ["process.pid", "service.instance.id", "process.executable.path", "host.name"]
)
def test_none_leaves_out_what_is_found_out(name):
    assert name in _resource()
    assert name not in _resource(resource={name: None})


def test_a_service_keeps_a_name_whatever_is_left_out():
    resource = _resource(resource={"service.name": None})
    assert resource["service.name"].startswith("unknown_service:")


def test_the_pipelines_of_a_process_are_one_instance():
    assert _resource()["service.instance.id"] == _resource()["service.instance.id"]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_a_forked_child_is_an_instance_of_its_own_with_its_own_pid():
    code = """
        import os, warnings
        import nanospan
        warnings.simplefilter("ignore", DeprecationWarning)  # Python's own, about threads and fork
        memory = nanospan.MemoryExporter()
        nanospan.configure(service_name="shop", exporter=memory)

        def resource():
            memory.clear()
            nanospan.tracing.start_span("x").finish()
            (span,) = memory.spans()
            return span.resource

        def in_child(check):
            if pid := os.fork():
                assert os.waitpid(pid, 0)[1] == 0
            else:
                check()
                os._exit(0)

        parents = resource()
        assert parents["process.pid"] == os.getpid()

        def child():
            own = resource()
            assert own["process.pid"] == os.getpid() != parents["process.pid"]
            assert own["service.instance.id"] != parents["service.instance.id"]
            differing = {"process.pid", "service.instance.id"}
            assert {key for key in own if own[key] != parents[key]} == differing
            assert resource() == own

            def grandchild():
                assert resource()["process.pid"] == os.getpid() != own["process.pid"]
                assert resource()["service.instance.id"] != own["service.instance.id"]

            in_child(grandchild)

        in_child(child)
        in_child(child)
        assert resource() == parents
    """
    checked_python(code, timeout=30)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_a_forked_child_keeps_what_was_given():
    code = """
        import os, warnings
        import nanospan
        warnings.simplefilter("ignore", DeprecationWarning)  # Python's own, about threads and fork
        memory = nanospan.MemoryExporter()
        given = {"service.instance.id": "one", "process.pid": None}
        nanospan.configure(service_name="shop", resource=given, exporter=memory)
        if pid := os.fork():
            assert os.waitpid(pid, 0)[1] == 0
        else:
            nanospan.tracing.start_span("x").finish()
            (span,) = memory.spans()
            assert span.resource["service.instance.id"] == "one"
            assert "process.pid" not in span.resource
            os._exit(0)
    """
    checked_python(code, timeout=30)
