"""Web servers as programs, and a client that asks them until every worker has answered."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

_START_TIMEOUT = 30.0
_STOP_TIMEOUT = 30.0


class Server:
    """A server that runs in a process group of its own."""

    def __init__(self, folder: Path, command: list[str], env: Mapping[str, str]) -> None:
        self._log = folder / "server.log"
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                command,
                cwd=folder,
                env={**os.environ, **env},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self.url = self._wait_for_url()

    @property
    def pid(self) -> int:
        """The process that was started: the parent of the workers."""
        return self._process.pid

    def log(self) -> str:
        """What it has written so far."""
        return self._log.read_text(errors="replace")

    def ask_until_all_answer(self, workers: int) -> dict[int, list[str]]:
        """Sends requests, four at once, until that many workers have answered.

        Each answer is the worker's process id and a trace id; gives the trace ids by process id.
        """
        answers: dict[int, list[str]] = defaultdict(list)
        deadline = time.monotonic() + _START_TIMEOUT
        with ThreadPoolExecutor(4) as pool:
            while len(answers) < workers:
                assert time.monotonic() < deadline, f"{len(answers)} of {workers} workers answer"
                for pid, trace_id in pool.map(self._ask, range(8)):
                    answers[pid].append(trace_id)
        return answers

    def stop(self, number: signal.Signals = signal.SIGTERM) -> float:
        """Asks it to end, as a supervisor does; says how long that took."""
        begun = time.monotonic()
        self._process.send_signal(number)
        self._process.wait(_STOP_TIMEOUT)
        return time.monotonic() - begun

    def kill(self) -> None:
        """Ends what still runs."""
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait(_STOP_TIMEOUT)

    def _ask(self, _: int) -> tuple[int, str]:
        deadline = time.monotonic() + _START_TIMEOUT
        while True:
            try:
                with urlopen(self.url, timeout=20) as answer:
                    pid, trace_id = json.load(answer)
                    return pid, trace_id
            except URLError as error:
                # A port may be known before a worker listens there.
                refused = isinstance(error.reason, ConnectionRefusedError)
                if not refused or time.monotonic() > deadline:
                    raise
                time.sleep(0.02)

    def _wait_for_url(self) -> str:
        deadline = time.monotonic() + _START_TIMEOUT
        while not (found := re.search(r"(?:Listening at:|running on) (http://\S+)", self.log())):
            running = self._process.poll() is None and time.monotonic() < deadline
            assert running, f"the server does not start: {self.log()}"
            time.sleep(0.02)
        return found[1]


@contextmanager
def running_server(
    folder: Path, module: str, *words: str, env: Mapping[str, str], before: str = ""
) -> Iterator[Server]:
    """A server for the length of a `with` block; `before` is a program that starts it."""
    command = [sys.executable, "-m", module, *words]
    server = Server(folder, [before, *command] if before else command, env)
    try:
        yield server
    finally:
        server.kill()
