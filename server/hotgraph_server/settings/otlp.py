"""What is sent to an OpenTelemetry collector, and which calls become spans."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

from hotgraph_server.settings.fields import check, setting


@dataclass(frozen=True)
class OtlpSettings:
    """OTLP over HTTP; owned by observability/otlp. What is not said here is asked of OpenTelemetry's own
    environment variables (``OTEL_...``), and then of the defaults."""

    otlp_endpoint: str = setting(
        "",
        "send spans of calls and the metrics to this collector by OTLP over HTTP (port 4318, mostly), which "
        "needs hotgraph[otel]; none: where OTEL_EXPORTER_OTLP_ENDPOINT says, if it does",
        metavar="URL",
    )
    otlp_sampling: float | None = setting(
        None,
        "of calls without a traceparent so many become spans, 0 to 1; 0: none; of others their callers "
        "decide (default: as OTEL_TRACES_SAMPLER says, or 0.001)",
        kind=float,
        metavar="SHARE",
    )
    otlp_metrics: bool = setting(True, "send the metrics as well, every OTEL_METRIC_EXPORT_INTERVAL")
    otlp_resource: tuple[str, ...] = setting(
        (),
        "an attribute of all spans and metrics, over those of OTEL_RESOURCE_ATTRIBUTES; may be given again",
        kind=list,
        metavar="NAME=VALUE",
    )

    def __post_init__(self) -> None:
        check(
            not self.otlp_endpoint or _is_url(self.otlp_endpoint),
            f"otlp-endpoint must be http://HOST:PORT or https://HOST:PORT, got {self.otlp_endpoint!r}",
        )
        check(
            self.otlp_sampling is None or 0.0 <= self.otlp_sampling <= 1.0,
            f"otlp-sampling must be 0 to 1, got {self.otlp_sampling}",
        )
        for one in self.otlp_resource:
            name, separator, _ = one.partition("=")
            check(bool(name and separator), f"otlp-resource must be NAME=VALUE, got {one!r}")

    @property
    def resource(self) -> Mapping[str, str]:
        """The attributes by their names."""
        pairs = [one.partition("=") for one in self.otlp_resource]
        return {name: value for name, _, value in pairs}


def _is_url(text: str) -> bool:
    try:
        found = urlsplit(text)
        return found.scheme in ("http", "https") and bool(found.hostname) and found.port != 0
    except ValueError:
        return False
