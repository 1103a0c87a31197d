"""loadtest/sending/statuses.py."""

from __future__ import annotations

import grpc
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hotgraph_client.loadtest.sending import statuses


@pytest.mark.parametrize("code", list(grpc.StatusCode))
def test_statuses_have_grpcs_names(code: grpc.StatusCode) -> None:
    name = statuses.grpc_status(str(code.value[0]).encode())
    assert name == (statuses.GOOD if code is grpc.StatusCode.OK else code.name)


@given(st.binary(max_size=6))
def test_what_is_no_status_is_unknown(number: bytes) -> None:
    if number not in {str(value).encode() for value in range(17)}:
        assert statuses.grpc_status(number) in ("UNKNOWN", statuses.grpc_status(number.lstrip(b"0") or b"0"))


def test_text_is_decoded_and_bounded() -> None:
    assert statuses.grpc_text(
        "50 % für dich".encode().replace(b"%", b"%25").replace(b"\xc3\xbc", b"%C3%BC")
    ) == ("50 % für dich")
    assert len(statuses.grpc_text(b"x" * 9000)) == 500


@pytest.mark.parametrize(
    ("body", "text"),
    [
        (b'{"error": "no such model"}', "no such model"),
        (b'{"error": {"code": 3}}', '{"error": {"code": 3}}'),
        (b"<html>bad gateway</html>\n", "<html>bad gateway</html>"),
        (b"[" * 100_000, "[" * 200),
        (b"", ""),
        (b"\xff\xfe", "\ufffd\ufffd"),
    ],
)
def test_http_error_says_what_it_says(body: bytes, text: str) -> None:
    assert statuses.http_text(body) == text


@given(st.binary())
def test_any_body_has_a_text(body: bytes) -> None:
    assert isinstance(statuses.http_text(body), str)
    assert isinstance(statuses.grpc_text(body), str)
