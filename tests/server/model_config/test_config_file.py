from __future__ import annotations

import contextlib
import json
from pathlib import Path

import pytest
from google.protobuf import json_format, text_format
from hypothesis import given
from hypothesis import strategies as st

from hotgraph_protos.model_config import ModelConfig
from hotgraph_server.errors import SettingsError
from hotgraph_server.model_config import config_file

from .configs import RANKING, RESNET, SEQUENCES, any_config, parsed


def test_file_is_read(tmp_path: Path) -> None:
    path = tmp_path / config_file.FILE_NAME
    path.write_text(RESNET)
    config = config_file.read(path)
    assert (config.name, config.max_batch_size, list(config.input[0].dims)) == ("resnet50", 32, [224, 224, 3])
    assert list(config.version_policy.specific.versions) == [1, 3]


def test_mistake_in_a_file_is_told_with_file_line_and_field(tmp_path: Path) -> None:
    path = tmp_path / "config.pbtxt"
    path.write_text('name: "m"\ninput {\n  dimz: 3\n}\n')
    with pytest.raises(SettingsError, match=rf"{path}:3:3: in input: .*dimz"):
        config_file.read(path)
    with pytest.raises(SettingsError, match="No such file"):
        config_file.read(tmp_path / "missing")


@pytest.mark.parametrize("text", [RESNET, RANKING, SEQUENCES])
@pytest.mark.parametrize("own_names", [True, False])
def test_json_of_a_configuration_is_read_back(text: str, own_names: bool) -> None:
    config = parsed(text)
    found = json_format.MessageToJson(config, preserving_proto_field_name=own_names)
    assert config_file.from_json(found) == config


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "no valid inference.ModelConfig"),
        ("{", "no valid"),
        ("[1]", "no valid"),
        ("3", "no valid"),
        ('{"max_batch_size": "many"}', "max_batch_size|maxBatchSize"),
        ('{"no_such": 1}', "no_such"),
        ('{"input": {"name": "x"}}', "input"),
        ('{"name": "\\ud800"}', "no valid"),
        ("[" * 100_000, "no valid"),
    ],
)
def test_json_that_is_no_configuration_is_refused_in_one_line(text: str, said: str) -> None:
    with pytest.raises(SettingsError, match=said) as caught:
        config_file.from_json(text, "parameter config")
    assert str(caught.value).startswith("parameter config: ")
    assert "\n" not in str(caught.value)


def test_json_has_a_limit() -> None:
    with pytest.raises(SettingsError, match="the limit is 16777216"):
        config_file.from_json(" " * (16 * 1024 * 1024 + 1))


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=4),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(st.sampled_from([field.name for field in ModelConfig.DESCRIPTOR.fields]), inner)
        ),
        max_leaves=8,
    )
)
def test_any_json_is_a_configuration_or_refused(value: object) -> None:
    with contextlib.suppress(SettingsError):
        config_file.from_json(json.dumps(value))


@given(any_config())
def test_text_of_any_configuration_is_read_back(config: ModelConfig) -> None:
    text = text_format.MessageToString(config)
    # Compared as text: a float that is no number equals nothing.
    assert text_format.MessageToString(config_file.parse(text, "config.pbtxt")) == text
