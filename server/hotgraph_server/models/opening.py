"""From settings and a graph to a live version: everything that a version is made of is gathered first, so
that there is none before it can be called.

What is being loaded is nothing but a thread that is in `open_version`; the repository knows which it has
begun to load, and status reports see that.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from hotgraph_server.execution.executor import Opened, OpenGraph
from hotgraph_server.models.admission import Admission
from hotgraph_server.models.contract import Contract
from hotgraph_server.models.engine import Engine
from hotgraph_server.models.response_cache import ResponseCache
from hotgraph_server.models.version import Version, title_of
from hotgraph_server.sequences.batcher import Sequences
from hotgraph_server.sequences.factory import sequences_of
from hotgraph_server.settings import ModelSettings
from hotgraph_server.signatures import default_signature
from hotgraph_server.state.restore import StateRestore
from hotgraph_server.threads.leadership import Leadership
from hotgraph_server.warmup.batching_rules import has_rows
from hotgraph_server.warmup.warmup_calls import WarmupSource, nothing

ContractOf = Callable[[ModelSettings, str, Opened], Contract]
"""From a model's settings, the version's name in errors and its graph to what its clients may count on.
Raises StartError where the settings contradict the graph."""

CacheOf = Callable[[Contract], ResponseCache | None]
"""Where the answers of a version with that contract are kept; None: they are not."""


def by_default(settings: ModelSettings, title: str, opened: Opened) -> Contract:
    """A contract that promises nothing but the signatures."""
    return Contract(settings.config)


def no_cache(contract: Contract) -> None:
    """Answers are not kept."""


def open_version(
    settings: ModelSettings,
    number: int,
    open_graph: Callable[[], OpenGraph],
    clock: Callable[[], float] = time.monotonic,
    *,
    contract_of: ContractOf = by_default,
    cache_of: CacheOf = no_cache,
    brings: WarmupSource = nothing,
    logged: WarmupSource = nothing,
    restore: StateRestore | None = None,
    leadership: Leadership | None = None,
) -> Version:
    """Load a version, warm it up, and return it live.

    Args:
        settings: of its model.
        number: of the version.
        open_graph: called in the version's own thread.
        clock: monotonic seconds.
        contract_of: says what its clients may count on.
        cache_of: says where its answers are kept.
        brings: the calls that the model brings to be warmed up with.
        logged: calls that were asked of it before.
        restore: what its state begins with, and where its snapshots go.
        leadership: see Engine.

    Raises:
        StartError: it cannot be served; nothing of it is left.
    """
    title = title_of(settings.name, number)
    engine = Engine(title, settings, number, open_graph, clock, brings, logged, restore, leadership)
    started = clock()
    opened = engine.start()
    load_s = clock() - started
    try:
        contract = contract_of(settings, title, opened)
        return assemble(settings, number, engine, opened, contract, load_s, cache_of(contract))
    except BaseException:
        engine.stop(0.0)
        raise


def assemble(
    settings: ModelSettings,
    number: int,
    engine: Engine,
    opened: Opened,
    contract: Contract,
    load_s: float = 0.0,
    cache: ResponseCache | None = None,
) -> Version:
    """A live version of these parts.

    Args:
        engine: it runs.
        opened: what it has opened.
        load_s: seconds that this took.
        cache: where its answers are kept; None: they are not.

    Raises:
        LoadError: its signature cannot follow the rules of its sequences.
    """
    title = title_of(settings.name, number)
    kept = None
    if cache is not None:
        kept = cache.answers_of(title, opened.signatures, engine.statistics)
    admission = Admission(
        title,
        number,
        settings.batch,
        opened.signatures,
        opened.unbatched_reasons,
        opened.padded,
        _without_rows(opened, contract),
        engine.queue,
        engine.statistics,
        engine.clock,
        kept,
    )
    sequences = _sequences(title, settings, opened, contract, engine, admission)
    default = default_signature(opened.signatures)
    if contract.signature is not None:
        default = opened.signatures[contract.signature]
    return Version(settings, number, opened, contract, engine, admission, sequences, kept, default, load_s)


def _without_rows(opened: Opened, contract: Contract) -> frozenset[str]:
    """The names of the signatures whose dimension 0 is no rows, unless the owner has said that it is the
    batch's."""
    found = frozenset(
        name
        for name, signature in opened.signatures.items()
        if opened.unbatched_reasons[name] is not None and not has_rows(signature, opened.proofs.get(name))
    )
    return found - {contract.signature} if contract.batched else found


def _sequences(
    title: str,
    settings: ModelSettings,
    opened: Opened,
    contract: Contract,
    engine: Engine,
    admission: Admission,
) -> Sequences | None:
    """What the contract says of sequences, begun; None: it says nothing.

    Raises:
        LoadError: the signature cannot follow it.
    """
    if contract.sequence is None or contract.signature is None:
        return None
    sequences = sequences_of(
        title,
        settings.name,
        opened.signatures[contract.signature],
        contract.sequence,
        settings.sequences,
        settings.batch,
        admission.submit,
        engine.queue.withdraw,
        batched=contract.batched,
        max_batch_size=contract.config.max_batch_size,
        statistics=engine.statistics,
        clock=engine.clock,
    )
    sequences.start()
    return sequences
