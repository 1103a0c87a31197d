"""What is to be put around a model, as the command line says it. Pure."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass

from hotgraph_server.errors import StartError

FITS = ("stretch", "crop", "pad")
STANDARDIZE = ("lower_and_strip_punctuation", "lower", "strip_punctuation", "none")
UNKNOWN = ("[UNK]", "<unk>", "<UNK>", "<OOV>", "[OOV]")
"""What vocabularies call the word that stands for all others."""

_NUMBER = r"[-+]?[0-9]+(?:\.[0-9]+)?"
_RANGE = re.compile(rf"({_NUMBER})\.\.({_NUMBER})")
_SIZE = re.compile(r"([0-9]{1,5})(?:[xX]([0-9]{1,5}))?")
_WORDS = "0..1, -1..1 or any other range, none, imagenet or caffe"


@dataclass(frozen=True)
class Scale:
    """What becomes of a picture's values, 0 to 255: ``value * factor + offset`` for each channel.

    Attributes:
        factors: for red, green and blue; or one, for all.
        offsets: the same.
        is_bgr: are channels turned round, before that?
        is_none: do values stay as they are?
    """

    factors: tuple[float, ...] = (1.0,)
    offsets: tuple[float, ...] = (0.0,)
    is_bgr: bool = False

    @property
    def is_none(self) -> bool:
        return self == Scale()


# Of torchvision, and keras.applications' mode "torch".
_MEAN, _DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
_NAMED = {
    "none": Scale(),
    "imagenet": Scale(
        tuple(1 / (255 * one) for one in _DEVIATION),
        tuple(-mean / one for mean, one in zip(_MEAN, _DEVIATION, strict=True)),
    ),
    # keras.applications' mode "caffe": VGG and the first ResNets.
    "caffe": Scale((1.0,), (-103.939, -116.779, -123.68), is_bgr=True),
}


def scale_of(text: str) -> Scale:
    """
    Raises:
        StartError: it is none; the text says what there is.
    """
    if text in _NAMED:
        return _NAMED[text]
    found = _RANGE.fullmatch(text)
    low, high = (float(found[1]), float(found[2])) if found else (0.0, 0.0)
    if low == high or not math.isfinite(high - low):
        raise StartError(f"--scale {text[:50]!r}: there is {_WORDS}")
    return Scale(((high - low) / 255,), (low,))


def size_of(text: str) -> tuple[int, int] | None:
    """Height and width, from "224x224" or "224"; None: empty, as the model has it.

    Raises:
        StartError: it is no size.
    """
    if not text:
        return None
    found = _SIZE.fullmatch(text)
    height = int(found[1]) if found else 0
    width = int(found[2] or found[1]) if found else 0
    if not height or not width:
        raise StartError(f"--decode-image {text[:50]!r} is no size; it is HEIGHTxWIDTH, such as 224x224")
    return height, width


def unknown_in(words: Sequence[str], wanted: str) -> int:
    """The number of the word that stands for all that are not in a vocabulary.

    Args:
        wanted: that word; empty: one that vocabularies usually have.

    Raises:
        StartError: it is not there.
    """
    for word in [wanted] if wanted else UNKNOWN:
        if word in words:
            return words.index(word)
    if wanted:
        raise StartError(f"--unknown {wanted!r}: the vocabulary has no such line")
    raise StartError(
        f"the vocabulary has no word for those that it lacks ({', '.join(UNKNOWN)}): --unknown WORD says"
        " which it is"
    )


def lines_of(content: bytes, what: str) -> list[str]:
    """The lines of a file, without what ends them.

    Raises:
        StartError: it holds none, or is no UTF-8.
    """
    try:
        lines = content.decode("utf-8-sig").split("\n")
    except UnicodeDecodeError as error:
        raise StartError(f"{what} is no UTF-8 text (byte {error.start})") from None
    lines = [line.removesuffix("\r") for line in lines]
    if lines and not lines[-1]:
        lines.pop()
    if not lines:
        raise StartError(f"{what} holds no lines")
    return lines


@dataclass(frozen=True)
class ImageWish:
    """A picture in.

    Attributes:
        size: height and width; None: as the model has it.
        scale: of values; None: not said.
        fit: one of `FITS`.
        antialias: are pixels averaged where a picture is made smaller?
        max_pixels: of a picture; larger ones are refused before they are decoded. 0: none is.
    """

    size: tuple[int, int] | None
    scale: Scale | None
    fit: str = "stretch"
    antialias: bool = False
    max_pixels: int = 50_000_000


@dataclass(frozen=True)
class TextWish:
    """Words in.

    Attributes:
        vocabulary: a word's number is its place.
        unknown: the number of all other words.
        length: words of a text, cut or padded; None: as the model has it.
        standardize: one of `STANDARDIZE`, as Keras's TextVectorization has them.
        pad: the number that fills up.
    """

    vocabulary: tuple[str, ...]
    unknown: int
    length: int | None
    standardize: str = STANDARDIZE[0]
    pad: int = 0


@dataclass(frozen=True)
class LabelWish:
    """Names out.

    Attributes:
        labels: by class; empty: classes' numbers come out.
        top: so many, the best first.
        softmax: are the model's outputs no probabilities yet?
        output: of the model; empty: the only one.
    """

    labels: tuple[str, ...] = ()
    top: int = 5
    softmax: bool = False
    output: str = ""
