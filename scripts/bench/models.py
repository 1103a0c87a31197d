"""The models on disk: made once, with questions and right answers beside them."""

from __future__ import annotations

import hashlib
import importlib.metadata
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from bench.calls import Question
from bench.environment import ROOT, Cache


def make_models(cache: Cache, names: Sequence[str]) -> None:
    """Build the SavedModels that are not there, or not of these sources, in a process of its own."""
    sources = [ROOT / "scripts" / "bench" / part for part in ("servers/make_models.py", "workload.py")]
    digest = hashlib.sha256(b"".join(source.read_bytes() for source in sources)).hexdigest()
    wanted = f"{digest} tensorflow {importlib.metadata.version('tensorflow')}"
    stamps = {name: cache.at("models", name, "made") for name in names}
    to_make = [name for name, stamp in stamps.items() if not stamp.exists() or stamp.read_text() != wanted]
    if not to_make:
        return
    print(f"making models: {', '.join(to_make)}", file=sys.stderr, flush=True)
    command = [sys.executable, "-m", "bench.servers.make_models", str(cache.folder / "models"), *to_make]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"cannot make the models: {(done.stderr.strip().splitlines() or ['?'])[-1]}")
    for name in to_make:
        stamps[name].write_text(wanted)


def questions_of(folder: Path, rows: Sequence[int]) -> Mapping[int, Sequence[Question]]:
    """What was stored beside a model, by the rows of a call."""
    questions: dict[int, list[Question]] = {}
    for size in rows:
        with np.load(folder / f"{size}.npz") as stored:
            pairs = zip(stored["inputs"], stored["answers"], strict=True)
            questions[size] = [Question(inputs, answer) for inputs, answer in pairs]
    return questions
