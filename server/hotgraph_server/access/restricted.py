"""Triton's ``--grpc-restricted-protocol``: a header that calls of some protocols need. Pure.

    PROTOCOL[,PROTOCOL...]:KEY=VALUE

The header is ``triton-grpc-protocol-KEY: VALUE``. A protocol is restricted once. What is refused when the
server starts, and in which words, is as in Triton; so is that VALUE may have any character.
"""

from __future__ import annotations

import hmac
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from hotgraph_server.access.groups import PROTOCOLS
from hotgraph_server.access.rules import Header
from hotgraph_server.errors import CallError, ProtocolRestricted, SettingsError

_FLAG = "--grpc-restricted-protocol"
_PREFIX = "triton-grpc-protocol-"
# What gRPC takes in a name of metadata, in lower case as it arrives.
_KEY = re.compile(r"[0-9a-z_.-]+")


@dataclass(frozen=True)
class Restricted:
    """Which protocols need a header.

    Attributes:
        headers: name and value of the header, by protocol.
    """

    headers: Mapping[str, tuple[str, str]] = field(default_factory=dict)

    def refusal(self, protocol: str, header: Header) -> CallError | None:
        """Why a call with these headers may not use the protocol; None: it may."""
        expected = self.headers.get(protocol)
        if expected is None:
            return None
        name, value = expected
        given = header(name)
        if given is not None and hmac.compare_digest(_bytes(given), _bytes(value)):
            return None
        return ProtocolRestricted(name)


def restricted_in(options: Sequence[str]) -> Restricted:
    """What the values of the flag amount to.

    Raises:
        SettingsError: one is not as it must be.
    """
    headers: dict[str, tuple[str, str]] = {}
    for option in options:
        protocols, colon, rest = option.partition(":")
        key, equals, value = rest.partition("=")
        if not (protocols and colon and key and equals and value):
            # The value is a secret, and may stand where none is looked for.
            raise SettingsError(
                f"{_FLAG} takes PROTOCOL[,PROTOCOL...]:KEY=VALUE, and one was given that is not so"
            )
        name = _PREFIX + key.lower()
        if not _KEY.fullmatch(key.lower()) or name.endswith("-bin"):
            raise SettingsError(f"{_FLAG}: {key!r} cannot be part of the name of a header")
        for protocol in protocols.split(","):
            if protocol not in PROTOCOLS:
                raise SettingsError(
                    f"{_FLAG}: unknown restricted protocol {protocol!r}; there are {', '.join(PROTOCOLS)}"
                )
            if protocol in headers:
                raise SettingsError(
                    f"{_FLAG}: restricted protocol '{protocol}' can not be specified in multiple config"
                    " groups"
                )
            headers[protocol] = (name, value)
    return Restricted(headers)


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")
