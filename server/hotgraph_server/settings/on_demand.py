"""Models that are loaded when they are called, within the memory that there is for them."""

from __future__ import annotations

from dataclasses import dataclass

from hotgraph_server.settings.fields import check, setting


@dataclass(frozen=True)
class OnDemandSettings:
    """How models come and go under model-control auto; owned by on_demand/."""

    memory_mb: int = setting(
        0,
        "with model control auto, MiB that the models together may hold: idle ones are given up for those"
        " that are called; 0: no limit, and none is given up",
    )
    max_load_waits: int = setting(
        1000,
        "with model control auto, calls that may wait for models to be loaded; further ones are refused",
        flag=False,
    )
    load_wait_s: float = setting(
        60.0,
        "seconds that a call waits at most for its model to be loaded, where its deadline does not come"
        " sooner",
        flag=False,
    )

    def __post_init__(self) -> None:
        check(
            0 <= self.memory_mb <= 1 << 24,
            f"memory-mb must be 0 to {1 << 24} (16 TiB), got {self.memory_mb}",
        )
        check(self.max_load_waits >= 1, f"max-load-waits must be at least 1, got {self.max_load_waits}")
        check(0 < self.load_wait_s <= 3600, f"load-wait-s must be above 0 to 3600, got {self.load_wait_s}")


@dataclass(frozen=True)
class ResidencySettings:
    """Whether a model stays; owned by on_demand/."""

    pin: bool = setting(
        False,
        "with model control auto, load the model at start and never give it up for another one",
        flag=False,
    )
