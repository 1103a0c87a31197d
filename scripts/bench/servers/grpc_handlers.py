"""The obvious gRPC server, twice: on ``grpc.aio`` and on ``grpc.server`` with a thread pool.

``python -m bench.servers.grpc_handlers aio|threads PORT SAVED_MODEL inline|pool``. One call, one run: no
batching. With `inline` the aio server runs the graph in its event loop, with `pool` in two threads.
"""

from __future__ import annotations

import asyncio
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import grpc
import numpy as np

from bench.protocols import v2_response
from bench.servers.session import Floats, open_session
from hotgraph_protos.open_inference import ModelInferRequest, ModelInferResponse

_SERVICE = "inference.GRPCInferenceService"
_OPTIONS = (("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1))
_RUNNING_THREADS = 2
_SERVER_THREADS = 8


def decode(request: ModelInferRequest) -> Floats:
    """The array of the only input, float32."""
    return np.frombuffer(request.raw_input_contents[0], "<f4").reshape(request.inputs[0].shape)


def _add(server: Any, infer: Any) -> None:
    handler = grpc.unary_unary_rpc_method_handler(
        infer, ModelInferRequest.FromString, ModelInferResponse.SerializeToString
    )
    server.add_generic_rpc_handlers(
        (grpc.method_handlers_generic_handler(_SERVICE, {"ModelInfer": handler}),)
    )


async def serve_aio(address: str, saved_model: Path, *, inline: bool) -> None:
    """Until killed."""
    run = open_session(saved_model)
    pool = ThreadPoolExecutor(_RUNNING_THREADS)

    async def infer(request: ModelInferRequest, _: Any) -> ModelInferResponse:
        rows = decode(request)
        answer = run(rows) if inline else await asyncio.get_running_loop().run_in_executor(pool, run, rows)
        return v2_response(request.model_name, answer)

    server = grpc.aio.server(options=_OPTIONS)
    _add(server, infer)
    server.add_insecure_port(address)
    await server.start()
    await server.wait_for_termination()


def serve_threads(address: str, saved_model: Path) -> None:
    """Until killed."""
    run = open_session(saved_model)

    def infer(request: ModelInferRequest, _: Any) -> ModelInferResponse:
        return v2_response(request.model_name, run(decode(request)))

    server = grpc.server(ThreadPoolExecutor(_SERVER_THREADS), options=_OPTIONS)
    _add(server, infer)
    server.add_insecure_port(address)
    server.start()
    server.wait_for_termination()


def main(kind: str, port: str, saved_model: str, where: str) -> None:
    """Serve as asked; uvloop is used where it is installed."""
    address = f"127.0.0.1:{port}"
    if kind == "threads":
        serve_threads(address, Path(saved_model))
        return
    try:
        import uvloop  # type: ignore[import-not-found, import-untyped, unused-ignore]
    except ImportError:
        pass
    else:
        asyncio.set_event_loop_policy(uvloop.EventLoopPolicy())
    asyncio.run(serve_aio(address, Path(saved_model), inline=where == "inline"))


if __name__ == "__main__":
    main(*sys.argv[1:])
