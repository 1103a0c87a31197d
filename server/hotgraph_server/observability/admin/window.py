"""What a server has done in the last seconds, for who asks for its status: remembers what the askers before
saw. Pure; its caller says what time it is.

The status counts from the start of the server, and who looks at it twice can tell what happens now. Who looks
once cannot, so a little of each status is kept for some seconds: a few numbers of each version.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from typing import Any

from hotgraph_server.observability.admin.limits import Finding, Sample, limits, sample_of

LENGTH_S = 5.0
"""What is compared is so much older, if somebody looked then."""

_LEAST_S = 0.8
_OLDEST_S = 30.0


class Window:
    """Of one server; in one thread."""

    def __init__(self) -> None:
        self._samples: deque[Sample] = deque()

    def told(self, status: dict[str, Any]) -> dict[str, Any]:
        """The status with what limits it (``limits``), and each of its versions; empty where nobody has
        looked in the seconds before."""
        now = sample_of(status)
        before = self._before(now)
        of_server, of_versions = limits(before, now) if before is not None else ([], {})
        models = [
            {
                **model,
                "versions": [
                    {**version, "limits": _listed(of_versions.get((model["name"], version["number"]), []))}
                    for version in model["versions"]
                ],
            }
            for model in status["models"]
        ]
        return {**status, "limits": _listed(of_server), "models": models}

    def _before(self, now: Sample) -> Sample | None:
        """The sample to compare with; and keep `now`."""
        kept = self._samples
        # A process that was started anew counts from the beginning.
        while kept and not 0 <= now.now_s - kept[0].now_s <= _OLDEST_S:
            kept.popleft()
        while len(kept) > 1 and now.now_s - kept[1].now_s >= LENGTH_S:
            kept.popleft()
        found = kept[0] if kept and now.now_s - kept[0].now_s >= _LEAST_S else None
        # Many may look at once; one sample for each moment is enough.
        if not kept or now.now_s - kept[-1].now_s >= _LEAST_S:
            kept.append(now)
        return found


def _listed(findings: list[Finding]) -> list[Mapping[str, str]]:
    return [finding._asdict() for finding in findings]
