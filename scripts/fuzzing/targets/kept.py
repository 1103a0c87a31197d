"""Files that a server has written itself, and finds again: snapshots, and what checks have learnt."""

from __future__ import annotations

import contextlib
import hashlib

import ml_dtypes
import numpy as np

from fuzzing.targets import Target
from hotgraph_server.state import learnt, snapshot
from hotgraph_server.state.snapshot import Header, Snapshot
from hotgraph_server.tensors import STRING

_DIGEST_BYTES = 32


def _snapshots() -> Target:
    values = {
        "v": np.arange(6, dtype=np.float32).reshape(2, 3),
        "h": np.ones(3, ml_dtypes.bfloat16),
        "s": np.array([b"a", b""], STRING),
        "scalar": np.array(7, np.int64),
    }
    header = Header("m", 1, "identity", 9, 12.5)
    seeds = [b"".join(snapshot.encode(Snapshot(header, some))) for some in (values, {}, {"v": values["v"]})]
    return Target(_run_snapshots, [seed[:-_DIGEST_BYTES] for seed in seeds])


def _run_snapshots(data: bytes) -> None:
    """With the checksum that makes it whole, which no fuzzer guesses."""
    whole = data + hashlib.blake2b(data, digest_size=_DIGEST_BYTES).digest()
    with contextlib.suppress(snapshot.Damaged):
        snapshot.decode(data)
    with contextlib.suppress(snapshot.Damaged):
        found = snapshot.decode(whole)
        assert sum(array.nbytes for array in found.values.values()) <= 8 * len(data)


def _learnt() -> Target:
    said = {"serving_default": learnt.Learnt(12, ""), "é": learnt.Learnt(0, "row 2 differs")}
    return Target(_run_learnt, [learnt.encode("tf", said), learnt.encode("other", said)])


def _run_learnt(data: bytes) -> None:
    with contextlib.suppress(ValueError):
        found = learnt.decode(data, "tf")
        assert learnt.decode(learnt.encode("tf", found), "tf") == {
            name: learnt.Learnt(one.joined, one.difference[:1000]) for name, one in found.items()
        }


TARGETS = {"snapshots": _snapshots, "learnt": _learnt}
