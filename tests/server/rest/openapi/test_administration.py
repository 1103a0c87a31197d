"""The table against the code that reads paths."""

from __future__ import annotations

import re

import pytest

from hotgraph_server.access.groups import REST
from hotgraph_server.rest.openapi.administration import PARAMETERS, PATHS, TAGS, Path, parameters, paths
from hotgraph_server.rest.tfs import paths as tfs
from hotgraph_server.rest.v2 import paths as v2

EXAMPLES = {"version": "7", "model_name": "m", "label": "l", "region": "r", "repository": "q"}


def filled(path: Path) -> str:
    return re.sub(r"\{(\w+)\}", lambda name: EXAMPLES[name[1]], path.path)


@pytest.mark.parametrize("path", PATHS, ids=lambda path: f"{path.method} {path.path}")
def test_every_operation_is_one_that_the_server_knows(path: Path) -> None:
    if path.path.startswith("/v1"):
        target = tfs.read_path(path.method, filled(path))
        assert (target.number == 7) is ("{version}" in path.path)
        assert (target.label == "l") is ("{label}" in path.path)
        assert (target.name == "m") is ("{model_name}" in path.path)
    else:
        found = v2.read_path(path.method, filled(path))
        said = {
            "version": found.version,
            "model_name": found.model,
            "region": found.region,
            "repository": found.repository,
        }
        assert {name: text for name, text in said.items() if text} == {
            name: EXAMPLES[name] for name in said if f"{{{name}}}" in path.path
        }


def test_everything_that_the_server_knows_is_an_operation() -> None:
    known = {v2.read_path(path.method, filled(path)).what for path in PATHS if path.path.startswith("/v2")}
    assert known == set(v2.What)
    asked = {tfs.read_path(path.method, filled(path)).what for path in PATHS if path.path.startswith("/v1")}
    assert {what.value for what in asked} == set(REST)


def test_no_operation_is_there_twice() -> None:
    assert len({(path.method, path.path) for path in PATHS}) == len(PATHS)
    assert sum(len(item) - ("parameters" in item) for item in paths().values()) == len(PATHS)


def test_every_parameter_in_a_path_is_told() -> None:
    for path, item in paths().items():
        told = {one["$ref"].rpartition("/")[2] for one in item.get("parameters", ())}
        assert told == set(re.findall(r"\{(\w+)\}", path))
    assert parameters().keys() == PARAMETERS.keys() == EXAMPLES.keys()


def test_every_tag_is_told() -> None:
    assert {path.tag for path in PATHS} == set(TAGS)
