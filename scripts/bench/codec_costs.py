"""What decoding and encoding cost per call, without a server: python -m bench.codec_costs --help.

Decoding is from a message's bytes to a call that is ready for the queue, for a message of a form that is
known (fast path) and for one that is not (full path, without learning it); encoding is from the arrays of
an answer to its bytes. The least of many rounds counts: everything above it is somebody else's noise.
"""

from __future__ import annotations

import argparse
import math
import sys
import timeit
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from tensorflow_serving.apis import predict_pb2

from hotgraph_protos import open_inference as pb
from hotgraph_server.batching.call import Call
from hotgraph_server.batching.completion import Completion
from hotgraph_server.batching.request import Request
from hotgraph_server.execution.executor import Opened
from hotgraph_server.models.contract import Contract
from hotgraph_server.models.engine import Engine
from hotgraph_server.models.opening import assemble
from hotgraph_server.models.registry import Registry
from hotgraph_server.protocols.tfs.predict import Predict
from hotgraph_server.protocols.v2.inference import Infer
from hotgraph_server.settings import ModelSettings
from hotgraph_server.signatures import Signature, TensorSpec
from hotgraph_server.transport.service import Answered, Reply

DESCRIPTION = """\
Measure what decoding a request and encoding its answer cost, in microseconds per call, for both protocols
and several ways of writing the same tensor: float32 [rows, columns] in, int64 [rows] and float32 [rows, 10]
out. Needs no server and no model; run it with scripts/ on PYTHONPATH where hotgraph[server] is installed."""

_ROUNDS = 20


def main() -> int:
    """Measure as the command line says; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m bench.codec_costs", description=DESCRIPTION)
    add = parser.add_argument
    add("--rows", type=int, nargs="+", default=[1, 8], metavar="N", help="of each call (default: 1 8)")
    add("--columns", type=int, default=784, metavar="N", help="of the input (default: 784)")
    add("--calls", type=int, default=2000, metavar="N", help="in each of 20 rounds (default: 2000)")
    given = parser.parse_args()
    print(f"{'us per call':24}{'rows':>6}{'bytes':>10}{'full path':>10}{'fast path':>11}{'encode':>9}")
    for rows in given.rows:
        for form in _forms(rows, given.columns):
            costs = _costs(form, rows, given.columns, given.calls)
            print(
                f"{form.name:24}{rows:6}{len(form.message):10}"
                f"{costs.full_path:10.2f}{costs.fast_path:11.2f}{costs.encode:9.2f}"
            )
    return 0


class _Form(NamedTuple):
    """A way of writing a request, and the hot method that reads it."""

    name: str
    method: Callable[[Registry], Infer | Predict]
    message: bytes


class _Costs(NamedTuple):
    """Microseconds per call."""

    full_path: float
    fast_path: float
    encode: float


class _Door:
    """Has a version that takes every call, behind which is nothing; keeps the completion of the last."""

    def __init__(self, signature: Signature) -> None:
        settings, name = ModelSettings("digits", Path("/")), signature.name
        engine = Engine("digits", settings, 1, _no_graph)
        opened = Opened({name: signature}, {}, {}, {name: None}, {})
        self.version = assemble(settings, 1, engine, opened, Contract(None))
        self.version.submit = self._submit
        self.completion = Completion(print)
        self._call = Call(signature, [], (), self.completion, arrived=0.0)

    def _submit(self, request: Request) -> Call:
        self.completion = request.completion
        return self._call


class _Caller(Reply):
    """A reply that encodes when it is told to."""

    deadline = math.inf
    peer = "127.0.0.1:1"
    observer = None
    held_up = None

    def __init__(self) -> None:
        self.encode: Callable[[], Answered] = bytes

    def finish(self, encode: Callable[[], Answered]) -> None:
        self.encode = encode

    def when_gone(self, cancel: Callable[[], object]) -> None:
        pass

    def expire_at(self, deadline: float) -> None:
        pass

    def header(self, name: str) -> str | None:
        return None

    @property
    def headers(self) -> Mapping[str, str]:
        return {}


def _costs(form: _Form, rows: int, columns: int, calls: int) -> _Costs:
    f4, i8 = np.dtype(np.float32), np.dtype(np.int64)
    signature = Signature(
        "serving_default",
        (TensorSpec("images", "images:0", f4, (None, columns)),),
        (TensorSpec("classes", "c:0", i8, (None,)), TensorSpec("probabilities", "p:0", f4, (None, 10))),
    )
    door = _Door(signature)
    registry = Registry()
    registry.publish([door.version])
    method, caller = form.method(registry), _Caller()
    method(form.message, caller)
    door.completion.finish([np.zeros(rows, i8), np.zeros((rows, 10), f4)])
    # The method learns the form from the first message, so the full path has to be asked for by its name;
    # and here it learns nothing more.
    method._templates.wants_more = lambda: False  # type: ignore[method-assign]
    full_path = method._take_full_path
    return _Costs(
        full_path=_least(lambda: full_path(form.message, caller), calls // 4 + 1),
        fast_path=_least(lambda: method(form.message, caller), calls),
        encode=_least(caller.encode, calls),
    )


def _least(step: Callable[[], object], calls: int) -> float:
    return min(timeit.repeat(step, number=calls, repeat=_ROUNDS)) / calls * 1e6


def _forms(rows: int, columns: int) -> list[_Form]:
    array = np.random.default_rng(1).random((rows, columns), np.float32)
    values = array.ravel().tolist()
    v2 = pb.ModelInferRequest(model_name="digits")
    v2.inputs.add(name="images", datatype="FP32", shape=array.shape)
    v2.raw_input_contents.append(array.tobytes())
    with_id = pb.ModelInferRequest(id="0123456789abcdef")
    with_id.MergeFrom(v2)
    typed = pb.ModelInferRequest()
    typed.MergeFrom(v2)
    del typed.raw_input_contents[:]
    typed.inputs[0].contents.fp32_contents.extend(values)
    tfs = predict_pb2.PredictRequest()
    tfs.model_spec.name = "digits"
    tensor = tfs.inputs["images"]
    tensor.dtype = 1
    for size in array.shape:
        tensor.tensor_shape.dim.add(size=size)
    floats = predict_pb2.PredictRequest()
    floats.MergeFrom(tfs)
    floats.inputs["images"].float_val.extend(values)
    tensor.tensor_content = array.tobytes()
    return [
        _Form("v2 raw", Infer, v2.SerializeToString()),
        _Form("v2 raw with id", Infer, with_id.SerializeToString()),
        _Form("v2 fp32_contents", Infer, typed.SerializeToString()),
        _Form("tfs tensor_content", Predict, tfs.SerializeToString()),
        _Form("tfs float_val", Predict, floats.SerializeToString()),
    ]


def _no_graph() -> Any:
    raise NotImplementedError


if __name__ == "__main__":
    sys.exit(main())
