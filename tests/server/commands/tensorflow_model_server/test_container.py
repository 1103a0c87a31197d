"""The variables of TensorFlow Serving's container image."""

from __future__ import annotations

import pytest

from hotgraph_server.commands.tensorflow_model_server.container import words_of
from hotgraph_server.commands.tensorflow_model_server.flags import parse

IMAGE = {"MODEL_BASE_PATH": "/models", "MODEL_NAME": "model"}


def test_image_serves_what_its_own_entry_point_would() -> None:
    given = parse(words_of({**IMAGE, "MODEL_NAME": "flowers"}, ["--enable_batching"]))
    assert (given.number("port"), given.number("rest_api_port")) == (8500, 8501)
    assert (given.text("model_name"), given.text("model_base_path")) == ("flowers", "/models/flowers")
    assert given.is_on("enable_batching")


@pytest.mark.parametrize("environment", [{"MODEL_BASE_PATH": "/models/"}, {**IMAGE, "MODEL_NAME": ""}, IMAGE])
def test_model_without_a_name_is_called_model(environment: dict[str, str]) -> None:
    assert "--model_name=model" in words_of(environment, [])
    assert "--model_base_path=/models/model" in words_of(environment, [])


def test_flags_win() -> None:
    given = parse(words_of(IMAGE, ["--port=9000", "--model_base_path=/other", "--rest_api_port=0"]))
    assert (given.number("port"), given.number("rest_api_port")) == (9000, 0)
    # As there: whoever names another folder keeps the name.
    assert (given.text("model_name"), given.text("model_base_path")) == ("model", "/other")


def test_file_of_models_names_them_all() -> None:
    given = parse(words_of(IMAGE, ["--model_config_file=/models/models.config"]))
    assert (given.number("port"), given.number("rest_api_port")) == (8500, 8501)
    assert not {"model_name", "model_base_path"} & given.named


@pytest.mark.parametrize(
    "environment", [{}, {"MODEL_NAME": "bert"}, {"MODEL_BASE_PATH": "", "MODEL_NAME": "x"}]
)
def test_name_alone_is_some_other_programs(environment: dict[str, str]) -> None:
    assert words_of(environment, ["--port=1"]) == ["--port=1"]
