from __future__ import annotations

import numpy as np

from hotgraph_server.models.contract import Contract, TensorContract
from hotgraph_server.rest.openapi.describing import MAX_REASON, describe
from hotgraph_server.rest.openapi.description import SignatureDescription
from hotgraph_server.signatures import Signature
from hotgraph_server.warmup.synthetic_inputs import Kind

from ...fakes import idle_version
from .known import one_to_one, spec


def described(signature: Signature, contract: Contract | None = None) -> SignatureDescription:
    (found,) = describe(idle_version("m", 1, signature, contract=contract)).signatures
    return found


def test_infer_has_the_shapes_of_the_contract_and_predict_those_of_the_signature() -> None:
    contract = Contract(
        None,
        "serving_default",
        batched=True,
        inputs={"x": TensorContract((2,), reshape=(2, 1))},
        outputs={"y": TensorContract((2, -1))},
    )
    found = described(one_to_one(shape=(None, 2, 1)), contract)
    assert found.v2.inputs[0].shape == (None, 2)
    assert found.v2.outputs[0].shape == (None, 2, None)
    assert found.v2.example is not None
    assert found.v2.example["inputs"][0]["shape"] == [1, 2]
    assert found.v1.inputs[0].shape == (None, 2, 1)


def test_a_contract_without_rank_takes_any_shape() -> None:
    contract = Contract(
        None,
        "serving_default",
        inputs={"x": TensorContract(None)},
        outputs={"y": TensorContract(None)},
    )
    found = described(one_to_one(), contract)
    assert found.v2.inputs[0].shape is None
    assert found.v2.outputs[0].shape is None


def test_outputs_that_the_contract_hides_are_not_told() -> None:
    signature = Signature("serving_default", (spec("x"),), (spec("y"), spec("hidden")))
    contract = Contract(
        None,
        "serving_default",
        inputs={"x": TensorContract((-1, 2))},
        outputs={"y": TensorContract((-1, 2))},
    )
    assert [tensor.name for tensor in described(signature, contract).v2.outputs] == ["y"]


def test_a_decoupled_model_cannot_be_called_by_infer() -> None:
    contract = Contract(None, "serving_default", decoupled=True)
    found = described(one_to_one(), contract)
    assert found.v2.refusal
    assert found.v2.example is None
    assert not found.v1.refusal


def test_the_example_is_of_the_kind_that_warm_up_has_found() -> None:
    signature = one_to_one(dtype=np.dtype(np.int32), shape=(None, None))
    version = idle_version("m", 1, signature, generated={"serving_default": Kind(32, 2)})
    (found,) = describe(version).signatures
    assert found.v2.example is not None
    assert found.v2.example["inputs"][0]["shape"] == [1, 32]
    assert not found.notes


def test_an_example_that_was_never_run_says_so() -> None:
    assert "has not been tried" in described(one_to_one()).notes[0]


def test_where_calls_run_alone_nothing_is_taken_for_rows() -> None:
    version = idle_version("m", 1, one_to_one(), unbatched_reasons={"serving_default": "it is not known"})
    (found,) = describe(version).signatures
    assert found.v1.example is not None
    assert found.v1.example.keys() == {"inputs"}


def test_reasons_are_cut() -> None:
    version = idle_version("m", 1, one_to_one(), unusable={"s": "x" * 10_000})
    assert describe(version).unusable == {"s": "x" * MAX_REASON}
