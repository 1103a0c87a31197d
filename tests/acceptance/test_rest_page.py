"""The lines of docs/rest.md do what stands below them, as they stand there."""

from __future__ import annotations

import re
import shutil
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from ..saved_models.tf2 import function, save
from .command import serve

PAGE = Path(__file__).parents[2] / "docs" / "rest.md"
PORT = "127.0.0.1:8502"

CURL = shutil.which("curl")


class Shown(NamedTuple):
    """A command of a page, and what it is said to print."""

    command: str
    printed: str


def shown(page: str) -> list[Shown]:
    """What a page shows in its blocks of code: a command after each ``$``, going on in lines that are
    indented, and behind it what it prints."""
    found = []
    for block in re.findall(r"^```\n(.*?)^```$", page, re.MULTILINE | re.DOTALL):
        for text in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
            command, more = re.match(r"(.*\n(?:(?<=[|\\]\n)    .*\n)*)", text), text
            assert command is not None
            found.append(Shown(command[0], more[command.end() :]))
    return found


SHOWN = shown(PAGE.read_text())


def like(printed: str) -> re.Pattern[str]:
    """What may stand for what a page shows: three dots in it are anything within a line."""
    return re.compile(re.escape(printed.strip("\n")).replace(re.escape("..."), ".*"))


@pytest.fixture(scope="module")
def port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """HOST:PORT of a server with the page's model, started as the page says."""
    import tensorflow as tf

    if CURL is None:
        pytest.skip("there is no curl")

    def double(x: Any) -> Any:
        return {"y": x * 2.0}

    models = tmp_path_factory.mktemp("models")
    save(models / "m" / "1", serving_default=function(double, x=([None, 2], tf.float32)))
    (flags,) = re.findall(r"^hotgraph serve (.*)$", PAGE.read_text(), re.MULTILINE)
    with socket.create_server(("127.0.0.1", 0)) as found:
        number = found.getsockname()[1]
    flags = flags.replace("/models", str(models)).split()
    with serve(*flags, "--port", "0", "--rest-port", str(number)):
        yield f"127.0.0.1:{number}"


@pytest.mark.parametrize("one", SHOWN, ids=[one.command.split("\n")[0][:60] for one in SHOWN])
def test_line_of_the_page_prints_what_stands_below_it(one: Shown, port: str, tmp_path: Path) -> None:
    assert PORT in one.command
    done = subprocess.run(
        ["bash", "-o", "pipefail", "-c", one.command.replace(PORT, port)],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    # What curl shows of heads ends its lines as HTTP does.
    assert like(one.printed).fullmatch(done.stdout.replace("\r", "").strip("\n")), done.stdout


def test_the_page_shows_every_kind_of_call() -> None:
    commands = "".join(one.command for one in SHOWN)
    kinds = (":predict", "/v1/models\n", "/v2/models\n", "/metadata", "/infer", "/generate", "/openapi.json")
    control = ("/v2/repository/index", "/load", "/unload")
    bodies = ("--data-binary", "Content-Length: 0", "Content-Encoding: gzip", "--compressed", "'Expect:'")
    assert not [one for one in (*kinds, *control, *bodies) if one not in commands]
    printed = "".join(one.printed for one in SHOWN)
    assert set(re.findall(r"^4\d\d$", printed, re.MULTILINE)) == {"400", "404", "405"}


def test_a_page_is_read_line_by_line() -> None:
    page = (
        "`$ no`\n```\n$ curl a \\\n    b |\n    c\n  x\ny\n$ curl d\n```\n```python\n$ e\n```\n```\nf\n```\n"
    )
    assert shown(page) == [Shown("curl a \\\n    b |\n    c\n", "  x\ny\n"), Shown("curl d\n", "")]
    assert like('{"a":...}\n').fullmatch('{"a":{"b":1}}')
    assert not like('{"a":...}\n').fullmatch('{"a":\n{}}')
