"""Affinity and quotas, from the texts that a kernel writes."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from pathlib import Path

import pytest

from hotgraph_server.threads import processors

NO_LIMIT = math.inf


def quota(groups: str, files: Mapping[str, str]) -> float:
    def read(path: str) -> str:
        if path not in files:
            raise FileNotFoundError(path)
        return files[path]

    return processors.quota(groups, read)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        *(("200000 100000\n", 2.0), ("50000 100000", 0.5), ("max 100000\n", NO_LIMIT)),
        *(("", NO_LIMIT), ("-1 100000", NO_LIMIT), ("1 0", NO_LIMIT), ("many of them", NO_LIMIT)),
    ],
)
def test_quota_of_a_group_of_version_two(text: str, expected: float) -> None:
    assert quota("0::/\n", {"/sys/fs/cgroup/cpu.max": text}) == expected


@pytest.mark.parametrize("name", ["cpu", "cpu,cpuacct"])
@pytest.mark.parametrize(("runtime", "expected"), [("150000\n", 1.5), ("-1\n", NO_LIMIT), ("", NO_LIMIT)])
def test_quota_of_a_group_of_version_one(name: str, runtime: str, expected: float) -> None:
    folder = f"/sys/fs/cgroup/{name}/docker/1f"
    files = {f"{folder}/cpu.cfs_quota_us": runtime, f"{folder}/cpu.cfs_period_us": "100000\n"}
    assert quota("4:memory:/other\n3:cpu,cpuacct:/docker/1f\n0::/\n", files) == expected


def test_tightest_of_the_groups_around_a_process_counts() -> None:
    root = "/sys/fs/cgroup"
    files = {
        f"{root}/a.slice/cpu.max": "300000 100000",
        f"{root}/a.slice/b.scope/cpu.max": "max 100000",
        f"{root}/other.slice/cpu.max": "100000 100000",
    }
    assert quota("0::/a.slice/b.scope\n", files) == 3.0


def test_container_that_is_told_the_machines_path_finds_its_own_group_at_the_root() -> None:
    files = {"/sys/fs/cgroup/cpu.max": "400000 100000"}
    assert quota("0::/system.slice/docker-1f.scope\n", files) == 4.0
    assert quota("0::/../../other\n", files) == 4.0


@pytest.mark.parametrize("groups", ["", "nonsense", "1:cpu\n", "::\n", "0::\n"])
def test_what_cannot_be_read_is_no_limit(groups: str) -> None:
    assert quota(groups, {}) == NO_LIMIT


@pytest.mark.parametrize(
    ("seen", "limit", "expected"),
    [(8, NO_LIMIT, 8), (8, 2.0, 2), (8, 1.5, 2), (8, 0.1, 1), (2, 16.0, 2), (0, NO_LIMIT, 1)],
)
def test_quota_bounds_and_is_rounded_up(seen: int, limit: float, expected: int) -> None:
    assert processors.bounded(seen, limit) == expected


def test_process_without_groups_may_use_its_affinity(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(processors, "GROUPS", tmp_path / "none")
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 5, 7}, raising=False)
    assert processors.usable() == processors.schedulable() == 3
    monkeypatch.delattr(os, "sched_getaffinity")
    monkeypatch.setattr(os, "cpu_count", lambda: None)
    assert processors.usable() == 1


def test_usable_reads_this_processs_own_groups(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    groups = tmp_path / "cgroup"
    groups.write_text("0::/here\n")
    (tmp_path / "here").mkdir()
    (tmp_path / "here" / "cpu.max").write_text("150000 100000\n")
    monkeypatch.setattr(processors, "GROUPS", groups)
    monkeypatch.setattr(processors, "_ROOT", tmp_path)
    monkeypatch.setattr(processors, "schedulable", lambda: 64)
    assert processors.usable() == processors.bound() == 2
    monkeypatch.setattr(processors, "schedulable", lambda: 2)
    assert processors.bound() == 0


def memory_bytes(groups: str, files: Mapping[str, str]) -> float:
    def read(path: str) -> str:
        if path not in files:
            raise FileNotFoundError(path)
        return files[path]

    return processors.memory_bytes(groups, read)


@pytest.mark.parametrize(
    ("text", "expected"),
    [("1073741824\n", 1 << 30), ("max\n", NO_LIMIT), ("", NO_LIMIT), ("0", NO_LIMIT), ("much", NO_LIMIT)],
)
def test_memory_of_a_group_of_version_two(text: str, expected: float) -> None:
    assert memory_bytes("0::/a\n", {"/sys/fs/cgroup/a/memory.max": text}) == expected


def test_memory_of_a_group_of_version_one_has_no_limit_that_no_machine_reaches() -> None:
    groups, file = "9:memory:/docker/1f\n", "/sys/fs/cgroup/memory/docker/1f/memory.limit_in_bytes"
    assert memory_bytes(groups, {file: "9223372036854771712\n"}) == NO_LIMIT
    assert (
        memory_bytes(groups, {file: "4096\n", "/sys/fs/cgroup/memory/memory.limit_in_bytes": "512\n"}) == 512
    )
