from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
import pytest

from hotgraph_server.errors import RunFailed, StartError
from hotgraph_server.models.version import Version
from hotgraph_server.observability.request_log.records import prediction_log
from hotgraph_server.tensors import Array
from hotgraph_server.tuning.measuring import measure, run_alone
from hotgraph_server.tuning.request_logs import read_log

from ..fakes import FakeClock
from ..protocols.fakes import FakeGraph, Models, add_and_subtract, float_signature
from ..protocols.tfs.test_warmup_records import floats, write

SIGNATURE = float_signature()


class Counting:
    """add_and_subtract, which takes so many rows and no more."""

    def __init__(self, most: int = 10**9) -> None:
        self.most = most
        self.sizes: list[int] = []

    def __call__(self, x: Array, y: Array) -> Mapping[str, Array]:
        self.sizes.append(len(x))
        if len(x) > self.most:
            raise RunFailed(3, "too many")
        return add_and_subtract(x, y)


@pytest.fixture
def models() -> Iterator[Models]:
    models = Models()
    yield models
    models.stop()


def live(models: Models, compute: Counting) -> Version:
    version = models.add("m", 1, FakeGraph((SIGNATURE, compute)))
    compute.sizes.clear()
    return version


def test_runs_are_alone_though_they_wait_together(models: Models) -> None:
    compute = Counting()
    version = live(models, compute)
    inputs = [np.zeros((3, 2), np.float32), np.zeros((3, 2), np.float32)]
    times_s = run_alone(version, SIGNATURE, inputs, 5)
    assert compute.sizes == [3] * 5
    assert len(times_s) == 5
    assert all(seconds > 0.0 for seconds in times_s)


def test_every_size_has_a_point_of_several_runs_and_the_first_of_each_does_not_count(models: Models) -> None:
    compute = Counting()
    version = live(models, compute)
    points = measure(version, SIGNATURE, [1, 2, 4], budget_s=1e-9, cpu_clock=FakeClock())
    assert [point.rows for point in points] == [1]
    points = measure(version, SIGNATURE, [1, 2, 4], budget_s=0.2)
    assert [point.rows for point in points] == [1, 2, 4]
    assert all(3 <= len(point.times_s) <= 204 for point in points)
    counted = sum(len(point.times_s) for point in points)
    assert len(compute.sizes) > counted


def test_sizes_that_the_graph_does_not_take_have_no_point(models: Models) -> None:
    said: list[str] = []
    version = live(models, Counting(most=2))
    points = measure(version, SIGNATURE, [1, 2, 4, 8], 0.1, said.append)
    assert [point.rows for point in points] == [1, 2]
    assert said == ["it does not take 4 rows"]


def test_a_graph_that_takes_nothing_cannot_be_measured(models: Models) -> None:
    version = live(models, Counting(most=2))
    with pytest.raises(StartError, match="fails on generated input"):
        measure(version, SIGNATURE, [4], 0.1)
    unknown = dataclasses.replace(SIGNATURE, name="unknown")
    with pytest.raises(StartError, match="no input is known"):
        measure(version, unknown, [1], 0.1)


def test_a_request_log_tells_moments_and_sizes_of_one_signature(models: Models, tmp_path: Path) -> None:
    signature = float_signature("floats")
    record = prediction_log("Predict", floats(x=1, y=2).SerializeToString(), b"", 0.5, 1_700_000_000)
    file = write(tmp_path, record, record) / "assets.extra" / "tf_serving_warmup_requests"
    logged = read_log(file, signature, {"floats": signature})
    assert logged.stamps == [1_700_000_000] * 2
    assert logged.sampling_rate == 0.5
    assert len(logged.rows) == 2
    with pytest.raises(StartError, match="no call of signature"):
        read_log(file, dataclasses.replace(signature, name="other"), {"floats": signature})
