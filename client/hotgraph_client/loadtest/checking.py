"""Right or wrong? Answers against the first one to the same input, or against given ones. Pure.

Floats are right within a tolerance of the largest magnitude (and of each value): batches of different sizes
differ by so much through no fault of anyone. Of half and bfloat16, whose own step is wider, within two of
their steps. Everything else is right if it is the same; NaN equals NaN. Shapes count, and datatypes where the
measure is an answer too. Only outputs are compared: ids, versions and the order of outputs do not count.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from hotgraph_protos.tensors import Array

from .inputs.items import Item
from .load import Answer

TOLERANCE = 1e-4
"""Of floats, relative to the largest magnitude."""

# One unit in the last place, relative: of float16 2^-10, of bfloat16 2^-7.
_STEPS = {"float16": 2.0**-10, "bfloat16": 2.0**-7}

_SHOWN = 60

Mode = Literal["first", "given", "none"]


@dataclass
class Checked:
    """What became of answers.

    Attributes:
        right: calls whose answer is the right one.
        wrong: calls whose answer is not, or cannot be read.
        unmeasured: calls to which no right answer is known.
        why: of the first wrong one: which output, where, what in place of what; empty: none is wrong.
    """

    right: int = 0
    wrong: int = 0
    unmeasured: int = 0
    why: str = ""


class Checker:
    """Compares answers, over any number of steps: the first answers of the first step stay the measure.

    Args:
        items: what each payload was made of.
        read: an answer's outputs; raises ValueError. A dialect's.
        mode: `first`: the first answer to each input is right; `given`: what the items expect is; `none`.
        tolerance: of floats.
    """

    def __init__(
        self,
        items: Sequence[Item],
        read: Callable[[Answer], Mapping[str, Array]],
        mode: Mode = "first",
        tolerance: float = TOLERANCE,
    ) -> None:
        self._items = items
        self._read = read
        self._mode = mode
        self._tolerance = tolerance
        self._first: dict[int, Mapping[str, Array]] = {}

    def check(self, answers: Iterable[Answer]) -> Checked:
        """Look at the distinct answers of a step, those that came first before the others."""
        found = Checked()
        if self._mode == "none":
            return found
        for answer in answers:
            try:
                outputs = self._read(answer)
            except ValueError as error:
                self._note(found, answer, f"it cannot be read: {error}")
                continue
            expected = self._expected(answer.payload, outputs)
            if expected is None:
                found.unmeasured += answer.count
                continue
            why = difference(outputs, expected, self._tolerance, same_types=self._mode == "first")
            if not why and self._mode == "first" and len(outputs) > len(expected):
                extra = next(name for name in outputs if name not in expected)
                why = f"there is an output '{extra}', which the first answer had not"
            if why:
                self._note(found, answer, why)
            else:
                found.right += answer.count
        return found

    def _expected(self, payload: int, outputs: Mapping[str, Array]) -> Mapping[str, Array] | None:
        if self._mode == "first":
            return self._first.setdefault(payload, outputs)
        return self._items[payload].expected

    def _note(self, found: Checked, answer: Answer, why: str) -> None:
        found.wrong += answer.count
        measure = "the first answer to it" if self._mode == "first" else "what was given"
        found.why = found.why or f"input {answer.payload + 1} of {len(self._items)}, against {measure}: {why}"


def difference(
    outputs: Mapping[str, Array],
    expected: Mapping[str, Array],
    tolerance: float = TOLERANCE,
    *,
    same_types: bool = True,
) -> str:
    """What is wrong with outputs; empty: nothing. Outputs of which nothing is expected do not count.

    Args:
        same_types: datatypes must be the same too, and not only the values.
    """
    for name, right in expected.items():
        if name not in outputs:
            return f"there is no output '{name}', but {', '.join(map(repr, outputs)) or 'none'}"
        why = _difference(outputs[name], right, tolerance, same_types)
        if why:
            return f"output '{name}'{why}"
    return ""


def _difference(found: Array, right: Array, tolerance: float, same_types: bool) -> str:
    if found.shape != right.shape:
        return f" has shape {list(found.shape)} in place of {list(right.shape)}"
    if found.dtype != right.dtype and (same_types or _kind(found) != _kind(right)):
        return f" is {found.dtype} in place of {right.dtype}"
    if not found.size:
        return ""
    step = max(_STEPS.get(array.dtype.name, 0.0) for array in (found, right))
    if _kind(found) in "fc":
        wide = np.complex128 if found.dtype.kind == "c" else np.float64
        same = _close(found.astype(wide), right.astype(wide), max(tolerance, 2 * step))
    else:
        same = np.asarray(found == right, np.bool_)
    if same.all():
        return ""
    wrong = int(np.argmin(same))
    place = [int(at) for at in np.unravel_index(wrong, found.shape)]
    return (
        f"{place if place else ''} is {_shown(found.flat[wrong])} in place of {_shown(right.flat[wrong])}"
        f" ({same.size - int(same.sum())} of {same.size} values are wrong)"
    )


def _kind(array: Array) -> str:
    """Numbers with a fraction, whole ones, and so on: which can be held against each other."""
    if array.dtype.name == "bfloat16":
        return "f"
    return "i" if array.dtype.kind == "u" else array.dtype.kind


def _close(found: Array, right: Array, tolerance: float) -> np.ndarray[Any, np.dtype[np.bool_]]:
    magnitudes = np.abs(right[np.isfinite(right)])
    largest = float(magnitudes.max(initial=0.0))
    with np.errstate(over="ignore", invalid="ignore"):
        return np.isclose(found, right, tolerance, tolerance * largest, equal_nan=True)


def _shown(value: Any) -> str:
    text = (
        f"{value:.7g}"
        if isinstance(value, (float, np.floating))
        else repr(getattr(value, "tolist", lambda: value)())
    )
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."
