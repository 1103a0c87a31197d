"""Two servers of which one is nine times as slow, and what share of the calls each gets from a balancer.

For any balancer that weighs servers by their load reports: gRPC's own in this process, or a proxy in front.
Who answered is told by the version of the model, 1 on the slow server and 2 on the fast one; both give the
same answer.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import grpc
import numpy as np
from tritonclient.grpc import InferenceServerClient, service_pb2

from ..saved_models import tf2
from .command import arguments, starting
from .triton_tensors import tensor

MODEL = "work"
SLOWER = 9
# Of the fast one: a run of some milliseconds, so that few calls a second are more than the least that is
# reported.
_TURNS = 10
_INFER = "/inference.GRPCInferenceService/ModelInfer"
_EVERY_S = 0.01
_PATIENCE_S = 30.0


class Servers(NamedTuple):
    """Their addresses."""

    slow: str
    fast: str


class Shares(NamedTuple):
    """How many calls each server answered."""

    slow: int
    fast: int

    @property
    def ratio(self) -> float:
        """How many the fast one got for one of the slow one."""
        return self.fast / max(self.slow, 1)


def build_work(directory: Path, turns: int) -> None:
    """`x` float32 [-1, 64] -> `y` float32 [-1, 64]: x, turned so many times by one place until it is
    itself."""
    import tensorflow as tf

    turn = tf.constant(np.roll(np.eye(64, dtype=np.float32), 1, axis=0))

    def run(x: Any) -> Any:
        def body(at: Any, y: Any) -> Any:
            return at + 1, tf.matmul(y, turn)

        _, y = tf.while_loop(lambda at, _: at < 64 * turns, body, (0, x))
        return {"y": y}

    tf2.save(directory, serving_default=tf2.function(run, x=([None, 64], tf.float32)))


@contextmanager
def unequal_servers(folder: Path, *flags: str) -> Iterator[Servers]:
    """The two, with these flags."""
    build_work(folder / "slow" / "1", _TURNS * SLOWER)
    build_work(folder / "fast" / "2", _TURNS)
    with ExitStack() as stack:
        both = [
            stack.enter_context(starting(arguments(f"{MODEL}={folder / name}", "--port", "0", *flags)))
            for name in ("slow", "fast")
        ]
        for one in both:
            one.until_it_serves()
        yield Servers(*(one.address for one in both))


def shares(channel: grpc.Channel, until_s: float, warm_up_s: float) -> Shares:
    """Call by a channel, a hundred times a second at most, and count who answers once it has warmed up.

    Args:
        until_s: how long, seconds, the warm-up included.
        warm_up_s: of it, before anything counts: balancers share calls out evenly at first.
    """
    call: Any = channel.unary_unary(_INFER)
    request = service_pb2.ModelInferRequest(model_name=MODEL)
    x = np.ones((1, 64), np.float32)
    request.inputs.add(name="x", datatype="FP32", shape=x.shape)
    request.raw_input_contents.append(x.tobytes())
    message, counts = request.SerializeToString(), {"1": 0, "2": 0}
    began = time.monotonic()
    while (passed_s := time.monotonic() - began) < until_s:
        answer = service_pb2.ModelInferResponse.FromString(call(message, timeout=_PATIENCE_S))
        if passed_s > warm_up_s:
            counts[answer.model_version] += 1
        time.sleep(_EVERY_S)
    return Shares(counts["1"], counts["2"])


@contextmanager
def kept_busy(address: str) -> Iterator[None]:
    """A server whose executor is busy with runs of 64 rows that come by no balancer."""
    stop = threading.Event()

    def hog() -> None:
        with InferenceServerClient(address) as client:
            while not stop.is_set():
                client.infer(MODEL, [tensor("x", np.ones((64, 64), np.float32))])

    hogs = [threading.Thread(target=hog) for _ in range(2)]
    for one in hogs:
        one.start()
    try:
        yield
    finally:
        stop.set()
        for one in hogs:
            one.join(_PATIENCE_S)
