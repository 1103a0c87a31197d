"""A file system that can lose its power at any call, and a graph that adds."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np

from hotgraph_server.errors import RunFailed
from hotgraph_server.signatures import Signature, TensorSpec
from hotgraph_server.tensors import Array

from ..fakes import FakeGraph

INT64 = np.dtype(np.int64)
FLOAT32 = np.dtype(np.float32)


class PowerCut(BaseException):
    """Nothing of ours catches it: from here on the machine is off."""


class SimulatedDisk:
    """Keeps what was synced, and of the rest what the generator `chance` likes.

    Attributes:
        cut_after: so many calls from now the power goes, in the middle of that call; None: it stays on.
        full: every write fails with OSError.
    """

    def __init__(self, chance: random.Random) -> None:
        self.cut_after: int | None = None
        self.full = False
        self._chance = chance
        self._durable: dict[Path, bytes] = {}  # as after a power cut now, if chance is against us
        self._now: dict[Path, bytes] = {}
        self._synced: dict[Path, bytes] = {}  # bytes that are durable wherever their name leads
        self._changes: list[Callable[[dict[Path, bytes]], None]] = []  # of names, in their order

    def restart(self) -> None:
        """The power is back: what was not synced is there, or not, or in part."""
        for change in self._changes:
            if self._chance.random() < 0.5:
                change(self._durable)
        self._changes.clear()
        self._now = dict(self._durable)
        self._synced = dict(self._durable)
        self.cut_after, self.full = None, False

    def damage(self, path: Path) -> None:
        """Change a byte of a file, durably."""
        data = bytearray(self._now[path])
        data[self._chance.randrange(len(data))] ^= 1 << self._chance.randrange(8)
        self._now[path] = self._durable[path] = bytes(data)

    def paths(self) -> list[Path]:
        return sorted(self._now)

    # What Files asks for.

    def make_folder(self, folder: Path) -> None:
        self._call()

    def names(self, folder: Path) -> list[str]:
        self._call()
        return [path.relative_to(folder).parts[0] for path in self._now if path.is_relative_to(folder)]

    def read(self, path: Path) -> bytes:
        self._call()
        if path not in self._now:
            raise FileNotFoundError(path)
        return self._now[path]

    def write(self, path: Path, pieces: Iterable[bytes | memoryview]) -> None:
        if self.full:
            raise OSError("no space left on device")
        data = b"".join(bytes(piece) for piece in pieces)
        self._now[path] = data
        part = data[: self._chance.randint(0, len(data))]
        self._changes.append(lambda names: names.__setitem__(path, part))
        self._call()

    def sync(self, path: Path) -> None:
        self._call()
        data = self._synced[path] = self._now[path]
        # The bytes are safe; that the file has a name is another matter.
        self._changes.append(lambda names: names.__setitem__(path, data))

    def rename(self, origin: Path, end: Path) -> None:
        self._call()
        data = self._now.pop(origin)
        self._now[end] = data
        kept = self._synced.pop(origin, None)
        if kept is None:
            kept = data[: self._chance.randint(0, len(data))]
        self._synced[end] = kept

        def change(names: dict[Path, bytes]) -> None:
            names.pop(origin, None)
            names[end] = kept

        self._changes.append(change)

    def sync_folder(self, folder: Path) -> None:
        self._call()
        for change in self._changes:
            change(self._durable)
        self._changes.clear()

    def remove(self, path: Path) -> None:
        self._call()
        del self._now[path]
        self._changes.append(lambda names: _forget(names, path))

    def _call(self) -> None:
        if self.cut_after is not None:
            self.cut_after -= 1
            if self.cut_after < 0:
                raise PowerCut


def _forget(names: dict[Path, bytes], path: Path) -> None:
    names.pop(path, None)


def spec(alias: str, shape: tuple[int | None, ...] = ()) -> TensorSpec:
    return TensorSpec(alias, f"{alias}:0", INT64, shape)


ADD = Signature("add", (spec("by"),), (spec("total"),), writes=True, variables=frozenset({"total", "again"}))
READ = Signature("read", (), (spec("total"), spec("again")))


class Adding(FakeGraph):
    """Variables `total` and `again`, which are equal between runs. `add` adds to both, one after the other;
    what
    is below zero fails between the two."""

    def __init__(self, *signatures: Signature) -> None:
        super().__init__(*(signatures or (ADD, READ)))
        self.variables = ("again", "total")
        self.total = self.again = 0

    def run(self, signature: Signature, outputs: tuple[str, ...], inputs: Sequence[Array]) -> Sequence[Array]:
        super().run(signature, outputs, inputs)
        if signature.name == "add":
            by = int(np.sum(inputs[0]))
            self.total += by
            if by < 0:
                raise RunFailed(3, "it is below zero")
            self.again += by
            shape = inputs[0].shape
            return [np.full(shape, self.total, np.int64)]
        return [np.array(self.total), np.array(self.again)]

    def read_variables(self) -> dict[str, Array]:
        return {"again": np.array(self.again, np.int64), "total": np.array(self.total, np.int64)}

    def write_variables(self, values: Mapping[str, Array]) -> None:
        super().write_variables(values)
        self.total, self.again = int(values["total"]), int(values["again"])
