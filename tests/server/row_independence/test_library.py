from __future__ import annotations

import numpy as np
import pytest

from hotgraph_server.row_independence.verdict import Verdict

from .library import HONEST, TRAPS
from .library.cases import Built


@pytest.mark.parametrize("name", TRAPS)
def test_no_trap_is_proven(name: str) -> None:
    for in_function in (False, True):
        built = Built(TRAPS[name], in_function=in_function and not TRAPS[name].old)
        for shapes in (False, True):
            assert built.judged(shapes=shapes).verdict is not Verdict.PROVEN


@pytest.mark.parametrize("name", HONEST)
def test_no_honest_graph_is_refuted(name: str) -> None:
    for in_function in (False, True):
        built = Built(HONEST[name], in_function=in_function and not HONEST[name].old)
        for shapes in (False, True):
            judged = built.judged(shapes=shapes)
            assert judged.verdict is not Verdict.REFUTED, judged.reason


def test_most_honest_graphs_are_proven() -> None:
    unknown = {
        name: judged.reason
        for name, case in HONEST.items()
        if (judged := Built(case).judged()).verdict is not Verdict.PROVEN
    }
    assert len(HONEST) + len(TRAPS) >= 60
    assert len(TRAPS) >= len(HONEST)
    assert len(unknown) < len(HONEST) / 5
    assert set(unknown) == {
        *("dynamic_rnn_with_lengths", "text_padded_and_masked", "sorted_and_put_back", "reversed_and_back"),
        *("diagonal_of_similarities", "rows_as_channels", "rows_as_the_height_of_an_image"),
        "table_without_scalars",
    }


@pytest.mark.parametrize("name", HONEST)
def test_honest_graphs_answer_alike_together_and_alone(name: str) -> None:
    built, rng = Built(HONEST[name]), np.random.default_rng(3)
    for rows in (1, 2, 4):
        assert not built.difference(built.draw(rng, rows))


@pytest.mark.parametrize("name", TRAPS)
def test_traps_answer_otherwise_together_than_alone(name: str) -> None:
    built, rng = Built(TRAPS[name]), np.random.default_rng(3)
    assert any(built.difference(built.draw(rng, rows)) for rows in (2, 3, 4) for _ in range(5))
