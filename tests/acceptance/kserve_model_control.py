"""Loads and unloads a model with KServe's own messages, and prints what it got as one JSON object.

Usage: python kserve_model_control.py HOST:PORT MODEL

A program of its own, because kserve and tritonclient cannot be imported into one process: each
registers its own copy of the same messages.
"""

from __future__ import annotations

import json
import sys

import grpc
from kserve.protocol.grpc import grpc_predict_v2_pb2 as pb
from kserve.protocol.grpc import grpc_predict_v2_pb2_grpc as pb_grpc


def main(address: str, model: str) -> None:
    with grpc.insecure_channel(address) as channel:
        stub = pb_grpc.GRPCInferenceServiceStub(channel)
        loaded = stub.RepositoryModelLoad(pb.RepositoryModelLoadRequest(model_name=model))
        ready = stub.ModelReady(pb.ModelReadyRequest(name=model)).ready
        unloaded = stub.RepositoryModelUnload(pb.RepositoryModelUnloadRequest(model_name=model))
        after = stub.ModelReady(pb.ModelReadyRequest(name=model)).ready
    found = {
        "loaded": [loaded.model_name, loaded.isLoaded],
        "ready": ready,
        "unloaded": [unloaded.model_name, unloaded.isUnloaded],
        "ready after": after,
    }
    print(json.dumps(found))


if __name__ == "__main__":
    main(*sys.argv[1:3])
