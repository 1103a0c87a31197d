"""What there is of every model that could be served: a table for whoever asks for the repositories' index."""

from __future__ import annotations

from dataclasses import dataclass

from hotgraph_server.models.version import State


@dataclass(frozen=True)
class IndexRow:
    """A version of a model, or a model of which no version was ever loaded.

    Attributes:
        name: of the model.
        number: of the version; None: there is none.
        state: what became of it; None: nobody has asked for it.
        reason: why it does not answer, in a line; empty: it does, or nobody has asked for it.
    """

    name: str
    number: int | None = None
    state: State | None = None
    reason: str = ""
