"""What a quick run says at its end."""

from __future__ import annotations

from bench.figures import Run
from bench.outcomes import Level
from bench.overload_results import Overload
from bench.results import Results
from bench.suite import told
from bench.workload import Cell


def test_quick_run_tells_marks_and_what_it_has_skipped() -> None:
    tiny = Cell("softmax", 1, 128)
    runs = [Run("hotgraph", tiny, 0, calls_per_s=4000), Run("echo", tiny, 0, calls_per_s=10_000)]
    results = Results("", {}, {}, "", "", 1, quick=True, runs=runs, notes=["a note"])
    results.left_out["triton"] = "no network"
    level = Level("hotgraph", 0, 3.0, 500.0, 1500.0, 300.0, {"right": 310, "refused": 900})
    overload = Overload("", {}, {}, "", 1, 50.0, levels=[level])
    text = told(results, overload)
    assert "hotgraph / C++ echo, calls/s | at least 0.35 | 0.4 | yes |" in text
    assert "goodput at 3 times the capacity / capacity | at least 0.9 | 0.6 | **no** |" in text
    assert "skipped: Triton 2.51, Python backend: no network" in text
    assert "note: a note" in text
    assert "not measured: softmax, 128 in flight: hotgraph / Triton, calls/s;" in text
    assert text.endswith("3 reached, 1 missed")
