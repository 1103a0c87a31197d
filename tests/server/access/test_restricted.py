from __future__ import annotations

import grpc
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hotgraph_server.access.groups import PROTOCOLS
from hotgraph_server.access.restricted import OVER_HTTP, restricted_in
from hotgraph_server.access.rules import Header
from hotgraph_server.errors import ApiRestricted, ProtocolRestricted, SettingsError

NONE: Header = dict[str, str]().get


def test_protocols_of_an_option_need_its_header() -> None:
    restricted = restricted_in(["health,metadata:admin-key=admin-value", "inference:k=v"])
    header = {"triton-grpc-protocol-admin-key": "admin-value"}.get
    assert restricted.refusal("health", header) is None
    assert restricted.refusal("metadata", header) is None
    assert restricted.refusal("trace", NONE) is None
    assert restricted.refusal("", NONE) is None
    refusal = restricted.refusal("inference", header)
    assert isinstance(refusal, ProtocolRestricted)
    assert refusal.status is grpc.StatusCode.UNAVAILABLE
    assert str(refusal) == "This protocol is restricted, expecting header 'triton-grpc-protocol-k'"
    assert restricted.refusal("inference", {"triton-grpc-protocol-k": "V"}.get) is not None


def test_over_http_the_header_is_the_key_and_the_words_are_tritons() -> None:
    restricted = restricted_in(["inference:Admin-Key=v"], OVER_HTTP)
    assert restricted.refusal("inference", {"admin-key": "v"}.get) is None
    refusal = restricted.refusal("inference", {"triton-grpc-protocol-admin-key": "v"}.get)
    assert isinstance(refusal, ApiRestricted)
    assert refusal.status is grpc.StatusCode.PERMISSION_DENIED
    assert str(refusal) == "This API is restricted, expecting header 'admin-key'"
    with pytest.raises(SettingsError, match="--http-restricted-api: unknown restricted protocol 'models'"):
        restricted_in(["models:k=v"], OVER_HTTP)


def test_value_may_have_what_parts_the_rest() -> None:
    restricted = restricted_in(["trace:k=a:b=c,d"])
    assert restricted.headers == {"trace": ("triton-grpc-protocol-k", "a:b=c,d")}


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["health"], "takes PROTOCOL[,PROTOCOL...]:KEY=VALUE"),
        (["health:k"], "takes PROTOCOL[,PROTOCOL...]:KEY=VALUE"),
        (["health=k:v"], "takes PROTOCOL[,PROTOCOL...]:KEY=VALUE"),
        (["health:=v"], "takes PROTOCOL[,PROTOCOL...]:KEY=VALUE"),
        (["health:k="], "takes PROTOCOL[,PROTOCOL...]:KEY=VALUE"),
        ([":k=v"], "takes PROTOCOL[,PROTOCOL...]:KEY=VALUE"),
        ([""], "takes PROTOCOL[,PROTOCOL...]:KEY=VALUE"),
        (["health:k k=v"], "'k k' cannot be part of the name of a header"),
        (["health:key-bin=v"], "'key-bin' cannot be part of the name of a header"),
        (["model-reposit,health:k1=v1"], "unknown restricted protocol 'model-reposit'; there are health,"),
        (["health,:k=v"], "unknown restricted protocol ''"),
        (
            ["model-repository,health:k1=v1", "metadata,health:k2=v2"],
            "restricted protocol 'health' can not be specified in multiple config groups",
        ),
        (["trace,trace:k=v"], "restricted protocol 'trace' can not be specified in multiple config groups"),
    ],
)
def test_mistake_is_told_and_no_value_is_shown(options: list[str], said: str) -> None:
    with pytest.raises(SettingsError) as error:
        restricted_in(options)
    assert f"--grpc-restricted-protocol{'' if said.startswith('takes') else ':'} {said}" in str(error.value)
    assert "v1" not in str(error.value)


KEYS = st.from_regex(r"[a-zA-Z0-9_.-]+", fullmatch=True).filter(lambda key: not key.lower().endswith("-bin"))


@given(st.lists(st.sampled_from(PROTOCOLS), min_size=1, unique=True), KEYS, st.text(min_size=1))
def test_what_is_given_is_what_is_asked_for(protocols: list[str], key: str, value: str) -> None:
    restricted = restricted_in([f"{','.join(protocols)}:{key}={value}"])
    header = {f"triton-grpc-protocol-{key.lower()}": value}
    for protocol in PROTOCOLS:
        assert restricted.refusal(protocol, header.get) is None
        assert (restricted.refusal(protocol, NONE) is None) == (protocol not in protocols)


@given(st.lists(st.text() | st.text("health,trace:=k"), max_size=3))
def test_any_words_are_read_or_refused(options: list[str]) -> None:
    try:
        restricted = restricted_in(options)
    except SettingsError:
        return
    assert bool(restricted.headers) == bool(options)
