from __future__ import annotations

import pytest

from hotgraph_server.settings.local_paths import local_path, remote_fault


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


@pytest.mark.parametrize(
    ("text", "how"),
    [
        ("gs://bucket/m", "gcloud storage cp -r gs://bucket/m DIR"),
        ("s3://bucket/my m", "aws s3 cp --recursive 's3://bucket/my m' DIR"),
        ("hdfs://host/m", "hdfs dfs -get hdfs://host/m DIR"),
        ("https://host/m.zip", "curl -LO https://host/m.zip"),
        ("other://host/m", "copy it there first"),
    ],
)
def test_place_that_is_elsewhere_is_told_with_what_fetches_it(text: str, how: str) -> None:
    fault = remote_fault(text)
    assert fault is not None
    assert fault.startswith(f"{text}: models are read from this machine's disks")
    assert fault.endswith(how)


@pytest.mark.parametrize(
    "text", ["", "m", "/models/m", "file:///models/m", "a:b", "C:/m", "x=y://z", "./gs://b"]
)
def test_paths_are_no_places_elsewhere(text: str) -> None:
    assert remote_fault(text) is None
