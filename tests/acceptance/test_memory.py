"""What a call leaves behind: nothing that only a garbage collection could free.

Collections are rare under load, and a request can be hundreds of megabytes.
"""

from __future__ import annotations

import contextlib
import gc
from collections.abc import Callable
from typing import Any

import grpc
import numpy as np
import pytest
from tensorflow_serving.apis import predict_pb2, prediction_service_pb2_grpc

from hotgraph_client import Client, HotgraphError

CALLS = 40

# What hangs on these: the request's bytes, its arrays, its errors.
REPLIES = ("_HotCall", "_WaitingReply")


def replies_alive() -> int:
    return sum(type(one).__name__ in REPLIES for one in gc.get_objects())


def tfs_predict(address: str, model: str, dtype: int) -> None:
    with grpc.insecure_channel(address) as channel:
        request = predict_pb2.PredictRequest()
        request.model_spec.name = model
        request.inputs["id"].dtype = dtype
        request.inputs["id"].tensor_shape.dim.add(size=1)
        request.inputs["id"].int_val.append(10_000)
        prediction_service_pb2_grpc.PredictionServiceStub(channel).Predict(request, timeout=60)


def v2_predict(address: str, model: str, array: Any, **choices: Any) -> None:
    with Client(address, timeout_s=60, retries=0) as client:
        client.predict(model, {"id": array}, **choices)


KINDS: dict[str, Callable[[str], None]] = {
    "answer": lambda address: v2_predict(address, "embedding", np.zeros(1, np.int32)),
    "unknown model": lambda address: v2_predict(address, "nobody", np.zeros(1, np.int32)),
    "wrong dtype": lambda address: v2_predict(address, "embedding", np.zeros(1)),
    "wrong dtype, with an id": lambda address: v2_predict(address, "embedding", np.zeros(1), request_id="7"),
    "failed run": lambda address: v2_predict(address, "embedding", np.full(1, 10_000, np.int32)),
    "unknown model, TensorFlow Serving": lambda address: tfs_predict(address, "nobody", 3),
    "wrong dtype, TensorFlow Serving": lambda address: tfs_predict(address, "embedding", 6),
    "failed run, TensorFlow Serving": lambda address: tfs_predict(address, "embedding", 3),
}


@pytest.mark.parametrize("kind", KINDS)
def test_no_call_waits_for_the_garbage_collector(address: str, kind: str) -> None:
    gc.collect()
    before = replies_alive()
    gc.disable()
    try:
        for _ in range(CALLS):
            refused = kind != "answer"
            with pytest.raises((HotgraphError, grpc.RpcError)) if refused else contextlib.nullcontext():
                KINDS[kind](address)
        # The last few may still be on their way out.
        assert replies_alive() - before <= 3
    finally:
        gc.enable()
