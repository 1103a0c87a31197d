"""Which calls of a model are written down."""

from __future__ import annotations

from dataclasses import dataclass

from hotgraph_server.settings.fields import check


@dataclass(frozen=True)
class LogSettings:
    """Which calls of a model are written down, and where; owned by observability/request_log/.

    Attributes:
        prefix: what the files' names begin with, folder included.
        sampling_rate: share of the calls, 0 to 1.
    """

    prefix: str
    sampling_rate: float

    def __post_init__(self) -> None:
        check(bool(self.prefix), "a request log needs the prefix of its files' names")
        check(
            0 <= self.sampling_rate <= 1,
            f"the sampling rate of a request log must be 0 to 1, got {self.sampling_rate}",
        )
