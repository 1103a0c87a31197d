"""Debian's Prometheus, and promtool: found on the path, or taken from Debian's package into the user's cache.

Nothing is installed: the package is downloaded once, and two programs are taken out of it.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from ..ports import free_port
from .foreign_packages import CACHE, NotToBeHad

_PROGRAMS = ("prometheus", "promtool")
_DOWNLOAD_S = 120.0
_START_S = 30.0
_ANSWER_S = 30.0
_PATIENCE_S = 60.0


def programs() -> Mapping[str, str]:
    """Where `prometheus` and `promtool` are.

    Raises:
        NotToBeHad: they are not here and cannot be downloaded.
    """
    on_path = {name: shutil.which(name) for name in _PROGRAMS}
    if all(on_path.values()):
        return {name: str(path) for name, path in on_path.items()}
    folder = CACHE / "prometheus"
    unpacked = {name: folder / "usr" / "bin" / name for name in _PROGRAMS}
    if not all(path.exists() for path in unpacked.values()):
        folder.mkdir(parents=True, exist_ok=True)
        _unpack(_package(folder), folder)
    return {name: str(path) for name, path in unpacked.items()}


def _package(folder: Path) -> Path:
    """Debian's package, which apt fetches and checks."""
    # Whoever has no list of packages gets one of his own: the system's is root's to renew.
    lists = folder / "lists"
    (lists / "partial").mkdir(parents=True, exist_ok=True)
    own = ["-o", f"Dir::State::Lists={lists}", "-o", f"Dir::Cache={folder}"]
    fetch = ["download", "prometheus"]
    try:
        _run(["apt-get", *fetch], folder)
    except NotToBeHad:
        _run(["apt-get", *own, "update"], folder)
        _run(["apt-get", *own, *fetch], folder)
    return next(folder.glob("prometheus_*.deb"))


def _unpack(package: Path, folder: Path) -> None:
    _run(["dpkg-deb", "-x", str(package), str(folder / "whole")], folder)
    (folder / "usr").mkdir(exist_ok=True)
    (folder / "whole" / "usr" / "bin").rename(folder / "usr" / "bin")
    shutil.rmtree(folder / "whole")
    package.unlink()


def _run(command: Sequence[str], folder: Path) -> None:
    try:
        ended = subprocess.run(
            command, cwd=folder, capture_output=True, text=True, timeout=_DOWNLOAD_S, check=False
        )
    except FileNotFoundError as missing:
        raise NotToBeHad(f"no Debian: {missing}") from None
    except subprocess.TimeoutExpired:
        raise NotToBeHad(f"{command[0]} took more than {_DOWNLOAD_S:g} s") from None
    if ended.returncode:
        raise NotToBeHad((ended.stderr.strip().splitlines() or [f"{command[0]} failed"])[-1])


class Prometheus:
    """A running one, over its HTTP API.

    Attributes:
        url: of the API, without a path.
    """

    def __init__(self, url: str) -> None:
        self.url = url

    def get(self, path: str, **parameters: Any) -> Any:
        """The data of an answer; fails with Prometheus' own words."""
        url = f"{self.url}/api/v1/{path}?{urllib.parse.urlencode(parameters)}"
        try:
            with urllib.request.urlopen(url, timeout=_ANSWER_S) as answer:
                told = json.load(answer)
        except urllib.error.HTTPError as error:
            with error:
                raise AssertionError(f"{parameters}: {error.read().decode()}") from None
        return told["data"]

    def values(self, query: str) -> list[float]:
        """What a query gives now, series by series; nothing while it is not there yet."""
        return [float(one["value"][1]) for one in self.get("query", query=query)["result"]]

    def until(self, query: str, right: Callable[[list[float]], bool]) -> list[float]:
        """The first answer that is right; fails if there is none for a minute."""
        end = time.monotonic() + _PATIENCE_S
        while not right(found := self.values(query)):
            assert time.monotonic() < end, f"{query} still gives {found}"
            time.sleep(0.2)
        return found

    def series(self, query: str, begin: float, end: float) -> list[list[float]]:
        """The values of each series of a query between two moments, a second apart; for tables and figures
        the last ones are among them."""
        found = self.get("query_range", query=query, start=begin, end=end, step=1)["result"]
        return [[float(value) for _, value in one["values"]] for one in found]

    def names(self) -> set[str]:
        """Of all metrics that it has seen."""
        return set(self.get("label/__name__/values"))

    def labels(self, query: str, label: str) -> set[str]:
        """What a label of a query's series says."""
        return {one["metric"].get(label, "") for one in self.get("query", query=query)["result"]}


@contextlib.contextmanager
def running(program: str, config: Path, folder: Path) -> Iterator[Prometheus]:
    """Prometheus with a configuration, on this machine's own address; what it stores goes into `folder`."""
    port = free_port()
    command = [
        *(program, f"--config.file={config}", f"--storage.tsdb.path={folder / 'data'}"),
        *(f"--web.listen-address=127.0.0.1:{port}", "--log.level=error"),
    ]
    with (folder / "prometheus.log").open("wb") as log:
        process = subprocess.Popen(
            command, stdout=log, stderr=log, env={**os.environ, "GOMAXPROCS": "1"}, cwd=folder
        )
    try:
        _wait_until_ready(port, process, folder / "prometheus.log")
        yield Prometheus(f"http://127.0.0.1:{port}")
    finally:
        process.terminate()
        process.wait(_START_S)


def _wait_until_ready(port: int, process: subprocess.Popen[bytes], log: Path) -> None:
    until = time.monotonic() + _START_S
    while time.monotonic() < until:
        assert process.poll() is None, log.read_text()
        with contextlib.suppress(OSError):
            urllib.request.urlopen(f"http://127.0.0.1:{port}/-/ready", timeout=1).close()
            return
        time.sleep(0.1)
    raise AssertionError(f"not ready within {_START_S:g} s:\n{log.read_text()}")
