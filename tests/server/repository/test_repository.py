"""The repository over a disk, a clock and threads that the test holds in its hand."""

from __future__ import annotations

import logging
import math
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import pytest

from hotgraph_server.batching.request import Request
from hotgraph_server.errors import ConfigError, LabelNotAvailable, LoadError
from hotgraph_server.models.memory_usage import MemoryUsage
from hotgraph_server.models.opening import open_version
from hotgraph_server.models.status import State, Unavailable
from hotgraph_server.models.version import Version
from hotgraph_server.repository.layout import Found, Interest, Look
from hotgraph_server.repository.records import REMEMBERED
from hotgraph_server.repository.repository import Repository
from hotgraph_server.repository.room import Held, Room
from hotgraph_server.repository.tree import Tree
from hotgraph_server.settings import (
    AllVersions,
    BatchSettings,
    FolderSettings,
    Latest,
    ModelSettings,
    RepositorySettings,
    ResidencySettings,
    ShadowSettings,
    Specific,
)

from ..fakes import HANG_S, Caller, FakeClock, FakeGraph, rows

K = State.KNOWN
W, L, V, D, C, F = (
    State.WAITING,
    State.LOADING,
    State.LIVE,
    State.DRAINING,
    State.CLOSED,
    State.FAILED,
)


class FakeVersion:
    """Of models.version.Version what the repository sees."""

    def __init__(self, name: str, number: int, rows: int = 0) -> None:
        self.name = name
        self.number = number
        self.rows = rows
        self.title = f"model '{name}' version {number}"
        self.memory = MemoryUsage()
        self.stopped: list[float] = []

    def stop(self, timeout_s: float) -> bool:
        self.stopped.append(timeout_s)
        return True


class World:
    """A repository and all that is around it.

    Attributes:
        disk: what a look at each folder finds.
        looks: at which folders was looked, in order.
        interests: what for.
        unseen: versions that looks do not go into.
        broken: loads of these versions fail, with this text.
        bug: raised by them in place of that.
        loaded: every version that was, in order.
        shown: versions and labels of each model as published last, and how often that was.
        threads: those begun and not yet run, with their names.
        given_back: how often memory was.
        during_look: what happens while the next look is made.
    """

    def __init__(
        self,
        *,
        make: Callable[[ModelSettings, int], Any] | None = None,
        room: Room | None = None,
        **settings: Any,
    ) -> None:
        self._make = make or (
            lambda settings, number: FakeVersion(settings.name, number, settings.batch.max_batch_rows)
        )
        self.clock = FakeClock()
        self.disk: dict[Path, dict[int, Found] | LoadError] = {}
        self.looks: list[Path] = []
        self.interests: list[Interest] = []
        self.unseen: set[int] = set()
        self.broken: dict[int, str] = {}
        self.loaded: list[FakeVersion] = []
        self.shown: dict[str, tuple[list[int], Mapping[str, int]]] = {}
        self.published = 0
        self.threads: list[tuple[str, Callable[[], None]]] = []
        self.given_back = 0
        self.bug: Exception | None = None
        self.during_look: Callable[[], None] = lambda: None
        self.repository = Repository(
            RepositorySettings(
                **{
                    "poll_s": 1.0,
                    "unload_grace_s": 0.0,
                    "wait_for_models": True,
                    "load_threads": 1,
                    **settings,
                }
            ),
            self._publish,
            load=self._load,
            look=self._look,
            give_back=self._give_back,
            spawn=lambda name, run: self.threads.append((name, run)),
            clock=self.clock,
            room=room,
        )

    def put(
        self,
        *numbers: int,
        path: str = "/m",
        written: int = 0,
        opened: int = 0,
        missing: str | None = None,
        unreadable: bool = False,
        hint: str | None = None,
    ) -> None:
        """Now these versions are in a folder too."""
        there = self.disk.setdefault(Path(path), {})
        assert isinstance(there, dict)
        tree = Tree(frozenset({("saved_model.pb", 1, written)}), max(written, opened))
        there |= {
            number: Found(Path(path, str(number)), tree, missing, unreadable, hint) for number in numbers
        }

    def remove(self, *numbers: int, path: str = "/m") -> None:
        there = self.disk[Path(path)]
        assert isinstance(there, dict)
        for number in numbers:
            del there[number]

    def configure(self, *models: ModelSettings) -> None:
        self.repository.configure(models or [model()])

    def tick(self, seconds: float = 0.0) -> float:
        """After so many seconds; returns those until it wants to tick again."""
        self.clock.now += seconds
        return self.repository.tick() - self.clock.now

    def run(self, kind: str = "") -> list[str]:
        """Let the threads run whose names begin so, and those that come of them; returns their names."""
        names = []
        while found := [thread for thread in self.threads if thread[0].startswith(kind)]:
            self.threads.remove(found[0])
            names.append(found[0][0])
            found[0][1]()
        return names

    def poll_until_taken(self) -> None:
        """Two looks that find the same, and all that comes of it."""
        for _ in range(2):
            self.tick(1.0)
        self.run()

    def states(self, name: str = "m") -> dict[int, State]:
        return {status.number: status.state for status in self.repository.statuses(name)}

    def settled(self, *names: str, **how: bool) -> list[list[Unavailable]]:
        """A list that gets what is told."""
        told: list[list[Unavailable]] = []
        self.repository.when_settled(names or ["m"], told.append, **how)
        return told

    def version(self, number: int) -> FakeVersion:
        return next(one for one in reversed(self.loaded) if one.number == number)

    def _publish(
        self, name: str, versions: Sequence[Version], labels: Mapping[str, int], _: ShadowSettings
    ) -> None:
        self.shown[name] = ([version.number for version in versions], dict(labels))
        self.published += 1

    def _load(self, settings: ModelSettings, number: int, folder: Path) -> Version:
        assert folder == settings.path / str(number)
        if number in self.broken:
            if self.bug is not None:
                raise self.bug
            raise LoadError(f"model '{settings.name}' version {number}", self.broken[number])
        self.loaded.append(self._make(settings, number))
        return cast(Version, self.loaded[-1])

    def _look(self, path: Path, rules: FolderSettings, interest: Interest) -> Look:
        self.looks.append(path)
        self.interests.append(interest)
        found = self.disk.get(path, LoadError(str(path), "no such folder"))
        if isinstance(found, LoadError):
            raise found
        versions = dict(found)
        for number in self.unseen:
            versions[number] = Found(versions[number].folder)
        during, self.during_look = self.during_look, lambda: None
        during()
        unreadable = (f"{one.folder} {one.missing}" for one in versions.values() if one.unreadable)
        return Look(versions, tuple(unreadable))

    def _give_back(self, taken: MemoryUsage) -> None:
        self.given_back += 1


def model(name: str = "m", path: str = "/m", **choices: Any) -> ModelSettings:
    return ModelSettings(name, Path(path), **choices)


@pytest.fixture
def world() -> World:
    """Version 1 of "m" is live, and folders are looked at every second."""
    world = World()
    world.put(1)
    world.configure()
    world.tick()
    world.run()
    assert world.states() == {1: V}
    world.repository.started()
    return world


class TestFirstLook:
    def test_complete_version_is_taken_at_once_and_shown_when_it_is_live(self) -> None:
        world = World()
        world.put(1, 2)
        world.configure(model(labels={"stable": 2}))
        assert world.states() == {}
        world.tick()
        assert world.states() == {2: L}
        assert world.shown.get("m", ([], {}))[0] == []
        assert world.run() == ["loader model 'm' version 2"]
        assert world.states() == {2: V}
        assert world.shown["m"] == ([2], {"stable": 2})

    def test_unfinished_version_is_not_taken(self, caplog: pytest.LogCaptureFixture) -> None:
        world = World()
        world.put(1)
        world.put(2, missing="a shard is not there")
        with caplog.at_level(logging.INFO):
            world.configure()
            for _ in range(5):
                world.tick(1.0)
                world.run()
        assert world.states() == {1: V}
        assert caplog.text.count("version 2 is not complete yet: a shard is not there") == 1

    @pytest.mark.parametrize("poll_s", [0.0, 1.0, 60.0])
    def test_version_that_seems_unfinished_is_loaded_when_a_second_look_finds_it_the_same(
        self, poll_s: float, caplog: pytest.LogCaptureFixture
    ) -> None:
        world = World(poll_s=poll_s, wait_for_models=False)
        world.put(2, hint="a shard is not there")
        world.broken[2] = "TensorFlow cannot load it"
        with caplog.at_level(logging.INFO):
            world.configure()
            told = world.settled()
            assert world.tick() == pytest.approx(1.0)
        assert (world.states(), told) == ({}, [])
        assert world.repository.open_ends() == [
            "model 'm' version 2, which is not complete yet: a shard is not there"
        ]
        assert caplog.text.count("version 2 is not complete yet: a shard is not there") == 1
        world.put(2, written=2, hint="a shard is not there")
        world.tick(1.0)
        assert (world.states(), told) == ({}, []), "it is being written"
        world.tick(max(poll_s, 1.0))
        world.run()
        assert [str(one.error) for one in told[0]] == ["model 'm' version 2: TensorFlow cannot load it"]

    def test_version_that_seems_unfinished_does_not_hold_up_a_lower_one(self) -> None:
        world = World()
        world.put(1)
        world.put(2, hint="its graph is empty")
        world.configure()
        world.tick()
        assert world.states() == {1: L}
        world.tick(1.0)
        world.run()
        assert world.states() == {2: V, 1: C}

    def test_version_that_cannot_be_read_is_warned_about_once_and_costs_no_other(
        self, caplog: pytest.LogCaptureFixture
    ) -> None:
        world = World()
        world.put(1)
        world.put(2, missing="cannot be read: Permission denied", unreadable=True)
        world.configure()
        for _ in range(3):
            world.poll_until_taken()
        assert world.states() == {1: V}
        assert caplog.messages == ["model 'm': /m/2 cannot be read: Permission denied"]
        world.put(2)
        world.poll_until_taken()
        assert world.states() == {2: V, 1: C}

    @pytest.mark.parametrize(("processors", "at_a_time"), [(1, 2), (2, 2), (4, 4)])
    def test_as_many_loads_at_a_time_as_there_are_processors_and_two_at_least(
        self, monkeypatch: pytest.MonkeyPatch, processors: int, at_a_time: int
    ) -> None:
        monkeypatch.setattr("hotgraph_server.threads.processors.usable", lambda: processors)
        world = World(load_threads=0)
        world.put(*range(1, 7))
        world.configure(model(versions=AllVersions()))
        world.tick()
        assert list(world.states().values()).count(L) == at_a_time

    def test_no_more_loads_at_a_time_than_there_are_threads(self) -> None:
        world = World(load_threads=2)
        for name in ("a", "b"):
            world.put(1, 2, 3, path=f"/{name}")
        world.configure(model("a", "/a", versions=AllVersions()), model("b", "/b", versions=Latest()))
        world.tick()
        assert world.states("a") == {3: L, 2: L, 1: W}
        assert world.states("b") == {3: W}
        assert world.run() == [
            "loader model 'a' version 3",
            "loader model 'a' version 2",
            "loader model 'a' version 1",
            "loader model 'b' version 3",
        ]


class TestPolling:
    def test_every_folder_is_looked_at_once_in_poll_s(self, world: World) -> None:
        world.tick()
        looks = len(world.looks)
        assert world.tick(0.25) == pytest.approx(0.75)
        assert len(world.looks) == looks
        assert world.tick(0.75) == pytest.approx(1.0)
        assert len(world.looks) == looks + 1

    def test_poll_s_0_looks_once_and_then_waits_for_ever(self) -> None:
        world = World(poll_s=0)
        world.put(1)
        world.configure()
        assert world.tick() == math.inf
        world.run()
        assert world.tick(1e6) == math.inf
        assert world.looks == [Path("/m")]

    def test_new_version_is_taken_when_two_looks_have_found_the_same(self, world: World) -> None:
        world.put(2, written=1)
        world.tick(1.0)
        assert world.states() == {1: V}
        world.put(2, written=2)
        world.tick(1.0)
        assert world.states() == {1: V}
        world.tick(1.0)
        assert world.states() == {2: L, 1: V}

    def test_loaded_version_outlives_a_change_of_its_files(self, world: World) -> None:
        world.put(1, written=5, missing="its graph is empty")
        world.poll_until_taken()
        assert world.states() == {1: V}

    def test_folder_that_vanishes_is_said_once_and_changes_nothing(
        self, world: World, caplog: pytest.LogCaptureFixture
    ) -> None:
        world.disk[Path("/m")] = LoadError("/m", "no such folder")
        for _ in range(3):
            world.poll_until_taken()
        assert world.states() == {1: V}
        assert caplog.text.count("model 'm': /m: no such folder; what is live goes on") == 1
        world.disk[Path("/m")] = {}
        world.put(1, 2)
        world.poll_until_taken()
        assert world.states() == {2: V, 1: C}

    def test_one_model_that_cannot_be_looked_at_does_not_hold_up_the_others(self, world: World) -> None:
        world.configure(model("gone", "/gone"), model())
        world.put(2)
        world.poll_until_taken()
        assert world.states() == {2: V, 1: C}

    def test_look_that_breaks_is_an_error_of_that_model(
        self, world: World, caplog: pytest.LogCaptureFixture
    ) -> None:
        world.disk[Path("/m")] = cast(Any, None)
        world.poll_until_taken()
        assert world.states() == {1: V}
        assert "cannot be looked at: TypeError" in caplog.text


class TestSwap:
    def test_old_version_is_shown_until_the_new_one_is_live_and_then_never_again(self, world: World) -> None:
        world.put(2)
        world.poll_until_taken()
        # In one assignment: no moment with neither, none with both.
        assert world.shown["m"] == ([2], {})
        assert world.version(1).stopped
        assert world.given_back == 1
        assert world.states() == {2: V, 1: C}

    def test_old_version_is_closed_only_after_it_is_shown_no_more(self, world: World) -> None:
        world.put(2)
        world.tick(1.0)
        world.tick(1.0)
        world.run("loader")
        assert world.shown["m"] == ([2], {})
        assert world.states() == {2: V, 1: D}
        assert not world.version(1).stopped
        assert world.run() == ["unloader model 'm' version 1"]

    def test_version_that_is_overtaken_while_it_waits_is_never_loaded(self) -> None:
        world = World()
        world.put(1)
        world.configure(model("slow", "/m"), model())
        world.tick()
        assert (world.states("slow"), world.states()) == ({1: L}, {1: W})
        world.put(2)
        world.tick(1.0)
        world.tick(1.0)
        assert world.states() == {2: W}

    def test_all_versions_vanish_and_the_last_one_goes_on(self, world: World) -> None:
        world.remove(1)
        world.poll_until_taken()
        assert world.states() == {1: V}

    def test_version_that_is_live_is_not_looked_into(self, world: World) -> None:
        world.tick(1.0)
        assert world.interests[-1].settled == {1}
        world.configure(model(folder=FolderSettings(reloaded=True)))
        world.tick(1.0)
        assert world.interests[-1].settled == set()

    def test_version_nobody_looked_into_any_more_is_loaded_when_a_look_finds_it_as_it_was(
        self, world: World
    ) -> None:
        world.put(2)
        world.poll_until_taken()
        world.unseen = {1}
        world.poll_until_taken()
        world.unseen = set()
        world.remove(2)
        world.tick(1.0)
        assert world.states() == {2: V, 1: L}

    def test_version_that_is_deleted_gives_way_to_a_lower_one(self, world: World) -> None:
        world.put(2)
        world.poll_until_taken()
        world.remove(2)
        world.poll_until_taken()
        assert world.states() == {2: C, 1: V}

    def test_version_wanted_again_while_it_drains_is_loaded_when_it_is_closed(self, world: World) -> None:
        world.put(2)
        world.tick(1.0)
        world.tick(1.0)
        world.run("loader")
        world.remove(2)
        world.tick(1.0)
        assert world.states() == {2: V, 1: D}
        # It may still have been needed as it was, and is loaded anew as soon as it is closed.
        world.poll_until_taken()
        assert world.states() == {2: C, 1: V}
        assert [version.number for version in world.loaded] == [1, 2, 1]

    def test_call_that_found_the_old_version_before_the_swap_is_answered_by_it(self) -> None:
        """Between the look-up and the queue lies the reading of the request; nobody may be refused for it."""
        graph = FakeGraph()

        def make(settings: ModelSettings, number: int) -> Version:
            return open_version(settings, number, (graph if number == 1 else FakeGraph()).open)

        world = World(make=make, unload_grace_s=3600.0)
        world.put(1)
        world.configure()
        world.tick()
        world.run()
        old = cast(Version, world.version(1))
        world.put(2)
        world.tick(1.0)
        world.tick(1.0)
        world.run("loader")
        assert world.shown["m"][0] == [2]
        ((_, unload),) = world.threads
        unloader = threading.Thread(target=unload)
        unloader.start()
        caller = Caller()
        old.submit(Request(old.signatures["serving_default"], [rows(1)], ("y",), caller.completion))
        assert (caller.answer()[0] == rows(2)).all()
        assert (graph.closed, old.state) == (0, V)
        assert world.repository.stop(HANG_S)
        unloader.join(HANG_S)
        assert (graph.closed, old.state) == (1, C)


class TestFailedLoads:
    @pytest.fixture
    def failed(self, world: World) -> World:
        """Version 2 was taken, and could not be loaded."""
        world.broken[2] = "fails its first run"
        world.put(2)
        world.poll_until_taken()
        return world

    def test_old_version_goes_on_and_the_error_is_in_the_status(self, failed: World) -> None:
        assert failed.states() == {2: F, 1: V}
        assert failed.shown["m"] == ([1], {})
        assert failed.repository.statuses("m")[0].error == "model 'm' version 2: fails its first run"
        assert failed.given_back == 1
        (figures,) = failed.repository.figures()
        assert (figures.name, figures.loads, figures.failed_loads) == ("m", 1, 1)
        assert list(figures.versions) == failed.repository.statuses("m")

    def test_for_metrics_what_nobody_wants_any_more_has_not_failed(self, failed: World) -> None:
        failed.repository.configure([])
        assert [one.state for one in failed.repository.figures()[0].versions] == [D]
        failed.run()
        (figures,) = failed.repository.figures()
        assert (list(figures.versions), figures.failed_loads) == ([], 1)

    def test_for_metrics_what_has_gone_from_disk_has_not_failed(self, failed: World) -> None:
        failed.remove(2)
        failed.poll_until_taken()
        assert [one.state for one in failed.repository.figures()[0].versions] == [V]

    def test_it_is_tried_again_when_the_pause_is_over(self, failed: World) -> None:
        del failed.broken[2]
        failed.tick(3.74)
        assert failed.states()[2] is F
        assert failed.tick(0.01) is not None
        assert failed.states()[2] is L
        failed.run()
        assert failed.states() == {2: V, 1: C}
        assert failed.repository.statuses("m")[0].error is None

    def test_the_watcher_is_told_when_to_come_back(self) -> None:
        world = World(poll_s=0)
        world.broken[1] = "broken"
        world.put(1)
        world.configure()
        world.tick()
        world.run()
        assert world.tick() == pytest.approx(3.75)

    def test_there_is_an_end_to_trying(self, failed: World) -> None:
        for _ in range(20):
            failed.tick(60.0)
            failed.run()
        assert failed.states() == {2: F, 1: V}
        tries = failed.given_back
        assert tries == 1 + RepositorySettings().max_load_retries
        failed.tick(1e6)
        failed.run()
        assert failed.given_back == tries

    def test_other_files_are_tried_at_once_and_from_the_start(self, failed: World) -> None:
        for _ in range(20):
            failed.tick(60.0)
            failed.run()
        del failed.broken[2]
        failed.put(2, written=9)
        failed.poll_until_taken()
        assert failed.states() == {2: V, 1: C}

    def test_files_that_may_be_read_now_are_tried_at_once(self, failed: World) -> None:
        for _ in range(20):
            failed.tick(60.0)
            failed.run()
        assert failed.states() == {2: F, 1: V}
        del failed.broken[2]
        failed.put(2, opened=9)
        failed.poll_until_taken()
        assert failed.states() == {2: V, 1: C}

    def test_error_of_ours_is_an_error_of_that_version(
        self, world: World, caplog: pytest.LogCaptureFixture
    ) -> None:
        world.broken[2] = cast(str, None)
        world.put(2)

        world.bug = RuntimeError("a bug")
        world.poll_until_taken()
        assert world.states() == {2: F, 1: V}
        assert "internal error: RuntimeError" in str(world.repository.statuses("m")[0].error)
        assert "RuntimeError: a bug" in caplog.text

    def test_highest_that_can_be_loaded_answers_though_a_lower_one_is_broken(self) -> None:
        world = World()
        world.broken[1] = "broken"
        world.put(1, 2)
        world.configure(model(versions=AllVersions()))
        world.tick()
        world.run()
        assert world.states() == {2: V, 1: F}
        assert world.shown["m"][0] == [2]


class TestConfigure:
    def test_model_that_is_new_is_looked_at_at_once(self, world: World) -> None:
        world.put(4, path="/n")
        world.configure(model(), model("n", "/n"))
        assert world.repository.models() == ["m", "n"]
        world.tick()
        world.run()
        assert world.states("n") == {4: V}
        assert world.states() == {1: V}

    def test_model_that_is_gone_is_unloaded_and_remembered(self, world: World) -> None:
        world.configure(model("n", "/n"))
        assert world.shown["m"] == ([], {})
        assert world.repository.models() == ["n"]
        world.run()
        assert world.states() == {1: C}
        world.poll_until_taken()
        assert world.states() == {1: C}

    def test_model_that_is_gone_while_it_loads_is_never_shown(self) -> None:
        world = World()
        world.put(1)
        world.configure()
        world.tick()
        world.configure(model("n", "/n"))
        world.run("loader model 'm'")
        assert world.states() == {1: D}
        assert world.shown.get("m", ([], {}))[0] == []

    def test_model_that_comes_back_is_loaded_again(self, world: World) -> None:
        world.configure(model("n", "/n"))
        world.run()
        world.configure()
        world.tick()
        world.run()
        assert world.states() == {1: V}

    def test_wrong_list_changes_nothing(self, world: World) -> None:
        before = world.published
        with pytest.raises(ConfigError):
            world.configure(model("n", "/n"), model("n", "/n"))
        with pytest.raises(LabelNotAvailable):
            world.configure(model("n", "/n"), model(labels={"canary": 2}))
        assert world.repository.models() == ["m"]
        assert world.repository.statuses("n") == []
        world.poll_until_taken()
        assert world.states() == {1: V}
        assert world.published == before

    def test_policy_may_change(self, world: World) -> None:
        world.put(2)
        world.configure(model(versions=Specific((1,))))
        world.poll_until_taken()
        assert world.states() == {1: V}
        world.configure(model(versions=AllVersions()))
        # Nobody has looked into a version that was not wanted.
        world.tick()
        world.run()
        assert world.states() == {2: V, 1: V}
        assert set(world.shown["m"][0]) == {1, 2}
        world.configure(model(versions=Latest()))
        world.run()
        assert world.states() == {2: V, 1: C}

    def test_labels_may_change_without_any_load(self, world: World) -> None:
        world.configure(model(labels={"stable": 1}))
        assert world.shown["m"] == ([1], {"stable": 1})
        assert not world.threads

    def test_other_folder_is_looked_at_at_once_and_the_old_version_stays_meanwhile(
        self, world: World
    ) -> None:
        world.put(7, path="/elsewhere")
        world.configure(model(path="/elsewhere"))
        assert world.shown["m"][0] == [1]
        world.tick()
        world.run()
        assert world.states() == {7: V, 1: C}

    def test_other_folder_with_a_version_of_the_same_number_takes_the_place_of_the_old(
        self, world: World
    ) -> None:
        before = world.version(1)
        world.put(1, path="/elsewhere")
        world.configure(model(path="/elsewhere"))
        world.tick()
        world.run()
        assert world.version(1) is not before
        assert before.stopped

    def test_other_settings_are_loaded_beside_the_old_and_take_their_place(self, world: World) -> None:
        """Though other files of the same version would not be."""
        before = world.version(1)
        world.configure(model(batch=BatchSettings(max_batch_rows=7)))
        assert world.run("loader") == ["loader model 'm' version 1"]
        assert world.version(1) is not before
        assert world.shown["m"][0] == [1]
        assert not before.stopped
        world.run()
        assert before.stopped
        world.put(1, written=9)
        for _ in range(3):
            world.tick(1.0)
        assert not world.threads

    def test_status_of_a_model_nobody_heard_of_is_empty(self, world: World) -> None:
        assert world.repository.statuses("nobody") == []

    def test_a_year_of_swaps_is_not_remembered_for_ever(self, world: World) -> None:
        for number in range(2, 2 * REMEMBERED):
            world.put(number)
            world.remove(number - 1)
            world.poll_until_taken()
        states = world.states()
        assert len(states) == REMEMBERED + 1
        assert max(states) == 2 * REMEMBERED - 1
        for number in range(2 * REMEMBERED):
            world.configure(model(f"m{number}", "/none"))
        # What it knows of is told once more when the start is over.
        world.shown.clear()
        world.repository.started()
        assert len(world.shown.keys() & {f"m{number}" for number in range(2 * REMEMBERED)}) == REMEMBERED + 1


class TestSettled:
    def test_it_is_told_when_all_are_live(self) -> None:
        world = World()
        world.put(1, 2)
        world.configure(model(versions=AllVersions()))
        told = world.settled()
        world.tick()
        assert not told
        world.run()
        assert told == [[]]

    def test_each_version_that_failed_is_told(self) -> None:
        world = World()
        world.broken |= {1: "broken", 3: "odd"}
        world.put(1, 2, 3)
        world.configure(model(versions=AllVersions()))
        told = world.settled()
        world.tick()
        world.run()
        ((odd, broken),) = told
        assert (odd.model, odd.number, str(odd.error)) == ("m", 3, "model 'm' version 3: odd")
        assert (broken.number, str(broken.error)) == (1, "model 'm' version 1: broken")

    def test_folder_without_a_version_is_told_with_its_reason(self) -> None:
        world = World()
        world.configure(model("gone", "/gone"), model())
        world.put(1, missing="a shard is not there")
        told = world.settled("gone", "m")
        world.tick()
        assert {(one.model, one.number, str(one.error)) for one in told[0]} == {
            ("gone", None, "/gone: no such folder"),
            ("m", None, "/m: version 1 is not complete: a shard is not there"),
        }

    def test_patient_waits_for_the_last_try_and_for_folders_to_come(self) -> None:
        world = World(max_load_retries=1)
        world.configure()
        told = world.settled(patient=True)
        world.tick()
        assert not told
        assert world.repository.open_ends() == ["/m: no such folder"]
        world.broken[1] = "broken"
        world.put(1)
        world.poll_until_taken()
        assert not told
        assert world.repository.open_ends() == [
            "model 'm' version 1, which is tried again: model 'm' version 1: broken"
        ]
        world.tick(4.0)
        assert world.repository.open_ends() == ["model 'm' version 1, which is loading"]
        world.run()
        ((one,),) = told
        assert one.number == 1

    def test_first_failure_is_enough_for_who_does_not_want_all(self) -> None:
        world = World(wait_for_models=False)
        world.broken[1] = "broken"
        for path in ("/a", "/b"):
            world.put(1, path=path)
        world.configure(model("a", "/a"), model("b", "/b"))
        told = world.settled("a", "b", all_of_them=False)
        world.tick()
        assert world.run() == ["loader model 'a' version 1"], "after it nothing is begun at the start"
        assert [one.model for one in told[0]] == ["a"]

    def test_nobody_is_told_who_waits_no_longer(self) -> None:
        world = World()
        world.put(1)
        world.configure()
        told: list[object] = []
        forget = world.repository.when_settled(["m"], told.append)
        forget()
        forget()
        world.tick()
        world.run()
        assert not told

    def test_nothing_to_wait_for_is_told_at_once(self, world: World) -> None:
        told: list[list[Unavailable]] = []
        world.repository.when_settled([], told.append)
        world.repository.when_settled(["nobody"], told.append)
        assert told == [[], []]
        assert world.settled() == [[]]


class TestStop:
    def test_every_version_is_stopped_and_nothing_begins_any_more(self, world: World) -> None:
        assert world.repository.stop(HANG_S)
        assert world.version(1).stopped
        world.put(2)
        world.poll_until_taken()
        assert world.states() == {1: V}

    def test_winding_down_lets_go_who_waits_and_begins_no_load(self) -> None:
        world = World()
        for path in ("/a", "/b"):
            world.put(1, path=path)
        world.configure(model("a", "/a"), model("b", "/b"))
        told = world.settled("a", "b")
        world.tick()
        world.repository.wind_down()
        assert [(one.model, str(one.error)) for one in told[0]] == [
            ("a", "the server is stopping"),
            ("b", "the server is stopping"),
        ]
        world.run()
        assert (world.states("a"), world.states("b")) == ({1: V}, {1: W})
        assert len(told) == 1

    def test_version_whose_load_ends_after_the_stop_is_stopped(self) -> None:
        world = World()
        world.put(1)
        world.configure()
        world.tick()
        assert world.repository.stop(0)
        world.run()
        assert world.version(1).stopped
        assert "m" not in world.shown or world.shown["m"][0] == []

    def test_grace_ends_with_the_server(self, world: World) -> None:
        """Its threads are real here."""
        graph = FakeGraph()
        real = Repository(
            RepositorySettings(unload_grace_s=3600.0),
            world._publish,
            load=lambda settings, number, _: open_version(settings, number, graph.open),
            look=lambda *_: Look({1: Found(Path("1"), Tree())}),
            give_back=lambda _: None,
        )
        real.start()
        settled = threading.Event()
        real.configure([model()])
        real.when_settled(["m"], lambda _: settled.set())
        assert settled.wait(HANG_S)
        real.configure([])
        assert real.statuses("m")[0].state is D
        assert real.stop(HANG_S)
        assert graph.closed == 1
        assert not [thread for thread in threading.enumerate() if "model 'm'" in thread.name]


class TestReload:
    """Models whose versions are loaded anew when their files or settings change."""

    RULES = FolderSettings(reloaded=True)

    @pytest.fixture
    def world(self) -> World:
        world = World()
        world.put(1, 2)
        world.configure(self.model(versions=AllVersions()))
        world.tick()
        world.run()
        return world

    def model(self, rows: int = 64, **choices: Any) -> ModelSettings:
        return model(batch=BatchSettings(max_batch_rows=rows), folder=self.RULES, **choices)

    def test_other_files_are_loaded_beside_the_old_and_take_its_place(self, world: World) -> None:
        before = world.version(2)
        world.put(2, written=9)
        world.tick(1.0)
        world.tick(1.0)
        assert world.states() == {2: V, 1: V}
        assert world.run("loader") == ["loader model 'm' version 2"]
        assert world.shown["m"] == ([2, 1], {})
        assert world.version(2) is not before
        assert not before.stopped
        assert world.run() == ["unloader model 'm' version 2"]
        assert before.stopped
        assert world.states() == {2: V, 1: V}

    def test_rights_that_change_load_nothing(self, world: World) -> None:
        world.put(2, opened=9)
        world.poll_until_taken()
        assert len(world.loaded) == 2

    def test_other_settings_load_every_version_anew(self, world: World) -> None:
        world.configure(self.model(rows=8, versions=AllVersions()))
        assert world.settled() == []
        world.run()
        assert sorted(version.rows for version in world.loaded) == [8, 8, 64, 64]
        assert world.states() == {2: V, 1: V}

    def test_labels_and_policy_load_nothing(self, world: World) -> None:
        world.configure(self.model(versions=AllVersions(), labels={"stable": 2}))
        world.run()
        assert len(world.loaded) == 2
        world.configure(self.model())
        world.run()
        assert len(world.loaded) == 2
        assert world.states() == {2: V, 1: C}

    def test_successor_that_fails_changes_nothing_and_is_settled_as_a_failure(self, world: World) -> None:
        before = world.version(2)
        world.broken[2] = "broken"
        world.put(2, written=9)
        world.tick(1.0)
        world.tick(1.0)
        told = world.settled()
        world.run()
        assert [[str(one.error) for one in found] for found in told] == [["model 'm' version 2: broken"]]
        assert world.states() == {2: V, 1: V}
        assert world.version(2) is before
        # Back to what is live: nothing is to be done.
        world.put(2)
        world.tick(1.0)
        world.tick(1.0)
        del world.broken[2]
        assert world.run() == []
        assert world.settled() == [[]]

    def test_settings_that_change_during_a_reload_are_followed_by_another(self, world: World) -> None:
        world.configure(self.model(rows=8))
        world.configure(self.model(rows=9))
        world.run()
        assert world.states() == {2: V, 1: C}
        assert world.version(2).rows == 9

    def test_model_taken_off_the_list_during_a_reload_is_gone(self, world: World) -> None:
        world.configure(self.model(rows=8))
        world.configure(model("other", "/other"))
        world.run()
        assert world.shown["m"] == ([], {})
        assert all(version.stopped for version in world.loaded)

    def test_model_asked_for_anew_is_looked_at_though_it_is_not_polled(self) -> None:
        rules = FolderSettings(reloaded=True, polled=False, retried=False)
        world = World()
        world.put(1)
        world.configure(model(folder=rules))
        world.tick()
        world.run()
        world.put(1, written=9)
        for _ in range(5):
            world.poll_until_taken()
        assert len(world.loaded) == 1
        world.repository.configure([model(folder=rules)], {"m"})
        told = world.settled()
        assert told == []
        world.tick()
        world.run()
        assert told == [[]]
        assert len(world.loaded) == 2

    def test_look_that_began_before_it_was_asked_for_does_not_count(self) -> None:
        rules = FolderSettings(reloaded=True, polled=False)
        world = World()
        world.put(1)
        world.configure(model(folder=rules))

        def ask_again() -> None:
            world.put(1, written=9)
            world.repository.configure([model(folder=rules)], {"m"})

        world.during_look = ask_again
        world.tick()
        assert world.states() == {}
        world.tick()
        world.run()
        assert world.states() == {1: V}
        assert world.tick(100.0) is not None
        assert len(world.loaded) == 1

    def test_load_that_is_not_to_be_tried_again_is_not(self) -> None:
        world = World()
        world.put(1)
        world.broken[1] = "broken"
        world.configure(model(folder=FolderSettings(retried=False)))
        for _ in range(10):
            world.tick(60.0)
            world.run()
        assert world.given_back == 1
        assert world.states() == {1: F}

    def test_version_that_drains_and_is_wanted_again_is_not_settled(self, world: World) -> None:
        """For models that are not reloaded, it is loaded when it has closed."""
        world.configure(model("n", "/m"))
        world.tick()
        world.run("loader")
        world.configure(model("o", "/m"))
        world.configure(model("n", "/m"))
        world.tick()
        told = world.settled("n")
        assert told == []
        world.run()
        assert told == [[]]
        assert world.states("n") == {2: V}


class FakeRoom:
    """Admits as many as the test says.

    Attributes:
        asked: with what is in memory, and what was to be loaded.
    """

    def __init__(self, places: int = 100) -> None:
        self.places = places
        self.asked: list[tuple[list[int], int]] = []

    def admits(self, held: Sequence[Held], wanted: Held) -> bool:
        self.asked.append(([one.number for one in held], wanted.number))
        return len(held) < self.places


class TestOnDemand:
    def world(self, *numbers: int, places: int = 100, **choices: Any) -> World:
        """A model that was looked at, and that nobody has called."""
        world = World(room=FakeRoom(places))
        world.put(*(numbers or (1,)))
        world.configure(model(**choices))
        world.tick()
        return world

    def test_a_model_is_known_and_not_loaded_until_it_is_called(self) -> None:
        world = self.world(1, 2)
        assert world.threads == []
        assert world.states() == {2: K}
        (figures,) = world.repository.figures()
        assert [(one.number, one.state) for one in figures.versions] == [(2, K)]
        assert world.repository.why_nothing("m") is None
        world.repository.call("m")
        assert world.states() == {2: L}
        world.run()
        assert world.states() == {2: V}
        assert world.shown["m"][0] == [2]

    @pytest.mark.parametrize("broken", [(), (1,)])
    def test_versions_that_are_loaded_beside_each_other_are_shown_together(
        self, broken: tuple[int, ...]
    ) -> None:
        """Who has waited for version 1 would else be told that there is none when version 2 is live."""
        world = self.world(1, 2, versions=AllVersions())
        world.broken = dict.fromkeys(broken, "no graph")
        world.repository.call("m")
        ((_, load),) = world.threads
        world.threads.clear()
        load()
        assert world.states() == {2: V, 1: L}
        assert world.shown["m"][0] == []
        world.run()
        assert world.shown["m"][0] == ([2] if broken else [2, 1])
        # What is shown stays so while another one comes.
        world.put(3)
        world.poll_until_taken()
        assert set(world.shown["m"][0]) == ({3, 2} if broken else {3, 2, 1})

    def test_a_start_does_not_wait_for_what_is_known(self) -> None:
        world = World(room=FakeRoom())
        world.put(1)
        world.configure()
        told = world.settled()
        assert told == []
        world.tick()
        assert told == [[]]

    def test_one_that_is_given_up_is_closed_and_known_again(self) -> None:
        world = self.world()
        world.repository.call("m")
        world.run()
        world.repository.give_up("m")
        assert (world.states(), world.shown["m"][0]) == ({1: D}, [])
        world.run()
        assert world.states() == {1: K}
        assert world.repository.holdings() == []
        world.repository.call("m")
        world.run()
        assert world.states() == {1: V}
        assert len(world.loaded) == 2

    def test_one_that_is_given_up_while_it_loads_goes_when_it_has(self) -> None:
        world = self.world()
        world.repository.call("m")
        world.repository.give_up("m")
        world.run()
        assert world.states() == {1: K}
        assert world.shown["m"][0] == []

    def test_what_is_not_admitted_waits_and_is_asked_for_again_when_something_closes(self) -> None:
        world = World(room=FakeRoom(1), load_threads=2)
        world.put(1)
        world.put(7, path="/n")
        world.configure(model(), model("n", "/n"))
        world.tick()
        world.repository.call("m")
        world.repository.call("n")
        world.run()
        assert (world.states(), world.states("n")) == ({1: V}, {7: W})
        holdings = world.repository.holdings()
        assert [[one.state for one in holding.versions] for holding in holdings] == [[V], [W]]
        assert [holding.outcome for holding in holdings] == [[], None]
        world.repository.give_up("m")
        assert world.states("n") == {7: W}
        world.run("unloader")
        assert world.states("n") == {7: L}

    def test_one_that_waits_in_vain_is_taken_back(self) -> None:
        world = self.world(places=0)
        world.repository.call("m")
        assert world.states() == {1: W}
        world.repository.give_up("m")
        assert world.states() == {1: K}

    def test_a_new_version_of_a_live_model_is_admitted_like_any_other(self) -> None:
        room = FakeRoom(1)
        world = World(room=room)
        world.put(1)
        world.configure()
        world.tick()
        world.repository.call("m")
        world.run()
        world.put(2)
        world.poll_until_taken()
        assert world.states() == {1: V, 2: W}
        assert room.asked[-1] == ([1], 2)
        room.places = 2
        world.repository.reconsider()
        world.tick()
        world.run()
        assert world.shown["m"][0] == [2]

    def test_a_new_version_of_a_model_that_nobody_calls_is_known(self) -> None:
        world = self.world()
        world.put(2)
        world.poll_until_taken()
        assert (world.states(), world.threads) == ({2: K}, [])
        assert [(one.number, one.folder) for one in world.repository.to_load("m")] == [(2, Path("/m/2"))]
        assert world.repository.to_load("nobody") == []

    def test_a_pinned_model_is_loaded_at_once(self) -> None:
        world = self.world(residency=ResidencySettings(pin=True))
        world.run()
        assert world.states() == {1: V}

    def test_a_load_that_failed_is_tried_when_it_is_called_again(self) -> None:
        world = self.world(folder=FolderSettings(retried=False))
        world.broken[1] = "no graph"
        world.repository.call("m")
        world.run()
        (holding,) = world.repository.holdings()
        assert holding.outcome is not None
        assert [str(one.error) for one in holding.outcome] == ["model 'm' version 1: no graph"]
        world.repository.give_up("m")
        world.tick(100.0)
        assert world.states() == {1: F}
        del world.broken[1]
        world.repository.call("m")
        world.run()
        assert world.states() == {1: V}

    def test_a_folder_that_was_empty_is_looked_at_again_when_the_model_is_called(self) -> None:
        world = World(room=FakeRoom(), poll_s=0.0)
        world.disk[Path("/m")] = LoadError("/m", "no such folder")
        world.configure()
        world.tick()
        assert world.repository.why_nothing("m") == "/m: no such folder"
        del world.disk[Path("/m")]
        world.put(1)
        world.repository.call("m")
        world.tick()
        world.run()
        assert world.states() == {1: V}

    def test_a_model_that_is_off_the_list_and_on_it_again_waits_for_its_call(self) -> None:
        world = self.world()
        world.put(1, path="/n")
        world.repository.call("m")
        world.run()
        world.configure(model("n", "/n"))
        world.repository.call("m")
        world.run()
        world.configure(model(), model("n", "/n"))
        world.tick()
        assert (world.states(), world.threads) == ({1: K}, [])
