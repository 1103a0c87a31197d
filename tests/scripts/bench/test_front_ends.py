"""The servers that are compared answer, and all with the same bytes."""

from __future__ import annotations

import http.client
import sys
from pathlib import Path

import pytest

from bench import front_ends
from bench.places import import_path
from bench.processes import Launch, Server, free_port
from bench.servers.bare_asgi import ANSWER


def test_every_server_has_a_place_for_its_port() -> None:
    for name, command in front_ends.commands(Path("python")).items():
        assert command.count("PORT") == 1, name


@pytest.mark.parametrize("module", ["bench.servers.bare_lane", "bench.servers.bare_asgi"])
def test_bare_server_takes_a_body_andanswers(module: str, tmp_path: Path) -> None:
    port = free_port()
    launch = Launch([sys.executable, "-m", module, str(port)], {"PYTHONPATH": import_path()})
    server = Server(launch, tmp_path / "log")
    try:
        assert front_ends.answers(port), server.last_words()
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
        for body in (b"", b"x" * 3300):
            connection.request("POST", "/v2/models/softmax/infer", body)
            answer = connection.getresponse()
            assert (answer.status, answer.read()) == (200, ANSWER)
        connection.close()
    finally:
        server.stop()
