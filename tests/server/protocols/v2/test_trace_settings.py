"""TraceSetting: get and set in one, for all models and for one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from hotgraph_protos import open_inference as pb
from hotgraph_server.errors import InvalidCall, Unsupported
from hotgraph_server.observability.tracing.tracing import Tracing
from hotgraph_server.protocols.v2 import trace_settings
from hotgraph_server.settings import TraceSettings

from ..fakes import FakeGraph, Models, add_and_subtract, float_signature


class Asked:
    """TraceSetting over model "m"."""

    def __init__(self, models: Models, file: str) -> None:
        models.add("m", 3, FakeGraph((float_signature(), add_and_subtract)))
        models.add("coming", 1, FakeGraph(), live=False)
        tracing = Tracing(TraceSettings(trace_file=file, trace_rate=500), models.registry)
        method: Any = trace_settings.methods(tracing, models.registry)["TraceSetting"]
        self._answer = method.answer

    def __call__(self, model: str = "", **settings: list[str]) -> dict[str, list[str]]:
        request = pb.TraceSettingRequest(model_name=model)
        for name, values in settings.items():
            request.settings[name].value.extend(values)
        response = self._answer(pb.TraceSettingRequest.FromString(request.SerializeToString()))
        return {name: list(value.value) for name, value in response.settings.items()}


@pytest.fixture
def ask(models: Models, tmp_path: Path) -> Asked:
    return Asked(models, str(tmp_path / "t"))


def test_everything_is_shown(ask: Asked, tmp_path: Path) -> None:
    shown = {
        "trace_level": ["OFF"],
        "trace_rate": ["500"],
        "trace_count": ["-1"],
        "log_frequency": ["0"],
        "trace_file": [str(tmp_path / "t")],
        "trace_mode": ["triton"],
    }
    assert ask() == ask("m") == shown


def test_model_shows_what_is_said_of_all_until_something_is_said_of_it(ask: Asked) -> None:
    ask("m", trace_rate=["7"])
    ask(trace_rate=["9"], log_frequency=["5"])
    assert ask()["trace_rate"] == ["9"]
    assert (ask("m")["trace_rate"], ask("m")["log_frequency"]) == (["7"], ["5"])
    assert ask("m", trace_rate=[])["trace_rate"] == ["9"]
    assert ask(trace_rate=[])["trace_rate"] == ["500"]


def test_request_with_one_wrong_setting_changes_nothing(ask: Asked) -> None:
    with pytest.raises(InvalidCall, match="Unable to parse 'trace_count', got: many"):
        ask(trace_level=["TIMESTAMPS"], trace_count=["many"])
    assert ask()["trace_level"] == ["OFF"]


def test_file_is_not_for_clients_to_choose(ask: Asked) -> None:
    with pytest.raises(Unsupported, match="can not be updated through network protocol"):
        ask(trace_file=["/etc/passwd"])


@pytest.mark.parametrize("model", ["nonesuch", "coming"])
def test_model_that_is_not_ready_has_no_settings(ask: Asked, model: str) -> None:
    with pytest.raises(InvalidCall, match=f"Request for unknown model : {model}"):
        ask(model, trace_rate=["1"])
