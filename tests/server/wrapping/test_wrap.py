"""Models with more around them: what comes out is what one would have made by hand, and rows stay apart."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from hotgraph_server.errors import StartError
from hotgraph_server.row_independence.verdict import Input, Verdict, judge
from hotgraph_server.wrapping.wishes import ImageWish, LabelWish, TextWish, scale_of
from hotgraph_server.wrapping.wrap import RAW, wrap

from ...saved_models import SavedModels

FORMATS = ("JPEG", "PNG", "GIF", "BMP", "WEBP")
LABELS = ("cat", "dog", "bird")
ZERO_ONE = ImageWish(None, scale_of("0..1"))


class Made:
    """SavedModels of plain functions, by what they take."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __call__(self, function: Callable[..., Any], *specs: Any) -> Path:
        import tensorflow as tf

        module = tf.Module()
        module.f = tf.function(function, input_signature=specs)
        folder = self.folder / f"model{len(list(self.folder.iterdir()))}"
        tf.saved_model.save(module, str(folder), signatures=module.f.get_concrete_function())
        return folder

    def wrapped(self, model: Path, *wishes: Any, **more: Any) -> Any:
        import tensorflow as tf

        target = self.folder / f"{model.name}-wrapped"
        wrap(model, target, *wishes, **more)
        return tf.saved_model.load(str(target))


@pytest.fixture
def made(tmp_path: Path) -> Made:
    return Made(tmp_path)


def picture(height: int = 6, width: int = 8, mode: str = "RGB") -> Image.Image:
    rng = np.random.default_rng(3)
    channels = len(Image.new(mode, (1, 1)).getbands())
    values = rng.integers(0, 256, (height, width, channels), np.uint8)
    return Image.fromarray(values[:, :, 0] if channels == 1 else values, mode=None)


def encoded(image: Image.Image, kind: str, **options: Any) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def pictures_model(made: Made, *shape: int | None, dtype: str = "float32") -> Path:
    """It gives back what it got."""
    import tensorflow as tf

    return made(lambda x: {"y": tf.identity(x)}, tf.TensorSpec([None, *shape], dtype, name="x"))


def answers(loaded: Any, *rows: bytes, name: str = "image") -> dict[str, Any]:
    import tensorflow as tf

    found = loaded.signatures["serving_default"](**{name: tf.constant(list(rows), tf.string)})
    return {key: value.numpy() for key, value in found.items()}


@pytest.mark.parametrize("kind", FORMATS)
def test_every_format_is_decoded(made: Made, kind: str) -> None:
    loaded = made.wrapped(pictures_model(made, 6, 8, 3), ZERO_ONE, None)
    content = encoded(picture(), kind)
    wanted = np.asarray(Image.open(io.BytesIO(content)).convert("RGB"), np.float32) / 255
    # Decoders of JPEG and WebP differ by a bit or two.
    assert answers(loaded, content)["y"][0] == pytest.approx(wanted, abs=0.03)


def test_pictures_of_one_call_may_differ_in_size_format_and_colours(made: Made) -> None:
    loaded = made.wrapped(pictures_model(made, 4, 4, 3), ZERO_ONE, None)
    rows = [
        encoded(picture(6, 8), "PNG"),
        encoded(picture(30, 3, "L"), "JPEG"),
        encoded(picture(9, 9, "RGBA"), "PNG"),
    ]
    together = answers(loaded, *rows)["y"]
    assert together.shape == (3, 4, 4, 3)
    for row, alone in zip(together, rows, strict=True):
        assert np.array_equal(row, answers(loaded, alone)["y"][0])


@pytest.mark.parametrize("size", [(3, 5), (12, 20)])
@pytest.mark.parametrize("antialias", [False, True])
def test_resizing_is_tensorflows(made: Made, size: tuple[int, int], antialias: bool) -> None:
    import tensorflow as tf

    wish = ImageWish(size, scale_of("none"), antialias=antialias)
    found = answers(made.wrapped(pictures_model(made, None, None, 3), wish, None), encoded(picture(), "PNG"))[
        "y"
    ]
    wanted = tf.image.resize(np.asarray(picture())[None], size, antialias=antialias)
    assert found == pytest.approx(wanted.numpy(), abs=1e-3)


def test_proportions_are_kept_by_cutting_or_by_bars(made: Made) -> None:
    bars = Image.new("RGB", (8, 4))
    bars.paste((255, 255, 255), (2, 0, 6, 4))
    content = encoded(bars, "PNG")
    model = pictures_model(made, 4, 4, 3)
    cut = answers(made.wrapped(model, ImageWish(None, scale_of("0..1"), "crop"), None), content)["y"]
    assert np.array_equal(cut, np.ones((1, 4, 4, 3)))
    other = pictures_model(made, 4, 4, 3)
    padded = answers(made.wrapped(other, ImageWish(None, scale_of("0..1"), "pad"), None), content)["y"]
    assert not padded[0, 0].any()
    assert padded[0, 1:3].any()
    assert not padded[0, 3].any()


@pytest.mark.parametrize(
    ("scale", "by_hand"),
    [
        ("-1..1", lambda x: x / 127.5 - 1),
        ("imagenet", lambda x: (x / 255 - [0.485, 0.456, 0.406]) / [0.229, 0.224, 0.225]),
        ("caffe", lambda x: x[..., ::-1] - [103.939, 116.779, 123.68]),
        ("none", lambda x: x),
    ],
)
def test_scales_are_as_one_would_write_them(made: Made, scale: str, by_hand: Any) -> None:
    loaded = made.wrapped(pictures_model(made, 6, 8, 3), ImageWish(None, scale_of(scale)), None)
    wanted = by_hand(np.asarray(picture(), np.float32))
    assert answers(loaded, encoded(picture(), "PNG"))["y"][0] == pytest.approx(wanted, abs=1e-3)


def test_models_of_integers_of_one_channel_and_of_channels_first_get_theirs(made: Made) -> None:
    content = encoded(picture(), "PNG")
    whole = made.wrapped(pictures_model(made, 6, 8, 3, dtype="uint8"), ImageWish(None, None), None)
    assert np.array_equal(answers(whole, content)["y"][0], np.asarray(picture()))
    grey = made.wrapped(pictures_model(made, 6, 8, 1), ZERO_ONE, None)
    assert answers(grey, content)["y"].shape == (1, 6, 8, 1)
    first = made.wrapped(pictures_model(made, 3, 6, 8), ZERO_ONE, None)
    found = np.moveaxis(answers(first, content)["y"][0], 0, 2)
    assert found * 255 == pytest.approx(np.asarray(picture()), abs=1e-3)


def huge_png() -> bytes:
    def chunk(kind: bytes, content: bytes) -> bytes:
        return (
            struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))
        )

    head = struct.pack(">IIBBBBB", 40_000, 40_000, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")
    )


def test_picture_that_claims_too_many_pixels_is_refused_before_it_is_decoded(made: Made) -> None:
    import tensorflow as tf

    loaded = made.wrapped(pictures_model(made, 4, 4, 3), ZERO_ONE, None)
    with pytest.raises(tf.errors.InvalidArgumentError, match=r"more pixels than the 50000000 .*1600000000"):
        answers(loaded, huge_png())


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        *((kind, {}) for kind in FORMATS),
        ("WEBP", {"lossless": True}),
        ("WEBP", {"lossless": True, "exif": b"Exif\0\0II*\0"}),
    ],
)
def test_limit_of_pixels_holds_for_every_format(made: Made, kind: str, options: dict[str, Any]) -> None:
    import tensorflow as tf

    content = encoded(picture(), kind, **options)
    model = pictures_model(made, 4, 4, 3)
    just = made.wrapped(model, ImageWish(None, scale_of("0..1"), max_pixels=48), None)
    assert answers(just, content)["y"].shape == (1, 4, 4, 3)
    model = pictures_model(made, 4, 4, 3)
    less = made.wrapped(model, ImageWish(None, scale_of("0..1"), max_pixels=47), None)
    with pytest.raises(tf.errors.InvalidArgumentError, match="more pixels than the 47"):
        answers(less, content)


def animated(*sizes: tuple[int, int]) -> bytes:
    """A GIF whose head says that it is of one pixel."""
    frames = [picture(*size).convert("P") for size in sizes]
    content = bytearray(
        encoded(frames[0], "GIF", save_all=True, append_images=frames[1:], comment=b"x" * 700)
    )
    content[6:10] = b"\1\0\1\0"
    return bytes(content)


def test_gif_is_held_to_the_size_of_its_first_frame_whatever_its_head_says(made: Made) -> None:
    import tensorflow as tf

    model = pictures_model(made, 4, 4, 3)
    just = made.wrapped(model, ImageWish(None, scale_of("0..1"), max_pixels=48), None)
    assert answers(just, animated((6, 8)))["y"].shape == (1, 4, 4, 3)
    with pytest.raises(tf.errors.InvalidArgumentError, match=r"more pixels than the 48 .*54"):
        answers(just, animated((6, 9)))


def test_only_the_first_frame_of_a_gif_is_decoded(made: Made) -> None:
    loaded = made.wrapped(pictures_model(made, 6, 8, 3), ZERO_ONE, None)
    frames = [Image.new("RGB", (8, 6), colour) for colour in ("red", "green", "blue")]
    whole = encoded(frames[0], "GIF", save_all=True, append_images=frames[1:], duration=9, loop=0)
    # A second frame that no decoder takes.
    broken = whole[: whole.index(b"\x2c", whole.index(b"\x2c") + 1)] + b"\x2c" + b"\xff" * 30
    for content in (whole, broken):
        found = answers(loaded, content)["y"][0] * 255
        assert found == pytest.approx(np.broadcast_to([255, 0, 0], (6, 8, 3)), abs=1)


@pytest.mark.parametrize("end", range(0, 60, 7))
def test_gif_that_is_cut_off_is_refused(made: Made, end: int) -> None:
    import tensorflow as tf

    loaded = made.wrapped(pictures_model(made, 6, 8, 3), ZERO_ONE, None)
    with pytest.raises(tf.errors.InvalidArgumentError):
        answers(loaded, encoded(picture(), "GIF")[:end])


def test_gif_of_endless_parts_is_refused(made: Made) -> None:
    import tensorflow as tf

    loaded = made.wrapped(pictures_model(made, 6, 8, 3), ZERO_ONE, None)
    head = b"GIF89a\x08\0\x06\0\0\0\0"
    with pytest.raises(tf.errors.InvalidArgumentError, match="more than 20000 parts"):
        answers(loaded, head + b"\x21\xfe" + b"\x01x" * 30_000)


def test_bmp_whose_rows_come_from_the_top_is_no_larger_for_it(made: Made) -> None:
    loaded = made.wrapped(pictures_model(made, 6, 8, 3), ZERO_ONE, None)
    content = bytearray(encoded(picture(), "BMP"))
    content[22:26] = struct.pack("<i", -6)
    assert answers(loaded, bytes(content))["y"][0] * 255 == pytest.approx(
        np.asarray(picture())[::-1], abs=1e-3
    )


def words_model(made: Made, length: int | None) -> Path:
    import tensorflow as tf

    return made(lambda ids: {"ids": tf.identity(ids)}, tf.TensorSpec([None, length], tf.int32, name="ids"))


def test_words_become_their_lines_numbers(made: Made) -> None:
    wish = TextWish(("", "[UNK]", "good", "film"), 1, None)
    loaded = made.wrapped(words_model(made, 5), wish, None)
    found = answers(loaded, b"Good, GOOD film!", b"", b"a film of which more is said than fits", name="text")
    assert found["ids"].tolist() == [[2, 2, 3, 0, 0], [0, 0, 0, 0, 0], [1, 3, 1, 1, 1]]


def test_texts_may_be_left_as_they_are(made: Made) -> None:
    wish = TextWish(("[UNK]", "Good"), 0, 3, "none", pad=7)
    loaded = made.wrapped(words_model(made, None), wish, None)
    assert answers(loaded, b"Good good Good", b"Good", name="text")["ids"].tolist() == [[1, 0, 1], [1, 7, 7]]


def scores_model(made: Made, count: int | None, **named: Any) -> Path:
    import tensorflow as tf

    return made(
        lambda x: {name: tf.identity(x) for name in named or ("y",)},
        tf.TensorSpec([None, count], tf.float32, name="x"),
    )


def named(loaded: Any, rows: Any) -> dict[str, Any]:
    import tensorflow as tf

    found = loaded.signatures["serving_default"](x=tf.constant(rows, tf.float32))
    return {key: value.numpy().tolist() for key, value in found.items()}


def test_best_classes_come_out_with_names_and_scores(made: Made) -> None:
    loaded = made.wrapped(scores_model(made, 3), None, LabelWish(LABELS, top=2))
    found = named(loaded, [[0.5, 0.25, 0.125], [0.125, 0.25, 0.5]])
    assert found == {
        "labels": [[b"cat", b"dog"], [b"bird", b"dog"]],
        "scores": [[0.5, 0.25], [0.5, 0.25]],
    }


def test_without_names_classes_have_numbers_and_other_outputs_stay(made: Made) -> None:
    loaded = made.wrapped(scores_model(made, 3, y=1, z=1), None, LabelWish(top=9, output="y"))
    assert named(loaded, [[0.5, 0.25, 1.0]]) == {
        "classes": [[2, 0, 1]],
        "scores": [[1.0, 0.5, 0.25]],
        "z": [[0.5, 0.25, 1.0]],
    }


def test_softmax_makes_probabilities_and_one_score_speaks_for_two_classes(made: Made) -> None:
    loaded = made.wrapped(scores_model(made, 2), None, LabelWish(softmax=True))
    assert sum(named(loaded, [[3.0, 1.0]])["scores"][0]) == pytest.approx(1)
    loaded = made.wrapped(scores_model(made, 1), None, LabelWish(("bad", "good")))
    assert named(loaded, [[0.25], [0.75]])["labels"] == [[b"bad", b"good"], [b"good", b"bad"]]


def test_model_of_tensorflow_1_is_wrapped_as_well(saved_models: SavedModels, tmp_path: Path) -> None:
    import tensorflow as tf

    wish = LabelWish(top=2, output="probabilities")
    wrap(saved_models["tf1_softmax"], tmp_path / "wrapped", None, wish)
    signatures = tf.saved_model.load(str(tmp_path / "wrapped")).signatures
    ((name, spec),) = signatures[RAW].structured_input_signature[1].items()
    rows = tf.random.uniform([3, *spec.shape[1:]])
    found = signatures["serving_default"](**{name: rows})
    best = signatures[RAW](**{name: rows})["digit"].numpy()
    assert found["classes"].numpy()[:, 0].tolist() == found["digit"].numpy().tolist() == best.tolist()


def test_tables_of_tensorflow_1_are_told(saved_models: SavedModels, tmp_path: Path) -> None:
    with pytest.raises(StartError, match="of TensorFlow 1 and has tables"):
        wrap(saved_models["tf1_vocabulary"], tmp_path / "wrapped", None, LabelWish(top=2))


def test_model_as_it_was_is_there_too(made: Made) -> None:
    loaded = made.wrapped(pictures_model(made, 6, 8, 3), ZERO_ONE, None)
    assert set(loaded.signatures) == {"serving_default", RAW}
    assert list(loaded.signatures[RAW].structured_input_signature[1]) == ["x"]


@pytest.mark.parametrize(
    ("shape", "wish", "why"),
    [
        ((6,), ZERO_ONE, "no batch of pictures"),
        ((None, None, 3), ZERO_ONE, "takes any size; say which: --decode-image 224x224"),
        ((6, 8, 3), ImageWish((8, 8), scale_of("none")), "8x8: input 'x' takes 6x8"),
        ((6, 8, 3), ImageWish(None, None), "--scale says what values"),
        ((6, 8, 5), ZERO_ONE, "5 channels"),
        ((6, 8, 1), ImageWish(None, scale_of("imagenet")), "one channel"),
        ((6, 8), TextWish(("[UNK]",), 0, 3), "no numbers of words"),
        ((8,), TextWish(("[UNK]",), 0, 3), "--length 3: input 'x' takes 8"),
        ((None,), TextWish(("[UNK]",), 0, None), "--length N"),
    ],
)
def test_what_cannot_be_put_in_front_is_told(made: Made, shape: Any, wish: Any, why: str) -> None:
    with pytest.raises(StartError, match=why):
        made.wrapped(pictures_model(made, *shape), wish, None)
    assert [one.name for one in made.folder.iterdir()] == ["model0"]


@pytest.mark.parametrize(
    ("wish", "more", "why"),
    [
        (LabelWish(("a", "b")), {}, "there are 2 lines, and output 'y' has 3 classes"),
        (LabelWish(output="z"), {}, "--output 'z': the model has y"),
        (LabelWish(), {"signature": "other"}, "no signature 'other'; it has serving_default"),
    ],
)
def test_what_cannot_be_put_behind_is_told(made: Made, wish: LabelWish, more: Any, why: str) -> None:
    with pytest.raises(StartError, match=why):
        made.wrapped(scores_model(made, 3), None, wish, **more)


@pytest.mark.parametrize(
    ("shape", "before", "after"),
    [
        ((6, 8, 3), ZERO_ONE, None),
        ((6, 8, 3), ImageWish(None, scale_of("caffe"), "crop", antialias=True), None),
        ((6, 8, 3), ImageWish(None, scale_of("imagenet"), "pad"), None),
        ((6,), TextWish(("", "[UNK]", "a"), 1, None), LabelWish(tuple("abcdef"), softmax=True)),
        ((3,), None, LabelWish(LABELS)),
        ((1,), None, LabelWish(("bad", "good"))),
    ],
)
def test_rows_are_proven_independent(made: Made, shape: Any, before: Any, after: Any) -> None:
    """So that calls share batches, as hotgraph inspect says of it."""
    from tensorflow.python.framework import op_def_registry
    from tensorflow.python.saved_model import loader_impl

    model = pictures_model(made, *shape)
    target = model.with_name("wrapped")
    wrap(model, target, before, after)
    meta_graph = loader_impl.parse_saved_model(str(target)).meta_graphs[0]
    signature = meta_graph.signature_def["serving_default"]
    inputs = [
        Input(
            alias,
            info.name,
            shape=tuple(None if one.size < 0 else one.size for one in info.tensor_shape.dim),
            has_rows=True,
        )
        for alias, info in signature.inputs.items()
    ]
    outputs = {alias: info.name for alias, info in signature.outputs.items()}
    judgement = judge(meta_graph.graph_def, inputs, outputs, op_def_registry.get)
    assert judgement.verdict is Verdict.PROVEN, judgement.reason


def test_input_that_has_the_pictures_name_keeps_it(made: Made) -> None:
    import tensorflow as tf

    specs = [tf.TensorSpec([None, 4, 4, 3], name="image"), tf.TensorSpec([None, 1], name="more")]
    model = made(lambda image, more: {"y": tf.reduce_mean(image, [1, 2]) + more}, *specs)
    loaded = made.wrapped(model, ZERO_ONE, None, input_name="image")
    _, taken = loaded.signatures["serving_default"].structured_input_signature
    assert sorted(taken) == ["image", "more"]
    assert taken["image"].dtype == tf.string
