from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hotgraph_server.tuning.loads import json_log, replay_of, traffic_of
from hotgraph_server.tuning.traffic import Senseless


def records(stamps: list[int], rows: list[int], sampling_rate: float = 1.0) -> dict[str, Any]:
    return {"stamps": stamps, "rows": rows, "sampling_rate": sampling_rate}


def test_without_a_log_the_rate_and_the_sizes_are_the_load() -> None:
    traffic = traffic_of(100.0, {4: 1.0}, None, None)
    assert (traffic.rate, traffic.rows, traffic.log) == (100.0, {4: 1.0}, None)
    with pytest.raises(Senseless, match="--rate is needed"):
        traffic_of(None, {4: 1.0}, None, None)


def test_lines_of_json_are_a_load_at_their_own_pace(tmp_path: Path) -> None:
    file = tmp_path / "calls.jsonl"
    file.write_text("\n".join(f'{{"at_s": {at / 10}, "rows": 2}}' for at in range(101)))
    trace = json_log(str(file))
    assert trace is not None
    traffic = traffic_of(None, {1: 1.0}, trace, None)
    assert traffic.rate == pytest.approx(10.0)
    assert dict(traffic.rows) == {2: 101.0}
    assert replay_of(str(file), traffic, None) is None
    assert json_log("calls.tfrecord") is None
    with pytest.raises(Senseless, match=r"calls\.json"):
        json_log(str(tmp_path / "calls.json"))


def test_records_are_a_sample_so_as_many_more_came() -> None:
    """100 calls a second for ten seconds, one in four of which was written down."""
    found = records([1000 + number // 25 for number in range(250)], [1, 3] * 125, 0.25)
    traffic = traffic_of(None, {}, None, found)
    assert traffic.rate == pytest.approx(100.0, rel=0.05)
    assert dict(traffic.rows) == {1: 125.0, 3: 125.0}
    log, speed = replay_of("log", traffic, found) or ("", 0.0)
    assert log == "log"
    # To come as they came, the records of nine seconds and a bit are sent four times as fast.
    assert speed == pytest.approx(4.0, rel=0.15)
    assert traffic_of(400.0, {}, None, found).rate == 400.0


def test_records_without_times_tell_of_sizes_alone() -> None:
    found = records([0, 0, 0], [1, 1, 8])
    traffic = traffic_of(50.0, {}, None, found)
    assert (traffic.rate, traffic.rows, traffic.log) == (50.0, {1: 2.0, 8: 1.0}, None)
    assert replay_of("log", traffic, found) is None
    with pytest.raises(Senseless, match="no times"):
        traffic_of(None, {}, None, found)


def test_a_trace_of_one_call_has_no_pace() -> None:
    with pytest.raises(Senseless):
        traffic_of(None, {}, None, records([1000], [1]))
    assert np.isfinite(traffic_of(10.0, {}, None, records([0], [1])).rate)
