"""Certificates from files to grpc's credentials."""

from __future__ import annotations

from pathlib import Path

import grpc

from hotgraph_server.errors import SettingsError
from hotgraph_server.settings import ListenSettings


def server_credentials(settings: ListenSettings) -> grpc.ServerCredentials | None:
    """Credentials for the settings; None: no TLS.

    Raises:
        SettingsError: a file cannot be read.
    """
    if not settings.tls_cert:
        return None
    pair = (_read(settings.tls_key, "tls-key"), _read(settings.tls_cert, "tls-cert"))
    if not settings.tls_client_ca:
        return grpc.ssl_server_credentials([pair])
    authority = _read(settings.tls_client_ca, "tls-client-ca")
    return grpc.ssl_server_credentials([pair], root_certificates=authority, require_client_auth=True)


def _read(path: str, flag: str) -> bytes:
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise SettingsError(f"--{flag} {path}: {error.strerror or error}") from error
