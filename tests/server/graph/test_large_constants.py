"""Large values stay out of the message that the converter makes, small ones and those that are needed there
stay in."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from hotgraph_server.graph.large_constants import ValuesApart
from hotgraph_server.tensors import Array

LARGE = np.ones((128, 256), np.float32)
SMALL = np.arange(3, dtype=np.int64)
STRINGS = np.array([b"x" * 100_000] * 9000, object)


class Session:
    """Gives its values, and nothing else."""

    def __init__(self, **values: Array) -> None:
        self.values = values

    def run(self, tensors: list[str]) -> list[Array]:
        return [self.values[name.partition("/")[0].partition(":")[0]] for name in tensors]


@pytest.mark.parametrize("tensor", ["w/Read/ReadVariableOp:0", "w:0"])
def test_large_value_is_kept_back_under_the_name_of_its_variable(tensor: str) -> None:
    values = ValuesApart(Session(w=LARGE), [])
    (stand_in,) = values.run([tensor])
    assert (stand_in.shape, stand_in.dtype) == ((), LARGE.dtype)
    assert not stand_in.any()
    assert list(values.large) == ["w"]
    assert values.large["w"] is LARGE


@pytest.mark.parametrize(
    ("value", "inside"),
    [(SMALL, ()), (STRINGS, ()), (LARGE, ("w",))],
    ids=["small", "strings", "fetched"],
)
def test_what_is_small_or_strings_or_fetched_goes_into_the_message(
    value: Array, inside: tuple[str, ...]
) -> None:
    values = ValuesApart(Session(w=value), inside)
    (found,) = values.run(["w/Read/ReadVariableOp:0"])
    assert found is value
    assert not values.large


def test_graph_with_large_variables_answers_alike_when_it_is_frozen(tmp_path: Any) -> None:
    import tensorflow as tf

    from hotgraph_server.graph import freezing
    from hotgraph_server.graph.graph import Graph
    from hotgraph_server.settings import SessionSettings
    from hotgraph_server.warmup.plan import Form, Plan, Threads

    weights = np.random.default_rng(0).normal(size=(160, 160)).astype(np.float32)

    class Model(tf.Module):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.weights = tf.Variable(weights)

        @tf.function(input_signature=[tf.TensorSpec([None, 160], tf.float32, "x")])  # type: ignore[untyped-decorator]
        def run(self, x: Any) -> dict[str, Any]:
            return {"y": x @ self.weights, "z": tf.reduce_sum(self.weights) + tf.zeros(tf.shape(x)[0])}

    model = Model()
    tf.saved_model.save(model, str(tmp_path), signatures={"serving_default": model.run})
    graph = Graph.open(tmp_path, SessionSettings())
    try:
        signature = graph.signatures["serving_default"]
        x = np.random.default_rng(1).normal(size=(3, 160)).astype(np.float32)
        expected = graph.run(signature, signature.output_aliases, [x])
        assert (
            freezing.add_frozen(graph.session, list(graph.signatures.values()), (), "/device:CPU:0", xla=True)
            == ""
        )
        frozen = graph.session.graph
        large = [op for op in frozen.get_operations() if op.name.startswith("hotgraph_constants/")]
        assert [tuple(op.outputs[0].shape) for op in large] == [(160, 160)]
        # Made once, for both copies.
        readers = {consumer.name.partition("/")[0] for op in large for consumer in op.outputs[0].consumers()}
        assert readers == {freezing.FROZEN, freezing.COMPILED}
        answers = graph.run_as(Plan(Form.FROZEN, Threads.CALLER), signature, signature.output_aliases, [x])
        for answer, right in zip(answers, expected, strict=True):
            np.testing.assert_allclose(answer, right, rtol=1e-5)
    finally:
        graph.close()
