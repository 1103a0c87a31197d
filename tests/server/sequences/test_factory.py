from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from hotgraph_server.errors import SettingsError
from hotgraph_server.sequences.bounds import Bounds
from hotgraph_server.sequences.factory import bounds_of
from hotgraph_server.sequences.layout import Layout
from hotgraph_server.sequences.rules import SequenceRules, StateTensor
from hotgraph_server.settings import BatchSettings, SequenceSettings

from ..fakes import signature

FLOAT = np.dtype(np.float32)


def bounds(writes: bool = False, settings: SequenceSettings | None = None, **rules: Any) -> Bounds:
    of = signature(writes=writes)
    given = SequenceRules(**{"strategy": "direct", **rules})
    layout = Layout(of, given, batched=True, rows=8)
    return bounds_of(given, layout, settings or SequenceSettings(), BatchSettings(max_queued_mb=3), rows=8)


def test_slots_are_the_rows_of_a_run_or_the_candidates() -> None:
    assert bounds().slots == 8
    assert bounds(strategy="oldest", max_candidates=3).slots == 3
    assert bounds(settings=SequenceSettings(max_sequences=5), strategy="oldest").slots == 5


@pytest.mark.parametrize(
    ("share", "writes", "expected"),
    [
        ("auto", False, True),
        ("auto", True, False),
        ("always", True, True),
        ("never", False, False),
    ],
)
def test_who_shares_runs(share: str, writes: bool, expected: bool) -> None:
    found = bounds(writes, SequenceSettings(share_slot_runs=share))
    assert (found.shares, found.retries) == (expected, not writes)


@pytest.mark.parametrize(("utilization", "least"), [(0.0, 1), (0.1, 1), (0.5, 4), (0.51, 5), (1.0, 8)])
def test_utilization_is_a_share_of_the_slots(utilization: float, least: int) -> None:
    assert bounds(minimum_slot_utilization=utilization).least_ready == least


def test_who_shares_no_run_waits_for_nobody() -> None:
    assert bounds(writes=True, minimum_slot_utilization=1.0).least_ready == 1


def test_limits_are_those_of_the_settings() -> None:
    state = StateTensor("x", "y", FLOAT, (2,))
    found = bounds(False, SequenceSettings(max_sequences=7, max_sequence_state_mb=2), states=(state,))
    assert found.max_sequences == 7
    assert found.max_state_nbytes == 2 * 2**20
    assert found.max_call_nbytes == 3 * 2**20
    assert found.initial_nbytes == 8


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ({"max_sequences": 0}, "max-sequences must be 1 to 10000000, got 0"),
        ({"max_sequence_state_mb": 0}, "max-sequence-state-mb must be at least 1, got 0"),
        ({"share_slot_runs": "perhaps"}, "share-slot-runs must be one of auto, always, never"),
    ],
)
def test_settings_out_of_range_are_refused(values: dict[str, Any], says: str) -> None:
    with pytest.raises(SettingsError, match=says):
        SequenceSettings(**values)
