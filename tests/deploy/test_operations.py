"""docs/operations.md: what it gives to copy is what deploy/ has, and its sums are the server's."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import yaml

from hotgraph_server.settings import ListenSettings

from .manifests import one
from .pods import END_S

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
PAGE = (DOCS / "operations.md").read_text("utf-8")


def to_copy(first: str) -> Any:
    """The block of the page that begins with this key, as a program reads it."""
    (found,) = re.findall(rf"```yaml\n({first}:.*?)```", PAGE, re.DOTALL)
    return yaml.safe_load(found)[first]


def envoys(name: str) -> list[Any]:
    """Every value under that key in Envoy's file."""
    found = []

    def look(value: Any) -> None:
        if isinstance(value, dict):
            found.extend([value[name]] if name in value else [])
            for each in value.values():
                look(each)
        elif isinstance(value, list):
            for each in value:
                look(each)

    look(yaml.safe_load((ROOT / "deploy" / "envoy" / "envoy.yaml").read_text("utf-8")))
    return found


def test_envoys_retry_policy_is_that_of_its_file() -> None:
    assert to_copy("retry_policy") in envoys("retry_policy")
    ours, theirs = to_copy("circuit_breakers"), envoys("circuit_breakers")[0]
    assert ours["thresholds"][0].items() <= theirs["thresholds"][0].items()


def test_istios_retries_and_limits_are_those_of_its_file() -> None:
    route = one("istio/traffic.yaml", "VirtualService")["spec"]["http"][0]
    policy = one("istio/traffic.yaml", "DestinationRule")["spec"]["trafficPolicy"]
    assert to_copy("retries") == {**route["retries"]}
    assert to_copy("connectionPool") == policy["connectionPool"]
    (block,) = re.findall(r"```yaml\n(connectionPool:.*?)```", PAGE, re.DOTALL)
    assert yaml.safe_load(block)["outlierDetection"] == policy["outlierDetection"]


def test_istio_takes_a_server_out_as_envoy_does_which_is_tested() -> None:
    of_istio = one("istio/traffic.yaml", "DestinationRule")["spec"]["trafficPolicy"]["outlierDetection"]
    of_envoy = envoys("outlier_detection")[0]
    assert of_istio["consecutiveGatewayErrors"] == of_envoy["consecutive_gateway_failure"]
    assert of_istio["baseEjectionTime"] == of_envoy["base_ejection_time"]
    assert of_istio["maxEjectionPercent"] == of_envoy["max_ejection_percent"]


def test_linkerds_annotations_are_those_of_its_file() -> None:
    annotations = one("linkerd/retries.yaml", "Service")["metadata"]["annotations"]
    assert f"`retry.linkerd.io/grpc: {annotations['retry.linkerd.io/grpc']}`" in PAGE
    assert f'`retry.linkerd.io/limit: "{annotations["retry.linkerd.io/limit"]}"`' in PAGE


def test_every_page_has_the_same_rule_for_the_grace_period() -> None:
    rules = {
        name: re.findall(r">=\s+preStop \+ drain-s \+ (\d+)", (DOCS / name).read_text("utf-8"))
        for name in ("operations.md", "kubernetes.md")
    }
    assert rules == {"operations.md": [str(END_S)], "kubernetes.md": [str(END_S)]}
    whole_s = int(ListenSettings().drain_s + END_S)
    for name in ("operations.md", "containers.md"):
        assert f"`docker stop -t {whole_s}`" in (DOCS / name).read_text("utf-8")


def test_every_test_that_the_last_table_names_is_there() -> None:
    named = re.findall(r"`(test_\w+\.py)::(test_\w+)`", PAGE)
    assert len(named) > 15
    for file, test in named:
        text = (ROOT / "tests" / "acceptance" / file).read_text("utf-8")
        assert f"def {test}(" in text, f"{file}::{test}"
