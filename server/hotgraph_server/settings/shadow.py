"""Which version of a model callers get, and which is asked the same unseen by them."""

from __future__ import annotations

from dataclasses import dataclass

from hotgraph_server.settings.fields import check, setting


@dataclass(frozen=True)
class ShadowSettings:
    """Which of several live versions callers get who name none, and which one answers in its shadow; owned by
    models/registry.py and models/shadows.py. Neither has a version loaded: its version policy does that."""

    default_version: int = setting(
        0,
        "the version that callers get who ask for none, while it is live; 0: the highest that is",
        flag=False,
    )
    shadow_version: int = setting(
        0,
        "a version that is asked again what callers have asked the one that they get, when that has answered:"
        " what both say is compared, and no caller waits for it; 0: none",
        flag=False,
    )
    shadow_share: float = setting(
        1.0, "of the calls, the share that it is asked at most; 0: none", flag=False
    )
    shadow_tolerance: float = setting(
        1e-4,
        "floats of both may differ by this share of the largest in their row; 0: not at all",
        flag=False,
    )

    def __post_init__(self) -> None:
        for name, number in (
            ("default-version", self.default_version),
            ("shadow-version", self.shadow_version),
        ):
            check(0 <= number < 2**63, f"{name} must be 0 to {2**63 - 1}, got {number}")
        check(0 <= self.shadow_share <= 1, f"shadow-share must be 0 to 1, got {self.shadow_share}")
        check(
            0 <= self.shadow_tolerance <= 1, f"shadow-tolerance must be 0 to 1, got {self.shadow_tolerance}"
        )
