"""What the checks have learnt survives a restart, and nothing that is wrong with its file harms a start."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from pathlib import Path

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hotgraph_server.state.files import Disk
from hotgraph_server.state.learnt import MAX_BYTES, Learnt, Memory, decode, encode

BY = "tensorflow 2.21.0; device /device:CPU:0"
LEARNT = {"a": Learnt(4096), "b": Learnt(0, "output 'y' differs")}

FILE = "trust.json"


def remember(folder: Path, learnt: dict[str, Learnt], made_by: str = BY) -> None:
    memory = Memory("m", folder, made_by)
    memory.keep(learnt)
    memory.close()


@given(
    st.dictionaries(
        st.text(st.characters(exclude_categories=["Cs"])),
        st.builds(Learnt, st.integers(0, 2**53), st.sampled_from(["", "it differs", "\0é"])),
    )
)
def test_file_says_what_was_learnt(learnt: dict[str, Learnt]) -> None:
    assert decode(encode(BY, learnt), BY) == learnt


def test_what_is_kept_is_recalled(tmp_path: Path) -> None:
    folder = tmp_path / "m" / "1-0"
    assert Memory("m", folder, BY).recall() == {}
    remember(folder, LEARNT)
    assert Memory("m", folder, BY).recall() == LEARNT
    assert [path.name for path in folder.iterdir()] == [FILE]


def test_what_something_else_has_learnt_is_not_taken_and_is_written_over(tmp_path: Path) -> None:
    remember(tmp_path, LEARNT, "tensorflow 2.20.0")
    assert Memory("m", tmp_path, BY).recall() == {}
    remember(tmp_path, {"a": Learnt(2)})
    assert Memory("m", tmp_path, BY).recall() == {"a": Learnt(2)}


@pytest.mark.parametrize(
    "data",
    [
        *(b"", b"{", b"[]", b"null", b'{"format": 2}', b"\xff\xfe", b" " * (MAX_BYTES + 1)),
        encode(BY, LEARNT)[:-1],
        orjson.dumps({"format": 1, "made_by": BY}),
        orjson.dumps({"format": 1, "made_by": BY, "signatures": {"a": 3}}),
        *(
            orjson.dumps(
                {
                    "format": 1,
                    "made_by": BY,
                    "signatures": {"a": {"joined": joined, "difference": difference}},
                }
            )
            for joined, difference in ((-1, ""), (True, ""), ("1", ""), (1.5, ""), (1, None), (1, 2))
        ),
    ],
)
def test_damaged_file_means_to_begin_again(
    data: bytes, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / FILE).write_bytes(data)
    assert Memory("m", tmp_path, BY).recall() == {}
    assert "trust.json is passed over" in caplog.text
    remember(tmp_path, LEARNT)
    assert Memory("m", tmp_path, BY).recall() == LEARNT


def test_folder_in_the_place_of_the_file_is_a_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / FILE).mkdir()
    assert Memory("m", tmp_path, BY).recall() == {}
    remember(tmp_path, LEARNT)
    assert "passed over" in caplog.text
    assert "is not kept" in caplog.text


def test_what_two_processes_have_learnt_is_joined_and_no_difference_forgotten(tmp_path: Path) -> None:
    remember(tmp_path, {"a": Learnt(10), "b": Learnt(0, "it differs"), "c": Learnt(1)})
    remember(tmp_path, {"a": Learnt(4), "b": Learnt(7), "d": Learnt(2)})
    assert Memory("m", tmp_path, BY).recall() == {
        "a": Learnt(10),
        "b": Learnt(0, "it differs"),
        "c": Learnt(1),
        "d": Learnt(2),
    }


class FullDisk(Disk):
    full = True

    def write(self, path: Path, pieces: Iterable[bytes | memoryview]) -> None:
        if self.full:
            raise OSError(28, "No space left on device")
        super().write(path, pieces)


def test_full_disk_is_one_warning_and_what_is_learnt_later_is_kept(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    disk = FullDisk()
    memory = Memory("m", tmp_path, BY, disk)
    with caplog.at_level(logging.WARNING):
        for number in range(3):
            memory.keep({"a": Learnt(number)})
            memory.close()
    assert caplog.text.count("No space left on device") == 1
    disk.full = False
    memory.keep({"a": Learnt(3)})
    memory.close()
    assert Memory("m", tmp_path, BY).recall() == {"a": Learnt(3)}


def test_without_a_folder_nothing_is_kept_and_no_thread_begins() -> None:
    memory = Memory("m")
    memory.keep(LEARNT)
    memory.close()
    assert memory.recall() == {}


def test_very_long_reason_is_cut() -> None:
    kept = decode(encode(BY, {"a": Learnt(0, "x" * 10**6)}), BY)
    assert len(kept["a"].difference) == 1000
