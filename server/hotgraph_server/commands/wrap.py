"""``hotgraph wrap``: a SavedModel that takes pictures or texts and gives names, of one that takes numbers."""

from __future__ import annotations

import argparse
import os
import re
import shlex
from pathlib import Path

from hotgraph_server.commands.bootstrap import import_tensorflow
from hotgraph_server.commands.conversion import model_path
from hotgraph_server.commands.setting_flags import add_flags
from hotgraph_server.errors import LoadError, StartError
from hotgraph_server.repository.layout import versions_in
from hotgraph_server.settings import ConversionSettings, OpsSettings, build
from hotgraph_server.wrapping import wishes
from hotgraph_server.wrapping.wishes import ImageWish, LabelWish, TextWish

DESCRIPTION = """\
Put TensorFlow's own ops around a model, so that it takes what people have: a picture as a file (JPEG, PNG,
GIF or BMP), or a text; and gives the names of the best classes. The result is a SavedModel like any other.
Calls still share batches, and the model as it was is there too, as its signature "raw".
"""
EXAMPLES = """\
examples:
  hotgraph wrap flowers.keras flowers --decode-image --scale 0..1 --labels labels.txt --top 5
      the picture's size is the model's; labels.txt names a class on each line
  hotgraph wrap DIR OUT --decode-image 224x224 --scale imagenet --fit crop --antialias --softmax --top 3
      for scales that torchvision trains with, and outputs that are no probabilities yet
  hotgraph wrap DIR OUT --text vocabulary.txt --length 200
      a word's number is its line's; as model.get_vocabulary() of Keras's TextVectorization lists them

then:
  hotgraph serve flowers
  echo "{\\"instances\\": [{\\"b64\\": \\"$(base64 -w0 cat.jpg)\\"}]}" |
      curl -d @- 127.0.0.1:8502/v1/models/flowers:predict

scales, of values from 0 to 255:
  0..1, -1..1   or any other range: MobileNet, Inception and Xception of Keras take -1..1
  none          as they are: EfficientNet and whatever has a Rescaling layer of its own
  imagenet      0..1, less the mean, by the deviation: torchvision, DenseNet
  caffe         blue first, less the mean: VGG and ResNet of Keras
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Give `parser` the arguments of the command, its description and its examples."""
    parser.description, parser.epilog = DESCRIPTION, EXAMPLES
    # argparse has no other way to take "-1..1" for the value that it is, and no flag.
    parser._negative_number_matcher = re.compile(r"-[0-9].*")
    parser.add_argument("model", metavar="MODEL", help="a SavedModel, or a .keras, .h5 or frozen .pb file")
    parser.add_argument("out", metavar="DIR", help="the new SavedModel's folder, which is not there yet")
    parser.add_argument("--signature", default="", metavar="NAME", help="of the model (default: its default)")
    parser.add_argument("--input", default="", metavar="NAME", help="of the model, where it has several")
    image = parser.add_argument_group("a picture in").add_argument
    image(
        "--decode-image",
        nargs="?",
        const="",
        metavar="HEIGHTxWIDTH",
        help="the size that the model takes (default: as it says itself)",
    )
    image("--scale", metavar="0..1", help="what values the model was trained with; see below")
    image(
        "--fit",
        choices=wishes.FITS,
        default="stretch",
        help="other proportions: stretched, cut at the sides, or with black bars (default stretch)",
    )
    image(
        "--antialias",
        action="store_true",
        help="average pixels where a picture becomes smaller, as Pillow does",
    )
    image(
        "--max-pixels",
        type=int,
        default=50_000_000,
        metavar="N",
        help="larger pictures are refused before they are decoded; 0: none is (default %(default)s)",
    )
    text = parser.add_argument_group("a text in").add_argument
    text(
        "--text",
        type=Path,
        metavar="VOCABULARY.txt",
        help="a word on each line; its number is the line's, from 0",
    )
    text(
        "--length",
        type=int,
        metavar="N",
        help="words of a text, cut or filled up (default: as the model says)",
    )
    text(
        "--standardize",
        choices=wishes.STANDARDIZE,
        default=wishes.STANDARDIZE[0],
        help="what is done to a text before it is split at spaces (default %(default)s, as Keras does)",
    )
    text("--unknown", default="", metavar="WORD", help="the line for words that are on none (default: [UNK])")
    text("--pad-id", type=int, default=0, metavar="N", help="what fills short texts up (default 0)")
    names = parser.add_argument_group("names out").add_argument
    names("--labels", type=Path, metavar="LABELS.txt", help="a class's name on each line")
    names("--top", type=int, metavar="N", help="so many, the best first (default 5, with --labels)")
    names("--softmax", action="store_true", help="make probabilities of the outputs, which are none yet")
    names("--output", default="", metavar="NAME", help="of the model, where it has several")
    add_flags(parser, OpsSettings, ConversionSettings)


def run(arguments: argparse.Namespace) -> int:
    """Write the SavedModel; returns the exit status.

    Raises:
        StartError: it cannot be done; the text says why.
    """
    before, after = _before(arguments), _after(arguments)
    if before is None and after is None:
        raise StartError("nothing is to be put around the model: --decode-image, --text, --labels or --top")
    target = Path(os.path.expanduser(arguments.out)).absolute()
    if target.exists():
        raise LoadError(str(target), "is there already")
    _, path = model_path(arguments.model, vars(arguments))
    found = versions_in(path)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise LoadError(str(target), f"cannot be made: {error.strerror}") from error
    import_tensorflow([], build(OpsSettings, vars(arguments)))
    # Here, because it imports TensorFlow.
    from hotgraph_server.wrapping.wrap import wrap

    lines = wrap(
        found[max(found)],
        target,
        before,
        after,
        signature=arguments.signature,
        input_name=arguments.input,
    )
    print(
        "\n".join(
            [str(target), *(f"  {line}" for line in lines), f"hotgraph serve {shlex.quote(str(target))}"]
        )
    )
    return 0


def _before(arguments: argparse.Namespace) -> ImageWish | TextWish | None:
    if arguments.decode_image is not None and arguments.text is not None:
        raise StartError("--decode-image and --text are for models of different kinds")
    if arguments.text is not None:
        words = wishes.lines_of(_content(arguments.text), f"--text {arguments.text}")
        if len(set(words)) < len(words):
            twice = next(word for index, word in enumerate(words) if word in words[:index])
            raise StartError(f"--text {arguments.text}: {twice!r} is there twice")
        if arguments.length is not None and arguments.length < 1:
            raise StartError("--length must be 1 or more")
        unknown = wishes.unknown_in(words, arguments.unknown)
        return TextWish(tuple(words), unknown, arguments.length, arguments.standardize, arguments.pad_id)
    if arguments.decode_image is None:
        if arguments.scale is not None:
            raise StartError("--scale is for pictures: --decode-image")
        return None
    if arguments.max_pixels < 0:
        raise StartError("--max-pixels must be 0 or more")
    scale = wishes.scale_of(arguments.scale) if arguments.scale is not None else None
    size = wishes.size_of(arguments.decode_image)
    return ImageWish(size, scale, arguments.fit, arguments.antialias, arguments.max_pixels)


def _after(arguments: argparse.Namespace) -> LabelWish | None:
    if arguments.labels is None and arguments.top is None:
        if arguments.softmax or arguments.output:
            raise StartError("--softmax and --output are for --labels and --top")
        return None
    if arguments.top is not None and arguments.top < 1:
        raise StartError("--top must be 1 or more")
    labels = (
        wishes.lines_of(_content(arguments.labels), f"--labels {arguments.labels}")
        if arguments.labels
        else []
    )
    return LabelWish(tuple(labels), arguments.top or 5, arguments.softmax, arguments.output)


def _content(file: Path) -> bytes:
    try:
        return Path(os.path.expanduser(file)).read_bytes()
    except OSError as error:
        raise StartError(f"{file}: {error.strerror or error}") from error
