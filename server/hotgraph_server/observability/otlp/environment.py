"""What OpenTelemetry's own environment variables say, as far as it is not the exporters that read them. Pure.

https://opentelemetry.io/docs/specs/otel/configuration/sdk-environment-variables/. The exporters read
OTEL_EXPORTER_OTLP_HEADERS, _CERTIFICATE, _CLIENT_KEY, _CLIENT_CERTIFICATE, _COMPRESSION and _TIMEOUT, and the
resource OTEL_RESOURCE_ATTRIBUTES and OTEL_SERVICE_NAME.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from hotgraph_server.settings import OtlpSettings

DEFAULT_SHARE = 0.001
"""Of calls without a parent: one in a thousand, as Triton has it. OpenTelemetry's own default is all of them,
which is thousands a second here."""

_ENDPOINT = "OTEL_EXPORTER_OTLP_ENDPOINT"
_METRICS_EVERY_S = 60.0
_TRUE = "true"


class Destination(NamedTuple):
    """Where things are sent.

    Attributes:
        traces, metrics: URLs; empty: they are not sent.
    """

    traces: str
    metrics: str


def destination(settings: OtlpSettings, environ: Mapping[str, str]) -> Destination | None:
    """Where to send to; None: nowhere."""
    if _said(environ, "OTEL_SDK_DISABLED").lower() == _TRUE:
        return None
    urls = {
        what: _url(settings, environ, what)
        for what in ("traces", "metrics")
        if _said(environ, f"OTEL_{what.upper()}_EXPORTER") != "none"
    }
    if not settings.otlp_metrics:
        urls.pop("metrics", None)
    found = Destination(urls.get("traces", ""), urls.get("metrics", ""))
    return found if found.traces or found.metrics else None


def _url(settings: OtlpSettings, environ: Mapping[str, str], what: str) -> str:
    base = settings.otlp_endpoint
    if not base:
        if own := _said(environ, f"OTEL_EXPORTER_OTLP_{what.upper()}_ENDPOINT"):
            return own
        base = _said(environ, _ENDPOINT)
    return f"{base.rstrip('/')}/v1/{what}" if base else ""


def share(settings: OtlpSettings, environ: Mapping[str, str]) -> tuple[float, str]:
    """Which share of the calls without a parent become spans; and what is to be said of it, if anything."""
    if settings.otlp_sampling is not None:
        return settings.otlp_sampling, ""
    name = _said(environ, "OTEL_TRACES_SAMPLER")
    if not name:
        return DEFAULT_SHARE, ""
    kind = name.removeprefix("parentbased_")
    remark = "" if kind != name else f"OTEL_TRACES_SAMPLER={name} is taken as parentbased_{name}"
    if kind == "always_on":
        return 1.0, remark
    if kind == "always_off":
        return 0.0, remark
    if kind == "traceidratio":
        text = _said(environ, "OTEL_TRACES_SAMPLER_ARG") or "1"
        value = number(text, -1.0)
        if 0.0 <= value <= 1.0:
            return value, remark
        return DEFAULT_SHARE, f"OTEL_TRACES_SAMPLER_ARG={text} is no share from 0 to 1"
    return DEFAULT_SHARE, f"OTEL_TRACES_SAMPLER={name} is not known here; {DEFAULT_SHARE} holds"


def other_protocol(environ: Mapping[str, str], what: str) -> str:
    """The protocol that is asked for and is not spoken; empty: none."""
    own = _said(environ, f"OTEL_EXPORTER_OTLP_{what.upper()}_PROTOCOL")
    asked = own or _said(environ, "OTEL_EXPORTER_OTLP_PROTOCOL")
    return "" if asked in ("", "http/protobuf") else asked


def metrics_every_s(environ: Mapping[str, str]) -> float:
    """Seconds between two exports of the metrics."""
    value = number(_said(environ, "OTEL_METRIC_EXPORT_INTERVAL"), _METRICS_EVERY_S * 1e3)
    return value / 1e3 if value > 0 else _METRICS_EVERY_S


def batching(environ: Mapping[str, str]) -> tuple[int, float, int]:
    """See export.Batching; OTEL_BSP_... in calls, not spans."""
    most = int(number(_said(environ, "OTEL_BSP_MAX_QUEUE_SIZE"), 2048))
    delay_ms = number(_said(environ, "OTEL_BSP_SCHEDULE_DELAY"), 5000)
    at_a_time = int(number(_said(environ, "OTEL_BSP_MAX_EXPORT_BATCH_SIZE"), 512))
    most = most if 0 < most <= 2**20 else 2048
    return most, max(delay_ms, 0.0) / 1e3, min(max(at_a_time, 1), most)


def number(text: str, otherwise: float) -> float:
    """What a text says, if it is a finite number."""
    try:
        value = float(text)
    except ValueError:
        return otherwise
    return value if abs(value) < float("inf") else otherwise


def _said(environ: Mapping[str, str], name: str) -> str:
    return environ.get(name, "").strip()
