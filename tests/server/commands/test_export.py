"""``hotgraph export`` and ``hotgraph wrap``: what is refused before anything is started."""

from __future__ import annotations

from pathlib import Path

import pytest

from hotgraph_server.commands import cli, export
from hotgraph_server.conversion.request import Answer, Request


@pytest.fixture(autouse=True)
def _files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "m.keras").write_bytes(b"a model")
    (tmp_path / "m.tflite").write_bytes(b"")
    (tmp_path / "there").mkdir()
    (tmp_path / "words.txt").write_text("a\nb\na\n")
    (tmp_path / "vocabulary.txt").write_text("[UNK]\na\n")
    (tmp_path / "none.txt").write_text("")


@pytest.mark.parametrize(
    ("words", "why"),
    [
        ("missing.keras out", "missing.keras: no such file"),
        ("m.tflite out", "TensorFlow Lite's"),
        ("m.keras there", "there: is there already"),
        ("there out", "no SavedModel here"),
        ("gs://b/m.keras out", "copy it there first: gcloud storage cp"),
        ("m.keras out --timeout-s -1", "--timeout-s must be 0 or more"),
        ("m.keras m.tflite/out", "m.tflite/out: cannot be made"),
    ],
)
def test_export_that_cannot_be_is_one_line(words: str, why: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["export", *words.split()]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("hotgraph export: ")
    assert why in line


def test_all_that_is_said_is_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    asked: list[Request] = []

    def convert(request: Request, timeout_s: float, say: object) -> Answer:
        asked.append(request)
        return Answer()

    monkeypatch.setattr(export, "convert", convert)
    words = (
        "--allow-lambda --import a --import b --inputs x:0,y:0 --outputs z --function f --input-spec x=int8[]"
    )
    assert cli.main(["export", "m.keras", "new/out", *words.split()]) == 0
    assert asked == [
        Request(
            f"{tmp_path}/m.keras",
            f"{tmp_path}/new/out",
            True,
            ("a", "b"),
            (),
            ("x:0", "y:0"),
            ("z",),
            "f",
            ("x=int8[]",),
        )
    ]
    assert capsys.readouterr().out.splitlines()[-1] == f"hotgraph serve {tmp_path}/new/out"


@pytest.mark.parametrize(
    ("words", "why"),
    [
        ("", "nothing is to be put around the model: --decode-image, --text, --labels or --top"),
        ("--decode-image 0x3", "is no size"),
        ("--decode-image 0x3 --scale -1..1", "is no size"),
        ("--decode-image 0x3 --scale=-1..1", "is no size"),
        ("--decode-image --scale 3", "--scale '3': there is"),
        ("--scale 0..1", "--scale is for pictures"),
        ("--decode-image --max-pixels -1", "--max-pixels must be 0 or more"),
        ("--decode-image --text words.txt", "models of different kinds"),
        ("--text words.txt", "'a' is there twice"),
        ("--text missing.txt", "missing.txt: No such file"),
        ("--text vocabulary.txt --unknown b", "no such line"),
        ("--text vocabulary.txt --length 0", "--length must be 1 or more"),
        ("--labels none.txt", "none.txt holds no lines"),
        ("--top 0", "--top must be 1 or more"),
        ("--softmax", "for --labels and --top"),
    ],
)
def test_wrap_that_cannot_be_is_one_line(words: str, why: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["wrap", "m.keras", "out", *words.split()]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("hotgraph wrap: ")
    assert why in line
