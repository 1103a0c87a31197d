"""loading.py: what a session is told."""

from __future__ import annotations

from pathlib import Path

import pytest

from hotgraph_server.errors import SettingsError
from hotgraph_server.graph.loading import session_config
from hotgraph_server.settings import SessionSettings
from hotgraph_server.threads import processors


def test_without_a_file_it_is_what_the_settings_say() -> None:
    config = session_config(SessionSettings(intra_op_threads=2, inter_op_threads=3, gpu_memory_fraction=0.5))
    assert (config.intra_op_parallelism_threads, config.inter_op_parallelism_threads) == (2, 3)
    assert config.gpu_options.per_process_gpu_memory_fraction == 0.5
    assert config.gpu_options.allow_growth
    assert config.allow_soft_placement
    assert config.device_count["CPU"] == 1


def test_file_says_what_the_settings_leave_open(tmp_path: Path) -> None:
    file = tmp_path / "session.config"
    threads = "intra_op_parallelism_threads: 4 inter_op_parallelism_threads: 5"
    file.write_text(f"{threads} log_device_placement: true")
    config = session_config(SessionSettings(session_config=str(file), inter_op_threads=3))
    assert (config.intra_op_parallelism_threads, config.inter_op_parallelism_threads) == (4, 3)
    assert config.log_device_placement
    assert config.allow_soft_placement


def test_file_that_is_wrong_is_told_with_its_place(tmp_path: Path) -> None:
    file = tmp_path / "session.config"
    file.write_text("intra_op_threads: 4")
    with pytest.raises(SettingsError, match=f"^{file}:1:1: .*intra_op_threads"):
        session_config(SessionSettings(session_config=str(file)))


def test_session_has_threads_of_its_own_only_if_asked_for() -> None:
    assert session_config(SessionSettings(own_threads=True)).use_per_session_threads
    assert not session_config(SessionSettings()).use_per_session_threads


def test_quota_bounds_the_threads_that_nobody_has_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processors, "bound", lambda: 2)
    config = session_config(SessionSettings(inter_op_threads=3))
    assert (config.intra_op_parallelism_threads, config.inter_op_parallelism_threads) == (2, 3)
    monkeypatch.setattr(processors, "bound", lambda: 0)
    assert session_config(SessionSettings()).intra_op_parallelism_threads == 0
