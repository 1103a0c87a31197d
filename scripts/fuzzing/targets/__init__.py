"""What parses bytes, as functions of bytes that raise nothing but what is wrong with the parser. By name, so
that only one is imported at a time."""

from __future__ import annotations

import importlib
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Target:
    """One of them.

    Attributes:
        run: takes any bytes; errors that the parser's contract names end in it.
        seeds: valid inputs, which others are made from.
        most_bytes: of an input.
        change: makes another input of one in the terms of its format, which changes of bytes seldom respect;
            None: those will do.
    """

    run: Callable[[bytes], None]
    seeds: Sequence[bytes]
    most_bytes: int = 4096
    change: Callable[[bytes, random.Random], bytes] | None = None


WHERE = {
    "http2": "http2",
    "headers": "http2",
    "grpc": "http2",
    "http1": "http1",
    "infer": "messages",
    "predict": "messages",
    "examples": "messages",
    "json": "texts",
    "gzip": "texts",
    "paths": "texts",
    "v2": "texts",
    "configs": "texts",
    "settings": "texts",
    "snapshots": "kept",
    "learnt": "kept",
}
"""The module of each target, in the order in which they are run."""


def target(name: str) -> Target:
    """The target of that name."""
    made: Target = importlib.import_module(f"{__name__}.{WHERE[name]}").TARGETS[name]()
    return made
