"""The ways to run a graph that are worth measuring, each of which takes a load of the model. Pure."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from typing import Any

from hotgraph_server.settings import ModelSettings
from hotgraph_server.tuning.costs import TODAY, Variant, variant_of
from hotgraph_server.tuning.prediction import Candidate

BUCKETS = "row_buckets"
TO_THE_LIMIT = "powers of two"
"""In place of buckets that go as far as the row limit, whichever that is."""


def variants(settings: ModelSettings, cores: int) -> Iterator[Variant]:
    """As the model is set today first; then fewer threads for one op, down to one; then XLA.

    Args:
        settings: of the model today.
        cores: processors of this machine.
    """
    yield TODAY
    session = settings.session
    today = session.intra_op_threads or cores
    if session.canonical_device.startswith("/device:CPU"):
        threads = 1 << max((cores - 1).bit_length() - 1, 0)
        while threads >= 1:
            if threads not in (today, cores):
                yield variant_of({"intra_op_threads": threads})
            threads //= 2
    if not session.xla and session.plan == "auto" and session.plan_budget_s > 0:
        # XLA compiles for each number of rows, so there are to be few.
        buckets = {} if settings.batch.row_buckets else {BUCKETS: TO_THE_LIMIT}
        yield variant_of({"xla": True, **buckets})


def process_counts(cores: int) -> list[int]:
    """Numbers of processes to try beside one: each is to have a processor of its own."""
    return [1 << power for power in range(1, cores.bit_length()) if 1 << power <= cores]


def values_to_measure(settings: ModelSettings, variant: Variant, most_rows: int) -> dict[str, Any]:
    """Settings with which a model is loaded to be measured: the variant's, and room for so many rows.

    Raises:
        SettingsError: they cannot be.
    """
    candidate = Candidate(variant)
    if most_rows != settings.batch.max_batch_rows:
        candidate = candidate.with_batch(max_batch_rows=most_rows)
    return candidate.values(settings.batch)


def beside(settings: ModelSettings, plain: ModelSettings) -> dict[str, Any]:
    """The settings of a model that `plain`, the same model with nothing said, has otherwise; by name, as a
    file has them."""
    owners = (
        (settings.batch, plain.batch),
        (settings.session, plain.session),
        (settings.warmup, plain.warmup),
    )
    return {
        one.name: _in_file(getattr(owner, one.name))
        for owner, without in owners
        for one in dataclasses.fields(owner)
        if getattr(owner, one.name) != getattr(without, one.name)
    }


def _in_file(value: Any) -> Any:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return dataclasses.asdict(value)
    if isinstance(value, Mapping):
        return {str(key): _in_file(one) for key, one in value.items()}
    return value
