"""A Prometheus for this machine alone, which reads one server as one in a cluster would."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import yaml

from ..acceptance.prometheus import Prometheus, programs, running


@contextmanager
def prometheus(target: str, labels: Mapping[str, str], folder: Path) -> Iterator[Prometheus]:
    """``with prometheus("127.0.0.1:8501", {"pod": "a"}, folder) as it:``

    Raises:
        NotToBeHad: there is none, nor can it be fetched.
    """
    config = folder / "prometheus.yml"
    job = {"job_name": "hotgraph", "static_configs": [{"targets": [target], "labels": dict(labels)}]}
    config.write_text(yaml.safe_dump({"global": {"scrape_interval": "1s"}, "scrape_configs": [job]}))
    with running(programs()["prometheus"], config, folder) as it:
        yield it
