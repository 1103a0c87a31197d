"""What to load and what to unload next: what is on disk, what became of each version, and the policy in;
actions out. No thread, disk or clock.

The rules.

* The policy chooses, among the versions that are there to be loaded, those that are wanted.
* What is wanted and not there yet is loaded, the highest number first: it is what most callers ask for.
* What is not wanted any more is unloaded, the lowest number first, and only once a version that is wanted is
  live. Until then it goes on answering: while the new one loads, when the new one cannot be loaded, and when
  all that was wanted has vanished from the disk. So the price of a swap is memory for both, and never a
  moment without an answer.
* A model that shall not be served at all is unloaded at once.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from hotgraph_server.models.status import State
from hotgraph_server.settings import AllVersions, Latest, RepositorySettings, VersionPolicy

# After these a version is loaded again if it is wanted again.
_GONE = (State.CLOSED,)


@dataclass(frozen=True)
class Actions:
    """What to do, in this order.

    Attributes:
        load: versions to load, when there is a thread for it.
        unload: versions that are live, and shall drain and close.
        drop: versions whose turn to be loaded had not come, and which are not wanted any more.
    """

    load: tuple[int, ...] = ()
    unload: tuple[int, ...] = ()
    drop: tuple[int, ...] = ()


def wanted(present: Collection[int], policy: VersionPolicy | None) -> list[int]:
    """The versions among those present that shall be served, highest first; none without a policy."""
    highest_first = sorted(set(present), reverse=True)
    if policy is None:
        return []
    if isinstance(policy, Latest):
        return highest_first[: policy.count]
    if isinstance(policy, AllVersions):
        return highest_first
    return [number for number in highest_first if number in policy.numbers]


def next_actions(
    present: Collection[int],
    states: Mapping[int, State],
    policy: VersionPolicy | None,
    retry: Collection[int] = (),
) -> Actions:
    """What is to be done for one model now.

    Args:
        present: versions that are on disk and complete.
        states: what became of those that were taken up so far.
        policy: which are to be served; None: the model shall not be served any more.
        retry: those that failed and whose time to be tried again has come.
    """
    wished = wanted(present, policy)
    load = [
        number
        for number in wished
        if number not in states
        or states[number] in _GONE
        or (states[number] is State.FAILED and number in retry)
    ]
    drop = [number for number, state in states.items() if state is State.WAITING and number not in wished]
    may_unload = policy is None or any(states.get(number) is State.LIVE for number in wished)
    unload = [
        number
        for number, state in sorted(states.items())
        if may_unload and state is State.LIVE and number not in wished
    ]
    return Actions(tuple(load), tuple(unload), tuple(drop))


def pause_s(failures: int, settings: RepositorySettings) -> float | None:
    """Seconds to wait after so many failures in a row before the next try; None: there is none any more.

    The pauses double up to `load_retry_s`: what was only late is served soon, and what is broken costs
    little.
    """
    if failures > settings.max_load_retries:
        return None
    return float(min(settings.load_retry_s, settings.load_retry_s / 16 * 2.0 ** min(failures - 1, 10)))
