"""What control groups leave of the memory, from the texts that a kernel writes."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hotgraph_server.threads import control_groups, memory_limit

ROOT = "/sys/fs/cgroup"


def limit(groups: str, files: Mapping[str, str]) -> int | None:
    def read(path: str) -> str:
        if path not in files:
            raise FileNotFoundError(path)
        return files[path]

    return memory_limit.limit_bytes(groups, read)


@pytest.mark.parametrize(
    ("text", "expected"),
    [*(("536870912\n", 2**29), ("max\n", None), ("", None), ("-1", None), ("0", None), ("much", None))],
)
def test_limit_of_a_group_of_version_two(text: str, expected: int | None) -> None:
    assert limit("0::/\n", {f"{ROOT}/memory.max": text}) == expected


def test_limit_of_a_group_of_version_one() -> None:
    groups = "4:memory:/docker/1f\n1:cpu:/docker/1f\n0::/\n"
    files = {f"{ROOT}/memory/docker/1f/memory.limit_in_bytes": "536870912\n"}
    assert limit(groups, files) == 2**29
    # In the container itself that path is not there, but its own group at the root.
    assert limit(groups, {f"{ROOT}/memory/memory.limit_in_bytes": "1048576"}) == 2**20


def test_tightest_of_the_groups_around_a_process_counts() -> None:
    files = {f"{ROOT}/a/memory.max": "1000", f"{ROOT}/a/b/memory.max": "2000", f"{ROOT}/c/memory.max": "1"}
    assert limit("0::/a/b\n", files) == 1000


@pytest.fixture
def group(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """The file with the limit of this process's group."""
    groups = tmp_path / "cgroup"
    groups.write_text("0::/\n")
    monkeypatch.setattr(control_groups, "SELF", groups)
    monkeypatch.setattr(control_groups, "ROOT", tmp_path)
    return tmp_path / "memory.max"


def test_limit_of_this_process_is_told_in_mib(group: Path) -> None:
    assert memory_limit.limit_mb() is None
    group.write_text(f"{512 * 2**20}\n")
    assert memory_limit.limit_mb() == 512


def test_limit_above_what_the_machine_has_is_none(group: Path) -> None:
    # What version 1 says where there is none.
    group.write_text("9223372036854771712\n")
    assert memory_limit.limit_mb() is None


@given(st.text(), st.text())
def test_no_text_of_a_kernel_stops_it(groups: str, text: str) -> None:
    assert (memory_limit.limit_bytes(groups, lambda _: text) or 1) >= 1
