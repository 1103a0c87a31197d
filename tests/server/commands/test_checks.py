"""What settings are held against before anything starts."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest
import trustme

from hotgraph_server.commands import checks
from hotgraph_server.errors import StartError
from hotgraph_server.settings import ListenSettings, ResponseCacheSettings, ServerSettings
from hotgraph_server.threads import memory_limit


def test_certificate_that_cannot_be_used_ends_a_start_and_a_check_of_files(tmp_path: Path) -> None:
    leaf = trustme.CA().issue_cert("localhost")
    cert, key = tmp_path / "crt", tmp_path / "key"
    leaf.cert_chain_pems[0].write_to_path(cert)
    leaf.private_key_pem.write_to_path(key)
    settings = ServerSettings((), ListenSettings(tls_cert=str(cert), tls_key=str(key)))
    checks.check(settings)
    key.write_bytes(trustme.CA().issue_cert("localhost").private_key_pem.bytes())
    with pytest.raises(StartError, match="the certificate and key do not fit"):
        checks.check(settings)
    key.unlink()
    with pytest.raises(StartError, match=r"--tls-key .*: No such file"):
        checks.check(settings)


def of(inflight_mb: int, cache_mb: int = 0) -> ServerSettings:
    listen = ListenSettings(max_inflight_mb=inflight_mb)
    return ServerSettings((), listen, cache=ResponseCacheSettings(cache_mb=cache_mb))


@pytest.mark.parametrize(
    ("limit_mb", "settings", "processes", "advised"),
    [
        *((4096, of(4096), 1, 2048), (2048, of(4096), 1, 1024), (4096, of(3000, 1096), 1, 952)),
        *((8192, of(4096), 2, 2048), (16, of(4096, 100), 1, 1)),
    ],
)
def test_calls_that_may_take_a_whole_container_are_warned_of_with_a_limit_that_does_not(
    limit_mb: int, settings: ServerSettings, processes: int, advised: int
) -> None:
    warning = checks.memory_warning(limit_mb, settings, processes)
    assert f"the container has {limit_mb} MiB" in warning
    assert f"--max-inflight-mb {advised} " in warning
    assert advised == 1 or not checks.memory_warning(
        limit_mb, of(advised, settings.cache.cache_mb), processes
    )


@pytest.mark.parametrize(("limit_mb", "settings", "processes"), [(4097, of(4096), 1), (9000, of(4096), 2)])
def test_calls_that_leave_room_are_not_warned_of(
    limit_mb: int, settings: ServerSettings, processes: int
) -> None:
    assert checks.memory_warning(limit_mb, settings, processes) == ""


def test_limit_is_in_the_log_and_none_is_not(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    monkeypatch.setattr(memory_limit, "limit_mb", lambda: None)
    checks.tell_of_memory(of(4096))
    assert not caplog.messages
    monkeypatch.setattr(memory_limit, "limit_mb", lambda: 512)
    checks.tell_of_memory(of(4096))
    assert [record.levelname for record in caplog.records] == ["INFO", "WARNING"]
    assert "512 MiB" in caplog.messages[0]
