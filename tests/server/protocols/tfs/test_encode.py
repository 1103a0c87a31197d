"""TensorProtos are written as TensorFlow itself writes them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given
from hypothesis import strategies as st
from tensorflow.core.framework import tensor_pb2
from tensorflow_serving.apis import model_pb2, predict_pb2

from hotgraph_server.protocols.tfs.decode import decode_tensor
from hotgraph_server.protocols.tfs.encode import encode_response, encode_tensor
from hotgraph_server.tensors import STRING
from hotgraph_server.transport.service import Answered, joined

from .tensor_protos import (
    DTYPES,
    IDS,
    TABLE,
    arrays,
    head_of,
    in_our_form,
    parsed_by_tensorflow,
    same,
    vector_of,
)


@pytest.mark.parametrize(("dtype", "values", "field", "tail"), TABLE, ids=IDS)
class TestTable:
    def test_these_values_become_these_bytes(
        self, dtype: Any, values: list[Any], field: str, tail: bytes
    ) -> None:
        assert encode_tensor(vector_of(dtype, values)) == head_of(dtype) + tail

    def test_tensorflow_reads_what_we_write(
        self, dtype: Any, values: list[Any], field: str, tail: bytes
    ) -> None:
        for array in (
            vector_of(dtype, values),
            vector_of(dtype, values[:1]).reshape(()),
            vector_of(dtype, []),
        ):
            written = tensor_pb2.TensorProto.FromString(encode_tensor(array))
            assert same(in_our_form(tf.make_ndarray(written), dtype), array)
            # What TensorFlow's kernels see, and not only its Python.
            assert same(in_our_form(parsed_by_tensorflow(written), dtype), array)


@given(st.data(), st.sampled_from(DTYPES))
def test_every_array_that_we_write_is_read_by_tensorflow_and_by_us(
    data: st.DataObject, dtype: np.dtype[Any]
) -> None:
    array = data.draw(arrays(dtype))
    written = tensor_pb2.TensorProto.FromString(encode_tensor(array))
    assert not written.tensor_content
    assert same(in_our_form(parsed_by_tensorflow(written), dtype), array)
    assert same(decode_tensor("x", written), array)


def response_of(answer: Answered) -> Any:
    """A PredictResponse from its bytes, or from pieces of them."""
    return predict_pb2.PredictResponse.FromString(joined(answer))


@given(st.data())
def test_response_is_what_protobuf_would_have_written(data: st.DataObject) -> None:
    count = data.draw(st.integers(0, 4))
    aliases = data.draw(st.lists(st.text(max_size=40), min_size=count, max_size=count, unique=True))
    outputs = [data.draw(arrays(data.draw(st.sampled_from(DTYPES)))) for _ in aliases]
    spec = model_pb2.ModelSpec(name="m", signature_name="s")
    spec.version.value = data.draw(st.sampled_from((7, 0)))
    version = spec.version.value
    response = response_of(encode_response("m", version, "s", aliases, outputs))
    assert response.model_spec == spec
    assert set(response.outputs) == set(aliases)
    for alias, array in zip(aliases, outputs, strict=True):
        assert response.outputs[alias] == tensor_pb2.TensorProto.FromString(encode_tensor(array))
        assert same(decode_tensor(alias, response.outputs[alias]), array)


@given(st.data(), st.sampled_from(DTYPES), st.text(max_size=200))
def test_output_is_byte_for_byte_what_protobuf_writes_the_first_time_and_later(
    data: st.DataObject, dtype: np.dtype[Any], alias: str
) -> None:
    array = data.draw(arrays(dtype))
    for _ in range(2):
        written = encode_tensor(array)
        assert tensor_pb2.TensorProto.FromString(written).SerializeToString() == written
        spec = predict_pb2.PredictResponse()
        spec.model_spec.name, spec.model_spec.version.value = "m", 1
        outputs = predict_pb2.PredictResponse()
        outputs.outputs[alias].MergeFromString(written)
        expected = spec.SerializeToString() + outputs.SerializeToString()
        assert encode_response("m", 1, "", [alias], [array]) == expected


def test_output_that_is_not_contiguous_is_written_in_its_own_order() -> None:
    for dtype in (np.float32, np.float16, np.int32, np.complex64):
        array = np.arange(12, dtype=np.int32).reshape(3, 4).astype(dtype).T[::2]
        assert same(decode_tensor("x", tensor_pb2.TensorProto.FromString(encode_tensor(array))), array)


def test_output_longer_than_a_short_varint_is_written_right() -> None:
    for size in (31, 32, 127, 128, 5_000, 600_000):
        array = np.arange(size, dtype=np.float32)
        response = response_of(encode_response("m", 1, "s", ["y" * 200], [array]))
        assert same(decode_tensor("y", response.outputs["y" * 200]), array)


@given(st.data())
def test_response_in_content_is_what_tensorflow_reads(data: st.DataObject) -> None:
    dtype = data.draw(st.sampled_from(DTYPES))
    array = data.draw(arrays(dtype))
    message = encode_response("m", 1, "s", ["y"], [array], as_content=True)
    output = response_of(message).outputs["y"]
    # Strings stay where clients can read them.
    assert bool(output.tensor_content) == bool(array.size and dtype != STRING)
    assert same(in_our_form(parsed_by_tensorflow(output), dtype), array)
    assert same(decode_tensor("y", output), array)
