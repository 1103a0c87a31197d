from __future__ import annotations

import io

import pytest

from hotgraph_server.access.keys import hashed, key_fault
from hotgraph_server.commands import cli


def test_new_key_goes_alone_to_stdout(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["auth", "new"]) == 0
    out, err = capsys.readouterr()
    key = out.removesuffix("\n")
    assert key_fault(key) is None
    assert hashed(key) in err
    assert key not in err


@pytest.mark.parametrize("end", ["", "\n", "\r\n", "\nmore"])
def test_hash_of_a_key_from_stdin(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], end: str
) -> None:
    key = "k" * 43
    monkeypatch.setattr("sys.stdin", io.StringIO(key + end))
    assert cli.main(["auth", "hash"]) == 0
    assert capsys.readouterr().out == f"{hashed(key)}\n"


@pytest.mark.parametrize("key", ["", "secret", "s e c r e t " * 5])
def test_hash_of_what_is_no_key_fails_in_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], key: str
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO(f"{key}\n"))
    assert cli.main(["auth", "hash"]) == 1
    out, err = capsys.readouterr()
    assert not out
    assert err.startswith("hotgraph auth: a key has ")
    assert err.count("\n") == 1
    assert not key or key not in err
