"""What a large model costs in memory, in a process of its own: TensorFlow keeps what it once took."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np

from ..saved_models import SavedModels
from ..saved_models.tf2 import function, save

MB = 100

# Prints the rise of the resident memory, in MB: at most while it loads, after that, and after all choices.
MEASURE = """
import json, sys
from pathlib import Path
import numpy as np
from hotgraph_server.graph.graph import Graph
from hotgraph_server.settings import SessionSettings
from hotgraph_server.warmup.first_runs import warm_up

def resident(key):
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(key)) * 1024 / 1e6

def load(directory):
    graph = Graph.open(Path(directory), SessionSettings())
    taken = warm_up(graph, "model").taken
    graph.settle({name: one.kind for name, one in taken.items()})
    return graph

small = load(sys.argv[1])
before = resident("VmRSS")
Path("/proc/self/clear_refs").write_text("5")
graph = load(sys.argv[2])
found = [resident("VmHWM") - before, resident("VmRSS") - before]
signature = graph.signatures["serving_default"]
for alias in signature.output_aliases:
    graph.run(signature, (alias,), [np.ones((1, 100), np.float32)])
print(json.dumps([*found, resident("VmRSS") - before]))
"""


def test_large_constant_is_loaded_in_twice_its_size_and_no_choice_of_outputs_copies_it(
    saved_models: SavedModels, tmp_path: Path
) -> None:
    import tensorflow as tf

    value = np.random.default_rng(0).random((100, MB * 2500), dtype=np.float32)

    def run(x: tf.Tensor) -> dict[str, tf.Tensor]:
        y = x @ tf.constant(value)
        return {f"y{index}": y[:, index] for index in range(8)}

    save(tmp_path / "large", [], serving_default=function(run, x=([None, 100], tf.float32)))
    words = [sys.executable, "-c", MEASURE, str(saved_models["tf2_mlp"]), str(tmp_path / "large")]
    done = subprocess.run(words, capture_output=True, text=True, check=True, timeout=120)
    peak, loaded, chosen = json.loads(done.stdout)
    # Some megabytes are runs, and memory that was freed and not given back.
    assert peak < 2.4 * MB
    assert loaded < 1.5 * MB
    assert chosen < 1.7 * MB
