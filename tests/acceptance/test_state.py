"""Models that learn while they are served, as docs/state.md tells it: real servers, killed and started again.

More kills: HOTGRAPH_STATE_KILLS=50.
"""

from __future__ import annotations

import os
import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tritonclient.grpc import InferenceServerClient

from hotgraph_client import Client
from hotgraph_client.errors import HotgraphError

from ..saved_models import SavedModels
from ..saved_models.learning import build_feature_statistics, build_regression
from .command import Serving, serve

KILLS = int(os.environ.get("HOTGRAPH_STATE_KILLS", "2"))
STEPS = 1000
ROWS = 8

Steps = list[tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]]


@pytest.fixture(scope="module")
def regression(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("models") / "regression"
    build_regression(directory)
    return directory


@pytest.fixture(scope="module")
def steps() -> Steps:
    """y = 2x + 1 and noise."""
    rng = np.random.default_rng(7)
    xs = rng.uniform(-1, 1, (STEPS, ROWS)).astype(np.float32)
    ys = (2 * xs + 1 + rng.normal(0, 0.05, xs.shape)).astype(np.float32)
    return list(zip(xs, ys, strict=True))


@contextmanager
def bare_session(directory: Path) -> Iterator[Any]:
    """The same SavedModel in a session that is used again and again: gives what makes a step."""
    import tensorflow.compat.v1 as tf

    with tf.Graph().as_default(), tf.Session() as session:
        loaded = tf.saved_model.load(session, ["serve"], str(directory))
        train = loaded.signature_def["train"]
        fetches = {name: train.outputs[name].name for name in ("W", "b", "steps")}
        x, y = train.inputs["x"].name, train.inputs["y"].name

        def step(xs: Any, ys: Any) -> dict[str, Any]:
            return dict(session.run(fetches, {x: xs, y: ys}))

        yield step


def as_bits(values: dict[str, Any]) -> tuple[bytes, bytes, int]:
    return (
        np.float32(values["W"]).tobytes(),
        np.float32(values["b"]).tobytes(),
        int(np.asarray(values["steps"])),
    )


def train(client: Client, steps: Steps) -> dict[str, Any]:
    """Make steps one after the other; returns the last answer."""
    for x, y in steps:
        answer = client.predict("regression", {"x": x, "y": y}, signature="train")
    return answer


def read(client: Client) -> dict[str, Any]:
    return client.predict("regression", {}, signature="read")


def test_a_thousand_steps_give_the_very_bits_of_a_bare_session_while_others_predict(
    regression: Path, steps: Steps
) -> None:
    with bare_session(regression) as step:
        expected = [step(x, y) for x, y in steps][-1]
    predicted: list[float] = []
    stop = threading.Event()

    def predict(address: str) -> None:
        with Client(address) as client:
            while not stop.is_set():
                answer = client.predict("regression", {"x": np.array([1.0], np.float32)}, signature="predict")
                predicted.append(float(answer["y"][0]))

    with serve(f"regression={regression}", "--port", "0") as serving:
        others = [threading.Thread(target=predict, args=(serving.address,)) for _ in range(3)]
        for other in others:
            other.start()
        try:
            with Client(serving.address, retries=0) as client:
                found = train(client, steps)
        finally:
            stop.set()
            for other in others:
                other.join()
    assert as_bits(found) == as_bits(expected)
    assert abs(float(found["W"]) - 2) < 0.05
    assert abs(float(found["b"]) - 1) < 0.05
    assert predicted
    assert abs(predicted[-1] - 3) < 0.1


def test_killed_in_the_middle_it_goes_on_from_its_snapshot_and_has_lost_no_more_than_was_said(
    regression: Path, steps: Steps, tmp_path: Path
) -> None:
    every = 50
    flags = [f"regression={regression}", "--port", "0", "--state-dir", str(tmp_path)]
    flags += ["--state-every-writes", str(every), "--state-every-s", "0"]
    with serve(*flags) as serving, Client(serving.address, retries=0) as client:
        answered = int(train(client, steps[:487])["steps"])
        serving.process.kill()
        serving.process.wait()
    with serve(*flags) as serving, Client(serving.address, retries=0) as client:
        assert any("restored after" in line for line in serving.lines)
        restored = read(client)
        kept = int(restored["steps"])
        assert answered - every <= kept <= answered
        found = train(client, steps[kept:])
        with bare_session(regression) as step:
            expected = [step(x, y) for x, y in steps]
        assert as_bits(restored) == as_bits(expected[kept - 1])
        assert as_bits(found) == as_bits(expected[-1])


@pytest.mark.parametrize(
    "every",
    [pytest.param(1, id="every_write"), pytest.param(20, id="every 20 writes", marks=pytest.mark.slow)],
)
@pytest.mark.timeout(60 * (KILLS + 2))
def test_killed_under_load_the_state_is_a_prefix_of_the_answered_writes(
    saved_models: SavedModels, tmp_path: Path, every: int
) -> None:
    promise = ("--state-sync", "every_write") if every == 1 else ("--state-every-writes", str(every))
    may_lose = 0 if every == 1 else every
    flags = (f"counter={saved_models['counter']}", "--port", "0", "--state-dir", str(tmp_path), *promise)
    callers = 4
    answered = in_flight = 0
    rng = np.random.default_rng(every)
    for _ in range(KILLS + 1):
        with serve(*flags) as serving, Client(serving.address, retries=0) as client:
            count = int(client.predict("counter", {}, signature="read")["count"])
            # Each adds 1, so the count says how many writes there were.
            assert answered - may_lose <= count <= answered + in_flight
            answered, in_flight = under_load(serving, callers, after=int(rng.integers(1, 300)), least=count)


def under_load(serving: Serving, callers: int, after: int, least: int) -> tuple[int, int]:
    """Write from many callers, and kill the server after some answers; returns the highest count that was
    answered, and how many calls may have been run without an answer."""
    counts: list[int] = []
    enough = threading.Event()

    def write() -> None:
        with Client(serving.address, retries=0) as client:
            while True:
                try:
                    answer = client.predict("counter", {"by": np.int64(1)}, signature="increment")
                except HotgraphError:
                    return
                counts.append(int(answer["count"]))
                if len(counts) >= after:
                    enough.set()

    threads = [threading.Thread(target=write) for _ in range(callers)]
    for thread in threads:
        thread.start()
    assert enough.wait(60)
    serving.process.kill()
    serving.process.wait()
    for thread in threads:
        thread.join()
    assert len(set(counts)) == len(counts), "no two writes had the same outcome"
    return max([least, *counts]), callers


@pytest.mark.slow
def test_online_mean_and_variance_are_those_of_all_rows_after_a_stop_and_a_start(tmp_path: Path) -> None:
    model = tmp_path / "statistics"
    build_feature_statistics(model)
    rows = np.random.default_rng(3).normal([1, -2, 30], [0.5, 1, 10], (400, 3))
    flags = (f"statistics={model}", "--port", "0", "--state-dir", str(tmp_path / "state"))
    for half in (rows[:150], rows[150:]):
        with serve(*flags) as serving, Client(serving.address, retries=0) as client:
            for part in np.array_split(half, 10):
                client.predict("statistics", {"x": part}, signature="observe")
            described = client.predict("statistics", {}, signature="describe")
            serving.process.terminate()
            assert serving.status() == 0
    assert int(described["count"]) == len(rows)
    np.testing.assert_allclose(described["mean"], rows.mean(0), rtol=1e-12)
    np.testing.assert_allclose(described["variance"], rows.var(0), rtol=1e-12)


def test_model_that_is_loaded_again_under_load_loses_no_write_even_if_it_is_killed_then(
    saved_models: SavedModels, tmp_path: Path
) -> None:
    repository = tmp_path / "repository"
    shutil.copytree(saved_models["counter"], repository / "counter" / "1")
    config = tmp_path / "server.toml"
    config.write_text("port = 0\nadmin_port = 0\nunload_grace_s = 0.1\n")
    flags: tuple[str, ...] = (
        "--config",
        str(config),
        "--repository",
        str(repository),
        "--model-control",
        "explicit",
    )
    flags += ("--load-model", "counter")
    flags += ("--state-sync", "every_write", "--state-dir", str(tmp_path / "state"))
    counts: list[int] = []
    killed = threading.Event()

    def write(address: str) -> None:
        with Client(address, retries=0) as client:
            while True:
                try:
                    answer = client.predict("counter", {"by": np.int64(1)}, signature="increment")
                except HotgraphError:
                    assert killed.is_set()
                    return
                counts.append(int(answer["count"]))

    with serve(*flags) as serving:
        writers = [threading.Thread(target=write, args=(serving.address,)) for _ in range(4)]
        for writer in writers:
            writer.start()
        with InferenceServerClient(serving.address) as control:
            for number in range(2):
                # Without a change it would not be loaded again.
                (repository / "counter" / "1" / f"note {number}").write_bytes(b"")
                control.load_model("counter")
                serving.wait_for_text("goes on after")
                # It closes beside the one that has taken over, whose snapshots are in the same folder.
                serving.wait_for_text("version 1 is closed")
        killed.set()
        serving.process.kill()
        for writer in writers:
            writer.join()
    assert len(set(counts)) == len(counts)
    with serve(*flags) as serving, Client(serving.address) as client:
        total = int(client.predict("counter", {}, signature="read")["count"])
    assert max(counts) <= total <= len(counts) + len(writers)


def test_new_version_takes_over_under_load_and_no_write_is_lost(
    saved_models: SavedModels, tmp_path: Path
) -> None:
    models = tmp_path / "counter"
    models.mkdir()
    (models / "1").symlink_to(saved_models["counter"])
    config = tmp_path / "server.toml"
    config.write_text(
        f"port = 0\nadmin_port = 0\npoll_s = 0.1\nunload_grace_s = 1.0\n"
        f'[models.counter]\npath = "{models}"\nstate.carry = true\nstate.dir = "{tmp_path / "state"}"\n'
    )
    counts: list[int] = []
    swapped = threading.Event()

    def write(address: str) -> None:
        with Client(address, retries=0) as client:
            while True:
                last = swapped.is_set()
                answer = client.predict("counter", {"by": np.int64(1)}, signature="increment")
                counts.append(int(answer["count"]))
                if last:
                    return

    with serve("--config", str(config)) as serving:
        writers = [threading.Thread(target=write, args=(serving.address,)) for _ in range(4)]
        for writer in writers:
            writer.start()
        (models / "2").symlink_to(saved_models["counter"])
        serving.wait_for_text("goes on after")
        serving.wait_for_text("version 1 is closed")
        swapped.set()
        for writer in writers:
            writer.join()
        with Client(serving.address) as client:
            total = int(client.predict("counter", {}, signature="read", version=2)["count"])
    assert sorted(counts) == list(range(1, len(counts) + 1)), "each write has happened once, in one line"
    assert total == len(counts)
