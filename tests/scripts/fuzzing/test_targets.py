"""What scripts/fuzz coverage runs, without the fuzzer: valid inputs, and all that it has found so far."""

from __future__ import annotations

import random

import pytest

from fuzzing.targets import WHERE, target

# Bytes that a parser did not take well once; scripts/fuzz coverage prints such lines.
FOUND: list[tuple[str, str]] = [
    # ModelInfer: a scalar where rows were asked for, of a tensor of unknown rank.
    (
        "infer",
        "0a076e756d626572731a046576656e2a090a01781204465033322a0a0a016e1205494e5433323a04616263643a0461626364",
    ),
    # A number that no enum can have: protobuf's reader of text raises what it does not say that it does.
    (
        "configs",
        "00696e7374616e63655f67726f75707b6b696e643a39393939393939393939397d",
    ),
    # A dtype that numpy gives to Python's own parser.
    (
        "snapshots",
        "484f544752535431740000007b226d6f64656c223a226d222c2276657273696f6e223a312c226964656e746974"
        "79223a22222c22777269746573223a312c2274616b656e5f6174223a302c227661726961626c6573223a5b7b22"
        "6e616d65223a2276222c226474797065223a222c6634222c227368617065223a5b305d7d5d7d",
    ),
]


@pytest.mark.parametrize("name", WHERE)
def test_what_is_valid_is_taken_and_so_is_nothing(name: str) -> None:
    chosen = target(name)
    assert chosen.seeds
    for seed in (b"", *chosen.seeds):
        assert len(seed) <= chosen.most_bytes
        chosen.run(seed)


@pytest.mark.parametrize("name", WHERE)
def test_a_few_changes_of_what_is_valid_are_taken(name: str) -> None:
    chosen, chance = target(name), random.Random(1)
    for number in range(60):
        data = bytearray(chosen.seeds[number % len(chosen.seeds)])
        data[chance.randrange(len(data))] ^= 1 << chance.randrange(8)
        chosen.run(bytes(data))
        if chosen.change is not None:
            chosen.run(chosen.change(bytes(data), chance))


@pytest.mark.parametrize(("name", "data"), FOUND)
def test_what_was_found_once_is_taken(name: str, data: str) -> None:
    target(name).run(bytes.fromhex(data))
