"""Small valid strings of the encodings that graphs read: made by TensorFlow's own encoders, once a process.

They differ from each other in content and in size, as a caller's would.
"""

from __future__ import annotations

import base64
import functools
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from hotgraph_server.signatures import NO_VALUES, Content, Values
from hotgraph_server.tensors import DT_STRING, Array
from hotgraph_server.warmup.adversarial import odd_integers, odd_texts

_SEED = 20_240_229
_COUNT = 6
# Pixels of a side; above what a window of a usual convolution needs, were it not resized.
_SIDES = (32, 24, 40, 28, 48, 36)
_SAMPLES_OF_SOUND = 16_000
_FLOAT = 1

_BROKEN = (b"", b"no such thing")
_ODD_COUNT = 16
_ODD_LENGTHS = (0, 5, 1, 9, 2)
_ODD_FLOATS = (255.0, 1e30, float("nan"), 0.0, float("inf"), -1e5, 0.01, 1e10, -float("inf"), 20.0)


class Feature(NamedTuple):
    """Of a tf.Example.

    Attributes:
        key: its name.
        dtype: TensorFlow's number of it: float, int64 or string.
        size: how many values it has.
        image: the format of the images that it holds; empty: it holds none.
        has_length: each example may have another number of them.
    """

    key: str
    dtype: int
    size: int
    image: str = ""
    has_length: bool = False

    @property
    def is_text(self) -> bool:
        """Does it hold byte strings?"""
        return self.dtype == DT_STRING


@functools.cache
def images(form: str) -> Content:
    """Colour images of several sizes; `form`: JPEG or PNG."""
    random = np.random.default_rng(_SEED)
    pictures = [random.integers(0, 255, (side, side, 3), np.uint8) for side in _SIDES]
    encode = tf.io.encode_jpeg if form == "JPEG" else tf.io.encode_png
    odd = [np.full((8, 64, 3), 255, np.uint8), np.zeros((64, 8, 3), np.uint8), np.zeros((1, 1, 3), np.uint8)]
    samples = _encoded(pictures, tf.uint8, encode)
    others = _encoded(odd, tf.uint8, encode)
    return Content(f"{form} images", samples, (*others, samples[0][: len(samples[0]) // 2], *_BROKEN))


@functools.cache
def sounds(channels: int) -> Content:
    """WAV files of a second."""
    random = np.random.default_rng(_SEED)
    waves = [
        np.asarray(random.uniform(-1, 1, (_SAMPLES_OF_SOUND, channels)), np.float32) for _ in range(_COUNT)
    ]
    odd = [np.zeros_like(waves[0]), np.ones((100, channels), np.float32), np.tile(waves[0], (2, 1))]
    encode = lambda wave: tf.audio.encode_wav(wave, 16_000)  # noqa: E731
    samples, others = (_encoded(some, tf.float32, encode) for some in (waves, odd))
    return Content("WAV files", samples, (*others, samples[0][:100], *_BROKEN))


@functools.cache
def numbers() -> Content:
    """Small numbers in decimal: some graphs take them for sizes."""
    others = (b"0.25", b"-3", b"255", b"1e30", b"nan", b"-inf", *_BROKEN)
    return Content("numbers", tuple(str(number).encode() for number in range(_COUNT)), others)


def examples(features: Sequence[Feature], values: Values = NO_VALUES) -> Content:
    """tf.Examples that have these features; odd ones of values that the graph tells of."""
    random = np.random.default_rng(_SEED)
    others = tuple(_odd_example(features, values, index) for index in range(_ODD_COUNT))
    return Content(
        "tf.Examples",
        tuple(_example(features, random, index) for index in range(_COUNT)),
        (*others, tf.train.Example().SerializeToString(), *_BROKEN),
    )


def web_safe(content: Content) -> Content:
    """The same in base64, as ``tf.io.decode_base64`` reads it: web-safe and without padding."""
    return Content(
        f"{content.name} in base64",
        *(
            tuple(base64.urlsafe_b64encode(sample).rstrip(b"=") for sample in samples)
            for samples in (content.samples, content.others)
        ),
    )


def _odd_example(features: Sequence[Feature], values: Values, index: int) -> bytes:
    """Each feature of another odd kind, and of another length where it may be."""
    message = tf.train.Example()
    integers, texts = odd_integers(values), odd_texts(values)
    for number, feature in enumerate(features):
        held = message.features.feature[feature.key]
        step = index + 3 * number
        size = _ODD_LENGTHS[step % len(_ODD_LENGTHS)] * feature.size if feature.has_length else feature.size
        if feature.image:
            samples = images(feature.image).others
            held.bytes_list.value.extend(samples[(step + one) % len(samples)] for one in range(size))
        elif feature.is_text:
            held.bytes_list.value.extend(texts[(step + one) % len(texts)] for one in range(size))
        elif feature.dtype == _FLOAT:
            held.float_list.value.extend([_ODD_FLOATS[step % len(_ODD_FLOATS)]] * size)
        else:
            held.int64_list.value.extend([integers[step % len(integers)]] * size)
    encoded: bytes = message.SerializeToString()
    return encoded


def _example(features: Sequence[Feature], random: np.random.Generator, index: int) -> bytes:
    message = tf.train.Example()
    for feature in features:
        values = message.features.feature[feature.key]
        # The longest is neither the first nor the last.
        size = feature.size * (1 + index % 4) if feature.has_length else feature.size
        if feature.image:
            samples = images(feature.image).samples
            values.bytes_list.value.extend(samples[(index + step) % len(samples)] for step in range(size))
        elif feature.is_text:
            values.bytes_list.value.extend(f"text {index} {step}".encode() for step in range(size))
        elif feature.dtype == _FLOAT:
            values.float_list.value.extend(random.standard_normal(size).tolist())
        else:
            values.int64_list.value.extend(random.integers(0, 2, size).tolist())
    encoded: bytes = message.SerializeToString()
    return encoded


def _encoded(arrays: Sequence[Array], dtype: Any, encode: Callable[[Any], Any]) -> tuple[bytes, ...]:
    """A graph of its own on the CPU: eager mode would begin by taking hold of every GPU."""
    with tf.Graph().as_default() as graph, tf.device("/CPU:0"):
        array = tf.compat.v1.placeholder(dtype)
        text = encode(array)
    config = tf.compat.v1.ConfigProto(device_count={"GPU": 0})
    with tf.compat.v1.Session(graph=graph, config=config) as session:
        return tuple(session.run(text, {array: value}) for value in arrays)
