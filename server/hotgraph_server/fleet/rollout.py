"""How a new version of a model comes: first on one replica, beside the one in service, and then on all. Pure:
what is wanted and what is seen in; out comes which versions each replica shall have, the one that callers get
first (`follow`, in rollout_steps.py). Somebody else has them loaded (reconcile.py), and tells which loads
failed. Here are the values, and the verdict.

    steady -> loading -> comparing -> spreading -> steady
                 |           |            |
                 +-----------+------------+--> back -> steady, and the version is refused

What it promises.

* Until it is accepted no caller gets the new version who does not ask for it by number: one replica, the
  canary, has it beside the old one and in its shadow, where real calls are compared (models/shadows.py).
* It is accepted when `calls` were compared, or those that came in `wait_s`, and none failed, none differed
  (where a tolerance is said), and the median of the runs took no more than `slower` times the old one's.
* Then replicas change one after the other; each has the new one loaded before the old one goes. So there are
  never fewer copies of the model than before, and of one replica's memory only is more taken.
* Back is always possible, as long as the old one's folder is there: until then nothing has unloaded the old
  one everywhere.
* A version that was refused is not tried again until its folder has gone and come back. Another one is.
* It ends: each load is tried once while a version comes, and a canary that is lost twice refuses it.

What must be known is seen: a driver that comes new looks which versions callers get, and goes on from there.
What was refused and why, and what was served where now nothing is, has to be told to it (`restored`);
otherwise it finds out once more. Until it has heard of the replicas that there are it decides nothing.
"""

from __future__ import annotations

import enum
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

from hotgraph_server.fleet.observed import ModelSeen, ShadowSeen
from hotgraph_server.fleet.spec import RolloutSpec

Versions = tuple[int, ...]
"""That a replica shall have: the one that callers get who ask for none, and perhaps one in its shadow."""


class Step(enum.Enum):
    """Where a rollout is."""

    STEADY = "steady"  # all copies have the version that is served, and no other
    LOADING = "loading"  # one replica is to have the new one beside the old
    COMPARING = "comparing"  # it has, and real calls are asked of both
    SPREADING = "spreading"  # the new one was accepted, and comes to the replicas one after the other
    BACK = "back"  # it goes, and where it was alone the old one comes again


@dataclass(frozen=True)
class Rollout:
    """What is known of the versions of a model.

    Attributes:
        serving: the version that callers get who ask for none, and that a replica gets which has none of the
            model; 0: there is none yet.
        coming: on its way, or going; 0: none.
        canary: the replica that has it first; incarnation: of its process.
        reason: why it is where it is, a line for people.
        refused: versions that are not tried again, and why.
        shadow: what came of the last comparison; None: there was none.
        since_s: moment of the step.
        lost: canaries of this version that were lost.
        remembered: what an earlier driver has served; 0: that is not known.
    """

    serving: int = 0
    coming: int = 0
    step: Step = Step.STEADY
    canary: str = ""
    incarnation: str = ""
    reason: str = ""
    refused: Mapping[int, str] = field(default_factory=dict)
    shadow: ShadowSeen | None = None
    since_s: float = -1.0
    lost: int = 0
    remembered: int = 0


@dataclass(frozen=True)
class Copy:
    """A replica that answers and has the model.

    Attributes:
        incarnation: of its process.
    """

    incarnation: str
    model: ModelSeen


@dataclass(frozen=True)
class View:
    """What is wanted and seen of one model.

    Attributes:
        spec: of rollouts.
        version: that the owner has asked for; None: the newest.
        there: versions in the repository, complete.
        placed: replicas that shall have it.
        copies: replicas that have it, by id, also where they shall not.
        failed: loads that failed last: of which versions by which replica; when, and why.
        now_s: the moment.
        unheard: are there replicas of which it is not known what they have?
    """

    spec: RolloutSpec
    version: int | None
    there: Collection[int]
    placed: Collection[str]
    copies: Mapping[str, Copy]
    failed: Mapping[tuple[str, Versions], tuple[float, str]]
    now_s: float
    unheard: bool = False


def verdict(spec: RolloutSpec, shadow: ShadowSeen | None, waited_s: float) -> str | None:
    """Why a version is not accepted after such a comparison; empty: it is; None: that is not known yet."""
    seen = shadow or ShadowSeen(0)
    of = f"of {seen.compared + seen.failed} calls"
    if seen.failed:
        return f"{seen.failed} {of} failed: {seen.reason}"
    if seen.differed and spec.tolerance is not None:
        return f"{seen.differed} {of} were answered otherwise: {seen.reason}"
    if seen.compared < spec.calls and waited_s < spec.wait_s:
        return None
    if not seen.compared and spec.calls and not spec.blind:
        return f"no real call could be compared within {spec.wait_s:g} s"
    if seen.slower is not None and seen.slower > spec.slower:
        return f"its runs take {seen.slower:.2f} times as long, {spec.slower:g} is allowed ({of})"
    return ""


def restored(document: Any) -> dict[str, Rollout]:
    """What an earlier driver's status document (status.py) says of versions that were served and refused, by
    model; nothing, where it is something else."""
    found: dict[str, Rollout] = {}
    try:
        for model in document["models"]:
            told = model["rollout"]
            if told is None:
                continue
            refused = {int(number): str(why)[:500] for number, why in told["refused"].items()}
            serving = int(told["serving"])
            if refused or serving > 0:
                found[str(model["name"])] = Rollout(refused=refused, remembered=max(serving, 0))
    except (LookupError, TypeError, ValueError, AttributeError):
        return {}
    return found
