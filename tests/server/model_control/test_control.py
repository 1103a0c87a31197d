"""Model control over a real folder and a real repository; loads, clock and threads are the test's."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import pytest

from hotgraph_server.errors import (
    CallError,
    ControlOff,
    Draining,
    InternalError,
    InvalidCall,
    LoadError,
    LoadFailed,
    StartError,
)
from hotgraph_server.model_control.control import ModelControl
from hotgraph_server.model_control.model_factory import ConfiguredModels
from hotgraph_server.model_control.uploads import Uploads
from hotgraph_server.models.memory_usage import MemoryUsage
from hotgraph_server.models.status import IndexRow, State
from hotgraph_server.models.version import Version
from hotgraph_server.repository.repository import Repository
from hotgraph_server.settings import (
    BatchSettings,
    ControlSettings,
    ModelFactory,
    ModelSettings,
    RepositorySettings,
    ShadowSettings,
)

from ..fakes import FakeClock

POLL_S = 10.0
SECOND_LOOK_S = 1.0


class LoadedVersion:
    """Of models.version.Version what the repository sees, and what it was loaded from."""

    def __init__(self, settings: ModelSettings, number: int, folder: Path) -> None:
        self.name = settings.name
        self.number = number
        self.title = f"model '{settings.name}' version {number}"
        self.settings = settings
        self.max_batch_rows = settings.batch.max_batch_rows
        self.content = (folder / "saved_model.pb").read_bytes()
        self.folder = folder
        self.memory = MemoryUsage()
        self.stopped = False

    def stop(self, timeout_s: float) -> bool:
        self.stopped = True
        return True


class FakeDemand:
    """Of on_demand.coordinator.OnDemand what model control sees."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def load(self, name: str, tell: Callable[[CallError | None], None]) -> None:
        self.asked.append(f"load {name}")
        tell(None)

    def unload(self, name: str, tell: Callable[[CallError | None], None]) -> None:
        self.asked.append(f"unload {name}")
        tell(None)


class World:
    """A repository folder, what serves its models, and a control over it.

    Attributes:
        root: the folder.
        broken: loads of models of these names fail, with this text.
        live: the versions that callers find, by model.
    """

    def __init__(self, tmp_path: Path, *fixed: ModelSettings, **settings: Any) -> None:
        self.root, self.uploads = tmp_path / "repository", tmp_path / "uploads"
        self.clock = FakeClock()
        self.broken: dict[str, str] = {}
        self.live: dict[str, list[LoadedVersion]] = {}
        self.loads = 0
        self._threads: list[Callable[[], None]] = []
        for folder in (self.root, self.uploads):
            folder.mkdir(exist_ok=True)
        strict = settings.pop("exit_on_error", True)
        make: ModelFactory = settings.pop("make", ConfiguredModels())
        settings = {"repository": (str(self.root),), "model_control": "explicit"} | settings
        poll_s = POLL_S if settings["model_control"] in ("poll", "auto") else 0.0
        self.demand = FakeDemand() if settings["model_control"] == "auto" else None
        self.repository = Repository(
            RepositorySettings(poll_s=poll_s, unload_grace_s=0.0, exit_on_error=strict),
            self._publish,
            load=self._load,
            give_back=lambda _: None,
            spawn=lambda _, run: self._threads.append(run),
            clock=self.clock,
        )
        self.control = ModelControl(
            ControlSettings(**settings),
            fixed,
            make,
            self.repository,
            self.repository.configure,
            poll_s=poll_s,
            exit_on_error=strict,
            uploads=Uploads(self.uploads),
            clock=self.clock,
            demand=self.demand,
        )

    def put(self, name: str, number: int | str = 1, content: bytes = b"graph", **config: Any) -> Path:
        """Now the repository has this version of this model, and this configuration if one is given."""
        folder = self.root / name / str(number) / "model.savedmodel"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "saved_model.pb").write_bytes(content)
        if config:
            text = "\n".join(f"{key}: {json.dumps(value)}" for key, value in config.items())
            (self.root / name / "config.pbtxt").write_text(text)
        return folder

    def begin(self) -> World:
        self.control.begin()
        return self.go()

    def go(self, seconds: float = 0.0) -> World:
        """Let time pass, and happen whatever comes of it."""
        self.clock.now += seconds
        for _ in range(3):
            self.control.tick()
            self.repository.tick()
            while self._threads:
                self._threads.pop(0)()
        self.control.tick()
        return self

    def polls(self, count: int = 2) -> World:
        for _ in range(count):
            self.go(POLL_S)
        return self

    def ask(
        self, name: str, config: Any = None, files: Mapping[str, bytes] | None = None
    ) -> list[CallError | None]:
        """What is told of a request to load, once it is known."""
        told: list[CallError | None] = []
        text = config if config is None or isinstance(config, str) else json.dumps(config)
        self.control.load(name, text, files or {}, told.append)
        return told

    def load(
        self, name: str, config: Any = None, files: Mapping[str, bytes] | None = None
    ) -> CallError | None:
        told = self.ask(name, config, files)
        self.go()
        if not told:
            # What seems to be unfinished is looked at once more.
            self.go(SECOND_LOOK_S)
        (error,) = told
        return error

    def load_as(self, name: str, served: Mapping[str, str]) -> CallError | None:
        """Load, with parameters that say which versions are served and how."""
        told: list[CallError | None] = []
        self.control.load(name, None, {}, told.append, served)
        self.go()
        (error,) = told
        return error

    def unload(self, name: str) -> None:
        told: list[CallError | None] = []
        self.control.unload(name, told.append)
        self.go()
        assert told == [None]

    def index(self) -> list[IndexRow]:
        told: list[Any] = []
        self.control.index(told.append)
        self.control.tick()
        (rows,) = told
        return cast(list[IndexRow], rows)

    def version(self, name: str) -> LoadedVersion:
        (version,) = self.live[name]
        return version

    def served(self) -> dict[str, list[int]]:
        return {name: [one.number for one in versions] for name, versions in self.live.items() if versions}

    def uploaded(self) -> list[Path]:
        return sorted(self.uploads.iterdir())

    def _publish(
        self, name: str, versions: Sequence[Version], labels: Mapping[str, int], _: ShadowSettings
    ) -> None:
        self.live[name] = cast(list[LoadedVersion], list(versions))

    def _load(self, settings: ModelSettings, number: int, folder: Path) -> Version:
        self.loads += 1
        if settings.name in self.broken:
            raise LoadError(f"model '{settings.name}' version {number}", self.broken[settings.name])
        version = LoadedVersion(settings, number, folder)
        if not version.content:
            raise LoadError(f"{version.title}", "TensorFlow finds no graph in it")
        return cast(Version, version)


FILES = {"file:7/model.savedmodel/saved_model.pb": b"uploaded"}


class TestNone:
    def test_every_model_is_served_from_the_start_and_nothing_changes_later(self, tmp_path: Path) -> None:
        world = World(tmp_path, model_control="none")
        world.put("a")
        world.put("b", 3)
        world.begin()
        assert world.served() == {"a": [1], "b": [3]}
        world.put("c")
        world.put("a", 2)
        world.put("b", 3, b"others")
        world.polls(5)
        assert world.served() == {"a": [1], "b": [3]}
        assert world.loads == 2

    def test_configuration_and_table_say_how_it_is_run(self, tmp_path: Path) -> None:
        make = ConfiguredModels(tables={"b": {"max_batch_rows": 3}})
        world = World(tmp_path, make=make, model_control="none")
        world.put("a", max_batch_size=5)
        world.put("b", max_batch_size=5)
        world.begin()
        assert (world.version("a").max_batch_rows, world.version("b").max_batch_rows) == (5, 3)

    @pytest.mark.parametrize("mode", ["none", "poll", "explicit"])
    def test_name_that_no_message_can_carry_is_left_out_with_a_warning_and_stops_no_other(
        self, tmp_path: Path, mode: str, caplog: pytest.LogCaptureFixture
    ) -> None:
        world = World(tmp_path, model_control=mode, **({"load_model": ("*",)} if mode == "explicit" else {}))
        world.put("a")
        world.put("not\nthis")
        os.mkdir(os.fsencode(world.root) + b"/caf\xe9")
        world.begin()
        world.polls(3)
        assert world.served() == {"a": [1]}
        assert [(row.name, row.number, row.state) for row in world.index()] == [
            ("a", 1, State.LIVE),
            ("caf\\xe9", None, State.FAILED),
            ("not\\nthis", None, State.FAILED),
        ]
        assert "a control character" in world.index()[2].reason
        assert world.control.is_ready()
        assert [text.partition(":")[0] for text in caplog.messages] == [
            "model 'caf\\xe9' is not served",
            "model 'not\\nthis' is not served",
        ]

    def test_every_model_that_is_left_out_is_told_with_its_reason(
        self, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        world = World(tmp_path, model_control="none", exit_on_error=False)
        world.put("a")
        world.put("onnx", platform="onnxruntime_onnx")
        world.put("typo", max_batch_siz=4)
        world.begin()
        assert world.served() == {"a": [1]}
        for name, why in (("onnx", "onnxruntime_onnx"), ("typo", "max_batch_siz")):
            (text,) = (text for text in caplog.messages if text.startswith(f"model '{name}' is not served: "))
            assert why in text

    def test_name_in_two_repositories_is_served_from_neither(self, tmp_path: Path) -> None:
        other = tmp_path / "other"
        (other / "a" / "1").mkdir(parents=True)
        world = World(tmp_path, model_control="none", repository=(str(tmp_path / "repository"), str(other)))
        world.put("a")
        world.put("b")
        world.begin()
        assert world.served() == {"b": [1]}
        row = world.index()[0]
        assert (row.name, row.state) == ("a", State.FAILED)
        assert "two repositories" in row.reason

    def test_name_of_the_command_line_is_not_offered_by_a_repository(self, tmp_path: Path) -> None:
        fixed = tmp_path / "fixed" / "5"
        fixed.mkdir(parents=True)
        (fixed / "saved_model.pb").write_bytes(b"fixed")
        world = World(tmp_path, ModelSettings("a", tmp_path / "fixed"), model_control="none")
        world.put("a")
        world.begin()
        assert world.version("a").content == b"fixed"

    def test_broken_configuration_ends_the_start_with_its_file(self, tmp_path: Path) -> None:
        world = World(tmp_path, model_control="none")
        world.put("a", nonesuch=5)
        with pytest.raises(StartError, match=r"config\.pbtxt"):
            world.begin()

    def test_broken_configuration_is_left_out_where_errors_do_not_end_the_start(self, tmp_path: Path) -> None:
        world = World(tmp_path, model_control="none", exit_on_error=False)
        world.put("a", nonesuch=5)
        world.put("b")
        world.begin()
        assert world.served() == {"b": [1]}
        assert "config.pbtxt" in world.index()[0].reason
        assert not world.control.is_ready()

    def test_folder_that_is_no_repository_ends_the_start(self, tmp_path: Path) -> None:
        world = World(tmp_path, model_control="none", repository=(str(tmp_path / "nowhere"),))
        with pytest.raises(StartError, match="nowhere: no repository: No such file"):
            world.begin()

    def test_nobody_may_load_or_unload(self, tmp_path: Path) -> None:
        for mode in ("none", "poll"):
            world = World(tmp_path, model_control=mode).begin()
            with pytest.raises(
                ControlOff, match="explicit model load / unload is not allowed if polling is enabled"
            ):
                world.ask("a")
            with pytest.raises(ControlOff):
                world.unload("a")

    def test_zero_prefixed_and_odd_folders_are_no_versions(self, tmp_path: Path) -> None:
        world = World(tmp_path, model_control="none")
        for name in (2, "007", "-3", "9a", "copy"):
            world.put("a", name)
        world.begin()
        assert world.served() == {"a": [2]}

    def test_default_model_filename_names_the_folder_of_the_saved_model(self, tmp_path: Path) -> None:
        world = World(tmp_path, model_control="none")
        world.put("a", default_model_filename="net")
        (world.root / "a" / "1" / "model.savedmodel").rename(world.root / "a" / "1" / "net")
        world.begin()
        assert world.version("a").folder.name == "net"

    def test_named_configuration_is_read_where_a_model_has_it(self, tmp_path: Path) -> None:
        world = World(tmp_path, model_control="none", model_config_name="small")
        world.put("a", max_batch_size=5)
        world.put("b", max_batch_size=5)
        (world.root / "a" / "configs").mkdir()
        (world.root / "a" / "configs" / "small.pbtxt").write_text("max_batch_size: 2")
        world.begin()
        assert (world.version("a").max_batch_rows, world.version("b").max_batch_rows) == (2, 5)


class TestRenew:
    """Somebody asks for the configuration to be taken again."""

    def renew(self, world: World, *fixed: ModelSettings, make: ConfiguredModels | None = None) -> Any:
        told: list[CallError | None] = []
        world.control.renew(fixed, make or ConfiguredModels(), told.append)
        world.go()
        (error,) = told
        return error

    @pytest.fixture(params=["none", "poll"])
    def world(self, tmp_path: Path, request: pytest.FixtureRequest) -> World:
        world = World(tmp_path, model_control=request.param)
        world.put("a")
        world.put("b")
        return world.begin()

    def test_what_repositories_offer_now_is_served_at_once(self, world: World) -> None:
        before = world.version("a")
        world.put("a", 2)
        world.put("c")
        (world.root / "b").rename(world.root.parent / "elsewhere")
        assert self.renew(world) is None
        assert world.served() == {"a": [2], "c": [1]}
        assert before.stopped

    def test_changed_configuration_is_followed(self, world: World) -> None:
        before = world.version("a")
        world.put("a", max_batch_size=6)
        assert self.renew(world) is None
        assert world.version("a").max_batch_rows == 6
        assert before.stopped

    def test_changed_table_is_followed(self, world: World) -> None:
        assert self.renew(world, make=ConfiguredModels(tables={"b": {"max_batch_rows": 3}})) is None
        assert (world.version("b").max_batch_rows, world.loads) == (3, 3)

    def test_what_has_not_changed_is_not_loaded_again(self, world: World) -> None:
        assert self.renew(world) is None
        assert self.renew(world) is None
        assert world.loads == 2

    def test_broken_configuration_leaves_its_model_as_it_is_and_the_others_are_followed(
        self, world: World, caplog: pytest.LogCaptureFixture
    ) -> None:
        before = world.version("a")
        (world.root / "a" / "config.pbtxt").write_text("max_batch_size: lots")
        world.put("c")
        assert self.renew(world) is None
        assert world.version("a") is before
        assert world.served() == {"a": [1], "b": [1], "c": [1]}
        assert [one.getMessage()[:28] for one in caplog.records] == ["model 'a' is not taken up: /"]
        world.put("a", max_batch_size=6)
        assert self.renew(world) is None
        assert world.version("a").max_batch_rows == 6

    def test_repository_that_cannot_be_read_changes_nothing(self, world: World, tmp_path: Path) -> None:
        world.root.rename(world.root.parent / "elsewhere")
        assert str(world.root) in str(self.renew(world, ModelSettings("f", tmp_path)))
        assert world.served() == {"a": [1], "b": [1]}
        assert world.repository.models() == ["a", "b"]

    def test_polling_goes_on_from_what_was_found(self, tmp_path: Path) -> None:
        world = World(tmp_path, model_control="poll")
        world.put("a")
        world.begin()
        world.put("c")
        assert self.renew(world) is None
        (world.root / "c").rename(tmp_path / "elsewhere")
        world.polls(1)
        assert world.served() == {"a": [1]}

    def test_polling_goes_on_as_before_after_one_that_could_not_be(self, tmp_path: Path) -> None:
        world = World(tmp_path, model_control="poll")
        world.put("a")
        world.begin()
        world.root.rename(tmp_path / "elsewhere")
        assert self.renew(world, ModelSettings("f", tmp_path)) is not None
        (tmp_path / "elsewhere").rename(world.root)
        world.put("c")
        world.polls(3)
        assert world.repository.models() == ["a", "c"]

    def test_models_of_the_command_line_come_change_and_go(self, world: World, tmp_path: Path) -> None:
        folder = world.put("a").parents[1].rename(tmp_path / "f")
        assert self.renew(world, ModelSettings("f", folder)) is None
        assert world.served() == {"b": [1], "f": [1]}
        (folder / "1").rename(folder / "3")
        settings = ModelSettings("f", folder, BatchSettings(max_batch_rows=7))
        assert self.renew(world, settings) is None
        assert world.served() == {"b": [1], "f": [3]}
        assert world.version("f").max_batch_rows == 7
        assert self.renew(world) is None
        assert world.served() == {"b": [1]}

    def test_name_that_the_command_line_takes_over_is_no_more_the_repositorys(
        self, world: World, tmp_path: Path
    ) -> None:
        folder = world.put("z").parents[1].rename(tmp_path / "f")
        assert self.renew(world, ModelSettings("a", folder)) is None
        assert world.version("a").folder.is_relative_to(folder)

    def test_under_explicit_what_was_loaded_by_request_goes_on(self, tmp_path: Path) -> None:
        world = World(tmp_path)
        world.put("a")
        world.put("b")
        world.begin()
        world.load("a")
        folder = world.put("z").parents[1].rename(tmp_path / "f")
        before = world.version("a")
        assert self.renew(world, ModelSettings("f", folder)) is None
        assert world.served() == {"a": [1], "f": [1]}
        assert world.version("a") is before

    def test_load_that_failed_is_tried_again(self, world: World) -> None:
        world.broken["c"] = "no"
        world.put("c")
        self.renew(world)
        assert world.served() == {"a": [1], "b": [1]}
        world.broken.clear()
        self.renew(world)
        assert world.served() == {"a": [1], "b": [1], "c": [1]}


class TestPoll:
    @pytest.fixture
    def world(self, tmp_path: Path) -> World:
        world = World(tmp_path, model_control="poll")
        world.put("a", max_batch_size=5)
        return world.begin()

    def test_new_model_is_taken_when_two_looks_found_the_same(self, world: World) -> None:
        world.put("b")
        world.polls(1)
        world.put("b", 1, b"still being copied")
        world.polls(1)
        assert world.served() == {"a": [1]}
        world.polls(1)
        assert world.served() == {"a": [1], "b": [1]}

    def test_model_that_is_gone_is_unloaded(self, world: World) -> None:
        (world.root / "a").rename(world.root.parent / "elsewhere")
        world.polls(1)
        assert world.served() == {}

    def test_new_version_takes_the_place_of_the_old(self, world: World) -> None:
        world.put("a", 2)
        world.polls()
        assert world.served() == {"a": [2]}

    def test_changed_configuration_is_followed_by_a_reload(self, world: World) -> None:
        before = world.version("a")
        world.put("a", max_batch_size=6)
        world.polls(3)
        assert world.version("a").max_batch_rows == 6
        assert before.stopped

    def test_changed_files_are_followed_by_a_reload(self, world: World) -> None:
        before = world.version("a")
        world.put("a", 1, b"other files")
        world.polls(3)
        assert world.version("a").content == b"other files"
        assert before.stopped
        loads = world.loads
        world.polls(5)
        assert world.loads == loads, "once, not at every look"

    def test_old_one_goes_on_when_the_new_one_fails_and_the_new_one_is_tried_again(
        self, world: World
    ) -> None:
        before = world.version("a")
        world.broken["a"] = "fails its first run"
        world.put("a", 1, b"other files")
        world.polls(3)
        assert world.version("a") is before
        assert not before.stopped
        assert world.control.is_ready()
        del world.broken["a"]
        world.polls(10)
        assert world.version("a").content == b"other files"

    @pytest.mark.parametrize("text", ["max_batch_size: -3", "nonesuch: 1", "\0"])
    def test_broken_configuration_changes_nothing_until_it_is_whole(self, world: World, text: str) -> None:
        before = world.version("a")
        (world.root / "a" / "config.pbtxt").write_text(text)
        world.polls(3)
        assert world.version("a") is before
        world.put("a", max_batch_size=7)
        world.polls(3)
        assert world.version("a").max_batch_rows == 7

    def test_repository_that_cannot_be_read_changes_nothing(self, world: World) -> None:
        world.root.rename(world.root.parent / "elsewhere")
        world.polls(3)
        assert world.served() == {"a": [1]}

    def test_name_that_another_repository_offers_too_goes_on_as_it_is(self, tmp_path: Path) -> None:
        other = tmp_path / "other"
        other.mkdir()
        world = World(tmp_path, model_control="poll", repository=(str(tmp_path / "repository"), str(other)))
        world.put("a")
        world.begin()
        (other / "a").mkdir()
        world.polls(3)
        assert world.served() == {"a": [1]}


class TestExplicit:
    @pytest.fixture
    def world(self, tmp_path: Path) -> World:
        world = World(tmp_path)
        world.put("a", max_batch_size=5)
        world.put("b")
        return world.begin()

    def test_nothing_is_loaded_that_nobody_asked_for(self, world: World) -> None:
        assert world.served() == {}
        assert world.index() == [IndexRow("a"), IndexRow("b")]
        assert world.control.is_ready()

    @pytest.mark.parametrize(("names", "served"), [(("b",), {"b"}), (("*",), {"a", "b"})])
    def test_models_to_load_at_start_are_loaded(
        self, tmp_path: Path, names: tuple[str, ...], served: set[str]
    ) -> None:
        world = World(tmp_path, load_model=names)
        world.put("a")
        world.put("b")
        assert world.begin().served().keys() == served

    def test_model_to_load_at_start_that_is_not_there_ends_the_start(self, tmp_path: Path) -> None:
        with pytest.raises(StartError, match="load-model c: not in"):
            World(tmp_path, load_model=("c",)).begin()

    def test_load_is_told_when_the_model_is_live_and_not_before(self, world: World) -> None:
        told = world.ask("a")
        world.control.tick()
        world.repository.tick()
        assert told == []
        world.go()
        assert told == [None]
        assert world.served() == {"a": [1]}
        assert world.index()[0] == IndexRow("a", 1, State.LIVE)

    def test_later_changes_wait_for_the_next_load(self, world: World) -> None:
        assert world.load("a") is None
        world.put("a", 2, max_batch_size=6)
        world.polls(5)
        assert world.served() == {"a": [1]}
        assert world.load("a") is None
        assert world.version("a").max_batch_rows == 6
        assert world.served() == {"a": [2]}

    def test_load_of_what_has_not_changed_loads_nothing(self, world: World) -> None:
        world.load("a")
        before = world.version("a")
        assert world.load("a") is None
        assert world.version("a") is before

    def test_load_takes_files_that_changed_under_the_same_number(self, world: World) -> None:
        world.load("a")
        world.put("a", 1, b"other files")
        assert world.load("a") is None
        assert world.version("a").content == b"other files"

    def test_override_holds_in_place_of_the_file_until_the_next_load(self, world: World) -> None:
        assert world.load("a", {"max_batch_size": 3}) is None
        assert world.version("a").max_batch_rows == 3
        assert world.load("a") is None
        assert world.version("a").max_batch_rows == 5

    @pytest.mark.parametrize(
        "config", ["{", "[]", '{"nonesuch": 1}', "\0", '{"max_batch_size": "x"}', "x" * 2**21]
    )
    def test_override_that_is_no_configuration_is_the_callers_fault(self, world: World, config: str) -> None:
        world.load("a")
        before = world.version("a")
        error = world.load("a", config)
        assert isinstance(error, InvalidCall)
        assert str(error).startswith("failed to load 'a', Invalid config override: ")
        assert len(str(error)) < 1000
        assert world.version("a") is before

    @pytest.mark.parametrize("name", ["../../b", "/etc", "..", "a/b", ".x"])
    def test_override_cannot_lead_out_by_the_name_of_the_saved_model(self, world: World, name: str) -> None:
        error = world.load("a", {"default_model_filename": name})
        assert isinstance(error, InvalidCall)
        assert "default_model_filename" in str(error)
        assert world.served() == {}

    def test_failed_load_tells_why_and_changes_nothing(self, world: World) -> None:
        world.load("a")
        before = world.version("a")
        world.broken["a"] = "fails its first run"
        error = world.load("a", {"max_batch_size": 3})
        assert isinstance(error, LoadFailed)
        assert str(error) == "failed to load 'a', model 'a' version 1: fails its first run"
        assert world.version("a") is before
        del world.broken["a"]
        world.polls(20)
        assert world.version("a") is before, "nobody has asked for it again"
        assert world.control.is_ready()

    def test_model_that_never_loaded_is_unavailable_until_it_is_unloaded_or_loads(self, world: World) -> None:
        world.broken["a"] = "fails its first run"
        assert isinstance(world.load("a"), LoadFailed)
        assert world.index()[0].state is State.FAILED
        assert "fails its first run" in world.index()[0].reason
        assert not world.control.is_ready()
        world.unload("a")
        assert world.control.is_ready()
        del world.broken["a"]
        assert world.load("a") is None
        assert world.control.is_ready()

    def test_model_without_a_graph_cannot_be_loaded(self, world: World) -> None:
        (world.put("c") / "saved_model.pb").unlink()
        told = world.ask("c")
        world.go()
        (error,) = told
        assert isinstance(error, LoadFailed)
        assert "version 1 is not complete: neither saved_model.pb nor saved_model.pbtxt is there" in str(
            error
        )

    def test_version_that_seems_unfinished_is_looked_at_again_and_then_loaded_with_what_comes_of_it(
        self, world: World
    ) -> None:
        folder = world.put("c", 1, b"")
        told = world.ask("c")
        world.go(SECOND_LOOK_S)
        assert not told
        (folder / "saved_model.pb").write_bytes(b"wri")
        world.go(SECOND_LOOK_S)
        assert not told, "it changes still"
        (folder / "saved_model.pb").write_bytes(b"written")
        world.go(SECOND_LOOK_S)
        assert not told, "it changes still"
        world.go(SECOND_LOOK_S)
        assert told == [None]
        assert world.version("c").content == b"written"
        world.put("d", 1, b"")
        error = world.load("d")
        assert isinstance(error, LoadFailed)
        assert "TensorFlow finds no graph in it" in str(error)

    def test_model_unloaded_a_moment_ago_is_loaded_without_waiting_for_it_to_close(
        self, world: World
    ) -> None:
        world.load("a")
        before = world.version("a")
        told: list[CallError | None] = []
        world.control.unload("a", told.append)
        world.control.tick()
        unload = world._threads.pop()
        assert world.load("a") is None
        assert world.served() == {"a": [1]}
        assert not before.stopped
        unload()
        assert before.stopped
        assert world.served() == {"a": [1]}

    def test_version_that_is_live_and_not_complete_any_more_cannot_be_loaded_anew(self, world: World) -> None:
        world.load("a")
        before = world.version("a")
        world.put("a", 1, b"")
        error = world.load("a")
        assert isinstance(error, LoadFailed)
        assert "TensorFlow finds no graph in it" in str(error)
        assert isinstance(world.load("a", {}, {"file:1/saved_model.pb": b""}), LoadFailed)
        assert world.version("a") is before
        assert world.uploaded() == []

    def test_unknown_model_is_not_in_the_repository(self, world: World) -> None:
        error = world.load("nobody")
        assert isinstance(error, LoadFailed)
        assert str(error) == "failed to load 'nobody', failed to poll from model repository"
        assert [row.name for row in world.index()] == ["a", "b"]
        assert world.control.is_ready()

    def test_unload_hides_the_model_and_closes_it(self, world: World) -> None:
        world.load("a")
        version = world.version("a")
        world.unload("a")
        assert world.served() == {}
        assert version.stopped
        assert world.index()[0] == IndexRow("a", 1, State.CLOSED, "unloaded")
        assert world.control.is_ready()
        world.unload("a")
        world.unload("never heard of ../../it")

    def test_models_of_the_command_line_are_not_touched(self, tmp_path: Path) -> None:
        fixed = tmp_path / "fixed" / "5"
        fixed.mkdir(parents=True)
        (fixed / "saved_model.pb").write_bytes(b"fixed")
        world = World(tmp_path, ModelSettings("f", tmp_path / "fixed")).begin()
        assert isinstance(world.load("f"), InvalidCall)
        assert isinstance(world.load("f", {}, FILES), InvalidCall)
        told: list[CallError | None] = []
        world.control.unload("f", told.append)
        world.go()
        assert isinstance(told[0], InvalidCall)
        assert world.served() == {"f": [5]}

    def test_what_its_owner_has_linked_into_the_repository_is_served(
        self, world: World, tmp_path: Path
    ) -> None:
        outside = tmp_path / "outside"
        (world.put("c", max_batch_size=5).parent.parent).rename(outside)
        for name, end in (
            ("linked", outside),
            ("a/9", outside / "1"),
            ("b/config.pbtxt", outside / "config.pbtxt"),
        ):
            (world.root / name).symlink_to(end)
        for name in ("linked", "a", "b"):
            assert world.load(name) is None
        assert world.served() == {"linked": [1], "a": [9], "b": [1]}
        assert world.version("b").max_batch_rows == 5

    def test_name_that_a_request_gives_to_the_saved_model_leads_to_no_link_out(
        self, world: World, tmp_path: Path
    ) -> None:
        (tmp_path / "secret").mkdir()
        (tmp_path / "secret" / "saved_model.pb").write_bytes(b"secret")
        (world.root / "a" / "1" / "other").symlink_to(tmp_path / "secret")
        assert isinstance(world.load("a", {"default_model_filename": "other"}), LoadFailed)
        world.put("a", config="")
        (world.root / "a" / "config.pbtxt").write_text('default_model_filename: "other"')
        assert world.load("a") is None
        assert world.version("a").content == b"secret"

    @pytest.mark.parametrize("config", [None, {}])
    def test_files_that_a_request_names_are_none_that_are_linked(
        self, world: World, config: dict[str, Any] | None
    ) -> None:
        world.load("a", config)
        assert world.version("a").settings.folder.linked_files is (config is None)

    def test_link_out_of_the_repository_is_not_followed_where_that_is_off(self, tmp_path: Path) -> None:
        world = World(tmp_path, follow_links=False)
        world.put("a")
        world.put("b")
        world.begin()
        outside = tmp_path / "outside"
        (world.put("c").parent.parent).rename(outside)
        (world.root / "linked").symlink_to(outside)
        assert isinstance(world.load("linked"), LoadFailed)
        (world.root / "a" / "9").symlink_to(outside / "1")
        assert world.load("a") is None
        assert world.served() == {"a": [1]}
        (world.root / "loop").symlink_to(world.root / "loop")
        assert isinstance(world.load("loop"), LoadFailed)
        (world.root / "b" / "config.pbtxt").symlink_to("/etc/passwd")
        error = world.load("b")
        assert isinstance(error, LoadFailed)
        assert "is a link out of" in str(error)

    def test_link_within_the_repository_is_followed(self, world: World) -> None:
        (world.root / "c").symlink_to(world.root / "b")
        assert world.load("c") is None

    def test_pipe_in_place_of_a_configuration_keeps_nobody_waiting(self, world: World) -> None:
        os.mkfifo(world.root / "b" / "config.pbtxt")
        assert world.load("b") is None

    def test_unload_during_a_load_wins(self, world: World) -> None:
        told = world.ask("a")
        world.control.tick()
        world.unload("a")
        (error,) = told
        assert isinstance(error, LoadFailed)
        assert "unloaded meanwhile" in str(error)
        assert world.served() == {}

    def test_second_load_overtakes_the_first_and_both_are_told(self, world: World) -> None:
        first, second = world.ask("a", {"max_batch_size": 3}), world.ask("a", {"max_batch_size": 4})
        world.go()
        assert (first, second) == ([None], [None])
        assert world.version("a").max_batch_rows == 4

    def test_error_of_ours_answers_the_caller_and_ends_nothing(
        self, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        def fail(*_: object) -> Any:
            raise RuntimeError("a bug")

        world = World(tmp_path, make=fail)
        world.put("a")
        world.begin()
        assert isinstance(world.load("a"), InternalError)
        assert "a bug" in caplog.text
        world.unload("a")

    def test_server_that_stops_answers_who_waits(self, world: World) -> None:
        told = world.ask("a")
        world.control.wind_down()
        world.go()
        assert isinstance(told[0], Draining)
        late = world.ask("a")
        world.control.stop(1.0)
        assert isinstance(late[0], Draining)


class TestUploads:
    @pytest.fixture
    def world(self, tmp_path: Path) -> World:
        world = World(tmp_path, max_load_files=3)
        world.put("a", max_batch_size=5)
        return world.begin()

    def test_files_of_a_request_are_served_and_never_written_into_the_repository(self, world: World) -> None:
        before = sorted(world.root.rglob("*"))
        assert world.load("new", {"max_batch_size": 2}, FILES) is None
        assert world.served() == {"new": [7]}
        assert (world.version("new").content, world.version("new").max_batch_rows) == (b"uploaded", 2)
        assert sorted(world.root.rglob("*")) == before
        (folder,) = world.uploaded()
        assert folder.stat().st_mode & 0o077 == 0, "nobody else may look into it"
        assert world.version("new").folder.is_relative_to(folder)

    def test_folder_is_gone_when_the_model_is_unloaded(self, world: World) -> None:
        world.load("new", {}, FILES)
        world.unload("new")
        assert world.uploaded() == []

    def test_folder_is_gone_when_another_load_has_taken_its_place(self, world: World) -> None:
        world.load("a")
        assert world.load("a", {}, FILES) is None
        assert world.served() == {"a": [7]}
        first = world.uploaded()
        assert world.load("a", {}, {"file:7/saved_model.pb": b"others"}) is None
        assert world.version("a").content == b"others"
        assert len(world.uploaded()) == 1
        assert world.uploaded() != first
        assert world.load("a") is None
        assert world.served() == {"a": [1]}
        assert world.uploaded() == []

    def test_folder_is_gone_when_it_cannot_be_loaded_and_the_old_one_goes_on(self, world: World) -> None:
        world.load("a", {}, FILES)
        (kept,) = world.uploaded()
        before = world.version("a")
        world.broken["a"] = "broken"
        assert isinstance(world.load("a", {}, {"file:8/saved_model.pb": b"others"}), LoadFailed)
        assert world.version("a") is before
        assert world.uploaded() == [kept]
        del world.broken["a"]
        assert isinstance(world.load("new", "{", FILES), InvalidCall)
        assert isinstance(world.load("new", {}, {"file:1/readme.txt": b"no model"}), LoadFailed)
        assert isinstance(world.load("a", {}, {"file:1/readme.txt": b"no model"}), LoadFailed)
        assert world.version("a") is before
        assert world.uploaded() == [kept]

    def test_folder_is_gone_at_the_end(self, world: World) -> None:
        world.load("new", {}, FILES)
        world.repository.stop(1.0)
        world.control.stop(1.0)
        assert world.uploaded() == []

    def test_files_need_a_configuration(self, world: World) -> None:
        with pytest.raises(InvalidCall, match="requires a config"):
            world.ask("new", None, FILES)

    @pytest.mark.parametrize(
        "key",
        ["file:../x", "file:1/../../x", "file:/etc/x", "file:01/x", "file:1/", "file:", "file:config.pbtxt"],
    )
    def test_path_that_leads_elsewhere_is_refused_before_anything_is_written(
        self, world: World, key: str
    ) -> None:
        with pytest.raises(InvalidCall, match="the path of a file to load"):
            world.ask("new", {}, {key: b"x"})
        assert world.uploaded() == []

    @pytest.mark.parametrize("name", ["", "../x", "a/b", "two\nlines"])
    def test_name_that_is_none_is_refused_before_anything_is_written(self, world: World, name: str) -> None:
        with pytest.raises(InvalidCall):
            world.ask(name, {}, FILES)
        assert world.uploaded() == []

    def test_too_many_files_are_refused(self, world: World) -> None:
        with pytest.raises(InvalidCall, match="4 files in one request to load; the limit is 3"):
            world.ask("new", {}, {f"file:1/{number}": b"" for number in range(4)})

    def test_full_disk_is_told_and_leaves_nothing(
        self, world: World, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        really_open = os.open

        def full(path: Any, flags: int, *mode: int, **where: Any) -> int:
            if flags & os.O_CREAT:
                raise OSError(28, "No space left on device")
            return really_open(path, flags, *mode, **where)

        monkeypatch.setattr("hotgraph_server.model_control.uploads.os.open", full)
        error = world.load("new", {}, FILES)
        monkeypatch.undo()
        assert isinstance(error, LoadFailed)
        assert "No space left on device" in str(error)
        assert world.uploaded() == []


class TestServedAs:
    """Parameters of a load that say which versions are served."""

    def test_version_beside_the_old_one_loads_alone(self, tmp_path: Path) -> None:
        world = World(tmp_path)
        world.put("a", 1)
        world.begin()
        assert world.load("a") is None
        world.put("a", 2)
        served = {"hotgraph_versions": "1,2", "hotgraph_default_version": "1"}
        loads = world.loads
        assert world.load_as("a", served) is None
        assert {one.number for one in world.live["a"]} == {1, 2}
        assert world.loads == loads + 1

    def test_what_is_served_of_live_versions_changes_without_a_load(self, tmp_path: Path) -> None:
        world = World(tmp_path)
        world.put("a", 1)
        world.put("a", 2)
        world.begin()
        assert world.load_as("a", {"hotgraph_versions": "1,2", "hotgraph_default_version": "1"}) is None
        loads = world.loads
        assert world.load_as("a", {"hotgraph_versions": "2"}) is None
        assert [one.number for one in world.live["a"]] == [2]
        assert world.loads == loads

    def test_version_that_cannot_be_loaded_leaves_the_old_one(self, tmp_path: Path) -> None:
        world = World(tmp_path)
        world.put("a", 1)
        world.begin()
        assert world.load_as("a", {"hotgraph_versions": "1"}) is None
        world.put("a", 2)
        world.broken["a"] = "no such op"
        assert "no such op" in str(world.load_as("a", {"hotgraph_versions": "1,2"}))
        assert [one.number for one in world.live["a"]] == [1]
        # Nor is the new one tried again.
        loads = world.loads
        world.go(100.0)
        assert world.loads == loads


class TestAuto:
    """Which models there are is followed as under poll; what is loaded of them others decide."""

    def test_who_decides_is_asked_to_load_and_to_unload_and_models_stay_known(self, tmp_path: Path) -> None:
        world = World(tmp_path, model_control="auto")
        world.put("m")
        world.begin()
        assert world.demand is not None
        assert world.load("m") is None
        told: list[CallError | None] = []
        world.control.unload("m", told.append)
        world.go()
        assert (told, world.demand.asked) == ([None], ["load m", "unload m"])
        assert world.repository.models() == ["m"]

    def test_a_request_to_load_takes_up_what_has_come_meanwhile(self, tmp_path: Path) -> None:
        world = World(tmp_path, model_control="auto").begin()
        world.put("new")
        assert world.load("new") is None
        assert world.repository.models() == ["new"]
        assert "failed to load 'nobody'" in str(world.load("nobody"))

    def test_models_of_the_command_line_are_loaded_by_request_too(self, tmp_path: Path) -> None:
        fixed = ModelSettings("mine", tmp_path / "mine")
        (tmp_path / "mine" / "1").mkdir(parents=True)
        (tmp_path / "mine" / "1" / "saved_model.pb").write_bytes(b"graph")
        world = World(tmp_path, fixed, model_control="auto").begin()
        assert world.load("mine") is None
        assert world.demand is not None
        assert world.demand.asked == ["load mine"]

    def test_a_request_brings_no_configuration_and_no_files(self, tmp_path: Path) -> None:
        world = World(tmp_path, model_control="auto")
        world.put("m")
        world.begin()
        with pytest.raises(InvalidCall, match="as its repository has it"):
            world.ask("m", {})
        with pytest.raises(InvalidCall, match="as its repository has it"):
            world.ask("m", None, {"file:1/saved_model.pb": b"graph"})

    def test_repositories_are_followed(self, tmp_path: Path) -> None:
        world = World(tmp_path, model_control="auto").begin()
        world.put("m")
        world.polls()
        assert world.repository.models() == ["m"]

    def test_one_that_cannot_be_loaded_does_not_make_the_server_unready(self, tmp_path: Path) -> None:
        world = World(tmp_path, model_control="auto", exit_on_error=False)
        world.put("m")
        world.broken["m"] = "no graph"
        world.begin()
        assert world.control.is_ready()
