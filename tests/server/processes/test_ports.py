"""The ports of several processes."""

from __future__ import annotations

import socket

import pytest

from hotgraph_server.errors import StartError
from hotgraph_server.processes.ports import Ports
from hotgraph_server.settings import ListenSettings, RestSettings

from ...ports import free_port


def test_rest_port_is_bound_once_for_all() -> None:
    port = free_port()
    ports = Ports(ListenSettings(port=0), RestSettings(port))
    try:
        assert ports.rest_address == f"127.0.0.1:{port}"
        socket.create_connection(("127.0.0.1", port)).close()
    finally:
        ports.close()
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port))


def test_rest_port_0_is_none() -> None:
    ports = Ports(ListenSettings(port=0), RestSettings(0))
    ports.close()
    assert (ports.rest, ports.rest_address) == ([], "")


def test_health_port_is_bound_once_for_all() -> None:
    port = free_port()
    ports = Ports(ListenSettings(port=0), RestSettings(0), health_port=port)
    try:
        assert [one.getsockname() for one in ports.health] == [("127.0.0.1", port)]
    finally:
        ports.close()
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port))


def test_rest_port_in_use_is_one_line_that_names_it_and_leaves_no_other_port_open() -> None:
    of_calls = free_port()
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(StartError) as error:
            Ports(ListenSettings(port=of_calls), RestSettings(port))
    assert str(error.value) == f"rest-port {port}: cannot listen on 127.0.0.1:{port}: the port is in use"
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", of_calls))
