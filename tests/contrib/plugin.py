"""Gives contrib's tests another tracer provider, and writes down what became of each test.

Nearly all get theirs from `TestBase.create_tracer_provider`, which gives what it builds the SDK's
`SimpleSpanProcessor` and `InMemorySpanExporter`; a few test modules import the SDK's class and
build it themselves. The class that they build is exchanged, nothing else.
"""

import gc
import json
from importlib import import_module

from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.test import test_base


def pytest_addoption(parser):
    parser.addoption("--tracer-provider", help="MODULE:CLASS")
    parser.addoption("--outcomes", help="the file that gets JSON lines: each test's start and end")


def pytest_configure(config):
    module, _, name = config.getoption("tracer_provider").partition(":")
    provider = getattr(import_module(module), name)
    config.pluginmanager.register(_Journal(config.getoption("outcomes"), provider))


class _Journal:
    def __init__(self, path, provider):
        self._file = open(path, "w", buffering=1)  # noqa: SIM115  (open as long as the process lives)
        self._provider = provider
        self._built = 0
        self._outcome = {}

    def pytest_collection_finish(self, session):
        for module in {test_base, *(item.module for item in session.items)}:
            if getattr(module, "TracerProvider", None) is TracerProvider:
                module.TracerProvider = self._build
        # Some tests give an application 10 ms to answer, less than a full collection of garbage
        # takes after so many imports; and when there is one depends on the provider.
        gc.collect()
        gc.freeze()

    def _build(self, *args, **options):
        self._built += 1
        return self._provider(*args, **options)

    def pytest_collectreport(self, report):
        if report.failed:
            self._write(report.nodeid, outcome="failed", why=_why(report))

    def pytest_runtest_logstart(self, nodeid):
        self._built = 0
        self._outcome = {"outcome": "passed"}
        self._write(nodeid, outcome="started")

    def pytest_runtest_logreport(self, report):
        if not report.passed and self._outcome["outcome"] != "failed":
            self._outcome = {"outcome": report.outcome, "why": _why(report)}

    def pytest_runtest_logfinish(self, nodeid):
        self._write(nodeid, **self._outcome, provided=self._built > 0)

    def _write(self, nodeid, **what):
        self._file.write(json.dumps({"test": nodeid, **what}) + "\n")


def _why(report):
    crash = getattr(report.longrepr, "reprcrash", None)
    text = crash.message if crash else str(report.longrepr)
    return text.strip().partition("\n")[0]
