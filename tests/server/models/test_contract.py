"""Shapes that clients see and shapes that the model takes, by the contract between them."""

from __future__ import annotations

import pytest

from hotgraph_server.models.contract import Contract, TensorContract

CONTRACT = Contract(
    None,
    "s",
    batched=True,
    inputs={
        "plain": TensorContract((2, 3)),
        "reshaped": TensorContract((2, 3), reshape=(6,)),
        "free": TensorContract(None),
    },
    outputs={
        "plain": TensorContract((2, 3)),
        "reshaped": TensorContract((6,), reshape=(2, 3)),
        "free": TensorContract(None, reshape=(1,)),
    },
)


@pytest.mark.parametrize(
    ("alias", "shape", "expected"),
    [("plain", (5, 2, 3), (5, 2, 3)), ("reshaped", (5, 2, 3), (5, 6)), ("free", (7,), (7,))],
)
def test_model_gets_an_input_in_its_own_shape(
    alias: str, shape: tuple[int, ...], expected: tuple[int, ...]
) -> None:
    assert CONTRACT.model_shape(alias, shape) == expected


@pytest.mark.parametrize(
    ("alias", "shape", "expected"),
    [("plain", (5, 2, 3), (5, 2, 3)), ("reshaped", (5, 2, 3), (5, 6)), ("free", (7,), (7,))],
)
def test_client_gets_an_output_in_the_shape_that_it_was_promised(
    alias: str, shape: tuple[int, ...], expected: tuple[int, ...]
) -> None:
    assert CONTRACT.client_shape(alias, shape) == expected


def test_shape_that_breaks_the_contract_is_refused_on_either_side() -> None:
    with pytest.raises(ValueError, match=r"expected shape \[batch, then 2, 3\], got \[5, 2, 4\]"):
        CONTRACT.model_shape("reshaped", (5, 2, 4))
    with pytest.raises(ValueError, match=r"expected shape \[batch, then 2, 3\], got \[5, 6\]"):
        CONTRACT.client_shape("reshaped", (5, 6))
