"""What a model's own configuration asks of calls: shapes, rows, names."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from hotgraph_protos import open_inference as pb
from hotgraph_server.errors import InvalidCall
from hotgraph_server.models.contract import Contract, TensorContract
from hotgraph_server.protocols.v2.codec import decode_inputs
from hotgraph_server.sequences.rules import Control, ControlTensor, SequenceRules, StateTensor
from hotgraph_server.signatures import Signature, TensorSpec
from hotgraph_server.tensors import Array

from ..fakes import float_signature, spec

MATRIX = Signature("serving_default", (spec("x", np.float32, None, 2, 3),), (spec("y", np.float32, None),))


def contract(batched: bool = True, **more: Any) -> Contract:
    return Contract(None, "serving_default", batched, **more)


def one(*shape: int, name: str = "x") -> pb.ModelInferRequest:
    request = pb.ModelInferRequest(model_name="m")
    request.inputs.add(name=name, datatype="FP32", shape=shape)
    request.raw_input_contents.append(np.arange(np.prod(shape), dtype=np.float32).tobytes())
    return request


def decoded(request: pb.ModelInferRequest, rules: Contract, signature: Signature = MATRIX) -> list[Array]:
    return decode_inputs(request, signature, "m", batched=False, contract=rules)


class TestRows:
    def test_a_scalar_has_none_though_nobody_knows_the_rank(self) -> None:
        unknown = Signature("serving_default", (TensorSpec("x", "x:0", np.dtype(np.float32), None),), ())
        rules = contract(max_batch_size=4, inputs={"x": TensorContract(None)})
        with pytest.raises(InvalidCall, match="input 'x' has no shape but model requires batch dimension"):
            decoded(one(), rules, unknown)

    @pytest.mark.parametrize("rows", [1, 4])
    def test_as_many_as_the_model_allows(self, rows: int) -> None:
        assert decoded(one(rows, 2, 3), contract(max_batch_size=4))[0].shape == (rows, 2, 3)

    def test_one_more_is_refused(self) -> None:
        with pytest.raises(InvalidCall, match="inference request batch-size must be <= 4 for 'm', got 5"):
            decoded(one(5, 2, 3), contract(max_batch_size=4))

    def test_any_number_where_the_model_sets_no_limit(self) -> None:
        assert len(decoded(one(500, 2, 3), contract())[0]) == 500

    def test_inputs_must_agree_though_the_signature_runs_alone(self) -> None:
        request = one(2, 2)
        request.MergeFrom(one(1, 2, name="y"))
        with pytest.raises(InvalidCall, match="input 'y' batch size does not match other inputs"):
            decoded(request, contract(max_batch_size=4), float_signature())


class TestShapes:
    def test_dims_of_the_configuration_count_behind_the_batch(self) -> None:
        narrow = contract(inputs={"x": TensorContract((2, 3))})
        wide = Signature("serving_default", (spec("x", np.float32, None, None, None),), MATRIX.outputs)
        assert decoded(one(1, 2, 3), narrow, wide)[0].shape == (1, 2, 3)
        with pytest.raises(InvalidCall) as raised:
            decoded(one(1, 2, 4), narrow, wide)
        assert str(raised.value) == (
            "unexpected shape for input 'x' for model 'm'. Expected [-1,2,3], got [1,2,4]"
        )

    def test_dims_are_whole_shapes_without_a_batch(self) -> None:
        rules = contract(batched=False, inputs={"x": TensorContract((4, 2, -1))})
        assert decoded(one(4, 2, 3), rules)[0].shape == (4, 2, 3)
        with pytest.raises(InvalidCall, match=r"Expected \[4,2,-1\], got \[3,2,3\]"):
            decoded(one(3, 2, 3), rules)

    def test_unknown_rank_takes_any_shape(self) -> None:
        unknown = contract(inputs={"x": TensorContract(None)})
        assert decoded(one(5), unknown)[0].shape == (5,)

    @pytest.mark.parametrize("signature", ["free", "unknown rank"])
    def test_tensor_without_values_is_small(self, signature: str) -> None:
        shape = (None, None) if signature == "free" else None
        any_shape = Signature(
            "serving_default",
            (TensorSpec("x", "x:0", np.dtype(np.float32), shape),),
            (spec("y", np.float32, None),),
        )
        for accepted in ((65536, 0), (0, 65536), (0, 0)):
            assert decoded(one(*accepted), contract(), any_shape)[0].shape == accepted
        for refused in ((65537, 0), (0, 2**31 - 1)):
            request = one(0)
            request.inputs[0].shape[:] = refused
            with pytest.raises(InvalidCall, match="is too large"):
                decoded(request, contract(), any_shape)

    def test_tensor_is_fed_in_the_shape_that_the_model_takes(self) -> None:
        rules = contract(inputs={"x": TensorContract((6,), reshape=(2, 3))})
        (x,) = decoded(one(4, 6), rules)
        assert x.shape == (4, 2, 3)
        assert x.ravel().tolist() == list(range(24))
        with pytest.raises(InvalidCall, match=r"Expected \[-1,6\], got \[4,2,3\]"):
            decoded(one(4, 2, 3), rules)

    def test_free_sizes_keep_their_order_and_a_single_value_may_lose_its_dimension(self) -> None:
        free = contract(inputs={"x": TensorContract((-1, 6, -1), reshape=(-1, 2, 3, -1))})
        rank4 = Signature("serving_default", (spec("x", np.float32, *[None] * 5),), MATRIX.outputs)
        assert decoded(one(1, 5, 6, 7), free, rank4)[0].shape == (1, 5, 2, 3, 7)
        scalar = contract(inputs={"x": TensorContract((1,), reshape=())})
        vector = Signature("serving_default", (spec("x", np.float32, None),), MATRIX.outputs)
        assert decoded(one(3, 1), scalar, vector)[0].shape == (3,)


class TestNames:
    RULES = SequenceRules(
        controls=[ControlTensor(Control.START, "start", np.dtype(np.int32))],
        states=[StateTensor("before", "after", np.dtype(np.float32), (1,))],
    )
    SIGNATURE = Signature(
        "serving_default",
        (spec("start", np.int32, None, 1), spec("x", np.float32, None), spec("before", np.float32, None, 1)),
        (spec("y", np.float32, None), spec("after", np.float32, None, 1)),
    )

    def test_what_the_server_fills_in_is_not_sent(self) -> None:
        (x,) = decoded(one(1), contract(sequence=self.RULES), self.SIGNATURE)
        assert x.tolist() == [0]

    def test_and_is_unexpected_if_it_is(self) -> None:
        with pytest.raises(InvalidCall, match="unexpected inference input 'start' for model 'm'"):
            decoded(one(1, name="start"), contract(sequence=self.RULES), self.SIGNATURE)
        both = one(1)
        both.MergeFrom(one(1, 1, name="before"))
        with pytest.raises(InvalidCall, match="expected 1 inputs but got 2 inputs for model 'm'"):
            decoded(both, contract(sequence=self.RULES), self.SIGNATURE)
