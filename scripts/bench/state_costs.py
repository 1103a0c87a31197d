"""What state costs, without a server: python -m bench.state_costs --help.

Two SavedModels that answer alike, a small network: in one nothing is ever written, in the other a signature
writes the bias of the last layer. Read-only calls of both take turns, so a slow moment of the machine hits
both. Then calls that write, under each promise.
"""

from __future__ import annotations

import argparse
import functools
import statistics
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from hotgraph_server.batching.completion import Completion, Outcome
from hotgraph_server.batching.request import Request
from hotgraph_server.errors import CallError
from hotgraph_server.models.version import Version
from hotgraph_server.repository.loader import load_version
from hotgraph_server.settings import BatchSettings, ModelSettings, StateSettings

DESCRIPTION = """\
Measure what it costs a version that one of its signatures writes a variable: read-only calls per second
against those of a version whose variables are all constants, and milliseconds of a call that writes, under
each promise of
what a crash may cost. Run it with scripts/ on PYTHONPATH where hotgraph[server] is installed."""

_WIDTH = 256


def main() -> int:
    """Measure as the command line says; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m bench.state_costs", description=DESCRIPTION)
    add = parser.add_argument
    add("--calls", type=int, default=2000, metavar="N", help="read-only calls a round (default: 2000)")
    add("--writes", type=int, default=300, metavar="N", help="calls that write a round (default: 300)")
    add("--rounds", type=int, default=7, metavar="N", help="the median of so many counts (default: 7)")
    add("--callers", type=int, nargs="+", default=[1, 32], metavar="N", help="at once (default: 1 32)")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        models = {writes: _build(Path(folder) / f"model-{writes}", writes) for writes in (False, True)}
        with _live(models[False]) as frozen, _live(models[True]) as with_state:
            for version in (frozen, with_state):
                print(f"{version.title}: {version.plans['predict']}")
            for callers in given.callers:
                _compare(frozen, with_state, callers, given.calls, given.rounds)
        for words, state in _promises(Path(folder)):
            with _live(models[True], state) as version:
                for callers in given.callers:
                    took = [_seconds(version, "train", callers, given.writes) for _ in range(given.rounds)]
                    each_ms = statistics.median(took) / given.writes * 1e3
                    print(f"writes, {words:24}{callers:4} callers: {each_ms:8.3f} ms a write")
    return 0


def _compare(frozen: Version, with_state: Version, callers: int, calls: int, rounds: int) -> None:
    ratios, rates = [], []
    for _ in range(rounds):
        plain, stateful = (_seconds(one, "predict", callers, calls) for one in (frozen, with_state))
        ratios.append(stateful / plain)
        rates.append(calls / stateful)
    print(
        f"reads, {callers:3} callers: {statistics.median(rates):9.0f} calls/s with state,"
        f" {statistics.median(ratios):.3f} times as long as frozen"
    )


def _promises(folder: Path) -> Iterator[tuple[str, StateSettings]]:
    yield "undo off", StateSettings(rollback_failed_writes=False)
    yield "nothing on disk", StateSettings()
    yield "every 100 writes", StateSettings(state_dir=str(folder / "hundred"), state_every_writes=100)
    yield "every_write", StateSettings(state_dir=str(folder / "each"), state_sync="every_write")


@contextmanager
def _live(folder: Path, state: StateSettings | None = None) -> Iterator[Version]:
    batch = BatchSettings(batching="never", max_queued_calls=1_000_000)
    settings = ModelSettings(folder.name, folder, batch, state=state or StateSettings())
    version = load_version(settings, 1, folder)
    try:
        yield version
    finally:
        version.stop(30)


def _seconds(version: Version, name: str, callers: int, calls: int) -> float:
    """How long so many calls take, so many of them under way at any time."""
    signature = version.signatures[name]
    given = np.ones((1, _WIDTH), np.float32) if name == "predict" else np.array(1e-6, np.float32)
    left, done = calls, threading.Semaphore(0)

    def deliver(next_one: Callable[[], None], outcome: Outcome) -> None:
        if isinstance(outcome, CallError):
            raise outcome
        done.release()
        next_one()

    def begin() -> None:
        nonlocal left
        # Turns come in the threads that end calls, which may be two: one call more or less is no matter.
        if left > 0:
            left -= 1
            completion = Completion(functools.partial(deliver, begin))
            version.submit(Request(signature, [given], signature.output_aliases, completion))

    started = time.perf_counter()
    for _ in range(callers):
        begin()
    for _ in range(calls - callers):
        done.acquire()
    return time.perf_counter() - started


def _build(folder: Path, writes: bool) -> Path:
    import tensorflow as tf

    rng = np.random.default_rng(1)
    weights = [tf.Variable(rng.normal(0, 0.05, (_WIDTH, _WIDTH)).astype(np.float32)) for _ in range(3)]
    bias = tf.Variable(tf.zeros([_WIDTH]), name="bias")

    def predict(x: Any) -> Any:
        for weight in weights:
            x = tf.nn.relu(x @ weight)
        return {"y": x + bias}

    def train(by: Any) -> Any:
        return {"bias": bias.assign_add(tf.fill([_WIDTH], by))[:1]}

    module = tf.Module()
    module.tracked = [*weights, bias]
    row, scalar = tf.TensorSpec([None, _WIDTH], tf.float32, "x"), tf.TensorSpec([], tf.float32, "by")
    signatures = {"predict": tf.function(predict, input_signature=[row])}
    if writes:
        signatures["train"] = tf.function(train, input_signature=[scalar])
    tf.saved_model.save(module, str(folder), signatures=signatures)
    return folder


if __name__ == "__main__":
    raise SystemExit(main())
