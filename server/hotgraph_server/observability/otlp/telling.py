"""What the log says of a collector: once that it cannot be reached and why, and once that it can be again.

OpenTelemetry's exporters say it with each export, several times over; their words are kept as the reason, and
go no further.
"""

from __future__ import annotations

import logging

_LOG = logging.getLogger(__name__)

_MAX_REASON = 200


class Reach:
    """Belongs to one thread.

    Args:
        what: that is sent: ``spans``, ``metrics``.
        unit: that is counted: ``calls``.
        url: where to.
        said_by: the exporter's logger.
    """

    def __init__(self, what: str, unit: str, url: str, said_by: logging.Logger | None = None) -> None:
        self._what = what
        self._unit = unit
        self._url = url
        self._lost = 0
        self._heard = _Hearing()
        if said_by is not None:
            said_by.addHandler(self._heard)
            said_by.propagate = False

    def failed(self, count: int, why: str = "") -> None:
        """So many could not be sent; without a reason it is what the exporter has said."""
        if not self._lost:
            reason = " ".join((why or self._heard.last or "unknown").split())[:_MAX_REASON]
            _LOG.warning(
                "%s are lost, calls are answered as ever: %s cannot be reached: %s",
                *(self._what, self._url, reason),
            )
        self._lost += count

    def arrived(self) -> None:
        """Something could be sent."""
        if self._lost:
            _LOG.warning("%s arrive again; those of %d %s were lost", self._what, self._lost, self._unit)
            self._lost = 0
        # The next time it may be for another reason.
        self._heard.last = ""


class _Hearing(logging.Handler):
    """Keeps the first thing that says why, of each export: later ones say that it was given up."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.last = ""

    def emit(self, record: logging.LogRecord) -> None:
        text = record.getMessage()
        if not self.last or "timeout, max retries" not in text:
            self.last = text
