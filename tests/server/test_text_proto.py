"""text_proto.py: messages from text, and errors that name file, line and field."""

from __future__ import annotations

import contextlib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tensorflow_serving.config.model_server_config_pb2 import ModelServerConfig

from hotgraph_protos.model_config import ModelConfig
from hotgraph_server import text_proto
from hotgraph_server.errors import SettingsError

GOOD = 'model_config_list { config { name: "a" base_path: "/a" model_platform: "tensorflow" } }'


def test_file_is_read(tmp_path: Path) -> None:
    file = tmp_path / "models.config"
    file.write_text(GOOD)
    assert text_proto.read(file, ModelServerConfig).model_config_list.config[0].name == "a"


def test_file_may_begin_with_a_mark_and_its_lines_end_as_on_another_system(tmp_path: Path) -> None:
    file = tmp_path / "models.config"
    file.write_bytes(b"\xef\xbb\xbf" + GOOD.replace(" ", "\r\n").encode())
    assert text_proto.read(file, ModelServerConfig).model_config_list.config[0].name == "a"
    file.write_bytes(b"\xef\xbb\xbfa\r\nb\r\n")
    assert text_proto.text_of(file) == "a\nb\n"
    file.write_bytes(b"\xef\xbb\xbfmodel_config_list {\r\n oops: 1\r\n}")
    with pytest.raises(SettingsError, match=":2:2: in model_config_list: "):
        text_proto.read(file, ModelServerConfig)


@pytest.mark.parametrize("number", ["9" * 11, "-" + "9" * 30, "0x" + "f" * 20])
def test_a_number_that_no_enum_can_have_is_a_mistake_as_others_are(number: str) -> None:
    text = f"instance_group {{ kind: {number} }}"
    with pytest.raises(SettingsError, match=r"^w: .*\(Error parsing text-format inference.ModelConfig\)"):
        text_proto.parse(text, ModelConfig, "w")


# Text, place and field of the mistake, and what is said of it.
MISTAKES = {
    "no such field": (
        'model_config_list { config { name: "a"\n base_pth: "/x" } }',
        "2:2: in model_config_list.config: ",
        'no field named "base_pth"',
    ),
    "no such field at the top": ("models {}", "1:1: ", 'no field named "models"'),
    "a number for a text": (
        "model_config_list {\n  config {\n    name: 3\n  }\n}",
        "3:11: in model_config_list.config.name: ",
        "Expected string but found: '3'",
    ),
    "a text for a number": (
        'model_config_list { config { model_version_policy { specific { versions: "a" } } } }',
        "1:74: in model_config_list.config.model_version_policy.specific.versions: ",
        "Couldn't parse integer",
    ),
    "in a map": (
        'model_config_list { config { version_labels { key: "a" value: 1x } } }',
        "1:63: in model_config_list.config.version_labels.value: ",
        "Couldn't parse integer",
    ),
    "after a comment and quotes with brackets": (
        '# { "\nmodel_config_list { # {\n config { name: "}{\\"}" base_path: /a } }',
        "3:36: in model_config_list.config.base_path: ",
        "Expected string",
    ),
    "after a message that is closed, with colons and commas": (
        'model_config_list: {config: {name:"a", base_path:"x"} , config: <name: 1>}',
        "1:72: in model_config_list.config.name: ",
        "Expected string but found: '1'",
    ),
    "a bracket that is missing": ("model_config_list {", "1:19: ", 'Expected "}"'),
    "a bracket too many": ("model_config_list { } }", "1:23: ", "Expected identifier"),
    "both of one": (
        "custom_model_config {}\nmodel_config_list { }",
        "2:1: ",
        'Field "model_config_list" is specif',
    ),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_mistake_is_told_with_file_line_and_field(mistake: str, tmp_path: Path) -> None:
    text, place, said = MISTAKES[mistake]
    file = tmp_path / "models.config"
    file.write_text(text)
    with pytest.raises(SettingsError) as raised:
        text_proto.read(file, ModelServerConfig)
    told = str(raised.value)
    assert told.startswith(f"{file}:{place}")
    assert said in told
    assert told.endswith("(Error parsing text-format tensorflow.serving.ModelServerConfig)")
    assert "\n" not in told


def test_file_that_is_not_there_and_one_that_is_no_text_are_told(tmp_path: Path) -> None:
    gone, binary = tmp_path / "gone", tmp_path / "binary"
    binary.write_bytes(b"name: \xff")
    with pytest.raises(SettingsError, match=f"^{gone}: No such file or directory$"):
        text_proto.read(gone, ModelServerConfig)
    with pytest.raises(SettingsError, match=f"^{binary}: no text: byte 6 is not UTF-8 "):
        text_proto.read(binary, ModelServerConfig)
    with pytest.raises(SettingsError, match=f"^{tmp_path}: Is a directory$"):
        text_proto.read(tmp_path, ModelServerConfig)


WORDS = st.sampled_from([*GOOD.split(), "{", "}", "<", ":", '"', "'", "#", "\\", "\n"])


@given(st.text() | st.lists(WORDS).map(" ".join))
def test_garbage_raises_one_error_type(text: str) -> None:
    with contextlib.suppress(SettingsError):
        text_proto.parse(text, ModelServerConfig, "file")


@given(st.integers(0, len(GOOD)))
def test_text_that_is_cut_anywhere_raises_one_error_type(end: int) -> None:
    with contextlib.suppress(SettingsError):
        text_proto.parse(GOOD[:end], ModelServerConfig, "file")
