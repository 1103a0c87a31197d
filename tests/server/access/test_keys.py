from __future__ import annotations

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hotgraph_server.access.keys import (
    MIN_LENGTH,
    bearer,
    digest_in,
    digest_of,
    hashed,
    is_among,
    key_fault,
    new_key,
)


def test_new_keys_are_keys_and_no_two_alike() -> None:
    keys = {new_key() for _ in range(100)}
    assert len(keys) == 100
    assert all(key_fault(key) is None for key in keys)


def test_hash_is_that_of_the_key_and_read_back_in_either_case() -> None:
    text = hashed("k" * 40)
    assert text == "sha256:" + hashlib.sha256(b"k" * 40).hexdigest()
    assert digest_in(text) == digest_in(text.upper()) == digest_of("k" * 40)


@pytest.mark.parametrize(
    "text", ["", "k" * 64, "sha256:", "sha256:" + "0" * 63, "sha256:" + "g" * 64, "md5:00"]
)
def test_what_is_no_hash_is_told(text: str) -> None:
    assert digest_in(text) is None


@pytest.mark.parametrize(
    ("key", "said"),
    [
        ("", "letters, digits"),
        ("a b" * 20, "letters, digits"),
        ("ä" * 40, "letters, digits"),
        ("a" * (MIN_LENGTH - 1), "at least 32 characters, for it must not be guessed; got 31"),
        ("=" * 40, "letters, digits"),
    ],
)
def test_key_that_is_none_is_refused_and_not_shown(key: str, said: str) -> None:
    fault = key_fault(key)
    assert fault is not None
    assert said in fault
    assert not key or key not in fault


@pytest.mark.parametrize(
    ("header", "key"),
    [
        ("Bearer abc", "abc"),
        ("bearer   abc ", "abc"),
        ("BEARER a=b", "a=b"),
        ("Bearer", None),
        ("Bearer ", None),
        ("Bearer a b", None),
        ("Bearer a, Bearer b", None),
        ("Basic abc", None),
        ("abc", None),
        ("", None),
        (None, None),
    ],
)
def test_bearer_key_is_read_from_its_header(header: str | None, key: str | None) -> None:
    assert bearer(header) == key


@given(st.text())
def test_any_header_is_read(text: str) -> None:
    key = bearer(text)
    assert key is None or not is_among(digest_of(key), [digest_of(new_key())])


def test_any_of_several_is_found() -> None:
    digests = [digest_of(str(number)) for number in range(3)]
    assert all(is_among(digest, digests) for digest in digests)
    assert not is_among(digest_of("3"), digests)
    assert not is_among(digest_of("3"), [])
