from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from hotgraph_server.errors import LoadError
from hotgraph_server.repository.layout import Interest, default_name, look_at, versions_in
from hotgraph_server.settings import AllVersions, Latest, Specific, VersionPolicy

from ...saved_models import SavedModels


def make(directory: Path, *files: str) -> Path:
    """A folder with empty files in it: the layout is looked at, never loaded."""
    directory.mkdir(parents=True, exist_ok=True)
    for name in files or ("saved_model.pb",):
        path = directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"")
    return directory


@pytest.mark.parametrize("file", ["saved_model.pb", "saved_model.pbtxt"])
def test_saved_model_itself_is_version_1(tmp_path: Path, file: str) -> None:
    directory = make(tmp_path / "m", file)
    assert versions_in(directory) == {1: directory}


@pytest.mark.parametrize(("name", "number"), [("7", 7), ("0", 0), ("0042", 42)])
def test_saved_model_in_a_numbered_folder_has_that_number(tmp_path: Path, name: str, number: int) -> None:
    directory = make(tmp_path / "m" / name)
    assert versions_in(directory) == {number: directory}
    assert versions_in(directory.parent) == {number: directory}


def test_folder_of_versions_offers_those_that_hold_a_saved_model(tmp_path: Path) -> None:
    wanted = {
        number: make(tmp_path / name) for number, name in ((2, "2"), (10, "10"), (3, "0003"), (-6, "-6"))
    }
    make(tmp_path / "4", "variables/variables.index")
    make(tmp_path / "draft")
    make(tmp_path / "5.tmp")
    make(tmp_path / str(2**63))
    make(tmp_path / "²")
    (tmp_path / "8").write_text("a file")
    assert versions_in(tmp_path) == wanted


def test_saved_model_may_lie_one_folder_further_down(tmp_path: Path) -> None:
    """As in the repositories of Triton."""
    make(tmp_path / "3", "model.savedmodel/saved_model.pb")
    assert versions_in(tmp_path) == {3: tmp_path / "3" / "model.savedmodel"}


def test_links_are_followed(tmp_path: Path) -> None:
    real = make(tmp_path / "elsewhere")
    (tmp_path / "m").mkdir()
    (tmp_path / "m" / "5").symlink_to(real)
    assert versions_in(tmp_path / "m") == {5: tmp_path / "m" / "5"}


def test_what_is_no_model_is_named_with_what_is_wrong(tmp_path: Path) -> None:
    file = make(tmp_path / "m") / "saved_model.pb"
    empty = tmp_path / "empty"
    empty.mkdir()
    for path, why in (
        (tmp_path / "missing", "no such folder"),
        (file, "is a file"),
        (empty, "no numbered folder"),
        # From Python 3.13 on, what cannot exist merely does not.
        (tmp_path / ("long" * 100), "too long|no such folder"),
    ):
        with pytest.raises(LoadError, match=why) as caught:
            versions_in(path)
        assert caught.value.where == str(path)
        assert "\n" not in str(caught.value)


def test_folder_that_cannot_be_read_is_an_error_of_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_: Path) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "scandir", refuse)
    with pytest.raises(LoadError, match="Permission denied"):
        versions_in(tmp_path)


def test_saved_model_in_a_folder_that_may_not_be_listed_is_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_: Path) -> None:
        raise PermissionError(13, "Permission denied")

    (make(tmp_path) / "saved_model.pb").write_bytes(b"x")
    monkeypatch.setattr(os, "scandir", refuse)
    assert look_at(tmp_path).versions[1].may_be_loaded(None, first=True)


def test_model_is_called_like_its_folder_and_a_version_like_its_parent(tmp_path: Path) -> None:
    assert default_name(tmp_path / "digits") == "digits"
    assert default_name(tmp_path / "digits" / "3") == "digits"
    assert default_name(tmp_path / "digits" / "..") == tmp_path.name


def copied(saved_model: Path, directory: Path) -> Path:
    shutil.copytree(saved_model, directory)
    return directory


def test_look_finds_a_saved_model_complete(saved_models: SavedModels, tmp_path: Path) -> None:
    copied(saved_models["tf2_mlp"], tmp_path / "003")
    copied(saved_models["tf2_mlp"], tmp_path / "4" / "model.savedmodel")
    versions = look_at(tmp_path).versions
    assert {number: found.missing or found.hint for number, found in versions.items()} == {3: None, 4: None}
    assert versions[3].folder == tmp_path / "003"
    assert versions[4].folder == tmp_path / "4" / "model.savedmodel"
    assert {name for name, _, _ in versions[3].files} >= {"saved_model.pb", "variables/variables.index"}


@pytest.mark.parametrize(
    ("break_it", "hint"),
    [
        (lambda folder: (folder / "saved_model.pb").write_bytes(b""), "its graph is empty"),
        (
            lambda folder: (folder / "variables/variables.index").unlink(),
            "variables/variables.index is not there",
        ),
        (
            lambda folder: (folder / "variables/variables.data-00000-of-00001").unlink(),
            "variables/variables.index is there, and not all that it is an index of",
        ),
        (
            lambda folder: (folder / "variables/variables.data-00000-of-00001").rename(
                folder / "variables/variables.data-00001-of-00002"
            ),
            "variables/variables.index is there, and not all that it is an index of",
        ),
    ],
)
def test_half_copied_version_is_not_taken_before_two_looks_have_found_the_same(
    saved_models: SavedModels, tmp_path: Path, break_it: Callable[[Path], object], hint: str
) -> None:
    break_it(copied(saved_models["tf2_mlp"], tmp_path / "7"))
    found = look_at(tmp_path).versions[7]
    assert (found.missing, found.hint) == (None, hint)
    assert not found.may_be_loaded(None, first=True)
    assert look_at(tmp_path).versions[7].may_be_loaded(found, first=False)
    (tmp_path / "7" / "variables" / "more").write_text("")
    assert not look_at(tmp_path).versions[7].may_be_loaded(found, first=False)


def test_version_without_a_graph_is_never_taken(saved_models: SavedModels, tmp_path: Path) -> None:
    (copied(saved_models["tf2_mlp"], tmp_path / "7") / "saved_model.pb").unlink()
    found = look_at(tmp_path).versions[7]
    assert found.missing == "neither saved_model.pb nor saved_model.pbtxt is there"
    assert not look_at(tmp_path).versions[7].may_be_loaded(found, first=True)


@pytest.mark.parametrize(
    "name", [".gitkeep", ".DS_Store", ".nfs000000000001", "variables_$folder$", "checkpoint"]
)
def test_what_a_disk_or_a_tool_leaves_behind_is_no_hint(tmp_path: Path, name: str) -> None:
    folder = make(tmp_path / "1", f"variables/{name}")
    (folder / "saved_model.pb").write_bytes(b"x")
    assert look_at(tmp_path).versions[1].may_be_loaded(None, first=True)


def test_index_that_nobody_here_can_read_is_no_hint(saved_models: SavedModels, tmp_path: Path) -> None:
    folder = copied(saved_models["tf2_mlp"], tmp_path / "1")
    (folder / "variables/variables.index").write_bytes(b"of another format")
    assert look_at(tmp_path).versions[1].may_be_loaded(None, first=True)


def test_graph_without_variables_is_complete(tmp_path: Path) -> None:
    (make(tmp_path / "1") / "saved_model.pb").write_bytes(b"x")
    found = look_at(tmp_path).versions[1]
    assert (found.missing, found.hint) == (None, None)


def test_file_that_grows_is_seen_by_its_size(tmp_path: Path) -> None:
    graph = make(tmp_path / "1") / "saved_model.pb"
    graph.write_bytes(b"x")
    before = look_at(tmp_path).versions[1].files
    assert look_at(tmp_path).versions[1].files == before
    graph.write_bytes(b"xy")
    assert look_at(tmp_path).versions[1].files != before


def test_two_names_of_one_number_are_warned_about(tmp_path: Path) -> None:
    for name in ("1", "001", "2"):
        make(tmp_path / name)
    look = look_at(tmp_path)
    assert {number: found.folder.name for number, found in look.versions.items()} == {1: "001", 2: "2"}
    assert look.warnings == (f"{tmp_path / '1'} is version 1 again: {tmp_path / '001'} is taken",)


def test_look_at_what_is_no_model_says_what_is_wrong(tmp_path: Path) -> None:
    for path, why in ((tmp_path / "missing", "no such folder"), (tmp_path, "no numbered folder")):
        with pytest.raises(LoadError, match=why):
            look_at(path)


class Denied:
    """Folders that this user may not look into; whoever runs the tests may be one who may do anything."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.folders: set[Path] = set()
        self.asked: list[str] = []
        self._stat = os.stat
        monkeypatch.setattr(os, "stat", self._asked)

    def _asked(self, path: int | str | Path, **how: Any) -> os.stat_result:
        self.asked.append(str(path))
        if not isinstance(path, int) and not self.folders.isdisjoint(Path(path).parents):
            raise PermissionError(13, "Permission denied", str(path))
        return self._stat(path, **how)


@pytest.fixture
def denied(monkeypatch: pytest.MonkeyPatch) -> Denied:
    return Denied(monkeypatch)


def test_version_that_this_user_may_not_read_costs_a_warning_and_no_other_version(
    tmp_path: Path, denied: Denied
) -> None:
    wanted = {number: make(tmp_path / str(number)) for number in (1, 3)}
    denied.folders.add(make(tmp_path / "2"))
    assert versions_in(tmp_path) == wanted
    look = look_at(tmp_path)
    assert look.warnings == (f"{tmp_path / '2'} cannot be read: Permission denied",)
    assert {number: found.missing is None for number, found in look.versions.items()} == {
        3: True,
        2: False,
        1: True,
    }
    denied.folders.update(wanted.values())
    with pytest.raises(LoadError, match="cannot be read: Permission denied"):
        versions_in(tmp_path)


def test_version_that_may_be_read_again_is_another_one_than_before(tmp_path: Path, denied: Denied) -> None:
    denied.folders.add(make(tmp_path / "2"))
    before = look_at(tmp_path).versions[2]
    denied.folders.clear()
    found = look_at(tmp_path).versions[2]
    assert not found.may_be_loaded(before, first=False)
    assert look_at(tmp_path).versions[2].may_be_loaded(found, first=False)


def looked_into(directory: Path, interest: Interest) -> list[int]:
    versions = look_at(directory, interest=interest).versions
    assert sorted(versions) == [1, 2, 3, 4]
    return sorted(number for number, found in versions.items() if found.tree is not None)


@pytest.mark.parametrize(
    ("policy", "settled", "numbers"),
    [
        (Latest(), (), [4]),
        (Latest(2), (), [3, 4]),
        (Latest(), (4,), []),
        (Latest(), (3,), [4]),
        (Latest(2), (3,), [4]),
        (Latest(2), (2, 3), [4]),
        (Specific((2, 9)), (), [2]),
        (Specific((2, 3)), (3,), [2]),
        (AllVersions(), (), [1, 2, 3, 4]),
        (AllVersions(), (2, 3), [1, 4]),
    ],
)
def test_look_goes_into_what_may_have_to_be_loaded_and_into_nothing_else(
    tmp_path: Path, policy: VersionPolicy, settled: tuple[int, ...], numbers: list[int]
) -> None:
    for number in range(1, 5):
        (make(tmp_path / str(number)) / "saved_model.pb").write_bytes(b"x")
    assert looked_into(tmp_path, Interest(policy, settled)) == numbers


def test_look_goes_further_down_past_what_cannot_be_loaded_yet(tmp_path: Path) -> None:
    for number in range(1, 5):
        (make(tmp_path / str(number)) / "saved_model.pb").write_bytes(b"x")
    (tmp_path / "4" / "saved_model.pb").unlink()
    assert looked_into(tmp_path, Interest(Latest())) == [3, 4]
    before = look_at(tmp_path, interest=Interest(Latest())).versions
    (tmp_path / "3" / "saved_model.pb").write_bytes(b"xy")
    assert looked_into(tmp_path, Interest(Latest(), before=before)) == [2, 3, 4]


def test_five_hundred_old_versions_cost_a_look_no_more_than_their_listing(
    tmp_path: Path, denied: Denied
) -> None:
    costs = []
    for count in (2, 500):
        for number in range(1, count + 1):
            make(tmp_path / str(number))
        denied.asked.clear()
        look_at(tmp_path, interest=Interest(Latest(), settled=(count,)))
        costs.append(len(denied.asked))
    assert costs[0] == costs[1]
