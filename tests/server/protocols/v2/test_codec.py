"""The codec of the Open Inference Protocol: every value survives, all other bytes are a CallError."""

from __future__ import annotations

import tracemalloc
from collections.abc import Sequence
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from hotgraph_protos import open_inference as pb
from hotgraph_protos import tensors as wire
from hotgraph_server.errors import CallError, InvalidCall, Unsupported
from hotgraph_server.protocols.v2.codec import decode_inputs, encode_response, parse_request, shape_of
from hotgraph_server.protocols.v2.outputs import wanted_outputs
from hotgraph_server.signatures import Signature, TensorSpec
from hotgraph_server.tensors import STRING, Array
from hotgraph_server.transport.service import joined

from ..fakes import float_signature, identity_signature, spec, strings

# datatype: values, typed field, raw bytes
TABLE: list[tuple[str, list[Any], str | None, bytes]] = [
    ("BOOL", [True, False], "bool_contents", b"\1\0"),
    ("UINT8", [0, 255], "uint_contents", b"\0\xff"),
    ("UINT16", [1, 65535], "uint_contents", b"\1\0\xff\xff"),
    ("UINT32", [1, 2**32 - 1], "uint_contents", b"\1\0\0\0\xff\xff\xff\xff"),
    ("UINT64", [1, 2**64 - 1], "uint64_contents", b"\1\0\0\0\0\0\0\0" + b"\xff" * 8),
    ("INT8", [-1, 127], "int_contents", b"\xff\x7f"),
    ("INT16", [-2, 1], "int_contents", b"\xfe\xff\1\0"),
    ("INT32", [-2, 1], "int_contents", b"\xfe\xff\xff\xff\1\0\0\0"),
    ("INT64", [-(2**63), 1], "int64_contents", b"\0\0\0\0\0\0\0\x80\1\0\0\0\0\0\0\0"),
    ("FP16", [1.0, -2.0], None, b"\x00\x3c\x00\xc0"),
    ("BF16", [1.0, -2.0], None, b"\x80\x3f\x00\xc0"),
    ("FP32", [1.0, -2.0], "fp32_contents", b"\0\0\x80\x3f\0\0\0\xc0"),
    ("FP64", [1.0, -2.0], "fp64_contents", b"\0\0\0\0\0\0\xf0\x3f\0\0\0\0\0\0\0\xc0"),
    ("BYTES", [b"a\0", b""], "bytes_contents", b"\2\0\0\0a\0\0\0\0\0"),
]
FIELD_OF = {datatype: field for datatype, _, field, _ in TABLE}
FIELDS = sorted({field for field in FIELD_OF.values() if field})
DATATYPES = list(FIELD_OF)
SHAPES = hnp.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=4)


def one_input(datatype: str, shape: Sequence[int], **fields: Any) -> pb.ModelInferRequest:
    """A request with the input ``x``; `fields` are raw, or a contents field and its values."""
    request = pb.ModelInferRequest(model_name="m")
    tensor = request.inputs.add(name="x", datatype=datatype, shape=shape)
    for field, value in fields.items():
        if field == "raw":
            request.raw_input_contents.append(value)
        else:
            tensor.contents.SetInParent()
            getattr(tensor.contents, field).extend(value)
    return request


def of_any_shape(datatype: str) -> Signature:
    """``x`` of a datatype, of unknown rank."""
    unknown = TensorSpec("x", "x:0", wire.dtype_of(datatype), None)
    return Signature("serving_default", (unknown,), (unknown,))


def decode_one(request: pb.ModelInferRequest, signature: Signature) -> Array:
    parsed = parse_request(request.SerializeToString())
    (array,) = decode_inputs(parsed, signature, "m", batched=False)
    return array


def same(one: Array, other: Array) -> bool:
    """Equal in dtype, shape and every bit."""
    if one.dtype != other.dtype or one.shape != other.shape:
        return False
    if one.dtype == STRING:
        return one.ravel().tolist() == other.ravel().tolist()
    return one.tobytes() == other.tobytes()


def arrays(datatype: str, shape: Any = SHAPES) -> st.SearchStrategy[Array]:
    """Any array of a datatype, floats of every bit pattern."""
    dtype = wire.dtype_of(datatype)
    if datatype == "BYTES":
        return hnp.arrays(object, shape, elements=st.binary(max_size=5), fill=st.nothing())
    if dtype.kind in "fV":
        bits = np.dtype(f"u{dtype.itemsize}")
        return hnp.arrays(bits, shape).map(lambda array: array.view(dtype))
    return hnp.arrays(dtype, shape)


@pytest.mark.parametrize(("datatype", "values", "field", "raw"), TABLE, ids=DATATYPES)
class TestTable:
    def test_raw_bytes_are_these_values(
        self, datatype: str, values: list[Any], field: str | None, raw: bytes
    ) -> None:
        array = decode_one(one_input(datatype, [2], raw=raw), of_any_shape(datatype))
        assert array.dtype == wire.dtype_of(datatype)
        assert array.tolist() == values

    def test_these_values_become_these_raw_bytes(
        self, datatype: str, values: list[Any], field: str | None, raw: bytes
    ) -> None:
        dtype = wire.dtype_of(datatype)
        array = strings(*values) if dtype == STRING else np.array(values, dtype)
        response = pb.ModelInferResponse.FromString(
            joined(encode_response("m", 7, "id-1", [spec("y", dtype, None)], [array]))
        )
        assert response == pb.ModelInferResponse(
            model_name="m",
            model_version="7",
            id="id-1",
            outputs=[pb.ModelInferResponse.InferOutputTensor(name="y", datatype=datatype, shape=[2])],
            raw_output_contents=[raw],
        )

    def test_raw_bytes_cut_anywhere_or_with_more_behind_are_refused(
        self, datatype: str, values: list[Any], field: str | None, raw: bytes
    ) -> None:
        for wrong in [*(raw[:end] for end in range(len(raw))), raw + b"\0", raw + raw]:
            with pytest.raises(InvalidCall, match="for input 'x' for model 'm'"):
                decode_one(one_input(datatype, [2], raw=wrong), of_any_shape(datatype))

    def test_typed_contents_are_these_values(
        self, datatype: str, values: list[Any], field: str | None, raw: bytes
    ) -> None:
        for wanted in [field] if field else []:
            array = decode_one(one_input(datatype, [2, 1], **{wanted: values}), of_any_shape(datatype))
            assert array.dtype == wire.dtype_of(datatype)
            assert array.tolist() == [[value] for value in values]

    def test_typed_contents_of_any_other_field_are_refused(
        self, datatype: str, values: list[Any], field: str | None, raw: bytes
    ) -> None:
        for other in FIELDS:
            if other != field:
                content = [b"1", b"0"] if other == "bytes_contents" else [1, 0]
                with pytest.raises(InvalidCall, match="unexpected explicit tensor data for input tensor 'x'"):
                    decode_one(one_input(datatype, [2], **{other: content}), of_any_shape(datatype))

    def test_typed_contents_with_too_few_or_too_many_values_are_refused(
        self, datatype: str, values: list[Any], field: str | None, raw: bytes
    ) -> None:
        for wrong in [values[:1], values + values] if field else []:
            with pytest.raises(InvalidCall, match="for input 'x' for model 'm'"):
                decode_one(one_input(datatype, [2], **{str(field): wrong}), of_any_shape(datatype))

    def test_request_cut_at_any_byte_is_refused_or_read_and_never_breaks(
        self, datatype: str, values: list[Any], field: str | None, raw: bytes
    ) -> None:
        whole = one_input(datatype, [2], raw=raw).SerializeToString()
        assert isinstance(outcome(whole, of_any_shape(datatype)), list)
        for end in range(len(whole)):
            # No shorter message can hold the whole tensor.
            assert isinstance(outcome(whole[:end], of_any_shape(datatype)), CallError)


@given(st.data(), st.sampled_from(DATATYPES))
def test_every_array_survives_as_raw_contents(data: st.DataObject, datatype: str) -> None:
    array = data.draw(arrays(datatype))
    decoded = decode_one(one_input(datatype, array.shape, raw=wire.encode_raw(array)), of_any_shape(datatype))
    assert same(decoded, array)


@given(st.data(), st.sampled_from([datatype for datatype, field in FIELD_OF.items() if field]))
def test_every_array_survives_as_typed_contents(data: st.DataObject, datatype: str) -> None:
    array = data.draw(arrays(datatype))
    field = str(FIELD_OF[datatype])
    decoded = decode_one(
        one_input(datatype, array.shape, **{field: array.ravel().tolist()}), of_any_shape(datatype)
    )
    if array.dtype.kind == "f":
        # A float field may turn a signalling NaN into a quiet one, on its way through a C double.
        assert decoded.dtype == array.dtype
        assert np.array_equal(decoded, array, equal_nan=True)
    else:
        assert same(decoded, array)


@given(st.data())
def test_every_array_survives_as_output(data: st.DataObject) -> None:
    datatypes = data.draw(st.lists(st.sampled_from(DATATYPES), max_size=4))
    outputs = [data.draw(arrays(datatype)) for datatype in datatypes]
    specs = [spec(f"y{index}", array.dtype) for index, array in enumerate(outputs)]
    response = pb.ModelInferResponse.FromString(joined(encode_response("m", 1, "", specs, outputs)))
    assert [tensor.name for tensor in response.outputs] == [one.alias for one in specs]
    for tensor, raw, array in zip(response.outputs, response.raw_output_contents, outputs, strict=True):
        assert same(wire.decode_raw(tensor.datatype, tensor.shape, raw), array)


@given(st.data(), st.text(max_size=200))
def test_response_is_byte_for_byte_what_protobuf_writes_the_first_time_and_later(
    data: st.DataObject, request_id: str
) -> None:
    datatypes = data.draw(st.lists(st.sampled_from(DATATYPES), max_size=3))
    outputs = [data.draw(arrays(datatype)) for datatype in datatypes]
    specs = [spec(f"y{index}", array.dtype) for index, array in enumerate(outputs)]
    written = pb.ModelInferResponse(model_name="m", model_version="7", id=request_id)
    for one, datatype, array in zip(specs, datatypes, outputs, strict=True):
        written.outputs.add(name=one.alias, datatype=datatype, shape=array.shape)
        written.raw_output_contents.append(wire.encode_raw(array))
    for _ in range(2):
        assert encode_response("m", 7, request_id, specs, outputs) == written.SerializeToString()


def test_output_that_is_not_contiguous_is_written_in_its_own_order() -> None:
    for dtype in (np.float32, np.float16, np.bool_, ml_dtypes.bfloat16, np.dtype(">f4")):
        array = np.arange(12).reshape(3, 4).astype(dtype).T[::2]
        message = joined(encode_response("m", 1, "", [spec("y", dtype)], [array]))
        (raw,) = pb.ModelInferResponse.FromString(message).raw_output_contents
        assert raw == array.astype(np.dtype(dtype).newbyteorder("<")).tobytes()


class TestAnyBytes:
    """Whatever arrives: arrays that fit the signature, or a CallError."""

    @given(st.binary(max_size=400), st.booleans())
    def test_any_bytes(self, message: bytes, batched: bool) -> None:
        check(message, float_signature(), batched=batched)

    @settings(suppress_health_check=[HealthCheck.too_slow], deadline=None, max_examples=400)
    @given(st.data())
    def test_any_message(self, data: st.DataObject) -> None:
        signature, batched = data.draw(SIGNATURES)
        check(data.draw(requests(signature)).SerializeToString(), signature, batched=batched)

    @settings(suppress_health_check=[HealthCheck.too_slow], deadline=None, max_examples=400)
    @given(st.data())
    def test_any_message_cut_and_overwritten_anywhere(self, data: st.DataObject) -> None:
        signature, batched = data.draw(SIGNATURES)
        message = bytearray(data.draw(requests(signature)).SerializeToString())
        for _ in range(data.draw(st.integers(1, 4))):
            at = data.draw(st.integers(0, len(message)))
            till = data.draw(st.integers(at, min(len(message), at + 8)))
            message[at:till] = data.draw(st.binary(max_size=8))
        check(bytes(message), signature, batched=batched)


@pytest.mark.parametrize(
    "shape",
    [
        [2**31 - 1],
        [2**31 - 1] * 2,
        [2**31 - 1] * 32,
        [2**62],
        [2**63 - 1] * 3,
        [0, 2**31 - 1, 2**31 - 1, 2**31 - 1],
        [2**31 - 1, 2**31 - 1, 0, 2**31 - 1],
        [0] * 33,
        [1] * 100,
    ],
    ids=str,
)
def test_few_bytes_that_claim_a_huge_shape_allocate_nothing(shape: list[int]) -> None:
    requests = []
    for datatype in DATATYPES:
        given: list[dict[str, Any]] = [{}, {"raw": b"\0" * 8}, {"raw": b""}]
        if field := FIELD_OF[datatype]:
            given += [{field: [b"" if datatype == "BYTES" else 0]}, {field: []}]
        requests += [(datatype, one_input(datatype, shape, **contents)) for contents in given]
    for datatype, request in requests:
        tracemalloc.start()
        found = outcome(request.SerializeToString(), of_any_shape(datatype))
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert isinstance(found, InvalidCall)
        assert peak < 2**25


def test_many_inputs_with_one_name_twice_are_refused_in_linear_time() -> None:
    """Comparing each name with each other one would take hours here, and this test would time out."""
    request = pb.ModelInferRequest(model_name="m")
    for index in range(200_000):
        request.inputs.add(name=str(index))
    request.inputs.add(name="199999")
    with pytest.raises(InvalidCall, match="input '199999' already exists in request"):
        decode_inputs(request, float_signature(), "m", batched=True)


class TestInputs:
    """What Triton's clients are told, and match on."""

    def test_inputs_come_in_the_signatures_order_and_raw_entries_in_the_requests(self) -> None:
        request = two_inputs(names=("y", "x"))
        x, y = decode_inputs(request, float_signature(), "m", batched=True)
        assert y.tolist() == [[1, 2]]
        assert x.tolist() == [[3, 4]]

    def test_surplus_raw_entries_are_ignored(self) -> None:
        request = two_inputs()
        request.raw_input_contents.append(b"more")
        assert len(decode_inputs(request, float_signature(), "m", batched=True)) == 2

    def test_missing_input_is_named_beside_what_came(self) -> None:
        request = two_inputs()
        del request.inputs[1]
        with pytest.raises(InvalidCall) as raised:
            decode_inputs(request, float_signature(), "m", batched=True)
        assert str(raised.value) == (
            "expected 2 inputs but got 1 inputs for model 'm'. Got input(s) ['x'], but missing required "
            "input(s) ['y']. Please provide all required input(s)."
        )

    def test_missing_input_with_a_default_takes_it(self) -> None:
        default = np.full((1, 2), 9, np.float32)
        request = two_inputs()
        del request.inputs[1]
        _, y = decode_inputs(request, float_signature(defaults={"y": default}), "m", batched=True)
        assert y.tolist() == [[9, 9]]

    def test_missing_input_beside_one_with_a_default_is_told_with_a_range(self) -> None:
        signature = float_signature(defaults={"y": np.zeros((1, 2), np.float32)})
        with pytest.raises(InvalidCall, match="expected number of inputs between 1 and 2 but got 0 inputs"):
            decode_inputs(pb.ModelInferRequest(), signature, "m", batched=True)

    def test_surplus_input_is_refused(self) -> None:
        request = two_inputs()
        request.inputs.add(name="z", datatype="FP32", shape=[1, 2])
        with pytest.raises(InvalidCall, match="expected 2 inputs but got 3 inputs for model 'm'"):
            decode_inputs(request, float_signature(), "m", batched=True)

    def test_wrong_name_beside_a_default_is_named(self) -> None:
        signature = float_signature(defaults={"y": np.zeros((1, 2), np.float32)})
        with pytest.raises(InvalidCall, match="unexpected inference input 'z' for model 'm'"):
            decode_inputs(two_inputs(names=("x", "z")), signature, "m", batched=True)

    def test_input_given_twice_is_named(self) -> None:
        with pytest.raises(InvalidCall, match="input 'x' already exists in request"):
            decode_inputs(two_inputs(names=("x", "x")), float_signature(), "m", batched=True)

    @pytest.mark.parametrize(
        ("datatype", "got"), [("INT32", "INT32"), ("BF16", "BF16"), ("fp32", "<invalid>"), ("", "<invalid>")]
    )
    def test_wrong_datatype_is_told_beside_the_right_one(self, datatype: str, got: str) -> None:
        with pytest.raises(InvalidCall) as raised:
            decode_one(one_input(datatype, [1], raw=b"\0" * 4), identity_signature(np.float32, None))
        assert str(raised.value) == (
            f"inference input 'x' data-type is '{got}', but model 'm' expects 'FP32'"
        )

    def test_dtype_that_the_protocol_cannot_carry_is_unsupported(self) -> None:
        with pytest.raises(Unsupported, match="input 'x' of model 'm' is complex64"):
            decode_one(one_input("FP32", [1], raw=b"\0" * 8), identity_signature(np.complex64, None))

    @pytest.mark.parametrize("shape", [[1, 8], [16], [1, 16, 1], [2, 0]])
    def test_wrong_shape_is_told_beside_the_right_one(self, shape: list[int]) -> None:
        with pytest.raises(InvalidCall) as raised:
            decode_one(one_input("FP32", shape), identity_signature(np.float32, None, 16))
        assert str(raised.value) == (
            "unexpected shape for input 'x' for model 'm'. Expected [-1,16], "
            f"got [{','.join(map(str, shape))}]"
        )

    def test_no_shape_where_there_must_be_rows(self) -> None:
        with pytest.raises(InvalidCall, match="input 'x' has no shape but model requires batch dimension"):
            decode_one(one_input("FP32", [], raw=b"\0" * 4), identity_signature(np.float32, None, 16))

    def test_no_shape_where_the_shape_is_fixed(self) -> None:
        with pytest.raises(InvalidCall, match=r"Expected \[4\], got \[\]"):
            decode_one(one_input("FP32", [], raw=b"\0" * 4), identity_signature(np.float32, 4))

    def test_scalar_is_taken_where_the_model_has_one(self) -> None:
        array = decode_one(one_input("FP32", [], raw=b"\0\0\x80\x3f"), identity_signature(np.float32))
        assert array.shape == ()
        assert array == 1

    def test_negative_dimension_is_refused(self) -> None:
        with pytest.raises(InvalidCall, match="All input dimensions should be specified for input 'x'"):
            decode_one(one_input("FP32", [-1, 16]), identity_signature(np.float32, None, 16))

    def test_wrong_byte_count_is_told_beside_the_right_one(self) -> None:
        for request in (
            one_input("INT32", [1, 16], raw=b"\0" * 32),
            one_input("INT32", [1, 16], int_contents=[0] * 8),
        ):
            with pytest.raises(InvalidCall) as raised:
                decode_one(request, identity_signature(np.int32, None, 16))
            assert str(raised.value) == (
                "input byte size mismatch for input 'x' for model 'm'. Expected 64, got 32"
            )

    def test_tensor_without_data_is_refused(self) -> None:
        with pytest.raises(InvalidCall) as raised:
            decode_one(one_input("FP32", [1]), identity_signature(np.float32, None))
        assert str(raised.value) == "unable to find data for input tensor 'x' for model 'm' in request."

    def test_raw_data_for_the_first_input_only_is_refused(self) -> None:
        request = two_inputs()
        del request.raw_input_contents[1]
        with pytest.raises(InvalidCall, match="unable to find data for input tensor 'y' for model 'm'"):
            decode_inputs(request, float_signature(), "m", batched=True)

    def test_contents_beside_raw_are_refused(self) -> None:
        request = one_input("FP32", [1], raw=b"\0" * 4, fp32_contents=[1.0])
        with pytest.raises(InvalidCall, match="contents field must not be specified when using raw_input"):
            decode_one(request, identity_signature(np.float32, None))

    def test_two_contents_fields_are_refused(self) -> None:
        request = one_input("FP32", [1], fp32_contents=[1.0], fp64_contents=[1.0])
        with pytest.raises(InvalidCall, match="unexpected explicit tensor data for input tensor 'x'"):
            decode_one(request, identity_signature(np.float32, None))

    @pytest.mark.parametrize(("datatype", "dtype"), [("FP16", np.float16), ("BF16", ml_dtypes.bfloat16)])
    def test_half_floats_travel_raw_only(self, datatype: str, dtype: Any) -> None:
        with pytest.raises(InvalidCall, match=f"{datatype} travels in raw_input_contents, got fp32_contents"):
            decode_one(one_input(datatype, [1], fp32_contents=[1.0]), identity_signature(dtype, None))

    @pytest.mark.parametrize(
        ("raw", "says"),
        [
            (b"\1\0\0\0a", "expected 2 string elements"),
            (b"\1\0\0\0a" * 3, "unexpected number of string elements 3 or more, expecting 2"),
            (b"\4\0\0\0abcd\1\0", "incomplete string length indicator"),
            (b"\1\0\0\0a\4\0\0\0b", "incomplete string data"),
        ],
    )
    def test_malformed_strings_are_told_apart(self, raw: bytes, says: str) -> None:
        with pytest.raises(InvalidCall, match=says):
            decode_one(one_input("BYTES", [2], raw=raw), identity_signature(object, None))

    def test_typed_strings_keep_every_byte(self) -> None:
        values = [b"\0\0", b"", b"a\0", b"\xff"]
        request = one_input("BYTES", [4], bytes_contents=values)
        assert decode_one(request, identity_signature(object, None)).tolist() == values

    @pytest.mark.parametrize(
        ("datatype", "field", "sent", "taken"),
        [
            ("INT8", "int_contents", [-129, 256 + 5], [127, 5]),
            ("INT16", "int_contents", [2**15, -1], [-(2**15), -1]),
            ("UINT8", "uint_contents", [256, 511], [0, 255]),
            ("UINT16", "uint_contents", [2**16 + 1, 2], [1, 2]),
        ],
    )
    def test_low_bytes_of_small_integers_count(
        self, datatype: str, field: str, sent: list[int], taken: list[int]
    ) -> None:
        assert decode_one(one_input(datatype, [2], **{field: sent}), of_any_shape(datatype)).tolist() == taken

    def test_bool_bytes_other_than_one_are_true(self) -> None:
        array = decode_one(one_input("BOOL", [3], raw=b"\0\1\2"), identity_signature(np.bool_, None))
        assert array.view(np.uint8).tolist() == [0, 1, 1]

    def test_shared_memory_is_unsupported_where_it_is_off(self) -> None:
        request = one_input("FP32", [1])
        request.inputs[0].parameters["shared_memory_region"].string_param = "region"
        request.inputs[0].parameters["shared_memory_byte_size"].int64_param = 4
        with pytest.raises(Unsupported, match=r"shared memory is off.*input 'x' for model 'm' lies there"):
            decode_one(request, identity_signature(np.float32, None))

    def test_scalar_has_no_rows_to_agree_in(self) -> None:
        signature = Signature(
            "s",
            (spec("k", np.float32), spec("x", np.float32, None), spec("y", np.float32, None)),
            (spec("z", np.float32, None),),
        )
        request = one_input("FP32", [], raw=b"\0" * 4)
        request.inputs[0].name = "k"
        for name, rows in (("x", 2), ("y", 3)):
            request.inputs.add(name=name, datatype="FP32", shape=[rows])
            request.raw_input_contents.append(b"\0" * 4 * rows)
        with pytest.raises(
            InvalidCall, match="input 'y' batch size does not match other inputs: 3 rows, 'x' has 2"
        ):
            decode_inputs(request, signature, "m", batched=True)
        request.inputs[2].shape[:] = [2]
        request.raw_input_contents[2] = b"\0" * 8
        shapes = [array.shape for array in decode_inputs(request, signature, "m", batched=True)]
        assert shapes == [(), (2,), (2,)]

    def test_inputs_of_a_batched_signature_must_agree_in_rows(self) -> None:
        request = two_inputs()
        request.inputs[1].shape[:] = [2, 2]
        request.raw_input_contents[1] = b"\0" * 16
        with pytest.raises(
            InvalidCall, match="input 'y' batch size does not match other inputs: 2 rows, 'x' has 1"
        ):
            decode_inputs(request, float_signature(), "m", batched=True)
        assert len(decode_inputs(request, float_signature(), "m", batched=False)) == 2

    @pytest.mark.parametrize("batched", [True, False])
    def test_no_rows_are_left_to_the_graph(self, batched: bool) -> None:
        request = one_input("FP32", [0, 2], raw=b"")
        signature = identity_signature(np.float32, None, 2)
        assert decode_inputs(request, signature, "m", batched=batched)[0].shape == (0, 2)

    @pytest.mark.parametrize("fields", [{}, {"raw": b""}, {"fp32_contents": []}])
    def test_empty_tensor_may_come_with_or_without_data(self, fields: dict[str, Any]) -> None:
        request = one_input("FP32", [0, 2], **fields)
        array = decode_one(request, identity_signature(np.float32, None, 2))
        assert array.shape == (0, 2)
        assert array.dtype == np.float32

    def test_bytes_that_are_no_message_are_refused(self) -> None:
        with pytest.raises(InvalidCall, match="the message is no ModelInferRequest"):
            parse_request(b"\xff\xff\xff")


class TestOutputs:
    def test_none_asked_for_means_all(self) -> None:
        assert wanted() == ("sum", "difference")

    def test_the_callers_order_counts(self) -> None:
        assert wanted("difference", "sum") == ("difference", "sum")

    def test_unknown_output_is_named(self) -> None:
        with pytest.raises(InvalidCall, match="unexpected inference output 'product' for model 'm'"):
            wanted("product")

    def test_output_asked_for_twice_is_named(self) -> None:
        with pytest.raises(InvalidCall, match="output 'sum' already exists in request"):
            wanted("sum", "difference", "sum")

    def test_dtype_that_the_protocol_cannot_carry_is_unsupported(self) -> None:
        with pytest.raises(Unsupported, match="output 'y' is complex64, which this protocol cannot carry"):
            encode_response("m", 1, "", [spec("y", np.complex64)], [np.zeros((), np.complex64)])


@pytest.mark.parametrize(
    ("shape", "shown"), [((None, 3), [-1, 3]), ((), []), (None, [-1]), ((None, None), [-1, -1])]
)
def test_shape_as_metadata_shows_it(shape: Any, shown: list[int]) -> None:
    assert shape_of(TensorSpec("x", "x:0", np.dtype(np.int8), shape)) == shown


def two_inputs(names: tuple[str, str] = ("x", "y")) -> pb.ModelInferRequest:
    """Raw [[1, 2]] and [[3, 4]] under two names, for `float_signature`."""
    request = pb.ModelInferRequest(model_name="m")
    for name, row in zip(names, ([1, 2], [3, 4]), strict=True):
        request.inputs.add(name=name, datatype="FP32", shape=[1, 2])
        request.raw_input_contents.append(np.array(row, np.float32).tobytes())
    return request


def wanted(*names: str) -> tuple[str, ...]:
    outputs = [pb.ModelInferRequest.InferRequestedOutputTensor(name=name) for name in names]
    return wanted_outputs(pb.ModelInferRequest(outputs=outputs), float_signature(), "m").aliases


def outcome(message: bytes, signature: Signature, *, batched: bool = False) -> list[Array] | CallError:
    """What a message comes to; every error but a CallError goes on to the test."""
    try:
        request = parse_request(message)
        inputs = decode_inputs(request, signature, "m", batched=batched)
        wanted_outputs(request, signature, "m")
    except CallError as error:
        return error
    return inputs


def check(message: bytes, signature: Signature, *, batched: bool) -> None:
    found = outcome(message, signature, batched=batched)
    if isinstance(found, CallError):
        return
    for array, one in zip(found, signature.inputs, strict=True):
        assert array.dtype == one.dtype
        if one.shape is not None:
            assert array.ndim == len(one.shape)
            assert all(size in (None, got) for size, got in zip(one.shape, array.shape, strict=True))
        if one.alias not in signature.defaults:
            # A one-byte varint can become an int64, or the pointer of a string; nothing grows by more.
            assert array.nbytes <= 8 * len(message)
        if batched:
            assert array.shape[0] == found[0].shape[0]


# Signatures, and whether their calls are batched.
SIGNATURES = st.one_of(
    st.tuples(st.just(float_signature()), st.booleans()),
    st.tuples(
        st.just(float_signature(defaults={"y": np.zeros((1, 2), np.float32)})),
        st.booleans(),
    ),
    st.tuples(st.sampled_from(DATATYPES).map(of_any_shape), st.just(False)),
    st.tuples(
        st.sampled_from(DATATYPES).map(lambda name: identity_signature(wire.dtype_of(name), None, None)),
        st.booleans(),
    ),
    st.just((identity_signature(np.int32), False)),
    st.just((identity_signature(np.complex64, None), True)),
    st.just((Signature("serving_default", (), (spec("y", np.float32),)), False)),
)
_SIZES = st.sampled_from([0, 1, 1, 2, 3, -1, 2**31 - 1, 2**31, 2**62, -(2**63)])
_NUMBERS = st.integers(0, 2**31 - 1)


def seldom(draw: st.DrawFn) -> bool:
    """One time in ten: so many parts can be wrong that otherwise hardly a message would be right."""
    return draw(st.integers(0, 9)) == 9


@st.composite
def requests(draw: st.DrawFn, signature: Signature) -> pb.ModelInferRequest:
    """Messages of which some parts do not fit the signature or each other, and now and then all do."""
    request = pb.ModelInferRequest(model_name="m", id=draw(st.text(max_size=3)))
    names = draw(st.permutations([one.alias for one in signature.inputs]))
    if seldom(draw):
        names = draw(st.lists(st.sampled_from(["x", "y", "z", ""]), max_size=3))
    rows = draw(st.integers(0, 3))
    typed = draw(st.booleans())
    for name in names:
        add_input(draw, request, name, signature.inputs_by_alias.get(name), rows, typed != seldom(draw))
    if seldom(draw):
        for name in draw(st.lists(st.sampled_from(["x", "sum", "difference", "z"]), max_size=2)):
            request.outputs.add(name=name)
    return request


def add_input(
    draw: st.DrawFn,
    request: pb.ModelInferRequest,
    name: str,
    wanted: TensorSpec | None,
    rows: int,
    typed: bool,
) -> None:
    """An input that mostly is what is wanted, with as many values as its shape says, mostly."""
    shape = draw(st.lists(_SIZES, max_size=4))
    datatype = draw(st.sampled_from([*DATATYPES, "", "fp32"]))
    if wanted is not None and not seldom(draw):
        datatype = wire.datatype_of(wanted.dtype) or "FP32"
    if wanted is not None and wanted.shape is not None and not seldom(draw):
        shape = [rows if size is None else size for size in wanted.shape]
    tensor = request.inputs.add(name=name, datatype=datatype, shape=shape)
    count = int(np.prod(shape)) if all(0 <= size < 4 for size in shape) else 1
    if seldom(draw):
        count = draw(st.integers(0, count + 2))
    field = FIELD_OF.get(datatype)
    if typed and field is not None:
        if seldom(draw):
            field = draw(st.sampled_from(FIELDS))
        tensor.contents.SetInParent()
        values: st.SearchStrategy[Any] = {
            "bool_contents": st.booleans(),
            "bytes_contents": st.binary(max_size=3),
        }.get(field, _NUMBERS)
        getattr(tensor.contents, field).extend(draw(st.lists(values, min_size=count, max_size=count)))
    else:
        # As strings, zeros are empty ones.
        size = 4 if datatype == "BYTES" else wire.dtype_of(datatype).itemsize if datatype in FIELD_OF else 1
        raw = draw(st.binary(max_size=40)) if seldom(draw) else b"\0" * (size * count)
        request.raw_input_contents.append(raw)
    if seldom(draw):
        extension = draw(st.sampled_from(["shared_memory_region", "other"]))
        tensor.parameters[extension].string_param = "r"
