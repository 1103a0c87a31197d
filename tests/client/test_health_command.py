"""``hotgraph health``: its exit status, and whom it asks."""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import grpc
import pytest
from grpc_health.v1 import health, health_pb2, health_pb2_grpc

from hotgraph_client.health_command import add_arguments, address_here, run

Status = health_pb2.HealthCheckResponse
KNOWN = {"": Status.SERVING, "flowers": Status.SERVING, "loading": Status.NOT_SERVING, "odd": Status.UNKNOWN}


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    """HOST:PORT of a server of grpc's own health service."""
    with ThreadPoolExecutor(2) as pool:
        server = grpc.server(pool)
        servicer = health.HealthServicer()
        health_pb2_grpc.add_HealthServicer_to_server(servicer, server)
        for name, status in KNOWN.items():
            servicer.set(name, status)
        port = server.add_insecure_port("127.0.0.1:0")
        server.start()
        yield f"127.0.0.1:{port}"
        server.stop(None).wait()


def ask(*words: str) -> int:
    parser = argparse.ArgumentParser("hotgraph health")
    add_arguments(parser)
    return run(parser.parse_args(words))


@pytest.mark.parametrize("name", ["", "flowers"])
def test_what_serves_is_status_0(address: str, name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert ask(address, *filter(None, [name])) == 0
    assert capsys.readouterr().out.endswith(f"{address} is serving\n")


@pytest.mark.parametrize(
    ("name", "says"), [("loading", "is not serving"), ("nope", "is not known there"), ("odd", "is unknown")]
)
def test_what_does_not_serve_is_status_1_and_one_line(
    address: str, name: str, says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert ask(address, name) == 1
    assert capsys.readouterr().err == f"hotgraph health: '{name}' at {address} {says}\n"


def test_server_that_is_not_there_is_status_1(capsys: pytest.CaptureFixture[str]) -> None:
    assert ask("127.0.0.1:1") == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert "UNAVAILABLE at 127.0.0.1:1" in line


@pytest.mark.parametrize(
    "words", [["127.0.0.1"], ["x:1", "--tls-ca", "/gone.pem"], ["x:1", "--key-file", "/gone"]]
)
def test_arguments_that_make_no_sense_are_status_2(
    words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert ask(*words) == 2
    assert len(capsys.readouterr().err.splitlines()) == 1


@pytest.mark.parametrize(
    ("environment", "address"),
    [
        ({}, "127.0.0.1:8500"),
        ({"HOTGRAPH_PORT": "9000", "HOTGRAPH_HOST": "0.0.0.0"}, "127.0.0.1:9000"),
        ({"HOTGRAPH_PORT": "9000", "HOTGRAPH_HEALTH_PORT": "9001"}, "127.0.0.1:9001"),
        ({"HOTGRAPH_PORT": "9000", "HOTGRAPH_HEALTH_PORT": "0"}, "127.0.0.1:9000"),
        ({"HOTGRAPH_PORT": "tcp://10.0.0.1:8500", "HOTGRAPH_HOST": "10.0.0.7"}, "10.0.0.7:8500"),
        ({"HOTGRAPH_HOST": "fd00::1", "HOTGRAPH_PORT": " 9000 "}, "[fd00::1]:9000"),
        ({"HOTGRAPH_HOST": "::"}, "127.0.0.1:8500"),
        ({"HOTGRAPH_PORT": "9" * 100_000}, "127.0.0.1:8500"),
    ],
)
def test_without_an_address_it_asks_whom_the_environment_has_set_up(
    environment: dict[str, str], address: str
) -> None:
    assert address_here(environment) == address


def test_container_asks_its_own_server(
    address: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("HOTGRAPH_PORT", address.rpartition(":")[2])
    assert ask() == 0
    assert address in capsys.readouterr().out


def test_question_over_grpc_loads_neither_numpy_nor_tensorflow(address: str) -> None:
    program = (
        "import sys; from hotgraph_server.commands.cli import main\n"
        f"status = main(['health', {address!r}])\n"
        "assert not {'numpy', 'tensorflow', 'aiohttp'} & set(sys.modules)\n"
        "sys.exit(status)"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    ended = subprocess.run(
        [sys.executable, "-c", program], env=environment, capture_output=True, text=True, timeout=100
    )
    assert (ended.returncode, ended.stderr) == (0, "")
