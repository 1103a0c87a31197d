"""What a caller says about TLS. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import grpc


@dataclass(frozen=True)
class Tls:
    """TLS to the server; all PEM, as bytes.

    Attributes:
        root_certificates: who may sign the server's certificate; None for gRPC's default roots, over HTTP the
            system's.
        private_key: this client's key, for servers that ask for one (mutual TLS).
        certificate_chain: the certificate that belongs to the key.
        server_name: the name to look for in the server's certificate, where it is not that of the address.

    Raises:
        ValueError: a key without certificate or the reverse, or something that is not PEM.
    """

    root_certificates: bytes | None = None
    private_key: bytes | None = field(default=None, repr=False)
    certificate_chain: bytes | None = None
    server_name: str | None = None

    def __post_init__(self) -> None:
        if (self.private_key is None) != (self.certificate_chain is None):
            raise ValueError("private_key and certificate_chain belong together: give both or neither")
        for name in ("root_certificates", "private_key", "certificate_chain"):
            value = getattr(self, name)
            if value is not None and not (isinstance(value, bytes) and b"-----BEGIN" in value):
                raise ValueError(f"{name} must be the bytes of a PEM file; Tls.from_files takes paths")

    @classmethod
    def from_files(
        cls,
        root_certificates: str | Path | None = None,
        private_key: str | Path | None = None,
        certificate_chain: str | Path | None = None,
        server_name: str | None = None,
    ) -> Tls:
        """The same from paths of PEM files, read now.

        Raises:
            OSError: a file cannot be read.
            ValueError: as the constructor.
        """
        roots, key, chain = (
            None if path is None else Path(path).read_bytes()
            for path in (root_certificates, private_key, certificate_chain)
        )
        return cls(roots, key, chain, server_name)

    def credentials(self) -> grpc.ChannelCredentials:
        """gRPC's form of these settings."""
        import grpc  # which whoever sends calls by itself need not load

        return grpc.ssl_channel_credentials(self.root_certificates, self.private_key, self.certificate_chain)
