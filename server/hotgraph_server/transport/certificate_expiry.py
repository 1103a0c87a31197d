"""Until when certificates are valid, read from their bytes. Pure.

The standard library tells that to nobody but the peer that has verified a certificate, so `cryptography`
reads them. It takes a tenth of a second to import, and is imported where there is TLS alone.

Nothing here decides whether a certificate is good: TLS does. What cannot be read has no date.
"""

from __future__ import annotations

import re

# As OpenSSL reads them: texts around and between them do not count. X509's own label is the older one.
_PEM = re.compile(rb"-----BEGIN (X509 )?CERTIFICATE-----.*?-----END (X509 )?CERTIFICATE-----", re.DOTALL)


def expiries(pems: bytes) -> list[float]:
    """The last moments at which the certificates of a PEM text are valid, in their order, seconds since 1970;
    those that cannot be read are left out."""
    from cryptography import x509

    found = []
    for match in _PEM.finditer(pems):
        try:
            certificate = x509.load_pem_x509_certificate(match.group())
            found.append(certificate.not_valid_after_utc.timestamp())
        except ValueError:
            continue
    return found
