"""How a new version of a model comes: first on one replica, beside the one in service, and then on all. Pure.

steady -> loading -> comparing -> spreading -> steady
             |           |            |
             +-----------+------------+--> back -> steady, and the version is refused
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field

from hotgraph_server.fleet.observed import ShadowSeen


class Step(enum.Enum):
    """Where a rollout is."""

    STEADY = "steady"  # all copies have the version that is served, and no other
    LOADING = "loading"  # one replica is to have the new one beside the old
    COMPARING = "comparing"  # it has, and real calls are asked of both
    SPREADING = "spreading"  # the new one was accepted, and comes to the replicas one after the other
    BACK = "back"  # it was refused, and goes


@dataclass(frozen=True)
class Rollout:
    """What is known of the versions of a model.

    Attributes:
        serving: the version that callers get who ask for none, and that a replica gets which has none of the
            model; 0: there is none yet.
        coming: on its way; 0: none.
        canary: the replica that has it first.
        reason: why it is where it is, a line for people.
        refused: versions that are not tried again, and why.
        shadow: what came of the comparison so far; None: there was none.
        since_s: moment of the step.
    """

    serving: int = 0
    coming: int = 0
    step: Step = Step.STEADY
    canary: str = ""
    reason: str = ""
    refused: Mapping[int, str] = field(default_factory=dict)
    shadow: ShadowSeen | None = None
    since_s: float = 0.0
