"""Regions: what clients may name, and what happens when they change it meanwhile."""

from __future__ import annotations

import gc
import os
import socket
import threading
from contextlib import suppress
from pathlib import Path

import grpc
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hotgraph_server.errors import AlreadyExists, CallError, InvalidCall, NotFound, OverLimit, RegionBroken
from hotgraph_server.protocols.v2.regions import Region, Regions
from hotgraph_server.settings import SharedMemorySettings


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """In place of /dev/shm."""
    folder = tmp_path / "shm"
    folder.mkdir()
    return folder


@pytest.fixture
def regions(folder: Path) -> Regions:
    return regions_in(folder)


def regions_in(folder: Path, **settings: int | str) -> Regions:
    return Regions(SharedMemorySettings(allow_client_shm=True, **settings), str(folder))  # type: ignore[arg-type]


def test_what_a_client_wrote_is_read_from_where_the_request_says(regions: Regions, folder: Path) -> None:
    (folder / "input").write_bytes(bytes(range(100)))
    regions.register("in", "/input", 10, 50)
    assert bytes(regions.view("in", 0, 50)) == bytes(range(10, 60))
    assert bytes(regions.view("in", 7, 3)) == bytes((17, 18, 19))
    assert bytes(regions.view("in", 50, 0)) == b""


def test_a_key_may_lack_its_slash(regions: Regions, folder: Path) -> None:
    (folder / "input").write_bytes(b"abcd")
    regions.register("in", "input", 0, 4)
    assert bytes(regions.view("in", 0, 4)) == b"abcd"


def test_what_was_read_does_not_change_with_the_file(regions: Regions, folder: Path) -> None:
    (folder / "input").write_bytes(b"before")
    regions.register("in", "input", 0, 6)
    view = regions.view("in", 0, 6)
    (folder / "input").write_bytes(b"after.")
    assert bytes(view) == b"before"
    assert bytes(regions.view("in", 0, 6)) == b"after."


def test_what_was_read_begins_where_tensorflow_need_not_copy_it(regions: Regions, folder: Path) -> None:
    import numpy as np

    (folder / "input").write_bytes(bytes(1000))
    regions.register("in", "input", 3, 900)
    for nbytes in (1, 64, 900):
        view = regions.view("in", 0, nbytes)
        assert np.frombuffer(view, np.uint8).ctypes.data % 64 == 0
        assert not view.readonly


def test_an_output_is_written_where_its_room_is_and_nowhere_else(regions: Regions, folder: Path) -> None:
    (folder / "output").write_bytes(b"." * 20)
    regions.register("out", "output", 5, 10)
    room = regions.room("out", 2, 4)
    assert room.nbytes == 4
    room.write(b"abc")
    room.write(memoryview(bytearray(b"xy")))
    assert (folder / "output").read_bytes() == b"." * 7 + b"xyc" + b"." * 10


def test_an_output_that_does_not_fit_is_not_written(regions: Regions, folder: Path) -> None:
    (folder / "output").write_bytes(b"." * 20)
    regions.register("out", "output", 0, 20)
    with pytest.raises(RegionBroken, match=r"\(4 bytes in region 'out'\) should be at least 5 bytes to hold"):
        regions.room("out", 0, 4).write(b"abcde")
    assert (folder / "output").read_bytes() == b"." * 20


@pytest.mark.parametrize(
    "key",
    [
        *("", "/", ".", "..", "/.", "/..", "../input", "/../input", "//input", "a/input", "/a/../input"),
        *("./input", "input/", "/input/", "input\0", "\0", "in\0put", "a/../../input", "/etc/passwd"),
        *("sem.lock", "/sem.lock"),
    ],
)
def test_a_key_that_is_no_file_name_is_refused(regions: Regions, folder: Path, key: str) -> None:
    (folder / "a").mkdir()
    for place in (folder / "input", folder / "a" / "input", folder.parent / "input", folder / "sem.lock"):
        place.write_bytes(bytes(8))
    with pytest.raises(InvalidCall, match="is not allowed"):
        regions.register("in", key, 0, 8)
    assert regions.status() == []


@given(key=st.text(alphabet=st.sampled_from("./ab\0\\%~é\N{FULLWIDTH SOLIDUS}"), max_size=8))
def test_no_key_leads_out_of_the_folder(tmp_path_factory: pytest.TempPathFactory, key: str) -> None:
    top = tmp_path_factory.getbasetemp() / "top"
    folder = top / "shm"
    (folder / "a").mkdir(parents=True, exist_ok=True)
    for outside in (top / "a", top / "b", folder / "a" / "a", folder / "a" / "b"):
        if not outside.exists():
            outside.write_bytes(b"out")
    (folder / "b").write_bytes(b"in!")
    regions = regions_in(folder)
    try:
        regions.register("x", key, 0, 3)
    except CallError:
        return
    assert bytes(regions.view("x", 0, 3)) == b"in!"


def test_only_keys_with_the_prefix_are_taken_where_there_is_one(folder: Path) -> None:
    regions = regions_in(folder, client_shm_prefix="mine-")
    for name in ("mine-1", "theirs", "mine"):
        (folder / name).write_bytes(bytes(8))
    regions.register("a", "/mine-1", 0, 8)
    for key in ("/theirs", "mine", "/mine"):
        with pytest.raises(InvalidCall, match="is not allowed on this server"):
            regions.register("b", key, 0, 8)


def test_links_are_not_followed(regions: Regions, folder: Path) -> None:
    (folder.parent / "secret").write_bytes(bytes(8))
    (folder / "real").write_bytes(bytes(8))
    (folder / "out").symlink_to(folder.parent / "secret")
    (folder / "beside").symlink_to("real")
    for key in ("out", "beside"):
        with pytest.raises(RegionBroken, match=f"Unable to open shared memory region: '{key}'"):
            regions.register("in", key, 0, 8)


def test_what_is_no_regular_file_is_refused_without_waiting_for_it(regions: Regions, folder: Path) -> None:
    os.mkfifo(folder / "pipe")
    (folder / "folder").mkdir()
    # A socket's name may be about 100 bytes long; the folder's may be longer.
    with socket.socket(socket.AF_UNIX) as listener:
        here = os.getcwd()
        os.chdir(folder)
        try:
            listener.bind("socket")
        finally:
            os.chdir(here)
        for key in ("pipe", "folder", "socket"):
            with pytest.raises(RegionBroken, match=f"Unable to open shared memory region: '{key}'"):
                regions.register("in", key, 0, 8)
    assert regions.status() == []


def test_a_missing_file_is_an_error_with_tritons_text_and_code(regions: Regions) -> None:
    with pytest.raises(RegionBroken, match="Unable to open shared memory region: '/nothing'") as raised:
        regions.register("in", "/nothing", 0, 8)
    assert raised.value.status is grpc.StatusCode.INTERNAL


def test_keys_too_long_or_in_any_script_are_handed_to_the_file_system(regions: Regions, folder: Path) -> None:
    with pytest.raises(RegionBroken, match="File name too long"):
        regions.register("in", "k" * 300, 0, 8)
    (folder / "größe").write_bytes(b"8 bytes!")
    regions.register("in", "größe", 0, 8)
    assert bytes(regions.view("in", 0, 8)) == b"8 bytes!"


@pytest.mark.parametrize(
    ("offset", "byte_size"),
    [(0, 0), (0, 101), (100, 1), (101, 0), (1, 100), (2**63, 1), (0, 2**63), (2**64 - 1, 2**64 - 1)],
)
def test_a_region_outside_of_its_file_is_refused(
    regions: Regions, folder: Path, offset: int, byte_size: int
) -> None:
    (folder / "input").write_bytes(bytes(100))
    with pytest.raises(InvalidCall, match="failed to register shared memory region 'in'"):
        regions.register("in", "input", offset, byte_size)
    assert regions.status() == []


@given(offset=st.integers(-(2**63), 2**63 - 1), nbytes=st.integers(-(2**63), 2**63 - 1))
def test_nothing_outside_of_a_region_is_read_or_written(
    tmp_path_factory: pytest.TempPathFactory, offset: int, nbytes: int
) -> None:
    folder = tmp_path_factory.getbasetemp()
    (folder / "bounds").write_bytes(bytes(40))
    regions = regions_in(folder)
    regions.register("in", "bounds", 10, 20)
    within = 0 <= offset <= 20 and 0 <= nbytes <= 20 - offset
    for use in (regions.view, regions.room):
        if within:
            use("in", offset, nbytes)
        else:
            with pytest.raises(InvalidCall, match=r"Invalid offset.* for shared memory region: 'in'"):
                use("in", offset, nbytes)


@pytest.mark.parametrize(
    ("offset", "nbytes", "text"),
    [
        (-1, 1, "Invalid offset for shared memory region: 'in'"),
        (21, 0, "Invalid offset for shared memory region: 'in'"),
        (0, 21, r"Invalid offset \+ byte size for shared memory region: 'in'"),
        (20, 1, r"Invalid offset \+ byte size for shared memory region: 'in'"),
        (1, -1, r"Invalid offset \+ byte size for shared memory region: 'in'"),
        (1, 2**63 - 1, r"Invalid offset \+ byte size for shared memory region: 'in'"),
    ],
)
def test_bounds_are_refused_in_tritons_words(
    regions: Regions, folder: Path, offset: int, nbytes: int, text: str
) -> None:
    (folder / "input").write_bytes(bytes(40))
    regions.register("in", "input", 0, 20)
    with pytest.raises(InvalidCall, match=f"{text}$"):
        regions.view("in", offset, nbytes)


def test_a_name_is_registered_once(regions: Regions, folder: Path) -> None:
    (folder / "input").write_bytes(bytes(8))
    regions.register("in", "input", 0, 8)
    with pytest.raises(AlreadyExists, match="shared memory region 'in' already in manager") as raised:
        regions.register("in", "input", 0, 4)
    assert raised.value.status is grpc.StatusCode.ALREADY_EXISTS
    assert regions.status("in") == [Region("in", "input", 0, 8)]
    regions.unregister("in")
    regions.register("in", "input", 0, 4)
    assert regions.status("in") == [Region("in", "input", 0, 4)]


@pytest.mark.parametrize("name", ["", "n" * 1025])
def test_a_region_needs_a_name_of_sensible_length(regions: Regions, folder: Path, name: str) -> None:
    (folder / "input").write_bytes(bytes(8))
    with pytest.raises(InvalidCall, match="must have 1 to 1024 characters"):
        regions.register(name, "input", 0, 8)


def test_the_status_of_all_regions_or_of_one(regions: Regions, folder: Path) -> None:
    (folder / "input").write_bytes(bytes(8))
    assert regions.status() == []
    with pytest.raises(NotFound, match="Unable to find system shared memory region: 'a'"):
        regions.status("a")
    regions.register("a", "input", 0, 8)
    regions.register("b", "/input", 4, 2)
    assert regions.status() == [Region("a", "input", 0, 8), Region("b", "/input", 4, 2)]
    assert regions.status("b") == [Region("b", "/input", 4, 2)]


def test_unregistering_what_is_not_there_is_no_error(regions: Regions) -> None:
    regions.unregister("nothing")
    regions.unregister_all()


def test_a_region_that_is_gone_is_not_found(regions: Regions, folder: Path) -> None:
    (folder / "input").write_bytes(bytes(8))
    for by_name in (True, False):
        regions.register("in", "input", 0, 8)
        if by_name:
            regions.unregister("in")
        else:
            regions.unregister_all()
        for use in (regions.view, regions.room):
            with pytest.raises(NotFound, match="Unable to find shared memory region: 'in'"):
                use("in", 0, 8)
        assert regions.status() == []


def test_an_output_finds_its_place_though_region_and_file_are_gone(regions: Regions, folder: Path) -> None:
    (folder / "output").write_bytes(bytes(4))
    with (folder / "output").open("rb") as still_there:
        regions.register("out", "output", 0, 4)
        room = regions.room("out", 0, 4)
        (folder / "output").unlink()
        regions.unregister("out")
        room.write(b"done")
        assert still_there.read() == b"done"


def test_a_file_that_has_shrunk_fails_the_call_and_nothing_else(regions: Regions, folder: Path) -> None:
    path = folder / "both"
    path.write_bytes(b"x" * 100_000)
    regions.register("both", "both", 0, 100_000)
    room = regions.room("both", 50_000, 50_000)
    os.truncate(path, 70_000)
    with pytest.raises(InvalidCall, match="shorter than it was when it was registered"):
        regions.view("both", 0, 100_000)
    with pytest.raises(InvalidCall, match="shorter than it was when it was registered"):
        room.write(bytes(50_000))
    assert path.stat().st_size == 70_000, "it was not made longer"
    assert bytes(regions.view("both", 0, 70_000)) == b"x" * 70_000
    room.write(bytes(20_000))
    os.truncate(path, 0)
    with pytest.raises(InvalidCall, match="shorter than it was"):
        regions.view("both", 0, 1)


def test_a_file_that_shrinks_and_grows_during_calls_hurts_nobody(regions: Regions, folder: Path) -> None:
    path = folder / "both"
    size = 1 << 20
    path.write_bytes(bytes(size))
    regions.register("both", "both", 0, size)
    over = threading.Event()

    def shrink_and_grow() -> None:
        with path.open("r+b") as file:
            while not over.is_set():
                os.ftruncate(file.fileno(), 0)
                os.ftruncate(file.fileno(), size)

    client = threading.Thread(target=shrink_and_grow, name="client")
    client.start()
    try:
        for _ in range(100):
            with suppress(InvalidCall):
                regions.view("both", 0, size)
            with suppress(InvalidCall):
                room_written(regions, size)
    finally:
        over.set()
        client.join()
    room_written(regions, 0)


def room_written(regions: Regions, nbytes: int) -> None:
    regions.room("both", 0, nbytes).write(bytes(nbytes))


def test_regions_are_limited_in_number(folder: Path) -> None:
    regions = regions_in(folder, max_client_shm_regions=2)
    (folder / "input").write_bytes(bytes(8))
    regions.register("a", "input", 0, 8)
    regions.register("b", "input", 0, 8)
    with pytest.raises(OverLimit, match="region 'c' is one too many: the limit is 2") as raised:
        regions.register("c", "input", 0, 8)
    assert raised.value.status is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert raised.value.retry_after_ms is None
    regions.unregister("a")
    regions.register("c", "input", 0, 8)


def test_regions_are_limited_in_bytes(folder: Path) -> None:
    regions = regions_in(folder, max_client_shm_mb=1)
    with (folder / "input").open("wb") as file:
        file.truncate(1 << 40)  # a hole: it costs the client nothing, and reading it would cost us all
    regions.register("a", "input", 1 << 30, (1 << 20) - 100)
    with pytest.raises(OverLimit, match="'b' of 101 bytes is too large beside 1048476 bytes in others"):
        regions.register("b", "input", 0, 101)
    regions.register("b", "input", 0, 100)
    regions.unregister("a")
    with pytest.raises(OverLimit):
        regions.register("a", "input", 0, 1 << 20)
    regions.unregister_all()
    regions.register("a", "input", 0, 1 << 20)


def number_of_files() -> int:
    return len(os.listdir("/proc/self/fd"))


def test_no_file_is_left_open(regions: Regions, folder: Path) -> None:
    (folder / "input").write_bytes(bytes(64))
    (folder / "folder").mkdir()
    os.mkfifo(folder / "pipe")
    gc.disable()  # what is closed is closed at once, and not when a collection finds it
    try:
        before = number_of_files()
        for round_ in range(10_000):
            name = f"region {round_ % 100}"
            regions.unregister(name)
            regions.register(name, "input", round_ % 64, 1)
            for key, size in (("input", 65), ("pipe", 1), ("folder", 1), ("nothing", 1)):
                if round_ % 100 == 0:
                    with pytest.raises(CallError):
                        regions.register("refused", key, 0, size)
        assert number_of_files() == before + 100
        room = regions.room("region 5", 0, 1)
        regions.unregister_all()
        assert number_of_files() == before + 1
        del room
        assert number_of_files() == before
    finally:
        gc.enable()


def test_one_more_region_than_the_limit_is_refused_ten_thousand_times_at_no_cost(folder: Path) -> None:
    regions = regions_in(folder, max_client_shm_regions=10)
    (folder / "input").write_bytes(bytes(64))
    # What tests before this one have left to be collected is closed now, and not in between.
    gc.collect()
    before = number_of_files()
    refused = 0
    for number in range(10_000):
        try:
            regions.register(f"region {number}", "input", 0, 64)
        except OverLimit:
            refused += 1
    assert refused == 9_990
    assert len(regions.status()) == 10
    assert number_of_files() <= before + 10


def test_regions_come_and_go_while_others_are_used(regions: Regions, folder: Path) -> None:
    """A file that was closed under a reader would hand it what another file holds."""
    for name in ("a", "b"):
        (folder / name).write_bytes(name.encode() * 4096)
    over = threading.Event()
    wrong: list[bytes] = []

    def use(name: str) -> None:
        while not over.is_set():
            try:
                seen = bytes(regions.view(name, 0, 4096))
            except NotFound:
                continue
            if seen != name.encode() * 4096:
                wrong.append(seen)

    users = [threading.Thread(target=use, args=(name,), name=f"user of {name}") for name in "ab"]
    for user in users:
        user.start()
    try:
        for _ in range(2000):
            for name in ("a", "b"):
                regions.register(name, name, 0, 4096)
            for name in ("a", "b"):
                regions.unregister(name)
    finally:
        over.set()
        for user in users:
            user.join()
    assert not wrong
