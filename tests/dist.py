"""Looks at the wheels and source distributions that it gets the paths of: says what is wrong.

python tests/dist.py dist/*

Needs the dependency group `dist`.
"""

import io
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Iterator
from pathlib import Path

from elftools.elf.elffile import ELFFile
from elftools.elf.gnuversions import GNUVerNeedSection, GNUVerSymSection
from packaging.metadata import Metadata
from packaging.utils import parse_sdist_filename, parse_wheel_filename

ROOT = Path(__file__).parent.parent
MAX_WHEEL_BYTES = 2_500_000

TOP = ["CHANGELOG.md", "Cargo.lock", "Cargo.toml", "LICENSE", "README.md", "pyproject.toml"]
"""What a source distribution has beside `src`, `python` and what the build backend adds."""


def tracked(*folders: str) -> set[str]:
    """The files that git knows in these folders."""
    listed = subprocess.run(
        ["git", "ls-files", "--", *folders], cwd=ROOT, capture_output=True, text=True, check=True
    )
    return set(listed.stdout.split("\n")) - {""}


def wheel_faults(path: Path) -> Iterator[str]:
    _, version, _, tags = parse_wheel_filename(path.name)
    if not any(tag.platform.startswith("manylinux_2_17_") for tag in tags):
        yield f"is no manylinux_2_17 wheel but {', '.join(map(str, tags))}"
    if (size := path.stat().st_size) > MAX_WHEEL_BYTES:
        yield f"has {size:,} bytes, more than {MAX_WHEEL_BYTES:,}"
    with zipfile.ZipFile(path) as archive:
        info = f"nanospan-{version}.dist-info/"
        names = {name for name in archive.namelist() if not name.startswith(info)}
        extensions = sorted(name for name in names if name.endswith(".so"))
        wanted = {name.removeprefix("python/") for name in tracked("python")}
        yield from _unequal(names - set(extensions), wanted)
        if len(extensions) != 1:
            yield f"has not one extension but {extensions}"
        for name in extensions:
            yield from symbol_faults(archive.read(name))
        yield from metadata_faults(archive.read(info + "METADATA"), str(version))


def sdist_faults(path: Path) -> Iterator[str]:
    _, version = parse_sdist_filename(path.name)
    with tarfile.open(path) as archive:
        top = f"nanospan-{version}/"
        names = {name.removeprefix(top) for name in archive.getnames()}
        yield from _unequal(names, tracked("src", "python") | set(TOP) | {"PKG-INFO"})
        member = archive.extractfile(top + "PKG-INFO")
        assert member is not None
        yield from metadata_faults(member.read(), str(version))


def symbol_faults(extension: bytes) -> Iterator[str]:
    """What the extension wants of others, without saying of which version.

    Python's functions have none. A function of the C library without one is newer than the C
    library that the wheel promises to run on: there the extension would not load.
    """
    elf = ELFFile(io.BytesIO(extension))
    symbols = elf.get_section_by_name(".dynsym")
    versions = elf.get_section_by_name(".gnu.version")
    assert isinstance(versions, GNUVerSymSection)
    assert isinstance(elf.get_section_by_name(".gnu.version_r"), GNUVerNeedSection)
    for symbol, version in zip(symbols.iter_symbols(), versions.iter_symbols(), strict=True):
        strong = symbol["st_info"]["bind"] == "STB_GLOBAL" and symbol["st_shndx"] == "SHN_UNDEF"
        unversioned = version["ndx"] in ("VER_NDX_LOCAL", "VER_NDX_GLOBAL")
        if strong and unversioned and not symbol.name.startswith(("Py", "_Py")):
            yield f"needs {symbol.name}, which no library promises"


def metadata_faults(text: bytes, version: str) -> Iterator[str]:
    metadata = Metadata.from_email(text, validate=True)
    if (metadata.name, str(metadata.version)) != ("nanospan", version):
        yield f"calls itself {metadata.name} {metadata.version}"
    for need in metadata.requires_dist or ():
        if need.marker is None or need.marker.evaluate({"extra": ""}):
            yield f"depends on {need}"
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    if (metadata.description or "").strip() != readme.strip():
        yield "has another description than README.md"
    if (str(metadata.requires_python), metadata.license_expression) != (">=3.10", "Apache-2.0"):
        yield f"says {metadata.requires_python} and {metadata.license_expression}"


def _unequal(found: set[str], wanted: set[str]) -> Iterator[str]:
    if missing := sorted(wanted - found):
        yield f"lacks {', '.join(missing)}"
    if more := sorted(found - wanted):
        yield f"has {', '.join(more)} too"


def main(paths: list[str]) -> int:
    faults = 0
    for path in map(Path, paths):
        look = wheel_faults if path.suffix == ".whl" else sdist_faults
        for fault in look(path):
            print(f"{path.name} {fault}")
            faults += 1
        print(f"{path.name}: {path.stat().st_size:,} bytes")
    return int(faults > 0 or not paths)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
