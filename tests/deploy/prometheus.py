"""A Prometheus of Debian's, for this machine alone, which reads one server as one in a cluster would."""

from __future__ import annotations

import json
import subprocess
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import yaml

from bench.environment import Cache, program_of_package

from ..acceptance.foreign_packages import CACHE
from ..ports import free_port

_PATIENCE_S = 60.0


@dataclass(frozen=True)
class Prometheus:
    port: int

    def values(self, query: str) -> list[float]:
        """What a query gives now; nothing while it is not there yet."""
        url = f"http://127.0.0.1:{self.port}/api/v1/query?{urllib.parse.urlencode({'query': query})}"
        try:
            with urllib.request.urlopen(url, timeout=30) as response:
                found = json.load(response)["data"]["result"]
        except urllib.error.HTTPError as error:
            with error:
                raise AssertionError(f"{query}: {error.read().decode()}") from None
        except urllib.error.URLError:
            return []
        return [float(series["value"][1]) for series in found]

    def until(self, query: str, right: Callable[[list[float]], bool]) -> list[float]:
        """The first answer that is right; fails if there is none for a minute."""
        end = time.monotonic() + _PATIENCE_S
        while not right(found := self.values(query)):
            assert time.monotonic() < end, f"{query} still gives {found}"
            time.sleep(0.2)
        return found


@contextmanager
def prometheus(target: str, labels: Mapping[str, str], folder: Path) -> Iterator[Prometheus]:
    """``with prometheus("127.0.0.1:8501", {"pod": "a"}, folder) as it:``

    Raises:
        CannotSetUp: there is none, nor can it be fetched.
    """
    program = program_of_package(Cache(CACHE), "prometheus", "prometheus")
    config = folder / "prometheus.yml"
    job = {"job_name": "hotgraph", "static_configs": [{"targets": [target], "labels": dict(labels)}]}
    config.write_text(yaml.safe_dump({"global": {"scrape_interval": "1s"}, "scrape_configs": [job]}))
    port = free_port()
    flags = [f"--config.file={config}", f"--storage.tsdb.path={folder / 'data'}"]
    with (folder / "log").open("w") as log:
        flags.append(f"--web.listen-address=127.0.0.1:{port}")
        process = subprocess.Popen([str(program), *flags], stderr=log)
        try:
            yield Prometheus(port)
        finally:
            process.kill()
            process.wait(30)
