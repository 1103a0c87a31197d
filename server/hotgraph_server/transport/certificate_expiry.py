"""Until when certificates are valid, read from their bytes. Pure.

The standard library shows a certificate of its own only to tests (`ssl._ssl._test_decode_cert`), to the peer
that has verified it, and as an authority if it is one; `cryptography` would be a dependency of every server,
with a library of its own, for one date. What is needed of DER for it is a length in front of each value
(X.690, section 8.1) and the order of the first fields of a certificate (RFC 5280, section 4.1):

    Certificate { TBSCertificate { [0] version?, serial, algorithm, issuer, Validity { notBefore, notAfter }

Nothing here decides whether a certificate is good: TLS does. What cannot be read has no date.
"""

from __future__ import annotations

import binascii
import datetime
import re
from collections.abc import Iterator

_PEM = re.compile(
    rb"-----BEGIN (?:X509 |TRUSTED )?CERTIFICATE-----(.*?)-----END (?:X509 |TRUSTED )?CERTIFICATE-----",
    re.DOTALL,
)

_SEQUENCE, _VERSION = 0x30, 0xA0
_UTC_TIME, _GENERALIZED_TIME = 0x17, 0x18
_FIELDS_BEFORE_VALIDITY = 3


def expiries(pems: bytes) -> list[float]:
    """The last moments at which the certificates of a PEM text are valid, in their order, seconds since 1970;
    those that cannot be read are left out."""
    found = []
    for match in _PEM.finditer(pems):
        try:
            found.append(expiry(binascii.a2b_base64(match.group(1))))
        except ValueError:
            continue
    return found


def expiry(der: bytes) -> float:
    """The same of one certificate, DER.

    Raises:
        ValueError: it is none.
    """
    (certificate,) = _only(_values(der), 1)
    signed, *_ = _only(_values(_content(certificate, _SEQUENCE)), 3)
    fields = _values(_content(signed, _SEQUENCE))
    first = next(fields, None)
    for _ in range(_FIELDS_BEFORE_VALIDITY - (first is not None and first[0] != _VERSION)):
        next(fields, None)
    validity = next(fields, None)
    if validity is None:
        raise ValueError("the certificate is cut off")
    _, until = _only(_values(_content(validity, _SEQUENCE)), 2)
    return _moment(*until)


Value = tuple[int, bytes]
"""A tag and what it stands before."""


def _values(der: bytes) -> Iterator[Value]:
    """The values that lie behind one another. Raises ValueError."""
    at = 0
    while at < len(der):
        if at + 2 > len(der):
            raise ValueError("a value is cut off")
        tag, length = der[at], der[at + 1]
        at += 2
        if length & 0x80:
            size = length & 0x7F
            # More than four bytes of length are no certificate, and none at all is not DER.
            if not 1 <= size <= 4 or at + size > len(der):
                raise ValueError("a length cannot be read")
            length = int.from_bytes(der[at : at + size], "big")
            at += size
        if at + length > len(der):
            raise ValueError("a value is cut off")
        yield tag, der[at : at + length]
        at += length


def _only(values: Iterator[Value], count: int) -> list[Value]:
    found = list(values)
    if len(found) != count:
        raise ValueError(f"{len(found)} values where a certificate has {count}")
    return found


def _content(value: Value, tag: int) -> bytes:
    if value[0] != tag:
        raise ValueError(f"a value of type {value[0]:#x} where a certificate has {tag:#x}")
    return value[1]


def _moment(tag: int, text: bytes) -> float:
    # RFC 5280, section 4.1.2.5: in UTC, with seconds, and nothing else. Of two digits of a year 50 is 1950.
    if tag == _UTC_TIME and re.fullmatch(rb"\d{12}Z", text):
        century = b"19" if text[:2] >= b"50" else b"20"
        text = century + text
    elif tag != _GENERALIZED_TIME or not re.fullmatch(rb"\d{14}Z", text):
        raise ValueError("no time that a certificate can have")
    moment = datetime.datetime.strptime(text.decode(), "%Y%m%d%H%M%SZ")
    return moment.replace(tzinfo=datetime.timezone.utc).timestamp()
