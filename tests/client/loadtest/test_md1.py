"""md1.py, which other tests hold a load generator to, against itself: formulas and queues that are played."""

from __future__ import annotations

import numpy as np
import pytest

from .md1 import mean_sojourn, served, sojourn, wait_share


@pytest.mark.parametrize("load", [0.3, 0.6, 0.9])
def test_formulas_are_those_of_queues_that_are_played(load: float) -> None:
    arrivals = np.cumsum(np.random.default_rng(1).exponential(1 / load, 2_000_000))
    found = served(arrivals)
    assert found.mean() == pytest.approx(mean_sojourn(load), rel=0.05)
    for share in (0.5, 0.9, 0.99):
        assert np.quantile(found, share) == pytest.approx(sojourn(load, share), rel=0.06), share


def test_share_without_waiting_is_what_the_server_is_free() -> None:
    assert wait_share(0.6, 0.0) == pytest.approx(0.4)
    assert sojourn(0.6, 0.3) == 1.0


def test_calls_are_served_one_after_the_other() -> None:
    assert served(np.array([0.0, 0.5, 5.0])).tolist() == [1.0, 1.5, 1.0]
