"""Contracts of made-up signatures, from configurations in text."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from hotgraph_server.model_config.completion import contract_of
from hotgraph_server.model_config.translation import settings_from
from hotgraph_server.models.contract import Contract
from hotgraph_server.settings import ModelSettings
from hotgraph_server.signatures import Shape, Signature, TensorSpec
from hotgraph_server.tensors import STRING

from .configs import parsed

FP32 = np.dtype(np.float32)
INT64 = np.dtype(np.int64)


def spec(alias: str, dtype: np.dtype[Any], shape: Shape | None) -> TensorSpec:
    return TensorSpec(alias, f"{alias}:0", dtype, shape)


ROWS = Signature(
    "serving_default",
    (spec("ids", INT64, (None, None)), spec("x", FP32, (None, 20))),
    (spec("score", FP32, (None,)), spec("text", STRING, (None, 2))),
)
WHOLE = Signature("whole", (spec("m", FP32, (3, 3)),), (spec("det", FP32, ()),))


def contract(
    text: str = "",
    *signatures: Signature,
    alone: Mapping[str, str] | None = None,
    base: ModelSettings | None = None,
) -> Contract:
    base = base or ModelSettings("m", Path("/models/m"))
    found = settings_from(parsed(text), base)[0] if text else base
    known = {signature.name: signature for signature in signatures or (ROWS,)}
    reasons = {name: (alone or {}).get(name) for name in known}
    return contract_of(found, "model 'm' version 1", known, {"broken": "why not"}, reasons)


SEQUENCES = """
max_batch_size: 4
sequence_batching {
  control_input { name: "x" control { kind: CONTROL_SEQUENCE_START fp32_false_true: [0, 1] } }
  state { input_name: "ids" output_name: "score" data_type: TYPE_INT64 dims: -1 }
}
"""
