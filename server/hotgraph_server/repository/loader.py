"""Settings of a model in, a live version out."""

from __future__ import annotations

import dataclasses
import functools
import importlib.metadata
import logging
import shlex
import time
from collections.abc import Callable
from pathlib import Path

from hotgraph_server.errors import LoadError
from hotgraph_server.execution.executor import Opened
from hotgraph_server.graph.graph import Graph
from hotgraph_server.model_config.batching_parameters import in_version
from hotgraph_server.model_config.completion import contract_of
from hotgraph_server.model_config.warmup import with_warmup
from hotgraph_server.models.contract import Contract
from hotgraph_server.models.opening import open_version
from hotgraph_server.models.response_cache import ResponseCache
from hotgraph_server.models.version import Version, title_of
from hotgraph_server.repository.layout import versions_in
from hotgraph_server.repository.plain_paths import plain
from hotgraph_server.settings import ModelSettings
from hotgraph_server.settings.model import may_be_several
from hotgraph_server.state.identity import identity_of
from hotgraph_server.state.restore import StateRestore
from hotgraph_server.threads.leadership import Leadership
from hotgraph_server.warmup.first_runs import summary
from hotgraph_server.warmup.warmup_calls import WarmupSource, nothing

_LOG = logging.getLogger(__name__)

_NEEDS_ONE = "it can be served with --processes 1 only"

LoggedOf = Callable[[str], WarmupSource]
"""From the prefix of the files of a request log to the calls in it."""

BringsOf = Callable[[Path], WarmupSource]
"""From the folder of a SavedModel to the calls that it brings to be warmed up with."""


def load(settings: ModelSettings, brings_of: BringsOf = lambda _: nothing) -> Version:
    """Load the highest version of a model, warm it up, and return it live.

    Raises:
        StartError: there is none, or it cannot be served.
    """
    found = versions_in(settings.path)
    number = max(found)
    return load_version(settings, number, found[number], brings_of)


def load_version(
    settings: ModelSettings,
    number: int,
    folder: Path,
    brings_of: BringsOf = lambda _: nothing,
    cache: ResponseCache | None = None,
    logged_of: LoggedOf = lambda _: nothing,
    leadership: Leadership | None = None,
    is_shared: bool = False,
) -> Version:
    """Load a version from the folder of its SavedModel, warm it up, and return it live.

    Args:
        cache: keeps answers, of models that want it; None: the server has none.
        logged_of: finds the calls that were asked of it before.
        leadership: see Engine.
        is_shared: do other processes load it as well, and get some of its calls?

    Raises:
        StartError: it cannot be served.
    """
    started = time.monotonic()
    if settings.batching_params:
        settings = dataclasses.replace(settings, batch=in_version(folder, settings.batch))
    open_graph = functools.partial(_open, folder, settings, is_shared)
    records = brings_of(folder) if settings.warmup.warmup_records else nothing
    title = title_of(settings.name, number)
    brings = with_warmup(settings, title, records)
    logged = logged_of(settings.log.prefix) if settings.log is not None else nothing
    restore = _restore(settings, number, folder)
    version = open_version(
        settings,
        number,
        open_graph,
        contract_of=functools.partial(_contract_of, is_shared),
        cache_of=functools.partial(_cache_of, title, settings, cache),
        brings=brings,
        logged=logged,
        restore=restore,
        leadership=leadership,
    )
    _LOG.info(
        "%s is live on %s after %.1f s (%s)",
        version.title,
        settings.session.device,
        time.monotonic() - started,
        summary(version.unbatched_reasons, version.unusable),
    )
    for name, plan in version.plans.items():
        _LOG.info("%s: %s runs %s", version.title, name, plan)
    return version


def _open(folder: Path, settings: ModelSettings, is_shared: bool) -> Graph:
    path = plain(folder)
    try:
        graph = Graph.open(path, settings.session, settings.batch.row_buckets)
    except LoadError as error:
        if path == folder:
            raise
        # The caller has not heard of the link.
        where, why = (text.replace(str(path), str(folder)) for text in (error.where, error.why))
        raise LoadError(where, why) from error
    if not graph.signatures and not graph.unusable:
        graph.close()
        raise LoadError(
            str(folder),
            "it has no signature, so there is nothing to call; hotgraph export"
            f" {shlex.quote(str(folder))} DIR gives one to a function that it holds, or export it with one:"
            " model.export(DIR), or tf.saved_model.save(obj, DIR,"
            " signatures=obj.__call__.get_concrete_function(...))",
        )
    writing = [name for name, signature in graph.signatures.items() if signature.writes]
    if is_shared and writing:
        graph.close()
        raise LoadError(
            str(folder),
            f"signature {min(writing)!r} may change state, of which every process would have its own:"
            f" {_NEEDS_ONE}",
        )
    return graph


def _contract_of(is_shared: bool, settings: ModelSettings, title: str, opened: Opened) -> Contract:
    contract = contract_of(settings, title, opened.signatures, opened.unusable, opened.unbatched_reasons)
    if is_shared and contract.sequence is not None:
        raise LoadError(title, f"its calls form sequences, which may reach different processes: {_NEEDS_ONE}")
    return contract


def _cache_of(
    title: str, settings: ModelSettings, cache: ResponseCache | None, contract: Contract
) -> ResponseCache | None:
    """Where the answers of a version are kept; None: they are not, and the log says why if that was asked."""
    if not (settings.kept.response_cache or contract.cached):
        return None
    if contract.sequence is not None or contract.decoupled:
        _LOG.warning("%s: its answers are not kept: what it is asked next depends on them", title)
        return None
    if cache is None:
        _LOG.warning("%s: its answers are not kept: the server's cache-mb is 0", title)
        return None
    # Who asks for the configuration shall hear what is so; perf_analyzer reads it there.
    contract.config.response_cache.enable = True
    return cache


def _restore(settings: ModelSettings, number: int, folder: Path) -> StateRestore:
    """How what its signatures write is kept, and what its checks learn.

    Raises:
        LoadError: the folder cannot be read.
    """
    try:
        identity = identity_of(folder) if settings.state.state_dir else ""
    except OSError as error:
        raise LoadError(str(folder), error.strerror or str(error)) from error
    return StateRestore(
        settings.state,
        settings.name,
        number,
        identity,
        has_siblings=may_be_several(settings.versions),
        made_by=_made_by(settings),
    )


def _made_by(settings: ModelSettings) -> str:
    """What may make answers of the same SavedModel others. Not the plan that was found: it is found by
    measuring, and its answers are those of the graph as saved."""
    batch, session = settings.batch, settings.session
    parts = {
        "tensorflow": importlib.metadata.version("tensorflow"),
        "device": session.canonical_device,
        "plan": session.plan,
        "xla": session.xla,
        "row_buckets": batch.row_buckets,
        "pad": dict(sorted(batch.pad.items())),
        # As what is on disk already has it, which this is compared with.
        "cut": dict(sorted(batch.unpad.items())),
    }
    return "; ".join(f"{name} {value}" for name, value in parts.items())
