"""How a rollout goes from step to step: `follow`, of what is wanted and seen. What it promises stands at the
head of rollout.py. Pure."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

from hotgraph_server.fleet.rollout import Copy, Rollout, Step, Versions, View, verdict

HEARD_S = 15.0
"""So long a driver waits to hear of the replicas that there are, before it decides what is served."""

_NOTHING = "the repository has no version of it that is complete"
_MOST_LOST = 2
_MOST_REFUSED = 20


def follow(view: View, rollout: Rollout | None) -> tuple[Rollout, dict[str, Versions]]:
    """Where the rollout of a model is now, and which versions each replica that shall have it is to have;
    none for those of which that is not known yet."""
    now = rollout or Rollout()
    now = _known(view, replace(now, since_s=view.now_s) if now.since_s < 0 else now)
    if not now.serving:
        return now, {}
    steps = {
        Step.STEADY: _steady,
        Step.LOADING: _loading,
        Step.COMPARING: _comparing,
        Step.SPREADING: _spreading,
        Step.BACK: _back,
    }
    # What ends one step may be what begins the next; no look takes it through more than all of them.
    for _ in Step:
        after = steps[now.step](view, now)
        if after.step is now.step:
            now = after
            break
        now = replace(after, since_s=view.now_s)
    return now, _wanted(view, now)


def _known(view: View, now: Rollout) -> Rollout:
    """With what can be told before any step: what is served, and what is still refused."""
    refused = {number: why for number, why in now.refused.items() if number in view.there}
    now = replace(now, refused=dict(list(refused.items())[-_MOST_REFUSED:]))
    if now.serving:
        return now
    if view.unheard and view.now_s - now.since_s < HEARD_S:
        return replace(now, reason="replicas are there of which it is not known yet what they have")
    now = replace(now, since_s=view.now_s)
    target = _target(view, now)
    defaults = Counter(number for copy in view.copies.values() if (number := _default(copy)))
    if view.copies and not defaults:
        return replace(now, reason="it is not known yet which version callers get")
    if not defaults:
        serving = now.remembered if now.remembered in view.there else target
        return replace(now, serving=serving, reason="" if serving else _NOTHING)
    others = [number for number, _ in defaults.most_common() if number != target]
    if target in defaults and others:
        # Callers got the new one somewhere, so it was accepted.
        reason = f"version {target} was being spread"
        return replace(now, serving=others[0], coming=target, step=Step.SPREADING, reason=reason)
    return replace(now, serving=max(defaults, key=lambda number: (defaults[number], number)))


def _default(copy: Copy) -> int:
    """What callers get there; 0: that is not known."""
    model = copy.model
    return model.default or (model.versions[0] if len(model.versions) == 1 else 0)


def _target(view: View, now: Rollout) -> int:
    """The version that there shall be; 0: none is known."""
    wished = view.there if view.version is None else (view.version,)
    possible = [number for number in wished if number in view.there and number not in now.refused]
    return max(possible, default=now.serving)


def _steady(view: View, now: Rollout) -> Rollout:
    now = _without_copies(view, now)
    target = _target(view, now)
    if target == now.serving:
        return replace(now, coming=0, canary="")
    if not any(now.serving in copy.model.versions for copy in view.copies.values()):
        # That all copies are away for a moment is no reason to serve what was never compared.
        if now.serving in view.there:
            return now
        reason = f"version {now.serving} is nowhere any more, nor in the repository"
        return replace(now, serving=target, coming=0, canary="", reason=reason)
    reason = f"version {target} is loaded beside version {now.serving}"
    return replace(now, step=Step.LOADING, coming=target, canary="", shadow=None, lost=0, reason=reason)


def _without_copies(view: View, now: Rollout) -> Rollout:
    """Where the version to be served cannot be loaded, and nobody has any, another is better than none."""
    faults = [why for name in view.placed if (why := _why(view, name, (now.serving,))) is not None]
    if view.copies or not faults:
        return now
    why = f"version {now.serving} cannot be loaded: {faults[0]}"
    other = _target(view, replace(now, refused={**now.refused, now.serving: why}))
    if other == now.serving:
        return now
    refused = {**now.refused, now.serving: why}
    return replace(now, serving=other, refused=refused, reason=why, since_s=view.now_s)


def _why(view: View, replica: str, versions: Versions, since_s: float = 0.0) -> str | None:
    """Why a replica could not load these, since a moment; None: that has not happened."""
    at_s, why = view.failed.get((replica, versions), (0.0, None))
    return why if at_s >= since_s else None


def _loading(view: View, now: Rollout) -> Rollout:
    if _target(view, now) != now.coming:
        return _given_up(view, now)
    now = _with_canary(view, now)
    if now.step is not Step.LOADING or not now.canary:
        return now
    why = _why(view, now.canary, (now.serving, now.coming), now.since_s)
    if why is not None:
        return _refused(now, f"version {now.coming} cannot be loaded: {why}")
    seen = view.copies[now.canary].model
    if {now.serving, now.coming} <= set(seen.versions) and seen.default == now.serving:
        reason = f"version {now.coming} answers in the shadow of version {now.serving} on {now.canary}"
        return replace(now, step=Step.COMPARING, reason=reason)
    return now


def _comparing(view: View, now: Rollout) -> Rollout:
    if _target(view, now) != now.coming:
        return _given_up(view, now)
    before, now = now, _with_canary(view, now)
    if now.canary != before.canary or now.step is not Step.COMPARING:
        return replace(now, step=Step.LOADING) if now.step is Step.COMPARING else now
    if why := _why(view, now.canary, (now.serving, now.coming), now.since_s):
        return _refused(now, f"version {now.coming} cannot be loaded again: {why}")
    model = view.copies[now.canary].model
    if model.shadow is not None and model.shadow.version == now.coming:
        now = replace(now, shadow=model.shadow)
    fault = verdict(view.spec, now.shadow, view.now_s - now.since_s)
    if fault is None:
        return now
    if fault:
        return _refused(now, f"version {now.coming} was refused: {fault}")
    compared = now.shadow.compared if now.shadow else 0
    reason = f"version {now.coming} was accepted after {compared} calls were compared"
    return replace(now, step=Step.SPREADING, reason=reason)


def _spreading(view: View, now: Rollout) -> Rollout:
    target = _target(view, now)
    if target == now.serving and now.serving in view.there:
        # Its owner wants the old one after all.
        return _given_up(view, now)
    for name in sorted(view.copies.keys() & set(view.placed)):
        why = _why(view, name, (now.coming,), now.since_s)
        if why is not None and now.serving in view.there:
            return _refused(now, f"version {now.coming} cannot be loaded on {name}: {why}")
    if not _all_have(view, now.coming):
        return now
    reason = f"{now.reason}, and is on all replicas"
    return replace(now, serving=now.coming, coming=0, canary="", step=Step.STEADY, reason=reason)


def _back(view: View, now: Rollout) -> Rollout:
    stuck = now.serving not in view.there
    left = [copy for name, copy in view.copies.items() if name in view.placed]
    if any(now.coming in copy.model.versions and not (stuck and _is_alone(copy, now)) for copy in left):
        return now
    return replace(now, coming=0, canary="", step=Step.STEADY)


def _is_alone(copy: Copy, now: Rollout) -> bool:
    return now.serving not in copy.model.versions


def _with_canary(view: View, now: Rollout) -> Rollout:
    """With a canary that is there, where there is one to be had; or refused, for they keep being lost."""
    copy = view.copies.get(now.canary)
    well = copy is not None and now.canary in view.placed and now.serving in copy.model.versions
    if now.canary and (not well or copy is None or copy.incarnation != now.incarnation):
        if now.canary in view.placed:
            now = replace(now, lost=now.lost + 1)
        now = replace(now, canary="")
        if now.lost >= _MOST_LOST:
            return _refused(now, f"version {now.coming} was refused: its replica was lost {now.lost} times")
    if now.canary:
        return now
    fit = [
        (now.coming in one.model.versions, one.model.calls_per_s, name)
        for name, one in view.copies.items()
        if name in view.placed and now.serving in one.model.versions
    ]
    if not fit:
        return now
    # One that an earlier driver has begun with; or where most calls come, for there is most to compare.
    *_, canary = max(fit)
    return replace(now, canary=canary, incarnation=view.copies[canary].incarnation)


def _refused(now: Rollout, why: str) -> Rollout:
    refused = {**now.refused, now.coming: why}
    return replace(now, step=Step.BACK, refused=refused, reason=why, canary="")


def _given_up(view: View, now: Rollout) -> Rollout:
    """Something else is wanted now; nothing is said against this one."""
    target = _target(view, now)
    reason = f"version {now.coming} goes: version {target} is wanted"
    return replace(now, step=Step.BACK, reason=reason, canary="")


def _all_have(view: View, number: int) -> bool:
    """Do all replicas that answer and shall have the model have this version, and no other?"""
    copies = [copy for name, copy in view.copies.items() if name in view.placed]
    return bool(copies) and all(copy.model.versions == (number,) for copy in copies)


def _wanted(view: View, now: Rollout) -> dict[str, Versions]:
    if now.step is Step.SPREADING:
        return _one_by_one(view, goal=now.coming, other=now.serving, first=now.canary)
    if now.step is Step.BACK:
        return _one_by_one(view, goal=now.serving, other=now.coming, first=now.canary)
    wanted = _one_by_one(view, goal=now.serving, other=now.serving, first="")
    if now.canary and now.step in (Step.LOADING, Step.COMPARING):
        wanted[now.canary] = (now.serving, now.coming)
    return wanted


def _one_by_one(view: View, *, goal: int, other: int, first: str) -> dict[str, Versions]:
    """All are to have the goal, but of those that have only the other one a single replica changes at a
    time. One that has none of the model gets the goal."""
    wanted: dict[str, Versions] = {}
    changing = False
    for name in sorted(view.placed, key=lambda name: (name != first, name)):
        copy = view.copies.get(name)
        if copy is None or copy.model.versions == (goal,):
            wanted[name] = (goal,)
        elif goal in copy.model.versions:
            # Nothing has to be loaded: what is too much goes.
            wanted[name] = (goal,)
            changing = True
        elif changing or goal not in view.there:
            wanted[name] = (copy.model.default or other,)
        else:
            wanted[name] = (goal,)
            changing = True
    return wanted
