from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from hotgraph_server.errors import ConfigError, LabelNotAvailable
from hotgraph_server.repository.changes import check
from hotgraph_server.settings import ModelSettings


def model(name: str = "m", **choices: Any) -> ModelSettings:
    return ModelSettings(name, Path("/models/m"), **choices)


def test_anything_may_be_new_or_gone() -> None:
    check([], {"m": model()}, {"m": {1}})
    check([model("a"), model("b")], {"m": model()}, {"m": {1}})


def test_name_may_be_there_only_once() -> None:
    with pytest.raises(
        ConfigError, match=r"^Illegal to list model a multiple times in config list$"
    ) as raised:
        check([model("a"), model("b"), model("a")], {}, {})
    assert raised.value.status.name == "INVALID_ARGUMENT"


def test_platform_of_a_model_that_is_served_stays() -> None:
    with pytest.raises(ConfigError) as raised:
        check([model(platform="other")], {"m": model()}, {"m": {1}})
    assert str(raised.value) == (
        "Illegal to change a model's platform. For model m platform was tensorflow and new platform requested"
        " is other"
    )


def test_platform_of_a_new_model_is_tensorflow() -> None:
    with pytest.raises(ConfigError, match=r"^Model n requests unsupported platform other$"):
        check([model("n", platform="other")], {"m": model()}, {"m": {1}})


def test_label_moves_to_a_live_version_only() -> None:
    current, live = {"m": model(labels={"stable": 1})}, {"m": {1, 2}}
    check([model(labels={"stable": 2, "canary": 1})], current, live)
    for labels in ({"stable": 3}, {"stable": 1, "canary": 3}):
        with pytest.raises(LabelNotAvailable) as raised:
            check([model(labels=labels)], current, live)
        assert raised.value.status.name == "FAILED_PRECONDITION"
        assert str(raised.value) == (
            "Request to assign label to version 3 of model m, which is not currently available for inference"
        )


def test_label_that_stays_as_it_was_needs_no_live_version() -> None:
    """It was given before its version was loaded, and the list is sent again meanwhile."""
    check([model(labels={"stable": 1})], {"m": model(labels={"stable": 1})}, {"m": set()})


def test_labels_of_a_new_model_wait_for_its_versions() -> None:
    check([model("n", labels={"stable": 7})], {"m": model()}, {"m": {1}})


def test_labels_ahead_lifts_it_for_labels_that_nobody_uses_yet() -> None:
    current, live = {"m": model(labels={"stable": 1})}, {"m": {1}}
    check([model(labels={"stable": 1, "canary": 3})], current, live, labels_ahead=True)
    with pytest.raises(LabelNotAvailable):
        check([model(labels={"stable": 3})], current, live, labels_ahead=True)
