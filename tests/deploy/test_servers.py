"""Servers started as the manifests start them, with other ports and folders, have what the manifests name."""

from __future__ import annotations

import json
import re
import shutil
import sys
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from prometheus_client.parser import text_string_to_metric_families as parse
from tritonclient.grpc import InferenceServerClient

from hotgraph_server.commands.builtin import digits_model

from ..acceptance.command import starting
from ..acceptance.foreign_packages import NotToBeHad
from ..acceptance.prometheus import Prometheus
from ..acceptance.triton_tensors import tensor
from ..ports import free_port
from .manifests import documents, one
from .pods import PODS, Pod
from .prometheus import prometheus

SERVING = health_pb2.HealthCheckResponse.SERVING
METRIC = re.compile(r"\b(?:hotgraph|nv)_\w+")


@dataclass(frozen=True)
class Served:
    """A server of a pod's command line.

    Attributes:
        model: its model's name.
        ports: where each port of the command line is here.
    """

    pod: Pod
    model: str
    ports: Mapping[int, int]

    def port(self, of_pod: int) -> str:
        return f"127.0.0.1:{self.ports[of_pod]}"

    def get(self, of_pod: int, path: str, body: Any = None) -> str:
        data = None if body is None else json.dumps(body).encode()
        with urllib.request.urlopen(f"http://{self.port(of_pod)}{path}", data, timeout=30) as response:
            text: str = response.read().decode()
            return text

    def health(self, of_pod: int, service: str) -> int:
        with grpc.insecure_channel(self.port(of_pod)) as channel:
            asked = health_pb2.HealthCheckRequest(service=service)
            status: int = health_pb2_grpc.HealthStub(channel).Check(asked, timeout=30).status
            return status


@pytest.fixture(scope="module", params=["kubernetes", "kserve"])
def served(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    pod = PODS[request.param]()
    volumes = tmp_path_factory.mktemp(request.param)
    # The layout that each manifest speaks of: a folder of models, and one of versions.
    model = {"kubernetes": "digits", "kserve": "flowers"}[request.param]
    folder = {"kubernetes": volumes / "models" / model, "kserve": volumes / "mnt" / "models"}
    shutil.copytree(digits_model(), folder[request.param])
    ports = {
        port: free_port() for port in (*pod.ports.values(), pod.settings.admin.admin_port, pod.health_port)
    }
    words = [_here(word, volumes, ports) for word in pod.words]
    with starting([sys.executable, "-m", "hotgraph_server", "serve", *words]) as serving:
        serving.until_it_serves()
        yield Served(pod, model, ports)


def _here(word: str, volumes: Path, ports: Mapping[int, int]) -> str:
    name, _, value = word.partition("=")
    if name.endswith("port"):
        return f"{name}={ports[int(value)]}"
    # Nobody else's machine: this one alone.
    return f"{name}={volumes}{value}" if value.startswith("/") else word.replace("0.0.0.0", "127.0.0.1")


def _asked(served: Served, name: str) -> int:
    return served.pod.ports[name]


# How each protocol that KServe may name is spoken to the port that it is routed to.
PROTOCOLS: dict[str, Callable[[Served], bool]] = {
    "v1": lambda served: (
        "predictions"
        in served.get(
            served.pod.settings.rest.rest_port,
            f"/v1/models/{served.model}:predict",
            {"instances": np.zeros((1, 784)).tolist()},
        )
    ),
    "v2": lambda served: (
        served.model in served.get(served.pod.settings.rest.rest_port, f"/v2/models/{served.model}")
    ),
    "grpc-v1": lambda served: (
        served.health(_asked(served, "grpc"), "tensorflow.serving.PredictionService") == SERVING
    ),
    "grpc-v2": lambda served: (
        served.health(_asked(served, "grpc"), "inference.GRPCInferenceService") == SERVING
    ),
}


def test_protocols_that_are_named_are_spoken() -> None:
    runtime = one("kserve/clusterservingruntime.yaml", "ClusterServingRuntime")["spec"]
    assert PROTOCOLS.keys() == set(runtime["protocolVersions"])


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_each_protocol_is_answered(served: Served, protocol: str) -> None:
    assert PROTOCOLS[protocol](served)


def call(served: Served) -> Any:
    with InferenceServerClient(served.port(_asked(served, "grpc"))) as client:
        answer = client.infer(served.model, [tensor("images", np.zeros((1, 784), np.float32))])
    return answer.as_numpy("probabilities")


def test_a_call_reaches_the_model_under_its_name(served: Served) -> None:
    assert call(served).shape == (1, 10)


@pytest.mark.parametrize("probe", ["startup", "readiness", "liveness"])
def test_each_probe_is_answered(served: Served, probe: str) -> None:
    asked = served.pod.probes[probe]["grpc"]
    assert served.health(asked["port"], asked["service"]) == SERVING


def test_the_admin_port_is_what_prometheus_expects(served: Served) -> None:
    paths = {
        one("kubernetes/servicemonitor.yaml", "ServiceMonitor")["spec"]["endpoints"][0]["path"],
        PODS["kserve"]().annotations["prometheus.kserve.io/path"],
    }
    for path in paths:
        assert "hotgraph_ready 1.0" in served.get(served.pod.settings.admin.admin_port, path)


def queries() -> dict[str, list[str]]:
    """What autoscalers ask Prometheus for, by file."""
    rules = documents("kubernetes/prometheus-adapter.yaml")[0]["rules"]["custom"]
    keda = one("keda/scaledobject.yaml", "ScaledObject")["spec"]["triggers"]
    predictor = one("kserve/inferenceservice.yaml", "InferenceService")["spec"]["predictor"]
    return {
        "prometheus-adapter": [rule[part] for rule in rules for part in ("seriesQuery", "metricsQuery")],
        "keda": [trigger["metadata"]["query"] for trigger in keda],
        "kserve": [metric["external"]["metric"]["query"] for metric in predictor["autoScaling"]["metrics"]],
    }


@pytest.mark.parametrize("file", queries())
def test_each_metric_that_autoscalers_ask_for_is_there(served: Served, file: str) -> None:
    text = served.get(served.pod.settings.admin.admin_port, "/metrics")
    there = {sample.name: sample.labels for family in parse(text) for sample in family.samples}
    named = [name for query in queries()[file] for name in METRIC.findall(query)]
    assert named
    assert not set(named) - there.keys()
    assert all(there[name]["model"] == served.model for name in named)


# What Prometheus' operator adds to each series.
LABELS = {"namespace": "default", "service": "hotgraph", "pod": "a"}


@pytest.fixture(scope="module")
def scraped(served: Served, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prometheus]:
    try:
        admin = served.port(served.pod.settings.admin.admin_port)
        with prometheus(admin, LABELS, tmp_path_factory.mktemp("prometheus")) as it:
            yield it
    except NotToBeHad as missing:
        pytest.skip(f"no Prometheus: {missing}")


def of_adapter(series: str, query: str) -> str:
    """What prometheus-adapter makes of a rule for a pod."""
    return (
        query.replace("<<.Series>>", series.partition("{")[0])
        .replace("<<.LabelMatchers>>", 'namespace="default",pod="a"')
        .replace("<<.GroupBy>>", "namespace,pod")
    )


@pytest.mark.slow
def test_each_query_is_one_number_and_rises_with_load(served: Served, scraped: Prometheus) -> None:
    series, duty, wait_series, wait = queries()["prometheus-adapter"]
    asked = [of_adapter(series, duty), of_adapter(wait_series, wait), *queries()["keda"]]
    if served.pod.model:
        asked = queries()["kserve"]
    for query in asked:
        # At rest too: nothing divided by nothing would leave an autoscaler without a figure.
        (value,) = scraped.until(query, bool)
        assert value >= 0
    calls = 0
    while not all(value > 0 for query in asked for value in scraped.values(query)):
        assert (calls := calls + 1) < 10_000
        call(served)


def test_the_horizontal_autoscaler_asks_for_what_the_adapter_makes() -> None:
    rules = documents("kubernetes/prometheus-adapter.yaml")[0]["rules"]["custom"]
    metrics = one("kubernetes/horizontalpodautoscaler.yaml", "HorizontalPodAutoscaler")["spec"]["metrics"]
    assert [metric["pods"]["metric"]["name"] for metric in metrics] == [rule["name"]["as"] for rule in rules]


def test_the_kserve_example_asks_for_its_own_model() -> None:
    (query,) = queries()["kserve"]
    assert f'model="{PODS["kserve"]().model}"' in query
