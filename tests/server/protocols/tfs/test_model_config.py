from __future__ import annotations

from pathlib import Path

import pytest
from google.protobuf import text_format
from tensorflow_serving.config import model_server_config_pb2

from hotgraph_server.errors import ConfigError
from hotgraph_server.protocols.tfs.model_config import models_of
from hotgraph_server.settings import (
    AllVersions,
    BatchSettings,
    Latest,
    ModelSettings,
    Specific,
    VersionPolicy,
)


def make(name: str, path: Path, _: object) -> ModelSettings:
    return ModelSettings(name, path, BatchSettings(max_batch_rows=7))


def read(*configs: str) -> list[ModelSettings]:
    listed = " ".join(f"config {{ {config} }}" for config in configs)
    text = f"model_config_list {{ {listed} }}"
    return models_of(text_format.Parse(text, model_server_config_pb2.ModelServerConfig()), make)


PLAIN = 'base_path: "/models/a" model_platform: "tensorflow"'


def test_model_is_what_the_config_says_and_like_the_others_elsewhere() -> None:
    labels = 'version_labels { key: "stable" value: 1 } version_labels { key: "canary" value: 2 }'
    (a, b) = read(f'name: "a" {PLAIN} {labels}', f'name: "b" {PLAIN}')
    assert a == ModelSettings(
        "a", Path("/models/a"), BatchSettings(max_batch_rows=7), labels={"stable": 1, "canary": 2}
    )
    assert (b.name, b.labels) == ("b", {})


@pytest.mark.parametrize(
    ("policy", "expected"),
    [
        ("", Latest()),
        ("model_version_policy { }", Latest()),
        ("model_version_policy { latest { } }", Latest()),
        ("model_version_policy { latest { num_versions: 3 } }", Latest(3)),
        ("model_version_policy { all { } }", AllVersions()),
        ("model_version_policy { specific { versions: 42 versions: 7 } }", Specific((42, 7))),
    ],
)
def test_policies(policy: str, expected: VersionPolicy) -> None:
    (model,) = read(f'name: "a" {PLAIN} {policy}')
    assert model.versions == expected


def test_platform_is_handed_on_as_it_is_said() -> None:
    (model,) = read('name: "x" base_path: "/models/x" model_platform: "pytorch"')
    assert model.platform == "pytorch"


def test_platform_may_be_said_the_old_way() -> None:
    (model,) = read('name: "a" base_path: "/models/a" model_type: TENSORFLOW')
    assert model.platform == "tensorflow"


@pytest.mark.parametrize(
    ("configs", "text"),
    [
        ([f'name: "x" {PLAIN}'] * 2, "Illegal to list model x multiple times in config list"),
        (
            ['name: "x" base_path: "models/x" model_platform: "tensorflow"'],
            "Expected model x to have an absolute path or URI; got base_path()=models/x",
        ),
        (
            ['name: "x" model_platform: "tensorflow"'],
            "Expected model x to have an absolute path or URI; got base_path()=",
        ),
        (
            ['name: "x" base_path: "/models/x"'],
            "Illegal setting neither ModelServerConfig::model_type (deprecated) nor"
            " ModelServerConfig::model_platform, model name is x",
        ),
        (
            ['name: "x" base_path: "gs://models/x" model_platform: "tensorflow"'],
            "model x: gs://models/x is a URI; only folders of this machine are read, mount it as one",
        ),
        (
            [f'name: "x" {PLAIN} model_version_policy {{ specific {{ }} }}'],
            "model x: a policy of specific versions must name one",
        ),
        (
            [f'name: "a\\n" {PLAIN}'],
            "model a\n: a model's name cannot have a control character, got 'a\\n'",
        ),
    ],
)
def test_what_cannot_be_is_told_in_tensorflow_servings_words(configs: list[str], text: str) -> None:
    with pytest.raises(ConfigError) as raised:
        read(*configs)
    assert str(raised.value) == text
    assert raised.value.status.name == "INVALID_ARGUMENT"


def test_custom_config_is_no_list_of_models() -> None:
    config = model_server_config_pb2.ModelServerConfig()
    config.custom_model_config.SetInParent()
    with pytest.raises(ConfigError, match="custom_model_config is not supported"):
        models_of(config, make)


def test_nothing_is_a_list_without_models() -> None:
    assert models_of(model_server_config_pb2.ModelServerConfig(), make) == []
