"""Which answers carry a load report, and the header that it is.

asked   those whose caller asks (messages.FORMAT_HEADER), over gRPC and over HTTP
always  all, for balancers that ask for nothing: gRPC's weighted_round_robin and Envoy's
never   none
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping

from hotgraph_server.observability.load.report import LoadReport
from hotgraph_server.protocols.orca import messages
from hotgraph_server.settings.load_reports import ALWAYS, ASKED
from hotgraph_server.transport.load_trailers import LoadTrailers, Trailer

Report = Callable[[], LoadReport]


class ReportHeaders:
    """Makes each header once for as long as a report is the same. Any thread may call everything.

    Args:
        report: the present one; the same object as long as it has not changed.
        to_whom: one of the words above.
    """

    def __init__(self, report: Report, to_whom: str) -> None:
        self._report = report
        self._always = to_whom == ALWAYS
        self._answers = self._always or to_whom == ASKED
        # With the report that they were made of; swapped whole.
        self._made: tuple[LoadReport, dict[str, Trailer | None]] = LoadReport(), {}

    def over_grpc(self) -> LoadTrailers | None:
        """For the transport; None: no answer carries a report."""
        return LoadTrailers(messages.FORMAT_HEADER, self._of, always=self._always) if self._answers else None

    def over_http(self, headers: Mapping[str, str]) -> tuple[tuple[str, str], ...]:
        """What the answer to a request with such headers says."""
        asked = headers.get(messages.FORMAT_HEADER)
        if not self._answers or (asked is None and not self._always):
            return ()
        trailer = self._of(asked or "")
        if trailer is None:
            return ()
        name, value = trailer
        return ((name, value if isinstance(value, str) else base64.b64encode(value).decode()),)

    def _of(self, asked: str) -> Trailer | None:
        """What is sent to a caller who asks for this format; empty: for none."""
        wanted = asked.strip().lower() or messages.MESSAGE
        if wanted not in messages.FORMATS:
            return None
        report = self._report()
        made_of, made = self._made
        if made_of is not report:
            made = {}
            self._made = report, made
        if wanted not in made:
            made[wanted] = messages.header(report, wanted)
        return made[wanted]
