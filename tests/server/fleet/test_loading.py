from __future__ import annotations

import pytest

from hotgraph_server.fleet.loading import parameters_of, versions_in
from hotgraph_server.fleet.spec import RolloutSpec


@pytest.mark.parametrize(
    ("versions", "tolerance", "expected"),
    [
        ((), None, {}),
        ((3,), 0.1, {"hotgraph_versions": "3", "hotgraph_default_version": "3"}),
        (
            (1, 2),
            None,
            {
                "hotgraph_versions": "1,2",
                "hotgraph_default_version": "1",
                "hotgraph_shadow_version": "2",
            },
        ),
        (
            (2, 1),
            0.5,
            {
                "hotgraph_versions": "2,1",
                "hotgraph_default_version": "2",
                "hotgraph_shadow_version": "1",
                "hotgraph_shadow_tolerance": "0.5",
            },
        ),
    ],
)
def test_first_version_is_what_callers_get_and_the_second_its_shadow(
    versions: tuple[int, ...], tolerance: float | None, expected: dict[str, str]
) -> None:
    parameters = parameters_of(versions, RolloutSpec(tolerance=tolerance))
    assert parameters == expected
    assert versions_in(parameters) == versions
