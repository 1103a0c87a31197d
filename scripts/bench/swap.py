"""What a change of versions costs the callers. Started by scripts/bench/swap."""

from __future__ import annotations

import argparse
import contextlib
import itertools
import json
import math
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import grpc
import numpy as np
from numpy.typing import NDArray
from tensorflow_serving.apis import (
    get_model_status_pb2,
    model_service_pb2_grpc,
    predict_pb2,
    prediction_service_pb2_grpc,
)

from bench import environment
from bench.processes import Launch, Server
from bench.swap_report import LATENCY_MARK, MEMORY_MARK

_LIVE, _OTHER = "live", "other"
_WIDTH = 1024
# Two that differ; a swap goes from one to the other.
_SEEDS = (1, 2)
_START_S = 180.0
_SWAP_S = 120.0
_CALL_S = 60.0
# What a load may spend on plans: little where it is swaps that count, as usual where it is the load.
_SHORT_PLAN_S, _PLAN_S = 1.0, 5.0

DESCRIPTION = f"""\
Change the version of a model that is being called, and look at three things: does any call fail, or get
an answer that is not that of the version it names; what memory stays behind; and how much longer do the
calls of one model take while another one is loaded.

The models are {_WIDTH} x {_WIDTH} products, several in a row; both versions have other weights. Callers are
threads of this process, each with one call at a time, over TensorFlow Serving's Predict. A swap puts a new
numbered folder beside the old one, waits until the server says that it is available, deletes the old one,
and waits until the server says that it has ended, its memory given back.

Marks: no call fails and none is mixed; resident memory after the last swap at most {MEMORY_MARK} times that
after the second; p99 while another model loads below {LATENCY_MARK:.0f} times that in peace."""


@dataclass(frozen=True)
class Swaps:
    """How swaps under load went.

    Attributes:
        callers: at the same time.
        answered: calls with the right answer of the version that they name.
        failed: texts of the first few that failed, and how many did.
        mixed: calls whose answer is not that of the version that it names.
        versions: that have answered.
        resident_bytes: of the server after each swap.
    """

    callers: int
    answered: int
    failed: int
    errors: tuple[str, ...]
    mixed: int
    versions: int
    resident_bytes: tuple[int, ...]

    @property
    def growth(self) -> float:
        """Resident memory after the last swap, in those after the second."""
        return self.resident_bytes[-1] / self.resident_bytes[1]


@dataclass(frozen=True)
class WhileLoading:
    """Latency of one model's calls in peace, and while versions of another one load."""

    calls: tuple[int, int]
    p50_ms: tuple[float, float]
    p99_ms: tuple[float, float]
    loads: int
    load_s: float

    @property
    def ratio(self) -> float:
        """p99 while the other one loads, in those in peace."""
        return self.p99_ms[1] / self.p99_ms[0]


@dataclass
class _Caller:
    """One thread's tally; it alone writes it."""

    question: NDArray[np.float32]
    answers: dict[int, NDArray[np.float32]]
    answered: int = 0
    mixed: int = 0
    errors: list[str] = field(default_factory=list)
    versions: set[int] = field(default_factory=set)
    times: list[tuple[float, float]] = field(default_factory=list)


def main() -> int:
    """Measure as the command line says; returns the exit status: 1 where a mark is missed."""
    parser = argparse.ArgumentParser(
        prog="scripts/bench/swap",
        description=DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("--swaps", type=int, default=20, metavar="N", help="changes of version (default: 20)")
    add("--callers", type=int, default=32, metavar="N", help="during the swaps (default: 32)")
    add("--latency-callers", type=int, default=2, metavar="N", help="while another model loads (default: 2)")
    add("--seconds", type=float, default=20.0, metavar="S", help="of latency in peace and of loading, each")
    add("--only", choices=("swaps", "latency"), help="measure one of the two")
    add(
        "--json",
        type=Path,
        metavar="FILE",
        help="write the figures there as well; `scripts/bench/report --take` looks for results/swap.json",
    )
    add("--build", nargs=2, metavar=("DIR", "SEED"), help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.build:
        _build(Path(given.build[0]), int(given.build[1]))
        return 0
    if given.swaps < 2:
        parser.error("--swaps must be at least 2: the second is what the last is compared with")
    # A plain end would leave the server running.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    figures: dict[str, Any] = {
        "started": time.strftime("%Y-%m-%d %H:%M", time.gmtime()),
        "machine": environment.machine(),
        "versions": environment.own_versions(),
        "revision": environment.revision(),
    }
    marks = True
    with tempfile.TemporaryDirectory(prefix="hotgraph-swap-") as folder:
        versions = make_versions(Path(folder))
        if given.only != "latency":
            swaps = swap_under_load(Path(folder), versions, given.swaps, given.callers)
            figures["swaps"] = {**asdict(swaps), "growth": swaps.growth}
            marks &= not swaps.failed and not swaps.mixed and swaps.growth <= MEMORY_MARK
            _say(
                f"{given.swaps} swaps, {swaps.callers} callers: {swaps.answered} answered by {swaps.versions}"
                f" versions, {swaps.failed} failed, {swaps.mixed} mixed; resident"
                f" {swaps.resident_bytes[1] / 2**20:.0f} MiB after the 2nd,"
                f" {swaps.resident_bytes[-1] / 2**20:.0f} after the last: {swaps.growth:.3f}"
            )
            for error in swaps.errors:
                _say(f"  {error}")
        if given.only != "swaps":
            loading = latency_while_loading(Path(folder), versions, given.seconds, given.latency_callers)
            figures["while_loading"] = {**asdict(loading), "ratio": loading.ratio}
            marks &= loading.ratio < LATENCY_MARK
            _say(
                f"in peace p50 {loading.p50_ms[0]:.2f} ms, p99 {loading.p99_ms[0]:.2f} ms"
                f" ({loading.calls[0]} calls); while another loads p50 {loading.p50_ms[1]:.2f} ms,"
                f" p99 {loading.p99_ms[1]:.2f} ms ({loading.calls[1]} calls, {loading.loads} loads in"
                f" {loading.load_s:.1f} s): p99 ratio {loading.ratio:.2f}"
            )
    if given.json:
        given.json.write_text(json.dumps(figures, indent=1) + "\n")
    return 0 if marks else 1


def make_versions(folder: Path) -> list[Path]:
    """Two SavedModels that differ in their weights, below `folder`.

    By other processes: TensorFlow takes all of the threads and the memory that it finds.
    """
    made = [folder / "made" / str(seed) for seed in _SEEDS]
    for directory, seed in zip(made, _SEEDS, strict=True):
        words = [sys.executable, "-m", "bench.swap", "--build", str(directory), str(seed)]
        subprocess.run(words, check=True, cwd=Path(__file__).parents[1], capture_output=True)
    return made


def swap_under_load(folder: Path, versions: Sequence[Path], swaps: int, callers: int) -> Swaps:
    """Change a model's version `swaps` times under its callers, and count.

    Args:
        folder: for whatever the server needs.
        versions: from make_versions.
        swaps: how often.
        callers: with one call at a time each.
    """
    model = folder / "swapped"
    with _serving(folder, {_LIVE: model}, versions, _SHORT_PLAN_S) as (server, address):
        questions = np.random.default_rng(0).normal(size=(callers, 1, _WIDTH)).astype(np.float32)
        tallies = [
            _Caller(question, {seed: _expected(question, seed) for seed in _SEEDS}) for question in questions
        ]
        resident = []
        with _calling(address, tallies):
            for number in range(2, swaps + 2):
                _put(versions[(number - 1) % 2], model / str(number))
                _wait(address, _LIVE, number, "AVAILABLE")
                shutil.rmtree(model / str(number - 1))
                _wait(address, _LIVE, number - 1, "END")
                resident.append(server.resident_bytes())
    errors = [error for tally in tallies for error in tally.errors]
    return Swaps(
        callers,
        sum(tally.answered for tally in tallies),
        len(errors),
        tuple(sorted(set(errors))[:5]),
        sum(tally.mixed for tally in tallies),
        len(set().union(*(tally.versions for tally in tallies))),
        tuple(resident),
    )


def latency_while_loading(
    folder: Path, versions: Sequence[Path], seconds: float, callers: int
) -> WhileLoading:
    """Call one model in peace, and then while another one gets version after version.

    Args:
        folder: for whatever the server needs.
        versions: from make_versions.
        seconds: of peace, and then of loading.
        callers: with one call at a time each.
    """
    live, other = folder / "steady", folder / "loading"
    with _serving(folder, {_LIVE: live, _OTHER: other}, versions, _PLAN_S) as (_, address):
        questions = np.random.default_rng(0).normal(size=(callers, 1, _WIDTH)).astype(np.float32)
        tallies = [_Caller(question, {1: _expected(question, 1)}) for question in questions]
        loading: list[tuple[float, float]] = []
        with _calling(address, tallies):
            # The first calls are not yet peace.
            time.sleep(1.0)
            begun = time.monotonic()
            time.sleep(seconds)
            peace = [(begun, time.monotonic())]
            for number in itertools.count(2):
                if sum(ended - began for began, ended in loading) >= seconds:
                    break
                _put(versions[number % 2], other / str(number))
                _wait(address, _OTHER, number, "LOADING")
                began = time.monotonic()
                _wait(address, _OTHER, number, "AVAILABLE")
                loading.append((began, time.monotonic()))
                shutil.rmtree(other / str(number - 1))
                _wait(address, _OTHER, number - 1, "END")
    assert not any(tally.errors or tally.mixed for tally in tallies), tallies[0].errors[:1]
    found = [_latencies_ms(tallies, spans) for spans in (peace, loading)]
    p50, p99 = ([float(np.percentile(times, q)) for times in found] for q in (50, 99))
    return WhileLoading(
        (len(found[0]), len(found[1])),
        (p50[0], p50[1]),
        (p99[0], p99[1]),
        len(loading),
        sum(ended - began for began, ended in loading),
    )


def _latencies_ms(tallies: Sequence[_Caller], spans: Sequence[tuple[float, float]]) -> NDArray[np.float64]:
    """Of the calls that began within the spans."""
    times = np.array([time for tally in tallies for time in tally.times])
    inside = np.zeros(len(times), bool)
    for began, ended in spans:
        inside |= (began <= times[:, 0]) & (times[:, 0] < ended)
    found: NDArray[np.float64] = (times[inside, 1] - times[inside, 0]) * 1e3
    return found


@contextlib.contextmanager
def _serving(
    folder: Path, models: dict[str, Path], versions: Sequence[Path], plan_budget_s: float
) -> Iterator[tuple[Server, str]]:
    """A server of these models, each with the first version as its number 1; and its address."""
    for path in models.values():
        _put(versions[0], path / "1")
    config = folder / "server.toml"
    # As short as its purpose allows, so that twenty swaps are over soon.
    config.write_text(
        "poll_s = 0.2\nunload_grace_s = 1.0\nport = 0\nrest_port = 0\nadmin_port = 0\n"
        f"plan_budget_s = {plan_budget_s}\n"
    )
    words = [sys.executable, "-m", "hotgraph_server", "serve", "--config", str(config)]
    server = Server(
        Launch([*words, *(f"{name}={path}" for name, path in models.items())], {}), folder / "server.log"
    )
    try:
        yield server, server.wait_for_line("serving on ", _START_S)
    finally:
        server.stop()


@contextlib.contextmanager
def _calling(address: str, tallies: Sequence[_Caller]) -> Iterator[None]:
    """One caller for each tally, until the end."""
    ended = threading.Event()
    threads = [
        threading.Thread(target=_call_on, args=(address, tally, ended), name="caller") for tally in tallies
    ]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        ended.set()
        for thread in threads:
            thread.join()


def _call_on(address: str, tally: _Caller, ended: threading.Event) -> None:
    request = predict_pb2.PredictRequest()
    request.model_spec.name = _LIVE
    request.inputs["x"].dtype = 1
    for size in tally.question.shape:
        request.inputs["x"].tensor_shape.dim.add(size=size)
    request.inputs["x"].tensor_content = tally.question.tobytes()
    with grpc.insecure_channel(address) as channel:
        predict = prediction_service_pb2_grpc.PredictionServiceStub(channel).Predict
        while not ended.is_set():
            began = time.monotonic()
            try:
                response = predict(request, timeout=_CALL_S)
            except grpc.RpcError as error:
                tally.errors.append(f"{error.code().name}: {error.details()}")
                continue
            tally.times.append((began, time.monotonic()))
            version = int(response.model_spec.version.value)
            tally.versions.add(version)
            answer = np.array(response.outputs["y"].float_val, np.float32)
            seed = _SEEDS[(version - 1) % 2] if 2 in tally.answers else 1
            if np.allclose(answer, tally.answers[seed], atol=1e-3):
                tally.answered += 1
            else:
                tally.mixed += 1


def _wait(address: str, model: str, number: int, state: str) -> None:
    """Until the server says so of a version.

    Raises:
        TimeoutError: it does not.
    """
    request = get_model_status_pb2.GetModelStatusRequest()
    request.model_spec.name = model
    wanted = get_model_status_pb2.ModelVersionStatus.State.Value(state)
    deadline = time.monotonic() + _SWAP_S
    with grpc.insecure_channel(address) as channel:
        ask = model_service_pb2_grpc.ModelServiceStub(channel).GetModelStatus
        while time.monotonic() < deadline:
            for status in ask(request, timeout=_CALL_S).model_version_status:
                # Who looks too late for one state sees a later one.
                if status.version == number and status.state >= wanted:
                    assert not status.status.error_code, status.status.error_message
                    return
            time.sleep(0.02)
    raise TimeoutError(f"version {number} of {model} is not {state} after {_SWAP_S:.0f} s")


def _put(version: Path, folder: Path) -> None:
    """Copy a version to where the server looks, in one step, as a careful publisher does."""
    unfinished = folder.with_name(f"{folder.name}.unfinished")
    shutil.copytree(version, unfinished)
    unfinished.rename(folder)


_LAYERS = 4


def _weights(seed: int) -> list[NDArray[np.float32]]:
    rng = np.random.default_rng(seed)
    scale = 1 / math.sqrt(_WIDTH)
    return [rng.normal(0, scale, (_WIDTH, _WIDTH)).astype(np.float32) for _ in range(_LAYERS)]


def _expected(question: NDArray[np.float32], seed: int) -> NDArray[np.float32]:
    answer = question
    for weights in _weights(seed):
        answer = np.tanh(answer @ weights)
    first: NDArray[np.float32] = answer[0]
    return first


def _build(directory: Path, seed: int) -> None:
    """A SavedModel: `x` float32 [-1, width] -> `y` float32 [-1, width]."""
    import tensorflow as tf

    class Model(tf.Module):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.layers = [tf.Variable(weights) for weights in _weights(seed)]

        @tf.function(input_signature=[tf.TensorSpec([None, _WIDTH], tf.float32, "x")])  # type: ignore[untyped-decorator]
        def run(self, x: Any) -> dict[str, Any]:
            for weights in self.layers:
                x = tf.tanh(x @ weights)
            return {"y": x}

    model = Model()
    tf.saved_model.save(model, str(directory), signatures={"serving_default": model.run})


def _say(line: str) -> None:
    print(line, flush=True)


if __name__ == "__main__":
    sys.exit(main())
