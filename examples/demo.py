"""A traced web shop under load, and its slowest request as a waterfall.

Starts the service of `shop/service.py` in this process, sends it requests from a second one
(`shop/load.py`), writes the traces to a file and shows the slowest with `nanospan view`; with
`--endpoint`, also sends them to a collector. Needs nothing but nanospan; ends by itself within
seconds.
"""

import argparse
import asyncio
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from shop.service import Service, Shop
from shop.store import Store

import nanospan

HERE = Path(__file__).resolve().parent
SAMPLING_RATE = 0.8
LOAD_TIMEOUT = 8.0
STOP_TIMEOUT = 2.0
SEND_TIMEOUT = 10.0
VIEW_TIMEOUT = 5.0


async def serve_and_load(database: Path, count: int) -> tuple[int, dict[str, int]]:
    """Runs the service until the load has ended; how many requests, and answers by status."""
    store = Store(database)
    store.create()
    service = Service(Shop(store))
    port = await service.start()
    load = await asyncio.create_subprocess_exec(
        sys.executable,
        str(HERE / "shop" / "load.py"),
        str(port),
        str(count),
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        answers, _ = await asyncio.wait_for(load.communicate(), LOAD_TIMEOUT)
    except asyncio.TimeoutError:
        load.kill()
        await load.wait()
        raise SystemExit(f"the load did not end within {LOAD_TIMEOUT:g} s") from None
    if not await service.stop(STOP_TIMEOUT):
        raise SystemExit(f"a request was still open {STOP_TIMEOUT:g} s after the load ended")
    if load.returncode:
        raise SystemExit("the shop gave an answer that was not expected")
    return service.requests, json.loads(answers)


def spans_in(path: Path) -> Iterator[dict[str, Any]]:
    """Every span of an OTLP/JSON lines file."""
    with path.open(encoding="utf-8") as lines:
        for line in lines:
            for resource_spans in json.loads(line)["resourceSpans"]:
                for scope_spans in resource_spans["scopeSpans"]:
                    yield from scope_spans["spans"]


def from_here(path: Path) -> str:
    """The path as one would type it in this folder."""
    path = path.absolute()  # not resolved: a virtual environment's python is a link out of it
    return str(path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path)


def main() -> int:
    """Runs the demo; 0 when everything was as it should be."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--file", type=Path, default=HERE / "traces.jsonl", help="for the traces")
    parser.add_argument("--requests", type=int, default=80, help="how many to send")
    parser.add_argument("--endpoint", metavar="URL", help="of a collector that gets the traces too")
    options = parser.parse_args()

    options.file.unlink(missing_ok=True)
    exporters: list[nanospan.FileExporter | nanospan.OtlpExporter]
    exporters = [nanospan.FileExporter(options.file)]
    if options.endpoint:
        try:
            exporters.append(nanospan.OtlpExporter(options.endpoint))
        except ValueError as error:
            parser.error(str(error))
    nanospan.configure(service_name="shop", exporter=exporters, sampling_rate=SAMPLING_RATE)
    with tempfile.TemporaryDirectory() as folder:
        requests, answers = asyncio.run(serve_and_load(Path(folder) / "shop.db", options.requests))
    nanospan.shutdown(timeout=SEND_TIMEOUT)
    stats = nanospan.stats()

    spans = list(spans_in(options.file)) if options.file.exists() else []
    traces = {span["traceId"] for span in spans}
    errors = sum(span.get("status", {}).get("code") == 2 for span in spans)
    view = [from_here(Path(sys.executable)), "-m", "nanospan", "view", from_here(options.file)]
    sys.stdout.flush()
    shown = subprocess.run([*view, "--slowest", "1"], timeout=VIEW_TIMEOUT, check=False)

    again = " ".join(view)
    by_status = ", ".join(f"{count} x {status}" for status, count in answers.items())
    print(f"\nThe traces are in {from_here(options.file)}. Look further:")
    print(f"  {again} --errors")
    print(f"  {again} --slowest 3 --attributes")
    print(
        f"\n{requests} requests ({by_status}): {len(traces)} traces recorded,"
        f" {len(spans)} of {stats['started']} spans, {errors} with an error."
    )
    recorded, sent = stats["recorded"], stats["sent"]
    if not spans or len(spans) != recorded:
        print(f"not every recorded span is in the file: {len(spans)} of {stats}", file=sys.stderr)
        return 1
    if sent != recorded:
        print(
            f"{options.endpoint or from_here(options.file)} took {sent} of {recorded} spans:"
            f" {stats['last_error']}",
            file=sys.stderr,
        )
        return 1
    if options.endpoint:
        print(f"{sent} spans were sent to {options.endpoint}.")
    return shown.returncode


if __name__ == "__main__":
    sys.exit(main())
