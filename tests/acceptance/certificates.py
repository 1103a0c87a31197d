"""Certificates with names that trustme does not make, and files of them as Kubernetes mounts them."""

from __future__ import annotations

import datetime
import os
from pathlib import Path
from typing import NamedTuple

import trustme
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec


class Pems(NamedTuple):
    """PEM texts."""

    chain: bytes
    key: bytes


def spiffe(authority: trustme.CA, uri: str) -> Pems:
    """An X509-SVID: the certificate of a workload, whose only name is a URI."""
    signer = x509.load_pem_x509_certificate(authority.cert_pem.bytes())
    signing = serialization.load_pem_private_key(authority.private_key_pem.bytes(), None)
    assert isinstance(signing, ec.EllipticCurvePrivateKey)
    key = ec.generate_private_key(ec.SECP256R1())
    now = datetime.datetime.now(datetime.timezone.utc)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([]))
        .issuer_name(signer.subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.UniformResourceIdentifier(uri)]), critical=True)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .sign(signing, hashes.SHA256())
    )
    return Pems(
        certificate.public_bytes(serialization.Encoding.PEM),
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        ),
    )


def issued(authority: trustme.CA, days: int, key_type: trustme.KeyType = trustme.KeyType.ECDSA) -> Pems:
    """A server's, valid for so long."""
    end = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(days=days)
    leaf = authority.issue_cert("localhost", "127.0.0.1", not_after=end, key_type=key_type)
    return Pems(b"".join(blob.bytes() for blob in leaf.cert_chain_pems), leaf.private_key_pem.bytes())


class Mounted:
    """A secret's folder: its files are links through ``..data`` to the folder of a version, and a new version
    is there in one step, when that link is replaced.

    Attributes:
        flags: that name the files to a server.
    """

    def __init__(self, root: Path) -> None:
        self._root = root
        self._versions = 0
        self.flags = (
            *("--tls-cert", str(root / "tls.crt"), "--tls-key", str(root / "tls.key")),
            *("--tls-client-ca", str(root / "ca.crt")),
        )

    def swap(self, pems: Pems, authority: trustme.CA) -> None:
        """The next version."""
        self._versions += 1
        version = self._root / f"..{self._versions}"
        version.mkdir()
        files = {"tls.crt": pems.chain, "tls.key": pems.key, "ca.crt": authority.cert_pem.bytes()}
        for name, content in files.items():
            (version / name).write_bytes(content)
            if self._versions == 1:
                (self._root / name).symlink_to(Path("..data") / name)
        link = self._root / "..data_tmp"
        link.symlink_to(version.name)
        os.replace(link, self._root / "..data")
