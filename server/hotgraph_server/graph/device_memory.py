"""Memory of a device, as TensorFlow's allocator for it says: what tensors hold, and not what it has reserved.

The allocator of a device is the process's own, whichever session made it.
"""

from __future__ import annotations


def in_use(device: str) -> int | None:
    """Bytes of a device, by its name in full: ``/device:GPU:0``; None: TensorFlow does not tell.

    To be asked once a session has been made there: what asks first makes the allocator, and by other rules.
    """
    import tensorflow as tf

    try:
        return int(tf.config.experimental.get_memory_info(device.removeprefix("/device:"))["current"])
    except (ValueError, RuntimeError, tf.errors.OpError):
        # No such device, or one whose allocator counts nothing, as that of the processor.
        return None
