"""From what a model's configuration says of sequences to the sequences of a version. Starts nothing."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable
from typing import Any

from hotgraph_server.errors import LoadError
from hotgraph_server.sequences.batcher import Sequences, Submit
from hotgraph_server.sequences.bounds import Bounds
from hotgraph_server.sequences.layout import Layout
from hotgraph_server.sequences.rules import SequenceRules
from hotgraph_server.sequences.table import Table
from hotgraph_server.settings import BatchSettings, SequenceSettings
from hotgraph_server.signatures import Signature
from hotgraph_server.statistics import Statistics

_LOG = logging.getLogger(__name__)

_MIB = 2**20


def bounds_of(
    rules: SequenceRules,
    layout: Layout,
    settings: SequenceSettings,
    batch: BatchSettings,
    rows: int,
) -> Bounds:
    """What the table may hold.

    Args:
        rules: of the model.
        layout: of its signature.
        settings, batch: of the model.
        rows: the model's max_batch_size; 1 where it has none.
    """
    direct = rules.strategy == "direct"
    slots = rows if direct else rules.max_candidates or settings.max_sequences
    writes = layout.signature.writes
    shares = settings.share_slot_runs == "always" or (settings.share_slot_runs == "auto" and not writes)
    return Bounds(
        slots=slots,
        idle_s=rules.idle_s,
        max_sequences=settings.max_sequences,
        max_state_nbytes=settings.max_sequence_state_mb * _MIB,
        initial=layout.initial,
        max_calls=batch.max_queued_calls,
        max_call_nbytes=batch.max_queued_mb * _MIB,
        direct=direct,
        shares=shares,
        retries=not writes,
        # Where no run is shared there is no other to wait for.
        least_ready=max(1, math.ceil(rules.minimum_slot_utilization * slots)) if shares else 1,
        delay_s=rules.max_queue_delay_s,
    )


def sequences_of(
    title: str,
    model: str,
    signature: Signature,
    rules: SequenceRules,
    settings: SequenceSettings,
    batch: BatchSettings,
    submit: Submit,
    withdraw: Callable[[Any], bool],
    *,
    batched: bool,
    max_batch_size: int,
    statistics: Statistics,
    clock: Callable[[], float] = time.monotonic,
) -> Sequences:
    """The sequences of a version; see sequences.Sequences.

    Args:
        signature: whose calls are of sequences.
        rules: which they follow.
        batched: is dimension 0 of each of its tensors the batch's?
        max_batch_size: the model's own; 0: it has none.

    Raises:
        LoadError: the signature cannot follow the rules.
    """
    direct = rules.strategy == "direct"
    rows = max(1, max_batch_size) if batched else 1
    try:
        layout = Layout(signature, rules, batched=batched, rows=rows if direct else 1)
    except ValueError as error:
        raise LoadError(title, f"sequence_batching: {error}") from error
    bounds = bounds_of(rules, layout, settings, batch, rows)
    if direct and rows > 1 and not bounds.shares:
        _LOG.info(
            "%s: each run has the row of one sequence only, because a run that writes variables and fails"
            " cannot be tried again; share-slot-runs always makes sequences share runs all the same",
            title,
        )
    return Sequences(
        title,
        model,
        layout,
        Table(title, model, bounds),
        submit,
        withdraw,
        shares_no_batch=direct,
        refuse_with=batch.refuse_with,
        default_timeout_s=batch.default_timeout_ms / 1e3 or math.inf,
        statistics=statistics,
        clock=clock,
    )
