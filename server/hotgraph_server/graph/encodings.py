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

from hotgraph_server.signatures import Content
from hotgraph_server.tensors import DT_STRING, Array

_SEED = 20_240_229
_COUNT = 6
# Pixels of a side; above what a window of a usual convolution needs, were it not resized.
_SIDES = (32, 24, 40, 28, 48, 36)
_SAMPLES_OF_SOUND = 16_000
_FLOAT = 1


class Feature(NamedTuple):
    """Of a tf.Example.

    Attributes:
        key: its name.
        dtype: TensorFlow's number of it: float, int64 or string.
        size: how many values it has.
        image: the format of the images that it holds; empty: it holds none.
    """

    key: str
    dtype: int
    size: int
    image: str = ""

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
    return Content(f"{form} images", _encoded(pictures, tf.uint8, encode))


@functools.cache
def sounds(channels: int) -> Content:
    """WAV files of a second."""
    random = np.random.default_rng(_SEED)
    waves = [
        np.asarray(random.uniform(-1, 1, (_SAMPLES_OF_SOUND, channels)), np.float32) for _ in range(_COUNT)
    ]
    return Content("WAV files", _encoded(waves, tf.float32, lambda wave: tf.audio.encode_wav(wave, 16_000)))


@functools.cache
def numbers() -> Content:
    """Small numbers in decimal: some graphs take them for sizes."""
    return Content("numbers", tuple(str(number).encode() for number in range(_COUNT)))


def examples(features: Sequence[Feature]) -> Content:
    """tf.Examples that have these features."""
    random = np.random.default_rng(_SEED)
    return Content("tf.Examples", tuple(_example(features, random, index) for index in range(_COUNT)))


def web_safe(content: Content) -> Content:
    """The same in base64, as ``tf.io.decode_base64`` reads it: web-safe and without padding."""
    return Content(
        f"{content.name} in base64",
        tuple(base64.urlsafe_b64encode(sample).rstrip(b"=") for sample in content.samples),
    )


def _example(features: Sequence[Feature], random: np.random.Generator, index: int) -> bytes:
    message = tf.train.Example()
    for feature in features:
        values = message.features.feature[feature.key]
        if feature.image:
            samples = images(feature.image).samples
            values.bytes_list.value.extend(
                samples[(index + step) % len(samples)] for step in range(feature.size)
            )
        elif feature.is_text:
            values.bytes_list.value.extend(f"text {index} {step}".encode() for step in range(feature.size))
        elif feature.dtype == _FLOAT:
            values.float_list.value.extend(random.standard_normal(feature.size).tolist())
        else:
            values.int64_list.value.extend(random.integers(0, 2, feature.size).tolist())
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
