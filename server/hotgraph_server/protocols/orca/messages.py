"""A load report on the wire: a message, and the texts that stand in a header. Pure.

What is asked for is named as Triton has it: ``endpoint-load-metrics-format: json`` (or ``text``) is answered
with ``endpoint-load-metrics: JSON {...}`` (or ``TEXT name=value, name=value``). ``bin`` is ours, and asks for
what gRPC's balancers and Envoy read: the message, in ``endpoint-load-metrics-bin``.

In TEXT there are only the names that Envoy knows (source/common/orca/orca_parser.cc): it drops a report with
another one whole.
"""

from __future__ import annotations

import json
from typing import Any

from hotgraph_protos import orca as pb
from hotgraph_server.observability.load.report import LoadReport

FORMAT_HEADER = "endpoint-load-metrics-format"
TEXT_HEADER = "endpoint-load-metrics"
MESSAGE_HEADER = "endpoint-load-metrics-bin"
MESSAGE = "bin"
FORMATS = (MESSAGE, "json", "text")


def message(report: LoadReport) -> bytes:
    """An OrcaLoadReport."""
    return bytes(
        pb.OrcaLoadReport(
            application_utilization=report.utilization,
            cpu_utilization=report.cpu,
            mem_utilization=report.memory,
            rps_fractional=report.calls_per_s,
            eps=report.errors_per_s,
            utilization=report.models,
            named_metrics=report.named,
        ).SerializeToString()
    )


def json_text(report: LoadReport) -> str:
    """Printable ASCII, as a header has it."""
    content: dict[str, Any] = dict(_plain(report))
    if report.models:
        content["utilization"] = {name: _rounded(value) for name, value in report.models.items()}
    content["named_metrics"] = {name: _rounded(value) for name, value in report.named.items()}
    return f"JSON {json.dumps(content)}"


def plain_text(report: LoadReport) -> str:
    """The same without the models: their names may be anything, and Envoy takes no others."""
    figures = _plain(report) | {f"named_metrics.{name}": value for name, value in report.named.items()}
    return "TEXT " + ", ".join(f"{name}={_rounded(value):g}" for name, value in figures.items())


def header(report: LoadReport, asked: str) -> tuple[str, str | bytes] | None:
    """What a caller gets who asks for this format: a header's name, and its value, of which bytes are still
    to be written in base64; None: there is no such format."""
    wanted = asked.strip().lower()
    if wanted == MESSAGE:
        return MESSAGE_HEADER, message(report)
    if wanted == "json":
        return TEXT_HEADER, json_text(report)
    if wanted == "text":
        return TEXT_HEADER, plain_text(report)
    return None


def _plain(report: LoadReport) -> dict[str, float]:
    return {
        "application_utilization": _rounded(report.utilization),
        "cpu_utilization": _rounded(report.cpu),
        "mem_utilization": _rounded(report.memory),
        "rps_fractional": _rounded(report.calls_per_s),
        "eps": _rounded(report.errors_per_s),
    }


def _rounded(value: float) -> float:
    """To six digits: nothing is known so exactly."""
    return float(f"{value:.6g}")
