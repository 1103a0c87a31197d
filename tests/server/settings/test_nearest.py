"""What was meant by a name that there is not."""

from __future__ import annotations

import pytest

from hotgraph_server.settings.nearest import did_you_mean, nearest

KNOWN = ["port", "rest_port", "max_batch_rows", "--max-wait-us", "batching"]


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        *(("prot", "port"), ("PORT", "port"), ("restport", "rest_port"), ("max-batch-row", "max_batch_rows")),
        *(("--max-wait-ms", "--max-wait-us"), ("batch", "batching"), ("xyzzy", None), ("", None)),
    ],
)
def test_nearest_is_the_one_that_is_most_like_it_or_none(name: str, meant: str | None) -> None:
    assert nearest(name, KNOWN) == meant
    assert did_you_mean(name, KNOWN) == ("" if meant is None else f"; did you mean '{meant}'?")


def test_nothing_is_like_nothing() -> None:
    assert nearest("port", []) is None
