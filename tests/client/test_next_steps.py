"""next_steps.py: what to do after a call that failed."""

from __future__ import annotations

import grpc
import pytest

from hotgraph_client.errors import from_status
from hotgraph_client.next_steps import next_step

Code = grpc.StatusCode


@pytest.mark.parametrize(
    ("code", "details", "step"),
    [
        (Code.UNAVAILABLE, "what answers does not speak HTTP/1.1: BadStatusLine", "leave http:// away"),
        (Code.UNAVAILABLE, "Failed parsing HTTP/2 (Expected SETTINGS frame)", "say http://HOST:PORT"),
        (Code.UNAVAILABLE, "Tls handshake failed: WRONG_VERSION_NUMBER", "leave --tls"),
        (Code.UNAVAILABLE, "CERTIFICATE_VERIFY_FAILED: self signed", "--tls-ca"),
        (Code.UNAVAILABLE, "DNS: Name or service not known", "no such host"),
        (
            Code.UNAVAILABLE,
            "errors resolving nohost.invalid:1: [field:hostname lookup error]",
            "no such host",
        ),
        (Code.UNAVAILABLE, "Connection refused", "whether the server is up"),
        (Code.DEADLINE_EXCEEDED, "", "--timeout-s"),
        (Code.UNAUTHENTICATED, "", "--key-file"),
        (Code.RESOURCE_EXHAUSTED, "", "try again in a moment"),
        (Code.UNIMPLEMENTED, "", "TensorFlow Serving"),
    ],
)
def test_each_failure_has_a_next_step(code: grpc.StatusCode, details: str, step: str) -> None:
    found = next_step(from_status(code, details, (), address="h:1", model="m"))
    assert found.startswith("; ")
    assert step in found


@pytest.mark.parametrize("code", [Code.INVALID_ARGUMENT, Code.INTERNAL, Code.CANCELLED])
def test_where_nobody_knows_nothing_is_advised(code: grpc.StatusCode) -> None:
    assert next_step(from_status(code, "", (), address="h:1", model="m")) == ""


def test_busy_server_says_when() -> None:
    error = from_status(
        Code.RESOURCE_EXHAUSTED, "full", [("grpc-retry-pushback-ms", "40")], address="h:1", model="m"
    )
    assert next_step(error) == "; the server is busy: try again in 40 ms"
