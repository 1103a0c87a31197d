"""What TLS needs, for both servers: read from files, or from the PEM texts themselves. When it is read, and
what becomes of what cannot be used: certificates.py."""

from __future__ import annotations

import os
import ssl
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import grpc

from hotgraph_server.errors import SettingsError, StartError
from hotgraph_server.settings import ListenSettings

_PEM = "-----BEGIN "


class Pems(NamedTuple):
    """What the files hold, each PEM.

    Attributes:
        chain: the server's certificate and those behind it.
        key: of the certificate.
        authorities: that sign clients' certificates; empty: callers need none.
    """

    chain: bytes
    key: bytes
    authorities: bytes = b""


def names_files(settings: ListenSettings) -> bool:
    """May what the settings stand for change?"""
    given = (settings.tls_cert, settings.tls_key, settings.tls_client_ca)
    return any(one and _PEM not in one for one in given)


def read_pems(settings: ListenSettings) -> Pems:
    """What the settings stand for now.

    Raises:
        SettingsError: a file cannot be read, or has nothing in it; the text has its flag and its name.
    """
    key = _read(settings.tls_key, "tls-key")
    chain = _read(settings.tls_cert, "tls-cert")
    authorities = _read(settings.tls_client_ca, "tls-client-ca") if settings.tls_client_ca else b""
    return Pems(chain, key, authorities)


def check(settings: ListenSettings) -> None:
    """Raises StartError: there is to be TLS, and its files cannot be read or used."""
    if settings.tls_cert:
        context_of(read_pems(settings))


def context_of(pems: Pems, protocols: Sequence[str] = ("h2",)) -> ssl.SSLContext:
    """What Python's TLS needs.

    Args:
        protocols: that are spoken, as ALPN calls them; the first of them that a caller offers is taken.

    Raises:
        StartError: certificate and key do not fit, or a text is something else.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    # HTTP/2 forbids it (RFC 9113, section 9.2.1).
    context.options |= ssl.OP_NO_RENEGOTIATION
    context.set_alpn_protocols(list(protocols))
    try:
        with _file(pems.chain) as cert_file, _file(pems.key) as key_file:
            # Without a word of ours an encrypted key's would be asked for on the terminal.
            context.load_cert_chain(cert_file, key_file, password=lambda: b"")
        if pems.authorities:
            context.load_verify_locations(cadata=pems.authorities.decode("ascii", "replace"))
            context.verify_mode = ssl.CERT_REQUIRED
    except (ssl.SSLError, ValueError) as error:
        raise StartError(
            f"cannot use the TLS files: the certificate and key do not fit, or are no PEM files ({error})"
        ) from error
    return context


def configuration_of(pems: Pems) -> grpc.ServerCertificateConfiguration:
    """What grpc's TLS needs, of what `context_of` has taken."""
    return grpc.ssl_server_certificate_configuration([(pems.key, pems.chain)], pems.authorities or None)


def _read(setting: str, flag: str) -> bytes:
    """What a setting stands for: a file's content, or itself where it is PEM text."""
    if _PEM in setting:
        return setting.encode()
    try:
        content = Path(setting).read_bytes()
    except OSError as error:
        raise SettingsError(f"--{flag} {setting}: {error.strerror or error}") from error
    if not content.strip():
        # It is being written. Of authorities, nothing would ask callers for no certificate at all.
        raise SettingsError(f"--{flag} {setting}: the file is empty")
    return content


@contextmanager
def _file(text: bytes) -> Iterator[str]:
    """The name of a file that holds a text, for what reads files only: of the key and the certificate, what
    was read at one moment, and not what is in their files a moment later.

    It lies in one that is on no disk where the system has such, and elsewhere in one that no other user can
    read; it is gone when it has been read.
    """
    if hasattr(os, "memfd_create"):
        with os.fdopen(os.memfd_create("pem"), "wb") as file:
            file.write(text)
            file.flush()
            yield f"/proc/self/fd/{file.fileno()}"
    else:
        with tempfile.NamedTemporaryFile(prefix="hotgraph-") as named:
            named.write(text)
            named.flush()
            yield named.name
