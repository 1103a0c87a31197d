"""Tuned settings beside the defaults, in turns, on two models of the kinds that people have. Slow.

What tuning has found is served again, by servers and loads of its own, and must be no worse by more than the
defaults' own turns are apart: of those that are chosen because they take fewer processors, in processors.
The figures are printed (pytest -s).
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import pytest

from hotgraph_server.tuning.children import LoadTestCommand, served
from hotgraph_server.tuning.confirmation import Measured
from hotgraph_server.tuning.slo import slo_of

pytestmark = pytest.mark.slow

PAIRS, SECONDS = 4, 5.0


def build_mlp(folder: Path) -> None:
    """Three layers over 256 numbers."""
    import tensorflow as tf

    layers = [tf.keras.layers.Dense(1024, "relu") for _ in range(3)]
    model = tf.keras.Sequential([tf.keras.Input((256,)), *layers, tf.keras.layers.Dense(10)])
    model.export(folder, verbose=False)


def build_mobilenet(folder: Path) -> None:
    """MobileNetV2 of the smallest width over images of 96 x 96."""
    import tensorflow as tf

    made = tf.keras.applications.MobileNetV2((96, 96, 3), alpha=0.35, weights=None, classes=100)
    made.export(folder, verbose=False)


@pytest.mark.parametrize(
    ("build", "rate", "slo"),
    [(build_mlp, 300.0, "p99<20ms"), (build_mobilenet, 60.0, "p99<60ms")],
    ids=["mlp", "mobilenet"],
)
def test_tuned_settings_are_no_worse_than_the_defaults(
    build: Callable[[Path], None], rate: float, slo: str, tmp_path: Path
) -> None:
    model = tmp_path / "model"
    build(model / "1")
    written, out = tmp_path / "best.toml", tmp_path / "out.json"
    command = [
        sys.executable,
        "-m",
        "hotgraph_server",
        "tune",
        str(model),
        "--rate",
        f"{rate:g}",
        "--slo",
        slo,
    ]
    command += ["--turn-seconds", f"{SECONDS:g}", "--write", str(written), "--json", str(out)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=1200, check=False)
    assert done.returncode == 0, done.stderr
    print(done.stdout)
    verdict = json.loads(out.read_text())["tune"]["verdict"]
    assert written.exists() == verdict.startswith("better than the defaults")
    if not written.exists():
        return
    print(written.read_text())
    defaults, tuned = paired([str(model)], ["--config", str(written)], rate)
    told = {"defaults": shown(defaults), "tuned": shown(tuned)}
    print(json.dumps(told, indent=1))
    objective = slo_of(slo)
    assert defaults.counted, "the load generator was late in every turn"
    assert tuned.counted, "the load generator was late in every turn"
    if not defaults.broken(objective):
        # A turn of the defaults may be as bad.
        worst = max(turn.p99_s for turn in defaults.counted)
        assert not tuned.broken(objective) or tuned.latency("p99") <= worst, told
    if "fewer processors" in verdict:
        assert cores(tuned) <= cores(defaults), told
    else:
        assert tuned.latency("p99") <= max(turn.p99_s for turn in defaults.counted), told


def paired(one: list[str], other: list[str], rate: float) -> tuple[Measured, Measured]:
    """ABAB, each by a server that is up all the time, with the same calls in a pair."""
    load = LoadTestCommand()
    found = Measured(), Measured()
    with served(one) as first, served(other) as second:
        for pair in range(PAIRS):
            for server, into in zip((first, second), found, strict=True):
                before_s = server.cpu_s()
                step = load.run(server.address, "model", rate, SECONDS, {1: 1.0}, 100 + pair)
                into.add(step, server.cpu_s() - before_s)
    return found


def cores(measured: Measured) -> float:
    return measured.middle(lambda turn: turn.cores)


def shown(measured: Measured) -> dict[str, Any]:
    turns = measured.counted
    return {
        "p50_ms": [round(turn.latency_s["p50"] * 1e3, 2) for turn in turns],
        "p99_ms": [round(turn.p99_s * 1e3, 2) for turn in turns],
        "cores": [round(turn.cores, 3) for turn in turns],
        "void": len(measured.void),
        "median p99_ms": round(median(turn.p99_s for turn in turns) * 1e3, 2) if turns else None,
    }
