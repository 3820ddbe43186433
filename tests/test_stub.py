"""The package's face: what the stub says, what `__all__` says, what an import costs."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import nanospan
import stub_docstrings

PACKAGE = Path(nanospan.__file__).parent


@pytest.mark.parametrize("stub", stub_docstrings.STUBS, ids=lambda path: path.stem)
def test_a_stub_says_what_its_module_says(stub):
    assert stub_docstrings.differences(stub.read_text(), stub_docstrings.STUBS[stub]) == []


def test_all_is_what_the_package_imports():
    tree = ast.parse((PACKAGE / "__init__.py").read_text())
    imports = [node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
    names = {alias.asname or alias.name for node in imports for alias in node.names}
    public = sorted(name for name in names if not name.startswith("_"))
    assert sorted(nanospan.__all__) == public  # ruff keeps `__all__` itself in order (RUF022)


def test_the_import_brings_no_module_that_takes_milliseconds():
    # Without site, so that nothing an environment's .pth files import is in the way.
    code = "import sys; sys.path.insert(0, sys.argv[1]); import nanospan; print(*sys.modules)"
    command = [sys.executable, "-I", "-S", "-c", code, PACKAGE.parent]
    loaded = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
    assert "nanospan._core" in loaded
    slow = {"typing", "inspect", "logging", "asyncio", "opentelemetry"}
    assert slow.isdisjoint(name.partition(".")[0] for name in loaded)
