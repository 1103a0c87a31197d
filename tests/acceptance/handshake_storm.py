"""A program: opens so many connections, says so, shakes hands on all at once, and says how many were through.

    python handshake_storm.py PORT COUNT CA_FILE

In a process of its own, so that a caller beside it does not share an interpreter with it.
"""

from __future__ import annotations

import selectors
import socket
import ssl
import sys
import time

PATIENCE_S = 60.0


def storm(port: int, count: int, ca_file: str) -> int:
    """Returns how many were through."""
    context = ssl.create_default_context(cafile=ca_file)
    context.set_alpn_protocols(["h2"])
    selector = selectors.DefaultSelector()
    through: list[ssl.SSLSocket] = []
    sockets = [socket.create_connection(("127.0.0.1", port), PATIENCE_S) for _ in range(count)]
    for sock in sockets:
        sock.setblocking(False)
        tls = context.wrap_socket(sock, server_hostname="localhost", do_handshake_on_connect=False)
        selector.register(tls, selectors.EVENT_WRITE)
    shaking = len(sockets)
    print("connected", flush=True)
    give_up_at = time.monotonic() + PATIENCE_S
    while shaking and time.monotonic() < give_up_at:
        for key, _ in selector.select(1.0):
            tls = key.fileobj  # type: ignore[assignment]
            try:
                tls.do_handshake()
            except ssl.SSLWantReadError:
                selector.modify(tls, selectors.EVENT_READ)
                continue
            except OSError:
                pass
            else:
                through.append(tls)
            selector.unregister(tls)
            shaking -= 1
    return len(through)


if __name__ == "__main__":
    print(storm(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]))
