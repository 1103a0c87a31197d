from __future__ import annotations

import pytest

from hotgraph_server.settings.local_paths import local_path


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("file:///models/m", "/models/m"),
        ("file://localhost/models/m", "/models/m"),
        ("file:///a%20b", "/a%20b"),
        ("file:///", "/"),
        ("/models/m", "/models/m"),
        ("models/m", "models/m"),
        ("file://elsewhere/m", "file://elsewhere/m"),
        ("file://m", "file://m"),
        ("gs://bucket/m", "gs://bucket/m"),
        ("", ""),
    ],
)
def test_uri_of_this_machine_is_the_path_in_it_and_nothing_else_is(text: str, path: str) -> None:
    assert local_path(text) == path
