"""What versions take in memory: measured while each is loaded, and estimated before.

* **Measured**: what the process takes more over the load and the warm-up of a version, by what TensorFlow's
  allocator and the C library count, garbage collected at both ends (growth.py says what becomes of loads that
  overlap). On a device with memory of its own, what TensorFlow's allocator says of that, the same way. Never
  less than its tensors.
* **Estimated**, before a load: what the same files took when they were loaded before; else the size of the
  files times what is known of the same model, or of files of about that size; else by a guess that is rather
  too large: who makes room by it evicts one too many, which costs a load and not the process.

Any thread may call it. One lock guards what is remembered. Readings that begin and end a measurement are
taken under it, for no load may begin in between; that takes milliseconds.
"""

from __future__ import annotations

import contextlib
import functools
import gc
import math
import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from hotgraph_server.errors import StartError
from hotgraph_server.graph import device_memory
from hotgraph_server.models.memory_usage import Basis, MemoryUsage
from hotgraph_server.models.version import Version
from hotgraph_server.repository import memory
from hotgraph_server.repository.growth import Growth, Reading
from hotgraph_server.repository.tree import tree_of
from hotgraph_server.settings import ModelSettings, SessionSettings
from hotgraph_server.threads import process_memory

LoadVersion = Callable[[ModelSettings, int, Path], Version]

REMEMBERED = 10_000
"""Folders whose figures are kept; the ones that were measured longest ago go first."""

# Measured with matrices: 60 MB of files take 65 to 86 MB, and 10 MB take 42, for constants are held several
# times where a graph is small enough to be frozen (graph/freezing.py).
_GUESS_BYTES = 2**25
_GUESS_FACTOR = 1.5
_PROCESSOR = "/device:CPU:0"
_KEPT_WITHIN_LIMIT = 2**20
# A version that was measured so often, by itself, takes what it took the last time.
_ENOUGH = 2
# What files of quite another size take says little.
_LIKE = 2.0


@dataclass(frozen=True)
class _Known:
    model: str
    session: SessionSettings
    file_bytes: int
    usage: MemoryUsage
    measured: int = 0

    @property
    def is_settled(self) -> bool:
        return self.measured >= _ENOUGH


@dataclass(frozen=True)
class _Loaded:
    """A load that has ended, while others that it overlapped with have not."""

    version: Version
    folder: Path
    known: _Known


def prepare_for(session: SessionSettings, *, kept_bytes: int = process_memory.KEPT_USUALLY) -> None:
    """Have it counted what this process holds; see process_memory.divide_large_pieces and
    device_memory.prepare."""
    process_memory.divide_large_pieces(kept_bytes)
    device_memory.prepare(session)


def prepare_within_limit(session: SessionSettings) -> None:
    """The same where memory is to go back to the system as soon as it is free."""
    prepare_for(session, kept_bytes=_KEPT_WITHIN_LIMIT)


def of_process() -> Reading:
    """What the process holds now, but for TensorFlow's tensors."""
    allocated = process_memory.allocated()
    if allocated is None:
        return Reading(resident=process_memory.resident_bytes())
    return Reading(divided=allocated.divided, mapped=allocated.mapped)


class Footprints:
    """Of the versions of a server.

    Args:
        of_process: what the process holds, but for TensorFlow's tensors.
        prepare: called once before that, with the settings of the first session.
        tensors_on: bytes of tensors on a device, by its name in full; None where that is not known.
        collect: frees what is garbage, so that it is not counted.
        free: the same, and lets the system have what is free.
    """

    def __init__(
        self,
        of_process: Callable[[], Reading] = of_process,
        prepare: Callable[[SessionSettings], None] = prepare_for,
        tensors_on: Callable[[str], int | None] = device_memory.in_use,
        collect: Callable[[], object] = gc.collect,
        free: Callable[[], None] = memory.give_back,
    ) -> None:
        self._of_process = of_process
        self._prepare = prepare
        self._tensors_on = tensors_on
        self._collect = collect
        self._free = free
        self._lock = threading.Lock()  # guards what follows
        self._is_prepared = False
        # By the device; that of the process itself is "".
        self._growths = {"": Growth()}
        self._loaded: dict[Hashable, _Loaded] = {}
        self._known: OrderedDict[Path, _Known] = OrderedDict()

    def estimate(self, settings: ModelSettings, folder: Path) -> MemoryUsage:
        """What a version will take, before it is loaded. Looks at the disk, and reads no file.

        Args:
            settings: of its model.
            folder: of its SavedModel.

        Returns:
            What the same files took before, on the basis that it had; else an estimate.
        """
        return self._look(settings, folder).usage

    def measuring(self, load: Callable[..., Version], **options: Any) -> LoadVersion:
        """`load` with these options, which tells the version that it makes what that takes
        (`Version.memory`), and remembers it.

        While loads overlap the figure is an estimate. It is put right when the last of them has ended.
        """
        return functools.partial(self._measured, functools.partial(load, **options))

    def give_back(self, usage: MemoryUsage) -> None:
        """Free what a version leaves that has closed, and had taken so much."""
        self._free()
        with self._lock:
            self._gave_back(usage.host_bytes, usage.device, usage.device_bytes)

    def _look(self, settings: ModelSettings, folder: Path) -> _Known:
        size = sum(nbytes for _, nbytes, _ in tree_of(folder).files)
        with self._lock:
            known = self._known.get(folder)
            others = list(self._known.values())
        if known is not None and (known.session, known.file_bytes) == (settings.session, size):
            return known
        alike = [one for one in others if one.model == settings.name] or [
            one for one in others if size / _LIKE <= one.file_bytes <= size * _LIKE
        ]
        return _Known(settings.name, settings.session, size, _estimated(settings.session, size, alike))

    def _measured(self, load: LoadVersion, settings: ModelSettings, number: int, folder: Path) -> Version:
        known = self._look(settings, folder)
        if known.is_settled:
            return self._known_to_take(known.usage, load, settings, number, folder)
        places = {"", known.usage.device}
        key = object()
        with self._lock:
            self._prepare_for(settings.session)
            for place in places:
                self._begin(place, key)
        try:
            version = load(settings, number, folder)
        except BaseException:
            with self._lock:
                for place in places:
                    self._growths[place].failed(key)
            raise
        # A load leaves garbage and free pieces of several times the size of what stays.
        self._free()
        # Until more is known. Nobody finds the version before this has returned.
        version.memory = _at_least(known.usage, version.tensor_bytes)
        with self._lock:
            self._loaded[key] = _Loaded(version, folder, known)
            for place in places:
                self._growths[place].ended(key, version.tensor_bytes)
                self._tell_parts(place)
            if all(growth.is_idle for growth in self._growths.values()):
                self._loaded.clear()
        return version

    def _known_to_take(
        self, usage: MemoryUsage, load: LoadVersion, settings: ModelSettings, number: int, folder: Path
    ) -> Version:
        """A load that needs no measuring, and is kept out of the figures of those that it overlaps with: no
        collection holds up calls for it, and what comes and goes all the time keeps no other from being
        measured."""
        version = load(settings, number, folder)
        self._free()
        version.memory = usage
        with self._lock:
            self._gave_back(-usage.host_bytes, usage.device, -usage.device_bytes)
        return version

    def _gave_back(self, host_bytes: int, device: str, device_bytes: int) -> None:
        assert self._lock.locked()
        for place, nbytes in (("", host_bytes), (device, device_bytes)):
            if place in self._growths:
                self._growths[place].gave_back(nbytes)

    def _prepare_for(self, session: SessionSettings) -> None:
        assert self._lock.locked()
        if not self._is_prepared:
            # What is wrong with the settings, the load says.
            with contextlib.suppress(StartError):
                self._prepare(session)
                self._is_prepared = True

    def _begin(self, place: str, key: Hashable) -> None:
        assert self._lock.locked()
        growth = self._growths.setdefault(place, Growth())
        if growth.is_idle:
            # What is garbage now must not seem to have been freed by this load.
            self._collect()
        growth.begin(key, self._reading(place) if growth.is_idle else None)

    def _tell_parts(self, place: str) -> None:
        """Tell versions what they take there, and remember it, where nothing is being loaded any more."""
        assert self._lock.locked()
        growth = self._growths[place]
        if not growth.is_idle:
            return
        for key, part in growth.parts(self._reading(place)).items():
            loaded = self._loaded[key]
            version, usage = loaded.version, loaded.version.memory
            if place:
                usage = replace(usage, device_bytes=part.nbytes)
            else:
                usage = replace(usage, host_bytes=part.nbytes, basis=part.basis)
            version.memory = _at_least(usage, version.tensor_bytes)
            times = loaded.known.measured + (part.basis is Basis.MEASURED and not place)
            self._known[loaded.folder] = replace(loaded.known, usage=version.memory, measured=times)
            self._known.move_to_end(loaded.folder)
        while len(self._known) > REMEMBERED:
            self._known.popitem(last=False)

    def _reading(self, place: str) -> Reading:
        assert self._lock.locked()
        tensors = self._tensors_on(place or _PROCESSOR) if self._is_prepared else None
        return Reading(tensors) if place else replace(self._of_process(), tensors=tensors)


def _estimated(session: SessionSettings, file_bytes: int, alike: Sequence[_Known]) -> MemoryUsage:
    """By the size of its files, and what others took for theirs."""
    device = "" if session.canonical_device.startswith("/device:CPU:") else session.canonical_device
    alike = [one for one in alike if one.usage.device == device]
    measured = sum(one.file_bytes for one in alike)
    if measured:
        share = file_bytes / measured
        return MemoryUsage(
            math.ceil(sum(one.usage.host_bytes for one in alike) * share),
            math.ceil(sum(one.usage.device_bytes for one in alike) * share),
            device,
        )
    guess = _GUESS_BYTES + math.ceil(file_bytes * _GUESS_FACTOR)
    return MemoryUsage(guess, guess if device else 0, device)


def _at_least(usage: MemoryUsage, tensor_bytes: int) -> MemoryUsage:
    if usage.device:
        return replace(usage, device_bytes=max(usage.device_bytes, tensor_bytes))
    return replace(usage, host_bytes=max(usage.host_bytes, tensor_bytes))
