"""What tracing costs with other libraries: ddtrace, logfire and fastotel, each in an environment
under `target`, installed from PyPI, and in a process of its own beside nanospan.

The statements, the rounds and the checks of what arrived are those of `bench_span`; for fastotel,
which is a worker for the SDK's spans, there is `bench_worker` too. A library that cannot be
installed here is left out with a note.
"""

import subprocess
import sys
import venv
from pathlib import Path

import bench_span
import bench_worker
import cases
import nanospan
from report import Report

# What is installed for each. fastotel's spans are read with Google's protobuf.
PEERS = {
    "ddtrace": ["ddtrace>=4.16,<5"],
    "logfire": ["logfire>=5.2,<6"],
    "fastotel": ["fastotel>=0.9.1,<0.10", "opentelemetry-proto>=1.38,<2"],
}
_TITLES = {case.name: case.title for case in cases.ON + cases.NOT_SAMPLED}
_WORKER = "worker"
# Of which the worker is measured. ddtrace's sends another format, and logfire's is the SDK's.
_WITH_WORKER = "fastotel"
_FOLDER = Path(__file__).parents[2] / "target" / "peers" / "{}.{}".format(*sys.version_info)


def _python_of(peer: str) -> Path:
    return _FOLDER / peer / "bin" / "python"


def install(peer: str) -> str | None:
    """Why the library cannot be installed, or None when it is."""
    wanted = "\n".join(PEERS[peer])
    installed = _FOLDER / peer / "installed"
    if installed.exists() and installed.read_text() == wanted:
        return None
    venv.create(_FOLDER / peer, clear=True, with_pip=True)
    pip = [str(_python_of(peer)), "-m", "pip", "install", "--quiet"]
    done = subprocess.run([*pip, *PEERS[peer]], capture_output=True, text=True)
    if done.returncode:
        # The last line that is no advice.
        said = [line for line in done.stderr.splitlines() if line.startswith("ERROR")]
        return said[-1] if said else "pip does not say why"
    installed.write_text(wanted)
    return None


def _version(peer: str) -> str:
    source = f"import importlib.metadata; print(importlib.metadata.version({peer!r}))"
    command = [str(_python_of(peer)), "-c", source]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


def _path_of_nanospan() -> Path:
    """A folder that has nanospan and nothing else of this environment."""
    folder = _FOLDER / "path"
    folder.mkdir(parents=True, exist_ok=True)
    link = folder / "nanospan"
    link.unlink(missing_ok=True)
    link.symlink_to(Path(nanospan.__file__).parent)
    return folder


def measure(peer: str, names: set[str], quick: bool) -> dict[str, dict[str, float]]:
    """Nanoseconds by case of nanospan and the library."""
    place = {"python": str(_python_of(peer)), "PYTHONPATH": str(_path_of_nanospan())}
    rows: dict[str, dict[str, float]] = {}
    if names & _TITLES.keys():
        with bench_span.on_one_processor():
            rows |= bench_span.run("peer", names, _rounds(quick), peer, **place)
    if _WORKER in names and peer == _WITH_WORKER:
        rows[_WORKER] = bench_worker.measure(["nanospan", peer], quick, **place)
    return rows


def _rounds(quick: bool) -> int:
    return 10 if quick else 50


def render(times: dict[str, dict[str, dict[str, float]]]) -> str:
    """A line for each case; of each library, its time and how often nanospan's goes into it."""
    lines = [_line(["", "nanospan", *(cell for peer in times for cell in (peer, "/nanospan"))])]
    for case, title in (_TITLES | {_WORKER: "worker: a span encoded and sent"}).items():
        rows = {peer: by_case[case] for peer, by_case in times.items() if case in by_case}
        if not rows:
            continue
        cells = [title, f"{min(ns['nanospan'] for ns in rows.values()):,.0f}"]
        for peer in times:
            ns = rows.get(peer, {})
            has = peer in ns
            cells.append(f"{ns[peer]:,.0f}" if has else "-")
            cells.append(f"{ns[peer] / ns['nanospan']:.1f}" if has else "-")
        lines.append(_line(cells))
    return "\n".join(lines)


def _line(cells: list[str]) -> str:
    return f"{cells[0]:33}" + "".join(cell.rjust(13) for cell in cells[1:])


def report(quick: bool, name: str | None) -> Report | None:
    """The table of the cases whose name contains `name`; None when there is none."""
    names = {case for case in [*_TITLES, _WORKER] if name is None or name in case}
    if not names:
        return None
    notes, times, versions = [], {}, {}
    for peer in PEERS:
        reason = install(peer)
        if reason:
            notes.append(f"note: without {peer}, which cannot be installed: {reason}")
            continue
        versions[peer] = _version(peer)
        times[peer] = measure(peer, names, quick)
    head = ", ".join(f"{peer} {version}" for peer, version in versions.items())
    text = [f"ns each, in a process with each: {head}", render(times)] if times else []
    data = {"rounds": _rounds(quick), "versions": versions, "ns": times}
    return Report(text="\n".join([*text, *notes]), data=data, missed=[])
