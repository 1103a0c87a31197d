"""Pods that manifests ask for: their server's command line, read by the parser that will read it, and their
numbers."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import yaml

from hotgraph_server.commands import serve
from hotgraph_server.settings import ServerSettings

from .manifests import Document, documents, of_kind, one, overlay

DEFAULT_GRACE_S = 30
"""Kubernetes' own, of pods that do not say."""

END_S = 15
"""After the calls: waits of 5 s for what they leave behind, for runs and for loads (server.py)."""


@dataclass(frozen=True)
class Pod:
    """A pod with one container, which runs the server.

    Attributes:
        spec: as Kubernetes has it.
        annotations: of the pod.
        model: what KServe puts in place of its template.
    """

    spec: Mapping[str, Any]
    annotations: Mapping[str, str]
    model: str = ""

    @property
    def container(self) -> Mapping[str, Any]:
        container: Mapping[str, Any]
        (container,) = self.spec["containers"]
        return container

    @property
    def words(self) -> list[str]:
        """The command line, after `hotgraph serve`."""
        # The image's own command is `hotgraph`.
        assert "command" not in self.container
        assert self.container["args"][0] == "serve"
        return [word.replace("{{.Name}}", self.model) for word in self.container["args"][1:]]

    @property
    def settings(self) -> ServerSettings:
        """What the server makes of its command line. Ends the test where its parser refuses it."""
        return settings_of(self.words)

    @property
    def health_port(self) -> int:
        return self.settings.health.health_port

    @property
    def ports(self) -> dict[str, int]:
        return {port["name"]: port["containerPort"] for port in self.container["ports"]}

    @property
    def probes(self) -> dict[str, Mapping[str, Any]]:
        return {name: self.container[f"{name}Probe"] for name in ("startup", "readiness", "liveness")}

    @property
    def grace_s(self) -> int:
        return int(self.spec.get("terminationGracePeriodSeconds", DEFAULT_GRACE_S))

    @property
    def pre_stop_s(self) -> int:
        return int(self.container["lifecycle"]["preStop"]["sleep"]["seconds"])


def settings_of(words: Sequence[str]) -> ServerSettings:
    parser = argparse.ArgumentParser()
    serve.add_arguments(parser)
    return serve.settings_from(vars(parser.parse_args(list(words))))


def of_deployment(found: Sequence[Document]) -> Pod:
    template = of_kind(found, "Deployment")["spec"]["template"]
    return Pod(template["spec"], template["metadata"].get("annotations", {}))


def of_kserve() -> Pod:
    """What KServe makes of the runtime and of an InferenceService, which may say more about the pod."""
    runtime = one("kserve/clusterservingruntime.yaml", "ClusterServingRuntime")["spec"]
    service = one("kserve/inferenceservice.yaml", "InferenceService")
    predictor = service["spec"]["predictor"]
    own = {name: predictor[name] for name in ("terminationGracePeriodSeconds",) if name in predictor}
    spec = {"containers": runtime["containers"], "volumes": runtime["volumes"], **own}
    return Pod(spec, runtime["annotations"], service["metadata"]["name"])


def istio_drain_s(pod: Pod) -> int:
    """How long Istio's sidecar goes on after its SIGTERM."""
    config = yaml.safe_load(pod.annotations["proxy.istio.io/config"])
    return int(config["terminationDrainDuration"].removesuffix("s"))


def linkerd_wait_s(pod: Pod) -> int:
    """How long Linkerd's proxy puts off its SIGTERM."""
    return int(pod.annotations["config.alpha.linkerd.io/proxy-wait-before-exit-seconds"])


PODS: dict[str, Callable[[], Pod]] = {
    "kubernetes": lambda: of_deployment(documents("kubernetes/deployment.yaml")),
    "istio": lambda: of_deployment(overlay("istio")),
    "linkerd": lambda: of_deployment(overlay("linkerd")),
    "kserve": of_kserve,
}
