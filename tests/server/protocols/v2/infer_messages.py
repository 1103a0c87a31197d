"""Messages of ModelInfer, one of each form, for tests."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import Any

import ml_dtypes
import numpy as np

from hotgraph_protos import open_inference as pb
from hotgraph_server.protocols.v2 import codec, service
from hotgraph_server.protocols.v2.inference import Infer
from hotgraph_server.signatures import Signature
from hotgraph_server.tensors import STRING

from ..fakes import RecordingVersion, float_signature, spec
from ..hot_methods import Case

DEFAULT_Y = np.array([[7, 8]], np.float32)
MIXED = Signature(
    "mixed",
    (
        spec("flags", np.bool_, None, 2),
        spec("doubles", np.float64, None),
        spec("bytes", np.int8, None, 3),
        spec("halves", ml_dtypes.bfloat16, None),
        spec("words", STRING, None),
    ),
    (spec("words", STRING, None), spec("count", np.int64)),
)
SCALED = Signature(
    "scaled", (spec("x", np.float32, None), spec("by", np.float32)), (spec("y", np.float32, None),)
)


def version(number: int = 3, **more: Any) -> RecordingVersion:
    """Model "m": floats with a default by default, `mixed` and `scaled` for the rest."""
    floats = float_signature(defaults={"y": DEFAULT_Y})
    return RecordingVersion("m", number, floats, MIXED, SCALED, **more)


def floats(
    x: float = 1, *, rows: int = 1, y: float | None = 2, typed: bool = False, **fields: Any
) -> pb.ModelInferRequest:
    """A good call of the floats."""
    built = pb.ModelInferRequest(**{"model_name": "m", **fields})
    for name, value in (("x", x), ("y", y)):
        if value is not None:
            tensor = built.inputs.add(name=name, datatype="FP32", shape=[rows, 2])
            array = np.full((rows, 2), value, np.float32)
            if typed:
                tensor.contents.fp32_contents.extend(array.ravel().tolist())
            else:
                built.raw_input_contents.append(array.tobytes())
    return built


def mixed(words: Sequence[bytes] = (b"a", b"bc"), *, typed: bool = False) -> pb.ModelInferRequest:
    """A good call of `mixed`, two rows."""
    built = pb.ModelInferRequest(model_name="m", id="mix")
    built.parameters["signature_name"].string_param = "mixed"
    for name, datatype, shape, contents in (
        ("doubles", "FP64", [2], np.array([1, 2], np.float64).tobytes()),
        ("flags", "BOOL", [2, 2], b"\0\1\2\0"),
        ("bytes", "INT8", [2, 3], b"\0\1\2\3\4\5"),
        ("halves", "BF16", [2], b"\0\1\2\3"),
        ("words", "BYTES", [2], b"".join(struct.pack("<I", len(one)) + one for one in words)),
    ):
        built.inputs.add(name=name, datatype=datatype, shape=shape)
        built.raw_input_contents.append(contents)
    if typed:
        # BF16 travels raw only, so this one is refused; what it says shall not depend on what came before.
        del built.raw_input_contents[:]
        built.inputs[0].contents.fp64_contents.extend([1, 2])
        built.inputs[1].contents.bool_contents.extend([True, False, True, True])
    return built


def scaled() -> pb.ModelInferRequest:
    """A good call of `scaled`: only those with an equal scalar may share a batch with it."""
    built = pb.ModelInferRequest(model_name="m")
    built.parameters["signature_name"].string_param = "scaled"
    for name, shape, contents in (("x", [2], b"\0\0\x80\x3f" * 2), ("by", [], b"\0\0\0\x40")):
        built.inputs.add(name=name, datatype="FP32", shape=shape)
        built.raw_input_contents.append(contents)
    return built


def good_messages() -> dict[str, bytes]:
    """One of each form that callers send."""
    timed = floats(id="t")
    timed.parameters["timeout"].int64_param = 10**9
    chosen = floats(model_version="3")
    for alias in ("difference", "sum"):
        chosen.outputs.add(name=alias)
    classes = floats()
    classes.outputs.add(name="sum").parameters["classification"].int64_param = 1
    custom = floats()
    custom.parameters["priority"].uint64_param = 2**64 - 1
    custom.parameters["sequence_id"].string_param = "of no meaning here"
    custom.parameters["mine"].double_param = 0.5
    requests = {
        "raw": floats(),
        "classes": classes,
        "custom": custom,
        "raw with id": floats(id="call-1é"),
        "raw with default": floats(y=None),
        "typed": floats(typed=True, id="typed"),
        "timed": timed,
        "chosen": chosen,
        "mixed": mixed(),
        "mixed typed": mixed(typed=True),
        "many rows": floats(rows=8),
        "scaled": scaled(),
    }
    return {name: request.SerializeToString() for name, request in requests.items()}


GOOD = good_messages()


def _floats(
    x: float = 1, *, rows: int = 1, y: float | None = 2, model: str = "m", number: int | None = None
) -> bytes:
    named = "" if number is None else str(number)
    return floats(x, rows=rows, y=y, model_name=model, model_version=named).SerializeToString()


INFER = Case(
    "ModelInfer",
    lambda registry: service.service(registry, lambda: True),
    Infer,
    version,
    GOOD,
    "mixed typed",
    _floats,
    lambda words: mixed(words.tolist()).SerializeToString(),
    (None, 1, 2),
    codec,
    DEFAULT_Y,
)
