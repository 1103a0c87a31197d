"""completion.py: what a configuration and a SavedModel are together."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings

from hotgraph_protos.model_config import ModelConfig, ModelInstanceGroup
from hotgraph_server.errors import StartError
from hotgraph_server.model_config.completion import contract_of
from hotgraph_server.model_config.translation import settings_from
from hotgraph_server.models.contract import TensorContract
from hotgraph_server.settings import AllVersions, BatchSettings, ModelSettings, SessionSettings
from hotgraph_server.signatures import Signature
from hotgraph_server.tensors import STRING

from .configs import any_config, parsed
from .contracts import FP32, INT64, ROWS, SEQUENCES, WHOLE, contract, spec


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
