from __future__ import annotations

import base64
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hotgraph_server.graph.graph import Graph
from hotgraph_server.settings import SessionSettings
from hotgraph_server.warmup.batch_safety import ROWS
from hotgraph_server.warmup.first_runs import warm_up

from ...saved_models.tf2 import function, save

Reader = Callable[[Any], Any]


def opened(directory: Path, reader: Reader) -> Graph:
    import tensorflow as tf

    save(directory / "m", serving_default=function(reader, text=([None], tf.string)))
    return Graph.open(directory / "m", SessionSettings())


def each(read: Callable[[Any], Any]) -> Reader:
    """A graph that reads row by row, as those that decode images do."""

    def run(text: Any) -> Any:
        import tensorflow as tf

        return {"y": tf.map_fn(lambda one: tf.reduce_mean(tf.cast(read(one), tf.float32)), text, tf.float32)}

    return run


def examples(text: Any) -> Any:
    import tensorflow as tf

    parsed = tf.io.parse_example(
        text,
        {
            "x": tf.io.FixedLenFeature([4], tf.float32),
            "count": tf.io.FixedLenFeature([], tf.int64),
            "words": tf.io.VarLenFeature(tf.string),
            "parts": tf.io.RaggedFeature(tf.int64),
        },
    )
    return {"y": tf.reduce_sum(parsed["x"], 1) + tf.cast(parsed["count"], tf.float32)}


def images_in_examples(text: Any) -> Any:
    import tensorflow as tf

    parsed = tf.io.parse_example(
        text,
        {"image/encoded": tf.io.FixedLenFeature([], tf.string), "name": tf.io.FixedLenFeature([], tf.string)},
    )
    return each(lambda one: tf.io.decode_png(one, 3))(parsed["image/encoded"])


def single_examples(text: Any) -> Any:
    import tensorflow as tf

    features = {"x": tf.io.FixedLenFeature([2], tf.float32), "s": tf.io.VarLenFeature(tf.string)}
    return each(lambda one: tf.io.parse_single_example(one, features)["x"])(text)


def readers() -> dict[str, tuple[Reader, str]]:
    import tensorflow as tf

    return {
        "jpeg": (each(lambda one: tf.io.decode_jpeg(one, 3)), "JPEG images"),
        "any image": (each(lambda one: tf.io.decode_image(one, expand_animations=False)), "JPEG images"),
        "png": (each(lambda one: tf.io.decode_png(one, 1)), "PNG images"),
        "in base64": (
            each(lambda one: tf.io.decode_jpeg(tf.io.decode_base64(one), 3)),
            "JPEG images in base64",
        ),
        "sound": (each(lambda one: tf.audio.decode_wav(one, desired_channels=1).audio), "WAV files"),
        "numbers": (lambda text: {"y": tf.strings.to_number(text)}, "numbers"),
        "examples": (examples, "tf.Examples"),
        "single examples": (single_examples, "tf.Examples"),
        "images in examples": (images_in_examples, "tf.Examples"),
    }


@pytest.mark.parametrize(
    "name",
    [
        *("jpeg", "any image", "png", "in base64", "sound", "numbers"),
        *("examples", "single examples", "images in examples"),
    ],
)
def test_strings_that_a_graph_decodes_are_known_and_what_is_generated_is_taken(
    tmp_path: Path, name: str
) -> None:
    reader, content = readers()[name]
    graph = opened(tmp_path, reader)
    assert graph.signatures["serving_default"].contents["text"].name == content
    found = warm_up(graph, "m")
    assert found.unbatched_reasons == {"serving_default": None}, found.warmed
    assert found.taken["serving_default"].rows == ROWS
    assert content in found.warmed["serving_default"]
    graph.close()


def test_text_is_not_taken_for_anything_else(tmp_path: Path) -> None:
    import tensorflow as tf

    graph = opened(tmp_path, lambda text: {"y": tf.strings.length(text)})
    assert graph.signatures["serving_default"].contents == {}
    graph.close()


def test_decoder_of_something_else_than_the_input_says_nothing_of_it(tmp_path: Path) -> None:
    import tensorflow as tf

    picture = tf.io.encode_png(np.zeros((2, 2, 3), np.uint8))
    graph = opened(
        tmp_path,
        lambda text: {"y": tf.strings.length(text) + tf.cast(tf.io.decode_png(picture)[0, 0, 0], tf.int32)},
    )
    assert graph.signatures["serving_default"].contents == {}
    graph.close()


def test_images_differ_from_row_to_row_in_size_and_content(tmp_path: Path) -> None:
    import tensorflow as tf

    graph = opened(tmp_path, each(lambda one: tf.io.decode_jpeg(one, 3)))
    samples = graph.signatures["serving_default"].contents["text"].samples
    shapes = {tuple(tf.io.decode_jpeg(sample).shape) for sample in samples}
    assert len(shapes) == len(samples) > ROWS
    graph.close()


def test_examples_differ_in_how_many_values_they_have_where_they_may() -> None:
    import tensorflow as tf

    from hotgraph_server.graph.encodings import Feature, examples
    from hotgraph_server.signatures import Values

    features = [Feature("ids", 9, 1, has_length=True), Feature("x", 1, 3), Feature("word", 7, 1)]
    content = examples(features, Values(numbers=(40_000.0,), texts=(b"amber",)))

    def parsed(samples: Sequence[bytes]) -> list[Any]:
        return [tf.train.Example.FromString(sample).features.feature for sample in samples]

    usual = parsed(content.samples)
    assert len({len(one["ids"].int64_list.value) for one in usual}) > 2
    odd = parsed([sample for sample in content.others if len(sample) > 20])
    assert {0, 9} <= {len(one["ids"].int64_list.value) for one in odd}
    assert any(39_999 in one["ids"].int64_list.value for one in odd)
    assert any(np.isnan(one["x"].float_list.value).any() for one in odd)
    assert {len(one["x"].float_list.value) for one in odd} == {3}
    assert any(b"amber" in one["word"].bytes_list.value[0] for one in odd)
    assert b"" in content.others


def test_base64_is_the_web_safe_one() -> None:
    from hotgraph_server.graph.encodings import images, web_safe

    plain, safe = images("PNG"), web_safe(images("PNG"))
    for one, other in zip(plain.samples, safe.samples, strict=True):
        assert base64.urlsafe_b64decode(other + b"=" * (-len(other) % 4)) == one
