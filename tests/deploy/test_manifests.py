"""Every file in deploy/ is what a cluster would take, and its parts find one another."""

from __future__ import annotations

import copy
import json
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from hotgraph_protos.version import __version__

from .manifests import DEPLOY, NO_OBJECTS, PATCHES, ROOT, VERSIONS, check, documents, key, one, overlay, paths
from .pods import of_deployment

OBJECTS = [path for path in paths() if path not in (*PATCHES, *NO_OBJECTS)]
MANIFESTS = [path for path in OBJECTS if not path.endswith("/kustomization.yaml")]
OVERLAYS = ("kubernetes", "istio", "linkerd")
# Whose keys are anybody's choice.
FREE = ("labels", "annotations", "matchLabels", "requests", "limits", "portLevelMtls")


def mappings(value: Any, free: bool = False) -> Iterator[dict[str, Any]]:
    """All mappings whose keys a schema knows."""
    if isinstance(value, dict):
        if not free:
            yield value
        for name, inner in value.items():
            yield from mappings(inner, name in FREE)
    elif isinstance(value, list):
        for inner in value:
            yield from mappings(inner)


@pytest.mark.parametrize("path", MANIFESTS)
@pytest.mark.parametrize("version", VERSIONS)
def test_a_cluster_would_take_every_object(path: str, version: str) -> None:
    found = documents(path)
    assert found
    for document in found:
        check(document, version)


@pytest.mark.parametrize("path", MANIFESTS)
def test_a_key_that_does_not_exist_is_found_wherever_it_is(path: str) -> None:
    for document in documents(path):
        places = len(list(mappings(document)))
        for place in range(places):
            wrong = copy.deepcopy(document)
            list(mappings(wrong))[place]["noSuchKey"] = 1
            with pytest.raises(jsonschema.ValidationError):
                check(wrong)


@pytest.mark.parametrize("folder", OVERLAYS)
def test_an_overlay_is_what_a_cluster_would_take(folder: str) -> None:
    found = overlay(folder)
    assert len({key(document) for document in found}) == len(found)
    for document in found:
        check(document)


@pytest.mark.parametrize("folder", OVERLAYS)
@pytest.mark.skipif(shutil.which("kubectl") is None, reason="no kubectl here, whose kustomize would tell")
def test_kubectl_reads_an_overlay_as_we_do(folder: str) -> None:
    command = ["kubectl", "kustomize", str(DEPLOY / folder)]
    text = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout
    theirs = {key(document): document for document in yaml.safe_load_all(text)}
    assert theirs == {key(document): document for document in overlay(folder)}


@pytest.mark.parametrize("folder", OVERLAYS)
def test_a_kustomization_forgets_no_file_but_those_that_it_says(folder: str) -> None:
    text = (DEPLOY / folder / "kustomization.yaml").read_text()
    names = {path.name for path in (DEPLOY / folder).glob("*.yaml")} - {"kustomization.yaml"}
    # What one of its lines says it is for: prometheus-adapter.yaml is beside the one that needs it.
    assert not {name for name in names if name not in text}


def test_each_schema_says_what_it_was_made_from() -> None:
    for path in (Path(__file__).parent / "schemas").glob("*.json"):
        assert any(digit.isdigit() for digit in json.loads(path.read_text())["source"]), path.name


@pytest.mark.parametrize("folder", OVERLAYS)
def test_labels_ports_and_names_find_one_another(folder: str) -> None:
    found = overlay(folder)
    pod = of_deployment(found)
    objects = {key(document): document["spec"] for document in found if "spec" in document}
    template = objects["Deployment", "hotgraph"]["template"]
    mine = {"app.kubernetes.io/name": "hotgraph"}
    assert mine.items() <= template["metadata"]["labels"].items()
    assert objects["Deployment", "hotgraph"]["selector"]["matchLabels"] == mine
    assert ("ServiceAccount", pod.spec["serviceAccountName"]) in {key(document) for document in found}
    for (kind, _), spec in objects.items():
        match kind:
            case "Service":
                assert spec["selector"] == mine
                for port in spec["ports"]:
                    assert pod.ports[port["targetPort"]] == port["port"]
            case "PodDisruptionBudget" | "PeerAuthentication":
                assert spec["selector"]["matchLabels"] == mine
            case "NetworkPolicy":
                assert spec["podSelector"]["matchLabels"] == mine
                rules = [*spec.get("ingress", ()), *spec.get("egress", ())]
                named = [each["port"] for rule in rules for each in rule.get("ports", ())]
                assert {port for port in named if isinstance(port, str)} <= pod.ports.keys()
            case "Server":
                assert spec["podSelector"]["matchLabels"] == mine
                assert spec["port"] in pod.ports


def test_istio_speaks_of_ports_that_the_service_has() -> None:
    service = one("kubernetes/service.yaml", "Service", "hotgraph")["spec"]
    numbers = {port["name"]: port["port"] for port in service["ports"]}
    routes = one("istio/traffic.yaml", "VirtualService")["spec"]["http"]
    assert [route["match"] for route in routes] == [[{"port": numbers[name]}] for name in ("grpc", "http")]
    assert [route["route"][0]["destination"]["port"]["number"] for route in routes] == [
        numbers["grpc"],
        numbers["http"],
    ]
    permissive = one("istio/access.yaml", "PeerAuthentication")["spec"]["portLevelMtls"]
    assert permissive.keys() == {str(numbers["admin"])}
    rules = one("istio/access.yaml", "AuthorizationPolicy")["spec"]["rules"]
    told = [port for rule in rules for to in rule["to"] for port in to["operation"]["ports"]]
    assert sorted(told) == sorted(str(number) for number in numbers.values())


def test_linkerd_leaves_probes_alone() -> None:
    pod = of_deployment(overlay("linkerd"))
    assert pod.annotations["config.linkerd.io/skip-inbound-ports"] == str(pod.health_port)


def test_prometheus_reads_each_pod_once() -> None:
    monitor = one("kubernetes/servicemonitor.yaml", "ServiceMonitor")["spec"]
    (endpoint,) = monitor["endpoints"]
    services = [
        document
        for document in documents("kubernetes/service.yaml")
        if monitor["selector"]["matchLabels"].items() <= document["metadata"]["labels"].items()
        and endpoint["port"] in [port["name"] for port in document["spec"]["ports"]]
    ]
    assert [key(document) for document in services] == [("Service", "hotgraph")]


def test_the_image_is_this_version() -> None:
    of_pods = of_deployment(documents("kubernetes/deployment.yaml")).container["image"]
    of_kserve = one("kserve/clusterservingruntime.yaml", "ClusterServingRuntime")["spec"]["containers"][0][
        "image"
    ]
    assert of_pods == of_kserve == f"hotgraph:{__version__}"


def test_the_inference_service_names_the_runtime_and_what_it_serves() -> None:
    runtime = one("kserve/clusterservingruntime.yaml", "ClusterServingRuntime")
    model = one("kserve/inferenceservice.yaml", "InferenceService")["spec"]["predictor"]["model"]
    assert model["runtime"] == runtime["metadata"]["name"]
    assert model["protocolVersion"] in runtime["spec"]["protocolVersions"]
    formats = [(each["name"], each["version"]) for each in runtime["spec"]["supportedModelFormats"]]
    assert (model["modelFormat"]["name"], model["modelFormat"]["version"]) in formats
    assert runtime["spec"]["containers"][0]["name"] == "kserve-container"


def test_both_autoscalers_want_the_same() -> None:
    hpa = one("kubernetes/horizontalpodautoscaler.yaml", "HorizontalPodAutoscaler")["spec"]
    keda = one("keda/scaledobject.yaml", "ScaledObject")["spec"]
    assert (keda["minReplicaCount"], keda["maxReplicaCount"]) == (hpa["minReplicas"], hpa["maxReplicas"])
    assert keda["advanced"]["horizontalPodAutoscalerConfig"]["behavior"] == hpa["behavior"]
    assert hpa["scaleTargetRef"]["name"] == keda["scaleTargetRef"]["name"] == "hotgraph"
    wanted = [metric["pods"]["target"]["averageValue"] for metric in hpa["metrics"]]
    thresholds = [trigger["metadata"]["threshold"] for trigger in keda["triggers"]]
    assert [int(text.removesuffix("m")) / 1000 for text in wanted] == [float(text) for text in thresholds]


def test_page_tells_of_every_file() -> None:
    page = (ROOT / "docs" / "kubernetes.md").read_text()
    assert not {path for path in paths() if path not in page}
