"""What models are and what became of each: for status reports, and for the repositories' index."""

from __future__ import annotations

import enum
from collections.abc import Sequence
from dataclasses import dataclass

from hotgraph_server.errors import StartError


class State(enum.Enum):
    """In this order, or from loading to failed:  waiting -> loading -> live -> draining -> closed.

    Of models that are loaded when they are called:  known -> waiting -> ... -> closed -> known.
    """

    KNOWN = "known"
    WAITING = "waiting"
    LOADING = "loading"
    LIVE = "live"
    DRAINING = "draining"
    CLOSED = "closed"
    FAILED = "failed"


@dataclass(frozen=True)
class VersionStatus:
    """What became of a version so far, whether it is served or not.

    Attributes:
        number: of the version.
        state: see State; known: it was found, and is loaded when its model is called; waiting: its turn to be
            loaded has not come.
        error: why it failed, in one line; None: it did not.
    """

    number: int
    state: State
    error: str | None = None


@dataclass(frozen=True)
class ModelFigures:
    """What became of a model so far.

    Attributes:
        name: of the model.
        versions: without those that are closed, and of those that failed the ones that shall still be served.
        loads: of versions that went well, so far; `failed_loads`: that did not, each try counted.
    """

    name: str
    versions: Sequence[VersionStatus] = ()
    loads: int = 0
    failed_loads: int = 0


@dataclass(frozen=True)
class Unavailable:
    """A version, or a model without any, that did not become available.

    Attributes:
        model: its name.
        number: of the version; None: there is none.
        error: why.
    """

    model: str
    number: int | None
    error: StartError


@dataclass(frozen=True)
class IndexRow:
    """A version of a model, or a model of which no version was ever loaded: a row of the index of all models
    that could be served.

    Attributes:
        name: of the model.
        number: of the version; None: there is none.
        state: what became of it; None: no caller has asked for it to be loaded.
        reason: why it does not answer, in a line; empty: it does, or `state` is None.
    """

    name: str
    number: int | None = None
    state: State | None = None
    reason: str = ""


@dataclass(frozen=True)
class Stopped:
    """How a stop went.

    Attributes:
        answered: every call that was taken got its answer.
        ended: every executor has ended; one whose run does not end is left to itself.
    """

    answered: bool
    ended: bool
