"""The first frame of a GIF, in TensorFlow's ops.

A decoder of GIFs decodes all frames, and each may be larger than the picture's head says: some kilobytes may
be gigabytes then. What goes to the decoder is the file up to the end of its first frame, whose size is known.
"""

from __future__ import annotations

from typing import Any

MOST_BLOCKS = 20_000
"""Of a file, up to the end of its first frame: some megabytes, of 255 bytes each."""

# Where the walk is: before a block, in the parts of an extension or of a picture, or at its end.
_BLOCK, _EXTENSION, _PICTURE, _END = range(4)
_HEAD = 13


def first_frame(row: Any, most: int) -> Any:
    """A file up to the end of its first frame; any other file as it is.

    Fails where that frame has more than `most` pixels, or the file more parts than `MOST_BLOCKS` before.
    """
    import tensorflow as tf

    return tf.cond(
        tf.equal(tf.strings.substr(row, 0, 4), tf.constant(b"GIF8")), lambda: _cut(row, most), lambda: row
    )


def _cut(row: Any, most: int) -> Any:
    import tensorflow as tf

    length = tf.strings.length(row)
    # What is read beyond the end is nought.
    content = tf.concat([tf.io.decode_raw(row, tf.uint8), tf.zeros([_HEAD], tf.uint8)], 0)

    def byte(at: Any) -> Any:
        return tf.cast(content[tf.minimum(at, length)], tf.int32)

    def after(at: Any, flags: Any) -> Any:
        """Where a table of colours ends, if there is one."""
        size = 3 * tf.bitwise.left_shift(2, tf.bitwise.bitwise_and(flags, 7))
        return at + tf.where(flags >= 128, size, 0)

    def goes_on(at: Any, where: Any, pixels: Any) -> Any:
        return (where != _END) & (at < length)

    def step(at: Any, where: Any, pixels: Any) -> Any:
        found = byte(at)
        is_part = (where == _EXTENSION) | (where == _PICTURE)
        is_extension, is_picture = ~is_part & (found == 0x21), ~is_part & (found == 0x2C)
        width = byte(at + 5) + 256 * byte(at + 6)
        height = byte(at + 7) + 256 * byte(at + 8)
        # Behind the descriptor and its colours stands one byte, the least size of a code.
        data = after(at + 10, byte(at + 9)) + 1
        next_at = tf.where(
            is_part, at + 1 + found, tf.where(is_extension, at + 2, tf.where(is_picture, data, at))
        )
        in_block = tf.where(is_extension, _EXTENSION, tf.where(is_picture, _PICTURE, _END))
        ended = tf.where(where == _EXTENSION, _BLOCK, _END)
        next_where = tf.where(is_part, tf.where(found == 0, ended, where), in_block)
        size = tf.cast(width, tf.int64) * tf.cast(height, tf.int64)
        return next_at, next_where, tf.where(is_picture, size, pixels)

    start = after(tf.constant(_HEAD), byte(tf.constant(10)))
    at, where, pixels = tf.while_loop(
        goes_on,
        step,
        (start, tf.constant(_BLOCK), tf.constant(0, tf.int64)),
        maximum_iterations=MOST_BLOCKS,
        parallel_iterations=1,
    )
    checks = [
        tf.debugging.Assert(
            pixels <= most, [f"a picture has more pixels than the {most} that are allowed:", pixels]
        ),
        tf.debugging.Assert(
            (where == _END) | (at >= length),
            [f"a GIF has more than {MOST_BLOCKS} parts before its second frame"],
        ),
    ]
    with tf.control_dependencies(checks):
        return tf.strings.join([tf.strings.substr(row, 0, tf.minimum(at, length)), tf.constant(b";")])
