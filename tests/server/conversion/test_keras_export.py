"""Keras's files into SavedModels, in this process: what comes out answers as the model did."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from hotgraph_server.conversion import keras_export
from hotgraph_server.conversion.keras_look import KerasFile
from hotgraph_server.conversion.request import Refused, Request

from ... import model_files as models

pytestmark = pytest.mark.filterwarnings("ignore")


@pytest.fixture(autouse=True)
def _environment(monkeypatch: pytest.MonkeyPatch) -> None:
    # As it is, and put back: the process that converts sets it for itself.
    monkeypatch.setenv("KERAS_BACKEND", "tensorflow")


def exported(file: Path, **more: Any) -> Any:
    import tensorflow as tf

    target = file.parent / "exported"
    keras_export.export(Request(str(file), str(target), **more))
    return tf.saved_model.load(str(target)).signatures["serving_default"]


def shapes(specs: Any) -> dict[str, list[int | None]]:
    return {name: spec.shape.as_list() for name, spec in specs.items()}


@pytest.mark.parametrize("ending", ["keras", "h5"])
def test_trained_model_answers_as_it_did(tmp_path: Path, ending: str) -> None:
    model = models.trained()
    model.save(tmp_path / f"m.{ending}")
    signature = exported(tmp_path / f"m.{ending}")
    assert shapes(signature.structured_input_signature[1]) == {"measures": [None, 4]}
    rows = np.random.default_rng(1).random((3, 4), np.float32)
    (answer,) = signature(measures=rows).values()
    assert answer.numpy() == pytest.approx(model.predict(rows, verbose=0), abs=1e-6)


@pytest.mark.parametrize(("ending", "name"), [("h5", "m.keras"), ("keras", "m.h5"), ("h5", "M.H5")])
def test_format_is_that_of_the_bytes_whatever_the_name(tmp_path: Path, ending: str, name: str) -> None:
    models.trained().save(tmp_path / f"saved.{ending}")
    (tmp_path / f"saved.{ending}").rename(tmp_path / name)
    assert list(exported(tmp_path / name).structured_input_signature[1]) == ["measures"]


def test_vocabulary_goes_along(tmp_path: Path) -> None:
    import tensorflow as tf

    model = models.of_texts()
    model.save(tmp_path / "m.keras")
    texts = tf.constant(["a good film", "quite another one"])
    (answer,) = exported(tmp_path / "m.keras")(text=texts).values()
    assert answer.numpy() == pytest.approx(model(texts).numpy(), abs=1e-6)


def test_several_inputs_and_outputs_keep_their_names(tmp_path: Path) -> None:
    models.of_dicts().save(tmp_path / "m.keras")
    signature = exported(tmp_path / "m.keras")
    assert shapes(signature.structured_input_signature[1]) == {"age": [None, 1], "kind": [None, 1]}
    assert shapes(signature.structured_outputs) == {"price": [None, 1], "size": [None, 2]}


def test_batch_is_free_where_only_a_call_has_said_its_size(tmp_path: Path) -> None:
    models.built_by_a_call().save(tmp_path / "m.keras")
    ((_, shape),) = shapes(exported(tmp_path / "m.keras").structured_input_signature[1]).items()
    assert shape == [None, 5]


def test_batch_is_free_where_the_model_was_built_for_one_size(tmp_path: Path) -> None:
    keras = models.keras()
    fixed = keras.Sequential([keras.Input(batch_shape=(8, 4)), keras.layers.Dense(1)])
    fixed.save(tmp_path / "m.keras")
    ((_, shape),) = shapes(exported(tmp_path / "m.keras").structured_input_signature[1]).items()
    assert shape == [None, 4]


def test_model_that_was_never_called_has_nothing_to_serve(tmp_path: Path) -> None:
    models.never_called().save(tmp_path / "m.keras")
    for specs in ((), ("x=float32[?,7]",)):
        with pytest.raises(Refused, match=r"saved before it was ever called, and so has no weights"):
            exported(tmp_path / "m.keras", specs=specs)


def test_inputs_may_be_said_otherwise_than_the_model_does(tmp_path: Path) -> None:
    models.trained().save(tmp_path / "m.keras")
    signature = exported(tmp_path / "m.keras", specs=("flowers=float32[2,4]",))
    assert shapes(signature.structured_input_signature[1]) == {"flowers": [2, 4]}


@pytest.mark.parametrize("ending", ["keras", "h5"])
def test_code_in_a_layer_is_run_when_that_is_allowed(tmp_path: Path, ending: str) -> None:
    models.trained(lambda_too=True).save(tmp_path / f"m.{ending}")
    with pytest.raises(Refused, match=r"its layer 'twice' brings Python code .*--allow-lambda"):
        exported(tmp_path / f"m.{ending}")
    exported(tmp_path / f"m.{ending}", allow_lambda=True)


def own_layers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, registered: str) -> Callable[[], None]:
    """A module with a class of one's own, imported, and what makes it forgotten again."""
    keras = models.keras()
    module = ModuleType("layers_of_mine")
    monkeypatch.setitem(sys.modules, "layers_of_mine", module)

    class Double(keras.Model):  # type: ignore[misc, name-defined]
        def call(self, x: Any) -> Any:
            return x * 2

        def get_config(self) -> dict[str, Any]:
            return {}

    Double.__module__ = "layers_of_mine"
    made = keras.saving.register_keras_serializable(registered)(Double)
    module.Double = made  # type: ignore[attr-defined]
    model = made()
    model(np.zeros((2, 3), np.float32))
    model.save(tmp_path / "m.keras")

    def forget() -> None:
        names = keras.saving.get_custom_objects()
        for name in [name for name, value in names.items() if value is made]:
            del names[name]

    return forget


@pytest.mark.parametrize("registered", ["Custom", "mine"])
def test_own_class_is_named_with_the_way_out_and_comes_from_a_module(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, registered: str
) -> None:
    """Registered where it was saved, and merely defined in the module."""
    own_layers(tmp_path, monkeypatch, registered=registered)()
    with pytest.raises(Refused, match=r"its class 'Double'.* is not Keras's own: --import MODULE"):
        exported(tmp_path / "m.keras")
    signature = exported(tmp_path / "m.keras", modules=("layers_of_mine",))
    ((name, shape),) = shapes(signature.structured_input_signature[1]).items()
    assert shape == [None, 3]
    (answer,) = signature(**{name: np.ones((4, 3), np.float32)}).values()
    assert answer.numpy().tolist() == [[2.0] * 3] * 4


def test_layer_that_is_no_graph_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    keras = models.keras()

    class Loop(keras.layers.Layer):  # type: ignore[misc, name-defined]
        def call(self, x: Any) -> Any:
            return np.asarray(x) * 2

        def compute_output_shape(self, shape: Any) -> Any:
            return shape

        def compute_output_spec(self, x: Any) -> Any:
            return keras.KerasTensor(x.shape, x.dtype)

    x = keras.Input((3,))
    keras.Model(x, Loop(name="of_numpy")(x)).save(tmp_path / "m.keras")
    monkeypatch.setitem(sys.modules, "loops", module := ModuleType("loops"))
    Loop.__module__ = "loops"
    module.Loop = Loop  # type: ignore[attr-defined]
    with pytest.raises(Refused, match=r"cannot make a graph of it.* at its layer '(of_numpy|Loop)'"):
        exported(tmp_path / "m.keras", modules=("loops",))


def test_old_file_without_tf_keras_is_told_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "tf_keras", None)
    monkeypatch.setenv("TF_USE_LEGACY_KERAS", "0")
    with pytest.raises(Refused, match=r"written by Keras 2\.15\.0.* pip install 'tf_keras==2\.\d+\.\*'"):
        keras_export.old_keras(KerasFile("2.15.0", {}))
