from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from hotgraph_server.row_independence.verdict import Verdict

from .library.cases import Built
from .random_graphs import OPS, Step, first_difference, graph_of

steps = st.lists(
    st.builds(Step, st.integers(0, len(OPS) - 1), st.tuples(st.integers(0, 3), st.integers(0, 3))),
    min_size=1,
    max_size=8,
)


@given(steps=steps, old=st.booleans(), seed=st.integers(0, 2**32 - 1))
@settings(max_examples=60)
def test_what_is_proven_of_random_graphs_is_true(steps: list[Step], old: bool, seed: int) -> None:
    built = Built(graph_of(steps, old=old))
    if built.judged(shapes=bool(seed % 2)).verdict is Verdict.PROVEN:
        assert not first_difference(built, np.random.default_rng(seed), 5)
