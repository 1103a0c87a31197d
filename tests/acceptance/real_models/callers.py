"""Callers of one model, in a process of their own: each takes calls out of the pool and checks the answers.

``python -m tests.acceptance.real_models.callers ADDRESS FILE CASE THREADS SECONDS PAUSE_MS SEED`` prints a
`Told` as JSON; FILE is what alone.py wrote.
"""

from __future__ import annotations

import json
import pickle
import random
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from hotgraph_client import Client, HotgraphError

from .alone import Expected
from .cases import CASES, Case


@dataclass
class Told:
    """What callers have seen.

    Attributes:
        calls: answers and errors that came, all of them.
        failed: those that failed as they do alone.
        differing: those that were not as alone.
        first: some of these in words.
    """

    calls: int = 0
    failed: int = 0
    differing: int = 0
    first: list[str] = field(default_factory=list)

    def add(self, other: Told) -> None:
        self.calls += other.calls
        self.failed += other.failed
        self.differing += other.differing
        self.first = [*self.first, *other.first][:5]


def difference(answer: Mapping[str, Any], right: Mapping[str, Any], close: float) -> str:
    """How an answer is not the right one, in words; empty where it is.

    Floats are compared within `close` of each, and of the largest of them; everything else exactly.
    """
    if answer.keys() != right.keys():
        return f"outputs {sorted(answer)}, not {sorted(right)}"
    for alias, value in right.items():
        found = np.asarray(answer[alias])
        if found.shape != value.shape or found.dtype != value.dtype:
            return f"{alias} is {found.dtype}{list(found.shape)}, not {value.dtype}{list(value.shape)}"
        if value.dtype.kind == "f":
            finite = np.abs(value[np.isfinite(value)])
            atol = close * float(finite.max(initial=0.0))
            wrong = ~np.isclose(found, value, rtol=close, atol=atol, equal_nan=True)
        else:
            wrong = found != value
        if np.any(wrong):
            at = tuple(int(index) for index in np.argwhere(wrong)[0])
            return f"{alias}{list(at)} of {list(value.shape)} is {_shown(found[at])}, not {_shown(value[at])}"
    return ""


def _shown(value: Any) -> str:
    return value.decode(errors="replace") if isinstance(value, bytes) else repr(value)


class _Caller(threading.Thread):
    def __init__(
        self, client: Client, case: Case, pool: Sequence[Expected], until: float, pause_s: float, seed: int
    ) -> None:
        super().__init__(name=f"caller {seed}")
        self.told = Told()
        self._client = client
        self._case = case
        self._pool = pool
        self._until = until
        self._pause_s = pause_s
        self._random = random.Random(seed)

    def run(self) -> None:
        while time.monotonic() < self._until:
            self.told.add(self._call(self._random.choice(self._pool)))
            if self._pause_s:
                time.sleep(self._random.uniform(0, 2 * self._pause_s))

    def _call(self, one: Expected) -> Told:
        try:
            answer = self._client.predict(self._case.name, one.inputs, signature=self._case.signature)
        except HotgraphError as error:
            if one.answer is None:
                return Told(calls=1, failed=1)
            return Told(calls=1, differing=1, first=[f"failed: {error}"])
        if one.answer is None:
            return Told(calls=1, differing=1, first=[f"was answered, and fails alone: {one.error}"])
        how = difference(answer, one.answer, self._case.close)
        return Told(calls=1, differing=1, first=[how]) if how else Told(calls=1)


def main() -> None:
    address, file, name, *numbers = sys.argv[1:]
    threads, seconds, pause_ms, seed = (int(number) for number in numbers)
    case = next(case for case in CASES if case.name == name)
    pool = pickle.loads(Path(file).read_bytes())[name]
    # Few channels, as callers that share one have them.
    clients = [Client(address, timeout_s=case.deadline_s, retries=0) for _ in range(2)]
    until = time.monotonic() + seconds
    callers = [
        _Caller(clients[number % 2], case, pool, until, pause_ms / 1000, 1000 * seed + number)
        for number in range(threads)
    ]
    for caller in callers:
        caller.start()
    whole = Told()
    for caller in callers:
        caller.join()
        whole.add(caller.told)
    print(json.dumps(asdict(whole)))


if __name__ == "__main__":
    main()
