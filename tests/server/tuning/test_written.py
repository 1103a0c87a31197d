from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hotgraph_server.commands.serve import settings_from
from hotgraph_server.model_config import config_file
from hotgraph_server.model_config.translation import settings_from as settings_of_config
from hotgraph_server.settings import BatchSettings, ModelSettings, QueuePolicy
from hotgraph_server.settings.file import read_settings_file
from hotgraph_server.tuning.costs import TODAY, variant_of
from hotgraph_server.tuning.prediction import Candidate
from hotgraph_server.tuning.variants import beside
from hotgraph_server.tuning.written import pbtxt, toml

CANDIDATES = [
    Candidate(TODAY).with_batch(max_batch_rows=16, max_wait_us=500, split=False),
    Candidate(variant_of({"intra_op_threads": 1}), processes=4),
    Candidate(variant_of({"xla": True, "row_buckets": "powers of two"})).with_batch(max_batch_rows=8),
    Candidate(TODAY).with_batch(max_batch_rows=128, default_timeout_ms=20),
]


@pytest.mark.parametrize("candidate", CANDIDATES, ids=lambda one: one.label)
def test_the_server_reads_back_from_toml_what_was_found(candidate: Candidate, tmp_path: Path) -> None:
    base = BatchSettings()
    file = tmp_path / "found.toml"
    file.write_text(toml("m", tmp_path / "m", candidate.values(base), ["p99 3 ms"]))
    read = settings_from({"config": file, "models": []})
    (model,) = read.models
    assert (model.name, model.path) == ("m", tmp_path / "m")
    assert model.batch == candidate.in_queue(base)
    assert model.session.xla == ("xla" in candidate.settings)
    assert model.session.intra_op_threads == candidate.settings.get("intra_op_threads", 0)
    assert read.processes.processes == candidate.processes
    assert file.read_text().startswith("# p99 3 ms\n")


def test_only_what_differs_is_written(tmp_path: Path) -> None:
    text = toml("m", tmp_path, CANDIDATES[0].values(BatchSettings()))
    assert text.count("=") == 4


@given(st.text(st.characters(codec="utf-8"), min_size=1), st.text(st.characters(codec="utf-8")))
def test_any_name_and_path_come_back(tmp_path_factory: pytest.TempPathFactory, name: str, path: str) -> None:
    file = tmp_path_factory.getbasetemp() / "any.toml"
    file.write_bytes(toml(name, Path("/", path.replace("\0", "")), {}).encode())
    (found,) = read_settings_file(file).models.items()
    assert found == (name, {"path": str(Path("/", path.replace("\0", "")))})


def test_settings_of_today_are_written_whole(tmp_path: Path) -> None:
    plain = ModelSettings("m", tmp_path)
    today = ModelSettings(
        "m",
        tmp_path,
        BatchSettings(
            max_batch_rows=8,
            pad={"ids.1": 0.0},
            priority_levels=2,
            queue_policy=QueuePolicy(100),
            queue_policy_by_level={2: QueuePolicy(default_timeout_us=1000)},
        ),
    )
    file = tmp_path / "today.toml"
    file.write_text(toml("m", tmp_path, beside(today, plain)))
    (model,) = settings_from({"config": file, "models": []}).models
    assert model.batch == today.batch


def read(text: str, tmp_path: Path, base: ModelSettings) -> ModelSettings:
    file = tmp_path / config_file.FILE_NAME
    file.write_text(text)
    return settings_of_config(config_file.read(file), base)[0]


@pytest.mark.parametrize("candidate", CANDIDATES, ids=lambda one: one.label)
@pytest.mark.parametrize(
    "own",
    ["", 'name: "m" max_batch_size: 32 dynamic_batching { preferred_batch_size: [4] }'],
    ids=["none", "own"],
)
def test_the_server_reads_back_from_pbtxt_what_was_found(
    candidate: Candidate, own: str, tmp_path: Path
) -> None:
    plain = ModelSettings("m", tmp_path)
    today, config = plain, None
    if own:
        today = read(own, tmp_path, plain)
        config = today.config
    values = candidate.values(today.batch)
    found = read(pbtxt(config, values, ["p99 3 ms"]), tmp_path, plain)
    assert found.batch == candidate.in_queue(today.batch)
    assert found.session.xla == ("xla" in candidate.settings)
    assert found.session.intra_op_threads == candidate.settings.get("intra_op_threads", 0)


def test_what_a_pbtxt_has_no_words_for_is_said_in_it() -> None:
    values: dict[str, Any] = {"processes": 4}
    assert "# not in here, but for the server: processes = 4" in pbtxt(None, values)


def test_no_pbtxt_takes_fewer_rows_of_clients_than_before(tmp_path: Path) -> None:
    own = read('name: "m" max_batch_size: 32', tmp_path, ModelSettings("m", tmp_path)).config
    assert "max_batch_size: 32" in pbtxt(own, {"max_batch_rows": 8})
    assert "max_batch_size: 64" in pbtxt(own, {"max_batch_rows": 64})
    assert "max_batch_size" not in pbtxt(None, {"max_batch_rows": 8}).replace("HOTGRAPH_MAX_BATCH", "")
