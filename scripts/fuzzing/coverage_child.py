"""One target under atheris: ``python -m fuzzing.coverage_child TARGET`` and libFuzzer's own words, the last
of which is the folder of the corpus."""

from __future__ import annotations

import random
import sys
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["hotgraph_server", "hotgraph_protos", "hpack"]):
    from fuzzing.targets import target

    chosen = target(sys.argv[1])


def _changed(data: bytes, most_bytes: int, seed: int) -> bytes:
    """Half of the time in the terms of the format."""
    if seed % 2:
        return bytes(atheris.Mutate(data, most_bytes))
    assert chosen.change is not None
    return chosen.change(data, random.Random(seed))[:most_bytes]


def main() -> None:
    """Never returns."""
    corpus = Path(sys.argv[-1])
    for number, seed in enumerate(chosen.seeds):
        (corpus / f"seed-{number}").write_bytes(seed)
    words = [sys.argv[0], f"-max_len={chosen.most_bytes}", *sys.argv[2:]]
    atheris.Setup(words, chosen.run, **({} if chosen.change is None else {"custom_mutator": _changed}))
    atheris.Fuzz()


if __name__ == "__main__":
    main()
