"""A server in a program: it starts, answers, and leaves nothing behind."""

from __future__ import annotations

import asyncio
import logging
import os
import re
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

import hotgraph_server
from hotgraph_client import AsyncClient, Client
from hotgraph_server import SettingsError, StartError

from ... import model_files

PAGE = Path(__file__).parents[3] / "docs" / "python.md"
ONES = np.ones((1, 2), np.float32)


def times(factor: float, name: str = "double") -> Any:
    function = tf.function(
        lambda x: {"y": factor * x}, input_signature=[tf.TensorSpec([None, 2], tf.float32, name="x")]
    )
    module = tf.Module(name=name)
    module.function = function
    return module


def called(server: hotgraph_server.Server, model: str = "double") -> list[list[float]]:
    with Client(server.address, timeout_s=60) as client:
        answer: list[list[float]] = client.predict(model, {"x": ONES})["y"].tolist()
    return answer


@pytest.fixture(autouse=True)
def nothing_is_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """No thread of the server's, no temporary folder."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    before = set(threading.enumerate())
    yield
    # The client's own end by themselves, and none of them has a name.
    left = {thread.name for thread in set(threading.enumerate()) - before}
    assert not {name for name in left if not name.startswith(("Thread-", "Dummy-"))}
    assert not list(tmp_path.glob("hotgraph-*"))


class TestServe:
    def test_answers_within_with_and_not_after(self) -> None:
        with hotgraph_server.serve(times(2.0)) as server:
            assert server.is_running
            assert called(server) == [[2.0, 2.0]]
        assert not server.is_running
        with pytest.raises(RuntimeError, match="not running"):
            _ = server.address

    def test_several_servers_and_one_after_the_other(self) -> None:
        with hotgraph_server.serve(times(2.0)) as one, hotgraph_server.serve(times(3.0)) as other:
            assert (called(one), called(other)) == ([[2.0, 2.0]], [[3.0, 3.0]])
        with hotgraph_server.serve(times(4.0)) as third:
            assert called(third) == [[4.0, 4.0]]

    def test_several_models_by_name_and_a_folder_of_versions(self, tmp_path: Path) -> None:
        for number in (1, 2):
            tf.saved_model.save(
                module := times(float(number)), str(tmp_path / "m" / str(number)), signatures=module.function
            )
        with hotgraph_server.serve({"a": times(5.0), "b": tmp_path / "m"}) as server:
            assert (called(server, "a"), called(server, "b")) == ([[5.0, 5.0]], [[2.0, 2.0]])
        with hotgraph_server.serve(str(tmp_path / "m")) as server:
            assert called(server, "m") == [[2.0, 2.0]]

    def test_file_is_served_by_its_name_and_by_another(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
        model_files.frozen_graph(tmp_path / "graph.pb")
        with hotgraph_server.serve(tmp_path / "graph.pb") as server, Client(server.address) as client:
            answer = client.predict("graph", np.ones((1, 4), np.float32), outputs="total")
            assert answer.tolist() == [4.0]
        file = str(tmp_path / "graph.pb")
        with hotgraph_server.serve(file, name="other") as server, Client(server.address) as client:
            assert [model.name for model in client.models()] == ["other"]

    def test_ports_of_http_are_there_when_asked_for(self) -> None:
        from urllib.request import urlopen

        with hotgraph_server.serve(times(2.0), rest_port=0, admin_port=0) as server:
            assert urlopen(f"{server.rest_url}/v2/health/ready").status == 200
            assert urlopen(f"{server.admin_url}/healthz").status == 200
        with hotgraph_server.serve(times(2.0)) as server:
            assert (server.rest_url, server.admin_url) == (None, None)

    def test_settings_by_name_and_by_file(self, tmp_path: Path) -> None:
        file = tmp_path / "server.toml"
        file.write_text("max_batch_rows = 4\nport = 1\n")
        with hotgraph_server.serve(times(2.0), config=file, row_buckets=(1, 4), state_dir=tmp_path) as server:
            assert called(server) == [[2.0, 2.0]]

    def test_stop_is_once_and_start_again_makes_it_anew(self) -> None:
        server = hotgraph_server.Server(times(2.0))
        for _ in range(2):
            server.start()
            with pytest.raises(RuntimeError, match="started already"):
                server.start()
            assert server.stop(timeout_s=5.0)
            assert server.stop()

    def test_the_process_is_as_it_was(self) -> None:
        def seen() -> object:
            handlers = [signal.getsignal(one) for one in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)]
            return handlers, dict(os.environ), list(logging.getLogger().handlers), logging.getLogger().level

        before = seen()
        with hotgraph_server.serve(times(2.0)):
            assert seen() == before
        assert seen() == before


class TestFaults:
    @pytest.mark.parametrize(
        ("words", "says"),
        [
            ({"max_batch_row": 3}, "unknown key 'max_batch_row'; did you mean 'max_batch_rows'"),
            ({"max_batch_rows": "3"}, "max_batch_rows must be an integer, got '3'"),
            ({"max_batch_rows": 0}, "max-batch-rows must be at least 1"),
            ({"processes": 2}, "processes is of hotgraph serve"),
            ({"port": "8500"}, "port must be an integer, got '8500'"),
            ({"rest_port": "8502"}, "rest_port must be an integer, got '8502'"),
            ({"admin_port": False}, "admin_port must be an integer, got False"),
            ({"host": None}, "host must be a string, got None"),
            ({"name": ""}, "a model's name is a text that is not empty, got ''"),
            ({"name": 5}, "a model's name is a text that is not empty, got 5"),
            ({"models": {1: "m"}}, "a model's name is a text that is not empty, got 1"),
            ({"name": "a\n"}, "control character"),
            ({"config": "not/there.toml"}, "not/there.toml"),
        ],
    )
    def test_settings_are_held_against_before_anything_is_saved(
        self, words: dict[str, Any], says: str
    ) -> None:
        with pytest.raises(SettingsError, match=re.escape(says)):
            hotgraph_server.Server(**{"models": times(2.0), **words}).start()

    def test_no_model(self) -> None:
        with pytest.raises(SettingsError, match="no model is given"):
            hotgraph_server.serve()
        with pytest.raises(SettingsError, match="is for one model"):
            hotgraph_server.serve({"a": times(1.0)}, name="b")

    def test_a_list_of_models_is_told_how_several_are_given(self) -> None:
        with pytest.raises(StartError, match=r"several go by their names: \{'a': model"):
            hotgraph_server.serve([times(2.0), times(3.0)])

    def test_nothing_is_left_of_a_start_that_fails(self, tmp_path: Path) -> None:
        with pytest.raises(StartError, match="no such folder"):
            hotgraph_server.serve({"a": times(2.0), "b": tmp_path / "nowhere"})
        (tmp_path / "broken").mkdir()
        (tmp_path / "broken" / "saved_model.pb").write_bytes(b"no model")
        with pytest.raises(StartError):
            hotgraph_server.serve({"a": times(2.0), "b": tmp_path / "broken"})


class TestLoops:
    def test_a_loop_runs_on_while_a_server_starts(self) -> None:
        async def main() -> int:
            turns = 0

            async def tick() -> None:
                nonlocal turns
                while True:
                    turns += 1
                    await asyncio.sleep(0)

            ticking = asyncio.create_task(tick())
            async with hotgraph_server.Server(times(2.0)) as server, AsyncClient(server.address) as client:
                seen = turns
                answer = await client.predict("double", {"x": ONES})
                assert np.asarray(answer["y"]).tolist() == [[2.0, 2.0]]
            ticking.cancel()
            return seen

        assert asyncio.run(main()) > 1

    def test_serve_in_a_running_loop_as_in_a_notebook(self) -> None:
        async def cell() -> None:
            with hotgraph_server.serve(times(2.0)) as server:
                async with AsyncClient(server.address) as client:
                    await client.predict("double", {"x": ONES})

        asyncio.run(cell())


class TestPackage:
    def test_exports_its_names_and_imports_nothing_before_they_are_used(self) -> None:
        script = (
            "import sys, hotgraph_server as h; heavy = {'tensorflow', 'grpc', 'numpy', 'asyncio'};"
            "assert not heavy & set(sys.modules), heavy & set(sys.modules);"
            "assert dir(h) == sorted(h.__all__), dir(h);"
            "assert [getattr(h, name) for name in h.__all__]"
        )
        subprocess.run([sys.executable, "-c", script], check=True)
        with pytest.raises(AttributeError, match="no attribute 'nothing'"):
            _ = hotgraph_server.nothing

    def test_program_that_does_not_stop_it_ends_all_the_same(self) -> None:
        folder = Path(str(hotgraph_server.__path__[0])) / "commands" / "digits"
        script = f"import hotgraph_server; s = hotgraph_server.serve({str(folder)!r}); print(s.address)"
        done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=120)
        assert (done.returncode, done.stdout.count(":")) == (0, 1), done.stderr


def test_page_runs_as_it_stands(capsys: pytest.CaptureFixture[str]) -> None:
    blocks = re.findall(r"^```python\n(.*?)^```$", PAGE.read_text(), re.MULTILINE | re.DOTALL)
    assert len(blocks) > 4
    # A module of its own, as TensorFlow asks functions for their source: it must be in a file.
    file = Path(tempfile.gettempdir()) / "page.py"
    file.write_text("\n".join(blocks))
    names: dict[str, Any] = {"__name__": "page", "__file__": str(file)}
    exec(compile(file.read_text(), str(file), "exec"), names)
    said = capsys.readouterr().out
    assert said.count("[2. 2.]") == 4
    assert "did you mean 'max_batch_rows'" in said
    with hotgraph_server.serve(names["double"]) as server:
        names["test_doubles"](server)
