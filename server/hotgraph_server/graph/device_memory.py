"""Memory of a device, as TensorFlow's allocator for it says: what tensors hold, and not what it has reserved.

The allocator of a device is the process's own, whichever session made it. That of x86 processors counts as
well, where oneDNN is on: there it keeps large tensors in regions which it never gives back, so that no figure
of the system's tells what they hold.
"""

from __future__ import annotations

import contextlib
import functools

import tensorflow as tf

from hotgraph_server.graph.loading import session_config
from hotgraph_server.settings import SessionSettings

_PROCESSOR = "/device:CPU:0"

# No heap of the C library's has room for a piece of this size, which is mapped apart then.
_REGION_BYTES = 2**26


def prepare(settings: SessionSettings) -> None:
    """To be called once before `in_use`: who asks first makes the allocators of all devices, and that is to
    be by the rules of a session.

    Lets the processor's allocator take a region at once, of which no page is touched. Those that it takes by
    and by are small at first, and lie where the C library counts what is no tensor.

    Raises:
        SettingsError: the file that the settings name cannot be read.
    """
    with tf.Graph().as_default() as graph, tf.device(_PROCESSOR):
        made = tf.raw_ops.Empty(shape=[_REGION_BYTES], dtype=tf.uint8, init=False)
        with tf.compat.v1.Session(graph=graph, config=session_config(settings)) as session:
            session.run(made.op)


def in_use(device: str) -> int | None:
    """Bytes of a device, by its name in full: ``/device:GPU:0``; None: TensorFlow does not tell."""
    grow_as_needed()
    try:
        return int(tf.config.experimental.get_memory_info(device.removeprefix("/device:"))["current"])
    except (ValueError, RuntimeError, tf.errors.OpError):
        # No such device, or one whose allocator counts nothing.
        return None


@functools.cache
def grow_as_needed() -> None:
    """Who is asked makes devices of its own, which else take all of a GPU's memory with the first tensor."""
    for gpu in tf.config.list_physical_devices("GPU"):
        # RuntimeError: somebody has used them already, and then it is settled.
        with contextlib.suppress(RuntimeError, ValueError):
            tf.config.experimental.set_memory_growth(gpu, True)
