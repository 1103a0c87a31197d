"""What a change of versions costs, as Markdown, from what scripts/bench/swap wrote. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bench.report import number, table

MEMORY_MARK = 1.05
"""Resident memory after the last swap, at most, in that after the second."""

LATENCY_MARK = 3.0
"""p99 while another model loads, below this many times that in peace."""


def section(figures: Mapping[str, Any]) -> str:
    """A heading, what was done, and the marks.

    Args:
        figures: as in docs/performance/swap.json: "swaps" as in `swap.Swaps`, "while_loading" as in
            `swap.WhileLoading`, both with their ratios; one may be missing.
    """
    rows: list[list[str]] = []
    done: list[str] = []
    swaps = figures.get("swaps")
    if swaps is not None:
        count, resident = len(swaps["resident_bytes"]), swaps["resident_bytes"]
        of = f"of {number(swaps['answered'] + swaps['failed'] + swaps['mixed'])} calls"
        done.append(f"{count} changes between two versions under {swaps['callers']} callers.")
        rows.append(
            _row(
                "calls that failed during the changes", "none", f"{swaps['failed']} {of}", not swaps["failed"]
            )
        )
        rows.append(
            _row(
                "answers of another version than they name",
                "none",
                f"{swaps['mixed']} {of}",
                not swaps["mixed"],
            )
        )
        rows.append(
            _row(
                f"resident memory after change {count} / after change 2",
                f"at most {MEMORY_MARK}",
                f"{swaps['growth']:.3f} ({resident[-1] / 2**20:.0f} MiB)",
                swaps["growth"] <= MEMORY_MARK,
            )
        )
    loading = figures.get("while_loading")
    if loading is not None:
        peace, beside = loading["p99_ms"]
        done.append(
            f"And the calls of one model while another one is loaded {loading['loads']} times "
            f"({number(loading['load_s'])} s in all), against the same calls in peace."
        )
        rows.append(
            _row(
                "p99 while another model loads / in peace",
                f"below {LATENCY_MARK:g}",
                f"{loading['ratio']:.2f} ({number(beside)} ms / {number(peace)} ms)",
                loading["ratio"] < LATENCY_MARK,
            )
        )
    if not rows:
        return ""
    what = (
        f"`scripts/bench/swap`, {figures['started'][:10]}: {' '.join(done)} Each measured once, server and "
        "callers on the same cores."
    )
    return "\n\n".join(
        ["### New versions under load", what, table(["measure", "mark", "measured", "met"], rows)]
    )


def _row(measure: str, mark: str, measured: str, met: bool) -> list[str]:
    return [measure, mark, measured, "yes" if met else "**no**"]
