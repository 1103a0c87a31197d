"""A deployment of TensorFlow Serving's, read without serving it."""

from __future__ import annotations

from pathlib import Path

import pytest

from hotgraph_server.commands.builtin import digits_model
from hotgraph_server.commands.doctor.findings import Examination, Kind, Subject
from hotgraph_server.commands.doctor.tensorflow_serving import examine, words_of
from hotgraph_server.errors import SettingsError

DIGITS = f'config {{ name: "digits" base_path: "{digits_model()}" model_platform: "tensorflow" }}'


def examined(*words: str, loads: bool = False) -> Examination:
    said: list[str] = []
    found = examine(words, said.append, loads=loads)
    assert bool(said) is loads
    return found


def config(tmp_path: Path, *models: str) -> Path:
    path = tmp_path / "models.config"
    path.write_text(f"model_config_list {{ {' '.join(models)} }}")
    return path


def of(found: Examination, model: str) -> Subject:
    (subject,) = (one for one in found.subjects if one.name == model)
    return subject


class TestWords:
    @pytest.mark.parametrize(
        "given",
        [
            ["/etc/models.config"],
            ["--model_config_file=/etc/models.config"],
            ["tensorflow_model_server --model_config_file=/etc/models.config"],
            ["/usr/bin/tensorflow_model_server", "--model_config_file=/etc/models.config"],
        ],
    )
    def test_file_flags_and_whole_command_lines_are_the_same(self, given: list[str]) -> None:
        assert words_of(given) == ["--model_config_file=/etc/models.config"]

    def test_anything_else_is_told(self) -> None:
        with pytest.raises(SettingsError, match="'docker' is no flag"):
            words_of(["docker", "run"])
        with pytest.raises(SettingsError, match="no shell takes: No closing quotation"):
            words_of(['tensorflow_model_server --model_name="x'])


def test_model_that_is_served_as_it_is_and_the_command_for_it(tmp_path: Path) -> None:
    path = config(tmp_path, DIGITS)
    found = examined(str(path))
    assert found.is_fit
    assert found.command == f"hotgraph tensorflow-model-server --model_config_file={path}"
    assert of(found, "digits").of(Kind.SAME) == [f"versions 1 of {digits_model()}"]


def test_each_model_is_judged_by_itself(tmp_path: Path) -> None:
    path = config(
        tmp_path,
        DIGITS,
        'config { name: "uri" base_path: "gs://bucket/m" model_platform: "tensorflow" }',
        'config { name: "gone" base_path: "/nowhere" model_platform: "tensorflow" }',
        'config { name: "other" base_path: "/m" model_platform: "caffe" }',
        f'config {{ name: "nine" base_path: "{digits_model()}" model_platform: "tensorflow"'
        " model_version_policy { specific { versions: 9 } } }",
    )
    found = examined(str(path))
    assert not found.is_fit
    assert of(found, "digits").verdict == "served as it was"
    for name, says in (
        ("uri", "mount it as one"),
        ("gone", "/nowhere: no such folder"),
        ("other", "platform 'caffe' is not served"),
        ("nine", "version 9 is asked for and is not there"),
    ):
        (change,) = of(found, name).of(Kind.CHANGE)
        assert says in change


def test_a_name_twice_is_told_once(tmp_path: Path) -> None:
    found = examined(str(config(tmp_path, DIGITS, DIGITS)))
    assert [subject.of(Kind.CHANGE) for subject in found.subjects[1:]] == [
        [],
        ["the list has model 'digits' twice"],
    ]


def test_flags_with_and_without_a_meaning() -> None:
    found = examined(
        *("--model_name=digits", f"--model_base_path={digits_model()}"),
        *("--rest_api_port=8501", "--prefer_tflite_model", "--modle_name=x"),
    )
    server = found.subjects[0]
    assert server.of(Kind.CHANGE) == [
        "--modle_name=x: unknown flag --modle_name; did you mean --model_name? (--help shows all)"
    ]
    assert [text for text in server.of(Kind.DIFFERENT) if "prefer_tflite_model" in text]
    assert "--model_base_path, --model_name, --rest_api_port are read as they are" in server.of(Kind.SAME)
    assert "--modle_name" not in found.command
    assert of(found, "digits").verdict == "served as it was"


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--port=8500"], "give --model_base_path"),
        (["--model_config_file=/nowhere"], "/nowhere"),
        (["--model_base_path=/m", "--use_alts_credentials"], "--use_alts_credentials is not served"),
    ],
)
def test_command_line_that_no_server_would_take_is_told_once(words: list[str], says: str) -> None:
    found = examined(*words)
    (change,) = found.subjects[0].of(Kind.CHANGE)
    assert says in change


def test_loaded_model_tells_why_it_batches(tmp_path: Path) -> None:
    found = examined(str(config(tmp_path, DIGITS)), loads=True)
    assert found.is_fit
    (better,) = of(found, "digits").of(Kind.BETTER)
    assert better == "signature serving_default: calls share batches: proven by structure"


def test_model_that_does_not_load_is_told_by_the_loader(tmp_path: Path) -> None:
    (tmp_path / "m" / "1").mkdir(parents=True)
    (tmp_path / "m" / "1" / "saved_model.pb").write_bytes(b"\x0f")
    model = f'config {{ name: "m" base_path: "{tmp_path}/m" model_platform: "tensorflow" }}'
    found = examined(str(config(tmp_path, model)), loads=True)
    assert len(of(found, "m").of(Kind.CHANGE)) == 1
