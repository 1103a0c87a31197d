from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from hotgraph_server.conversion import functions
from hotgraph_server.conversion.request import Refused, Request

from ... import model_files as models
from ...saved_models import SavedModels


@pytest.fixture
def module(tmp_path: Path) -> Path:
    models.hub_module(tmp_path / "module")
    return tmp_path / "module"


def exported(folder: Path, **more: Any) -> Any:
    import tensorflow as tf

    target = folder.with_name("exported")
    functions.export(Request(str(folder), str(target), **more))
    return tf.saved_model.load(str(target)).signatures["serving_default"]


def test_call_that_does_not_train_and_says_least_of_sizes_is_taken(module: Path) -> None:
    import tensorflow as tf

    signature = exported(module)
    assert signature.structured_input_signature[1]["x"].shape.as_list() == [None, 4]
    assert signature(x=tf.ones([1, 4]))["output_0"].numpy().tolist() == [[2.0] * 4]


def test_function_and_inputs_may_be_named(module: Path) -> None:
    import tensorflow as tf

    signature = exported(module, function="parts")
    answers = signature(a=tf.constant([1, 2]), b=tf.constant([3, 4]))
    assert {name: value.numpy().tolist() for name, value in answers.items()} == {
        "sum": [4, 6],
        "same": [1, 2],
    }


def test_inputs_are_those_that_are_asked_for(module: Path) -> None:
    signature = exported(module, specs=("image=float32[7,4]",))
    assert signature.structured_input_signature[1]["image"].shape.as_list() == [7, 4]


@pytest.mark.parametrize(
    ("more", "why"),
    [
        ({"function": "nothing"}, "--function 'nothing': it has __call__, parts"),
        ({"specs": ("x=float32[?,5]",)}, r"was saved for other inputs: float32\[3,4\]; float32\[\?,4\]"),
        ({"specs": ("x=float32[?,?]",)}, "was saved for other inputs"),
        ({"specs": ("x=int32[?,4]",)}, "was saved for other inputs"),
        ({"specs": ("x=float32[?,4]", "y=float32[?,4]")}, "was saved for other inputs"),
    ],
)
def test_what_it_has_not_is_told_with_what_it_has(module: Path, more: Any, why: str) -> None:
    with pytest.raises(Refused, match=why):
        exported(module, **more)


def test_several_functions_and_no_call_need_a_name(tmp_path: Path) -> None:
    import tensorflow as tf

    module = tf.Module()
    for name in ("one", "two"):
        function = tf.function(lambda x: x + 1.0)
        function.get_concrete_function(tf.TensorSpec([None]))
        setattr(module, name, function)
    tf.saved_model.save(module, str(tmp_path / "m"))
    with pytest.raises(Refused, match="several functions: --function NAME says which, of one, two"):
        exported(tmp_path / "m")


def test_variables_alone_are_told(tmp_path: Path) -> None:
    import tensorflow as tf

    module = tf.Module()
    module.weight = tf.Variable(1.0)
    tf.saved_model.save(module, str(tmp_path / "m"))
    with pytest.raises(Refused, match="neither signatures nor functions, only variables"):
        exported(tmp_path / "m")


def test_model_with_signatures_can_be_served_as_it_is(saved_models: SavedModels) -> None:
    with pytest.raises(Refused, match=r"has signatures already .*hotgraph serve"):
        exported(saved_models["tf2_mlp"])
