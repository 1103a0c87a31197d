"""Single rows that are meant to show what ordinary ones do not. Pure.

A graph may let rows influence each other only where one of them is large, is no number, is an id that its
author thought rare, is written in another script, or is a word that it knows. So for each input there are
values of all these kinds, those of the graph's own among them (Values: sizes of tables, thresholds,
vocabularies), and from them come rows: some in which every input is odd, some in which one is. What is most
telling comes first, for there may be time for a few only.

A row may be refused by the graph; then it must be refused among others as well. A row may ask for a great
deal, where a number is a size; what runs it sees to that (climbing.py).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import chain, zip_longest
from typing import Any, NamedTuple

import ml_dtypes
import numpy as np

from hotgraph_server.batching.joining import is_whole
from hotgraph_server.signatures import Signature, TensorSpec, Values
from hotgraph_server.tensors import STRING, Array
from hotgraph_server.warmup.batching_rules import has_rows_to_join
from hotgraph_server.warmup.synthetic_inputs import Kind, generate

MAX_ROWS = 56
"""So many are made of a signature; a model of many inputs would have no end of them."""

_ORDINARY = 3
_SEED = 20_240_301

# Texts of several scripts, lengths and kinds; \u-escapes because some are read from right to left.
_TEXTS = (
    "\u6771\u4eac\u90fd\u306f\u4eca\u65e5\u3082\u6674\u308c\u3067\u3059\u3002",
    "",
    "The quick brown fox jumps over 13 lazy dogs, and then does it again.",
    "\u4f60\u597d",
    "a",
    "\u041f\u0440\u0438\u0432\u0435\u0442, \u043c\u0438\u0440! \u041a\u0430\u043a \u0434\u0435\u043b\u0430?",
    "qzxv wvkq zzyzx",
    "\u0645\u0631\u062d\u0628\u0627 \u0628\u0627\u0644\u0639\u0627\u0644\u0645",
    "\u03ba\u03b1\u03bb\u03b7\u03bc\u03ad\u03c1\u03b1 \u03ba\u03cc\u03c3\u03bc\u03b5",
    "\u0928\u092e\u0938\u094d\u0924\u0947 \u0926\u0941\u0928\u093f\u092f\u093e",
    "\U0001f600 \U0001f1eb\U0001f1f7 \U0001f469\u200d\U0001f52c",
    "e\u0301a\u0308o\u0302 n\u0303",
    "\ud55c\uad6d\uc5b4 \ubb38\uc7a5\uc785\ub2c8\ub2e4",
    "12345 67.89 -1e9",
    "   \t\n ",
    "?!... --- ;;; ***",
    "UPPER lower MiXeD",
    "\u05e9\u05dc\u05d5\u05dd \u0e2a\u0e27\u0e31\u0e2a\u0e14\u0e35",
)
# 2,000 letters: words, and one word.
_LONG = (b"wide " * 400, b"x" * 2000, "\u6f22".encode() * 600)
_NO_UTF8 = b"caf\xe9 \xff\x00 end"
_NUMERALS = [b"0", b"-1", b"255", b"1e30", b"nan", b"-inf", b"0.001", b"99999", b"", b"seven"]

# Where a graph knows no bound, ids of a large vocabulary; rising.
_LARGE = (5_001, 50_000, 1_000_000)
_WORDS_OF_GRAPH = 12


class Row(NamedTuple):
    """One row.

    Attributes:
        inputs: in the signature's order; those that have rows have one.
        magnitude: of the largest number in it; infinite where one is not finite.
        odd: it was made to be; an ordinary one is there for the others to change it.
    """

    inputs: Sequence[Array]
    magnitude: float
    odd: bool = True


def adversarial_rows(signature: Signature, kind: Kind) -> list[Row]:
    """Rows for a signature, MAX_ROWS at most: ordinary ones, and then the most telling first. Inputs that
    have no rows are the same in all, where rows could be joined.

    Args:
        signature: whose inputs; none of them a part of another tensor.
        kind: of generated input that the graph takes: its free dimensions, and whether texts are numerals.
    """
    random = np.random.default_rng(_SEED)
    ordinary = generate(signature, 1, kind)
    same = {index for index, spec in enumerate(signature.inputs) if is_whole(spec)}
    if not has_rows_to_join(signature):
        same = set()
    odd = {
        index: _odd(spec, ordinary[index].shape, kind, signature, random)
        for index, spec in enumerate(signature.inputs)
        if index not in same
    }
    most = max((len(values) for values in odd.values()), default=0)
    rows = [_all_odd(ordinary, odd, rank) for rank in range(most)]
    if len(odd) > 1:
        # Some of one kind and some of the other, so that neither uses up the room.
        single = chain.from_iterable(
            zip_longest(*([_one_odd(ordinary, index, value) for value in odd[index]] for index in odd))
        )
        pairs = zip_longest(rows, (row for row in single if row is not None))
        rows = [row for pair in pairs for row in pair if row is not None]
    usual = [Row(row, magnitude(row), odd=False) for row in _ordinary(signature, kind, ordinary)]
    return [*usual, *(Row(row, magnitude(row)) for row in rows[: MAX_ROWS - len(usual)])]


def _ordinary(signature: Signature, kind: Kind, like: Sequence[Array]) -> list[list[Array]]:
    if not has_rows_to_join(signature):
        return [generate(signature, 1, kind, seed=seed) for seed in range(_ORDINARY)]
    # Texts that are generated together differ in length.
    inputs = generate(signature, _ORDINARY, kind, seed=1)
    specs = list(zip(signature.inputs, inputs, like, strict=True))
    return [
        [same if is_whole(spec) else array[row : row + 1] for spec, array, same in specs]
        for row in range(_ORDINARY)
    ]


def _all_odd(ordinary: Sequence[Array], odd: dict[int, list[Array]], rank: int) -> list[Array]:
    """A row in which every input is odd, each in its own way."""
    return [
        odd[index][(rank + 3 * index) % len(odd[index])] if odd.get(index) else array
        for index, array in enumerate(ordinary)
    ]


def _one_odd(ordinary: Sequence[Array], odd: int, value: Array) -> list[Array]:
    return [value if index == odd else array for index, array in enumerate(ordinary)]


def _odd(
    spec: TensorSpec, shape: tuple[int, ...], kind: Kind, signature: Signature, random: np.random.Generator
) -> list[Array]:
    content = signature.contents.get(spec.alias)
    if content is not None:
        return [_filled(shape, [text]) for text in (*content.others, *content.samples)]
    if spec.dtype == STRING:
        texts = _NUMERALS if kind.numerals else odd_texts(signature.values)
        around = [texts[start:] + texts[:start] for start in range(len(texts))]
        return [_filled(shape, some[:3]) for some in around]
    if spec.dtype.kind == "b":
        mixed = random.integers(0, 2, shape)
        return [np.asarray(array, spec.dtype) for array in (np.ones(shape), np.zeros(shape), mixed)]
    if spec.dtype.kind in "iu":
        return list(_integers(spec.dtype, shape, kind, signature.values, random))
    return list(_floats(spec.dtype, shape, signature.values, random))


def odd_texts(values: Values) -> list[bytes]:
    """Texts of several scripts, and what the graph knows, alone and in sentences of several lengths."""
    random = np.random.default_rng(_SEED)
    general = [text.encode() for text in _TEXTS]
    words = list(values.texts)
    known: list[bytes] = []
    if words:
        chosen = [words[index] for index in random.permutation(len(words))[:_WORDS_OF_GRAPH]]
        known = [b" ".join(chosen[:5]), chosen[0], b" ".join([chosen[-1], b"qzxv"]), *chosen[1:4]]
        known += [b" ".join([*chosen, *chosen]), *chosen[4:]]
    mixed = [text for pair in zip_longest(general, known) for text in pair if text is not None]
    return [*mixed[:6], _LONG[0], *mixed[6:10], _NO_UTF8, *mixed[10:], *_LONG[1:]]


def _filled(shape: tuple[int, ...], texts: Sequence[bytes]) -> Array:
    array = np.empty(shape, STRING)
    for number, place in enumerate(np.ndindex(shape)):
        array[place] = texts[number % len(texts)]
    return array


def _integers(
    dtype: np.dtype[Any], shape: tuple[int, ...], kind: Kind, values: Values, random: np.random.Generator
) -> Iterator[Array]:
    """Up to a value and with it."""
    info = np.iinfo(dtype)
    wanted = [*odd_integers(values), kind.below - 1]
    if info.max < 2**8:
        wanted += [info.max, info.min]
    for value in dict.fromkeys(wanted):
        if not info.min <= value <= info.max:
            continue
        tame = min(abs(value), kind.below - 1)
        array = random.integers(0, tame + 1, shape)
        if value > kind.below:
            # Some of them all large, some with one that is.
            array = random.integers(max(value // 2, kind.below), value + 1, shape)
        array.flat[0] = value
        yield np.asarray(array, dtype)


def odd_integers(values: Values) -> list[int]:
    """Integers that mean something to the graph, or might."""
    bounds = [round(number) for number in values.numbers if 1 < abs(number) < 2**62]
    wanted = [*(bound - 1 for bound in bounds), *_LARGE, 0, -1, *bounds, 1]
    wanted += [*(bound + 1 for bound in bounds), *(bound // 2 for bound in bounds), -5]
    return list(dict.fromkeys(wanted))


def _floats(
    dtype: np.dtype[Any], shape: tuple[int, ...], values: Values, random: np.random.Generator
) -> Iterator[Array]:
    """Of scales from the least to the largest that the dtype has, and what is no number."""
    real = np.dtype(np.zeros(0, dtype).real.dtype)
    largest = float(ml_dtypes.finfo(real).max)  # type: ignore[no-untyped-call]
    normal = random.standard_normal(shape)

    def of(array: Any) -> Array:
        return np.asarray(np.clip(array, -largest, largest), dtype)

    def with_one(value: float) -> Array:
        array = of(normal)
        if array.size:
            array.flat[random.integers(array.size)] = value
        return array

    sparse = np.zeros(shape)
    if sparse.size:
        sparse.flat[random.integers(sparse.size)] = 1.0
    yield of(random.uniform(0, 255, shape))
    yield of(normal * 1e30)
    yield with_one(np.nan)
    yield of(np.zeros(shape))
    for number in values.numbers[:_WORDS_OF_GRAPH]:
        yield of(np.full(shape, number) + np.abs(normal) * max(abs(number), 1.0) / 8)
    yield with_one(np.inf)
    yield of(normal * 0.01)
    yield of(-np.abs(normal) * 1e5)
    yield np.full(shape, np.nan, dtype)
    yield of(normal * 1e10)
    yield of(np.abs(normal) * 20)
    yield of(normal * 1e-5)
    yield np.full(shape, -np.inf, dtype)
    yield of(sparse)
    yield of(random.uniform(0, 1, shape))
    yield of(np.ones(shape))
    yield of(normal * 1e-30)
    yield of(random.integers(0, 10, shape))
    yield of(np.full(shape, 1e4))
    for number in values.numbers[:_WORDS_OF_GRAPH]:
        yield of(np.full(shape, number))
        yield of(-np.full(shape, number))


def magnitude(inputs: Sequence[Array]) -> float:
    largest = 0.0
    for array in inputs:
        if array.dtype == STRING or not array.size:
            continue
        # NaN is not below anything.
        size = float(np.abs(array.astype(np.complex128)).max())
        largest = max(largest, size) if np.isfinite(size) else np.inf
    return largest
