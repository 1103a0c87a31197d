"""The two steps of a tuning that take time: measuring every variant, and confirming candidates under load."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hotgraph_server.errors import StartError
from hotgraph_server.settings import ModelSettings
from hotgraph_server.tuning import children, confirmation, jobs, variants, written
from hotgraph_server.tuning.costs import Costs, from_json
from hotgraph_server.tuning.prediction import Candidate

Say = Callable[[str], object]


@dataclass(frozen=True)
class Model:
    """What is tuned.

    Attributes:
        settings: of the model today.
        today: those of its settings that its folder does not have, by name.
        ops: modules and libraries of ops, by the names of their settings.
        signature: that is called; empty: the default one.
    """

    settings: ModelSettings
    today: Mapping[str, Any] = field(default_factory=dict)
    ops: Mapping[str, Sequence[str]] = field(default_factory=dict)
    signature: str = ""


@dataclass
class Measurements:
    """What measuring has found.

    Attributes:
        costs: of each variant; the first is today's.
        writes: may calls change state?
        log: what a request log tells (request_logs.Logged, as a mapping); None: there was none to be read.
        notes: which variants have no costs, and why.
    """

    costs: list[Costs] = field(default_factory=list)
    writes: bool = False
    log: Mapping[str, Any] | None = None
    notes: list[str] = field(default_factory=list)


Measure = Callable[[jobs.Job, Say], Mapping[str, Any]]
"""See children.measured."""


def measure(
    model: Model,
    cores: int,
    *,
    most_rows: int,
    call_rows: int,
    seconds: float,
    log: str = "",
    say: Say,
    measured: Measure = children.measured,
) -> Measurements:
    """Costs of every variant that can be had.

    Args:
        cores: processors of this machine.
        most_rows: of a run.
        call_rows: the most that a call has.
        seconds: for all runs together, without loading.
        log: a request log to be read; empty: none.

    Raises:
        StartError: not even as it is set today can the model be measured.
    """
    found = Measurements()
    tried = list(variants.variants(model.settings, cores))
    for variant in tried:
        is_today = variant is tried[0]
        values = variants.values_to_measure(model.settings, variant, most_rows)
        job = jobs.Job(
            str(model.settings.path),
            model.settings.name,
            {**model.today, **values, **model.ops},
            dict(variant.settings),
            model.signature,
            most_rows,
            call_rows,
            seconds / len(tried),
            log if is_today else "",
        )
        say(f"loading and measuring it {variant}")
        try:
            told = measured(job, say)
        except StartError as error:
            if is_today:
                raise
            found.notes.append(f"{variant} was not measured: {error}")
            continue
        if "xla" in dict(variant.settings) and not told["xla"]:
            found.notes.append("XLA was tried, and is faster at no number of rows")
            continue
        found.costs.append(from_json(told["costs"]))
        found.writes = told["writes"]
        found.log = told.get("log", found.log)
    return found


def confirm(
    model: Model,
    candidates: Sequence[Candidate],
    load: confirmation.LoadTest,
    rate: float,
    rows: Mapping[int, float],
    *,
    seconds: float,
    turns: int,
    say: Say,
) -> dict[Candidate, confirmation.Measured]:
    """See confirmation.confirm: each candidate's server is one of hotgraph's, on a free port.

    Raises:
        StartError: a server does not start, or no load can be sent.
    """
    with tempfile.TemporaryDirectory(prefix="hotgraph-tune-") as folder:
        flags = [
            word
            for name, given in model.ops.items()
            for one in given
            for word in (f"--{name.replace('_', '-')}", one)
        ]

        @contextmanager
        def serve(candidate: Candidate) -> Any:
            file = Path(folder, f"{candidates.index(candidate)}.toml")
            settings = model.settings
            values = {**model.today, **candidate.values(settings.batch)}
            file.write_text(written.toml(settings.name, settings.path, values))
            say(f"starting a server with {candidate.label}")
            with children.served(["--config", str(file), *flags]) as server:
                yield server

        return confirmation.confirm(
            candidates, serve, load, model.settings.name, rate, rows, seconds=seconds, turns=turns, say=say
        )
