"""From options to a set of inputs."""

from __future__ import annotations

from ..dialects.description import Description
from .generating import Generator
from .items import InputError, InputSet, Item
from .options import InputOptions, Read, Rows, read_options


def open_inputs(description: Description, options: InputOptions) -> InputSet:
    """What to send.

    Raises:
        InputError: options or data that make no sense, or data that the model does not take.
    """
    read = read_options(options, [tensor.name for tensor in description.inputs])
    return _random(description, read)


def _random(description: Description, read: Read) -> InputSet:
    lines = _lines(read.text) if read.text else []
    generator = Generator(read.seed, shapes=read.shapes, ranges=read.ranges, lines=lines)
    tensors = [tensor for tensor in description.inputs if tensor.name not in description.optional]
    rows = read.rows or Rows((1,))
    counts = rows.counts
    round_bytes = sum(generator.nbytes(tensor, count) for count in counts for tensor in tensors)
    if round_bytes > read.max_bytes:
        raise InputError(
            f"one call for each of {len(counts)} numbers of rows takes {round_bytes >> 20} MiB together, and"
            f" {read.max_bytes >> 20} MiB are allowed: give fewer --rows or a smaller --shape, or a larger"
            " --input-mb"
        )
    # as many of each number of rows
    each = max(1, min(-(-read.items // len(counts)), read.max_bytes // max(round_bytes, 1)))
    weights = None if rows.shares is None else rows.shares * each
    items: list[Item] = []
    for count in counts * each:
        inputs = {tensor.name: generator.array(tensor, count) for tensor in tensors}
        items.append(Item(inputs, description.rows_of(inputs)))
    return InputSet(tuple(items), f"random, seed {read.seed}", weights)


def _lines(path: str) -> list[bytes]:
    try:
        with open(path, "rb") as file:
            found = [line.rstrip(b"\r\n") for line in file.readlines(64 * 2**20)]
    except OSError as error:
        raise InputError(f"--text {path}: {error.strerror or error}") from None
    if not any(found):
        raise InputError(f"--text {path}: it has no lines")
    return [line for line in found if line]
