"""What --data, --rows and their like say, read from their texts. Pure."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from ...images import SCALES, Scale
from .items import InputError

MEBIBYTE = 2**20

FIRST: Literal["first"] = "first"
NONE: Literal["none"] = "none"
DATA = "data"

_MAX_ROWS = 1_000_000
_MAX_SIZE = 2**31 - 1
_SIZES = re.compile(r"[0-9]+(?:[x,][0-9]+)*")


@dataclass(frozen=True)
class InputOptions:
    """Texts as the flags have them; `read_options` says what is wrong with one.

    Flags, and their help texts:

    --data [NAME=]PATH (repeatable)
        what to send, instead of random values: .npy, .npz, a folder of .npy files by input, JSON in
        perf_analyzer's form, a folder of images, a warm-up file, or a request log (.tfrecord files or a
        folder of them); NAME= gives one input, and leaves the others random
    --rows N[,N...] | N:SHARE[,N:SHARE...]
        rows of a call along dimension 0, in turn (1,4,16) or at random (1:0.7,8:0.3); default: 1, or what the
        data has
    --shape NAME=SIZES (repeatable)
        of an input whose dimensions are free, without its rows: image=224x224x3
    --range NAME=LOW..HIGH (repeatable)
        of random numbers, both ends included for whole ones: ids=0..29999; default: 0..1
    --text FILE
        lines of this file for inputs of text; default: words
    --scale 0..1|-1..1|0..255
        what the pixels of images become where an input takes floats (%(default)s)
    --items N
        different random inputs, so that no cache answers (%(default)s)
    --seed N
        of all that is random (%(default)s)
    --input-mb N
        most memory for what is sent, in each sending process (%(default)s)
    --check first|none|data|FILE
        what answers are compared with: the first one to the same input, nothing, what came with --data
        (validation_data, or the answers of a request log), or a file (.npz or JSON) with outputs for --data

    Attributes:
        max_bytes: --input-mb, in bytes.
    """

    data: Sequence[str] = ()
    rows: str = ""
    shapes: Sequence[str] = ()
    ranges: Sequence[str] = ()
    text: str = ""
    scale: str = "0..1"
    items: int = 16
    seed: int = 1
    check: str = FIRST
    max_bytes: int = 256 * MEBIBYTE


@dataclass(frozen=True)
class Rows:
    """How many rows calls have.

    Attributes:
        counts: in turn, or by `shares`.
        shares: of calls, of all together 1; None: in turn.
    """

    counts: tuple[int, ...]
    shares: tuple[float, ...] | None = None


@dataclass(frozen=True)
class Read:
    """InputOptions, read.

    Attributes:
        data: name of an input (None: not said) and path.
        rows: None: not said.
        shapes: of inputs, without their rows.
        ranges: of random numbers, by input.
    """

    data: tuple[tuple[str | None, str], ...]
    rows: Rows | None
    shapes: Mapping[str, tuple[int, ...]]
    ranges: Mapping[str, tuple[float, float]]
    text: str
    scale: Scale
    items: int
    seed: int
    check: str
    max_bytes: int


def read_options(options: InputOptions, inputs: Sequence[str]) -> Read:
    """The options as values.

    Args:
        inputs: names of the model's, which others' are compared with.

    Raises:
        InputError: one makes no sense; the text names its flag.
    """
    if options.items < 1:
        raise InputError(f"--items {options.items}: expected 1 or more")
    if options.max_bytes < 1:
        raise InputError("--input-mb: expected 1 or more")
    if options.seed < 0:
        raise InputError(f"--seed {options.seed}: expected 0 or more")
    if options.scale not in SCALES:
        raise InputError(f"--scale {options.scale}: expected one of {', '.join(SCALES)}")
    return Read(
        tuple(_data(text, inputs) for text in options.data),
        read_rows(options.rows) if options.rows else None,
        {name: _sizes(text, rest) for text, name, rest in _named("--shape", options.shapes, inputs)},
        {name: _range(text, rest) for text, name, rest in _named("--range", options.ranges, inputs)},
        options.text,
        next(scale for scale in SCALES if scale == options.scale),
        options.items,
        options.seed,
        options.check,
        options.max_bytes,
    )


def read_rows(text: str) -> Rows:
    """`1,4,16`, or `1:0.7,8:0.3`, whose shares are relative to each other.

    Raises:
        InputError: it is neither.
    """
    parts = [part.strip() for part in text.split(",")]
    pairs = [part.partition(":") for part in parts]
    counts = tuple(_count(text, count) for count, _, _ in pairs)
    if not any(colon for _, colon, _ in pairs):
        return Rows(counts)
    if not all(colon for _, colon, _ in pairs):
        raise InputError(f"--rows {text}: either all have a share (1:0.7,8:0.3), or none has (1,8)")
    shares = [_number(f"--rows {text}", share) for _, _, share in pairs]
    if not all(share > 0 for share in shares) or not math.isfinite(sum(shares)):
        raise InputError(f"--rows {text}: shares are above 0")
    return Rows(counts, tuple(share / sum(shares) for share in shares))


def _data(text: str, inputs: Sequence[str]) -> tuple[str | None, str]:
    # a path may hold "=", and so may a name
    named = [name for name in inputs if text.startswith(f"{name}=")]
    name = max(named, key=len, default=None)
    return name, text if name is None else text[len(name) + 1 :]


def _named(flag: str, texts: Sequence[str], inputs: Sequence[str]) -> list[tuple[str, str, str]]:
    """Whole text, name and the rest of each."""
    found: list[tuple[str, str, str]] = []
    for text in texts:
        # names of inputs may hold "=" too
        name, equals, rest = text.rpartition("=")
        if not equals:
            raise InputError(f"{flag} {text}: expected NAME=...; the inputs are {_listed(inputs)}")
        if name not in inputs:
            raise InputError(f"{flag} {text}: no input '{name}'; the inputs are {_listed(inputs)}")
        if name in (one for _, one, _ in found):
            raise InputError(f"{flag} {text}: '{name}' is given twice")
        found.append((f"{flag} {text}", name, rest))
    return found


def _sizes(text: str, rest: str) -> tuple[int, ...]:
    if not _SIZES.fullmatch(rest):
        raise InputError(f"{text}: expected sizes, as in NAME=224x224x3")
    sizes = tuple(int(size[:11]) for size in re.split("[x,]", rest))
    if not all(1 <= size <= _MAX_SIZE for size in sizes):
        raise InputError(f"{text}: a size is at least 1, and at most {_MAX_SIZE}")
    return sizes


def _range(text: str, rest: str) -> tuple[float, float]:
    low, dots, high = rest.partition("..")
    if not dots:
        raise InputError(f"{text}: expected NAME=LOW..HIGH")
    ends = _number(text, low), _number(text, high)
    if ends[0] > ends[1]:
        raise InputError(f"{text}: its end lies before its beginning")
    return ends


def _count(text: str, count: str) -> int:
    if not (count.isascii() and count.isdecimal() and 1 <= int(count[:9]) <= _MAX_ROWS and len(count) < 9):
        raise InputError(f"--rows {text}: '{count}' is no number of rows (1 to {_MAX_ROWS})")
    return int(count)


def _number(text: str, number: str) -> float:
    try:
        value = float(number)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise InputError(f"{text}: '{number}' is no number")
    return value


def _listed(inputs: Sequence[str]) -> str:
    return ", ".join(inputs) or "none"
