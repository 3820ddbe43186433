"""Makes the docstrings of the stubs equal to those of the modules they describe.

python tests/stub_docstrings.py --check    say what differs
python tests/stub_docstrings.py --write    write the modules' docstrings into the stubs

Signatures and comments of a stub are written by hand and stay as they are.
"""

import argparse
import ast
import inspect
import subprocess
import sys
from pathlib import Path
from types import ModuleType

from nanospan import _core, _data

_PACKAGE = Path(__file__).parent.parent / "python" / "nanospan"
STUBS = {_PACKAGE / "_core.pyi": _core, _PACKAGE / "_data.pyi": _data}

_Definition = ast.ClassDef | ast.FunctionDef


def differences(stub: str, module: ModuleType) -> list[str]:
    """One line for each public name whose docstring is missing or not the module's."""
    found: list[str] = []
    for name, definition, docstring in _public(stub, module):
        if not docstring:
            found.append(f"{name}: no docstring at run time")
        elif ast.get_docstring(definition) != docstring:
            found.append(f"{name}: the stub's docstring is another than at run time")
    return found


def with_docstrings(stub: str, module: ModuleType) -> str:
    """The stub with the module's docstrings; where that has none, the stub's stay."""
    lines = stub.splitlines()
    # From the end, so that the line numbers before it stay true.
    for _, definition, docstring in reversed(_public(stub, module)):
        if docstring:
            _put(lines, definition, docstring)
    return "\n".join(lines) + "\n"


def _public(stub: str, module: ModuleType) -> list[tuple[str, _Definition, str]]:
    """Each public class, function, method and property, with what the module says of it.

    A class is public if the name it has itself is: `_OtelSpan` is `nanospan.otel.Span`. A name that
    only one of the two has is for stubtest to report.
    """

    def within(owner: object, prefix: str, body: list[ast.stmt]) -> None:
        for node in body:
            if not isinstance(node, _Definition) or not hasattr(owner, node.name):
                continue
            if any(isinstance(each, ast.Attribute) for each in node.decorator_list):
                continue  # `@rate.setter`: what the property says is said by its getter
            runtime = getattr(owner, node.name)
            name = runtime.__name__ if isinstance(runtime, type) else node.name
            if name.startswith("_"):
                continue
            found.append((prefix + node.name, node, inspect.cleandoc(runtime.__doc__ or "")))
            if isinstance(node, ast.ClassDef):
                within(runtime, f"{prefix}{node.name}.", node.body)

    found: list[tuple[str, _Definition, str]] = []
    within(module, "", ast.parse(stub).body)
    return found


def _put(lines: list[str], definition: _Definition, docstring: str) -> None:
    text = _literal(docstring, " " * (definition.col_offset + 4))
    first = definition.body[0]
    start = first.lineno - 1
    if ast.get_docstring(definition) is not None:
        lines[start : first.end_lineno] = text
    elif isinstance(first, ast.Expr):  # the `...` of an empty body
        header = lines[start][: first.col_offset].rstrip()
        comment = lines[start][first.end_col_offset :].strip()
        kept = f"{header}  {comment}".rstrip()
        lines[start : start + 1] = [kept, *text] if kept else text
    else:
        if isinstance(first, _Definition) and first.decorator_list:
            start = first.decorator_list[0].lineno - 1
        while lines[start - 1].lstrip().startswith("#"):
            start -= 1
        lines[start:start] = text


def _literal(docstring: str, indent: str) -> list[str]:
    prefix = "r" if "\\" in docstring else ""
    first, *rest = docstring.split("\n")
    if not rest:
        return [f'{indent}{prefix}"""{first}"""']
    return [
        f'{indent}{prefix}"""{first}',
        *(indent + line if line else "" for line in rest),
        f'{indent}"""',
    ]


def main() -> int:
    parser = argparse.ArgumentParser(description="Compare or write the docstrings of the stubs.")
    mode = parser.add_mutually_exclusive_group(required=True)
    mode.add_argument("--check", action="store_true", help="say what differs")
    mode.add_argument("--write", action="store_true", help="write the modules' docstrings")
    if parser.parse_args().write:
        for stub, module in STUBS.items():
            stub.write_text(with_docstrings(stub.read_text(), module))
        subprocess.run([sys.executable, "-m", "ruff", "format", "--quiet", *STUBS], check=True)
    found = [
        f"{stub.name}: {difference}"
        for stub, module in STUBS.items()
        for difference in differences(stub.read_text(), module)
    ]
    print("\n".join(found) or "the stubs say what the modules say")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
