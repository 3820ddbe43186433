"""What a process tells of itself and of its host, under the names of the semantic conventions.

Command line, environment and user are left out: they may hold secrets. The pid and the id of the
instance differ in each forked child, so the core adds them.
"""

import os
import sys

# What the semantic conventions call the machines of `uname`; others keep their name.
_ARCHITECTURES = {
    "x86_64": "amd64",
    "i386": "x86",
    "i686": "x86",
    "aarch64": "arm64",
    "armv6l": "arm32",
    "armv7l": "arm32",
    "ppc": "ppc32",
    "ppc64le": "ppc64",
}


def detect() -> dict[str, str]:
    """Return the resource attributes that hold for this process and those forked from it."""
    # `uname` is one system call; `platform` takes milliseconds to import and may start processes.
    host = os.uname()
    attributes = {
        "service.name": "unknown_service",
        "process.runtime.name": sys.implementation.name,
        "process.runtime.version": _version(),
        "process.runtime.description": sys.version,
        "host.name": host.nodename,
        "host.arch": _ARCHITECTURES.get(host.machine, host.machine),
        "os.type": host.sysname.lower(),
    }
    if sys.executable:  # a program that embeds Python may have none
        name = os.path.basename(sys.executable)
        attributes["service.name"] = f"unknown_service:{name}"
        attributes["process.executable.name"] = name
        attributes["process.executable.path"] = sys.executable
    return attributes


def _version() -> str:
    """Return the version as the semantic conventions want it, with dots: `3.12.1`."""
    version = sys.implementation.version
    is_plain = version.releaselevel == "final" and not version.serial
    return ".".join(map(str, version[:3] if is_plain else version))
