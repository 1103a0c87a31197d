"""Calls a server with KServe's own client, and prints what it got as one JSON object.

Usage: python kserve_calls.py HOST:PORT

A program of its own, because kserve and tritonclient cannot be imported into one process: each
registers its own copy of the same messages.
"""

from __future__ import annotations

import asyncio
import json
import sys
from typing import Any

import grpc
import numpy as np
from kserve import InferenceGRPCClient, InferInput, InferRequest


def tensor(name: str, array: Any, datatype: str, *, binary: bool) -> InferInput:
    made = InferInput(name, list(array.shape), datatype)
    made.set_data_from_numpy(array, binary_data=binary)
    return made


async def infer(client: InferenceGRPCClient, model: str, *inputs: InferInput) -> dict[str, Any]:
    response = await client.infer(InferRequest(model_name=model, infer_inputs=list(inputs)))
    return {output.name: output.as_numpy().tolist() for output in response.outputs}


async def calls(client: InferenceGRPCClient) -> dict[str, Any]:
    found: dict[str, Any] = {
        "live": await client.is_server_live(),
        "ready": await client.is_server_ready(),
        "model ready": await client.is_model_ready("two_in_two_out"),
    }
    a, b = np.array([[1, 2, 3]], np.float32), np.array([[4, 5, 6]], np.int32)
    for binary in (True, False):
        inputs = [tensor("a", a, "FP32", binary=binary), tensor("b", b, "INT32", binary=binary)]
        found[f"sums, binary={binary}"] = await infer(client, "two_in_two_out", *inputs)
        text = tensor("text", np.array([b"abc", b""], object), "BYTES", binary=binary)
        response = await client.infer(InferRequest(model_name="strings", infer_inputs=[text]))
        upper = response.get_output_by_name("upper").as_numpy()
        found[f"upper, binary={binary}"] = [bytes(each).decode() for each in upper]
    many = [
        infer(client, "tf2_mlp", tensor("x", np.full((1, 16), i, np.float32), "FP32", binary=True))
        for i in range(50)
    ]
    found["rows of probabilities"] = [float(np.sum(each["scores"])) for each in await asyncio.gather(*many)]
    try:
        await infer(client, "nobody", tensor("a", a, "FP32", binary=True))
    except grpc.RpcError as error:
        found["unknown model"] = [error.code().name, error.details()]
    return found


async def main(address: str) -> None:
    async with InferenceGRPCClient(address) as client:
        print(json.dumps(await calls(client)))


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
