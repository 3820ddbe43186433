"""Runs the test suites of OpenTelemetry's contrib packages on nanospan's tracer provider.

python tests/contrib/run.py [--fast] [--provider sdk|nanospan|both] [SUITE ...]

Each suite runs with the genuine SDK's provider and with ours, a process each; what passes with the
first must pass with the second, but for the rows of left_out.py. With `--provider nanospan` the
outcomes of an earlier run with the SDK are taken, if there is one.

The suites come with the source distributions on PyPI. They, an environment to run them in, the
outcomes and the full output of each run are kept in target/contrib.
"""

import argparse
import hashlib
import os
import shutil
import signal
import subprocess
import sys
import time
import venv
from collections.abc import Iterator
from pathlib import Path

from left_out import LEFT_OUT
from suites import BASE, CONTRIB_VERSION, SUITES, Suite
from verdict import Outcomes, Verdict, either, judge, read

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
KEPT = ROOT / "target" / "contrib"
SDISTS = KEPT / "sdists"
CONSTRAINTS = HERE / "constraints.txt"

SDK = "opentelemetry.sdk.trace:TracerProvider"
OURS = "nanospan.otel:TracerProvider"

TEST_SECONDS = 30
SUITE_SECONDS = 240


class Environment:
    """A virtual environment with what the suites need, in which they run."""

    def __init__(self, folder: Path, suites: list[Suite]) -> None:
        self.folder = folder
        self.python = folder / "bin" / "python"
        self._suites = suites
        self._requirements = sorted(
            {*BASE, *(need for suite in suites for need in (suite.package, *suite.needs))}
        )

    def prepare(self) -> None:
        """Installs it, unless the same already stands there, and fetches the suites."""
        stamp = self.folder / "installed"
        wanted = [sys.version, str(self.folder), *self._requirements, CONSTRAINTS.read_text()]
        digest = hashlib.sha256("\n".join(wanted).encode()).hexdigest()
        if not stamp.exists() or stamp.read_text() != digest:
            venv.create(self.folder, clear=True, symlinks=True)
            self._pip("install", "--constraint", str(CONSTRAINTS), *self._requirements)
            stamp.write_text(digest)
        if missing := [suite for suite in self._suites if not (SDISTS / suite.folder).exists()]:
            pinned = [f"{suite.package}=={CONTRIB_VERSION}" for suite in missing]
            options = ("--no-deps", "--no-build-isolation", "--no-binary=:all:")
            self._pip("download", *options, f"--dest={SDISTS}", *pinned)
            for suite in missing:
                shutil.unpack_archive(SDISTS / f"{suite.folder}.tar.gz", SDISTS)

    def _pip(self, command: str, *arguments: str) -> None:
        pip = [sys.executable, "-m", "pip", "--python", str(self.python), command, "--quiet"]
        if subprocess.run([*pip, *arguments]).returncode:
            sys.exit(f"the suites need what `pip {command}` could not get: see above")

    def run(self, suite: Suite, provider: str) -> Outcomes:
        """Runs a suite in a process of its own."""
        journal = self._journal(suite, provider)
        journal.parent.mkdir(exist_ok=True)
        journal.unlink(missing_ok=True)
        command = [str(self.python), "-m", "pytest", "-p", "plugin", "-p", "no:cacheprovider"]
        command += ["-c", os.devnull, "--rootdir", ".", "--continue-on-collection-errors"]
        command += [f"--timeout={TEST_SECONDS}", f"-ofaulthandler_timeout={2 * TEST_SECONDS}"]
        command += [f"--tracer-provider={provider}", f"--outcomes={journal}", "tests"]
        with journal.with_suffix(".txt").open("w") as output:
            process = subprocess.Popen(
                command,
                cwd=SDISTS / suite.folder,
                env=_variables(),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
            ended = _wait(process)
        if not journal.exists():
            sys.exit(f"{suite.name} could not be run with {provider}: see {output.name}")
        return read(journal.read_text().splitlines(), ended)

    def earlier(self, suite: Suite, provider: str) -> Outcomes | None:
        """What an earlier run found, if it found what it must."""
        journal = self._journal(suite, provider)
        if not journal.exists():
            return None
        outcomes = read(journal.read_text().splitlines())
        return outcomes if len(outcomes.passed) >= suite.passes else None

    def _journal(self, suite: Suite, provider: str) -> Path:
        return self.folder / "outcomes" / f"{suite.name}-{provider.partition(':')[0]}.jsonl"


def _variables() -> dict[str, str]:
    """Environment variables of a run: this process's, but for those that change what tests do."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("OTEL_", "PYTEST_", "PYTHON", "NANOSPAN_"))
    }
    return kept | {"PYTHONPATH": f"{HERE}{os.pathsep}{ROOT / 'python'}"}


def _wait(process: subprocess.Popen[bytes]) -> str:
    """How the process ended, if otherwise than with the last test."""
    try:
        code = process.wait(SUITE_SECONDS)
    except subprocess.TimeoutExpired:
        return f"the suite took longer than {SUITE_SECONDS} s"
    finally:  # after an interrupt too, which a session of its own does not get
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
    if code < 0:
        return f"the process ended by {signal.Signals(-code).name}"
    return "" if code in (0, 1) else f"pytest ended with code {code}"


def measure(environment: Environment, suite: Suite) -> Outcomes:
    """The suite with the SDK; once more if fewer tests pass than must."""
    outcomes = environment.run(suite, SDK)
    if len(outcomes.passed) < suite.passes:
        outcomes = either(outcomes, environment.run(suite, SDK))
    return outcomes


def compare(
    environment: Environment, suite: Suite, sdk: Outcomes, provider: str
) -> tuple[Outcomes, Verdict]:
    """The suite with ours; once more if something differs, for tests that depend on the clock."""
    left_out = LEFT_OUT.get(suite.name, {})
    ours = environment.run(suite, provider)
    verdict = judge(sdk, ours, left_out)
    if verdict.differing or verdict.not_run:
        ours = either(ours, environment.run(suite, provider))
        verdict = judge(sdk, ours, left_out)
    return ours, verdict


def sdk_faults(suite: Suite, sdk: Outcomes) -> Iterator[str]:
    """What makes the SDK's outcomes too little to compare with."""
    if len(sdk.passed) < suite.passes:
        yield f"{suite.name}: {len(sdk.passed)} tests pass with the SDK, not {suite.passes}"
        yield from (f"{suite.name} {test}: {why}" for test, why in sdk.failed.items())
        if sdk.ended:
            yield f"{suite.name}: {sdk.ended}"


def our_faults(suite: Suite, ours: Outcomes, verdict: Verdict) -> Iterator[str]:
    for test, why in verdict.differing.items():
        yield f"{suite.name} {test}: {why}"
    for test in sorted(verdict.stale):
        yield f"{suite.name} {test}: is in left_out.py without need"
    if ours.ended:
        yield f"{suite.name}: {ours.ended}; {len(verdict.not_run)} tests did not begin"
    elif verdict.not_run:
        yield f"{suite.name}: these tests are not there: {', '.join(sorted(verdict.not_run))}"
    if not ours.provided:
        yield f"{suite.name}: no test that passed was given a provider"


def main() -> int:
    options = _options()
    named = options.suites
    suites = [
        suite
        for suite in SUITES
        if (suite.name in named if named else suite.fast or not options.fast)
    ]
    fast = all(suite.fast for suite in suites)
    environment = Environment(
        KEPT / ("fast" if fast else "full"), [suite for suite in SUITES if suite.fast or not fast]
    )
    environment.prepare()

    faults: list[str] = []
    total_sdk = total_both = 0
    row = "{:<16}{:>6}{:>10}{:>10}{:>11}{:>10}{:>6}"
    print(row.format("suite", "SDK", "nanospan", "provided", "differing", "left out", "s"))
    for suite in suites:
        start = time.monotonic()
        sdk = environment.earlier(suite, SDK) if options.provider == "nanospan" else None
        sdk = sdk or measure(environment, suite)
        total_sdk += len(sdk.passed)
        faults += sdk_faults(suite, sdk)
        if options.provider == "sdk":
            cells = ["", sdk.provided, "", ""]
        else:
            ours, verdict = compare(environment, suite, sdk, options.candidate)
            both = len(sdk.passed & ours.passed)
            total_both += both
            differing = len(verdict.differing) + len(verdict.not_run)
            cells = [both, ours.provided, differing, len(verdict.left_out)]
            faults += our_faults(suite, ours, verdict)
            for test in sorted(ours.second_try & sdk.passed):
                print(f"note: {suite.name} {test} passed only the second time")
        seconds = round(time.monotonic() - start)
        print(row.format(suite.name, len(sdk.passed), *cells, seconds), flush=True)
    print(row.format("all", total_sdk, total_both or "", "", "", "", "").rstrip())
    for fault in faults:
        print(fault)
    return 1 if faults else 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    names = [suite.name for suite in SUITES]
    parser.add_argument("suites", nargs="*", metavar="SUITE", help=f"of {', '.join(names)}")
    parser.add_argument("--provider", choices=["sdk", "nanospan", "both"], default="both")
    parser.add_argument("--fast", action="store_true", help="only suites that are quick")
    parser.add_argument(
        "--candidate",
        default=OURS,
        metavar="MODULE:CLASS",
        help="what stands in nanospan's place, as in `--candidate sham:TracerProvider`",
    )
    options = parser.parse_args()
    if unknown := set(options.suites) - set(names):
        parser.error(f"no such suite: {', '.join(sorted(unknown))}")
    return options


if __name__ == "__main__":
    sys.exit(main())
