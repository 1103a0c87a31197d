from __future__ import annotations

import pytest

from hotgraph_server.tuning.traffic import Senseless
from simulation.inputs import poisson, settings_of


def test_generated_calls_come_at_their_rate_with_what_was_asked_for_and_the_same_every_time() -> None:
    arrivals = poisson(200.0, 50.0, rows=3, deadline_ms=20, levels=2)
    assert len(arrivals) == pytest.approx(10_000, rel=0.05)
    assert all(one.rows == 3 and one.deadline == pytest.approx(one.at + 0.020) for one in arrivals)
    assert [one.priority for one in arrivals[:4]] == [1, 2, 1, 2]
    assert arrivals == poisson(200.0, 50.0, rows=3, deadline_ms=20, levels=2)
    assert arrivals != poisson(200.0, 50.0, rows=3, deadline_ms=20, levels=2, seed=2)


def test_settings_are_named_as_in_the_file_and_levels_are_those_of_the_calls() -> None:
    settings = settings_of({"max_batch_rows": "8", "split": "false"}, levels=3)
    assert (settings.max_batch_rows, settings.split, settings.priority_levels) == (8, False, 3)


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [
        ("max_rows", "8", "there is no setting 'max_rows' here"),
        ("max_queued_mb", "8", "there is no setting"),
        ("max_batch_rows", "many", "must be a whole number, got 'many'"),
        ("max_batch_rows", "0", "max-batch-rows must be at least 1"),
        ("split", "1", "must be true or false"),
        ("priority_levels", "1", "the calls have 2 levels"),
    ],
)
def test_setting_that_makes_no_sense_is_refused_with_the_reason(name: str, value: str, says: str) -> None:
    with pytest.raises(Senseless, match=says):
        settings_of({name: value}, levels=2)
