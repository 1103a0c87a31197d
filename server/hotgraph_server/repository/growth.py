"""Whose growth is it? What a process grows by while versions are loaded, divided between them. Pure: readings
come in.

A place (the process's own memory, or that of a device) has one figure, and loads may overlap. So what is
measured is the growth from a moment at which nothing was being loaded to the next such moment. With one load
in between it is that one's. With several it is divided by the sizes of their tensors, of which most of it is
made; until the last of them has ended nobody's part is known.

What is given back in between, by a version that closes, was measured when that was loaded, and is added.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import dataclass, field

from hotgraph_server.models.memory_usage import Basis


@dataclass(frozen=True)
class Reading:
    """Of what a process or a device holds, in bytes; None: nobody tells.

    Attributes:
        tensors: by TensorFlow's allocator.
        divided, mapped: by the C library; see threads/process_memory.py.
        resident: of no file.
    """

    tensors: int | None = None
    divided: int | None = None
    mapped: int | None = None
    resident: int | None = None

    def since(self, before: Reading) -> int | None:
        """What was taken in between; below 0: given back; None: that cannot be told.

        Where TensorFlow counts its tensors itself, the large ones lie in regions that it has had mapped, so
        what was mapped says nothing. Small ones are counted twice.
        """
        divided = _difference(self.divided, before.divided)
        tensors = _difference(self.tensors, before.tensors)
        if tensors is not None:
            return tensors + (divided or 0)
        mapped = _difference(self.mapped, before.mapped)
        if divided is not None and mapped is not None:
            return divided + mapped
        return _difference(self.resident, before.resident)


def _difference(now: int | None, before: int | None) -> int | None:
    return None if now is None or before is None else now - before


@dataclass(frozen=True)
class Part:
    """What one load took.

    Attributes:
        nbytes: of the growth.
        basis: MEASURED or SHARED.
    """

    nbytes: int
    basis: Basis


@dataclass
class Growth:
    """Of one place. The caller keeps threads apart."""

    _before: Reading | None = None
    _given_back: int = 0
    _under_way: set[Hashable] = field(default_factory=set)
    _ended: dict[Hashable, int] = field(default_factory=dict)

    @property
    def is_idle(self) -> bool:
        """Is nothing being loaded? Only then readings mean something."""
        return not self._under_way

    def begin(self, load: Hashable, now: Reading | None) -> None:
        """A load begins.

        Args:
            load: which.
            now: taken where nothing was being loaded; otherwise it is not looked at.
        """
        if self.is_idle:
            self._before, self._given_back = now, 0
            self._ended.clear()
        self._under_way.add(load)

    def gave_back(self, nbytes: int) -> None:
        """A version has closed, which had taken so much."""
        self._given_back += nbytes

    def failed(self, load: Hashable) -> None:
        """A load has failed: what it leaves is garbage for a while, and so nothing can be said of others that
        it overlapped with."""
        self._under_way.discard(load)
        self._before = None

    def ended(self, load: Hashable, tensor_bytes: int) -> None:
        """A load has gone well, and its tensors stay. If nothing is being loaded now, `parts` is next."""
        self._under_way.discard(load)
        self._ended[load] = tensor_bytes

    def parts(self, now: Reading) -> Mapping[Hashable, Part]:
        """What each load took that has ended since `begin` found nothing being loaded; empty: that cannot be
        said."""
        assert self.is_idle, "loads are under way"
        taken = None if self._before is None else now.since(self._before)
        if taken is None:
            return {}
        grown = max(taken + self._given_back, 0)
        # One more each, for one without tensors has a part too, if it was the only one.
        whole = sum(self._ended.values()) + len(self._ended)
        basis = Basis.MEASURED if len(self._ended) == 1 else Basis.SHARED
        return {load: Part(grown * (size + 1) // whole, basis) for load, size in self._ended.items()}
