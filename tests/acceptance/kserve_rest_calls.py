"""Calls a server with KServe's own REST client, and prints what it got as one JSON object.

Usage: python kserve_rest_calls.py http://HOST:PORT

A program of its own, because kserve and tritonclient cannot be imported into one process: each
registers its own copy of the same messages.
"""

from __future__ import annotations

import asyncio
import json
import sys
from typing import Any

import httpx
import numpy as np
from kserve import InferenceRESTClient, InferInput, InferRequest, RESTConfig
from kserve.protocol.infer_type import RequestedOutput


def tensor(name: str, array: Any, datatype: str, *, binary: bool) -> InferInput:
    made = InferInput(name, list(array.shape), datatype)
    made.set_data_from_numpy(array, binary_data=binary)
    return made


def pair(*, binary: tuple[bool, bool]) -> list[InferInput]:
    return [
        tensor("a", np.array([[1, 2, 3]], np.float32), "FP32", binary=binary[0]),
        tensor("b", np.array([[4, 5, 6]], np.int32), "INT32", binary=binary[1]),
    ]


async def refusal(call: Any) -> list[Any]:
    try:
        await call
    except httpx.HTTPStatusError as error:
        return [error.response.status_code, str(error)]
    return []


async def second(client: InferenceRESTClient, url: str) -> dict[str, Any]:
    """The Open Inference Protocol."""
    found: dict[str, Any] = {
        "live": await client.is_server_live(url),
        "ready": await client.is_server_ready(url),
        "model ready": await client.is_model_ready(url, "simple"),
        "unknown model ready": await client.is_model_ready(url, "nobody"),
        "sums": [],
        "strings": [],
    }
    for binary in ((True, True), (False, False), (True, False), (False, True)):
        for back in (True, False):
            outputs = [RequestedOutput(name, {"binary_data": back}) for name in ("sum", "product")]
            request = InferRequest("simple", pair(binary=binary), "an id", request_outputs=outputs)
            answer = await client.infer(url, request, model_name="simple", headers={"x-trace": "1"})
            found["sums"].append({one.name: one.as_numpy().tolist() for one in answer.outputs})
            found["id"], found["model"] = answer.id, answer.model_name
    for one_binary in (True, False):
        text = tensor("text", np.array([b"abc", b""], object), "BYTES", binary=one_binary)
        answer = await client.infer(url, InferRequest("text", [text]), model_name="text")
        upper = answer.get_output_by_name("upper").as_numpy().ravel()
        found["strings"].append([one.decode() if isinstance(one, bytes) else str(one) for one in upper])
    body = {"inputs": [{"name": "id", "shape": [2], "datatype": "INT32", "data": [1, 2]}]}
    answer = await client.infer(url, body, model_name="ids")
    found["dictionary"] = answer.outputs[0].as_numpy().tolist()
    half = tensor("x", np.array([[0.5, 1]], np.float16), "FP16", binary=True)
    request = InferRequest("echo", [half], parameters={"signature_name": "echo_half"})
    answer = await client.infer(url, request, model_name="echo")
    found["half"] = [answer.outputs[0].datatype, answer.outputs[0].as_numpy().tolist()]
    many = [
        client.infer(url, InferRequest("simple", pair(binary=(True, False))), model_name="simple")
        for _ in range(30)
    ]
    found["many"] = len(await asyncio.gather(*many))
    found["unknown model"] = await refusal(client.infer(url, body, model_name="nobody"))
    found["wrong inputs"] = await refusal(client.infer(url, body, model_name="simple"))
    return found


async def first(client: InferenceRESTClient, url: str) -> dict[str, Any]:
    """TensorFlow Serving's, which KServe calls v1."""
    rows = {"instances": [{"a": [1, 2, 3], "b": [4, 5, 6]}, {"a": [0, 0, 0], "b": [1, 1, 1]}]}
    return {
        "predictions": (await client.infer(url, rows, model_name="simple"))["predictions"],
        "unknown model": await refusal(client.infer(url, rows, model_name="nobody")),
        "wrong inputs": await refusal(client.infer(url, {"instances": [{"a": 1}]}, model_name="simple")),
    }


async def main(url: str) -> None:
    async with InferenceRESTClient(RESTConfig(protocol="v2")) as client:
        found = {"v2": await second(client, url)}
    async with InferenceRESTClient(RESTConfig(protocol="v1")) as client:
        found["v1"] = await first(client, url)
    print(json.dumps(found))


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
