"""What lies in deploy/, read and held against schemas; no cluster is asked.

Kinds of Kubernetes itself are checked by kubernetes-validate, which carries its schemas; others by the small
ones in schemas/, which say what they were made from.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import jsonschema
import kubernetes_validate
import yaml

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
FOLDERS = ("kubernetes", "istio", "linkerd", "kserve", "keda")

# The oldest that has the preStop hook `sleep` unasked, and the newest that is known.
VERSIONS = ("1.30", str(kubernetes_validate.latest_version()))

PATCHES = ("istio/sidecar.yaml", "linkerd/proxy.yaml", "linkerd/retries.yaml")
"""Parts of objects: they mean something only in their overlay."""

NO_OBJECTS = ("kubernetes/prometheus-adapter.yaml",)
"""Values for a chart of others."""

Document = Mapping[str, Any]


def paths() -> list[str]:
    """All files of manifests, relative to deploy/."""
    return sorted(
        str(path.relative_to(DEPLOY)) for folder in FOLDERS for path in (DEPLOY / folder).glob("*.yaml")
    )


def documents(path: str) -> list[Document]:
    return list(yaml.safe_load_all((DEPLOY / path).read_text()))


def one(path: str, kind: str, name: str | None = None) -> Document:
    """The only object of that kind, and of that name, in a file."""
    (found,) = [
        document
        for document in documents(path)
        if document["kind"] == kind and name in (None, document["metadata"]["name"])
    ]
    return found


def overlay(folder: str) -> list[Document]:
    """What `kubectl apply -k` would apply, by our own reading of a kustomization: resources and patches."""
    kustomization = documents(f"{folder}/kustomization.yaml")[0]
    found: list[Document] = []
    for resource in kustomization["resources"]:
        place = (DEPLOY / folder / resource).resolve().relative_to(DEPLOY)
        found += overlay(str(place)) if (DEPLOY / place).is_dir() else documents(str(place))
    for patch in kustomization.get("patches", ()):
        for change in documents(f"{folder}/{patch['path']}"):
            (index,) = [i for i, document in enumerate(found) if key(document) == key(change)]
            found[index] = _merged(found[index], change)
    return found


def key(document: Document) -> tuple[str, str]:
    return document["kind"], document["metadata"]["name"]


def of_kind(found: Sequence[Document], kind: str) -> Document:
    (only,) = [document for document in found if document["kind"] == kind]
    return only


def _merged(value: Any, change: Any) -> Any:
    if not isinstance(change, Mapping):
        # A strategic merge would join lists by keys that each kind has for itself.
        assert not isinstance(change, list), "patches with lists are more than this reads"
        return change
    return {**value, **{name: _merged(value.get(name, {}), change[name]) for name in change}}


def check(document: Document, version: str = VERSIONS[-1]) -> None:
    """Is that an object that a cluster of this version would take?

    Raises:
        jsonschema.ValidationError: it is not; kubernetes-validate's is one too.
    """
    about = f"{document['apiVersion']} {document['kind']}"
    schema = _schemas().get(about)
    if schema is None:
        kubernetes_validate.validate(dict(document), version, strict=True)
        return
    if surplus := document.keys() - {"apiVersion", "kind", "metadata", "spec"}:
        raise jsonschema.ValidationError(f"{about} has no {min(surplus)}")
    jsonschema.Draft7Validator(schema).validate(document["spec"])
    # Every kind has the same metadata.
    built_in = [{"apiVersion": "v1", "kind": "ConfigMap", "metadata": document["metadata"]}]
    for each in (*built_in, *_built_in_parts(document)):
        kubernetes_validate.validate(each, version, strict=True)


def _schemas() -> Mapping[str, Any]:
    found = {}
    for path in (Path(__file__).parent / "schemas").glob("*.json"):
        file = json.loads(path.read_text())
        for kind, schema in file["kinds"].items():
            found[kind] = {"definitions": file["definitions"], **schema}
    return found


def _built_in_parts(document: Document) -> Iterator[dict[str, Any]]:
    """What other kinds take over from Kubernetes, as the objects that it comes from."""
    spec = document["spec"]
    match document["kind"]:
        case "ClusterServingRuntime":
            pod = {"containers": spec["containers"], "volumes": spec.get("volumes", [])}
            yield {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "any"}, "spec": pod}
        case "ScaledObject":
            yield {
                "apiVersion": "autoscaling/v2",
                "kind": "HorizontalPodAutoscaler",
                "metadata": {"name": "any"},
                "spec": {
                    "scaleTargetRef": {"kind": "Deployment", **spec["scaleTargetRef"]},
                    "maxReplicas": spec["maxReplicaCount"],
                    "behavior": spec["advanced"]["horizontalPodAutoscalerConfig"]["behavior"],
                },
            }
