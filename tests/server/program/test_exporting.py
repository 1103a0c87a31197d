"""Models in memory become SavedModels, whose signatures are what their owners would expect."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import tensorflow as tf

from hotgraph_server.errors import StartError
from hotgraph_server.program.exporting import export, name_of

SPEC = tf.TensorSpec([None, 2], tf.float32, name="x")


def signatures(folder: Path) -> dict[str, Any]:
    return dict(tf.saved_model.load(str(folder)).signatures)


class Calls(tf.Module):  # type: ignore[misc]
    """A module with a variable, two functions, and a property that must not be asked."""

    def __init__(self) -> None:
        super().__init__()
        self.factor = tf.Variable(3.0)

    @tf.function(input_signature=[SPEC])  # type: ignore[untyped-decorator]
    def __call__(self, x: Any) -> Any:
        return {"y": self.factor * x}

    @tf.function(input_signature=[SPEC])  # type: ignore[untyped-decorator]
    def squared(self, x: Any) -> Any:
        return {"y": x * x}

    @tf.function  # type: ignore[untyped-decorator]
    def never_called(self, x: Any) -> Any:
        return x

    @property
    def costly(self) -> None:
        raise AssertionError


class TestModules:
    def test_call_is_the_default_and_other_functions_have_their_names(self, tmp_path: Path) -> None:
        export(Calls(), tmp_path / "1")
        found = signatures(tmp_path / "1")
        assert set(found) == {"serving_default", "squared"}
        assert found["serving_default"](x=tf.ones([1, 2]))["y"].numpy().tolist() == [[3.0, 3.0]]

    def test_the_only_function_is_the_default(self, tmp_path: Path) -> None:
        module = tf.Module()
        module.half = tf.function(lambda x: {"y": x / 2.0}, input_signature=[SPEC])
        export(module, tmp_path / "1")
        assert set(signatures(tmp_path / "1")) == {"serving_default"}

    def test_one_without_known_inputs_is_told_how_to_name_them(self, tmp_path: Path) -> None:
        module = tf.Module(name="m")
        module.f = tf.function(lambda x: x)
        with pytest.raises(StartError, match=r"'m' has no tf.function whose inputs are known.*TensorSpec"):
            export(module, tmp_path / "1")


class TestFunctions:
    def test_variables_that_a_function_captures_are_saved_too(self, tmp_path: Path) -> None:
        factor = tf.Variable(4.0)
        export(tf.function(lambda x: {"y": factor * x}, input_signature=[SPEC]), tmp_path / "1")
        found = signatures(tmp_path / "1")["serving_default"]
        assert found(x=tf.ones([1, 2]))["y"].numpy().tolist() == [[4.0, 4.0]]

    def test_one_that_was_called_with_one_kind_of_inputs_takes_these(self, tmp_path: Path) -> None:
        function = tf.function(lambda x: {"y": x})
        function(tf.ones([1, 3]))
        export(function, tmp_path / "1")
        (given,) = signatures(tmp_path / "1")["serving_default"].structured_input_signature[1].values()
        assert given.shape.as_list() == [1, 3]

    def test_concrete_function(self, tmp_path: Path) -> None:
        export(tf.function(lambda x: {"y": x}).get_concrete_function(SPEC), tmp_path / "1")
        assert set(signatures(tmp_path / "1")) == {"serving_default"}

    @pytest.mark.parametrize(("calls", "how"), [(0, "was never called"), (2, "was called with 2 kinds")])
    def test_one_whose_inputs_nobody_knows_is_refused(self, tmp_path: Path, calls: int, how: str) -> None:
        function = tf.function(lambda x: {"y": x})
        for size in range(calls):
            function(tf.ones([size + 1]))
        with pytest.raises(StartError, match=f"{how}.*input_signature"):
            export(function, tmp_path / "1")


class TestKeras:
    def test_signature_has_a_free_batch(self, tmp_path: Path) -> None:
        import keras  # type: ignore[import-untyped]

        model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3)])
        export(model, tmp_path / "1")
        (given,) = signatures(tmp_path / "1")["serving_default"].structured_input_signature[1].values()
        assert given.shape.as_list() == [None, 4]

    def test_one_that_is_not_built_is_told_how_to_be(self, tmp_path: Path) -> None:
        import keras

        with pytest.raises(StartError, match=r"'m' is not built.*keras.Input"):
            export(keras.Sequential([keras.layers.Dense(3)], name="m"), tmp_path / "1")


def test_plain_function_is_told_how_to_become_one_of_tensorflow(tmp_path: Path) -> None:
    def plain(x: Any) -> Any:
        return x

    with pytest.raises(StartError, match=r"plain function 'plain'; put @tf.function"):
        export(plain, tmp_path / "1")


def test_anything_else_is_named(tmp_path: Path) -> None:
    with pytest.raises(StartError, match=r"got builtins.int"):
        export(3, tmp_path / "1")


def test_what_tensorflow_cannot_save_is_one_line_that_says_so(tmp_path: Path) -> None:
    # A number of outputs that is no tensor.
    function = tf.function(lambda x: {"y": x, "n": {"nested": x}}, input_signature=[SPEC])
    with pytest.raises(StartError, match="cannot be saved: ") as raised:
        export(function, tmp_path / "1")
    assert "\n" not in str(raised.value)


def test_names() -> None:
    @tf.function  # type: ignore[untyped-decorator]
    def double(x: Any) -> Any:
        return 2 * x

    assert name_of(double) == "double"
    assert name_of(tf.Module(name="words")) == "words"
    assert name_of(object()) == "object"
