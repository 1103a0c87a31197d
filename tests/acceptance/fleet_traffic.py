"""Calls at fixed moments, whatever becomes of those before; each answer is checked."""

from __future__ import annotations

import asyncio
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import grpc
import numpy as np
from numpy.typing import NDArray

from hotgraph_protos import open_inference as oip

_METHOD = "/inference.GRPCInferenceService/ModelInfer"
# Longer than anything that the machine's other work holds up: a call that is late has not failed.
_DEADLINE_S = 30.0
_END_S = 60.0


@dataclass(frozen=True)
class Call:
    """One that has ended.

    Attributes:
        at_s: when it was sent, monotonic.
        status: of gRPC.
        right: is the answer what it should be?
        version: that has answered.
    """

    at_s: float
    status: str
    details: str
    right: bool
    version: str
    took_s: float


class Traffic:
    """What has become of the calls so far."""

    def __init__(self) -> None:
        self.calls: list[Call] = []
        self.ending = threading.Event()

    def failed(self, since_s: float = 0.0) -> list[Call]:
        """Those that got no answer, or a wrong one."""
        return [
            one for one in list(self.calls) if one.at_s >= since_s and not (one.status == "OK" and one.right)
        ]

    def versions(self, since_s: float) -> Counter[str]:
        """Of the model, that calls since then were answered by."""
        return Counter(one.version for one in list(self.calls) if one.at_s >= since_s and one.status == "OK")


@contextmanager
def traffic(
    address: str, model: str, x: NDArray[np.float32], answer: NDArray[np.float32], rate: float
) -> Iterator[Traffic]:
    """So many calls a second until the end of the block, and no retries but the proxy's."""
    made = Traffic()
    request = oip.ModelInferRequest(model_name=model)
    tensor = request.inputs.add(name="x", datatype="FP32", shape=x.shape)
    tensor.contents.fp32_contents.extend(x.ravel().tolist())
    thread = threading.Thread(
        target=asyncio.run, args=(_send(made, address, model, request, answer, rate),), name="fleet traffic"
    )
    thread.start()
    try:
        yield made
    finally:
        made.ending.set()
        thread.join(_END_S)
        assert not thread.is_alive()


async def _send(made: Traffic, address: str, model: str, request: Any, answer: Any, rate: float) -> None:
    async with grpc.aio.insecure_channel(address, options=[("grpc.enable_retries", 0)]) as channel:
        infer = channel.unary_unary(
            _METHOD,
            request_serializer=oip.ModelInferRequest.SerializeToString,
            response_deserializer=oip.ModelInferResponse.FromString,
        )

        async def call() -> None:
            began_s = time.monotonic()
            try:
                reply = await infer(request, timeout=_DEADLINE_S, metadata=(("x-hotgraph-model", model),))
                status, details, version = "OK", "", reply.model_version
                got = np.frombuffer(reply.raw_output_contents[0], np.float32).reshape(answer.shape)
                right = bool(np.allclose(got, answer, atol=1e-5))
            except grpc.aio.AioRpcError as error:
                status, details, version, right = error.code().name, error.details() or "", "", False
            made.calls.append(Call(began_s, status, details, right, version, time.monotonic() - began_s))

        under_way: set[asyncio.Task[None]] = set()
        next_s = time.monotonic()
        while not made.ending.is_set():
            task = asyncio.create_task(call())
            under_way.add(task)
            task.add_done_callback(under_way.discard)
            next_s += 1 / rate
            await asyncio.sleep(max(0.0, next_s - time.monotonic()))
        await asyncio.gather(*under_way)
