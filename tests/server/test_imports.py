from __future__ import annotations

import os

import pytest

from hotgraph_server.imports import import_tensorflow
from hotgraph_server.settings import SessionSettings


@pytest.mark.parametrize(
    ("devices", "or_others", "said"),
    [
        (["/CPU:0", "/CPU:1"], False, "-1"),
        (["/CPU:0", "/GPU:1"], False, None),
        (["/CPU:0"], True, None),
        ([], True, None),
    ],
)
def test_gpus_are_hidden_where_nobody_can_ask_for_one(
    monkeypatch: pytest.MonkeyPatch, devices: list[str], or_others: bool, said: str | None
) -> None:
    # First set, so that it is put back afterwards.
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "7")
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES")
    import_tensorflow([SessionSettings(device=device) for device in devices], or_others=or_others)
    assert os.environ.get("CUDA_VISIBLE_DEVICES") == said


def test_what_the_environment_says_of_gpus_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3")
    import_tensorflow([SessionSettings()])
    assert os.environ["CUDA_VISIBLE_DEVICES"] == "3"
