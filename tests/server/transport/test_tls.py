"""TLS and mutual TLS, with certificates made on the spot."""

from __future__ import annotations

import os
import socket
import ssl
import tempfile
from pathlib import Path
from typing import Any

import grpc
import pytest
import trustme
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
    load_pem_private_key,
)

from hotgraph_server.errors import SettingsError, StartError
from hotgraph_server.settings import ListenSettings, RestSettings
from hotgraph_server.transport.server import CallServer, HttpPort
from hotgraph_server.transport.tls import context_of, names_files, read_pems

from .conftest import PATIENCE_S, Serve, Toys, hot


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture(scope="module")
def files(authority: trustme.CA, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Settings for a server with a certificate of `authority`."""
    folder = tmp_path_factory.mktemp("tls")
    certificate = authority.issue_cert("127.0.0.1", "localhost")
    (folder / "cert.pem").write_bytes(b"".join(blob.bytes() for blob in certificate.cert_chain_pems))
    (folder / "key.pem").write_bytes(certificate.private_key_pem.bytes())
    authority.cert_pem.write_to_path(str(folder / "ca.pem"))
    return {"tls_cert": str(folder / "cert.pem"), "tls_key": str(folder / "key.pem")}


def credentials(authority: trustme.CA, client: trustme.LeafCert | None = None) -> grpc.ChannelCredentials:
    """A client's: it trusts `authority`, and shows a certificate of its own if it has one."""
    if client is None:
        return grpc.ssl_channel_credentials(authority.cert_pem.bytes())
    return grpc.ssl_channel_credentials(
        authority.cert_pem.bytes(), client.private_key_pem.bytes(), client.cert_chain_pems[0].bytes()
    )


def echo(server: CallServer, client: grpc.ChannelCredentials | None) -> bytes:
    channel = (
        grpc.insecure_channel(server.address)
        if client is None
        else grpc.secure_channel(server.address, client)
    )
    with channel:
        answer: bytes = hot(channel, "Echo")(b"hello", timeout=PATIENCE_S)
        return answer


def refused(server: CallServer, client: grpc.ChannelCredentials | None) -> bool:
    with pytest.raises(grpc.RpcError) as raised:
        echo(server, client)
    return raised.value.code() is grpc.StatusCode.UNAVAILABLE


def test_caller_that_trusts_the_authority_is_answered(
    serve: Serve, authority: trustme.CA, files: dict[str, Any]
) -> None:
    assert echo(serve(**files), credentials(authority)) == b"hello"


def test_callers_without_tls_or_with_another_authority_are_not_answered(
    serve: Serve, files: dict[str, Any]
) -> None:
    server = serve(**files)
    assert refused(server, None)
    assert refused(server, credentials(trustme.CA()))


def test_with_mutual_tls_only_callers_with_a_certificate_are_answered(
    serve: Serve, authority: trustme.CA, files: dict[str, Any]
) -> None:
    folder = Path(files["tls_cert"]).parent
    server = serve(**files, tls_client_ca=str(folder / "ca.pem"))
    assert echo(server, credentials(authority, authority.issue_cert("client"))) == b"hello"
    assert refused(server, credentials(authority))
    assert refused(server, credentials(authority, trustme.CA().issue_cert("client")))


def test_pem_texts_do_as_well_as_files(serve: Serve, authority: trustme.CA, files: dict[str, Any]) -> None:
    texts = {name: Path(path).read_text() for name, path in files.items()}
    texts["tls_client_ca"] = authority.cert_pem.bytes().decode()
    server = serve(**texts)
    assert echo(server, credentials(authority, authority.issue_cert("client"))) == b"hello"
    assert refused(server, credentials(authority))


def test_pem_texts_leave_no_file_behind(
    files: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(os, "memfd_create", raising=False)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    texts: dict[str, Any] = {name: Path(path).read_text() for name, path in files.items()}
    settings = ListenSettings(**texts)
    assert not names_files(settings)
    context_of(read_pems(settings))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("missing", ["tls_cert", "tls_key", "tls_client_ca"])
def test_file_that_is_not_there_is_named_with_its_flag(
    files: dict[str, Any], missing: str, tmp_path: Path
) -> None:
    gone = str(tmp_path / "gone.pem")
    with pytest.raises(SettingsError, match=f"--{missing.replace('_', '-')} {gone}: No such file"):
        read_pems(ListenSettings(**{**files, missing: gone}))


@pytest.mark.parametrize("broken", ["tls_cert", "tls_key"])
def test_file_that_holds_no_certificate_or_key_is_a_start_error(
    files: dict[str, Any], broken: str, tmp_path: Path, toys: Toys
) -> None:
    nonsense = tmp_path / "nonsense.pem"
    nonsense.write_text("no PEM at all")
    with pytest.raises(StartError, match="certificate and key do not fit"):
        CallServer(ListenSettings(port=0, **{**files, broken: str(nonsense)}), [toys.service])


def test_key_of_another_certificate_is_a_start_error(
    files: dict[str, Any], authority: trustme.CA, tmp_path: Path, toys: Toys
) -> None:
    other = tmp_path / "other.pem"
    other.write_bytes(authority.issue_cert("localhost").private_key_pem.bytes())
    with pytest.raises(StartError, match="certificate and key do not fit"):
        CallServer(ListenSettings(port=0, **{**files, "tls_key": str(other)}), [toys.service])


@pytest.mark.parametrize("fast_lane", [True, False])
def test_key_with_a_password_is_a_start_error_and_no_question(
    files: dict[str, Any], tmp_path: Path, toys: Toys, fast_lane: bool
) -> None:
    """Asked on the terminal, the server would hang where there is none."""
    encrypted = tmp_path / "encrypted.pem"
    key = load_pem_private_key(Path(files["tls_key"]).read_bytes(), None)
    encrypted.write_bytes(
        key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"a password"))
    )
    settings = ListenSettings(port=0, **{**files, "tls_key": str(encrypted)}, fast_lane=fast_lane)
    with pytest.raises(StartError, match="certificate and key do not fit"):
        CallServer(settings, [toys.service])


class Silent:
    """An API that nobody asks."""


@pytest.mark.parametrize(
    ("fast_lane", "offered", "on_data_port", "on_rest_port"),
    [
        (True, ["h2", "http/1.1"], "h2", "http/1.1"),
        (True, ["http/1.1"], "http/1.1", "http/1.1"),
        (True, ["h2"], "h2", "h2"),
        (False, ["h2", "http/1.1"], "h2", "http/1.1"),
        (False, ["h2"], "h2", None),
    ],
)
def test_each_port_takes_what_it_is_there_for_of_what_a_caller_offers(
    files: dict[str, Any],
    authority: trustme.CA,
    fast_lane: bool,
    offered: list[str],
    on_data_port: str,
    on_rest_port: str | None,
) -> None:
    """Browsers and curl offer both, and could not be answered in HTTP/2."""
    with socket.create_server(("127.0.0.1", 0)) as found:
        port = found.getsockname()[1]
    api: Any = Silent()
    settings = ListenSettings(port=0, fast_lane=fast_lane, **files)
    server = CallServer(settings, [], http=HttpPort(RestSettings(rest_port=port), api))
    server.start()
    try:
        context = ssl.create_default_context(cadata=authority.cert_pem.bytes().decode())
        context.set_alpn_protocols(offered)
        for address, expected in ((server.address, on_data_port), (server.http_address, on_rest_port)):
            assert address is not None
            host, _, number = address.rpartition(":")
            with (
                socket.create_connection((host, int(number)), PATIENCE_S) as sock,
                context.wrap_socket(sock, server_hostname=host) as tls,
            ):
                assert tls.selected_alpn_protocol() == expected
    finally:
        server.stop(0)
