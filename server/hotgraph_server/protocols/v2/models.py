"""Which version and signature a request means, and what to say when there is none."""

from __future__ import annotations

from hotgraph_server.errors import InvalidCall, NotFound, NotReady
from hotgraph_server.models.registry import Registry
from hotgraph_server.models.status import State
from hotgraph_server.models.version import Version
from hotgraph_server.signatures import Signature


def find(registry: Registry, name: str, number: int | None) -> Version:
    """The live version of that name and number; without a number the highest one.

    Raises:
        NotFound: there is none.
        NotReady: it is loading or leaving.
        NotLoaded: its model is loaded when it is called.
    """
    found = registry.find(name, number)
    if found is None:
        registry.check_loaded(name)
        which = f"'{name}' version {number}" if number is not None and registry.find(name) else f"'{name}'"
        raise NotFound(f"Request for unknown model: {which} is not found")
    if found.state is not State.LIVE:
        raise NotReady(f"Request for unknown model: {found.title} is not at ready state")
    return found


def requested_number(version: str) -> int | None:
    """A version as requests spell it; None: whichever is the highest.

    Raises:
        InvalidCall: it is no number.
    """
    if not version:
        return None
    if version.startswith("-") and version[1:].isdecimal():
        raise InvalidCall(f"invalid model version specified '{version}'")
    if not (version.isascii() and version.isdecimal() and len(version) <= 18):
        raise InvalidCall(f"failed to get model version from specified version string '{version}'")
    return int(version)


def signature_of(version: Version, name: str) -> Signature:
    """The signature of that name; an empty name means the default one.

    Raises:
        InvalidCall: there is none, or it cannot be called.
    """
    signature = version.signatures.get(name) if name else version.default_signature
    if signature is not None:
        return signature
    if name in version.unusable:
        raise InvalidCall(
            f"signature '{name}' of model '{version.name}' cannot be called: {version.unusable[name]}"
        )
    missing = f"no signature '{name}'" if name else "no default signature"
    raise InvalidCall(
        f"model '{version.name}' has {missing}; the request parameter 'signature_name' takes one of "
        f"{sorted(version.signatures)}"
    )
