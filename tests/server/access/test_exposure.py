from __future__ import annotations

from pathlib import Path

import pytest

from hotgraph_server.access.exposure import is_loopback, warnings
from hotgraph_server.access.groups import Group
from hotgraph_server.access.rules import Rules
from hotgraph_server.settings import (
    AccessSettings,
    AdminSettings,
    ListenSettings,
    RestSettings,
    ServerSettings,
)


def server(
    host: str, *, admin: int = 8501, auth: str = "", rest: int = 0, **listen: str | bool
) -> ServerSettings:
    return ServerSettings(
        (),
        ListenSettings(host, **listen),  # type: ignore[arg-type]
        AdminSettings(admin),
        RestSettings(rest, prometheus=bool(rest)),
        access=AccessSettings(auth=auth),
    )


@pytest.mark.parametrize("host", ["127.0.0.1", "127.1.2.3", "::1", "localhost", "LOCALHOST", "localhost."])
def test_this_machine_alone_is_worth_no_word(host: str) -> None:
    assert is_loopback(host)
    assert not list(warnings(server(host), Rules()))


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "10.0.0.1", "models.example", "localhost.example"])
def test_open_groups_are_told_in_one_line(host: str) -> None:
    (line,) = warnings(server(host), Rules())
    assert line.startswith(f"listening on {host} with the groups 'control' and 'state' and 'admin' open")
    assert "change which models are served" in line
    assert "--auth FILE" in line


def test_only_open_groups_that_have_a_port_are_told() -> None:
    rules = Rules({Group.CONTROL: (b"0" * 32,)})
    (line,) = warnings(server("0.0.0.0"), rules)
    assert "'control'" not in line
    (line,) = warnings(server("0.0.0.0", admin=0), Rules())
    assert "with the group 'control' open" in line
    assert not list(warnings(server("0.0.0.0", admin=0), rules))
    (line,) = warnings(server("0.0.0.0", admin=0, rest=8502), rules)
    assert "with the group 'admin' open" in line
    assert not list(warnings(server("0.0.0.0"), Rules(dict.fromkeys(Group, ()))))


def test_unix_socket_alone_is_no_network() -> None:
    assert not list(warnings(server("0.0.0.0", admin=0, socket_path="/s", socket_only=True), Rules()))
    (line,) = warnings(server("0.0.0.0", admin=0, rest=8502, socket_path="/s", socket_only=True), Rules())
    assert "with the groups 'control' and 'admin' open" in line


def test_file_that_others_may_write_is_told(tmp_path: Path) -> None:
    file = tmp_path / "auth.toml"
    file.touch()
    for mode, told in ((0o600, 0), (0o644, 0), (0o664, 1), (0o646, 1)):
        file.chmod(mode)
        assert len(list(warnings(server("127.0.0.1", auth=str(file)), Rules()))) == told
