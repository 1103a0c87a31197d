"""Right outputs for a set of inputs, as --check says."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np

from hotgraph_protos.tensors import Array, to_bytes_array

from ..checking import Mode
from ..dialects.description import Description, listed
from . import perf_analyzer
from .files import read_npz
from .items import InputError, InputSet
from .options import DATA, FIRST, NONE


def with_expected(inputs: InputSet, description: Description, check: str) -> InputSet:
    """The set with what `check` says of it: what came with the data, what a file has, or nothing.

    Raises:
        InputError: there is nothing expected where something should be, or it does not go with the inputs.
    """
    if check in (FIRST, NONE) and not any(item.expected for item in inputs.items):
        return inputs
    if check in (FIRST, NONE):
        return replace(inputs, items=tuple(replace(item, expected=None) for item in inputs.items))
    if check == DATA:
        if not any(item.expected for item in inputs.items):
            raise InputError(
                f"--check data: {inputs.source} has no right answers (validation_data, or a log's);"
                " give a FILE, or compare with the first ones (--check first)"
            )
        return inputs
    path = Path(check)
    if path.suffix == ".json":
        answers = perf_analyzer.validation(perf_analyzer.read_text(path), check, description)
        if len(answers) != len(inputs.items):
            raise InputError(
                f"--check {check}: it has {len(answers)} answers, and {inputs.source} is"
                f" {len(inputs.items)} calls"
            )
        return _with(inputs, answers)
    if path.suffix == ".npz":
        return _with(inputs, _split(read_npz(path), inputs, description, check))
    raise InputError(f"--check {check}: expected first, none, data, or a file that ends in .npz or .json")


def _with(inputs: InputSet, answers: list[dict[str, Array]]) -> InputSet:
    pairs = zip(inputs.items, answers, strict=True)
    return replace(inputs, items=tuple(replace(item, expected=answer) for item, answer in pairs))


def _split(
    arrays: Mapping[str, Array], inputs: InputSet, description: Description, check: str
) -> list[dict[str, Array]]:
    """Outputs for each item: all of them where there is one item, and its rows where there are several."""
    rows = [item.rows for item in inputs.items]
    answers: list[dict[str, Array]] = [{} for _ in inputs.items]
    for name, array in arrays.items():
        if description.outputs and description.output(name) is None:
            there = listed(description.outputs)
            raise InputError(f"--check {check}: no output '{name}'; there are {there}")
        right = to_bytes_array(array) if array.dtype.kind in "SU" else array
        if len(rows) == 1:
            pieces = [right]
        elif right.ndim and len(right) == sum(rows):
            pieces = np.split(right, np.cumsum(rows)[:-1])
        else:
            raise InputError(
                f"--check {check}: '{name}' of shape {list(right.shape)} has not one row for each of"
                f" {sum(rows)} rows of {inputs.source}"
            )
        for answer, piece in zip(answers, pieces, strict=True):
            answer[name] = piece
    if not arrays:
        raise InputError(f"--check {check}: it holds no arrays")
    return answers


def mode_of(check: str) -> Mode:
    """The Checker's mode for a --check."""
    return FIRST if check == FIRST else NONE if check == NONE else "given"
