from __future__ import annotations

import errno
import logging
import os
import tempfile

import pytest

from hotgraph_server.commands import bootstrap
from hotgraph_server.commands.bootstrap import import_tensorflow
from hotgraph_server.errors import StartError
from hotgraph_server.settings import SessionSettings


@pytest.mark.parametrize(
    ("devices", "or_others", "said"),
    [
        (["/CPU:0", "/CPU:1"], False, "-1"),
        (["/CPU:0", "/GPU:1"], False, None),
        (["/CPU:0"], True, None),
        ([], True, None),
    ],
)
def test_gpus_are_hidden_where_nobody_can_ask_for_one(
    monkeypatch: pytest.MonkeyPatch, devices: list[str], or_others: bool, said: str | None
) -> None:
    # First set, so that it is put back afterwards.
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "7")
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES")
    import_tensorflow([SessionSettings(device=device) for device in devices], or_others=or_others)
    assert os.environ.get("CUDA_VISIBLE_DEVICES") == said


def test_what_the_environment_says_of_gpus_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3")
    import_tensorflow([SessionSettings()])
    assert os.environ["CUDA_VISIBLE_DEVICES"] == "3"


@pytest.fixture
def nowhere(monkeypatch: pytest.MonkeyPatch) -> None:
    """No temporary folder can be written to."""

    def find() -> str:
        raise FileNotFoundError(errno.ENOENT, "No usable temporary directory found")

    monkeypatch.setattr(tempfile, "tempdir", None)
    monkeypatch.setattr(tempfile, "_get_default_tempdir", find)


@pytest.mark.parametrize(("writable", "used"), [("/dev/shm", "/dev/shm"), ("", "/tmp")])
@pytest.mark.usefixtures("nowhere")
def test_machine_without_a_temporary_folder_is_said_once_and_imports_go_well(
    writable: str, used: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    asked: list[str] = []
    monkeypatch.setattr(bootstrap, "_import_quietly", lambda: asked.append(tempfile.gettempdir()))
    monkeypatch.setattr(os, "access", lambda path, _: path == writable)
    with caplog.at_level(logging.INFO):
        import_tensorflow([SessionSettings()])
    assert asked == [used]
    assert [one.message for one in caplog.records] == [
        "nothing that needs a temporary folder can be done: No usable temporary directory found"
    ]
    # Whoever really writes shall hear of it.
    with pytest.raises(FileNotFoundError):
        tempfile.gettempdir()


@pytest.mark.usefixtures("nowhere")
def test_import_that_has_to_write_there_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    def write() -> None:
        raise OSError("Matplotlib requires access to a writable cache directory")

    monkeypatch.setattr(bootstrap, "_import_quietly", write)
    with pytest.raises(StartError, match=r"^TensorFlow cannot be imported without .*: Matplotlib requires"):
        import_tensorflow([SessionSettings()])
