from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest

from hotgraph_server.settings import BatchSettings, ModelSettings, SessionSettings
from hotgraph_server.tuning.costs import TODAY
from hotgraph_server.tuning.variants import process_counts, variants


def told(settings: ModelSettings, cores: int) -> list[str]:
    first, *others = variants(settings, cores)
    assert first is TODAY
    return [str(one) for one in others]


def model(**session: Any) -> ModelSettings:
    return dataclasses.replace(
        ModelSettings("m", Path("m")), session=dataclasses.replace(SessionSettings(), **session)
    )


XLA = "row_buckets=powers of two, xla=true"


@pytest.mark.parametrize(
    ("settings", "cores", "expected"),
    [
        (model(), 1, [XLA]),
        (model(), 2, ["intra_op_threads=1", XLA]),
        (model(), 6, ["intra_op_threads=4", "intra_op_threads=2", "intra_op_threads=1", XLA]),
        (model(intra_op_threads=2), 8, ["intra_op_threads=4", "intra_op_threads=1", XLA]),
        (model(xla=True), 1, []),
        (model(plan="as-saved"), 1, []),
        (model(plan_budget_s=0), 1, []),
        (model(device="/GPU:0"), 8, [XLA]),
    ],
)
def test_fewer_threads_and_xla_are_measured_where_they_are_something_else(
    settings: ModelSettings, cores: int, expected: list[str]
) -> None:
    assert told(settings, cores) == expected


def test_buckets_that_were_set_stay() -> None:
    settings = dataclasses.replace(model(), batch=BatchSettings(max_batch_rows=8, row_buckets=(1, 8)))
    assert told(settings, 1) == ["xla=true"]


def test_each_process_is_to_have_a_processor() -> None:
    assert [process_counts(cores) for cores in (1, 2, 3, 8)] == [[], [2], [2], [2, 4, 8]]
