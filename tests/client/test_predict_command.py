"""predict_command.py and predict_values.py: the command against a server in this process."""

from __future__ import annotations

import argparse
import json
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import grpc
import ml_dtypes
import numpy as np
import pytest
import trustme

from hotgraph_client import predict_command, predict_values
from hotgraph_protos.tensors import Array

from .fake_inference_server import FakeModel, FakeServer

Predict = Callable[..., int]


def parse(*words: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="hotgraph predict")
    predict_command.add_arguments(parser)
    return parser.parse_args(words)


@pytest.fixture
def predict(server: FakeServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Predict:
    """Runs the command against the server, in an empty directory."""
    monkeypatch.chdir(tmp_path)
    return lambda *words: predict_command.run(parse(server.address, *words))


def test_npy_for_the_only_input_needs_no_name(predict: Predict, capsys: pytest.CaptureFixture[str]) -> None:
    np.save("x.npy", np.array([[1, 2]], np.float32))
    assert predict("double", "--input", "x.npy") == 0
    assert json.loads(capsys.readouterr().out) == {"y": [[2, 4]]}


def test_npy_is_sent_with_exactly_its_dtype(predict: Predict, server: FakeServer) -> None:
    np.save("x.npy", np.array([1, 2], np.uint16))
    assert predict("echo", "--input", "x=x.npy") == 0
    assert server.calls("ModelInfer")[0].inputs[0].datatype == "UINT16"


@pytest.mark.parametrize("value", ["[[1, 2]]", "x=[[1,2]]", "x=x.json", "x.json"])
def test_json_becomes_the_datatype_of_the_model(
    predict: Predict, server: FakeServer, capsys: pytest.CaptureFixture[str], value: str
) -> None:
    Path("x.json").write_text("[[1, 2]]")
    assert predict("double", "--input", value) == 0
    assert json.loads(capsys.readouterr().out) == {"y": [[2, 4]]}
    assert server.calls("ModelInfer")[0].inputs[0].datatype == "FP32"


def test_inputs_by_name_and_chosen_outputs(predict: Predict, capsys: pytest.CaptureFixture[str]) -> None:
    np.save("b.npy", np.array([2]))
    assert predict("sum_and_difference", "--input", "a=[5]", "--input", "b=b.npy", "--output", "sum") == 0
    assert json.loads(capsys.readouterr().out) == {"sum": [7]}


def test_npz_without_a_name_brings_its_own_names(
    predict: Predict, capsys: pytest.CaptureFixture[str]
) -> None:
    np.savez("both.npz", a=np.array([5]), b=np.array([2]))
    np.savez("one.npz", anything=np.array([5]))
    assert predict("sum_and_difference", "--input", "both.npz") == 0
    assert predict("sum_and_difference", "--input", "a=one.npz", "--input", "b=[2]") == 0
    assert capsys.readouterr().out.count('"sum": [7]') == 2


def test_path_may_contain_an_equals_sign(predict: Predict, server: FakeServer) -> None:
    np.save("v=1.npy", np.ones((1, 2), np.float32))
    assert predict("double", "--input", "v=1.npy") == 0
    assert server.calls("ModelInfer")[0].inputs[0].name == "x"


def test_file_whose_name_starts_with_a_digit_is_a_file(predict: Predict) -> None:
    np.save("1.npy", np.ones((1, 2), np.float32))
    assert predict("double", "--input", "x=1.npy") == 0


@pytest.mark.parametrize("text", [["good", "b\u00e4d"], "good"])
def test_strings_from_numpy_files_and_json(
    predict: Predict, capsys: pytest.CaptureFixture[str], text: Any
) -> None:
    np.save("text.npy", np.array(text))
    Path("text.json").write_text(json.dumps(text))
    assert predict("shout", "--input", "text=text.npy") == 0
    assert predict("shout", "--input", "text=text.json") == 0
    first, second = capsys.readouterr().out.split("}\n{")
    assert "GOOD" in first
    assert "GOOD" in second


def test_bytes_that_are_no_text_are_base64_both_ways(
    predict: Predict, capsys: pytest.CaptureFixture[str]
) -> None:
    assert predict("echo", "--input", "x=text.npy") == 2
    np.save("text.npy", np.array([b"\xff\xfe", b"text"]))
    assert predict("echo", "--input", "x=text.npy") == 0
    assert json.loads(capsys.readouterr().out) == {"x": [{"b64": "//4="}, "text"]}
    assert predict("shout", "--input", '[{"b64": "//4="}, "a"]') == 0
    assert json.loads(capsys.readouterr().out) == {"loud": [{"b64": "//4="}, "A"]}


def test_model_without_inputs_takes_none(
    predict: Predict, server: FakeServer, capsys: pytest.CaptureFixture[str]
) -> None:
    server.models["count"] = FakeModel(lambda arrays: {"count": np.array(3)}, [])
    assert predict("count") == 0
    assert json.loads(capsys.readouterr().out) == {"count": 3}


def test_version_signature_and_timeout_reach_the_server(predict: Predict, server: FakeServer) -> None:
    np.save("x.npy", np.ones(1))
    words = shlex.split("echo --input x=x.npy --version 7 --signature other --timeout-s 500")
    assert predict(*words) == 0
    (request,) = server.calls("ModelInfer")
    assert (request.model_version, request.parameters["signature_name"].string_param) == ("7", "other")
    if type(server) is FakeServer:
        # over HTTP a server is not told
        assert 400 < (server.time_left_s[0] or 0) < 510


def test_long_arrays_are_shortened_unless_full() -> None:
    answer: dict[str, Array] = {"y": np.arange(24).reshape(2, 12)}
    assert json.loads(predict_values.to_json(answer, full=False))["y"][0] == [*range(10), "... 2 more"]
    assert json.loads(predict_values.to_json(answer, full=True))["y"][1] == list(range(12, 24))


@pytest.mark.parametrize(
    ("array", "text"),
    [
        (np.float32(0.1), "0.1"),
        (np.array([0.1, np.inf], np.float16), "[0.1, Infinity]"),
        (np.array([0.5, 3], ml_dtypes.bfloat16), "[0.5, 3.0]"),
        (np.array([True, False]), "[true, false]"),
        (np.array([2**64 - 1], np.uint64), "[18446744073709551615]"),
        (np.empty((0, 3)), "[]"),
        (np.array("é".encode(), object), '"é"'),
    ],
)
def test_elements_are_printed_as_short_as_they_are_exact(array: Array, text: str) -> None:
    assert predict_values.to_json({"y": np.asarray(array)}, full=True) == '{\n  "y": ' + text + "\n}"


def test_saved_directory_has_one_file_per_output(
    predict: Predict, capsys: pytest.CaptureFixture[str]
) -> None:
    assert predict("extremes", "--input", "[3, 1]", "--save", "to/here") == 0
    assert int(np.load("to/here/low.npy")) == 1
    assert int(np.load("to/here/high.npy")) == 3
    assert capsys.readouterr().out == ""


def test_saved_npz_has_all_outputs_whatever_their_names(tmp_path: Path) -> None:
    answer = {
        "file": np.array([1]),
        "scores/0": np.array([b"a", b"bc"], object),
        "half": np.array([1.5], ml_dtypes.bfloat16),
    }
    (path,) = predict_values.save(answer, tmp_path / "answer.npz")
    with np.load(path, allow_pickle=False) as saved:
        assert saved["file"].tolist() == [1]
        assert saved["scores/0"].tolist() == [b"a", b"bc"]
        assert saved["half"].dtype == np.float32


def test_name_from_the_server_does_not_lead_out_of_the_directory(tmp_path: Path) -> None:
    paths = predict_values.save({"../../up": np.ones(1), "/root": np.ones(1)}, tmp_path / "in")
    assert {path.parent for path in paths} == {tmp_path / "in"}
    with pytest.raises(ValueError, match="share a file"):
        predict_values.save({"a/b": np.ones(1), "a_b": np.ones(1)}, tmp_path / "in")


def test_strings_that_files_would_cut_are_not_saved(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="zero byte"):
        predict_values.save({"y": np.array([b"a\0"], object)}, tmp_path / "answer.npz")


@pytest.mark.parametrize(
    ("words", "why"),
    [
        ("--input x=missing.npy", "missing.npy: No such file"),
        ("--input x=word", "neither a file nor JSON"),
        ("--input x=[1", "is not JSON"),
        ("--input x=picture.png", "picture.png: expected a file that ends in .npy"),
        ("--input x=picture.png", "base64 -w0 picture.png"),
        ("--input x=table.csv", "numpy.save('x.npy', numpy.loadtxt('table.csv', delimiter=',', ndmin=2))"),
        ("--input broken.npy", "broken.npy"),
        ("--input broken.npz", "broken.npz"),
        ("--input broken.json", "broken.json is not JSON"),
        ("--input objects.npy", "not a plain numpy array file"),
        ("--input objects.npz", "not a plain numpy array file"),
        ("--input x=several.npz", "holds 2 arrays"),
        ("--input [1] --input x=[1]", "has no name"),
        ("--input x=[1] --input x=[2]", "given twice"),
        ("--input '{\"x\": 1}'", "JSON object can only be"),
        ('--input \'{"b64": "!"}\'', "b64"),
        ("--input [1] --tls-key key.pem", "No such file"),
        ("--input [1] --tls-ca broken.json", "PEM"),
    ],
)
def test_arguments_that_make_no_sense_are_one_line_and_status_2(
    predict: Predict, server: FakeServer, capsys: pytest.CaptureFixture[str], words: str, why: str
) -> None:
    for name in ("broken.npy", "broken.npz", "broken.json", "picture.png", "table.csv"):
        Path(name).write_bytes(b"\x93NUMPY not really")
    np.save("objects.npy", np.array([{}], object), allow_pickle=True)
    np.savez("objects.npz", x=np.array([{}], object))
    np.savez("several.npz", a=np.ones(1), b=np.ones(1))
    assert predict("double", *shlex.split(words)) == 2
    error = capsys.readouterr().err
    assert error.startswith("hotgraph predict: ")
    assert error.count("\n") == 1
    assert why in error
    assert server.requests == []


@pytest.mark.parametrize("timeout", ["0", "-1", "soon", "inf", "nan"])
def test_timeout_that_is_no_time_is_a_usage_error(timeout: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        parse("h:1", "m", f"--timeout-s={timeout}")
    assert caught.value.code == 2
    assert "not a positive number of seconds" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("code", "advice"),
    [
        (grpc.StatusCode.NOT_FOUND, "check MODEL, --version and --signature"),
        (grpc.StatusCode.DEADLINE_EXCEEDED, "--timeout-s"),
        (grpc.StatusCode.PERMISSION_DENIED, "--tls-ca"),
        (grpc.StatusCode.RESOURCE_EXHAUSTED, "try again in 40 ms"),
        (grpc.StatusCode.INTERNAL, "because of two lines"),
    ],
)
def test_failed_call_is_one_line_with_advice_and_status_1(
    predict: Predict,
    server: FakeServer,
    capsys: pytest.CaptureFixture[str],
    code: grpc.StatusCode,
    advice: str,
) -> None:
    np.save("x.npy", np.ones(1))
    server.fail(
        "ModelInfer", code, details="because\nof two lines", trailers=(("grpc-retry-pushback-ms", "40"),)
    )
    assert predict("echo", "--input", "x=x.npy") == 1
    error = capsys.readouterr().err
    assert error.startswith("hotgraph predict: because of two lines")
    assert error.count("\n") == 1
    assert advice in error


def test_server_that_is_not_there_is_status_1_with_advice(
    server: FakeServer, capsys: pytest.CaptureFixture[str]
) -> None:
    server.stop()
    assert predict_command.run(parse(server.address, "echo", "--input", "[1]")) == 1
    assert "check HOST:PORT and whether the server is up" in capsys.readouterr().err


def test_tls_settings_for_a_url_without_tls_are_status_2(capsys: pytest.CaptureFixture[str]) -> None:
    assert predict_command.run(parse("http://h:1", "echo", "--input", "[1]", "--tls")) == 2
    assert "TLS settings go with https://" in capsys.readouterr().err


def test_address_without_a_port_is_status_2(capsys: pytest.CaptureFixture[str]) -> None:
    assert predict_command.run(parse("localhost", "echo", "--input", "[1]")) == 2
    assert "expected HOST:PORT" in capsys.readouterr().err


def test_unnamed_input_for_a_model_with_two_lists_them(
    predict: Predict, capsys: pytest.CaptureFixture[str]
) -> None:
    assert predict("sum_and_difference", "--input", "[1]") == 1
    assert "the inputs of 'sum_and_difference': a (INT64 [-1]), b (INT64 [-1])" in capsys.readouterr().err


def test_input_for_a_signature_that_the_server_does_not_describe_is_not_guessed(
    predict: Predict, server: FakeServer, capsys: pytest.CaptureFixture[str]
) -> None:
    assert predict("double", "--input", "[1]", "--signature", "other") == 1
    assert "say which input, as in --input NAME=VALUE" in capsys.readouterr().err
    assert server.calls("ModelInfer") == []


SIGNATURES = {
    "signatures": "first,second",
    "inputs.first": '[{"name": "x", "datatype": "FP32", "shape": [-1]}]',
    "inputs.second": '[{"name": "z", "datatype": "INT64", "shape": [-1]}]',
}


@pytest.mark.parametrize("value", ["[1]", "z=[1]"])
def test_json_for_another_signature_takes_its_name_and_datatype(
    predict: Predict, server: FakeServer, value: str
) -> None:
    server.models["echo"].properties = SIGNATURES
    assert predict("echo", "--input", value, "--signature", "second") == 0
    (tensor,) = server.calls("ModelInfer")[0].inputs
    assert (tensor.name, tensor.datatype) == ("z", "INT64")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("--input [1]", "'echo' has no default signature: choose one of first, second"),
        ("--input x=[1]", "'echo' has no default signature: choose one of first, second"),
        ("--input [1] --signature typo", "'echo' has no signature 'typo'; there are first, second"),
    ],
)
def test_signature_that_is_not_there_is_told_which_there_are(
    predict: Predict, server: FakeServer, capsys: pytest.CaptureFixture[str], words: str, said: str
) -> None:
    server.models["echo"].properties = SIGNATURES
    assert predict("echo", *words.split()) == 1
    error = capsys.readouterr().err
    assert said in error
    assert "check MODEL, --version and --signature" in error


def test_file_that_would_lose_something_is_told_how_to_cast(
    predict: Predict, server: FakeServer, capsys: pytest.CaptureFixture[str]
) -> None:
    np.save("x.npy", np.array([[0.1, 0.2]]))
    server.fail("ModelInfer", grpc.StatusCode.INVALID_ARGUMENT)
    assert predict("double", "--input", "x=x.npy") == 1
    assert "send x.astype(np.float32) if that is meant" in capsys.readouterr().err


def test_tls_from_the_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    authority = trustme.CA()
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    issued = authority.issue_cert("127.0.0.1")
    credentials = grpc.ssl_server_credentials(
        [(issued.private_key_pem.bytes(), issued.cert_chain_pems[0].bytes())]
    )
    echo = FakeModel(lambda arrays: arrays, [("x", "FP32", [])])
    with FakeServer(models={"echo": echo}, credentials=credentials) as server:
        words = [server.address, "echo", "--input", "1", "--tls-ca", str(tmp_path / "ca.pem")]
        assert predict_command.run(parse(*words)) == 0
    assert json.loads(capsys.readouterr().out) == {"x": 1}


def test_help_shows_examples(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        parse("--help")
    shown = capsys.readouterr().out
    assert "examples:\n  hotgraph predict 127.0.0.1:8500 digits --input images.npy" in shown
    assert "hotgraph predict http://127.0.0.1:8502 digits --input images.npy" in shown


def test_key_comes_from_a_file_or_else_from_the_environment(
    predict: Predict, server: FakeServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOTGRAPH_KEY", "of-the-environment")
    Path("key.txt").write_text("of-the-file\n")
    assert predict("double", "--input", "x=[1]") == 0
    assert {headers["authorization"] for headers in server.headers} == {"Bearer of-the-environment"}
    server.headers.clear()
    assert predict("double", "--input", "x=[1]", "--key-file", "key.txt") == 0
    assert {headers["authorization"] for headers in server.headers} == {"Bearer of-the-file"}


@pytest.mark.parametrize("content", [None, "", "two words"])
def test_key_file_that_holds_no_key_fails_in_one_line(
    predict: Predict, capsys: pytest.CaptureFixture[str], content: str | None
) -> None:
    if content is not None:
        Path("key.txt").write_text(content)
    assert predict("double", "--input", "x=[1]", "--key-file", "key.txt") == 2
    told = capsys.readouterr().err
    assert told.count("\n") == 1
    assert "words" not in told
