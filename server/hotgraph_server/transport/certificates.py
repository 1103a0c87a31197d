"""The certificate that a server shows, its key, and the authorities of its callers, as their files have
them now.

When they are looked at. Once a second, in a thread of its own, whether anybody calls or not; nothing is
looked at in a handshake. The files are read, and what they hold is compared with what is in use: a link
that leads elsewhere (Kubernetes swaps ``..data``), a file that is moved into the place of another and one
that is written over within one tick of the disk's clock are seen alike, and what is not changed costs three
reads of some kB.

What becomes of a change. The three go together. If certificate and key fit and the authorities can be read,
all handshakes that begin from then on take the new ones; connections that are open go on
(`--max-connection-age-s` ends them). If not, or if a file is missing, the old ones stay in use, and the log
says why, once for each change: when the next look finds the same again, so that one which falls between two
writes is no news.

What is said of their end. The log warns from seven days before the certificate's end, once a day;
`expiries` is for the metrics.

Threads. `look` is the thread's own, or a test's; the rest may be called by any, and reads what is swapped
whole.
"""

from __future__ import annotations

import logging
import ssl
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import NamedTuple

import grpc

from hotgraph_server.errors import StartError
from hotgraph_server.settings import ListenSettings
from hotgraph_server.threads.periodic import PeriodicThread
from hotgraph_server.transport import tls
from hotgraph_server.transport.certificate_expiry import expiries
from hotgraph_server.transport.tls import Pems

_LOG = logging.getLogger(__name__)

LOOK_S = 1.0
"""How often files are looked at, seconds."""

# Texts do not change, but have an end as well.
_LOOK_AT_TEXTS_S = 3600.0
_DAY_S = 86_400.0
_WARN_BEFORE_S = 7 * _DAY_S

SERVER, CLIENT_CA = "server", "client_ca"


class _Used(NamedTuple):
    """What handshakes take, swapped whole.

    Attributes:
        contexts: Python's, by the protocols that are offered.
        ends: until when they are valid, seconds since 1970, by SERVER and CLIENT_CA.
    """

    pems: Pems
    contexts: Mapping[tuple[str, ...], ssl.SSLContext]
    ends: Mapping[str, float]


class Certificates:
    """Of one server. The constructor starts nothing.

    Args:
        settings: which files.
        clock: seconds since 1970.

    Raises:
        SettingsError: a file cannot be read.
        StartError: certificate and key do not fit, or a file holds something else.
    """

    def __init__(self, settings: ListenSettings, clock: Callable[[], float] = time.time) -> None:
        self._settings = settings
        self._clock = clock
        self._used = _used(tls.read_pems(settings), [("h2",)])
        self._wrong: Pems | str | None = None  # what the last look has found, and could not be used
        self._told = False  # of that
        self._warned_at = 0.0  # of its end
        self._look_s = LOOK_S if tls.names_files(settings) else _LOOK_AT_TEXTS_S
        self._thread = PeriodicThread("certificates", self._tick)

    def start(self) -> None:
        """Look from now on."""
        self._thread.start()

    def stop(self, timeout_s: float) -> None:
        """Look no more."""
        self._thread.stop(timeout_s)

    @property
    def expiries(self) -> Mapping[str, float]:
        """Until when what is in use is valid, seconds since 1970: ``server``, of the certificate and those
        behind it the one that ends first; ``client_ca``, of the authorities the one that ends last, since a
        file that is being renewed holds old and new ones. What cannot be read of them is left out."""
        return self._used.ends

    def context(self, protocols: Sequence[str]) -> Callable[[], ssl.SSLContext]:
        """What says which context the next handshake takes, before `start`; any thread may ask it then.

        Args:
            protocols: that are spoken, as ALPN calls them; the first of them that a caller offers is taken.
        """
        key = tuple(protocols)
        self._used = _used(self._used.pems, [*self._used.contexts, key])
        return lambda: self._used.contexts[key]

    def credentials(self) -> grpc.ServerCredentials:
        """The same for grpc, which asks at each handshake."""
        shown = self._used.pems

        def fetch() -> grpc.ServerCertificateConfiguration | None:
            nonlocal shown
            pems = self._used.pems
            if pems is shown:
                return None
            shown = pems
            return tls.configuration_of(pems)

        return grpc.dynamic_ssl_server_credentials(
            tls.configuration_of(shown),
            fetch,  # type: ignore[arg-type]  # None is what it may return, to keep what there is
            require_client_authentication=bool(shown.authorities),
        )

    def look(self) -> None:
        """Take what the files hold now, if it is new and can be used."""
        found: Pems | str
        try:
            found = tls.read_pems(self._settings)
        except StartError as error:
            found = why = str(error)
        if found == self._used.pems:
            self._wrong = None
            return
        is_news = found != self._wrong
        if not is_news and self._told:
            return
        if isinstance(found, Pems):
            try:
                self._used = _used(found, self._used.contexts)
            except StartError as error:
                why = str(error)
            else:
                self._wrong = None
                _LOG.info("TLS: the certificate files have changed, and count from now on")
                return
        self._wrong, self._told = found, not is_news
        if not is_news:
            _LOG.warning("TLS: the certificate that is in use stays: %s", why)

    def warn_of_the_end(self) -> None:
        """Warn if the certificate ends soon, once a day."""
        now, end = self._clock(), self.expiries.get(SERVER)
        # Of a clock that was set back too.
        if end is None or end - now > _WARN_BEFORE_S or 0 <= now - self._warned_at < _DAY_S:
            return
        self._warned_at = now
        if end <= now:
            _LOG.warning("TLS: the server's certificate has expired: callers will refuse it")
        else:
            left = f"{(end - now) / _DAY_S:.1f} days"
            _LOG.warning("TLS: the server's certificate expires in %s; put a new one into its files", left)

    def _tick(self) -> float:
        self.look()
        self.warn_of_the_end()
        return time.monotonic() + self._look_s


def _used(pems: Pems, protocols: Iterable[tuple[str, ...]]) -> _Used:
    """Raises StartError: they cannot be used."""
    ends = {}
    if chain := expiries(pems.chain):
        ends[SERVER] = min(chain)
    if authorities := expiries(pems.authorities):
        ends[CLIENT_CA] = max(authorities)
    return _Used(pems, {one: tls.context_of(pems, one) for one in protocols}, ends)
