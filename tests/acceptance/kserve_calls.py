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
from kserve.protocol.infer_type import RequestedOutput

# KServe's name, numpy's, and the signature of the model `every_dtype` that gives back what it gets.
DATATYPES = [
    *(("BOOL", "bool", "bool"), ("BYTES", "object", "string"), ("FP16", "float16", "half")),
    *((f"FP{bits}", f"float{bits}", f"float{bits}") for bits in (32, 64)),
    *((f"INT{bits}", f"int{bits}", f"int{bits}") for bits in (8, 16, 32, 64)),
    *((f"UINT{bits}", f"uint{bits}", f"uint{bits}") for bits in (8, 16, 32, 64)),
]


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
    found["datatypes"] = await datatypes(client)
    found["choices"] = await choices(client, a, b)
    many = [
        infer(client, "tf2_mlp", tensor("x", np.full((1, 16), i, np.float32), "FP32", binary=True))
        for i in range(50)
    ]
    found["rows of probabilities"] = [float(np.sum(each["scores"])) for each in await asyncio.gather(*many)]
    try:
        await infer(client, "nobody", tensor("a", a, "FP32", binary=True))
    except grpc.RpcError as error:
        found["unknown model"] = [error.code().name, error.details()]
    found["unknown model ready"] = await client.is_model_ready("nobody", headers=(("x-trace", "1"),))
    return found


async def datatypes(client: InferenceGRPCClient) -> list[str]:
    """Where what came back is not what was sent; its typed form has no place for FP16."""
    different: list[str] = []
    for datatype, dtype, signature in DATATYPES:
        sent = np.array([[b"\x00a", b""]] if datatype == "BYTES" else [[1, 0]], dtype)
        for binary in (True, False) if datatype != "FP16" else (True,):
            x = tensor("x", sent, datatype, binary=binary)
            request = InferRequest("every_dtype", [x], parameters={"signature_name": f"echo_{signature}"})
            y = (await client.infer(request)).get_output_by_name("y")
            if y.datatype != datatype or y.as_numpy().tolist() != sent.tolist():
                different.append(f"{datatype}, binary={binary}: {y.datatype} {y.as_numpy().tolist()}")
    return different


async def choices(client: InferenceGRPCClient, a: Any, b: Any) -> dict[str, Any]:
    """What a request can ask for besides: an id, a version, outputs and their classes."""
    inputs = [tensor("a", a, "FP32", binary=True), tensor("b", b, "INT32", binary=True)]
    request = InferRequest(
        "two_in_two_out",
        inputs,
        request_id="an id",
        model_version="1",
        request_outputs=[RequestedOutput("sum", {"classification": 1})],
    )
    response = await client.infer(request, timeout=30.0, headers=(("x-trace", "1"),))
    return {
        "id": response.id,
        "model": [response.model_name, response.model_version],
        "outputs": {
            output.name: [bytes(each).decode() for each in output.as_numpy().ravel()]
            for output in response.outputs
        },
    }


async def main(address: str) -> None:
    async with InferenceGRPCClient(address) as client:
        print(json.dumps(await calls(client)))


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
