from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import cast

import pytest

from hotgraph_server.errors import LoadError, SettingsError
from hotgraph_server.models.memory_usage import Basis, MemoryUsage
from hotgraph_server.models.version import Version
from hotgraph_server.repository import footprints
from hotgraph_server.repository.footprints import Footprints
from hotgraph_server.repository.growth import Reading
from hotgraph_server.settings import ModelSettings, SessionSettings

from ...saved_models import SavedModels
from ..fakes import HANG_S

MIB = 2**20
GPU = SessionSettings(device="/GPU:0")


class Stub:
    """Of a version what is asked of it here."""

    def __init__(self, tensor_bytes: int) -> None:
        self.tensor_bytes = tensor_bytes
        self.memory = MemoryUsage(tensor_bytes)


class Process:
    """A process whose memory is what the test says, and folders of any size.

    Attributes:
        held: bytes, but for tensors. tensors: bytes, by the device.
        collected: how often garbage was.
        asked: the devices whose memory was asked for.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self.held = 500 * MIB
        self.tensors: dict[str, int | None] = {"/device:CPU:0": 0, "/device:GPU:0": 0}
        self.collected = 0
        self.freed = 0
        self.asked: list[str] = []
        self.prepared: list[SessionSettings] = []
        self.footprints = Footprints(
            lambda: Reading(divided=self.held, mapped=0),
            self.prepared.append,
            self._tensors_on,
            self._collect,
            self._free,
        )

    def folder(self, name: str, nbytes: int) -> Path:
        folder = self.root / name
        (folder / "variables").mkdir(parents=True, exist_ok=True)
        with open(folder / "variables" / "variables.data", "wb") as file:
            file.truncate(nbytes)
        return folder

    def load(
        self,
        folder: Path,
        *,
        held: int = 0,
        tensors: int = 0,
        on_device: int = 0,
        settings: ModelSettings | None = None,
        during: Callable[[], object] = lambda: None,
        fails: bool = False,
    ) -> Version:
        def really(of_model: ModelSettings, number: int, _: Path) -> Version:
            during()
            self.held += held
            for device, grown in (("/device:CPU:0", tensors), ("/device:GPU:0", on_device)):
                if (before := self.tensors[device]) is not None:
                    self.tensors[device] = before + grown
            if fails:
                raise LoadError("m", "broken")
            return cast(Version, Stub(on_device or tensors))

        settings = settings or ModelSettings(folder.name, folder)
        return self.footprints.measuring(really)(settings, 1, folder)

    def close(self, version: Version) -> None:
        self.held -= version.memory.host_bytes
        self.footprints.give_back(version.memory)

    def estimate(self, folder: Path, settings: ModelSettings | None = None) -> MemoryUsage:
        return self.footprints.estimate(settings or ModelSettings(folder.name, folder), folder)

    def _tensors_on(self, device: str) -> int | None:
        assert self.prepared, "asked before there was a session"
        self.asked.append(device)
        return self.tensors[device]

    def _collect(self) -> None:
        self.collected += 1

    def _free(self) -> None:
        self.freed += 1


@pytest.fixture
def process(tmp_path: Path) -> Process:
    return Process(tmp_path)


def test_load_is_measured_with_its_tensors_and_all_else(process: Process) -> None:
    version = process.load(process.folder("a", 60 * MIB), held=8 * MIB, tensors=60 * MIB)
    assert version.memory == MemoryUsage(68 * MIB, 0, "", Basis.MEASURED)
    assert version.memory.total_bytes == 68 * MIB


def test_garbage_is_collected_at_both_ends(process: Process) -> None:
    process.load(process.folder("a", MIB), during=lambda: process.collected == 1 or pytest.fail("late"))
    assert (process.collected, process.freed) == (1, 1)


def test_tensorflow_is_asked_when_the_first_session_was_prepared_and_that_happens_once(
    process: Process,
) -> None:
    folder = process.folder("a", MIB)
    process.estimate(folder)
    assert not process.asked
    for session in (SessionSettings(plan="as-saved"), SessionSettings()):
        process.load(folder, settings=ModelSettings("a", folder, session=session))
    assert process.asked
    assert process.prepared == [SessionSettings(plan="as-saved")]


def test_settings_that_no_session_takes_are_for_the_load_to_tell(process: Process) -> None:
    def refuse(_: SessionSettings) -> None:
        raise SettingsError("no such file")

    found = Footprints(lambda: Reading(divided=5, mapped=5), refuse, lambda _: pytest.fail("asked"))
    load = found.measuring(lambda *_: cast(Version, Stub(3)))
    folder = process.folder("a", MIB)
    assert load(ModelSettings("a", folder), 1, folder).memory.host_bytes == 3


def test_where_tensorflow_does_not_count_the_c_library_is_believed(process: Process) -> None:
    process.tensors["/device:CPU:0"] = None
    version = process.load(process.folder("a", MIB), held=70 * MIB, tensors=60 * MIB)
    assert version.memory == MemoryUsage(70 * MIB, 0, "", Basis.MEASURED)


def test_memory_is_never_less_than_tensors(process: Process) -> None:
    process.tensors["/device:CPU:0"] = None
    version = process.load(process.folder("a", MIB), held=1, tensors=60 * MIB)
    assert version.memory.host_bytes == 60 * MIB


def test_estimate_of_what_was_loaded_is_what_it_took(process: Process) -> None:
    folder = process.folder("a", 10 * MIB)
    before = process.estimate(folder)
    assert before.basis is Basis.ESTIMATED
    assert before.host_bytes > 10 * MIB
    version = process.load(folder, held=45 * MIB)
    assert process.estimate(folder) == version.memory
    # Loaded again it takes less: the first load paid for what is there once.
    again = process.load(folder, held=40 * MIB)
    assert process.estimate(folder) == again.memory == MemoryUsage(40 * MIB, 0, "", Basis.MEASURED)


def test_other_files_or_another_session_are_another_version(process: Process) -> None:
    folder = process.folder("a", 10 * MIB)
    process.load(folder, held=40 * MIB)
    other = ModelSettings("a", folder, session=SessionSettings(plan="as-saved"))
    assert process.estimate(folder, other).basis is Basis.ESTIMATED
    process.folder("a", 20 * MIB)
    found = process.estimate(folder)
    assert found == MemoryUsage(80 * MIB, 0, "", Basis.ESTIMATED)


def test_estimate_is_by_the_same_model_first_and_then_by_files_of_that_size(process: Process) -> None:
    model = ModelSettings("m", process.root)
    process.load(process.folder("one", 10 * MIB), held=40 * MIB, settings=model)
    process.load(process.folder("other", 8 * MIB), held=8 * MIB, settings=ModelSettings("n", process.root))
    two = process.folder("two", 100 * MIB)
    assert process.estimate(two, model).host_bytes == 400 * MIB
    assert process.estimate(process.folder("three", 9 * MIB)).host_bytes == 9 * MIB * 48 // 18
    guessed = process.estimate(process.folder("four", 100 * MIB)).host_bytes
    assert guessed == process.estimate(process.folder("five", 100 * MIB)).host_bytes
    assert 100 * MIB < guessed < 400 * MIB


def test_version_on_a_device_is_measured_there(process: Process) -> None:
    folder = process.folder("a", 60 * MIB)
    settings = ModelSettings("a", folder, session=GPU)
    estimate = process.estimate(folder, settings)
    assert estimate.device == "/device:GPU:0"
    assert estimate.device_bytes >= 60 * MIB
    version = process.load(folder, held=9 * MIB, on_device=61 * MIB, settings=settings)
    assert version.memory == MemoryUsage(9 * MIB, 61 * MIB, "/device:GPU:0", Basis.MEASURED)
    assert process.estimate(folder, settings) == version.memory


def test_load_that_is_known_needs_no_measuring_and_keeps_no_other_from_it(process: Process) -> None:
    known = process.folder("known", 10 * MIB)
    for _ in range(2):
        process.close(process.load(known, held=12 * MIB))
    collected = process.collected
    loading = Held(process, process.folder("new", 10 * MIB), held=30 * MIB)
    assert process.collected == collected + 1
    version = process.load(known, held=12 * MIB)
    assert process.collected == collected + 1
    assert version.memory == MemoryUsage(12 * MIB, 0, "", Basis.MEASURED)
    assert loading.end().memory == MemoryUsage(30 * MIB, 0, "", Basis.MEASURED)


def test_other_files_are_measured_anew(process: Process) -> None:
    folder = process.folder("a", 10 * MIB)
    for _ in range(3):
        process.close(process.load(folder, held=12 * MIB))
    process.folder("a", 11 * MIB)
    assert process.load(folder, held=20 * MIB).memory.host_bytes == 20 * MIB


class Held:
    """A load in a thread of its own, which the test lets end."""

    def __init__(self, process: Process, folder: Path, held: int, tensors: int = 0) -> None:
        self._begun, self._go_on = threading.Event(), threading.Event()
        self.version: Version | None = None

        def hold() -> None:
            self._begun.set()
            assert self._go_on.wait(HANG_S)

        def run() -> None:
            self.version = process.load(folder, during=hold, held=held, tensors=tensors)

        self._thread = threading.Thread(target=run)
        self._thread.start()
        assert self._begun.wait(HANG_S)

    def end(self) -> Version:
        self._go_on.set()
        self._thread.join(HANG_S)
        assert self.version is not None
        return self.version


def test_overlapping_load_is_estimated_until_all_have_ended(process: Process) -> None:
    a, b = process.folder("a", 10 * MIB), process.folder("b", 30 * MIB)
    first = Held(process, a, held=10 * MIB, tensors=10 * MIB)
    second = Held(process, b, held=20 * MIB, tensors=30 * MIB)
    version = first.end()
    assert version.memory.basis is Basis.ESTIMATED
    assert version.memory.host_bytes >= 10 * MIB
    other = second.end()
    assert {version.memory.basis, other.memory.basis} == {Basis.SHARED}
    whole = version.memory.host_bytes + other.memory.host_bytes
    assert whole == pytest.approx(70 * MIB, abs=2)
    assert other.memory.host_bytes == pytest.approx(3 * version.memory.host_bytes, rel=1e-3)
    assert process.estimate(a) == version.memory


def test_version_that_closes_meanwhile_takes_nothing_off(process: Process) -> None:
    old = process.load(process.folder("old", 10 * MIB), held=10 * MIB)
    loading = Held(process, process.folder("new", 10 * MIB), held=30 * MIB)
    freed = process.freed
    process.close(old)
    assert process.freed == freed + 1
    assert loading.end().memory.host_bytes == 30 * MIB


def test_failed_load_raises_and_is_forgotten(process: Process) -> None:
    with pytest.raises(LoadError):
        process.load(process.folder("a", 10 * MIB), held=999 * MIB, fails=True)
    version = process.load(process.folder("b", 10 * MIB), held=10 * MIB)
    assert version.memory == MemoryUsage(10 * MIB, 0, "", Basis.MEASURED)


def test_what_is_remembered_has_an_end(process: Process, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(footprints, "REMEMBERED", 2)
    folders = [process.folder(name, MIB) for name in "abc"]
    for folder in (*folders[:2], folders[0], folders[2]):
        process.load(folder, held=5 * MIB)
    bases = [process.estimate(folder).basis for folder in folders]
    assert bases == [Basis.MEASURED, Basis.ESTIMATED, Basis.MEASURED]


def test_the_same_savedmodel_takes_the_same_each_time(saved_models: SavedModels) -> None:
    """By what TensorFlow and the C library really say."""
    from hotgraph_server.repository.loader import load_version

    real = Footprints()
    load = real.measuring(load_version)
    folder = saved_models["tf2_mlp"]
    settings = ModelSettings("m", folder)
    taken = []
    for _ in range(3):
        version = load(settings, 1, folder)
        taken.append(version.memory)
        assert version.tensor_bytes > 0
        assert version.stop(HANG_S)
        del version
        real.give_back(taken[-1])
    assert {one.basis for one in taken} == {Basis.MEASURED}
    assert abs(taken[2].host_bytes - taken[1].host_bytes) < 8 * MIB
    assert real.estimate(settings, folder) == taken[-1]
