"""The state of a session, as the executor's thread sees it: what the runs that write have led to. Each run is
counted once, undone if it failed, and handed to the snapshotter if not.

After each the variables are read. That is what a failed run is undone with, what snapshots are made of and
what a new version takes over, and it costs TensorFlow a copy of those that the next write changes: it must
not write into memory that a snapshot still holds.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Protocol

from hotgraph_server.errors import LoadError, RunFailed
from hotgraph_server.state.durability import Callback, Values
from hotgraph_server.state.restore import Beginning, StateRestore
from hotgraph_server.state.snapshotter import Snapshotter
from hotgraph_server.tensors import Array

_LOG = logging.getLogger(__name__)


class StatefulGraph(Protocol):
    """What graph.Graph is to us."""

    variables: tuple[str, ...]

    def read_variables(self) -> dict[str, Array]: ...

    def write_variables(self, values: Mapping[str, Array]) -> None: ...


class SessionState:
    """Of one session; made by `begin`, used in the thread that owns it.

    Attributes:
        snapshotter: of its values; any thread may ask it.
    """

    def __init__(
        self, title: str, graph: StatefulGraph, snapshotter: Snapshotter, *, reads: bool, undoes: bool
    ) -> None:
        self.snapshotter = snapshotter
        self._title = title
        self._graph = graph
        self._reads = reads
        self._undoes = undoes

    def ended_well(self, tell: Callback) -> None:
        """A run has written. `tell` is told, by whatever thread, when that may be answered, or why not."""
        values: Values = {}
        if self._reads:
            try:
                values = self._graph.read_variables()
            except RunFailed as error:
                # They could be read before; what is known of them now is nothing.
                _LOG.error("%s: its variables cannot be read: %s", self._title, error)
                tell(str(error))
                return
        self.snapshotter.wrote(values, tell)

    def failed(self) -> None:
        """A run that was to write has failed, half-way perhaps: give the variables back what they had."""
        if self._undoes:
            self.go_back()

    def go_back(self) -> None:
        """Give the variables what they had after the last run that went well."""
        if not self._reads:
            return
        try:
            self._graph.write_variables(self.snapshotter.values)
        except RunFailed as error:
            _LOG.error("%s: a write could not be undone: %s", self._title, error)

    def take_over(self, values: Values, writes: int) -> None:
        """Go on from the values of another version.

        Raises:
            RunFailed: the graph does not take them.
        """
        self._graph.write_variables(values)
        self.snapshotter.replace(values, writes)


class _Unchanging:
    variables: tuple[str, ...] = ()

    def read_variables(self) -> dict[str, Array]:
        return {}

    def write_variables(self, values: Mapping[str, Array]) -> None:
        pass


def untracked(title: str) -> SessionState:
    """For a graph whose variables only its own runs read or write."""
    snapshotter = StateRestore().snapshotter(title, Beginning({}), saves=False)
    return SessionState(title, _Unchanging(), snapshotter, reads=False, undoes=False)


def begin(title: str, graph: StatefulGraph, restore: StateRestore) -> SessionState:
    """Give a graph the values that it shall begin with, and follow what becomes of them.

    Raises:
        LoadError: the folder of the snapshots cannot be read.
    """
    settings = restore.settings
    reads = bool(graph.variables) and (
        settings.rollback_failed_writes or settings.transfer_state or bool(settings.state_dir)
    )
    values: Values = {}
    if reads:
        try:
            values = graph.read_variables()
        except RunFailed as error:
            _LOG.warning("%s: nothing is kept of its variables, one has no value: %s", title, error)
            reads = False
    beginning = _restored(title, graph, restore, values) if reads else Beginning({})
    snapshotter = restore.snapshotter(title, beginning, saves=reads)
    return SessionState(
        title, graph, snapshotter, reads=reads, undoes=reads and settings.rollback_failed_writes
    )


def _restored(title: str, graph: StatefulGraph, restore: StateRestore, values: Values) -> Beginning:
    try:
        beginning = restore.beginning(values)
    except OSError as error:
        raise LoadError(title, f"its snapshots cannot be read: {error}") from error
    if not beginning.origin:
        return beginning
    try:
        graph.write_variables(beginning.values)
    except RunFailed as error:
        _LOG.warning("%s: its variables do not take what %s has: %s", title, beginning.origin, error)
        graph.write_variables(values)
        return Beginning(values)
    _LOG.info("%s: restored after %d writes from %s", title, beginning.writes, beginning.origin)
    return beginning
