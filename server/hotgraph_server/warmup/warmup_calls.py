"""Calls that a model brings to be warmed up with.

They serve twice before the version is live: the first of them are among what batch safety is tried with
(batch_safety.py), which learns more from real data than from generated rows; then all of them are run, as
they are and with the plan that was chosen. One that fails keeps the version from being live, because its
owner put it there as one that must work.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import NamedTuple

from hotgraph_server.batching.joining import is_whole
from hotgraph_server.errors import CallError, LoadError, first_line
from hotgraph_server.signatures import Signature
from hotgraph_server.tensors import Array
from hotgraph_server.warmup.first_runs import Samples

# Of each source, to try batch safety with, which takes a few rows of each shape.
_MAX_LOOKED_AT = 64
_MAX_SAMPLES = 8


class WarmupCall(NamedTuple):
    """One call.

    Attributes:
        kind: of the call, for the log.
        what: names it in errors.
        inputs: one array for each input, in the signature's order, with exactly its dtype; of any shape.
        outputs: aliases of the outputs that it asks for.
        check: raises CallError if what it gets could not be sent.
    """

    kind: str
    what: str
    signature: Signature
    inputs: Sequence[Array]
    outputs: tuple[str, ...]
    check: Callable[[Sequence[Array]], object]


WarmupSource = Callable[[Mapping[str, Signature], Mapping[str, str]], Iterator[WarmupCall]]
"""From a version's signatures by name, and why the others cannot be called, to its calls; LoadError where
they cannot be read. May be asked more than once."""

Run = Callable[[Signature, tuple[str, ...], Sequence[Array]], Sequence[Array]]
"""Runs a signature for a choice of outputs; raises RunFailed."""


def nothing(_signatures: Mapping[str, Signature], _unusable: Mapping[str, str]) -> Iterator[WarmupCall]:
    """What most models bring."""
    return iter(())


def samples_of(*sources: Iterable[WarmupCall]) -> Samples:
    """The first calls of each source that have the shapes of their signatures, to try batch safety with."""
    samples: dict[str, list[Sequence[Array]]] = {}
    for number, calls in enumerate(sources, 1):
        for call in islice(calls, _MAX_LOOKED_AT):
            of_signature = samples.setdefault(call.signature.name, [])
            if len(of_signature) < number * _MAX_SAMPLES and _has_rows(call):
                of_signature.append(call.inputs)
    return samples


def replay(calls: Iterable[WarmupCall], run: Run, where: str, rounds: int = 1) -> Counter[str]:
    """Run `calls`, each so many times; returns how many of each kind there were.

    Raises:
        LoadError: one failed; `where` names the model in it.
    """
    kinds: Counter[str] = Counter()
    for call in calls:
        try:
            for _ in range(rounds):
                call.check(run(call.signature, call.outputs, call.inputs))
        except CallError as error:
            told = f"{error.status.name}: {first_line(error)}"
            raise LoadError(where, f"warm-up fails: {call.what}: {told}") from error
        kinds[call.kind] += 1
    return kinds


def _has_rows(call: WarmupCall) -> bool:
    """Has it at least one row, the same number in all inputs that have rows, and all ranks as said?"""
    rows = set()
    for spec, array in zip(call.signature.inputs, call.inputs, strict=True):
        if spec.shape is not None and array.ndim != len(spec.shape):
            return False
        if not is_whole(spec):
            rows.add(array.shape[0] if array.ndim else 0)
    return len(rows) == 1 and 0 not in rows
