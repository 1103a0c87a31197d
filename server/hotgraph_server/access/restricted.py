"""Triton's ``--grpc-restricted-protocol`` and ``--http-restricted-api``: a header that calls of some
protocols need. Pure.

    PROTOCOL[,PROTOCOL...]:KEY=VALUE

The header is ``triton-grpc-protocol-KEY: VALUE`` over gRPC, and ``KEY: VALUE`` over HTTP; each flag is about
its own side alone. A protocol is restricted once by each. What is refused when the
server starts, and in which words, is as in Triton; so is that VALUE may have any character.
"""

from __future__ import annotations

import hmac
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from hotgraph_server.access.groups import PROTOCOLS
from hotgraph_server.access.rules import Header
from hotgraph_server.errors import ApiRestricted, CallError, ProtocolRestricted, SettingsError

# What gRPC takes in a name of metadata, in lower case as it arrives; HTTP would take some more.
_KEY = re.compile(r"[0-9a-z_.-]+")


class Flag(NamedTuple):
    """One of the two flags.

    Attributes:
        name: of it.
        prefix: what the header's name begins with.
        refusal: the error of a call without the header, by its name.
    """

    name: str
    prefix: str
    refusal: Callable[[str], CallError]


OVER_GRPC = Flag("--grpc-restricted-protocol", "triton-grpc-protocol-", ProtocolRestricted)
OVER_HTTP = Flag("--http-restricted-api", "", ApiRestricted)


@dataclass(frozen=True)
class Restricted:
    """Which protocols need a header.

    Attributes:
        headers: name and value of the header, by protocol.
        flag: that said so.
    """

    headers: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    flag: Flag = OVER_GRPC

    def refusal(self, protocol: str, header: Header) -> CallError | None:
        """Why a call with these headers may not use the protocol; None: it may."""
        expected = self.headers.get(protocol)
        if expected is None:
            return None
        name, value = expected
        given = header(name)
        if given is not None and hmac.compare_digest(_bytes(given), _bytes(value)):
            return None
        return self.flag.refusal(name)


def restricted_in(options: Sequence[str], flag: Flag = OVER_GRPC) -> Restricted:
    """What the values of a flag amount to.

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
                f"{flag.name} takes PROTOCOL[,PROTOCOL...]:KEY=VALUE, and one was given that is not so"
            )
        name = flag.prefix + key.lower()
        if not _KEY.fullmatch(key.lower()) or name.endswith("-bin"):
            raise SettingsError(f"{flag.name}: {key!r} cannot be part of the name of a header")
        for protocol in protocols.split(","):
            if protocol not in PROTOCOLS:
                raise SettingsError(
                    f"{flag.name}: unknown restricted protocol {protocol!r}; there are {', '.join(PROTOCOLS)}"
                )
            if protocol in headers:
                raise SettingsError(
                    f"{flag.name}: restricted protocol '{protocol}' can not be specified in multiple config"
                    " groups"
                )
            headers[protocol] = (name, value)
    return Restricted(headers, flag)


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")
