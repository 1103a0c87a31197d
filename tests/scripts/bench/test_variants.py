"""hotgraph with other flags and of other commits: what they are called, and where their sources come from."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from bench import variants
from bench.environment import Cache, CannotSetUp
from bench.variants import NoSources, Variant, against, with_flags

HELP = """\
class Unheard(Exception): pass
print("usage: hotgraph serve [--lead never|auto] [--plan PLAN]")
"""


def git(folder: Path, *words: str) -> str:
    options = ["-c", "user.name=somebody", "-c", "user.email=somebody@localhost"]
    command = ["git", "-C", str(folder), *options, *words]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository with one commit, whose server only knows how to say what flags it has."""
    folder = tmp_path / "checkout"
    for name in ("server/hotgraph_server", "protos", "client"):
        (folder / name).mkdir(parents=True)
        (folder / name / "kept").touch()
    package = folder / "server" / "hotgraph_server"
    (package / "__init__.py").touch()
    (package / "__main__.py").write_text(HELP)
    git(folder, "init", "--quiet")
    git(folder, "add", ".")
    git(folder, "commit", "--quiet", "-m", "first")
    monkeypatch.setattr(variants, "ROOT", folder)
    return folder


@pytest.fixture
def cache(tmp_path: Path) -> Cache:
    return Cache(tmp_path / "cache")


def test_flags_are_the_name_and_taken_as_a_shell_takes_them() -> None:
    assert with_flags("--lead  'never'") == Variant("hotgraph --lead never", ("--lead", "never"))


@pytest.mark.parametrize("text", ["", "lead never", "'"])
def test_what_is_no_flag_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"no flags|quotation"):
        with_flags(text)


def test_flags_that_the_server_does_not_know_leave_it_out(checkout: Path, cache: Cache) -> None:
    assert with_flags("--lead never --plan=as-saved").sources(cache) == checkout
    with pytest.raises(CannotSetUp, match="no --processes"):
        with_flags("--processes 2 --lead auto").sources(cache)


def test_server_that_does_not_start_is_left_out_with_its_last_word(checkout: Path, cache: Cache) -> None:
    (checkout / "server" / "hotgraph_server" / "__main__.py").write_text("raise SystemExit('it is broken')")
    with pytest.raises(CannotSetUp, match="it is broken"):
        with_flags("--lead never").sources(cache)


def test_commit_is_unpacked_as_it_was_whatever_the_checkout_has_become(checkout: Path, cache: Cache) -> None:
    commit = git(checkout, "rev-parse", "HEAD")
    main = checkout / "server" / "hotgraph_server" / "__main__.py"
    main.write_text("changed")
    variant = against("HEAD")
    assert variant.name == f"hotgraph@{commit[:7]}"
    tree = variant.sources(cache)
    assert tree == cache.folder / "trees" / commit
    assert (tree / "server" / "hotgraph_server" / "__main__.py").read_text() == HELP
    # It is there, and not unpacked again.
    (tree / "mine").touch()
    assert (variant.sources(cache) / "mine").exists()
    assert git(checkout, "worktree", "list").count("\n") == 0


def test_checkout_is_served_as_it_lies_there_and_says_when_it_differs_from_its_commit(
    checkout: Path, cache: Cache
) -> None:
    commit = git(checkout, "rev-parse", "--short=7", "HEAD")
    assert against(str(checkout)).name == f"hotgraph@{commit}"
    (checkout / "protos" / "kept").write_text("changed")
    variant = against(str(checkout))
    assert variant.name == f"hotgraph@{commit}+"
    assert variant.sources(cache) == checkout
    assert str(checkout) not in variant.settings


@pytest.mark.usefixtures("checkout")
def test_what_is_neither_commit_nor_checkout_is_refused(tmp_path: Path) -> None:
    for text in ("no-such-commit", str(tmp_path)):
        with pytest.raises(NoSources, match="no commit"):
            against(text)


@pytest.mark.usefixtures("checkout")
def test_commit_that_marks_are_about_may_be_missing_from_a_clone() -> None:
    found, missing = variants.wanted_by_marks()
    assert [variant.name for variant in found] == ["hotgraph --lead never", "hotgraph --processes 2"]
    assert list(missing) == [f"hotgraph@{variants.BEFORE}"]
