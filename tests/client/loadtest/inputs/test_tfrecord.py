"""tfrecord.py: records of files."""

from __future__ import annotations

import gzip
import struct
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hotgraph_client.loadtest.inputs.items import InputError
from hotgraph_client.loadtest.inputs.tfrecord import masked_crc, read_records, starts_as_records

from ..described import record

# what TensorFlow's own writer makes of b"abc" and b""
WRITTEN = bytes.fromhex("0300000000000000b099490e6162636e57f121000000000000000029039807d8ea82a2")

RECORDS = st.lists(st.binary(max_size=30), max_size=4)


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("records") / "log.tfrecord"


def test_records_are_those_that_tensorflow_writes(file: Path) -> None:
    file.write_bytes(WRITTEN)
    assert list(read_records(file)) == [b"abc", b""]
    assert record(b"abc") + record(b"") == WRITTEN


@given(records=RECORDS, zipped=st.booleans())
def test_records_come_back_plain_or_zipped(file: Path, records: list[bytes], zipped: bool) -> None:
    data = b"".join(map(record, records))
    file.write_bytes(gzip.compress(data) if zipped else data)
    assert list(read_records(file)) == records
    assert starts_as_records(file) is bool(records)


@pytest.mark.parametrize("zipped", [False, True])
def test_a_file_cut_at_any_byte_names_its_record(file: Path, zipped: bool) -> None:
    data = gzip.compress(WRITTEN) if zipped else WRITTEN
    ends = {0} if zipped else {0, 19, len(data)}
    for cut in range(len(data)):
        file.write_bytes(data[:cut])
        if cut in ends:
            assert len(list(read_records(file))) == [0, 19].index(cut)
            continue
        with pytest.raises(InputError, match=rf"^record [123] of {file}: "):
            list(read_records(file))


def test_a_changed_byte_is_noticed_wherever_it_is(file: Path) -> None:
    for at in range(len(WRITTEN)):
        changed = bytearray(WRITTEN)
        changed[at] ^= 0x10
        file.write_bytes(changed)
        with pytest.raises(InputError, match=rf"^record {1 if at < 19 else 2} of {file}: .*checksum"):
            list(read_records(file))


def test_what_comes_before_a_broken_record_is_read(file: Path) -> None:
    file.write_bytes(WRITTEN[:-1])
    records = read_records(file)
    assert next(records) == b"abc"
    with pytest.raises(InputError, match="record 2"):
        next(records)


def test_a_record_that_says_it_is_huge_takes_no_memory(file: Path) -> None:
    length = struct.pack("<Q", 2**60)
    file.write_bytes(length + struct.pack("<I", masked_crc(length)))
    with pytest.raises(InputError, match=f"it has {2**60} bytes"):
        list(read_records(file))
    length = struct.pack("<Q", 2**27)
    file.write_bytes(length + struct.pack("<I", masked_crc(length)) + b"little")
    with pytest.raises(InputError, match="the file ends within it"):
        list(read_records(file))
    file.write_bytes(record(b"a" * 11))
    with pytest.raises(InputError, match="it has 11 bytes, and at most 10 are read"):
        list(read_records(file, 10))


@given(data=st.binary(max_size=50))
@settings(max_examples=200)
def test_whatever_a_file_holds_there_is_one_kind_of_error(file: Path, data: bytes) -> None:
    file.write_bytes(data)
    starts_as_records(file)
    try:
        records = list(read_records(file))
    except InputError:
        return
    assert b"".join(map(record, records)) == data


def test_a_file_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="No such file"):
        list(read_records(tmp_path / "nix"))
    assert not starts_as_records(tmp_path / "nix")
    assert not starts_as_records(tmp_path)
