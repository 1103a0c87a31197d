"""A configuration beside a real SavedModel: what is loaded, refused, and run before the version is live."""

from __future__ import annotations

import logging
import threading
from pathlib import Path

import numpy as np
import pytest

from hotgraph_server.errors import StartError
from hotgraph_server.model_config.translation import settings_from
from hotgraph_server.models.contract import TensorContract
from hotgraph_server.models.version import Version
from hotgraph_server.repository import loader
from hotgraph_server.repository.loader import load
from hotgraph_server.settings import ModelSettings

from ...saved_models import SavedModels
from ..fakes import HANG_S
from .configs import parsed


def loaded(folder: Path, text: str = "") -> Version:
    settings = ModelSettings("m", folder)
    return load(settings_from(parsed(text), settings)[0] if text else settings)


def test_version_without_a_configuration_has_a_contract(saved_models: SavedModels) -> None:
    version = loaded(saved_models["tf2_mlp"])
    contract = version.contract
    assert (contract.signature, contract.batched, contract.max_batch_size) == ("serving_default", True, 0)
    assert contract.inputs == {"x": TensorContract((16,))}
    assert contract.outputs == {"scores": TensorContract((4,))}
    assert contract.config.HasField("dynamic_batching")
    assert version.stop(HANG_S)


def test_configuration_chooses_the_default_signature(saved_models: SavedModels) -> None:
    version = loaded(
        saved_models["counter"], 'parameters { key: "TF_SIGNATURE_DEF" value { string_value: "increment" } }'
    )
    assert version.default_signature is version.signatures["increment"]
    assert version.contract.inputs == {"by": TensorContract(())}
    assert version.stop(HANG_S)


def test_default_value_of_the_saved_model_is_an_optional_input(saved_models: SavedModels) -> None:
    version = loaded(saved_models["default_input"])
    assert version.contract.inputs["factor"].optional
    assert not version.contract.inputs["x"].optional
    assert version.stop(HANG_S)


def test_warm_up_of_the_configuration_is_run(
    saved_models: SavedModels, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, "hotgraph_server"):
        version = loaded(
            saved_models["tf2_mlp"],
            """
            max_batch_size: 8
            model_warmup {
              name: "eight" batch_size: 8 count: 2
              inputs { key: "x" value { data_type: TYPE_FP32 dims: 16 random_data: true } }
            }
            """,
        )
    assert "with 2 calls that the model brings (2 model_warmup)" in caplog.text
    assert version.contract.max_batch_size == 8
    assert version.stop(HANG_S)


@pytest.mark.parametrize(
    ("model", "text", "said"),
    [
        (
            "tf2_mlp",
            'max_batch_size: 8 input { name: "x" data_type: TYPE_INT32 dims: 16 }',
            "model 'm' version 1: tensor 'x': the model expects data-type TYPE_FP32",
        ),
        (
            "vocabulary_lookup",
            """
            max_batch_size: 4
            model_warmup {
              name: "w" batch_size: 2
              inputs { key: "id" value { data_type: TYPE_INT64 dims: [] input_data_file: "nine" } }
            }
            """,
            "warm-up fails: model_warmup 'w': INVALID_ARGUMENT",
        ),
    ],
)
def test_version_that_contradicts_or_fails_its_warm_up_is_not_live(
    saved_models: SavedModels, tmp_path: Path, model: str, text: str, said: str
) -> None:
    folder = tmp_path / "m"
    (folder / "warmup").mkdir(parents=True)
    (folder / "warmup" / "nine").write_bytes(np.array(9, "<i8").tobytes())
    if model == "vocabulary_lookup":
        _save_lookup(folder / "1")
    else:
        (folder / "1").symlink_to(saved_models[model])
    with pytest.raises(StartError, match=said) as caught:
        loaded(folder, text)
    assert "\n" not in str(caught.value)
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("executor model 'm'")]


def _save_lookup(directory: Path) -> None:
    """`id` int64 [-1], below 3 -> `row` float32 [-1, 2]."""
    import tensorflow as tf

    table = tf.constant([[0.0, 1.0], [2.0, 3.0], [4.0, 5.0]])

    @tf.function(input_signature=[tf.TensorSpec([None], tf.int64, "id")])  # type: ignore[untyped-decorator]
    def look_up(id: object) -> dict[str, object]:
        return {"row": tf.gather(table, id)}

    tf.saved_model.save(tf.Module(), str(directory), {"serving_default": look_up})


def test_version_whose_contract_cannot_be_made_is_closed(
    saved_models: SavedModels, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As when a file that it names goes while it is loaded."""
    executors: list[threading.Thread] = []

    def refuse(_: ModelSettings, title: str, *more: object) -> None:
        executors.extend(one for one in threading.enumerate() if one.name == f"executor {title}")
        raise StartError("labels have gone")

    monkeypatch.setattr(loader, "contract_of", refuse)
    with pytest.raises(StartError, match="labels have gone"):
        loaded(saved_models["tf2_mlp"])
    (executor,) = executors
    executor.join(HANG_S)
    assert not executor.is_alive()
