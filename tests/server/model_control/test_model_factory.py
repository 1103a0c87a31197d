"""What a model of a repository is like: values for all, its configuration, its table; the later wins."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from hotgraph_server.errors import SettingsError
from hotgraph_server.model_config import config_file
from hotgraph_server.model_control.model_factory import ConfiguredModels, in_folder, model
from hotgraph_server.settings import BatchSettings, SessionSettings

PATH = Path("/r/m")


def test_model_has_the_values_of_its_settings_and_defaults_for_the_rest() -> None:
    made = model("m", PATH, {"max_batch_rows": 3, "device": "/CPU:0", "port": 1})
    assert (made.name, made.path) == ("m", PATH)
    assert (made.batch, made.session) == (BatchSettings(max_batch_rows=3), SessionSettings(device="/CPU:0"))


def test_configuration_wins_over_the_values_and_the_table_over_both() -> None:
    config = config_file.parse("max_batch_size: 5", "config.pbtxt")
    make = ConfiguredModels({"max_batch_rows": 3, "max_queued_calls": 9}, {"t": {"max_batch_rows": 2}})
    assert make("m", PATH, None).batch.max_batch_rows == 3
    assert make("m", PATH, config).batch.max_batch_rows == 5
    assert make("t", PATH, config).batch.max_batch_rows == 2
    assert make("t", PATH, config).batch.max_queued_calls == 9
    assert make("t", PATH, config).config == config


def test_table_reads_what_toml_has_for_lists_and_tables() -> None:
    table = {
        "max_batch_rows": 2,
        "row_buckets": [1, 2],
        "queue_policy": {"max_queue_size": 4},
        "warmup_rounds": 2,
    }
    made = ConfiguredModels({}, {"m": table})("m", PATH, None)
    assert made.batch.row_buckets == (1, 2)
    assert made.batch.queue_policy.max_queue_size == 4
    assert made.warmup.warmup_rounds == 2


def test_what_has_no_meaning_here_is_named_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    config = config_file.parse("optimization { cuda { graphs: true } }", "config.pbtxt")
    with caplog.at_level(logging.INFO):
        ConfiguredModels()("m", PATH, config)
    assert "model 'm': optimization" in caplog.text


def test_configuration_that_cannot_be_is_refused() -> None:
    config = config_file.parse("max_batch_size: -5", "config.pbtxt")
    with pytest.raises(SettingsError, match="max_batch_size"):
        ConfiguredModels()("m", PATH, config)


def test_folder_that_is_named_brings_its_configuration(tmp_path: Path) -> None:
    values, table = {"max_batch_rows": 4, "max_wait_us": 7}, {"batching": "never"}
    assert in_folder("m", tmp_path / "missing", values, table) == model(
        "m", tmp_path / "missing", {**values, **table}
    )
    (tmp_path / "config.pbtxt").write_text('max_batch_size: 9 default_model_filename: "saved"')
    made = in_folder("m", tmp_path, values, table)
    assert (made.batch.max_batch_rows, made.batch.max_wait_us, made.batch.batching) == (9, 7, "never")
    assert (made.config.max_batch_size, made.folder.saved_model) == (9, "saved")


def test_configuration_of_a_folder_leads_nowhere_else(tmp_path: Path) -> None:
    (tmp_path / "config.pbtxt").write_text('default_model_filename: ".."')
    with pytest.raises(SettingsError, match="default_model_filename"):
        in_folder("m", tmp_path, {})
    (tmp_path / "config.pbtxt").write_text("nonsense")
    with pytest.raises(SettingsError, match=r"config\.pbtxt:1"):
        in_folder("m", tmp_path, {})
