from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings

from hotgraph_protos.model_config import ModelConfig, ModelInstanceGroup
from hotgraph_server.errors import SettingsError, StartError
from hotgraph_server.model_config.completion import contract_of
from hotgraph_server.model_config.translation import settings_from
from hotgraph_server.models.contract import Contract, TensorContract
from hotgraph_server.settings import AllVersions, BatchSettings, ModelSettings, SessionSettings
from hotgraph_server.signatures import Shape, Signature, TensorSpec
from hotgraph_server.tensors import STRING

from .configs import any_config, parsed

FP32 = np.dtype(np.float32)
INT64 = np.dtype(np.int64)


def spec(alias: str, dtype: np.dtype[Any], shape: Shape | None) -> TensorSpec:
    return TensorSpec(alias, f"{alias}:0", dtype, shape)


ROWS = Signature(
    "serving_default",
    (spec("ids", INT64, (None, None)), spec("x", FP32, (None, 20))),
    (spec("score", FP32, (None,)), spec("text", STRING, (None, 2))),
)
WHOLE = Signature("whole", (spec("m", FP32, (3, 3)),), (spec("det", FP32, ()),))


def contract(
    text: str = "",
    *signatures: Signature,
    alone: Mapping[str, str] | None = None,
    base: ModelSettings | None = None,
) -> Contract:
    base = base or ModelSettings("m", Path("/models/m"))
    found = settings_from(parsed(text), base)[0] if text else base
    known = {signature.name: signature for signature in signatures or (ROWS,)}
    reasons = {name: (alone or {}).get(name) for name in known}
    return contract_of(found, "model 'm' version 1", known, {"broken": "why not"}, reasons)


def test_without_a_configuration_everything_comes_from_the_saved_model() -> None:
    found = contract()
    assert (found.signature, found.batched, found.max_batch_size) == ("serving_default", True, 0)
    assert found.inputs == {"ids": TensorContract((-1,)), "x": TensorContract((20,))}
    assert found.outputs == {"score": TensorContract(()), "text": TensorContract((2,))}
    assert (found.sequence, found.cached, found.decoupled) == (None, False, False)
    assert found.config == parsed(
        """
        name: "m" platform: "tensorflow_savedmodel" backend: "tensorflow"
        default_model_filename: "model.savedmodel"
        version_policy { latest { num_versions: 1 } }
        max_batch_size: 64
        input { name: "ids" data_type: TYPE_INT64 dims: -1 }
        input { name: "x" data_type: TYPE_FP32 dims: 20 }
        output { name: "score" data_type: TYPE_FP32 }
        output { name: "text" data_type: TYPE_STRING dims: 2 }
        dynamic_batching { preferred_batch_size: 64 }
        instance_group { name: "m_0" kind: KIND_CPU count: 1 }
        """
    )


def test_signature_that_runs_alone_has_no_batch_dimension() -> None:
    found = contract("", alone={"serving_default": "it is a secret"})
    assert (found.batched, found.config.max_batch_size) == (False, 0)
    assert found.inputs["x"] == TensorContract((-1, 20))
    assert found.outputs["score"] == TensorContract((-1,))
    assert found.config.WhichOneof("scheduling_choice") is None


def test_joined_signature_with_a_scalar_has_no_batch_dimension() -> None:
    scaled = Signature("s", (spec("x", FP32, (None, 2)), spec("by", FP32, ())), (spec("y", FP32, (None, 2)),))
    found = contract("", scaled)
    assert (found.batched, found.inputs["by"].dims, found.inputs["x"].dims) == (False, (), (-1, 2))


def test_unknown_rank_has_no_dims() -> None:
    found = contract("", Signature("s", (spec("x", FP32, None),), (spec("y", FP32, None),)))
    assert (found.batched, found.inputs["x"].dims) == (False, None)
    assert list(found.config.input[0].dims) == [-1]


def test_dtype_without_a_name_is_shown_as_none() -> None:
    complex64 = np.dtype(np.complex64)
    found = contract("", Signature("s", (spec("x", complex64, (2,)),), (spec("y", FP32, (2,)),)))
    assert found.config.input[0].data_type == 0


def test_without_a_default_signature_there_are_no_tensors() -> None:
    found = contract("", WHOLE, Signature("other", (), ()))
    assert (found.signature, dict(found.inputs), list(found.config.input)) == (None, {}, [])
    assert found.config.instance_group[0].name == "m_0"


def test_settings_are_shown() -> None:
    base = ModelSettings(
        "m",
        Path("/models/m"),
        BatchSettings(max_batch_rows=16, max_wait_us=300, preferred_batch_rows=(4, 8)),
        SessionSettings(device="/GPU:3"),
        AllVersions(),
    )
    config = contract("", base=base).config
    assert config.max_batch_size == 16
    assert config.dynamic_batching.max_queue_delay_microseconds == 300
    assert list(config.dynamic_batching.preferred_batch_size) == [4, 8]
    assert config.version_policy.WhichOneof("policy_choice") == "all"
    (group,) = config.instance_group
    assert (group.kind, list(group.gpus)) == (ModelInstanceGroup.KIND_GPU, [3])


def test_configuration_of_ones_own_is_the_contract() -> None:
    found = contract(
        """
        max_batch_size: 8
        input { name: "x" data_type: TYPE_FP32 dims: [ 4, 5 ] reshape { shape: 20 } format: FORMAT_NONE }
        input { name: "ids" data_type: TYPE_INT64 dims: 7 }
        output { name: "score" data_type: TYPE_FP32 dims: 1 reshape { } }
        response_cache { enable: true }
        instance_group { count: 3 } instance_group { name: "mine" kind: KIND_GPU }
        metric_tags { key: "team" value: "search" }
        """
    )
    assert (found.batched, found.max_batch_size, found.cached) == (True, 8, True)
    assert list(found.inputs) == ["x", "ids"]
    assert found.inputs["x"] == TensorContract((4, 5), (20,))
    assert found.inputs["ids"] == TensorContract((7,))
    assert found.outputs == {"score": TensorContract((1,), ())}
    assert found.model_shape("x", (3, 4, 5)) == (3, 20)
    assert found.client_shape("score", (3,)) == (3, 1)
    assert found.model_shape("ids", (3, 7)) == (3, 7)
    config = found.config
    assert config.metric_tags["team"] == "search"
    assert [(group.name, group.count) for group in config.instance_group] == [("m_0", 3), ("mine", 1)]
    assert list(config.dynamic_batching.preferred_batch_size) == [8]


@pytest.mark.parametrize(
    ("text", "batched", "dims"),
    [
        ('input { name: "x" } input { name: "ids" }', True, (20,)),
        ('input { name: "x" dims: 20 } input { name: "ids" }', True, (20,)),
        ('input { name: "x" dims: [-1, 20] } input { name: "ids" }', False, (-1, 20)),
        ('input { name: "x" dims: [5, 20] } input { name: "ids" }', False, (5, 20)),
        ("max_batch_size: 1", True, (20,)),
    ],
)
def test_forgotten_batch_dimension_is_told_from_none(text: str, batched: bool, dims: tuple[int, ...]) -> None:
    found = contract(text)
    assert (found.batched, found.inputs["x"].dims) == (batched, dims)
    assert found.max_batch_size == (1 if "max" in text else 0)
    assert found.config.HasField("dynamic_batching") is (found.config.max_batch_size > 1)


def test_splitting_takes_the_limit_of_calls_away() -> None:
    split = 'parameters { key: "HOTGRAPH_SPLIT" value { string_value: "true" } }'
    found = contract(f"max_batch_size: 8 {split}")
    assert (found.max_batch_size, found.config.max_batch_size) == (0, 8)


def test_signature_can_be_chosen() -> None:
    chosen = 'parameters { key: "TF_SIGNATURE_DEF" value { string_value: "whole" } }'
    found = contract(chosen, ROWS, WHOLE)
    assert (found.signature, found.batched, found.inputs["m"].dims) == ("whole", False, (3, 3))


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


SEQUENCES = """
max_batch_size: 4
sequence_batching {
  control_input { name: "x" control { kind: CONTROL_SEQUENCE_START fp32_false_true: [0, 1] } }
  state { input_name: "ids" output_name: "score" data_type: TYPE_INT64 dims: -1 }
}
"""


def test_what_the_server_fills_in_is_not_the_clients() -> None:
    counting = Signature(
        "s",
        (*ROWS.inputs, spec("word", STRING, (None,))),
        (spec("score", INT64, (None, None)), spec("text", STRING, (None, 2))),
    )
    found = contract(SEQUENCES, counting)
    assert (list(found.inputs), list(found.outputs)) == (["word"], ["text"])
    assert found.sequence is not None
    assert found.sequence.hidden_inputs == {"x", "ids"}
    assert [tensor.name for tensor in found.config.input] == ["word"]


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


def test_tensors_without_a_default_signature_are_refused() -> None:
    with pytest.raises(
        StartError, match="no default signature; the parameter TF_SIGNATURE_DEF takes one of whole"
    ):
        contract('input { name: "m" }', WHOLE, Signature("other", (), ()))


def test_answers_of_what_changes_state_are_not_kept() -> None:
    writing = Signature("s", ROWS.inputs, ROWS.outputs, writes=True)
    with pytest.raises(StartError, match="may change state"):
        contract("response_cache { enable: true }", writing)


@given(any_config())
@settings(max_examples=300)
def test_any_configuration_is_a_contract_or_refused(config: ModelConfig) -> None:
    base = ModelSettings("m", Path("/nowhere/m"))
    signatures = {signature.name: signature for signature in (ROWS, WHOLE)}
    try:
        found = contract_of(settings_from(config, base)[0], "w", signatures, {}, dict.fromkeys(signatures))
    except StartError:
        return
    # Whoever takes the completed configuration and gives it back gets the same contract again.
    again = contract_of(settings_from(found.config, base)[0], "w", signatures, {}, dict.fromkeys(signatures))
    assert str(again.config) == str(found.config)
    assert (again.inputs, again.outputs) == (found.inputs, found.outputs)
