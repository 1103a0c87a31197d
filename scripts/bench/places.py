"""Where a server runs: what setting it up gave, and what its command line is made of."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from bench import environment
from bench.environment import ROOT, Cache
from bench.workload import BATCH_ROWS, Model


@dataclass(frozen=True)
class Installed:
    """What setting up gave: the python to run with, versions for the report, the checkout of our servers."""

    python: Path
    versions: Mapping[str, str] = field(default_factory=dict)
    tree: Path = ROOT


@dataclass(frozen=True)
class Place:
    """Where one server of one model is to run.

    Attributes:
        folder: of the model: ``1/`` is the SavedModel.
        batch_rows: the row limit of a run, where it is to be another than everywhere.
        sizes: of request and answer messages of the v2 protocol, bytes, ascending; for the echo.
    """

    cache: Cache
    installed: Installed
    model: Model
    folder: Path
    port: int
    sizes: Sequence[tuple[int, int]]
    batch_rows: int = BATCH_ROWS

    @property
    def saved_model(self) -> Path:
        return self.folder / "1"

    @property
    def shape(self) -> str:
        return ",".join(map(str, self.model.shape))


def import_path() -> str:
    """For servers that run in other environments: our servers, and the messages for the grpc handlers."""
    return os.pathsep.join(str(ROOT / folder) for folder in ("scripts", "protos"))


def in_venv(name: str, *packages: str) -> Callable[[Cache], Installed]:
    """A `set_up` that installs `packages` and the TensorFlow of hotgraph into an environment of their own."""

    def set_up(cache: Cache) -> Installed:
        python = environment.venv(cache, name, [*packages, environment.tensorflow_requirement()])
        names = [package.partition("==")[0] for package in packages]
        return Installed(python, environment.versions_in(python, [*names, "numpy"]))

    return set_up
