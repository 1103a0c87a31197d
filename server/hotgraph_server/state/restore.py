"""What a version's state begins with: where its snapshots are, and which of them it takes."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from hotgraph_server.settings import StateSettings
from hotgraph_server.state.durability import DurabilityPolicy, Values
from hotgraph_server.state.files import Disk, Files
from hotgraph_server.state.identity import folder_name, folder_of
from hotgraph_server.state.learnt import Memory
from hotgraph_server.state.snapshot import Header, Snapshot
from hotgraph_server.state.snapshotter import Snapshotter
from hotgraph_server.state.store import Found, Store
from hotgraph_server.tensors import Array

_LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class Beginning:
    """What a version begins with.

    Attributes:
        values: of its variables.
        writes: that have led to them.
        saved: those of them that a snapshot of this version has.
        origin: for the log; empty: as they were saved with the model.
    """

    values: Values
    writes: int = 0
    saved: int = 0
    origin: str = ""


@dataclass(frozen=True)
class StateRestore:
    """Of one version.

    Attributes:
        settings: see there.
        model: its name.
        version: its number.
        identity: of its SavedModel; of no matter where no snapshots are taken.
        files: where they go.
        has_siblings: other versions of the model may be served beside it; each goes on from its own snapshots
            then, if it has any.
        made_by: what runs its graph, in words: what checks have learnt holds for that alone.
        clock: monotonic seconds.
    """

    settings: StateSettings = field(default_factory=StateSettings)
    model: str = ""
    version: int = 0
    identity: str = ""
    files: Files = field(default_factory=Disk)
    has_siblings: bool = False
    made_by: str = ""
    clock: Callable[[], float] = time.monotonic

    @property
    def _root(self) -> Path:
        return Path(os.path.expanduser(self.settings.state_dir))

    @property
    def _folder(self) -> Path:
        return folder_of(self._root, self.model, self.version, self.identity)

    def store(self) -> Store | None:
        """Of this version's snapshots; None: none are taken."""
        if not self.settings.state_dir:
            return None
        return Store(self._folder, self.settings.state_keep, self.files)

    def memory(self, title: str) -> Memory:
        """Of what the checks in service learn; without a `state_dir` it keeps nothing."""
        folder = self._folder if self.settings.state_dir else None
        return Memory(title, folder, self.made_by, self.files)

    def beginning(self, saved_with_model: Mapping[str, Array]) -> Beginning:
        """Which values a version begins with, as far as disks tell.

        Args:
            saved_with_model: the values as loaded.

        Raises:
            OSError: the folder of the snapshots cannot be read.
        """
        store = self.store()
        if store is None:
            return Beginning(saved_with_model)
        own = store.newest(self.identity)
        if own is not None and not _fits(own[0], saved_with_model):
            _LOG.warning("snapshot %s is passed over: it has other variables than are written", own[1])
            own = None
        looks_further = self.settings.transfer_state and (own is None or not self.has_siblings)
        other = self._of_another_version() if looks_further else None
        if other is not None and (own is None or other[0].header.writes > own[0].header.writes):
            values, moved = carried(other[0].values, saved_with_model)
            if moved:
                return Beginning(values, other[0].header.writes, -1, f"{other[1]} ({', '.join(moved)})")
        if own is None:
            return Beginning(saved_with_model)
        snapshot, path = own
        writes = snapshot.header.writes
        return Beginning(
            {name: snapshot.values[name] for name in saved_with_model}, writes, writes, str(path)
        )

    def snapshotter(self, title: str, beginning: Beginning, *, saves: bool) -> Snapshotter:
        """That of the state from now on, not started; without `saves` it takes no snapshots."""
        settings = self.settings
        every_write = settings.state_sync == "every_write"
        return Snapshotter(
            title,
            Header(self.model, self.version, self.identity, 0, 0.0),
            self.store() if saves else None,
            DurabilityPolicy(settings.state_every_writes, settings.state_every_s, every_write),
            beginning.values,
            beginning.writes,
            beginning.saved,
            self.clock,
        )

    def _of_another_version(self) -> tuple[Snapshot, Path] | None:
        """The newest whole snapshot that another version of this model has left."""
        root = self._root / folder_name(self.model)
        newest: tuple[Snapshot, Path] | None = None
        for name in self.files.names(root):
            if root / name == self._folder:
                continue
            for found in self._found_in(root / name):
                if found.snapshot is None:
                    _LOG.warning("snapshot %s is passed over: %s", found.path, found.damage)
                    continue
                if newest is None or found.writes > newest[0].header.writes:
                    newest = found.snapshot, found.path
                break
        return newest

    def _found_in(self, folder: Path) -> Iterator[Found]:
        try:
            yield from Store(folder, self.settings.state_keep, self.files).find()
        except OSError as error:
            # A stray file, or a folder that this server has not made; what is ours is elsewhere.
            _LOG.warning("%s is passed over: %s", folder, error.strerror or error)


def carried(origin: Values, end: Values) -> tuple[dict[str, Array], list[str]]:
    """`end` with the values of those variables of `origin` that have the same name, dtype and shape, and the
    names of these."""
    moved = [
        name
        for name, array in end.items()
        if name in origin and origin[name].dtype == array.dtype and origin[name].shape == array.shape
    ]
    return {**end, **{name: origin[name] for name in moved}}, moved


def _fits(snapshot: Snapshot, values: Values) -> bool:
    # Shapes may be free, and TensorFlow says whether one will do.
    return all(
        name in snapshot.values and snapshot.values[name].dtype == array.dtype
        for name, array in values.items()
    )
