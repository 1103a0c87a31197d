"""The pictures of docs/loadtest.md, from real runs. Started by scripts/loadtest/pictures."""

from __future__ import annotations

import argparse
import io
import json
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from bench import environment
from bench.environment import Cache
from bench.processes import Launch, Server

ROOT = Path(__file__).parents[2]
_START_S = 90.0
_STALL_AT_S, _STALL_S = 5.0, 1.0
_SIZE = (1000, 2000)

DESCRIPTION = """\
Make docs/loadtest-stall.svg and docs/loadtest-report.png anew: two minutes, on a machine that does nothing
else.

The first: the built-in model at 300 calls a second for ten seconds, in an open loop, and then called by three
callers in a closed one. In both the server is stopped (SIGSTOP) for a second in the middle. Drawn is the
latency that each of the two saw, and its percentiles are printed as the page has them.

The second: the top of the report of `hotgraph loadtest --rate 500..4000 --steps 6`, as Chromium shows it."""


def main() -> int:
    """Draw; returns the exit status."""
    parser = argparse.ArgumentParser(
        prog="scripts/loadtest/pictures",
        description=DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--only", choices=("stall", "report"), help="one of the two")
    parser.add_argument("--out", type=Path, default=ROOT / "docs", metavar="DIR", help="(default: docs)")
    environment.add_cache_option(parser)
    given = parser.parse_args()
    # A plain end would leave the server running.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    with (
        tempfile.TemporaryDirectory(prefix="hotgraph-pictures-") as name,
        _serving(Path(name)) as (server, at),
    ):
        if given.only != "report":
            _stall(server, at, Path(name), Cache(given.cache.resolve()), given.out)
        if given.only != "stall":
            _report(at, Path(name), given.out / "loadtest-report.png")
    return 0


@contextmanager
def _serving(folder: Path) -> Iterator[tuple[Server, str]]:
    words = [sys.executable, "-m", "hotgraph_server", "serve", "--port", "0", "--rest-port", "0"]
    server = Server(Launch([*words, "--admin-port", "0"], {}), folder / "server.log")
    try:
        yield server, server.wait_for_line("serving on ", _START_S)
    finally:
        server.stop()


def _stall(server: Server, address: str, folder: Path, cache: Cache, out: Path) -> None:
    """Both loops meet a server that stands still for a second."""
    found: dict[str, Any] = {}
    for name, flags in {"open": ("--rate", "300"), "closed": ("--concurrency", "3")}.items():
        # From the start of the command, of which the beginning and its warm-up are some seconds.
        timers = [
            threading.Timer(_STALL_AT_S + 2.0, server.freeze),
            threading.Timer(_STALL_AT_S + 2.0 + _STALL_S, server.thaw),
        ]
        for timer in timers:
            timer.start()
        (found[name],) = _loadtest(address, folder / f"{name}.json", *flags, "--duration", "10")["steps"]
        for timer in timers:
            timer.join()
        figures = found[name]["latency_ms"]
        print(name, {key: round(figures[key], 1) for key in ("p50", "p99", "p99.9", "max")})
    (folder / "stall.json").write_text(json.dumps(found))
    environment.draw(cache, "loadtest.plot_stall", folder / "stall.json", out)


def _report(address: str, folder: Path, picture: Path) -> None:
    """A page as the browser shows it."""
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    if chromium is None:
        raise SystemExit("there is no chromium: sudo apt-get install chromium")
    page = folder / "report.html"
    _loadtest(
        *(address, folder / "report.json", "--rate", "500..4000", "--steps", "6"),
        *("--duration", "10", "--html", str(page)),
    )
    shot = folder / "report.png"
    flags = [
        "--headless=new",
        "--no-sandbox",
        "--disable-gpu",
        "--hide-scrollbars",
        "--virtual-time-budget=10000",
    ]
    size = f"--window-size={_SIZE[0]},{_SIZE[1]}"
    command = [chromium, *flags, size, f"--user-data-dir={folder / 'chromium'}", f"--screenshot={shot}"]
    subprocess.run([*command, page.as_uri()], check=True, capture_output=True, timeout=120)
    _small(shot, picture)
    print(f"written: {picture}, {picture.stat().st_size / 1e3:.0f} kB")


def _small(shot: Path, picture: Path) -> None:
    """A palette of 64 colours is a fifth of the bytes, and nobody sees it in a chart."""
    from PIL import Image

    made = io.BytesIO()
    Image.open(shot).convert("RGB").quantize(64).save(made, "png", optimize=True)
    picture.write_bytes(made.getvalue())


def _loadtest(address: str, document: Path, *flags: str) -> Any:
    words = [str(Path(sys.executable).with_name("hotgraph")), "loadtest", address, "digits"]
    subprocess.run([*words, *flags, "--json", str(document)], check=True)
    return json.loads(document.read_text())


if __name__ == "__main__":
    sys.exit(main())
