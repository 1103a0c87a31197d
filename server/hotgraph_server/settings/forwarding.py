"""Which other servers calls are sent on to, and how many of them."""

from __future__ import annotations

from dataclasses import dataclass

from hotgraph_server.settings.fields import check, setting

_MOST_CALLS = 100_000
_MOST_MB = 2**20


@dataclass(frozen=True)
class ForwardingSettings:
    """Calls for models that this server has not; owned by forwarding/."""

    peers_file: str = setting(
        "",
        "file that names other servers and the models they have: a fleet's endpoints.json, or lines of"
        " HOST:PORT MODEL ...; a call for a model that is not here is sent on once to one that has it, in the"
        " clear. Looked at each second",
        metavar="FILE",
    )
    forward_max_calls: int = setting(
        256, "calls that are being sent on to other servers, at most; further ones are refused", flag=False
    )
    forward_max_mb: int = setting(
        256, "MiB of requests of calls that are being sent on, at most; further ones are refused", flag=False
    )

    def __post_init__(self) -> None:
        calls, size = self.forward_max_calls, self.forward_max_mb
        check(1 <= calls <= _MOST_CALLS, f"forward-max-calls must be 1 to {_MOST_CALLS}, got {calls}")
        check(1 <= size <= _MOST_MB, f"forward-max-mb must be 1 to {_MOST_MB} (a TiB), got {size}")
