"""What a configuration says about sequences: calls that belong together and go one after the other."""

from __future__ import annotations

import enum
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from hotgraph_server.tensors import Array

DEFAULT_IDLE_S = 1.0
"""Triton's, for a configuration that does not say how long a sequence may be silent."""


class Control(enum.Enum):
    """What a control tensor tells the model about the call whose rows it goes with."""

    START = "start"
    READY = "ready"
    END = "end"
    CORRELATION_ID = "correlation id"


@dataclass(frozen=True)
class ControlTensor:
    """An input that the server fills in, and clients never see.

    Attributes:
        kind: what it tells.
        alias: of the input.
        dtype: of the input; object for strings, which only a correlation id can be.
        false, true: the values of START, READY and END; of no meaning for a correlation id.
    """

    kind: Control
    alias: str
    dtype: np.dtype[Any]
    false: Any = 0
    true: Any = 1


@dataclass(frozen=True)
class StateTensor:
    """A value that the server keeps between the calls of a sequence: an output that becomes an input.

    Attributes:
        input_alias: where it goes in.
        output_alias: where it comes out.
        dtype: of both; object for strings.
        dims: without the batch dimension; -1 where the size is free.
        initial: what the first call of a sequence gets, of shape `dims` with 1 in place of -1 where it is
            zeros; None: the configuration leaves it to the server, which gives zeros as well.
    """

    input_alias: str
    output_alias: str
    dtype: np.dtype[Any]
    dims: tuple[int, ...]
    initial: Array | None = None


@dataclass(frozen=True)
class SequenceRules:
    """How the calls of sequences are run.

    Attributes:
        idle_s: a sequence that sends nothing for so many seconds is over.
        strategy: ``direct`` (a slot of the batch for each sequence) or ``oldest`` (those that wait longest).
        max_candidates: sequences that may be under way at the same time; 0: no limit is said.
        controls: inputs that the server fills in.
        states: values that it keeps.
        max_queue_delay_s: how long a run may wait for calls of more sequences, seconds.
        minimum_slot_utilization: share of the slots, 0 to 1, with which a run does not wait any more; direct.
        preferred_rows: sizes of runs that do not wait any more; oldest.
        preserve_ordering: answers of different sequences leave in the order in which calls came; oldest.
    """

    idle_s: float = DEFAULT_IDLE_S
    strategy: str = "direct"
    max_candidates: int = 0
    controls: Sequence[ControlTensor] = ()
    states: Sequence[StateTensor] = ()
    max_queue_delay_s: float = 0.0
    minimum_slot_utilization: float = 0.0
    preferred_rows: tuple[int, ...] = ()
    preserve_ordering: bool = False

    @property
    def hidden_inputs(self) -> frozenset[str]:
        """Aliases of the inputs that clients do not send."""
        return frozenset(
            [control.alias for control in self.controls] + [state.input_alias for state in self.states]
        )

    @property
    def hidden_outputs(self) -> frozenset[str]:
        """Aliases of the outputs that clients do not get unless they ask for them."""
        return frozenset(state.output_alias for state in self.states)
