"""The peers file, read: both forms, whatever else may stand there, and who of several is asked first."""

from __future__ import annotations

import contextlib
import json
from collections import Counter
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hotgraph_server.fleet import eds
from hotgraph_server.forwarding.peers import BadPeers, Peer, Peers, in_order, read, split

LINES = """
# the first two
10.0.0.1:8500 flowers voices   # and no others
[fd00::1]:8510 flowers
10.0.0.3:8500
"""


def test_lines_name_servers_and_their_models() -> None:
    peers = Peers(read(LINES))
    assert peers.having("flowers") == ("10.0.0.1:8500", "[fd00::1]:8510")
    assert peers.having("voices") == ("10.0.0.1:8500",)
    assert peers.having("others") == ()
    # Who has no model is asked for none.
    assert len(peers.addresses) == 2


def test_what_the_fleet_writes_is_read() -> None:
    written = [eds.Endpoint("10.0.0.1", 8500, ("a", "b")), eds.Endpoint("fd00::1", 8510, ("a",))]
    assert read(eds.document(written)) == [
        Peer("10.0.0.1:8500", frozenset("ab")),
        Peer("[fd00::1]:8510", frozenset("a")),
    ]


def test_an_empty_file_names_nobody() -> None:
    assert read("") == []
    assert read(eds.document(())) == []


def test_a_line_that_is_none_is_named() -> None:
    with pytest.raises(BadPeers, match=r"line 2: .*'nowhere'"):
        read("10.0.0.1:8500 a\nnowhere a")


@pytest.mark.parametrize("text", ["{", "{}", '{"resources": [1]}', '{"resources": [{"endpoints": [3]}]}'])
def test_json_that_is_no_list_of_endpoints_says_so(text: str) -> None:
    with pytest.raises(BadPeers):
        read(text)


def test_a_port_that_is_no_number_is_no_list_of_endpoints() -> None:
    address = '{"socket_address": {"address": "h", "port_value": 1e999}}'
    with pytest.raises(BadPeers):
        read(
            '{"resources": [{"endpoints": [{"lb_endpoints": [{"endpoint": {"address": ' + address + "}}]}]}]}"
        )


@given(st.text(max_size=300))
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        found = read(text)
    except BadPeers:
        return
    for peer in found:
        host, port = split(peer.address)
        assert host
        assert 0 < port < 65536


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=10),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(
        st.sampled_from(["endpoints", "lb_endpoints", "endpoint", "address", "metadata"]),
        inner,
        max_size=3,
    ),
    max_leaves=12,
)  # fmt: skip


@given(st.lists(_JSON, max_size=3))
def test_any_json_is_read_or_refused(resources: list[Any]) -> None:
    with contextlib.suppress(BadPeers):
        read(json.dumps({"resources": resources}))


def test_who_has_least_under_way_is_asked_first_and_who_was_away_last() -> None:
    order = in_order(["a", "b", "c", "d"], {"a": 3, "b": 1}, {"c"}, 0)
    assert order == ["d", "b", "a", "c"]


def test_equals_take_turns() -> None:
    first = Counter(in_order(["a", "b", "c"], {}, (), turn)[0] for turn in range(30))
    assert first == {"a": 10, "b": 10, "c": 10}


@given(st.lists(st.sampled_from("abcdef"), min_size=1, unique=True), st.integers(0, 100), st.data())
def test_each_is_asked_once(candidates: list[str], turn: int, data: st.DataObject) -> None:
    under_way = data.draw(st.dictionaries(st.sampled_from("abcdef"), st.integers(0, 5)))
    down = data.draw(st.sets(st.sampled_from("abcdef")))
    assert sorted(in_order(candidates, under_way, down, turn)) == sorted(candidates)
