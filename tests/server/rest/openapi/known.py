"""Signatures of all kinds, and the document as those who read it see it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import ml_dtypes
import numpy as np
from jsonschema import Draft202012Validator

from hotgraph_server.models.version import Version
from hotgraph_server.rest.openapi.describing import describe
from hotgraph_server.rest.openapi.document import About, document, part
from hotgraph_server.signatures import Content, Shape, Signature, TensorSpec
from hotgraph_server.tensors import STRING

from ...fakes import idle_version

ABOUT = About("a server", "1.2")

FLOAT32 = np.dtype(np.float32)
BFLOAT16 = np.dtype(ml_dtypes.bfloat16)
COMPLEX64 = np.dtype(np.complex64)
NUMBERS = (
    *map(np.dtype, ("?", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "f2", "f4", "f8")),
    BFLOAT16,
)

JPEG = b"\xff\xd8 a picture"


def spec(alias: str, dtype: np.dtype[Any] = FLOAT32, shape: Shape | None = (None, 2)) -> TensorSpec:
    return TensorSpec(alias, f"{alias}:0", dtype, shape)


def one_to_one(
    name: str = "serving_default",
    dtype: np.dtype[Any] = FLOAT32,
    shape: Shape | None = (None, 2),
    **more: Any,
) -> Signature:
    return Signature(name, (spec("x", dtype, shape),), (spec("y", dtype, shape),), **more)


ODD: dict[str, Version] = {
    "plain": idle_version("plain", 1, one_to_one()),
    "several": idle_version("several", 3, one_to_one(), one_to_one("other", STRING, (None,))),
    "none by default": idle_version("none by default", 1, one_to_one("a"), one_to_one("b")),
    "unknown rank": idle_version("unknown rank", 1, one_to_one(shape=None)),
    "scalars": idle_version("scalars", 1, one_to_one(shape=())),
    "free": idle_version("free", 1, one_to_one(shape=(None, None, 3, None))),
    "fixed": idle_version("fixed", 1, one_to_one(shape=(4, 1))),
    "empty": idle_version("empty", 1, one_to_one(shape=(None, 0))),
    "nothing in": idle_version("nothing in", 1, Signature("serving_default", (), (spec("y"),))),
    "complex": idle_version("complex", 1, one_to_one(dtype=COMPLEX64)),
    "complex out": idle_version(
        "complex out", 1, Signature("serving_default", (spec("x"),), (spec("y"), spec("z", COMPLEX64)))
    ),
    "pictures": idle_version(
        "pictures",
        1,
        one_to_one(dtype=STRING, shape=(None,), contents={"x": Content("JPEG images", (JPEG * 20, JPEG))}),
    ),
    "large": idle_version("large", 1, one_to_one(shape=(None, 224, 224, 3))),
    "two": idle_version(
        "two",
        1,
        Signature(
            "serving_default",
            (spec("x"), spec("factor", shape=())),
            (spec("y"), spec("sum", np.dtype(np.int64), ())),
            defaults={"factor": np.array(2, np.float32)},
        ),
    ),
    "writes": idle_version("writes", 1, one_to_one(writes=True)),
    "unusable": idle_version("unusable", 1, one_to_one(), unusable={"broken": "it fails"}),
    "a/b c%é{x}": idle_version("a/b c%é{x}", 1, one_to_one()),
    **{f"of {dtype.name}": idle_version(f"of {dtype.name}", 1, one_to_one(dtype=dtype)) for dtype in NUMBERS},
}
"""A version of each kind, by its model's name."""


def written(*versions: Version, about: About = ABOUT) -> Any:
    """The document of some versions."""
    return json.loads(document(about, [part(describe(version)) for version in versions]))


def resolved(found: Any, node: Any) -> Any:
    """What a reference stands for."""
    while "$ref" in node:
        target = found
        for step in node["$ref"].removeprefix("#/").split("/"):
            target = target[step]
        node = target
    return node


def validator(found: Any, schema: Any) -> Draft202012Validator:
    """For a schema that refers to the document's components."""
    return Draft202012Validator({**schema, "components": found["components"]})


def operations(found: Any) -> Iterator[tuple[str, str, Any]]:
    """Path, method and operation."""
    for path, item in found["paths"].items():
        for method, operation in item.items():
            if method != "parameters":
                yield path, method, operation


def examples(found: Any) -> Iterator[tuple[str, str, Any, Any]]:
    """Path, name, body and schema of every example of a call."""
    for path, _, operation in operations(found):
        content = resolved(found, operation.get("requestBody", {"content": {}}))["content"]
        for media in content.values():
            for name, example in media.get("examples", {}).items():
                yield path, name, example["value"], media["schema"]


def answer_schema(found: Any, path: str) -> Any:
    """Of a call's answer in JSON."""
    response = resolved(found, found["paths"][path]["post"]["responses"]["200"])
    return response["content"]["application/json"]["schema"]
