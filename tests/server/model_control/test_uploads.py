"""Private folders for the files of requests."""

from __future__ import annotations

from pathlib import Path

import pytest

from hotgraph_server.model_control.uploads import Uploads


def test_each_gets_a_folder_of_its_own_that_nobody_else_may_open(tmp_path: Path) -> None:
    uploads = Uploads(tmp_path)
    first, second = (uploads.write({("1", "a", "b"): content}) for content in (b"one", b"two"))
    assert first != second
    assert ((first / "1" / "a" / "b").read_bytes(), (second / "1" / "a" / "b").read_bytes()) == (
        b"one",
        b"two",
    )
    for path in (first, first / "1", first / "1" / "a" / "b"):
        assert path.stat().st_mode & 0o077 == 0


def test_folder_is_kept_as_long_as_it_or_something_in_it_is_used(tmp_path: Path) -> None:
    uploads = Uploads(tmp_path)
    folders = [uploads.write({("1", "a"): b""}) for _ in range(3)]
    uploads.keep({folders[0], folders[1] / "1", Path("/elsewhere")})
    assert [folder.exists() for folder in folders] == [True, True, False]
    uploads.keep(())
    assert list(tmp_path.iterdir()) == []


def test_what_cannot_be_written_leaves_nothing(tmp_path: Path) -> None:
    uploads = Uploads(tmp_path)
    with pytest.raises(OSError, match="too long"):
        uploads.write({("1", "a"): b"", ("1", "x" * 300): b""})
    assert list(tmp_path.iterdir()) == []


def test_folder_that_somebody_has_removed_is_no_error(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    uploads = Uploads(tmp_path)
    folder = uploads.write({("1", "a"): b""})
    folder.rename(tmp_path / "elsewhere")
    uploads.keep(())
    assert "cannot be removed" in caplog.text
