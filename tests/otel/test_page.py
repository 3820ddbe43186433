"""The commands of docs/opentelemetry.md run as they stand, one after the other in one folder."""

import os
import re
import subprocess
import sys
from pathlib import Path

from support.programs import needs_group_otel

needs_group_otel()

PAGE = Path(__file__).parent.parent.parent / "docs" / "opentelemetry.md"


def test_every_command_of_the_page_draws_the_trace(tmp_path):
    commands = re.findall(r"^```sh\n(.*?)^```$", PAGE.read_text(), re.DOTALL | re.MULTILINE)
    assert len(commands) == 3
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    for command in commands:
        completed = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", command],
            cwd=tmp_path,
            env={**os.environ, "PATH": path},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert completed.returncode == 0, completed.stderr
        assert "Traceback" not in completed.stderr, completed.stderr
        assert "GET /cart" in completed.stderr, command
        assert "load_cart" in completed.stderr, command
