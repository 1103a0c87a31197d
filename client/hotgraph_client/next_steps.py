"""What a person at the shell can do next, after a call that failed. Pure."""

from __future__ import annotations

import grpc

from .errors import AccessDenied, Busy, HotgraphError, InvalidCall, TooLate, Unreachable

# In grpc's and our own words for a connection that did not come about, and what is the matter then.
_SIGNS = (
    (
        "does not speak HTTP/1.1",
        "is this a port for gRPC? then leave http:// away; HTTP is the server's --rest-port (8502)",
    ),
    ("Failed parsing HTTP/2", "is this a port for HTTP? then say http://HOST:PORT; gRPC is --port (8500)"),
    ("WRONG_VERSION_NUMBER", "the server speaks without TLS there: leave --tls and https:// away"),
    ("CERTIFICATE_VERIFY_FAILED", "name the authority of the server's certificate with --tls-ca"),
    ("Name or service not known", "there is no such host: check HOST:PORT"),
    ("errors resolving", "there is no such host: check HOST:PORT"),
    ("name resolution", "there is no such host: check HOST:PORT"),
)


def next_step(error: HotgraphError) -> str:
    """`; ` and what to do, for errors where the names in the call are not the matter; empty otherwise."""
    if isinstance(error, Unreachable):
        found = next((step for sign, step in _SIGNS if sign in error.details), None)
        return "; " + (
            found
            or "check HOST:PORT and whether the server is up (hotgraph serve prints 'serving on ...'), and"
            " --tls if it asks for that"
        )
    if isinstance(error, TooLate):
        return "; allow more time with --timeout-s, and check that HOST:PORT is the server's"
    if isinstance(error, AccessDenied):
        return "; check --key-file or HOTGRAPH_KEY, and --tls-ca, --tls-cert and --tls-key"
    if isinstance(error, Busy):
        when = "in a moment" if error.pushback_ms is None else f"in {error.pushback_ms} ms"
        return f"; the server is busy: try again {when}"
    if isinstance(error, InvalidCall) and error.code is grpc.StatusCode.UNIMPLEMENTED:
        return (
            "; this speaks the Open Inference Protocol (v2), which TensorFlow Serving does not know:"
            " hotgraph loadtest calls both"
        )
    return ""
