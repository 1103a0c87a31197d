"""Until when certificates are valid."""

from __future__ import annotations

import datetime

import pytest
import trustme
from hypothesis import given
from hypothesis import strategies as st

from hotgraph_server.transport.certificate_expiry import expiries


def moment(year: int, month: int = 1, day: int = 1) -> datetime.datetime:
    return datetime.datetime(year, month, day, 12, 30, 15, tzinfo=datetime.timezone.utc)


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


def certificate(authority: trustme.CA, until: datetime.datetime) -> bytes:
    issued = authority.issue_cert("localhost", not_before=moment(1990), not_after=until)
    return issued.cert_chain_pems[0].bytes()


@pytest.mark.parametrize("until", [moment(2020, 2, 29), moment(2038, 1, 19), moment(2050), moment(2999)])
def test_end_is_the_certificates_own(authority: trustme.CA, until: datetime.datetime) -> None:
    assert expiries(certificate(authority, until)) == [until.timestamp()]


def test_ends_of_a_chain_are_in_its_order_whatever_stands_between(authority: trustme.CA) -> None:
    ends = [moment(2040), moment(2030), moment(2035)]
    text = b"\nwhat a tool writes: CN=x\n".join(certificate(authority, end) for end in ends)
    text += authority.issue_cert("localhost").private_key_pem.bytes()
    assert expiries(text) == [end.timestamp() for end in ends]


def test_one_that_cannot_be_read_does_not_hide_the_others(authority: trustme.CA) -> None:
    good = certificate(authority, moment(2040))
    lines = good.splitlines(keepends=True)
    broken = b"".join([*lines[:3], *lines[6:]])
    nonsense = b"-----BEGIN CERTIFICATE-----\n%%%\n-----END CERTIFICATE-----\n"
    assert expiries(broken + nonsense + good) == [moment(2040).timestamp()]


@given(st.binary())
def test_what_is_none_has_no_end(data: bytes) -> None:
    assert expiries(data) == []
    assert expiries(b"-----BEGIN CERTIFICATE-----\n" + data + b"\n-----END CERTIFICATE-----\n") == []
