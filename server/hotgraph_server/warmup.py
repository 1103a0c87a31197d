"""The first runs of a graph, before anybody may call it.

Some graphs load and then fail at their first run (a table or variable that nothing initialises, an op
without a kernel): that must be found before the version is live. The same runs tell which signatures
may be batched. A signature that changes state is never run here: nobody has asked for the change.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from itertools import chain
from typing import Protocol

import grpc

from hotgraph_server.batching.generated import generate, generated_inputs, kinds
from hotgraph_server.batching.rules import why_alone
from hotgraph_server.batching.trial import why_not_joined
from hotgraph_server.errors import LoadError, RunFailed
from hotgraph_server.signatures import Signature
from hotgraph_server.tensors import Array

_LOG = logging.getLogger(__name__)

# The graph is unfit to run. Every other error may be the fault of generated input that the model has
# no use for (an id out of range, a text that is no tf.Example), and says nothing about real calls.
_UNFIT = frozenset(
    {
        grpc.StatusCode.NOT_FOUND,
        grpc.StatusCode.UNIMPLEMENTED,
        grpc.StatusCode.INTERNAL,
    }
)

_WITHOUT_VALUE = ("initialized", "without a value")


class Runnable(Protocol):
    """What graph.Graph is to us."""

    signatures: dict[str, Signature]

    def run(
        self, signature: Signature, outputs: tuple[str, ...], inputs: Sequence[Array]
    ) -> Sequence[Array]: ...


Samples = Mapping[str, Sequence[Sequence[Array]]]
"""Sets of inputs that a model brings to be warmed up with, by signature; any number of rows each."""


def warm_up(
    graph: Runnable,
    where: str,
    join_of: Callable[[str], str] = lambda _: "auto",
    samples: Samples | None = None,
    *,
    batch_writes: bool = False,
) -> dict[str, str | None]:
    """Run every signature that can be run without a trace, and try which may be batched.

    Args:
        graph: opened.
        where: names the model in errors and in the log.
        join_of: the owner's word on a signature by its name: ``auto``, ``always`` or ``never``.
        samples: what the model brings.
        batch_writes: as in rules.why_alone.

    Returns:
        For each signature why its calls run alone, None where they may share a batch.

    Raises:
        LoadError: a signature cannot be run at all.
    """
    return {
        name: why_alone(signature, join_of(name), batch_writes=batch_writes)
        if signature.writes
        else _warm_up_one(graph, signature, where, join_of(name), (samples or {}).get(name, ()))
        for name, signature in graph.signatures.items()
    }


def _warm_up_one(
    graph: Runnable, signature: Signature, where: str, join: str, samples: Sequence[Sequence[Array]]
) -> str | None:
    has_run = False

    def run(inputs: Sequence[Array]) -> Sequence[Array]:
        nonlocal has_run
        try:
            answers = graph.run(signature, signature.output_aliases, inputs)
        except RunFailed as error:
            if _is_unfit(error):
                raise LoadError(
                    where, f"signature {signature.name!r} fails its first run: {_first_line(error)}"
                ) from error
            raise
        has_run = True
        return answers

    alone = why_not_joined(signature, run, join, samples)
    if has_run:
        return alone
    refusal = ""
    for inputs in chain(samples, generated_inputs(signature, rows=1)):
        try:
            run(inputs)
        except RunFailed as error:
            refusal = _first_line(error)
            continue
        return alone
    _LOG.info("%s: signature %r refuses generated input, not warmed: %s", where, signature.name, refusal)
    return alone


def warm_up_sizes(graph: Runnable, signature: Signature, sizes: Sequence[int]) -> list[int]:
    """Run generated rows once in each of these numbers; returns the numbers that the graph took.

    A kernel that chooses its way by trying, as GPUs' do, tries again for every shape; and TensorFlow
    allocates.
    """
    for kind in kinds(signature):
        taken = [size for size in sizes if _takes(graph, signature, generate(signature, size, kind))]
        if taken:
            return taken
    return []


def warmed(brought: Mapping[str, int], sizes: Mapping[str, Sequence[int]]) -> str:
    """Words for the log, empty if there is nothing to say: what was run before the version is live.

    Args:
        brought: how many calls of each kind the model brought.
        sizes: for each signature, the numbers of generated rows.
    """
    count = sum(brought.values())
    parts = []
    if count:
        of_kinds = ", ".join(f"{number} {kind}" for kind, number in sorted(brought.items()))
        parts.append(f"{count} calls that the model brings ({of_kinds})")
    alike: dict[tuple[int, ...], list[str]] = {}
    for name, rows in sizes.items():
        alike.setdefault(tuple(rows), []).append(name)
    parts += [
        f"{', '.join(map(str, rows))} generated rows for {', '.join(names)}" for rows, names in alike.items()
    ]
    return "; ".join(parts)


def _takes(graph: Runnable, signature: Signature, inputs: Sequence[Array]) -> bool:
    try:
        graph.run(signature, signature.output_aliases, inputs)
    except RunFailed:
        return False
    return True


def summary(alone: Mapping[str, str | None], unusable: Mapping[str, str]) -> str:
    """One line for the log: which signatures are batched, which not, and which cannot be called."""
    batched = [name for name, reason in alone.items() if reason is None]
    single = [name for name, reason in alone.items() if reason is not None]
    parts = []
    if batched:
        parts.append(f"batched: {', '.join(batched)}")
    if single:
        parts.append(f"run alone: {', '.join(single)}")
    parts += [f"not callable: {name} ({why})" for name, why in unusable.items()]
    return "; ".join(parts) or "no signature that can be called"


def _is_unfit(error: RunFailed) -> bool:
    # Tables and variables without a value are told so; but so are inputs that do not go together.
    if error.status is grpc.StatusCode.FAILED_PRECONDITION:
        return any(words in str(error) for words in _WITHOUT_VALUE)
    return error.status in _UNFIT


def _first_line(error: Exception) -> str:
    # What follows it in TensorFlow's texts is the node and its traceback.
    return str(error).partition("\n")[0]
