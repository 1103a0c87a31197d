"""What a server has of forwarding, by its settings; and that it never takes itself for a peer."""

from __future__ import annotations

import dataclasses
import importlib.util
from pathlib import Path

import pytest

from hotgraph_server.errors import SettingsError
from hotgraph_server.forwarding.opening import Forwarding
from hotgraph_server.settings import ListenSettings, RestSettings, ServerSettings
from hotgraph_server.settings.forwarding import ForwardingSettings
from hotgraph_server.threads.time_left import TimeLeft
from hotgraph_server.transport.http import Request

PATIENCE_S = 30.0
REQUEST = Request("GET", "/v2/models/m", "", {})


def settings(peers: Path | str) -> ServerSettings:
    return ServerSettings((), forwarding=ForwardingSettings(str(peers)), rest=RestSettings(rest_port=0))


def knows_none(model: str) -> bool:
    return False


def test_nothing_is_there_without_a_peers_file() -> None:
    forwarding = Forwarding(settings(""), knows_none)
    forwarding.start("127.0.0.1:8500")
    assert forwarding.elsewhere is None
    assert forwarding.figures() is None
    forwarding.stop(TimeLeft(PATIENCE_S))


@pytest.mark.parametrize(
    ("address", "peers"), [("0.0.0.0:8500", 1), ("127.0.0.1:8500", 1), ("unix:/run/a.sock", 3)]
)
def test_the_server_itself_is_no_peer(tmp_path: Path, address: str, peers: int) -> None:
    """Of the three the first two are its own address; that of documentation is no machine's."""
    path = tmp_path / "peers"
    path.write_text("127.0.0.1:8500 m\nlocalhost:8500 m\n192.0.2.1:8500 m")
    forwarding = Forwarding(settings(path), knows_none)
    forwarding.start(address)
    try:
        figures = forwarding.figures()
        assert figures is not None
        assert figures.peers == peers
        elsewhere = forwarding.elsewhere
        assert elsewhere is not None
        assert elsewhere(REQUEST, "m") is not None
        assert elsewhere(REQUEST, "other") is None
    finally:
        forwarding.stop(TimeLeft(PATIENCE_S))
    assert elsewhere(REQUEST, "m") is None


def test_peers_are_not_called_in_the_clear_by_a_server_that_has_tls(tmp_path: Path) -> None:
    with_tls = dataclasses.replace(
        settings(tmp_path / "peers"), listen=ListenSettings(tls_cert="c", tls_key="k")
    )
    with pytest.raises(SettingsError, match="peers-file and tls-cert exclude each other"):
        Forwarding(with_tls, knows_none)


def test_rest_wants_its_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with_rest = dataclasses.replace(settings(tmp_path / "peers"), rest=RestSettings(rest_port=1))
    with pytest.raises(SettingsError, match=r"pip install 'hotgraph\[http\]'"):
        Forwarding(with_rest, knows_none)
    Forwarding(settings(tmp_path / "peers"), knows_none).stop(TimeLeft(PATIENCE_S))


def test_bounds_are_bounds() -> None:
    with pytest.raises(SettingsError, match="forward-max-calls"):
        ForwardingSettings(forward_max_calls=0)
    with pytest.raises(SettingsError, match="forward-max-mb"):
        ForwardingSettings(forward_max_mb=0)
