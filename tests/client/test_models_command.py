"""models_command.py: what a server serves, as a table and as JSON."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable

import grpc
import pytest

from hotgraph_client import models_command
from hotgraph_client.descriptions import ServedModel, ServedVersion, TensorMetadata

from .fake_inference_server import FakeModel, FakeServer
from .loadtest.dialects.canned_servers import over_grpc, over_http
from .loadtest.dialects.test_opening import serving_answers

Models = Callable[..., int]


@pytest.fixture
def models(server: FakeServer) -> Models:
    """Runs the command against the server."""

    def run(*words: str) -> int:
        parser = argparse.ArgumentParser(prog="hotgraph models")
        models_command.add_arguments(parser)
        return models_command.run(parser.parse_args([server.address, *words]))

    return run


def test_table_has_a_model_a_line_and_more_for_what_is_more(
    models: Models, server: FakeServer, capsys: pytest.CaptureFixture[str]
) -> None:
    server.index = [
        ("double", "2", "READY", ""),
        ("double", "1", "UNLOADING", ""),
        ("sum_and_difference", "1", "READY", ""),
    ]
    assert models() == 0
    assert capsys.readouterr().out.splitlines() == [
        "MODEL               VERSION  STATE      INPUTS            OUTPUTS",
        "double              2        READY      x (FP32 [-1, 2])  y (FP32 [-1, 2])",
        "                    1        UNLOADING",
        "sum_and_difference  1        READY      a (INT64 [-1])    sum (INT64 [-1])",
        "                                        b (INT64 [-1])    difference (INT64 [-1])",
    ]


def test_model_that_is_not_ready_says_why_and_hides_no_other(
    models: Models, server: FakeServer, capsys: pytest.CaptureFixture[str]
) -> None:
    server.index = [("broken", "", "UNAVAILABLE", "no such\nop"), ("double", "1", "READY", "")]
    assert models() == 0
    _, broken, double = capsys.readouterr().out.splitlines()
    assert broken.split() == ["broken", "-", "UNAVAILABLE", "no", "such", "op"]
    assert double.startswith("double")
    assert len(server.calls("ModelMetadata")) == 1


def test_model_without_a_default_signature_shows_each(
    models: Models, server: FakeServer, capsys: pytest.CaptureFixture[str]
) -> None:
    server.models = {
        "m": FakeModel(
            lambda arrays: {},
            [],
            properties={
                "signatures": "first,second",
                "inputs.second": '[{"name": "z", "datatype": "INT64", "shape": [-1]}]',
                "inputs.first": '[{"name": "x", "datatype": "FP32", "shape": [-1]}]',
            },
        )
    }
    assert models() == 0
    assert [line.split() for line in capsys.readouterr().out.splitlines()[1:]] == [
        ["m", "1", "READY", "first:", "x", "(FP32", "[-1])"],
        ["second:", "z", "(INT64", "[-1])"],
    ]


def test_json_has_what_the_table_has(
    models: Models, server: FakeServer, capsys: pytest.CaptureFixture[str]
) -> None:
    assert models("double", "--json") == 0
    (found,) = json.loads(capsys.readouterr().out)
    assert found == {
        "name": "double",
        "versions": [{"version": "1", "state": "READY", "reason": ""}],
        "signature": "",
        "inputs": [{"name": "x", "datatype": "FP32", "shape": [-1, 2]}],
        "outputs": [{"name": "y", "datatype": "FP32", "shape": [-1, 2]}],
        "remark": "",
    }


def test_empty_server_is_said_in_words(
    models: Models, server: FakeServer, capsys: pytest.CaptureFixture[str]
) -> None:
    server.models.clear()
    assert models() == 0
    assert capsys.readouterr().out == "no model is served\n"
    assert models("--json") == 0
    assert json.loads(capsys.readouterr().out) == []


def test_model_that_is_not_there_is_told_with_those_that_are(
    models: Models, capsys: pytest.CaptureFixture[str]
) -> None:
    assert models("doble") == 1
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert "no model 'doble'" in error
    assert "it serves: double, sum_and_difference" in error
    assert "did you mean 'double'?" in error


def test_server_without_a_list_shows_what_is_named_and_says_so_otherwise(
    models: Models, server: FakeServer, capsys: pytest.CaptureFixture[str]
) -> None:
    server.fail("RepositoryIndex", grpc.StatusCode.UNIMPLEMENTED, times=2)
    assert models() == 1
    error = capsys.readouterr().err
    assert f"hotgraph models {server.address} MODEL" in error
    assert models("double") == 0
    assert capsys.readouterr().out.splitlines()[1].split()[:4] == ["double", "1", "-", "x"]


def test_server_that_is_not_there_is_status_1_and_no_address_is_2(
    server: FakeServer, models: Models, capsys: pytest.CaptureFixture[str]
) -> None:
    server.stop()
    assert models() == 1
    assert "check HOST:PORT and whether the server is up" in capsys.readouterr().err
    parser = argparse.ArgumentParser()
    models_command.add_arguments(parser)
    assert models_command.run(parser.parse_args(["localhost"])) == 2


def test_scalar_is_shown_without_dimensions() -> None:
    shown = models_command.Shown(
        ServedModel("m", (ServedVersion("1", "READY"),)), "s", (), (TensorMetadata("n", "INT32", ()),)
    )
    assert models_command.table([shown])[1].split() == ["m", "1", "READY", "s:", "none", "n", "(INT32", "[])"]


def test_tensorflow_serving_keeps_no_list_and_describes_what_is_named(
    capsys: pytest.CaptureFixture[str],
) -> None:
    for server in (over_grpc(serving_answers()), over_http(serving_json())):
        with server as destination:
            scheme = "http://" if destination.http else ""
            address = f"{scheme}{destination.host}:{destination.port}"
            parser = argparse.ArgumentParser()
            models_command.add_arguments(parser)
            assert models_command.run(parser.parse_args([address])) == 1
            assert f"hotgraph models {address} MODEL" in capsys.readouterr().err
            assert models_command.run(parser.parse_args([address, "m"])) == 0
            row = capsys.readouterr().out.splitlines()[1]
            assert row.split() == ["m", "5", "-", "x", "(FP32", "[-1])", "x", "(FP32", "[-1])"]


def serving_json() -> dict[str, tuple[int, object]]:
    tensor = {"dtype": "DT_FLOAT", "tensor_shape": {"dim": [{"size": "-1"}]}}
    signature = {"serving_default": {"inputs": {"x": tensor}, "outputs": {"x": tensor}}}
    spec = {"name": "m", "version": "5"}
    answer = {"model_spec": spec, "metadata": {"signature_def": {"signature_def": signature}}}
    return {"/v1/models/m/metadata": (200, answer)}
