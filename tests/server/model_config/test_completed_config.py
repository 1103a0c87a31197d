from __future__ import annotations

from pathlib import Path

import pytest

from hotgraph_protos.model_config import ModelConfig
from hotgraph_server.model_config.completed_config import complete
from hotgraph_server.settings import AllVersions, Latest, ModelSettings, Specific, VersionPolicy

from .configs import parsed


@pytest.mark.parametrize(
    ("versions", "text"),
    [
        (Latest(2), "latest { num_versions: 2 }"),
        (AllVersions(), "all { }"),
        (Specific((3, 1)), "specific { versions: [3, 1] }"),
    ],
)
def test_policy_of_versions_is_the_settings_unless_it_is_said(versions: VersionPolicy, text: str) -> None:
    settings = ModelSettings("m", Path("/m"), versions=versions)
    config = ModelConfig()
    complete(config, settings, batched=False, joined=False)
    assert config.version_policy == parsed(f"version_policy {{ {text} }}").version_policy
    said = parsed("version_policy { latest { num_versions: 9 } }")
    complete(said, settings, batched=False, joined=False)
    assert said.version_policy.latest.num_versions == 9


@pytest.mark.parametrize(
    ("text", "batched", "joined", "scheduler"),
    [
        ("", True, True, "dynamic_batching"),
        ("", True, False, None),
        ("", False, True, None),
        ("max_batch_size: 1", True, True, None),
        ("sequence_batching { }", True, True, "sequence_batching"),
        ("dynamic_batching { }", True, False, "dynamic_batching"),
    ],
)
def test_dynamic_batching_is_shown_where_calls_share_batches(
    text: str, batched: bool, joined: bool, scheduler: str | None
) -> None:
    config = parsed(text)
    complete(config, ModelSettings("m", Path("/m")), batched=batched, joined=joined)
    assert config.WhichOneof("scheduling_choice") == scheduler
    if scheduler == "dynamic_batching":
        assert list(config.dynamic_batching.preferred_batch_size) == [64]


def test_what_is_complete_stays_as_it_is() -> None:
    settings = ModelSettings("m", Path("/m"))
    config = ModelConfig()
    complete(config, settings, batched=True, joined=True)
    again = ModelConfig()
    again.CopyFrom(config)
    complete(again, settings, batched=True, joined=True)
    assert again == config
