"""predict_command.py: the command against a server in this process."""

from __future__ import annotations

import argparse
import io
import json
import shlex
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
import trustme
from PIL import Image

from hotgraph_client import predict_command
from hotgraph_protos.tensors import decode_raw

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


def test_saved_directory_has_one_file_per_output(
    predict: Predict, capsys: pytest.CaptureFixture[str]
) -> None:
    assert predict("extremes", "--input", "[3, 1]", "--save", "to/here") == 0
    assert int(np.load("to/here/low.npy")) == 1
    assert int(np.load("to/here/high.npy")) == 3
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(
    ("words", "why"),
    [
        ("--input x=missing.npy", "missing.npy: No such file"),
        ("--input missing.jpg", "missing.jpg: No such file"),
        ("--input x=word", "neither a file nor JSON"),
        ("--input x=[1", "is not JSON"),
        ("--input x=ragged.csv", "ragged.csv, line 2: 1 cells, and there are 2 columns"),
        ("--input [1] --labels broken.json", "broken.json is no text"),
        ("--input [1] --top 2 --labels odd.json", "expected labels as"),
        ("--input [1] --labels names.txt", "--labels go with --top"),
        ("--input broken.npy", "broken.npy"),
        ("--input broken.npz", "broken.npz"),
        ("--input broken.json", "broken.json is not JSON"),
        ("--input objects.npy", "not a plain numpy array file"),
        ("--input objects.npz", "not a plain numpy array file"),
        ("--input x=several.npz", "holds 2 arrays"),
        ("--input [1] --input x=[1]", "has no name"),
        ("--input x=[1] --input x=[2]", "given twice"),
        ("--input 'x={\"x\": 1}'", "JSON object can only be"),
        ('--input \'{"b64": "!"}\'', "b64"),
        ("--input [1] --tls-key key.pem", "No such file"),
        ("--input [1] --tls-ca broken.json", "PEM"),
    ],
)
def test_arguments_that_make_no_sense_are_one_line_and_status_2(
    predict: Predict, server: FakeServer, capsys: pytest.CaptureFixture[str], words: str, why: str
) -> None:
    for name in ("broken.npy", "broken.npz", "broken.json"):
        Path(name).write_bytes(b"\x93NUMPY not really")
    Path("ragged.csv").write_text("a,b\n1\n")
    Path("names.txt").write_text("cat\n")
    Path("odd.json").write_text("{}")
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
        (grpc.StatusCode.NOT_FOUND, "its versions are 1 (READY)"),
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
    assert "say which with --signature NAME" in error


def test_file_that_would_lose_something_is_told_how_to_cast(
    predict: Predict, server: FakeServer, capsys: pytest.CaptureFixture[str]
) -> None:
    np.save("x.npy", np.array([[0.1, 0.2]]))
    server.fail("ModelInfer", grpc.StatusCode.INVALID_ARGUMENT)
    assert predict("double", "--input", "x=x.npy") == 1
    assert "send x.astype(np.float32) if that is meant (for model 'double'); or give --cast" in (
        capsys.readouterr().err
    )
    assert predict("double", "--input", "x=x.npy", "--cast") == 0
    told = capsys.readouterr()
    assert "x.npy: float64 rounded to FP32" in told.err
    assert json.loads(told.out) == {"y": [[0.2, 0.4]]}


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


@pytest.mark.parametrize(
    "request_",
    [
        {"a": [5, 6], "b": [2, 3]},
        {"inputs": {"a": [5, 6], "b": [2, 3]}},
        {"instances": [{"a": 5, "b": 2}, {"a": 6, "b": 3}]},
        [{"a": 5, "b": 2}, {"a": 6, "b": 3}],
        {
            "inputs": [
                {"name": "a", "datatype": "INT64", "shape": [2], "data": [5, 6]},
                {"name": "b", "datatype": "INT64", "shape": [2], "data": [2, 3]},
            ]
        },
    ],
    ids=["by name", "columns", "rows", "records", "v2"],
)
def test_one_json_value_brings_all_inputs(
    predict: Predict, capsys: pytest.CaptureFixture[str], request_: Any
) -> None:
    assert predict("sum_and_difference", "--input", json.dumps(request_)) == 0
    assert json.loads(capsys.readouterr().out) == {"sum": [7, 9], "difference": [3, 3]}


def test_standard_input_is_read_by_what_it_holds(
    predict: Predict, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    array = io.BytesIO()
    np.save(array, np.array([[1, 2]], np.float32))
    for data in (b'{"instances": [[1, 2]]}', b"[[1, 2]]", b"p,q\n1,2\n", b"1,2\n", array.getvalue()):
        monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(data)))
        assert predict("double", "--input", "-") == 0
        assert json.loads(capsys.readouterr().out) == {"y": [[2, 4]]}, data


def test_signature_of_a_request_is_the_calls(predict: Predict, server: FakeServer) -> None:
    server.models["echo"].properties = SIGNATURES
    assert predict("echo", "--input", '{"signature_name": "second", "instances": [1]}') == 0
    (call,) = server.calls("ModelInfer")
    assert call.parameters["signature_name"].string_param == "second"
    assert (
        predict("echo", "--input", '{"signature_name": "second", "inputs": [1]}', "--signature", "first") == 2
    )


def test_table_becomes_inputs_and_says_so(predict: Predict, capsys: pytest.CaptureFixture[str]) -> None:
    Path("t.csv").write_text("b,a\n1,10\n2,20\n")
    assert predict("sum_and_difference", "--input", "t.csv", "--output", "sum") == 0
    told = capsys.readouterr()
    assert json.loads(told.out) == {"sum": [11, 22]}
    assert told.err == "hotgraph predict: t.csv: 2 rows, each column as the input of its name (b, a)\n"


def pixels_model(server: FakeServer) -> None:
    server.models["pixels"] = FakeModel(
        lambda arrays: {"mean": arrays["image"].mean((1, 2)), "image": arrays["image"]},
        [("image", "FP32", [-1, 4, 6, 3])],
        [("mean", "FP32", [-1, 3]), ("image", "FP32", [-1, 4, 6, 3])],
    )


def test_picture_is_decoded_resized_and_scaled_which_is_told(
    predict: Predict, server: FakeServer, capsys: pytest.CaptureFixture[str]
) -> None:
    pixels_model(server)
    Image.new("RGB", (12, 10), (255, 0, 51)).save("red.png")
    assert predict("pixels", "--input", "red.png", "--output", "mean") == 0
    told = capsys.readouterr()
    np.testing.assert_allclose(json.loads(told.out)["mean"], [[1, 0, 0.2]], atol=1e-6)
    assert (
        "red.png: decoded as RGB, resized from 12x10 to 6x4, pixels scaled to 0..1 as FP32 (--scale"
        in told.err
    )
    assert predict("pixels", "--input", "red.png", "--output", "mean", "--scale", "0..255") == 0
    told = capsys.readouterr()
    np.testing.assert_allclose(json.loads(told.out)["mean"], [[255, 0, 51]], atol=1e-3)
    assert "scaled to 0..255 as FP32\n" in told.err


def test_several_pictures_are_rows(
    predict: Predict, server: FakeServer, capsys: pytest.CaptureFixture[str]
) -> None:
    pixels_model(server)
    for name, colour in (("red.png", (255, 0, 0)), ("blue.png", (0, 0, 255))):
        Image.new("RGB", (6, 4), colour).save(name)
    assert predict("pixels", "--input", "red.png", "--input", "blue.png", "--output", "mean") == 0
    told = capsys.readouterr()
    np.testing.assert_allclose(json.loads(told.out)["mean"], [[1, 0, 0], [0, 0, 1]], atol=1e-6)
    assert "2 files as 2 rows of 'image'" in told.err


def test_model_that_decodes_gets_the_files_bytes(predict: Predict, server: FakeServer) -> None:
    Image.new("RGB", (6, 4)).save("a.jpg")
    assert predict("shout", "--input", "a.jpg") == 0
    sent = decode_raw("BYTES", [1], server.calls("ModelInfer")[0].raw_input_contents[0])
    assert sent[0] == Path("a.jpg").read_bytes()


def test_picture_for_an_input_that_takes_none_is_status_2(
    predict: Predict, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("cat.jpg").write_text("x")
    assert predict("double", "--input", "cat.jpg") == 2
    assert "cat.jpg: images cannot become the input x (FP32 [-1, 2])" in capsys.readouterr().err


def test_output_becomes_a_picture(
    predict: Predict, server: FakeServer, capsys: pytest.CaptureFixture[str]
) -> None:
    pixels_model(server)
    Image.new("RGB", (6, 4), (255, 0, 51)).save("red.png")
    assert predict("pixels", "--input", "red.png", "--output", "image=out/large.png") == 0
    told = capsys.readouterr()
    assert told.out == ""
    assert "saved out/large.png (values 0 to 1 taken as 0..1)" in told.err
    with Image.open("out/large.png") as image:
        assert (image.size, image.getpixel((5, 3))) == ((6, 4), (255, 0, 51))
    assert predict("pixels", "--input", "red.png", "--output", "image=x.npy", "--output", "mean") == 0
    assert np.load("x.npy").shape == (1, 4, 6, 3)
    assert list(json.loads(capsys.readouterr().out)) == ["mean"]


def test_best_classes_have_the_files_names(
    predict: Predict, server: FakeServer, capsys: pytest.CaptureFixture[str]
) -> None:
    server.models["scores"] = FakeModel(
        lambda arrays: {"scores": arrays["x"]}, [("x", "FP32", [-1, 3])], [("scores", "FP32", [-1, 3])]
    )
    Path("names.txt").write_text("cat\ndog\nbird\n")
    words = ("scores", "--input", "[0.1, 0.2, 0.7]", "--top", "2")
    assert predict(*words, "--labels", "names.txt") == 0
    (best,) = json.loads(capsys.readouterr().out)["scores"]
    assert best == [
        {"label": "bird", "index": 2, "value": 0.7},
        {"label": "dog", "index": 1, "value": 0.2},
    ]
    Path("names.txt").write_text("cat\ndog\n")
    assert predict(*words, "--labels", "names.txt") == 1
    assert "there are 2 labels, and output 'scores' has 3 classes" in capsys.readouterr().err
    assert predict(*words) == 0
    assert json.loads(capsys.readouterr().out)["scores"][0][0] == {"index": 2, "value": 0.7}


def test_best_classes_have_the_servers_names_where_it_tells_them(
    predict: Predict, server: FakeServer, capsys: pytest.CaptureFixture[str]
) -> None:
    server.extensions = ["classification"]
    server.models["scores"] = FakeModel(
        lambda arrays: {"scores": np.array([[b"0.700000:2:bird", b"0.200000:1:dog: big"]], object)},
        [("x", "FP32", [-1, 3])],
        [("scores", "FP32", [-1, 3])],
    )
    assert predict("scores", "--input", "[0.1, 0.2, 0.7]", "--top", "2") == 0
    (output,) = server.calls("ModelInfer")[0].outputs
    assert output.parameters["classification"].int64_param == 2
    assert json.loads(capsys.readouterr().out)["scores"] == [
        [{"label": "bird", "index": 2, "value": 0.7}, {"label": "dog: big", "index": 1, "value": 0.2}]
    ]


def test_without_a_model_it_lists_what_is_served(
    predict: Predict, capsys: pytest.CaptureFixture[str]
) -> None:
    assert predict() == 0
    told = capsys.readouterr()
    assert "double" in told.out
    assert "x (FP32 [-1, 2])" in told.out
    assert "call one: hotgraph predict" in told.err
    assert predict("--input", "[1]") == 2
    assert "say which MODEL" in capsys.readouterr().err


def test_unknown_model_is_told_with_those_that_there_are(
    predict: Predict, capsys: pytest.CaptureFixture[str]
) -> None:
    assert predict("doubel", "--input", "[1]") == 1
    error = capsys.readouterr().err
    assert "it serves double, sum_and_difference, extremes, shout, echo; did you mean 'double'?" in error
    assert error.count("\n") == 1


def test_refused_call_is_told_with_the_names_that_there_are(
    predict: Predict, server: FakeServer, capsys: pytest.CaptureFixture[str]
) -> None:
    server.fail("ModelInfer", grpc.StatusCode.INVALID_ARGUMENT, times=2)
    assert predict("sum_and_difference", "--input", "a=[1]") == 1
    assert "; the inputs of 'sum_and_difference': a (INT64 [-1]), b (INT64 [-1])" in capsys.readouterr().err
    server.fail("ModelInfer", grpc.StatusCode.INVALID_ARGUMENT, times=2)
    assert predict("double", "--input", "[1, 2]", "--output", "yy") == 1
    assert "; the outputs: y (FP32 [-1, 2])" in capsys.readouterr().err


def test_without_pillow_one_line_says_what_to_install(
    predict: Predict,
    server: FakeServer,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pixels_model(server)
    Image.new("RGB", (6, 4)).save("a.png")
    monkeypatch.setitem(sys.modules, "PIL", None)
    assert predict("pixels", "--input", "a.png") == 2
    assert "images need the package pillow: pip install 'hotgraph[images]'" in capsys.readouterr().err
