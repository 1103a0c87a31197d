"""What the server under test serves: SavedModels of the tests, one for each way through the server."""

from __future__ import annotations

import shutil
from pathlib import Path

from tests.saved_models import SavedModels

GOOD = "good"
"""A model of the command line, which no call can unload: two_in_two_out."""

_CONTROL = """
  control_input {{ name: "{0}" control {{ kind: CONTROL_SEQUENCE_{0} int32_false_true: [0, 1] }} }}"""
_FLAG = """
  control_input {{ name: "{0}" control {{ kind: CONTROL_SEQUENCE_{0} bool_false_true: [false, true] }} }}"""

# Sequences are given up soon, since the cases begin many and end few.
_IDLE_US = 200_000

CONFIGS = {
    "running_sum": f"""
max_batch_size: 8
input {{ name: "x" data_type: TYPE_FP32 dims: [1] }}
output {{ name: "sum" data_type: TYPE_FP32 dims: [1] }}
output {{ name: "heard" data_type: TYPE_INT64 dims: [4] }}
sequence_batching {{
  max_sequence_idle_microseconds: {_IDLE_US}
  oldest {{ max_candidate_sequences: 4 }}
  {"".join(_CONTROL.format(kind) for kind in ("START", "END", "READY"))}
  control_input {{ name: "CORRID" control {{ kind: CONTROL_SEQUENCE_CORRID data_type: TYPE_INT64 }} }}
  state {{ input_name: "sum_in" output_name: "sum_out" data_type: TYPE_FP32 dims: [1] }}
}}""",
    "slot_sums": f"""
max_batch_size: 4
input {{ name: "x" data_type: TYPE_FP32 dims: [1] }}
output {{ name: "sum" data_type: TYPE_FP32 dims: [1] }}
sequence_batching {{
  max_sequence_idle_microseconds: {_IDLE_US}
  direct {{ }}
  {"".join(_FLAG.format(kind) for kind in ("START", "READY"))}
}}""",
    # `good` once more, with a queue that has rules, and answers that are kept.
    "queued": """
max_batch_size: 8
response_cache { enable: true }
dynamic_batching {
  max_queue_delay_microseconds: 200
  priority_levels: 3
  default_priority_level: 2
  default_queue_policy {
    timeout_action: REJECT
    default_timeout_microseconds: 2000000
    allow_timeout_override: true
    max_queue_size: 64
  }
}""",
}
_SAVED = {"queued": "two_in_two_out"}
PLAIN = (
    "default_input",
    "embedding",
    "every_dtype",
    "example_tasks",
    "scalars",
    "strings",
    "unbatched_output",
    "unknown_rank",
    "variable_length",
)
CONFIGURED = ("queued", "running_sum", "slot_sums")

NAMES = (GOOD, *PLAIN, *CONFIGURED)
FAILING = frozenset({"embedding", "example_tasks", "running_sum", "slot_sums"})
"""Models whose runs fail on some inputs: an id out of range, no tf.Example, no number."""


def make_repository(saved_models: SavedModels, root: Path) -> None:
    """Lay out all of them but GOOD, in Triton's way."""
    for name in (*PLAIN, *CONFIGURED):
        folder = saved_models[_SAVED.get(name, name)]
        shutil.copytree(folder, root / name / "1" / "model.savedmodel")
        if name in CONFIGS:
            (root / name / "config.pbtxt").write_text(CONFIGS[name])
