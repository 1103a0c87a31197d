"""The gate that calls come through where their owner has made rules; where he has made none there is no gate.

Asked once for each call, when its headers are there and before its message is: a caller that may not call
cannot make the server read. A stream is one call: when a key is taken back, the streams that it has opened go
on to their end.
"""

from __future__ import annotations

import logging
from pathlib import Path

from hotgraph_server.access.groups import GRPC, Group, Method
from hotgraph_server.access.restricted import OVER_GRPC, OVER_HTTP, restricted_in
from hotgraph_server.access.rules import Header, Rules, read_rules
from hotgraph_server.errors import CallError, SettingsError
from hotgraph_server.settings import AccessSettings

_LOG = logging.getLogger(__name__)


class Gate:
    """Says who may not pass. Any thread may call it; `renew` belongs to one.

    Attributes:
        rules: that hold; swapped whole.
        restricted: protocols of gRPC that need a header, as Triton has it.
        restricted_http: what needs one over HTTP.

    Raises:
        SettingsError: a rule cannot be read.
    """

    def __init__(self, settings: AccessSettings) -> None:
        self._file = Path(settings.auth).expanduser() if settings.auth else None
        self.restricted = restricted_in(settings.grpc_restricted_protocol, OVER_GRPC)
        self.restricted_http = restricted_in(settings.http_restricted_api, OVER_HTTP)
        self.rules = read_rules(self._file) if self._file is not None else Rules()

    def of_path(self, path: str, header: Header) -> CallError | None:
        """Why a call of gRPC may not be made; None: it may, or is none of ours.

        Args:
            path: ``/SERVICE/METHOD``.
        """
        method = GRPC.get(path)
        if method is None:
            return None
        refusal = self.restricted.refusal(method.protocol, header)
        if refusal is None and method.group is not None:
            refusal = self.rules.refusal(method.group, header)
        return refusal

    def of_request(self, method: Method, header: Header) -> CallError | None:
        """Why a request to the REST port may not be made; None: it may."""
        refusal = self.restricted_http.refusal(method.protocol, header)
        if refusal is None and method.group is not None:
            refusal = self.rules.refusal(method.group, header)
        return refusal

    def of(self, group: Group, header: Header) -> CallError | None:
        """Why a page of the admin port may not be had; None: it may."""
        return self.rules.refusal(group, header)

    def renew(self) -> None:
        """Read the rules again. Those that cannot be read change nothing, and the log says why."""
        if self._file is None:
            return
        try:
            self.rules = read_rules(self._file)
        except SettingsError as error:
            _LOG.error("who may call what stays as it is: %s", error)
        else:
            _LOG.info("%s was read again, and holds", self._file)


def gate_of(settings: AccessSettings) -> Gate | None:
    """The gate; None: no rules have been made.

    Raises:
        SettingsError: a rule cannot be read.
    """
    made = settings.auth or settings.grpc_restricted_protocol or settings.http_restricted_api
    return Gate(settings) if made else None
