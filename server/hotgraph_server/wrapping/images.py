"""Pictures as bytes into what a model takes: decoded, made one size, scaled."""

from __future__ import annotations

from typing import Any

from hotgraph_server.errors import StartError
from hotgraph_server.wrapping import gif
from hotgraph_server.wrapping.wishes import ImageWish, Scale

# Enough for the head of every format that says its size at a fixed place.
_HEAD = 32
_CHANNELS = (1, 3)


class ImageReader:
    """For one input of a model.

    Raises:
        StartError: it takes no pictures, or no size or scale can be told.
    """

    def __init__(self, wish: ImageWish, spec: Any, name: str) -> None:
        shape = spec.shape.as_list() if spec.shape.rank is not None else [None] * 4
        if len(shape) != 4:
            raise StartError(
                f"--decode-image: input {name!r} is {spec.dtype.name}{shape}, and no batch of pictures (4"
                " dimensions)"
            )
        # Where colours come first, as models that came from PyTorch have them.
        self._first = shape[1] in _CHANNELS and shape[3] not in _CHANNELS
        height, width, channels = shape[2:4] + shape[1:2] if self._first else shape[1:]
        self._channels = channels or 3
        if self._channels not in _CHANNELS:
            raise StartError(
                f"--decode-image: input {name!r} has {channels} channels, and pictures have 1 or 3"
            )
        size = wish.size or ((height, width) if height and width else None)
        if size is None:
            raise StartError(
                f"--decode-image: input {name!r} takes any size; say which: --decode-image 224x224"
            )
        self._size: tuple[int, int] = size
        if any(had not in (None, given) for had, given in zip((height, width), self._size, strict=True)):
            raise StartError(
                f"--decode-image {self._size[0]}x{self._size[1]}: input {name!r} takes {height}x{width}"
            )
        self._dtype = spec.dtype
        self._scale = self._checked(wish.scale, name)
        self._wish = wish

    def __call__(self, rows: Any) -> Any:
        """From strings [rows] to what the model takes, [rows, height, width, channels]."""
        import tensorflow as tf

        height, width = self._size
        # One by one, for sizes differ.
        pictures = tf.map_fn(
            self._picture,
            rows,
            fn_output_signature=tf.TensorSpec([height, width, self._channels], tf.float32),
        )
        if self._dtype.is_integer:
            scaled = tf.saturate_cast(tf.round(pictures), self._dtype)
        else:
            scaled = tf.cast(_scaled(pictures, self._scale), self._dtype)
        return tf.transpose(scaled, [0, 3, 1, 2]) if self._first else scaled

    def _checked(self, scale: Scale | None, name: str) -> Scale:
        if self._dtype.is_integer:
            if scale is not None and not scale.is_none:
                raise StartError(
                    f"--scale: input {name!r} takes {self._dtype.name}, so values stay: --scale none"
                )
            return Scale()
        if not self._dtype.is_floating:
            raise StartError(f"--decode-image: input {name!r} takes {self._dtype.name}, and no pictures")
        if scale is None:
            raise StartError(
                f"--scale says what values input {name!r} was trained with: 0..1, -1..1, imagenet, caffe, or"
                " none (0 to 255: of models that scale themselves)"
            )
        if self._channels == 1 and (scale.is_bgr or len(scale.factors) > 1):
            raise StartError(f"--scale: input {name!r} has one channel, and this scale is for three")
        return scale

    def _picture(self, row: Any) -> Any:
        import tensorflow as tf

        if self._wish.max_pixels:
            row = gif.first_frame(row, self._wish.max_pixels)
            with tf.control_dependencies([_refuse_large(row, self._wish.max_pixels)]):
                row = tf.identity(row)
        picture = tf.io.decode_image(row, channels=self._channels, expand_animations=False)
        picture.set_shape([None, None, self._channels])
        sized = self._sized(picture)
        # What a picture is resized to is known, and lost to some of the functions that do it.
        return tf.ensure_shape(tf.cast(sized, tf.float32), [*self._size, self._channels])

    def _sized(self, picture: Any) -> Any:
        import tensorflow as tf

        height, width = self._size
        if self._wish.fit == "stretch":
            return tf.image.resize(picture, [height, width], antialias=self._wish.antialias)
        if self._wish.fit == "pad":
            return tf.image.resize_with_pad(picture, height, width, antialias=self._wish.antialias)
        # As little of it as fills the whole, and of that the middle.
        shape = tf.cast(tf.shape(picture)[:2], tf.float32)
        factor = tf.reduce_max(tf.constant([height, width], tf.float32) / shape)
        least = tf.maximum(tf.cast(tf.round(shape * factor), tf.int32), [height, width])
        resized = tf.image.resize(picture, least, antialias=self._wish.antialias)
        top, left = (least[0] - height) // 2, (least[1] - width) // 2
        return resized[top : top + height, left : left + width]


def _scaled(pictures: Any, scale: Scale) -> Any:
    import tensorflow as tf

    if scale.is_bgr:
        pictures = tf.reverse(pictures, axis=[-1])
    if scale.is_none:
        return pictures
    return pictures * tf.constant(scale.factors, tf.float32) + tf.constant(scale.offsets, tf.float32)


def _refuse_large(row: Any, most: int) -> Any:
    """An op that fails where a picture says in its head that it has more pixels.

    A picture of some kilobytes may claim to be gigabytes large, and is made so large before anybody can look.
    JPEG XL says its size at no fixed place, and is refused.
    """
    import tensorflow as tf

    head = tf.strings.substr(tf.strings.join([row, tf.constant(b"\0" * _HEAD)]), 0, _HEAD)
    byte = tf.cast(tf.ensure_shape(tf.io.decode_raw(head, tf.uint8), [_HEAD]), tf.int64)
    is_jpeg = _begins(byte, b"\xff\xd8\xff")
    pixels = tf.cond(
        is_jpeg,
        lambda: tf.reduce_prod(tf.cast(tf.image.extract_jpeg_shape(row)[:2], tf.int64)),
        lambda: _pixels(byte),
    )
    return tf.debugging.Assert(
        # Products of two numbers of 32 bits that have wrapped round are below zero.
        tf.logical_and(pixels >= 0, pixels <= most),
        [f"a picture has more pixels than the {most} that are allowed:", pixels],
    )


def _pixels(byte: Any) -> Any:
    """Of a picture by its first bytes; 0: these are none that are known, and a decoder's to refuse."""
    import tensorflow as tf

    def number(first: int, count: int, *, big: bool = False) -> Any:
        weights = [256**index for index in range(count)]
        if big:
            weights.reverse()
        return tf.reduce_sum(byte[first : first + count] * tf.constant(weights, tf.int64))

    def low_14(first: int) -> Any:
        return tf.math.floormod(number(first, 2), 1 << 14)

    def size_of_either_sign(first: int) -> Any:
        # A height below zero says that the rows come from the top.
        found = number(first, 4)
        return tf.minimum(found, (1 << 32) - found)

    # A height of 14 bits that lies across four bytes, from the seventh bit of the second on.
    lossless_height = tf.math.floormod(tf.math.floordiv(number(21, 4), 1 << 14), 1 << 14)
    pixels = tf.zeros([], tf.int64)
    for starts, at, product in (
        (b"\x89PNG", 0, number(16, 4, big=True) * number(20, 4, big=True)),
        (b"GIF8", 0, number(6, 2) * number(8, 2)),
        (b"BM", 0, number(18, 4) * size_of_either_sign(22)),
        (b"VP8 ", 12, low_14(26) * low_14(28)),
        (b"VP8L", 12, (low_14(21) + 1) * (lossless_height + 1)),
        (b"VP8X", 12, (number(24, 3) + 1) * (number(27, 3) + 1)),
        (b"\xff\x0a", 0, tf.constant(-1, tf.int64)),
        (b"JXL ", 4, tf.constant(-1, tf.int64)),
    ):
        pixels = tf.where(_begins(byte[at:], starts), product, pixels)
    return pixels


def _begins(byte: Any, start: bytes) -> Any:
    import tensorflow as tf

    return tf.reduce_all(tf.equal(byte[: len(start)], tf.constant(list(start), tf.int64)))
