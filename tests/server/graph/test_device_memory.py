from __future__ import annotations

from typing import Any

import pytest
import tensorflow as tf

from hotgraph_server.graph import device_memory
from hotgraph_server.graph.device_memory import in_use

asking = tf.config.experimental


def test_what_a_session_holds_is_told_and_that_it_is_gone() -> None:
    graph = tf.Graph()
    with graph.as_default():
        session = tf.compat.v1.Session()
        held = tf.raw_ops.VarHandleOp(dtype=tf.float32, shape=[2**20])
        session.run(tf.raw_ops.AssignVariableOp(resource=held, value=tf.zeros([2**20])))
    during = in_use("/device:CPU:0")
    if during is None:
        pytest.skip("TensorFlow does not count what is on the processor")
    session.close()
    del session
    after = in_use("/device:CPU:0")
    assert after is not None
    assert during - after >= 2**22


@pytest.mark.parametrize("device", ["/device:GPU:77", "/device:NONE:0"])
def test_device_that_is_not_there_tells_nothing(device: str) -> None:
    assert in_use(device) is None


@pytest.mark.parametrize("error", [ValueError("no stats"), RuntimeError("not initialised")])
def test_allocator_that_does_not_count_tells_nothing(
    monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def fail(_: str) -> Any:
        raise error

    monkeypatch.setattr(asking, "get_memory_info", fail)
    assert in_use("/device:CPU:0") is None


def test_gpus_are_told_to_grow_before_they_are_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    """Else the one who asks takes all of their memory."""
    told: list[object] = []

    def ask(device: str) -> dict[str, int]:
        told.append(device)
        return {"current": 5, "peak": 9}

    monkeypatch.setattr(tf.config, "list_physical_devices", lambda kind: [f"a {kind}"])
    monkeypatch.setattr(asking, "set_memory_growth", lambda gpu, wanted: told.append((gpu, wanted)))
    monkeypatch.setattr(asking, "get_memory_info", ask)
    device_memory.grow_as_needed.cache_clear()
    try:
        assert [in_use("/device:GPU:0"), in_use("/device:GPU:0")] == [5, 5]
    finally:
        device_memory.grow_as_needed.cache_clear()
    assert told == [("a GPU", True), "GPU:0", "GPU:0"]
