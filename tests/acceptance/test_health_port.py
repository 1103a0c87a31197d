"""The commands' health port: in the clear beside a port that demands certificates, from start to end."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from hotgraph_protos import health as pb

from ..ports import free_port
from ..saved_models import SavedModels
from .command import serve, tensorflow_model_server
from .test_http_doors import Certificates

SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING
PATIENCE_S = 60.0


def check(channel: grpc.Channel, name: str) -> int:
    request = health_pb2.HealthCheckRequest(service=name)
    return int(health_pb2_grpc.HealthStub(channel).Check(request, timeout=PATIENCE_S).status)


def names(channel: grpc.Channel) -> set[str]:
    method: Any = channel.unary_unary("/grpc.health.v1.Health/List")
    return set(pb.HealthListResponse.FromString(method(b"", timeout=PATIENCE_S)).statuses)


def test_probe_without_a_certificate_hears_of_a_server_that_demands_one(
    saved_models: SavedModels, tmp_path: Path
) -> None:
    certificates, port = Certificates(tmp_path), free_port()
    flags = (*certificates.flags, "--tls-client-ca", str(certificates.root), "--health-port", str(port))
    with (
        serve(f"a={saved_models['tf2_mlp']}", "--port", "0", *flags) as serving,
        grpc.insecure_channel(f"127.0.0.1:{port}") as channel,
    ):
        assert [check(channel, name) for name in ("", "liveness", "readiness", "a")] == [SERVING] * 4
        assert names(channel) == {
            *("", "liveness", "readiness", "a", "inference.GRPCInferenceService"),
            *("tensorflow.serving.PredictionService", "tensorflow.serving.ModelService"),
            "xds.service.orca.v3.OpenRcaService",
        }
        serving.process.send_signal(signal.SIGTERM)
        assert serving.status() == 0


def test_server_that_drains_is_live_and_not_ready_to_the_end_of_its_last_call(
    saved_models: SavedModels, held_run: Callable[[str], AbstractContextManager[None]]
) -> None:
    port = free_port()
    with contextlib.ExitStack() as stack:
        serving = stack.enter_context(
            serve(str(saved_models["gated"]), "--port", "0", "--health-port", str(port))
        )
        channel = stack.enter_context(grpc.insecure_channel(f"127.0.0.1:{port}"))
        ready = health_pb2_grpc.HealthStub(channel).Watch(health_pb2.HealthCheckRequest(service="readiness"))
        assert next(ready).status == SERVING
        with held_run(serving.address):
            # A run that holds the executor is no lack of progress.
            assert check(channel, "liveness") == SERVING
            serving.process.send_signal(signal.SIGTERM)
            assert next(ready).status == NOT_SERVING
            for _ in range(10):
                assert (check(channel, "liveness"), check(channel, "readiness")) == (SERVING, NOT_SERVING)
        assert serving.status() == 0


def test_tensorflow_model_server_has_it_too(saved_models: SavedModels, tmp_path: Path) -> None:
    port = free_port()
    (tmp_path / "m").mkdir()
    (tmp_path / "m" / "1").symlink_to(saved_models["tf2_mlp"])
    flags = (f"--model_base_path={tmp_path / 'm'}", "--model_name=m", "--port=0", f"--health_port={port}")
    with tensorflow_model_server(*flags), grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        assert [check(channel, name) for name in ("liveness", "readiness", "m")] == [SERVING] * 3


def test_several_processes_share_it(saved_models: SavedModels) -> None:
    port = free_port()
    flags = ("--port", "0", "--processes", "2", "--health-port", str(port))
    alone = [("grpc.use_local_subchannel_pool", 1)]
    with serve(f"a={saved_models['tf2_mlp']}", *flags) as serving:
        for _ in range(8):
            with grpc.insecure_channel(f"127.0.0.1:{port}", alone) as channel:
                assert [check(channel, name) for name in ("liveness", "readiness", "a")] == [SERVING] * 3
        serving.process.send_signal(signal.SIGTERM)
        assert serving.status() == 0
