"""Memory of a device, as TensorFlow's allocator for it says: what tensors hold, and not what it has reserved.

The allocator of a device is the process's own, whichever session made it. That of x86 processors counts as
well, where oneDNN is on: there it keeps large tensors in regions which it never gives back, so that no figure
of the system's tells what they hold.
"""

from __future__ import annotations

import contextlib
import functools

import tensorflow as tf


def in_use(device: str) -> int | None:
    """Bytes of a device, by its name in full: ``/device:GPU:0``; None: TensorFlow does not tell.

    To be asked once a session has been made: who asks first makes the allocators of all devices, and by other
    rules than a session's.
    """
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
