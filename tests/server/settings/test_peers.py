"""Names that callers may have."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hotgraph_server.errors import SettingsError
from hotgraph_server.settings import ListenSettings
from hotgraph_server.settings.peers import is_spiffe_id, peer_names

TLS = {"tls_cert": "c", "tls_key": "k", "tls_client_ca": "a"}


@pytest.mark.parametrize(
    "name",
    [
        "spiffe://cluster.local/ns/default/sa/web",
        "spiffe://cluster.local/ns/default/*",
        "spiffe://cluster.local/*",
        "spiffe://cluster.local",
        "web",
        "web.default.svc.cluster.local",
        "_web.example",
    ],
)
def test_spiffe_ids_and_dns_names_are_names(name: str) -> None:
    assert peer_names([name]) == (name,)


@pytest.mark.parametrize(
    "name",
    [
        "",
        "*",
        "*.example",
        "web.*",
        "web..example",
        "-web",
        "web.",
        "a" * 64,
        "https://example/web",
        "spiffe://",
        "spiffe:///web",
        "spiffe://*",
        "spiffe://Cluster.local/web",
        "spiffe://d/web/",
        "spiffe://d//web",
        "spiffe://d/../web",
        "spiffe://d/./web",
        "spiffe://d/ns/*/web",
        "spiffe://d/we*",
        "spiffe://d:80/web",
        "spiffe://u@d/web",
        "spiffe://d/web?x",
        "spiffe://d/w%65b",
        "web\nmail",
        "web example",
    ],
)
def test_others_are_refused_with_what_was_given(name: str) -> None:
    with pytest.raises(SettingsError, match="tls-allow takes SPIFFE IDs"):
        peer_names([f"web,{name},mail"])


def test_several_names_come_with_commas_or_one_by_one() -> None:
    assert peer_names(["a, b", "spiffe://d/c"]) == ("a", "b", "spiffe://d/c")


def test_names_without_an_authority_that_signs_them_are_refused() -> None:
    """Callers would show no certificate, and nobody would be kept out."""
    with pytest.raises(SettingsError, match="tls-allow web needs tls-client-ca"):
        ListenSettings(tls_cert="c", tls_key="k", tls_allow=("web",))
    assert ListenSettings(**TLS, tls_allow=("web",)).tls_allow == ("web",)  # type: ignore[arg-type]


@given(st.text())
def test_any_text_is_a_name_or_an_error(text: str) -> None:
    is_spiffe_id(text)
    try:
        names = peer_names([text])
    except SettingsError:
        return
    assert all(name.isascii() and name.isprintable() for name in names)
