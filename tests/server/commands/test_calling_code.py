"""calling_code.py: calls to paste; tests/acceptance/test_first_inputs.py runs them against a server."""

from __future__ import annotations

import base64
import io
import json
import shlex
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from PIL import Image

from hotgraph_server.commands.calling_code import calling
from hotgraph_server.signatures import Content, Signature, TensorSpec
from hotgraph_server.warmup.synthetic_inputs import Kind, described, has_numerals_in, size_in

from ..protocols.fakes import FakeGraph, Models, identity, identity_signature, spec


@pytest.fixture
def models() -> Iterator[Models]:
    models = Models()
    yield models
    models.stop()


def command(models: Models, signature: Signature) -> tuple[dict[str, str], list[str]]:
    """The values of the line for a shell by input, and all lines."""
    version = models.add("m", 1, FakeGraph((signature, identity)))
    lines = list(calling(version, version.signatures[signature.name]))
    words = shlex.split(lines[-1])
    assert words[:4] == ["hotgraph", "predict", "127.0.0.1:8500", "m"]
    values = [words[place + 1] for place, word in enumerate(words) if word == "--input"]
    return dict(value.split("=", 1) for value in values), lines


@pytest.mark.parametrize(
    ("dtype", "sizes", "value"),
    [
        (np.float32, (None, 2), "[[0, 0]]"),
        (np.bool_, (None,), "[false]"),
        (np.int64, (), "0"),
        (object, (None, 1), '[["text"]]'),
        (np.float32, (None, 8, 8, 3), "zeros:1x8x8x3"),
    ],
)
def test_values_are_json_or_zeros_where_they_are_many(
    models: Models, dtype: Any, sizes: tuple[int | None, ...], value: str
) -> None:
    assert command(models, identity_signature(dtype, *sizes))[0] == {"x": value}


def test_pixels_may_be_a_file(models: Models) -> None:
    _, lines = command(models, identity_signature(np.float32, None, 8, 8, 3))
    assert lines[-2] == "  with a picture of your own below: --input x=FILE.jpg"


def test_input_that_a_graph_decodes_is_a_picture(models: Models) -> None:
    text = spec("x", object, None)
    signature = Signature(
        "serving_default", (text,), (text,), contents={"x": Content("JPEG images", (b"\xff\xd8" * 900,))}
    )
    values, lines = command(models, signature)
    (element,) = json.loads(values["x"])
    with Image.open(io.BytesIO(base64.b64decode(element["b64"]))) as image:
        assert image.size == (64, 64)
    assert len(lines[-1]) < 400
    assert "  import base64" in lines
    assert lines[-2] == "  with a picture of your own below: --input x=FILE.jpg"


def test_input_that_a_graph_parses_is_one_that_it_can_parse(models: Models) -> None:
    text = spec("x", object, None)
    contents = {"x": Content("tf.Examples", (b"\x00long one", b"\x0a\x00"))}
    values, _ = command(models, Signature("serving_default", (text,), (text,), contents=contents))
    assert json.loads(values["x"]) == [{"b64": base64.b64encode(b"\x0a\x00").decode()}]


def test_free_dimensions_and_texts_are_those_that_the_graph_was_tried_with() -> None:
    pair = Signature(
        "s",
        (spec("x", np.float32, None, None), TensorSpec("t", "t:0", np.dtype(object), (None,))),
        (spec("y", np.float32, None),),
    )
    words = described(pair, Kind(size=32, below=2, numerals=True))
    assert size_in(words) == 32
    assert has_numerals_in(words)
    plain = described(identity_signature(np.float32, None), Kind(size=8, below=2))
    assert size_in(plain) == 1
    assert not has_numerals_in(plain)


def test_name_that_a_shell_would_read_is_quoted(models: Models) -> None:
    tensor = TensorSpec("a b", "x:0", np.dtype(np.float32), (None,))
    signature = Signature("serving_default", (tensor,), (tensor,))
    version = models.add("m", 1, FakeGraph((signature, lambda x: {"a b": x})))
    line = list(calling(version, version.signatures["serving_default"]))[-1]
    assert shlex.split(line)[-1] == "a b=[0]"
