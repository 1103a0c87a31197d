from __future__ import annotations

import logging
import shutil
import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from hotgraph_server.batching.request import Request
from hotgraph_server.errors import DeviceNotFound, LoadError, StartError
from hotgraph_server.model_config.translation import settings_from
from hotgraph_server.models.response_cache import ResponseCache
from hotgraph_server.models.status import State
from hotgraph_server.repository.layout import look_at, versions_in
from hotgraph_server.repository.loader import load, load_version
from hotgraph_server.settings import CacheSettings, ModelSettings, SessionSettings
from hotgraph_server.threads.batch_scope import BatchScope
from hotgraph_server.threads.leadership import Leadership

from ... import model_files
from ...saved_models import SavedModels
from ..fakes import HANG_S, Caller, rows
from ..model_config.configs import parsed


def test_highest_version_is_loaded_and_live(
    saved_models: SavedModels, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    shutil.copytree(saved_models["pass_through"], tmp_path / "9")
    shutil.copytree(saved_models["two_aliases"], tmp_path / "10")
    with caplog.at_level(logging.INFO, "hotgraph_server"):
        version = load(ModelSettings("m", tmp_path))
    assert (version.name, version.number, version.state) == ("m", 10, State.LIVE)
    assert "model 'm' version 10 is live on /CPU:0" in caplog.text
    assert "batched: serving_default" in caplog.text
    assert "not callable: twins (two of its inputs are the same tensor)" in caplog.text
    one, caller = version.signatures["serving_default"], Caller()
    version.submit(Request(one, [rows(1)], ("second",), caller.completion))
    np.testing.assert_array_equal(caller.answer()[0], rows(2))
    assert version.stop(HANG_S)


def test_what_cannot_be_loaded_raises_one_line_and_leaves_no_thread(
    saved_models: SavedModels, tmp_path: Path
) -> None:
    broken = tmp_path / "broken"
    shutil.copytree(saved_models["pass_through"], broken)
    (broken / "saved_model.pb").write_bytes(b"\xff" * 64)
    tf1_softmax = saved_models["tf1_softmax"]
    elsewhere = ModelSettings("m", tf1_softmax, session=SessionSettings(device="/CPU:7"))
    cases: list[tuple[ModelSettings, type[StartError], str]] = [
        (ModelSettings("m", tmp_path / "missing"), LoadError, "no such folder"),
        (ModelSettings("m", broken), LoadError, "saved_model.pb cannot be read"),
        (
            ModelSettings("m", saved_models["uninitialized"]),
            LoadError,
            "model 'm' version 1: none of its signatures",
        ),
        (ModelSettings("m", saved_models["uninitialized_table"]), LoadError, "it fails whatever it is given"),
        (elsewhere, DeviceNotFound, "no device /CPU:7 on this machine; there is /CPU:0"),
    ]
    for settings, kind, text in cases:
        with pytest.raises(kind) as caught:
            load(settings)
        assert text in str(caught.value)
        assert "\n" not in str(caught.value)
    assert not [
        thread.name for thread in threading.enumerate() if thread.name.startswith("executor model 'm'")
    ]


def test_module_without_a_signature_is_refused_with_the_line_that_gives_it_one(tmp_path: Path) -> None:
    model_files.hub_module(tmp_path / "my hub")
    with pytest.raises(LoadError) as raised:
        load(ModelSettings("m", tmp_path / "my hub"))
    assert f"hotgraph export '{tmp_path}/my hub' DIR gives one" in str(raised.value)


def test_checkpoint_with_a_compressed_index_is_loaded() -> None:
    """Whatever TensorFlow's own reader reads is an index."""
    folder = Path(__file__).parents[2] / "saved_models" / "compressed_index"
    assert look_at(folder).versions[123].may_be_loaded(None, first=True)
    version = load(ModelSettings("m", folder))
    one, caller = version.signatures["serving_default"], Caller()
    version.submit(
        Request(one, [np.array([[1.0], [3.0]], np.float32)], one.output_aliases, caller.completion)
    )
    np.testing.assert_array_equal(caller.answer()[0], [[2.5], [3.5]])
    assert version.stop(HANG_S)


@pytest.mark.parametrize("name", ["m[1]", "m*", "m?", "m\\1", "[", "with space", "ümlaut"])
def test_folder_of_any_name_is_loaded_from(saved_models: SavedModels, tmp_path: Path, name: str) -> None:
    shutil.copytree(saved_models["tf2_mlp"], tmp_path / name / "1")
    version = load(ModelSettings("m", tmp_path / name))
    assert version.stop(HANG_S)
    (tmp_path / name / "1" / "saved_model.pb").write_bytes(b"\xff" * 64)
    with pytest.raises(LoadError) as caught:
        load(ModelSettings("m", tmp_path / name))
    assert str(caught.value).startswith(f"{tmp_path / name / '1'}: ")


def test_checkpoint_that_is_cut_short_is_refused_in_the_words_of_tensorflow(
    saved_models: SavedModels, tmp_path: Path
) -> None:
    folder = tmp_path / "m"
    shutil.copytree(saved_models["tf2_mlp"], folder)
    shard = folder / "variables/variables.data-00000-of-00001"
    shard.write_bytes(shard.read_bytes()[:-1])
    with pytest.raises(LoadError, match="TensorFlow cannot load it: Read less bytes"):
        load(ModelSettings("m", folder))


def test_answers_are_kept_of_models_that_ask_for_it_where_the_server_has_a_cache(
    saved_models: SavedModels, caplog: pytest.LogCaptureFixture
) -> None:
    folder = saved_models["pass_through"]
    for kept, cache in ((True, ResponseCache(1 << 20)), (True, None), (False, ResponseCache(1 << 20))):
        caplog.clear()
        settings = ModelSettings("m", folder, kept=CacheSettings(kept))
        version = load_version(settings, 1, versions_in(folder)[1], cache=cache)
        one, caller = version.signatures["serving_default"], Caller()
        version.submit(Request(one, [rows(1)], one.output_aliases, caller.completion))
        caller.answer()
        assert version.statistics.snapshot().cache_miss.count == int(kept and cache is not None)
        assert version.contract.config.response_cache.enable is (kept and cache is not None)
        assert ("model 'm' version 1: its answers are not kept" in caplog.text) is (kept and cache is None)
        assert version.stop(HANG_S)


class SeenScope(BatchScope):
    """Notes how often it was opened, and how often something was to be postponed to its end."""

    def __init__(self) -> None:
        super().__init__()
        self.opened = self.asked = 0

    def __enter__(self) -> None:
        self.opened += 1
        super().__enter__()

    def postpone(self, action: Callable[[], None]) -> bool:
        self.asked += 1
        return super().postpone(action)


def test_queue_and_finisher_of_a_version_use_the_batch_scope_that_it_is_loaded_with(
    saved_models: SavedModels,
) -> None:
    leadership, folder = Leadership(), saved_models["pass_through"]
    leadership.scope = scope = SeenScope()
    version = load_version(ModelSettings("m", folder), 1, versions_in(folder)[1], leadership=leadership)
    one = version.signatures["serving_default"]
    # The queue asks when it has an executor to wake, which may be awake still after the call before.
    for _ in range(1000):
        caller = Caller()
        version.submit(Request(one, [rows(1)], one.output_aliases, caller.completion))
        caller.answer()
        if scope.asked:
            break
    assert scope.asked
    assert version.stop(HANG_S)
    assert scope.opened


def test_answers_that_depend_on_state_are_not_kept_and_the_log_says_why(
    saved_models: SavedModels, caplog: pytest.LogCaptureFixture
) -> None:
    folder = saved_models["counter"]
    settings = ModelSettings("m", folder, kept=CacheSettings(True))
    version = load_version(settings, 1, versions_in(folder)[1], cache=ResponseCache(1 << 20))
    for name in version.signatures:
        assert f"answers of signature {name!r} are not kept" in caplog.text
    assert version.stop(HANG_S)


@pytest.mark.parametrize("name", ["counter", "tf1_counter", "keras_counter"])
def test_what_changes_state_is_not_loaded_by_several_processes(saved_models: SavedModels, name: str) -> None:
    folder = saved_models[name]
    with pytest.raises(LoadError, match=r"signature '\w+' may change state.* --processes 1 only"):
        load_version(ModelSettings("m", folder), 1, folder, is_shared=True)


def test_what_keeps_sequences_is_not_loaded_by_several_processes(saved_models: SavedModels) -> None:
    folder = saved_models["running_sum"]
    text = """
        max_batch_size: 4
        sequence_batching {
          control_input { name: "START" control { kind: CONTROL_SEQUENCE_START int32_false_true: [0, 1] } }
          state { input_name: "sum_in" output_name: "sum_out" data_type: TYPE_FP32 dims: 1 }
        }
        """
    settings, _ = settings_from(parsed(text), ModelSettings("m", folder))
    with pytest.raises(LoadError, match=r"its calls form sequences.* --processes 1 only"):
        load_version(settings, 1, folder, is_shared=True)
    version = load_version(settings, 1, folder)
    assert version.stop(HANG_S)


def test_all_else_is_loaded_by_several_processes(saved_models: SavedModels) -> None:
    folder = saved_models["tf2_mlp"]
    version = load_version(ModelSettings("m", folder), 1, folder, is_shared=True)
    assert version.stop(HANG_S)
