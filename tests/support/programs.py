"""Programs that load nanospan without a line of code: in a fresh process, with what they need."""

import importlib.util
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from textwrap import dedent

import pytest

from support.receiver import Receiver

OURS, THEIRS = "OTel-OTLP-Exporter-nanospan", "OTel-OTLP-Exporter-Python"
"""What exporters of OTLP over HTTP call themselves: the one of nanospan, and that of the SDK."""

INSTRUMENT = str(Path(sys.executable).with_name("opentelemetry-instrument"))


def needs_group_otel() -> None:
    """Skips the test module where the packages of the group are not installed."""
    modules = ("django", "fastapi", "flask", "openinference", "opentelemetry.configuration")
    missing = [name for name in modules if importlib.util.find_spec(name) is None]
    if missing:
        pytest.skip(
            f"no {', '.join(missing)} here: pip install --group otel", allow_module_level=True
        )


def without_other_distros(folder: Path) -> dict[str, str]:
    """Gives the environment of a program that does not see opentelemetry-distro.

    Of two installed packages with one name, Python takes the first on its path: here one that
    registers nothing.
    """
    _distribution(folder / "hidden", "opentelemetry-distro", "")
    return {"PYTHONPATH": str(folder / "hidden")}


def with_plugin(folder: Path, code: str, entry_points: Mapping[str, str]) -> dict[str, str]:
    """Gives the environment of a program beside an installed package `plugin`.

    `entry_points` are names in that module, each by its group and name: `group:name`.
    """
    lines = [
        f"[{group}]\n{name} = plugin:{value}\n"
        for key, value in entry_points.items()
        for group, _, name in [key.partition(":")]
    ]
    _distribution(folder / "plugin", "plugin", "\n".join(lines))
    (folder / "plugin" / "plugin.py").write_text(dedent(code))
    return {"PYTHONPATH": str(folder / "plugin")}


def run_program(
    folder: Path, code: str, env: Mapping[str, str], *, before: str = INSTRUMENT
) -> subprocess.CompletedProcess[str]:
    """Runs `code` behind `opentelemetry-instrument`; fails where it ends badly."""
    program = folder / "program.py"
    program.write_text(dedent(code))
    command = [sys.executable, str(program)]
    completed = subprocess.run(
        [before, *command] if before else command,
        env={**os.environ, "OTEL_PYTHON_DISABLED_INSTRUMENTATIONS": "*", **env},
        cwd=folder,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert completed.returncode == 0, completed.stderr
    assert "Traceback" not in completed.stderr, completed.stderr
    return completed


def exporters_of(receiver: Receiver) -> set[str]:
    """Who has sent the requests."""
    return {request.headers["user-agent"].partition("/")[0] for request in receiver.requests}


def _distribution(folder: Path, name: str, entry_points: str) -> None:
    info = folder / f"{name.replace('-', '_')}-0.dist-info"
    info.mkdir(parents=True, exist_ok=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 0\n")
    (info / "entry_points.txt").write_text(entry_points)
