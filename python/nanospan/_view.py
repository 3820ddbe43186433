"""`nanospan view`: what the terminal can show is decided here, the drawing is made in Rust."""

import argparse
import codecs
import os
import re
import shutil
import sys
from typing import TextIO

from nanospan._core import _view as draw  # pyright: ignore[reportPrivateUsage] # for us alone

_MAX_BROKEN = 5
"""How many lines that cannot be read are named."""


def describe(parser: argparse.ArgumentParser) -> None:
    """Give the parser of the subcommand what belongs to `view`."""
    parser.description = "Draw the traces of an OTLP/JSON file, one export a line, as waterfalls."
    parser.epilog = _legend(sys.stdout)
    parser.add_argument("file", metavar="FILE", help="what FileExporter wrote; - reads stdin")
    parser.add_argument("--trace", metavar="ID", type=_hex, help="how the trace id begins, in hex")
    parser.add_argument(
        "--slowest", metavar="N", type=_positive, help="the N that took longest, slowest first"
    )
    parser.add_argument("--errors", action="store_true", help="only traces in which a span failed")
    parser.add_argument(
        "--attributes",
        action="store_true",
        help="below each span, why it failed, its attributes, events and links",
    )
    parser.add_argument(
        "--width", metavar="N", type=_columns, help="columns, 40 to 500; default: the terminal's"
    )
    parser.add_argument("--color", choices=["auto", "always", "never"], default="auto")
    parser.set_defaults(run=view)


def view(options: argparse.Namespace) -> int:
    """Show the traces on stdout, and on stderr which lines could not be read."""
    name = "stdin" if options.file == "-" else options.file
    try:
        text = _read(options.file)
    except OSError as error:
        return _refuse(f"{name}: {error.strerror}")
    drawing, broken = draw(
        text,
        width=options.width or shutil.get_terminal_size().columns,
        colour={"always": True, "never": False}.get(options.color),
        ascii=not _is_utf8(sys.stdout),
        attributes=options.attributes,
        trace=options.trace,
        slowest=options.slowest,
        errors=options.errors,
    )
    for number, reason in broken[:_MAX_BROKEN]:
        print(f"{name}:{number}: skipped: {reason}", file=sys.stderr)
    if more := len(broken[_MAX_BROKEN:]):
        lines = "1 more line" if more == 1 else f"{more} more lines"
        print(f"{name}: ... and {lines}", file=sys.stderr)
    if not drawing:
        is_filtered = options.trace or options.errors
        return _refuse(f"{name}: {'no such trace' if is_filtered else 'no spans'}")
    _write(drawing, sys.stdout)
    return 0


def _read(file: str) -> bytes:
    if file == "-":
        return sys.stdin.buffer.read()
    with open(file, "rb") as lines:
        return lines.read()


def _refuse(reason: str) -> int:
    print(f"nanospan view: {reason}", file=sys.stderr)
    return 1


def _write(text: str, stream: TextIO) -> None:
    try:
        stream.write(text)
        stream.flush()
    except BrokenPipeError:
        # `| head` has seen enough. Python flushes stdout once more at exit, where a second error
        # would be printed (docs.python.org, "Note on SIGPIPE").
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def _is_utf8(stream: TextIO) -> bool:
    return codecs.lookup(stream.encoding).name == "utf-8"


def _legend(stream: TextIO) -> str:
    failed, slow, side, instant = "✖◀░▏" if _is_utf8(stream) else "x<-|"
    return (
        f"{failed} failed; {slow} look here first: most of the critical path was spent in this "
        f"span itself; {side} off the critical path: a faster one would not help; "
        f"{instant} took no time; ? its parent is not in the file."
    )


def _hex(text: str) -> str:
    if not re.fullmatch("[0-9a-fA-F]{1,32}", text):
        raise argparse.ArgumentTypeError(f"{text!r} is not 1 to 32 hex digits")
    return text


def _positive(text: str) -> int:
    if not (text.isdecimal() and int(text) > 0):
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number above 0")
    return min(int(text), sys.maxsize)


def _columns(text: str) -> int:
    if not (text.isdecimal() and 40 <= int(text) <= 500):
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from 40 to 500")
    return int(text)
