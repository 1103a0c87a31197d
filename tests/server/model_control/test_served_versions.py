from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hotgraph_server.errors import InvalidCall
from hotgraph_server.model_control.served_versions import served_as
from hotgraph_server.settings import Latest, ModelSettings, ShadowSettings, Specific

MODEL = ModelSettings("m", Path("m"), shadow=ShadowSettings(shadow_share=0.5))


def test_nothing_said_changes_nothing() -> None:
    assert served_as(MODEL, {}) is MODEL


def test_versions_and_settings_hold_on_top_of_the_configuration() -> None:
    made = served_as(MODEL, {"hotgraph_versions": "1, 2,1", "hotgraph_default_version": "1"})
    assert made.versions == Specific((1, 2))
    assert made.shadow == ShadowSettings(default_version=1, shadow_share=0.5)
    assert (made.batch, made.path) == (MODEL.batch, MODEL.path)


def test_versions_are_the_configurations_where_none_are_said() -> None:
    made = served_as(MODEL, {"hotgraph_shadow_version": "2", "hotgraph_shadow_tolerance": "0"})
    assert made.versions == Latest()
    assert (made.shadow.shadow_version, made.shadow.shadow_tolerance) == (2, 0.0)


@pytest.mark.parametrize(
    ("name", "text", "why"),
    [
        ("hotgraph_nonesuch", "1", "unrecognized load parameter"),
        ("hotgraph_versions", "", "list of versions"),
        ("hotgraph_versions", "1,,2", "list of versions"),
        ("hotgraph_versions", "-1", "list of versions"),
        ("hotgraph_versions", "9" * 19, "list of versions"),
        ("hotgraph_versions", ",".join(map(str, range(101))), "more than 100"),
        ("hotgraph_default_version", "one", "hotgraph_default_version must be"),
        ("hotgraph_default_version", str(2**63), "must be an integer"),
        ("hotgraph_shadow_share", "2", "shadow-share must be 0 to 1"),
    ],
)
def test_what_cannot_be_is_refused(name: str, text: str, why: str) -> None:
    with pytest.raises(InvalidCall, match=why):
        served_as(MODEL, {name: text})


@given(
    st.dictionaries(
        st.sampled_from(
            [
                *("hotgraph_versions", "hotgraph_default_version", "hotgraph_shadow_version"),
                *("hotgraph_shadow_share", "hotgraph_shadow_tolerance", "hotgraph_x"),
            ]
        ),
        st.text() | st.sampled_from(["1", "1,2", "0.5", "nan", "inf", "1e999", "\u0663"]),
    )
)
def test_whatever_is_said_is_taken_or_refused(parameters: dict[str, str]) -> None:
    try:
        made = served_as(MODEL, parameters)
    except InvalidCall:
        return
    assert 0 <= made.shadow.shadow_share <= 1
    assert 0 <= made.shadow.shadow_tolerance <= 1
