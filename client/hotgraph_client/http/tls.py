"""TLS settings as the standard library takes them."""

from __future__ import annotations

import ssl
import tempfile
from pathlib import Path

from ..tls import Tls


def tls_context(tls: Tls | None, protocol: str = "http/1.1") -> ssl.SSLContext:
    """What checks a server's certificate, and shows ours.

    Args:
        tls: None for the system's authorities.
        protocol: that is asked for, by its name in ALPN.

    Raises:
        ValueError: a certificate or key that cannot be read, or a pair that does not belong together.
    """
    roots = None if tls is None else tls.root_certificates
    try:
        context = ssl.create_default_context(cadata=None if roots is None else roots.decode("ascii"))
        # some proxies speak HTTP/2 unless told otherwise
        context.set_alpn_protocols([protocol])
        if tls is not None and tls.private_key is not None and tls.certificate_chain is not None:
            _show(context, tls.private_key, tls.certificate_chain)
    except (ssl.SSLError, UnicodeDecodeError) as error:
        raise ValueError(f"TLS settings that cannot be read as PEM: {error}") from None
    return context


def _show(context: ssl.SSLContext, private_key: bytes, certificate_chain: bytes) -> None:
    # the standard library takes a certificate from files alone; the folder is its owner's
    with tempfile.TemporaryDirectory(prefix="hotgraph-") as folder:
        key, chain = Path(folder, "key.pem"), Path(folder, "chain.pem")
        key.write_bytes(private_key)
        chain.write_bytes(certificate_chain)
        # asked for nothing: a key that wants a password is refused instead of a prompt
        context.load_cert_chain(chain, key, password="")
