"""Whose calls are taken, by the names in their certificate."""

from __future__ import annotations

import grpc
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hotgraph_server.access.peers import DNS, URI, AllowedPeers
from hotgraph_server.errors import PeerNotAllowed, SettingsError

WEB, MAIL = "spiffe://d/ns/a/web", "spiffe://d/ns/a/mail"

Names = list[tuple[str, str]]


def allows(allowed: list[str], names: Names) -> bool:
    return AllowedPeers(allowed).refusal(names) is None


@pytest.mark.parametrize(
    ("allowed", "names", "expected"),
    [
        ([WEB], [(URI, WEB)], True),
        ([WEB], [(URI, MAIL)], False),
        ([WEB, MAIL], [(URI, MAIL)], True),
        # Below one, and not that one itself nor another that begins so.
        (["spiffe://d/ns/a/*"], [(URI, WEB)], True),
        (["spiffe://d/ns/a/web/*"], [(URI, WEB)], False),
        (["spiffe://d/ns/a/*"], [(URI, "spiffe://d/ns/ab/web")], False),
        (["spiffe://d/*"], [(URI, WEB)], True),
        (["spiffe://d/*"], [(URI, "spiffe://d.evil/ns/a/web")], False),
        (["spiffe://d/*"], [(URI, "spiffe://d/../e")], False),
        # Cases count, as SPIFFE has it.
        ([WEB], [(URI, WEB.upper())], False),
        # Two URIs are no identity.
        ([WEB], [(URI, WEB), (URI, MAIL)], False),
        ([WEB, "web"], [(URI, WEB), (URI, MAIL), (DNS, "web")], True),
        # Names of DNS have no case, and no wildcards.
        (["Web.example"], [(DNS, "wEB.Example")], True),
        (["web.example"], [(DNS, "*.example")], False),
        (["web.example"], [(DNS, "a.example"), (DNS, "web.example")], True),
        # What is a name of one kind is none of the other.
        (["web"], [(URI, "web")], False),
        ([WEB], [(DNS, WEB)], False),
        (["web"], [("DirName", "web"), ("IP Address", "web"), ("email", "web")], False),
        ([WEB], [], False),
    ],
)
def test_caller_is_let_in_by_a_name_that_is_allowed(allowed: list[str], names: Names, expected: bool) -> None:
    assert allows(allowed, names) is expected


def test_refusal_says_whose_certificate_it_was_and_how_to_let_it_in() -> None:
    refusal = AllowedPeers([WEB]).refusal([(URI, MAIL), (DNS, "mail"), ("IP Address", "::1")])
    assert isinstance(refusal, PeerNotAllowed)
    assert refusal.status is grpc.StatusCode.PERMISSION_DENIED
    assert MAIL in str(refusal)
    assert "'mail'" in str(refusal)
    assert "::1" not in str(refusal)
    assert "tls-allow" in str(refusal)
    assert "without a SPIFFE ID or DNS name" in str(AllowedPeers([WEB]).refusal([]))


def test_refusal_of_a_certificate_with_many_long_names_is_short() -> None:
    names = [(DNS, "a" * 5000 + "\n\u20ac")] * 1000
    text = str(AllowedPeers([WEB]).refusal(names))
    assert len(text) < 1000
    assert text.isascii()
    assert text.isprintable()
    assert "997 more" in text


def test_what_is_no_name_is_an_error() -> None:
    with pytest.raises(SettingsError, match="got 'spiffe://'"):
        AllowedPeers([f"{WEB},spiffe://"])


@given(st.lists(st.tuples(st.sampled_from([URI, DNS, "email"]), st.text())))
def test_whatever_names_a_certificate_has_they_are_let_in_by_a_listed_one_alone(names: Names) -> None:
    listed = any(
        (kind == URI and name == WEB) or (kind == DNS and name.lower() == "web") for kind, name in names
    )
    assert listed or not allows([WEB, "web"], names)
