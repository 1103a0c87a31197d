"""The process that converts, seen from who starts it: stand-ins do what files could make it do."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

import pytest

from hotgraph_server.conversion.process import PROGRAM, convert
from hotgraph_server.conversion.request import Request
from hotgraph_server.errors import LoadError

from ..fakes import until

_MAKES = """
import json, pathlib, sys
request = json.loads(sys.argv[1])
target = pathlib.Path(request["target"])
target.mkdir()
(target / "saved_model.pb").write_bytes(b"graph")
pathlib.Path(sys.argv[2]).write_text(json.dumps({"made_by": "a stand-in", "remarks": ["inputs x"]}))
"""


@pytest.fixture
def request_(tmp_path: Path) -> Request:
    (tmp_path / "m.keras").write_bytes(b"no model")
    (tmp_path / "out").mkdir()
    return Request(str(tmp_path / "m.keras"), str(tmp_path / "out" / "made"))


def refused(request: Request, program: str = PROGRAM, timeout_s: float = 60.0) -> str:
    with pytest.raises(LoadError) as caught:
        convert(request, timeout_s, lambda _: None, program=program)
    # Nothing is left, whatever happened.
    assert list(Path(request.target).parent.iterdir()) == []
    return str(caught.value)


def test_what_is_made_appears_whole_and_is_told(request_: Request) -> None:
    said: list[str] = []
    convert(request_, 60.0, said.append, program=_MAKES)
    target = Path(request_.target)
    assert [one.name for one in target.iterdir()] == ["saved_model.pb"]
    assert list(target.parent.iterdir()) == [target]
    assert said[0] == "m.keras: making a SavedModel of it, in a process of its own"
    assert "with a stand-in" in said[-2]
    assert said[-1] == "m.keras: inputs x"


@pytest.mark.parametrize(
    ("program", "why"),
    [
        (
            "import os, signal; os.kill(os.getpid(), signal.SIGKILL)",
            "ended by SIGKILL, which is what the kernel",
        ),
        ("import os, signal; os.kill(os.getpid(), signal.SIGABRT)", "ended by SIGABRT"),
        ("print('a lot'); raise ValueError('at the end')", "broke: ValueError: at the end"),
        ("import sys; open(sys.argv[2], 'w').write('no answer')", "broke: status 0"),
        ("import sys; open(sys.argv[2], 'w').write('[' * 3000000)", "broke: status 0"),
    ],
)
def test_process_that_gives_no_answer_is_told(request_: Request, program: str, why: str) -> None:
    assert why in refused(request_, program)


def test_file_that_takes_for_ever_ends_at_the_limit(
    request_: Request,
) -> None:
    why = refused(request_, "import time; time.sleep(600)", timeout_s=0.2)
    assert "took more than 0.2 s (conversion_timeout_s)" in why


def test_when_nobody_waits_any_more_it_ends_with_all_that_it_started(
    request_: Request, tmp_path: Path
) -> None:
    child = tmp_path / "child"
    program = (
        "import os, subprocess, sys, time;"
        "one = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)']);"
        f"open({f'{child}.part'!r}, 'w').write(str(one.pid)); os.rename({f'{child}.part'!r}, {str(child)!r});"
        "time.sleep(600)"
    )

    def interrupt(line: str) -> None:
        if child.exists():
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        convert(request_, 0.0, interrupt, program=program, every_s=0.05)
    assert list(Path(request_.target).parent.iterdir()) == []
    status = Path(f"/proc/{child.read_text()}/status")
    # Gone, or nobody has asked yet how it ended.
    until(lambda: not status.exists() or "\nState:\tZ" in status.read_text())


def test_who_waits_is_told_while_it_takes_long(request_: Request) -> None:
    said: list[str] = []
    convert(request_, 0.0, said.append, program=f"import time; time.sleep(1)\n{_MAKES}", every_s=0.05)
    assert any("still at it" in line for line in said)


def test_program_is_not_taken_from_the_folder_that_one_is_in(
    request_: Request, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nor any module: whoever looks at a stranger's folder shall not run what lies there."""
    (tmp_path / "json.py").write_text("raise SystemExit('the wrong json')")
    monkeypatch.chdir(tmp_path)
    assert "is no file of Keras's" in refused(request_)


def test_file_that_asks_for_all_memory_ends_alone(request_: Request) -> None:
    program = (
        "import sys; from hotgraph_server.conversion import child, keras_export;"
        "keras_export.export = lambda request: b'x' * (8 << 30); sys.exit(child.main(sys.argv[1:], 1 << 30))"
    )
    assert "takes more memory than a file of its size should" in refused(request_, program)


def test_lambda_is_refused_before_keras_is_imported(request_: Request) -> None:
    config = {"layers": [{"class_name": "Lambda", "config": {"name": "twice"}}]}
    with zipfile.ZipFile(request_.source, "w") as archive:
        archive.writestr("metadata.json", json.dumps({"keras_version": "3.1.0"}))
        archive.writestr("config.json", json.dumps(config))
    assert "its layer 'twice' brings Python code" in refused(request_)
