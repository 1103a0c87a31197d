"""The Helm chart is the plain manifests with values put in, and its values are checked."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pytest
import yaml

from hotgraph_protos.version import __version__

from ..acceptance.foreign_packages import NotToBeHad
from .chart import CHART, Refused, helm, lint, rendered
from .manifests import Document, check, documents, key, of_kind, one
from .pods import END_S, of_deployment

# What Helm's own habit adds to labels.
HELMS = (
    "app.kubernetes.io/instance",
    "app.kubernetes.io/version",
    "app.kubernetes.io/managed-by",
    "helm.sh/chart",
)
HPA = "HorizontalPodAutoscaler"
PLAIN = ("serviceaccount", "deployment", "service", "poddisruptionbudget", "networkpolicy")


@pytest.fixture(scope="module", autouse=True)
def _helm() -> None:
    try:
        helm()
    except NotToBeHad as missing:
        pytest.skip(f"no Helm: {missing}")


def without_helms_labels(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {name: without_helms_labels(inner) for name, inner in value.items() if name not in HELMS}
    if isinstance(value, list):
        return [without_helms_labels(inner) for inner in value]
    return value


def plain(*files: str) -> dict[tuple[str, str], Document]:
    return {key(document): document for file in files for document in documents(file)}


def by_key(found: list[Document]) -> dict[tuple[str, str], Any]:
    return {key(document): without_helms_labels(document) for document in found}


def test_with_nothing_said_it_is_the_plain_manifests() -> None:
    assert by_key(rendered()) == plain(*(f"kubernetes/{name}.yaml" for name in PLAIN))


@pytest.mark.parametrize(
    ("values", "kind", "file"),
    [
        (
            {"autoscaling": {"by": "hpa"}},
            "HorizontalPodAutoscaler",
            "kubernetes/horizontalpodautoscaler.yaml",
        ),
        ({"autoscaling": {"by": "keda"}}, "ScaledObject", "keda/scaledobject.yaml"),
        ({"serviceMonitor": {"enabled": True}}, "ServiceMonitor", "kubernetes/servicemonitor.yaml"),
    ],
)
def test_what_is_asked_for_is_the_plain_file_too(values: dict[str, Any], kind: str, file: str) -> None:
    assert without_helms_labels(of_kind(rendered(values), kind)) == one(file, kind)


def test_an_autoscaler_is_not_set_back_by_an_upgrade() -> None:
    for by in ("hpa", "keda"):
        assert "replicas" not in of_kind(rendered({"autoscaling": {"by": by}}), "Deployment")["spec"]


FULL: dict[str, Any] = {
    "image": {
        "repository": "registry.example/hotgraph",
        "tag": "1.2.3",
        "pullSecrets": [{"name": "registry"}],
    },
    "models": {"flags": ["flowers=/models/flowers"], "volume": {"nfs": {"server": "nfs", "path": "/models"}}},
    "flags": ["--max-batch-rows=32", "--device=/GPU:0"],
    "host": "::",
    "ports": {"grpc": 9000, "admin": 9001, "http": 9002, "health": 9003},
    "drain": {"preStop": 7, "calls": 120, "end": 20},
    "threads": 8,
    "resources": {"limits": {"nvidia.com/gpu": 1, "memory": "16Gi"}},
    "autoscaling": {"by": "keda", "min": 3, "max": 30, "duty": 0.65, "queueWaitMs": 5},
    "networkPolicy": {"callers": [{"namespaceSelector": {}}], "monitoringNamespace": "prometheus"},
    "serviceMonitor": {"enabled": True, "labels": {}},
    "podAnnotations": {"linkerd.io/inject": "enabled"},
    "podLabels": {"team": "vision"},
    "serviceAnnotations": {"retry.linkerd.io/grpc": "unavailable"},
    "nodeSelector": {"gpu": "true"},
    "tolerations": [{"key": "nvidia.com/gpu", "operator": "Exists"}],
}


@pytest.mark.parametrize("values", [FULL, {**FULL, "autoscaling": {"by": "hpa", "duty": 0.65}}])
def test_every_value_can_be_another(values: dict[str, Any]) -> None:
    found = rendered(values, name="a", namespace="vision")
    for document in found:
        check(document)
        assert document["metadata"]["name"].startswith("a-hotgraph")
    pod = of_deployment(found)
    settings = pod.settings
    assert [model.name for model in settings.models] == ["flowers"]
    assert pod.ports == {"grpc": 9000, "admin": 9001, "http": 9002, "health": 9003}
    assert (settings.listen.host, settings.listen.port, settings.rest.rest_port) == ("::", 9000, 9002)
    assert (settings.admin.admin_port, pod.health_port) == (9001, 9003)
    assert {probe["grpc"]["port"] for probe in pod.probes.values()} == {9003}
    assert (pod.container["image"], settings.models[0].batch.max_batch_rows) == (
        "registry.example/hotgraph:1.2.3",
        32,
    )


@pytest.mark.parametrize("drain", [{}, {"calls": 600}, {"preStop": 30}, {"calls": 1, "end": 60}])
def test_the_grace_period_follows_the_drain(drain: dict[str, int]) -> None:
    pod = of_deployment(rendered({"drain": drain}))
    assert pod.grace_s >= pod.pre_stop_s + pod.settings.listen.drain_s + END_S


def test_two_releases_beside_each_other_share_no_pods() -> None:
    selectors = [of_kind(rendered(name=name), "Deployment")["spec"]["selector"] for name in ("a", "b")]
    assert selectors[0] != selectors[1]


@pytest.mark.parametrize(
    ("values", "named"),
    [
        ({"replica": 3}, "replica"),
        ({"ports": {"rest": 1}}, "rest"),
        ({"ports": {"grpc": "8500"}}, "grpc"),
        ({"autoscaling": {"by": "cpu"}}, "by"),
        ({"drain": {"end": 1}}, "end"),
        ({"models": {"claim": ""}}, "where are the models"),
    ],
)
def test_a_value_that_cannot_be_is_refused_by_name(values: dict[str, Any], named: str) -> None:
    with pytest.raises(Refused, match=named):
        rendered(values)


def test_the_schema_knows_every_value() -> None:
    values = yaml.safe_load((CHART / "values.yaml").read_text())
    schema = json.loads((CHART / "values.schema.json").read_text())["properties"]
    assert schema.keys() - {"global"} == values.keys()
    for name, value in values.items():
        if "properties" in schema[name]:
            assert schema[name]["properties"].keys() == value.keys(), name


def test_helm_finds_no_fault_with_it() -> None:
    found = lint()
    assert not found["errors"]
    assert [message["error"] for message in found["messages"]] == ["icon is recommended"]


def test_its_version_is_this_version() -> None:
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text())
    assert chart["version"] == chart["appVersion"] == __version__
