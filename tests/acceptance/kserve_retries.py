"""One call with KServe's own client, which tries again if it gets UNAVAILABLE.

Prints as JSON: its status, and whether the answer told when to try again.

Usage: python kserve_retries.py HOST:PORT MODEL TRIES

A program of its own, because kserve and tritonclient cannot be imported into one process: each
registers its own copy of the same messages.
"""

from __future__ import annotations

import asyncio
import json
import sys

import grpc
import numpy as np
from kserve import InferenceGRPCClient, InferInput, InferRequest


async def main(address: str, model: str, tries: int) -> None:
    x = InferInput("x", [1, 2], "FP32")
    x.set_data_from_numpy(np.zeros((1, 2), np.float32), binary_data=True)
    async with InferenceGRPCClient(address, retries=tries) as client:
        try:
            await client.infer(InferRequest(model, [x]))
            print(json.dumps(["OK", False]))
        except grpc.aio.AioRpcError as error:
            told_when = any(key == "grpc-retry-pushback-ms" for key, _ in error.trailing_metadata())
            print(json.dumps([error.code().name, told_when]))


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2], int(sys.argv[3])))
