"""Where tensors lie in ModelInfer messages: in one piece, or nowhere."""

from __future__ import annotations

import numpy as np
import pytest

from hotgraph_protos import open_inference as pb
from hotgraph_server.protocols.v2.spans import id_span, tensor_spans
from hotgraph_server.transport.message_fields import MalformedMessage, Span, header

VALUES = np.array([1, 2], np.float32)


def request(*names: str, datatype: str = "FP32") -> pb.ModelInferRequest:
    built = pb.ModelInferRequest(model_name="m")
    for name in names:
        built.inputs.add(name=name, datatype=datatype, shape=[2])
    return built


def raw(*names: str) -> pb.ModelInferRequest:
    built = request(*names)
    for number, _ in enumerate(names):
        built.raw_input_contents.append((VALUES + number).tobytes())
    return built


def found(message: bytes, built: pb.ModelInferRequest | None = None) -> dict[str, bytes]:
    places = tensor_spans(message, built or pb.ModelInferRequest.FromString(message))
    return {name: message[span.at : span.end] for name, span in places.items()}


def test_raw_contents_are_the_inputs_in_their_order() -> None:
    assert found(raw("a", "b").SerializeToString()) == {
        "a": VALUES.tobytes(),
        "b": (VALUES + 1).tobytes(),
    }


def test_raw_contents_are_found_though_they_were_cut_out_of_the_request() -> None:
    message = raw("a").SerializeToString()
    assert found(message, request("a")) == {"a": VALUES.tobytes()}


def test_raw_contents_that_are_too_many_are_nobodys() -> None:
    built = raw("a", "b")
    del built.inputs[1]
    assert found(built.SerializeToString()) == {}


@pytest.mark.parametrize(
    ("datatype", "field", "dtype"), [("FP32", "fp32_contents", "<f4"), ("FP64", "fp64_contents", "<f8")]
)
def test_packed_floats_are_found(datatype: str, field: str, dtype: str) -> None:
    built = request("a", "b", datatype=datatype)
    for tensor in built.inputs:
        getattr(tensor.contents, field).extend([1.5, 2.5])
    values = np.array([1.5, 2.5], dtype).tobytes()
    assert found(built.SerializeToString()) == {"a": values, "b": values}


def test_numbers_of_any_length_are_not() -> None:
    built = request("a", datatype="INT64")
    built.inputs[0].contents.int64_contents.extend([1, 2])
    assert found(built.SerializeToString()) == {}


def test_contents_in_several_pieces_are_not() -> None:
    piece = header(6, VALUES.nbytes) + VALUES.tobytes()
    tensor = request("a").inputs[0].SerializeToString()
    for pieces in ([piece + piece], [piece, piece]):
        whole = tensor + b"".join(header(5, len(one)) + one for one in pieces)
        message = header(5, len(whole)) + whole
        assert len(pb.ModelInferRequest.FromString(message).inputs[0].contents.fp32_contents) == 4
        assert found(message) == {}


def test_the_last_id_counts() -> None:
    first, last = (pb.ModelInferRequest(id=text).SerializeToString() for text in ("first", "last"))
    message = first + raw("a").SerializeToString() + last
    span = id_span(message)
    assert span is not None
    assert message[span.at : span.end].decode() == pb.ModelInferRequest.FromString(message).id == "last"


def test_request_without_id_has_no_place_for_one() -> None:
    assert id_span(raw("a").SerializeToString()) is None
    assert id_span(header(3, 0)) == Span(2, 0)


def test_message_cut_short_is_malformed() -> None:
    message = raw("a").SerializeToString()
    with pytest.raises(MalformedMessage):
        tensor_spans(message[:-1], request("a"))
    with pytest.raises(MalformedMessage):
        id_span(message[:-1])
