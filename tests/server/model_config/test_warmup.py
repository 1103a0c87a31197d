from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hotgraph_protos.model_config import ModelConfig
from hotgraph_server.errors import StartError
from hotgraph_server.model_config.translation import settings_from
from hotgraph_server.model_config.warmup import with_warmup
from hotgraph_server.settings import ModelSettings
from hotgraph_server.signatures import Shape, Signature, TensorSpec
from hotgraph_server.tensors import STRING
from hotgraph_server.warmup.warmup_calls import WarmupCall, nothing

from .configs import any_config, parsed


def spec(alias: str, kind: type | np.dtype[Any], shape: Shape | None) -> TensorSpec:
    return TensorSpec(alias, f"{alias}:0", np.dtype(kind), shape)


SIGNATURE = Signature(
    "serving_default",
    (spec("x", np.float32, (None, 4)), spec("ids", np.int64, (None, None)), spec("text", STRING, (None,))),
    (spec("y", np.float32, (None,)),),
)
X = 'inputs { key: "x" value { data_type: TYPE_FP32 dims: 4 %s } }'
IDS = 'inputs { key: "ids" value { data_type: TYPE_INT64 dims: 3 %s } }'
TEXT = 'inputs { key: "text" value { data_type: TYPE_STRING dims: [] %s } }'
REST = IDS % "zero_data: true" + TEXT % "zero_data: true"


def calls(text: str, folder: Path = Path("/nowhere"), signature: Signature = SIGNATURE) -> list[WarmupCall]:
    model = settings_from(parsed(text), ModelSettings("m", folder))[0]
    return list(with_warmup(model, "model 'm' version 1", nothing)({signature.name: signature}, {}))


def sample(inputs: str, more: str = "batch_size: 2", size: int = 8) -> str:
    return f'max_batch_size: {size} model_warmup {{ name: "w" {more} {inputs} }}'


def test_model_without_a_configuration_brings_what_it_brings() -> None:
    assert with_warmup(ModelSettings("m", Path("/m")), "m", nothing) is nothing


def test_one_row_is_repeated_for_a_batch() -> None:
    text = sample(X % "zero_data: true" + IDS % "random_data: true" + TEXT % "random_data: true")
    (call,) = calls(text)
    x, ids, words = call.inputs
    assert (call.kind, call.what, call.signature) == ("model_warmup", "model_warmup 'w'", SIGNATURE)
    assert call.outputs == ("y",)
    np.testing.assert_array_equal(x, np.zeros((2, 4), np.float32))
    assert (ids.dtype, ids.shape) == (np.dtype(np.int64), (2, 3))
    assert (words.dtype, words.shape) == (STRING, (2,))
    assert set(ids.ravel()) <= {0, 1}
    assert words[0] == words[1]
    assert (type(words[0]), len(words[0])) == (bytes, 8)
    (again,) = calls(text)
    np.testing.assert_array_equal(again.inputs[1], ids)


def test_calls_are_run_as_often_as_said_and_not_at_all_for_no_rows() -> None:
    inputs = X % "zero_data: true" + REST
    assert len(calls(sample(inputs, "batch_size: 1 count: 3"))) == 3
    assert len(calls(sample(inputs, "batch_size: 1 count: 1"))) == 1
    assert not calls(sample(inputs, "batch_size: 0"))


def test_data_comes_from_files_of_the_model(tmp_path: Path) -> None:
    (tmp_path / "warmup").mkdir()
    (tmp_path / "warmup" / "x").write_bytes(np.arange(4, dtype="<f4").tobytes())
    (tmp_path / "warmup" / "text").write_bytes(b"\3\0\0\0a\0b")
    inputs = (
        X % 'input_data_file: "x"'
        + IDS % "zero_data: true"
        + TEXT.replace("[]", "1") % 'input_data_file: "text"'
    )
    one = Signature("s", (*SIGNATURE.inputs[:2], spec("text", STRING, (None, 1))), SIGNATURE.outputs)
    (call,) = calls(sample(inputs), tmp_path, one)
    np.testing.assert_array_equal(call.inputs[0], [[0, 1, 2, 3]] * 2)
    assert call.inputs[2].tolist() == [[b"a\0b"]] * 2


@pytest.mark.parametrize(
    ("file", "said"),
    [
        ("short", "warmup/short: expected 16 bytes, got 3"),
        ("missing", "there is no file 'warmup/missing'"),
        ("../short", "is no name of a file in the model's folder"),
        ("/etc/passwd", "there is no file|is no name"),
    ],
)
def test_files_that_are_not_as_they_must_be_are_refused(tmp_path: Path, file: str, said: str) -> None:
    (tmp_path / "warmup").mkdir()
    (tmp_path / "warmup" / "short").write_bytes(b"123")
    with pytest.raises(StartError, match=said) as caught:
        calls(sample(X % f'input_data_file: "{file}"' + REST), tmp_path)
    assert str(caught.value).startswith("model 'm' version 1: model_warmup 'w': input 'x': ")


def test_model_gets_the_shape_that_it_takes() -> None:
    reshaped = """
        input { name: "x" dims: [2, 2] reshape { shape: 4 } } input { name: "ids" } input { name: "text" }
    """
    inputs = X.replace("dims: 4", "dims: [2, 2]") % "zero_data: true" + REST
    (call,) = calls(reshaped + sample(inputs))
    assert call.inputs[0].shape == (2, 4)


def test_without_a_batch_dimension_dims_are_the_whole_shape() -> None:
    whole = Signature("s", (spec("x", np.float32, (3, None)),), (spec("y", np.float32, ()),))
    text = (
        'model_warmup { name: "w" batch_size: %s inputs { key: "x" value { data_type: TYPE_FP32 dims: [3, 5]'
    )
    text += " random_data: true } } }"
    (call,) = calls(text % 1, signature=whole)
    assert call.inputs[0].shape == (3, 5)
    with pytest.raises(StartError, match="batch_size must be <= 1, got 2"):
        calls(text % 2, signature=whole)


def test_what_is_left_out_has_a_value_of_its_own_or_is_the_servers_to_fill_in() -> None:
    optional = Signature(
        "s", SIGNATURE.inputs[:2], SIGNATURE.outputs, defaults={"x": np.full((1, 4), 7, np.float32)}
    )
    (call,) = calls(sample(IDS % "zero_data: true", "batch_size: 1"), signature=optional)
    np.testing.assert_array_equal(call.inputs[0], np.full((1, 4), 7))
    sequences = """
        sequence_batching {
          control_input { name: "x" control { kind: CONTROL_SEQUENCE_READY fp32_false_true: [-1, 1] } }
          state {
            input_name: "ids" output_name: "z" data_type: TYPE_INT64 dims: 2
            initial_state { dims: 2 zero_data: true }
          }
        }
    """
    stateful = Signature("s", SIGNATURE.inputs, (*SIGNATURE.outputs, spec("z", np.int64, (None, 2))))
    (call,) = calls(sequences + sample(TEXT % "zero_data: true"), signature=stateful)
    np.testing.assert_array_equal(call.inputs[0], np.full((2, 4), -1))
    np.testing.assert_array_equal(call.inputs[1], np.zeros((2, 2)))


@pytest.mark.parametrize(
    ("inputs", "more", "said"),
    [
        (X % "zero_data: true", "batch_size: 1", "input 'ids' is missing"),
        (X % "zero_data: true" + REST, "batch_size: 9", "batch_size must be <= 8, got 9"),
        (
            X.replace('"x"', '"z"') % "zero_data: true" + REST,
            "batch_size: 1",
            "the SavedModel has no input z",
        ),
        (
            X.replace("FP32", "FP64") % "zero_data: true" + REST,
            "batch_size: 1",
            "data-type must be TYPE_FP32",
        ),
        (
            X.replace("dims: 4", "dims: 5") % "zero_data: true" + REST,
            "batch_size: 1",
            r"dims \[5\] are not those of the input, \[4\]",
        ),
        (
            X % "zero_data: true" + IDS.replace("3", "99999999999") % "zero_data: true",
            "batch_size: 1",
            "more than 2147483648 bytes",
        ),
    ],
)
def test_warm_up_that_is_not_the_models_is_refused(inputs: str, more: str, said: str) -> None:
    with pytest.raises(StartError, match=said) as caught:
        calls(sample(inputs, more))
    assert str(caught.value).startswith("model 'm' version 1: model_warmup 'w': ")


def test_calls_of_the_configuration_come_before_others() -> None:
    other = WarmupCall("predict", "record 1", SIGNATURE, (), ("y",), len)

    def records(_: Mapping[str, Signature], __: Mapping[str, str]) -> Iterator[WarmupCall]:
        return iter([other])

    model = settings_from(parsed(sample(X % "zero_data: true" + REST)), ModelSettings("m", Path("/m")))[0]
    found = list(with_warmup(model, "m", records)({SIGNATURE.name: SIGNATURE}, {}))
    assert [call.kind for call in found] == ["model_warmup", "predict"]


@given(any_config(), st.booleans())
@settings(max_examples=200)
def test_any_warm_up_is_calls_of_the_signature_or_refused(config: ModelConfig, batched: bool) -> None:
    rows = (None,) if batched else ()
    signature = Signature(
        "s",
        (spec("x", np.float32, (*rows, 4)), spec("features", np.float32, (*rows, 20))),
        (spec("y", np.float32, rows),),
    )
    del config.input[:], config.output[:]
    try:
        model = settings_from(config, ModelSettings("m", Path("/nowhere")))[0]
        found = list(islice(with_warmup(model, "m", nothing)({"s": signature}, {}), 5))
    except StartError:
        return
    for call in found:
        assert [array.dtype for array in call.inputs] == [one.dtype for one in signature.inputs]
        assert [array.ndim for array in call.inputs] == [1 + batched] * 2
