"""A Unix socket, beside the port and alone, on either way of hot calls."""

from __future__ import annotations

import os
import re
import socket
import stat
from pathlib import Path
from typing import Any

import grpc
import pytest

from hotgraph_server.errors import StartError
from hotgraph_server.settings import ListenSettings
from hotgraph_server.transport.listening import SocketFile
from hotgraph_server.transport.server import CallServer

from .conftest import PATIENCE_S, Serve, Toys, hot


@pytest.fixture
def path(tmp_path: Path) -> str:
    return str(tmp_path / "s")


@pytest.fixture
def left_behind(path: str) -> str:
    """A socket's file whose server is gone."""
    with socket.socket(socket.AF_UNIX) as sock:
        sock.bind(path)
    return path


def echo(address: str) -> bytes:
    with grpc.insecure_channel(address) as channel:
        answer: bytes = hot(channel, "Echo")(b"hello", timeout=PATIENCE_S)
        return answer


def test_both_the_port_and_the_socket_answer(serve: Serve, path: str) -> None:
    server = serve(socket_path=path)
    assert server.address.startswith("127.0.0.1:")
    assert echo(f"unix:{path}") == echo(server.address) == b"hello"


def test_socket_alone_is_the_address(serve: Serve, path: str) -> None:
    server = serve(socket_path=path, socket_only=True)
    assert server.address == f"unix:{path}"
    assert echo(server.address) == b"hello"


def test_file_is_gone_when_the_server_has_stopped(serve: Serve, path: str) -> None:
    server = serve(socket_path=path)
    assert stat.S_ISSOCK(os.stat(path).st_mode)
    server.stop(0)
    assert not os.path.lexists(path)


def test_what_a_server_left_that_is_gone_makes_way(serve: Serve, left_behind: str) -> None:
    serve(socket_path=left_behind)
    assert echo(f"unix:{left_behind}") == b"hello"


def refusal(transport: dict[str, Any], toys: Toys, path: str) -> str:
    """What a server says that cannot have the path; nothing of it may be left."""
    with pytest.raises(StartError) as raised:
        CallServer(ListenSettings(port=0, socket_path=path, **transport), [toys.service])
    said = str(raised.value)
    assert said.startswith(f"cannot listen on unix:{path}: ")
    return said.partition(f"{path}: ")[2]


def test_server_that_answers_there_keeps_its_socket(
    serve: Serve, transport: dict[str, Any], toys: Toys, path: str
) -> None:
    serve(socket_path=path)
    assert refusal(transport, toys, path) == "another server answers there"
    assert echo(f"unix:{path}") == b"hello"


def test_file_that_is_no_socket_is_kept(transport: dict[str, Any], toys: Toys, path: str) -> None:
    Path(path).write_text("precious")
    assert refusal(transport, toys, path) == "there is a file, and it is no socket"
    assert Path(path).read_text() == "precious"


def test_folder_that_is_not_there_is_told(toys: Toys, tmp_path: Path) -> None:
    path = str(tmp_path / "gone" / "s")
    assert refusal({}, toys, path) == "No such file or directory"
    with pytest.raises(StartError, match=re.escape(f"unix:{path}")):
        CallServer(ListenSettings(port=0, socket_path=path, fast_lane=False), [toys.service])


def test_name_that_is_too_long_for_the_system_is_told(toys: Toys, tmp_path: Path) -> None:
    assert "too long" in refusal({}, toys, str(tmp_path / ("s" * 200)))


def test_port_that_is_in_use_takes_the_socket_back(serve: Serve, toys: Toys, path: str) -> None:
    taken = int(serve().address.rpartition(":")[2])
    with pytest.raises(StartError, match="the port is in use"):
        CallServer(ListenSettings(port=taken, socket_path=path), [toys.service])
    assert not os.path.lexists(path)


def test_socket_that_another_server_has_put_there_meanwhile_is_not_taken_away(path: str) -> None:
    mine = SocketFile(path)
    os.unlink(path)
    other = SocketFile(path)
    mine.remove()
    assert os.path.lexists(path)
    other.remove()
    other.remove()
    assert not os.path.lexists(path)
    mine.sock.close()
    other.sock.close()


def test_who_may_open_it_is_as_the_umask_says(path: str) -> None:
    before = os.umask(0o077)
    try:
        made = SocketFile(path)
    finally:
        os.umask(before)
    assert stat.S_IMODE(os.stat(path).st_mode) & 0o077 == 0
    made.sock.close()
    made.remove()
