"""Calls to choose from: numbers of rows that differ, and contents that differ.

A pool is some 60 calls, the same ones at each run; each call holds the inputs by alias, as arrays.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from .texts import KOREAN, PROGRAMS, SENTENCES, THAI, WORDS

Call = Mapping[str, Any]
Pool = Callable[[], list[Call]]
Rng = np.random.Generator


def pool(rows: Callable[[Rng, int], Call], *, calls: int = 60, most: int = 7) -> Pool:
    """Calls of 1 to `most` rows each, made by `rows`."""

    def make() -> list[Call]:
        rng = np.random.default_rng(7)
        return [rows(rng, 1 + number % most) for number in range(calls)]

    return make


def texts(alias: str, given: Sequence[str]) -> Pool:
    """Rows of one text."""
    encoded = [text.encode() for text in given]

    def rows(rng: Rng, count: int) -> Call:
        array = np.empty(count, object)
        array[:] = [encoded[index] for index in rng.integers(0, len(encoded), count)]
        return {alias: array}

    return pool(rows)


ALL_TEXTS = (*SENTENCES, *KOREAN, *THAI, *PROGRAMS)


def ids(alias: str, width: int, below: int, dtype: type, *, given: Sequence[str] = WORDS) -> Pool:
    """Rows of ids of characters, filled up with zeros; every tenth call has one that is out of range."""

    def rows(rng: Rng, count: int) -> Call:
        array: Any = np.zeros((count, width), dtype)
        for row in array:
            word = given[int(rng.integers(0, len(given)))]
            row[: len(word)] = [1 + ord(character) % (below - 1) for character in word[:width]]
        if rng.random() < 0.1:
            array[rng.integers(0, count), rng.integers(0, width)] = below * 10
        return {alias: array}

    return pool(rows)


def ids_of_free_width(alias: str, widths: Sequence[int], below: int, dtype: type) -> Pool:
    """As `ids`, with as many in a row as the call happens to have."""

    def rows(rng: Rng, count: int) -> Call:
        array: Any = rng.integers(1, below, (count, rng.choice(widths))).astype(dtype)
        for row in array:
            row[rng.integers(1, row.size + 1) :] = 0
        return {alias: array}

    return pool(rows)


def characters_and_types(rng: Rng, count: int) -> Call:
    """Windows over a Thai text, and the kinds of their characters."""
    text = THAI[rng.integers(0, len(THAI))].center(60)
    starts = rng.integers(0, len(text) - 21, count)
    characters = np.array([[ord(one) % 178 for one in text[at : at + 21]] for at in starts], np.float32)
    return {"characters": characters, "types": characters % 12}


def one_hot_words(rng: Rng, count: int) -> Call:
    """Words of equal length in a call, each character one of 59; now and then nothing but zeros."""
    length = int(rng.integers(1, 8))
    array = np.eye(59, dtype=np.float32)[rng.integers(0, 59, (count, length))]
    return {"characters": array * (rng.random() > 0.05)}


def heart_beats(rng: Rng, count: int) -> Call:
    """Features of the heart in 36 columns over time; what has not been measured is -1."""
    steps = int(rng.choice([1, 10, 30, 60]))
    array = rng.normal(0, 2, (count, steps, 36)).astype(np.float32)
    array[rng.random((count, steps)) < 0.2] = -1
    return {"input_layer": array}


def sound(alias: str, samples: int) -> Callable[[Rng, int], Call]:
    """Silence, noise, tones and clicks."""

    def wave(rng: Rng) -> Any:
        time = np.arange(samples) / 22050
        kinds = [
            np.zeros(samples),
            rng.normal(0, 0.1, samples),
            np.sin(2 * np.pi * rng.uniform(60, 2000) * time),
            0.3 * sum(np.sin(2 * np.pi * 220 * number * time) for number in (1, 1.25, 1.5)),
            (rng.random(samples) < 1e-3).astype(float),
            1e4 * rng.normal(0, 1, samples),
        ]
        return kinds[rng.integers(0, len(kinds))]

    def rows(rng: Rng, count: int) -> Call:
        return {alias: np.stack([wave(rng) for _ in range(count)]).astype(np.float32)[..., None]}

    return rows


def spectrograms(rng: Rng, count: int) -> Call:
    """Mel spectrograms of three seconds, and the word that nobody is being trained."""
    scale = rng.choice([0.0, 0.01, 1.0, 3.0], (count, 1, 1))
    array = np.abs(rng.normal(0, 1, (count, 187, 96))) * scale
    return {"spectrogram": array.astype(np.float32), "is_training": np.array(False)}


def images(alias: str, size: int) -> Callable[[Rng, int], Call]:
    """Grey images from -1 to 1: plain ones, gradients, noise, squares."""

    def image(rng: Rng) -> Any:
        square = -np.ones((size, size))
        top, left = rng.integers(0, size // 2, 2)
        square[top : top + size // 3, left : left + size // 4] = 1
        kinds = [
            np.full((size, size), rng.uniform(-1, 1)),
            np.linspace(-1, 1, size * size).reshape(size, size),
            rng.uniform(-1, 1, (size, size)),
            square,
        ]
        return kinds[rng.integers(0, len(kinds))]

    def rows(rng: Rng, count: int) -> Call:
        return {alias: np.stack([image(rng) for _ in range(count)]).astype(np.float32)[..., None]}

    return rows


def heads(rng: Rng, count: int) -> Call:
    """Volumes: balls of one size or another in noise."""
    at = np.linspace(-1, 1, 128)
    distance = np.sqrt(at[:, None, None] ** 2 + at[None, :, None] ** 2 + at[None, None, :] ** 2)
    balls = [(distance < rng.uniform(0.2, 0.9)) * rng.uniform(0, 1) for _ in range(count)]
    noise = rng.uniform(0, 0.1, (count, 128, 128, 128))
    return {"image": (np.stack(balls) + noise).astype(np.float32)[..., None]}


def dna(alias: str, lengths: Sequence[int]) -> Callable[[Rng, int], Call]:
    """Bases, one-hot in four columns; unknown ones are all zeros."""

    def rows(rng: Rng, count: int) -> Call:
        bases = np.vstack([np.eye(4, dtype=np.float32), np.zeros((1, 4), np.float32)])
        return {alias: bases[rng.integers(0, 5, (count, int(rng.choice(lengths))))]}

    return rows


def peptides(rng: Rng, count: int) -> Call:
    """Atoms and acids of peptides of up to sixty acids, as four tables."""
    names = {"input_133": (60, 6), "input_134": (30, 6), "input_135": (55,), "input_136": (60, 20)}
    call = {name: rng.integers(0, 12, (count, *shape)).astype(np.float32) for name, shape in names.items()}
    for row in range(count):
        length = rng.integers(0, 60)
        call["input_133"][row, length:] = 0
        acids = np.eye(20, dtype=np.float32)[rng.integers(0, 20, 60)]
        acids[length:] = 0
        call["input_136"][row] = acids
    return call
