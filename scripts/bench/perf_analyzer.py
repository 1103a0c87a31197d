"""NVIDIA's perf_analyzer 2.51, from the wheel of tritonclient 2.51.0: a second opinion on the tiny model.

It knows two of our protocols: service kind ``triton`` (ModelInfer, or ModelStreamInfer; it first wants
ServerMetadata, ModelMetadata, ModelConfig and ModelStatistics) and ``tfserving`` (Predict and
GetModelMetadata; it sends typed lists, and each call in flight is a thread). Its load is heavier than
h2load's: compare its figures with each other only.
"""

from __future__ import annotations

import csv
import os
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench import environment
from bench.environment import Cache, CannotSetUp

KINDS = {
    "triton": ("--service-kind", "triton"),
    "triton, streaming": ("--service-kind", "triton", "--streaming"),
    "tfserving": ("--service-kind", "tfserving"),
}
"""How it can call a server, with its flags for each."""

KINDS_OF = {"hotgraph": tuple(KINDS), "triton": ("triton", "triton, streaming")}
MAX_IN_FLIGHT = 128
IN_FLIGHT = (1, 32)
MAX_ROUNDS = 3
_WINDOW_MS = 1000
_RUN_S = 90


@dataclass(frozen=True)
class Tool:
    """The program, and the folders of libraries that it wants."""

    program: Path
    libraries: tuple[Path, ...]

    def run(
        self, address: str, arguments: Sequence[str], run_s: float, over: str = "grpc"
    ) -> subprocess.CompletedProcess[str]:
        """Have it call the server at HOST:PORT; its exit status is the caller's to look at.

        Args:
            over: ``grpc`` or ``http``.

        Raises:
            subprocess.TimeoutExpired: it is not done after `run_s`.
        """
        command = [str(self.program), "-u", address, "-i", over, *arguments]
        folders = [*map(str, self.libraries), os.environ.get("LD_LIBRARY_PATH", "")]
        env = {**os.environ, "LD_LIBRARY_PATH": os.pathsep.join(filter(None, folders))}
        return subprocess.run(command, env=env, capture_output=True, text=True, timeout=run_s, check=False)


def set_up(cache: Cache) -> Tool:
    """Install it into the cache, where it is not there yet.

    Raises:
        CannotSetUp: it cannot be; the text says what to do.
    """
    base64 = environment.folder_of_library(cache, "libb64-0d", "libb64.so.0d")
    # Without dependencies: nothing of tritonclient's Python is used, and CUDA is only linked to.
    python = environment.venv(
        cache, "perf-analyzer", ["tritonclient==2.51.0", "nvidia-cuda-runtime-cu12"], dependencies=False
    )
    program = python.parent / "perf_analyzer"
    cuda = environment.site_packages(python) / "nvidia" / "cuda_runtime" / "lib"
    if not program.exists() or not cuda.is_dir():
        raise CannotSetUp("the wheels for this platform do not hold the program and its library")
    return Tool(program, (cuda,) if base64 is None else (cuda, base64))


def run(tool: Tool, cache: Cache, kind: str, model: str, address: str, in_flight: int) -> dict[str, Any]:
    """Measure one server; what goes wrong is in ``failure``."""
    found: dict[str, Any] = {"kind": kind, "in_flight": in_flight, "failure": ""}
    table = cache.at("logs", "perf_analyzer.csv")
    table.unlink(missing_ok=True)
    arguments = ["-m", model, *KINDS[kind], "-b", "1", f"--concurrency-range={in_flight}", "-f", str(table)]
    # Three windows, agreeing or not: on a shared machine they rarely do, and rounds are what we look at.
    arguments += [f"--measurement-interval={_WINDOW_MS}", "--stability-percentage=999", "--max-trials=3"]
    try:
        done = tool.run(address, arguments, _RUN_S)
    except subprocess.TimeoutExpired:
        return {**found, "failure": f"not done after {_RUN_S} s"}
    if done.returncode or not table.exists():
        return {**found, "failure": _reason(done.stdout + done.stderr)}
    return {**found, **parse_table(table.read_text())}


def parse_table(text: str) -> dict[str, float]:
    """Its CSV file of one concurrency as figures.

    Raises:
        ValueError: it is none.
    """
    rows = list(csv.DictReader(text.splitlines()))
    if len(rows) != 1:
        raise ValueError(f"{len(rows)} rows in place of one")
    (row,) = rows
    return {
        "calls_per_s": float(row["Inferences/Second"]),
        "p50_ms": float(row["p50 latency"]) / 1e3,
        "p90_ms": float(row["p90 latency"]) / 1e3,
        "p99_ms": float(row["p99 latency"]) / 1e3,
    }


def _reason(output: str) -> str:
    """The line that says it best: the first with an error, or the last."""
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    telling = [line for line in lines if "rror" in line or "ailed" in line]
    return (telling or lines or ["no reason given"])[0 if telling else -1][:200]
