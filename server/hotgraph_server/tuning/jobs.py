"""What the process that measures is told, and what it tells: a job on its command line, lines of JSON back.

Pure. Its lines: {"say": TEXT} as it goes on, {"costs": ...} once for the variant, {"log": ...} where a
request log was to be read, and {"fault": TEXT} in place of all that if it cannot be done.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any


@dataclass(frozen=True)
class Job:
    """One variant of one model to be measured.

    Attributes:
        directory: of the model.
        name: of the model.
        values: settings by name, over those of the model's own; the variant's among them.
        variant: which of them are the variant's.
        signature: to be run; empty: the default one.
        most_rows: of a run, to be measured.
        call_rows: the most that a call has; where none share runs, nothing larger is measured.
        budget_s: for the runs, seconds; loading is not in it.
        log: a request log to be read; empty: none.
    """

    directory: str
    name: str
    values: Mapping[str, Any] = field(default_factory=dict)
    variant: Mapping[str, Any] = field(default_factory=dict)
    signature: str = ""
    most_rows: int = 128
    call_rows: int = 1
    budget_s: float = 5.0
    log: str = ""


def encode(job: Job) -> str:
    """For the command line."""
    return json.dumps(asdict(job))


def decode(text: str) -> Job:
    """See `encode`."""
    return Job(**json.loads(text))
