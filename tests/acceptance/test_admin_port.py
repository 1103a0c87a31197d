"""The admin port of `hotgraph serve`, read by curl's and Prometheus' means while tritonclient calls."""

from __future__ import annotations

import signal
import socket
import subprocess
import urllib.error
import urllib.request
from collections.abc import Callable
from contextlib import AbstractContextManager

import numpy as np
import pytest
from prometheus_client.parser import text_string_to_metric_families as parse
from tritonclient.grpc import InferenceServerClient
from tritonclient.utils import InferenceServerException

from ..ports import free_port
from ..saved_models import SavedModels
from .command import arguments, serve
from .triton_tensors import strings, tensor

HeldRun = Callable[[str], AbstractContextManager[None]]


def get(port: int, path: str) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=30) as response:
            return response.status, response.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()


def total(text: str, name: str, **labels: str) -> float:
    """The sum of the series of that name that have these labels."""
    return sum(
        sample.value
        for family in parse(text)
        for sample in family.samples
        if sample.name == name and labels.items() <= sample.labels.items()
    )


def test_calls_are_counted_and_the_drain_is_shown(saved_models: SavedModels, held_run: HeldRun) -> None:
    port = free_port()
    models = [str(saved_models[name]) for name in ("gated", "embedding")]
    with serve(*models, "--port", "0", "--admin-port", str(port)) as serving:
        assert get(port, "/readyz") == (200, "live\n")
        with InferenceServerClient(serving.address) as client:
            for rows in (1, 2, 4):
                client.infer("embedding", [tensor("id", np.zeros(rows, np.int32))])
            # No such id, which the run finds out; and no such dtype, with which a call does not get that far.
            with pytest.raises(InferenceServerException, match="INTERNAL"):
                client.infer("embedding", [tensor("id", np.full(1, 5, np.int32))])
            with pytest.raises(InferenceServerException, match="INVALID_ARGUMENT"):
                client.infer("embedding", [strings("id", [b"no number"])])
        _, text = get(port, "/metrics")
        of = {"model": "embedding", "version": "1", "signature": "serving_default"}
        assert total(text, "hotgraph_calls_total", outcome="answered", **of) == 3
        assert total(text, "hotgraph_calls_total", outcome="failed", **of) == 1
        assert total(text, "hotgraph_calls_total", **of) == 4
        assert total(text, "hotgraph_batch_rows_sum", **of) == 8
        assert total(text, "process_resident_memory_bytes") > 1e7
        with held_run(serving.address):
            serving.process.send_signal(signal.SIGTERM)
            serving.wait_for_line("stopping")
            while get(port, "/readyz") == (200, "live\n"):
                pass
            assert get(port, "/readyz") == (503, "draining\n")
            assert get(port, "/healthz") == (200, "ok\n")
            assert total(get(port, "/metrics")[1], "hotgraph_ready") == 0
        assert serving.status() == 0


def test_admin_port_in_use_ends_the_start_with_one_line() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        ended = subprocess.run(
            arguments("--port", "0", "--admin-port", port), capture_output=True, text=True, timeout=110
        )
    assert ended.returncode == 1
    last = ended.stderr.rstrip("\n").rpartition("\n")[2]
    where = f"127.0.0.1:{port}"
    assert last == f"hotgraph serve: admin-port {port}: cannot listen on {where}: the port is in use"
