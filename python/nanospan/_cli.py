"""The command `nanospan`. Nothing that a traced program imports comes here."""

import argparse
from collections.abc import Sequence

from nanospan import __version__, _view


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one subcommand; 0 when it did what was asked, 1 when it could not, 2 for wrong usage."""
    parser = argparse.ArgumentParser(prog="nanospan", description="Tools for nanospan's traces.")
    parser.add_argument("--version", action="version", version=f"nanospan {__version__}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    _view.describe(commands.add_parser("view", help="draw the traces of a file as waterfalls"))
    options = parser.parse_args(arguments)
    status: int = options.run(options)
    return status
