"""Everything that can be set: one small frozen dataclass an owner, checked once, declared once.

The flags of ``hotgraph serve``, their help and the keys of the settings file are all made from these
fields. A field is ``setting(default, help)``; its flag is its name with dashes, its key in the file is
its name. Nothing here reads argv, files or the environment.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar, cast

from hotgraph_server.errors import SettingsError

T = TypeVar("T")


def setting(default: T, help: str, *, kind: type | None = None, metavar: str | None = None) -> T:
    """Declare one setting. `kind` is the type of its values where the default does not tell (None)."""
    metadata = {"help": help, "kind": kind or type(default), "metavar": metavar}
    # A Field to dataclasses, the value's type to everybody who reads the attribute.
    return dataclasses.field(default=default, metadata=metadata)


@dataclass(frozen=True)
class ListenSettings:
    """Where and how calls come in; owned by transport/."""

    host: str = setting("127.0.0.1", "address to listen on; 0.0.0.0 for every network")
    port: int = setting(8500, "port for both protocols; 0 picks a free one")
    tls_cert: str = setting("", "PEM file of the server's certificate chain; turns TLS on", metavar="FILE")
    tls_key: str = setting("", "PEM file of the certificate's key", metavar="FILE")
    tls_client_ca: str = setting(
        "",
        "PEM file of the authority that signs clients' certificates; callers without one are refused",
        metavar="FILE",
    )
    max_calls: int = setting(2048, "calls that may be inside the server at once; further ones are refused")
    max_message_mb: int = setting(
        1024, "largest message that is taken, MiB after decompression; at most 2047"
    )
    fast_lane: bool = setting(True, "take hot calls past grpc's per-call Python; off: its public API alone")
    drain_s: float = setting(25.0, "seconds that calls already taken have to finish after SIGTERM")

    def __post_init__(self) -> None:
        _check(0 <= self.port <= 65535, f"port must be 0 to 65535, got {self.port}")
        _check(bool(self.host), "host must not be empty; 0.0.0.0 listens on every network")
        _check(self.max_calls >= 1, f"max-calls must be at least 1, got {self.max_calls}")
        # Not a number and infinity are floats too; no wait of Python's can be as long as that.
        _check(0 <= self.drain_s <= 86_400, f"drain-s must be 0 to 86400 (a day), got {self.drain_s}")
        _check(
            1 <= self.max_message_mb <= 2047,
            f"max-message-mb must be 1 to 2047, which is what protobuf can read, got {self.max_message_mb}",
        )
        _check(
            bool(self.tls_cert) == bool(self.tls_key),
            "tls-cert and tls-key go together: a certificate is of no use without its key",
        )
        _check(not self.tls_client_ca or bool(self.tls_cert), "tls-client-ca needs tls-cert and tls-key")


@dataclass(frozen=True)
class BatchSettings:
    """How calls of a model wait and travel together; owned by batching/."""

    max_batch_rows: int = setting(64, "most rows in one run of the graph; a larger single call runs alone")
    max_wait_us: int = setting(
        0, "how long a free executor waits for more rows, microseconds; 0: it takes what is there"
    )
    max_queued_calls: int = setting(1024, "calls that may wait for one model; further ones are refused")

    def __post_init__(self) -> None:
        _check(self.max_batch_rows >= 1, f"max-batch-rows must be at least 1, got {self.max_batch_rows}")
        _check(
            0 <= self.max_wait_us <= 10_000_000,
            f"max-wait-us must be 0 to 10000000 (ten seconds), got {self.max_wait_us}",
        )
        _check(
            self.max_queued_calls >= 1, f"max-queued-calls must be at least 1, got {self.max_queued_calls}"
        )


@dataclass(frozen=True)
class SessionSettings:
    """What TensorFlow is told when a session is opened; owned by graph.py."""

    device: str = setting("/CPU:0", "where graphs and sessions live: /CPU:0, /GPU:0 ...")
    plan: str = setting(
        "auto",
        "how graphs are run: auto tries what is fastest and right, as-saved tries nothing",
        metavar="PLAN",
    )
    cpu_devices: int = setting(1, "virtual CPU devices that TensorFlow shall offer, for tests of placement")
    intra_op_threads: int = setting(0, "threads that share the work of one op; 0: TensorFlow decides")
    inter_op_threads: int = setting(0, "threads that run independent ops; 0: TensorFlow decides")

    def __post_init__(self) -> None:
        _check(
            _DEVICE.fullmatch(self.device) is not None,
            f"device must look like /CPU:0 or /GPU:1, got {self.device!r}",
        )
        _check(1 <= self.cpu_devices <= 1000, f"cpu-devices must be 1 to 1000, got {self.cpu_devices}")
        for flag, threads in (
            ("intra-op-threads", self.intra_op_threads),
            ("inter-op-threads", self.inter_op_threads),
        ):
            # TensorFlow takes an int32 and starts as many; the limit is a guess at what nobody means.
            _check(0 <= threads <= 10_000, f"{flag} must be 0 to 10000, got {threads}")

    @property
    def canonical_device(self) -> str:
        """The device as TensorFlow lists it, without job and task: ``/device:CPU:0``."""
        kind, index = cast("re.Match[str]", _DEVICE.fullmatch(self.device)).groups()
        return f"/device:{kind.upper()}:{int(index)}"


@dataclass(frozen=True)
class ModelSettings:
    """One model: its name, where it lies, and how it is batched and run."""

    name: str
    path: Path
    batch: BatchSettings = dataclasses.field(default_factory=BatchSettings)
    session: SessionSettings = dataclasses.field(default_factory=SessionSettings)

    def __post_init__(self) -> None:
        _check(
            _MODEL_NAME.fullmatch(self.name) is not None,
            f"a model's name is letters, digits, '_', '-' and '.', got {self.name!r}",
        )


@dataclass(frozen=True)
class ServerSettings:
    """A whole server."""

    models: tuple[ModelSettings, ...]
    listen: ListenSettings = dataclasses.field(default_factory=ListenSettings)

    def __post_init__(self) -> None:
        names = [model.name for model in self.models]
        for name in names:
            _check(
                names.count(name) == 1,
                f"two models are called {name!r}; give one another name: NAME=DIR",
            )


PER_SERVER: tuple[type, ...] = (ListenSettings,)
PER_MODEL: tuple[type, ...] = (BatchSettings, SessionSettings)
"""These may also be set for one model alone, in the file."""


def fields_of(*owners: type) -> Iterator[dataclasses.Field[Any]]:
    """The settings of some owners, in the order of their declaration."""
    for owner in owners:
        yield from dataclasses.fields(owner)


def build(owner: type[T], values: Mapping[str, Any]) -> T:
    """An owner's settings from those of `values` that are its own; the rest keep their defaults.

    Raises:
        SettingsError: a value is not what its setting takes.
    """
    own = {field.name: values[field.name] for field in fields_of(owner) if field.name in values}
    return owner(**own)


def _check(holds: bool, otherwise: str) -> None:
    if not holds:
        raise SettingsError(otherwise)


_DEVICE = re.compile(r"/?(?:device:)?(CPU|GPU|cpu|gpu):(\d{1,3})")
# What a metrics label, a URL and a folder can all carry.
_MODEL_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")
