"""Which models the repositories offer, by what lies in them."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from hotgraph_server.errors import LoadError
from hotgraph_server.model_control.discovery import offers_of


def test_every_folder_is_a_model_but_hidden_ones(tmp_path: Path) -> None:
    for name in ("b", "a", ".git", "..data"):
        (tmp_path / name).mkdir()
    (tmp_path / "readme").write_text("no folder")
    found = offers_of([tmp_path])
    assert list(found.models) == ["a", "b"]
    assert (found.models["a"].folder, found.models["a"].config) == (tmp_path / "a", None)
    assert found.refused == {}


def test_name_that_no_model_has_and_one_that_is_there_twice_are_refused_and_the_others_are_not(
    tmp_path: Path,
) -> None:
    for name in ("r/a", "r/b", "s/b", "s/c", "s/_d", "s/-e", "s/with space", "s/ümlaut", "s/[*?]"):
        (tmp_path / name).mkdir(parents=True)
    for odd in (b"caf\xe9", b"two\nlines", b"\x1b[31m"):
        os.mkdir(os.fsencode(tmp_path) + b"/s/" + odd)
    found = offers_of([tmp_path / "r", tmp_path / "s"])
    assert sorted(found.models) == ["-e", "[*?]", "_d", "a", "c", "with space", "ümlaut"]
    assert found.refused.keys() == {"b", "caf\\xe9", "two\\nlines", "\\x1b[31m"}
    assert "bytes that are not UTF-8" in found.refused["caf\\xe9"]
    assert "a control character" in found.refused["two\\nlines"]
    # All of it goes into messages and logs.
    assert all(text.isprintable() and text.encode() for pair in found.refused.items() for text in pair)
    assert str(tmp_path / "r" / "b") in found.refused["b"]
    assert str(tmp_path / "s" / "b") in found.refused["b"]


def test_configuration_is_the_named_one_where_it_is_there(tmp_path: Path) -> None:
    for name in ("a", "b", "c"):
        (tmp_path / name / "configs").mkdir(parents=True)
    for path in ("a/config.pbtxt", "a/configs/x.pbtxt", "b/config.pbtxt"):
        (tmp_path / path).write_text("")
    configs = {name: offer.config for name, offer in offers_of([tmp_path], "x").models.items()}
    assert configs == {
        "a": tmp_path / "a" / "configs" / "x.pbtxt",
        "b": tmp_path / "b" / "config.pbtxt",
        "c": None,
    }
    assert offers_of([tmp_path]).models["a"].config == tmp_path / "a" / "config.pbtxt"


def test_configuration_written_anew_has_another_stamp(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    config = tmp_path / "a" / "config.pbtxt"
    config.write_text("one")
    before = offers_of([tmp_path]).models["a"]
    assert offers_of([tmp_path]).models["a"] == before
    os.utime(config, ns=(1, 1))
    assert offers_of([tmp_path]).models["a"] != before


def test_what_is_no_plain_file_is_no_configuration(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    os.mkfifo(tmp_path / "a" / "config.pbtxt")
    (tmp_path / "b" / "config.pbtxt").mkdir(parents=True)
    assert [offer.config for offer in offers_of([tmp_path]).models.values()] == [None, None]


def test_links_out_are_refused_where_requests_choose_and_followed_elsewhere(tmp_path: Path) -> None:
    (tmp_path / "outside").mkdir()
    (tmp_path / "r" / "inside").mkdir(parents=True)
    (tmp_path / "r" / "out").symlink_to(tmp_path / "outside")
    (tmp_path / "r" / "in").symlink_to(tmp_path / "r" / "inside")
    assert offers_of([tmp_path / "r"]).models.keys() == {"inside", "in", "out"}
    found = offers_of([tmp_path / "r"], links_out=False)
    assert found.models.keys() == {"inside", "in"}
    assert "is a link out of" in found.refused["out"]


def test_repository_that_is_itself_a_link_holds_what_is_in_it(tmp_path: Path) -> None:
    (tmp_path / "real" / "a").mkdir(parents=True)
    (tmp_path / "link").symlink_to(tmp_path / "real")
    assert offers_of([tmp_path / "link"], links_out=False).models.keys() == {"a"}


@pytest.mark.parametrize("name", ["nowhere", "file"])
def test_what_is_no_folder_is_no_repository(tmp_path: Path, name: str) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(LoadError, match=f"{name}: no repository: "):
        offers_of([tmp_path / name])


def test_repository_that_is_a_model_is_told_so_and_one_that_a_graph_lies_in_is_read(tmp_path: Path) -> None:
    (tmp_path / "saved_model.pb").touch()
    (tmp_path / "variables").mkdir()
    with pytest.raises(LoadError, match=f"is a model, and no folder of models: hotgraph serve {tmp_path}"):
        offers_of([tmp_path])
    (tmp_path / "a").mkdir()
    assert sorted(offers_of([tmp_path]).models) == ["a", "variables"]
