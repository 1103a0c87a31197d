"""How long the server of sockets waits for what."""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class Times:
    """Seconds.

    Attributes:
        stuck_s: after so long a peer is cut off that says nothing at first, or does not take what it is sent.
        looking_s: how often that is looked at.
        connection_share_s: what connections that have more to be looked at share, before those that have come
            meanwhile are served.
        round_s: all connections that have come; so many callers with a call each are served at once.
        linger_s: for a peer that broke the protocol to hear of it.
        long_linger_s: the same for one that may have a body to send before it listens.
        last_words_s: for the last bytes of a server, or a connection, that ends.
        handshake_s: for a caller to be through with TLS's handshake; see handshakes.CROWDED_S too.
        max_age_s: after so long, a tenth more or less, a connection is asked to go.
        age_grace_s: for its calls to end then; infinite: as long as they like.
        max_idle_s: a connection without a call for so long is asked to go; see connection_age.py.
    """

    stuck_s: float = 60.0
    looking_s: float = 10.0
    connection_share_s: float = 0.002
    round_s: float = 0.005
    linger_s: float = 0.5
    long_linger_s: float = 10.0
    last_words_s: float = 1.0
    handshake_s: float = 15.0
    max_age_s: float = math.inf
    age_grace_s: float = math.inf
    max_idle_s: float = math.inf
