"""What listens where, and what may come in."""

from __future__ import annotations

from dataclasses import dataclass

from hotgraph_server.settings.fields import check, check_choice, setting
from hotgraph_server.settings.peers import peer_names

LEAD = ("auto", "never")
COMPRESS_LEVELS = ("off", "low", "medium", "high")

MAX_CONNECTION_S = 2_000_000
"""The longest time of a connection that may be set, 23 days: grpc's own server counts milliseconds to 24."""


@dataclass(frozen=True)
class ListenSettings:
    """Where and how calls come in; owned by transport/."""

    host: str = setting(
        "127.0.0.1",
        "address to listen on; 0.0.0.0 for every network, localhost for this machine, both of IPv4 and IPv6",
    )
    port: int = setting(8500, "port for both protocols; 0: a free one is picked")
    socket_path: str = setting("", "file name of a Unix socket to listen on as well", flag=False)
    socket_only: bool = setting(False, "listen on the Unix socket alone", flag=False)
    # Where these name a file, PEM text itself will do as well.
    tls_cert: str = setting("", "PEM file of the server's certificate chain; turns TLS on", metavar="FILE")
    tls_key: str = setting("", "PEM file of the certificate's key", metavar="FILE", secret=True)
    tls_client_ca: str = setting(
        "",
        "PEM file of the authority that signs clients' certificates; callers without one are refused",
        metavar="FILE",
    )
    tls_allow: tuple[str, ...] = setting(
        (),
        "who may call, by the SPIFFE ID (spiffe://DOMAIN/PATH; /* at the end: all below it) or DNS name in"
        " the certificate; with commas, or given again, for several; needs tls-client-ca; nothing: whoever"
        " has a certificate",
        kind=list,
        metavar="NAME[,NAME]",
    )
    max_connection_age_s: float = setting(
        0.0,
        "seconds, a tenth more or less, after which a connection is asked to go, so that callers spread anew"
        " and show their certificates again; its calls go on; 0: never",
    )
    max_connection_age_grace_s: float = setting(
        0.0, "seconds that its calls have then, before they are cut off; 0: as long as they like"
    )
    max_connection_idle_s: float = setting(
        0.0, "seconds without a call after which a connection is asked to go; 0: never"
    )
    max_calls: int = setting(2048, "calls that may be inside the server at once; further ones are refused")
    max_message_mb: int = setting(
        1024, "largest message that is taken, MiB after decompression; at most 2047"
    )
    max_inflight_mb: int = setting(
        4096,
        "MiB of messages that all calls inside may hold together, and those of one connection half of it;"
        " further bytes are refused",
    )
    max_metadata_kb: int = setting(
        16, "largest metadata of a call that is taken, KiB by HTTP/2's way of counting; at most 64"
    )
    compress_answers: str = setting(
        "off",
        "compress answers for callers who say that they read gzip or deflate: low is the quickest",
        choices=COMPRESS_LEVELS,
    )
    compress_min_bytes: int = setting(
        1024, "smallest answer that is compressed, bytes; 0: all are", flag=False
    )
    fast_lane: bool = setting(True, "take hot calls past grpc's per-call Python; off: its public API alone")
    lead: str = setting(
        "auto",
        "who waits for calls: auto lets the thread that runs a model read them itself, where its runs take "
        "no longer than handing a call to another thread; never leaves it to a thread of its own",
        choices=LEAD,
    )
    drain_s: float = setting(
        25.0, "seconds that calls already taken have to finish after SIGTERM; 0: they are cut off"
    )

    def __post_init__(self) -> None:
        check(0 <= self.port <= 65535, f"port must be 0 to 65535, got {self.port}")
        check(bool(self.host), "host must not be empty; 0.0.0.0 listens on every network")
        check(bool(self.socket_path) or not self.socket_only, "socket-only needs a socket-path")
        check(self.max_calls >= 1, f"max-calls must be at least 1, got {self.max_calls}")
        # Not a number and infinity are floats too; no wait of Python's can be as long as that.
        check(0 <= self.drain_s <= 86_400, f"drain-s must be 0 to 86400 (a day), got {self.drain_s}")
        check(
            1 <= self.max_message_mb <= 2047,
            f"max-message-mb must be 1 to 2047, which is what protobuf can read, got {self.max_message_mb}",
        )
        check_choice("lead", self.lead, LEAD)
        check(self.max_inflight_mb >= 1, f"max-inflight-mb must be at least 1, got {self.max_inflight_mb}")
        check_choice("compress-answers", self.compress_answers, COMPRESS_LEVELS)
        check(
            self.compress_min_bytes >= 0,
            f"compress-min-bytes must not be negative, got {self.compress_min_bytes}",
        )
        check(1 <= self.max_metadata_kb <= 64, f"max-metadata-kb must be 1 to 64, got {self.max_metadata_kb}")
        check(
            bool(self.tls_cert) == bool(self.tls_key),
            "tls-cert and tls-key go together: a certificate is of no use without its key",
        )
        check(not self.tls_client_ca or bool(self.tls_cert), "tls-client-ca needs tls-cert and tls-key")
        names = peer_names(self.tls_allow)
        check(
            not names or bool(self.tls_client_ca),
            f"tls-allow {','.join(names)} needs tls-client-ca: without it callers show no certificate",
        )
        for name in ("max_connection_age_s", "max_connection_age_grace_s", "max_connection_idle_s"):
            value = getattr(self, name)
            # Not a number is a float too.
            check(
                value == 0 or 0.001 <= value <= MAX_CONNECTION_S,
                f"{name.replace('_', '-')} must be 0, or 0.001 to {MAX_CONNECTION_S} (23 days), got {value}",
            )


@dataclass(frozen=True)
class AdminSettings:
    """Where the admin port is, on the same address as calls; owned by admin/."""

    admin_port: int = setting(8501, "HTTP port for /metrics, /healthz, /readyz and the live page; 0: none")
    admin_on_free_port: bool = setting(
        False, "where admin-port is 0: on a port that is free, which the log names", flag=False
    )

    @property
    def has_port(self) -> bool:
        """Is there one?"""
        return bool(self.admin_port) or self.admin_on_free_port

    def __post_init__(self) -> None:
        check(0 <= self.admin_port <= 65535, f"admin-port must be 0 to 65535, got {self.admin_port}")


@dataclass(frozen=True)
class RestSettings:
    """TensorFlow Serving's REST and what else is HTTP, on the same address as calls; owned by rest/."""

    rest_port: int = setting(
        8502,
        "HTTP port for TensorFlow Serving's REST API (/v1) and the Open Inference Protocol (/v2); 0: none, as"
        " where it is not given and a Unix socket alone or restricted protocols guard calls over gRPC",
    )
    rest_on_free_port: bool = setting(
        False, "where rest-port is 0: on a port that is free, which the log names", flag=False
    )
    rest_timeout_ms: int = setting(
        30_000,
        "time that a REST call has for its answer, milliseconds after its arrival; 0: no limit",
        flag=False,
    )
    rest_body_s: float = setting(
        300.0, "time that the body of a REST call has to come, seconds; 0: no limit", flag=False
    )
    rest_threads: int = setting(2, "threads that read and write the JSON of large REST calls", flag=False)
    rest_processes: int = setting(
        2,
        "processes that read and write very large JSON apart from the server, of several one for what is"
        " below 4 MiB; 0: none",
        flag=False,
    )
    rest_json_s: float = setting(
        20.0,
        "time that reading or writing the JSON of one call may take in such a process, seconds",
        flag=False,
    )
    rest_cors: bool = setting(False, "let web pages from anywhere call the REST port", flag=False)
    rest_max_body_mb: int = setting(
        256, "largest REST request that is taken, MiB after decompression", flag=False
    )
    rest_clear_text: bool = setting(
        False, "no TLS on the REST port though the data port has it, as in TensorFlow Serving", flag=False
    )
    prometheus: bool = setting(False, "show Prometheus' figures on the REST port too", flag=False)
    prometheus_path: str = setting(
        "/monitoring/prometheus/metrics", "where the REST port shows them", flag=False, metavar="PATH"
    )

    @property
    def has_port(self) -> bool:
        """Is there one?"""
        return bool(self.rest_port) or self.rest_on_free_port

    def __post_init__(self) -> None:
        check(0 <= self.rest_port <= 65535, f"rest-port must be 0 to 65535, got {self.rest_port}")
        check(
            0 <= self.rest_timeout_ms <= 86_400_000,
            f"rest-timeout-ms must be 0 to 86400000 (a day), got {self.rest_timeout_ms}",
        )
        check(
            0 <= self.rest_body_s <= 86_400, f"rest-body-s must be 0 to 86400 (a day), got {self.rest_body_s}"
        )
        check(1 <= self.rest_threads <= 10_000, f"rest-threads must be 1 to 10000, got {self.rest_threads}")
        check(
            0 <= self.rest_processes <= 1000, f"rest-processes must be 0 to 1000, got {self.rest_processes}"
        )
        check(
            0 < self.rest_json_s <= 86_400,
            f"rest-json-s must be above 0 and at most 86400 (a day), got {self.rest_json_s}",
        )
        check(
            1 <= self.rest_max_body_mb <= 65_536,
            f"rest-max-body-mb must be 1 to 65536, got {self.rest_max_body_mb}",
        )
        check(
            self.prometheus_path.startswith("/"),
            f"prometheus-path must begin with '/', got {self.prometheus_path!r}",
        )
