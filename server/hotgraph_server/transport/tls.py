"""Certificates, for both servers: from files, or from the PEM texts themselves."""

from __future__ import annotations

import os
import ssl
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import grpc

from hotgraph_server.errors import SettingsError, StartError
from hotgraph_server.settings import ListenSettings

_PEM = "-----BEGIN "


def server_context(settings: ListenSettings, protocols: Sequence[str] = ("h2",)) -> ssl.SSLContext | None:
    """What Python's TLS needs for the settings; None: no TLS.

    Args:
        protocols: that are spoken, as ALPN calls them; the first of them that a caller offers is taken.

    Raises:
        SettingsError: a file cannot be read.
        StartError: certificate and key do not fit, or a file holds something else.
    """
    if not settings.tls_cert:
        return None
    for setting, flag in (
        (settings.tls_key, "tls-key"),
        (settings.tls_cert, "tls-cert"),
        (settings.tls_client_ca, "tls-client-ca"),
    ):
        if setting:
            _read(setting, flag)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    # HTTP/2 forbids it (RFC 9113, section 9.2.1).
    context.options |= ssl.OP_NO_RENEGOTIATION
    context.set_alpn_protocols(list(protocols))
    try:
        with _file(settings.tls_cert) as cert_file, _file(settings.tls_key) as key_file:
            # Without a word of ours an encrypted key's would be asked for on the terminal.
            context.load_cert_chain(cert_file, key_file, password=lambda: b"")
        if settings.tls_client_ca:
            with _file(settings.tls_client_ca) as authority_file:
                context.load_verify_locations(authority_file)
            context.verify_mode = ssl.CERT_REQUIRED
    except (ssl.SSLError, ValueError) as error:
        raise StartError(
            f"cannot use the TLS files: the certificate and key do not fit, or are no PEM files ({error})"
        ) from error
    return context


def server_credentials(settings: ListenSettings) -> grpc.ServerCredentials | None:
    """What grpc's TLS needs for the settings; None: no TLS.

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


def _read(setting: str, flag: str) -> bytes:
    """What a setting stands for: a file's content, or itself where it is PEM text."""
    if _PEM in setting:
        return setting.encode()
    try:
        return Path(setting).read_bytes()
    except OSError as error:
        raise SettingsError(f"--{flag} {setting}: {error.strerror or error}") from error


@contextmanager
def _file(setting: str) -> Iterator[str]:
    """The name of the file that a setting stands for, for what reads files only.

    PEM text lies in one that is on no disk where the system has such, and elsewhere in one that no other
    user can read; it is gone when it has been read.
    """
    if _PEM not in setting:
        yield setting
    elif hasattr(os, "memfd_create"):
        with os.fdopen(os.memfd_create("pem"), "wb") as file:
            file.write(setting.encode())
            file.flush()
            yield f"/proc/self/fd/{file.fileno()}"
    else:
        with tempfile.NamedTemporaryFile(prefix="hotgraph-") as named:
            named.write(setting.encode())
            named.flush()
            yield named.name
