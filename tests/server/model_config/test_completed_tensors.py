"""completed_tensors.py: inputs and outputs, completed from the SavedModel or refused with the reason."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from hotgraph_server.errors import SettingsError, StartError
from hotgraph_server.settings import ModelSettings
from hotgraph_server.signatures import Signature

from .contracts import FP32, ROWS, SEQUENCES, WHOLE, contract, spec


def test_unknown_rank_has_no_dims() -> None:
    found = contract("", Signature("s", (spec("x", FP32, None),), (spec("y", FP32, None),)))
    assert (found.batched, found.inputs["x"].dims) == (False, None)
    assert list(found.config.input[0].dims) == [-1]


def test_dtype_without_a_name_is_shown_as_none() -> None:
    complex64 = np.dtype(np.complex64)
    found = contract("", Signature("s", (spec("x", complex64, (2,)),), (spec("y", FP32, (2,)),)))
    assert found.config.input[0].data_type == 0


def test_input_with_a_value_of_its_own_is_optional() -> None:
    signature = Signature("s", ROWS.inputs, ROWS.outputs, defaults={"x": np.zeros((1, 20), FP32)})
    found = contract("", signature)
    assert (found.inputs["x"].optional, found.config.input[1].optional) == (True, True)
    only_ids = contract('max_batch_size: 4 input { name: "ids" }', signature)
    assert list(only_ids.inputs) == ["ids"]


def test_labels_are_lines_of_the_models_own_file(tmp_path: Path) -> None:
    (tmp_path / "labels.txt").write_bytes(b"\xef\xbb\xbfcat\r\ndog, small\n\nowl\r\n")
    base = ModelSettings("m", tmp_path)
    text = 'output { name: "text" label_filename: "labels.txt" }'
    assert contract(text, base=base).outputs["text"].labels == ("cat", "dog, small", "", "owl")
    (tmp_path / "labels.txt").write_bytes(b"\xff")
    with pytest.raises(
        SettingsError, match=r"label_filename of output 'text': 'labels\.txt': no text: byte 0"
    ):
        contract(text, base=base)
    with pytest.raises(SettingsError, match="is no name of a file in the model's folder"):
        contract(text.replace("labels", "../labels"), base=base)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            'input { name: "y" }',
            "unexpected inference input 'y' in the configuration, allowed inputs are: ids, x",
        ),
        ('output { name: "x" }', "unexpected inference output 'x' .* allowed outputs are: score, text"),
        (
            'input { name: "x" }',
            "has 1 inputs, but the SavedModel's signature 'serving_default' needs ids too",
        ),
        (
            'output { name: "text" data_type: TYPE_FP32 }',
            "tensor 'text': the model expects data-type TYPE_STRING but .* specifies data-type TYPE_FP32",
        ),
        (
            'max_batch_size: 4 input { name: "x" dims: 21 } input { name: "ids" }',
            r"tensor 'x': the model expects 1 dimensions \(shape \[20\]\) behind the batch dimension but the"
            r" model configuration specifies dims \[21\]",
        ),
        (
            'max_batch_size: 4 input { name: "x" dims: -1 } input { name: "ids" }',
            r"specifies dims \[-1\]",
        ),
        (
            'input { name: "x" dims: [4, 21] } input { name: "ids" }',
            r"the model expects 2 dimensions \(shape \[-1, 20\]\) but",
        ),
        (
            'max_batch_size: 4 output { name: "score" dims: 4 reshape { shape: [2, 2] } }',
            r"specifies reshape \[2, 2\]",
        ),
        (
            'input { name: "x" optional: true } input { name: "ids" }',
            "input 'x' is optional in the configuration, but the SavedModel has no value for it",
        ),
        (
            'parameters { key: "TF_SIGNATURE_DEF" value { string_value: "other" } }',
            "TF_SIGNATURE_DEF: signature 'other' is not there; there are serving_default",
        ),
        (
            'parameters { key: "TF_SIGNATURE_DEF" value { string_value: "broken" } }',
            "signature 'broken' cannot be called: why not",
        ),
        (
            SEQUENCES.replace('"x"', '"z"'),
            "sequence_batching: unexpected input 'z', the SavedModel has ids, x",
        ),
        (SEQUENCES, "output 'score' is TYPE_FP32 in the SavedModel and TYPE_INT64 in the configuration"),
    ],
)
def test_what_contradicts_the_saved_model_is_refused_with_the_reason(text: str, said: str) -> None:
    with pytest.raises(StartError, match=said) as caught:
        contract(text)
    assert str(caught.value).startswith("model 'm' version 1: ")


def test_batch_dimension_must_be_there_and_free() -> None:
    with pytest.raises(
        StartError, match=r"max_batch_size is 4, but the model's shape \[3, 3\] has no free first"
    ):
        contract("max_batch_size: 4", WHOLE)
