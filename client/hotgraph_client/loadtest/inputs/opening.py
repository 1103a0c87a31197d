"""From options to a set of inputs: what kind of data is it, and what does the model take of it?"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from hotgraph_protos.tensors import Array

from ...descriptions import TensorMetadata
from ..dialects.description import Description, listed
from . import images, logs, perf_analyzer
from .expecting import with_expected
from .files import read_npy, read_npz
from .fitting import fitted
from .generating import Generator
from .items import InputError, InputSet, Item
from .options import DATA, InputOptions, Read, Rows, read_options
from .rows import with_rows
from .tfrecord import starts_as_records

_KINDS = "a .npy, .npz or .json file, a folder of .npy files or images, a warm-up file or a request log"

Part = Mapping[str, Array]
"""Some or all inputs of one call."""


def open_inputs(description: Description, options: InputOptions) -> InputSet:
    """What to send.

    Raises:
        InputError: options or data that make no sense, or data that the model does not take.
    """
    read = read_options(options, [tensor.name for tensor in description.inputs])
    found = _from_data(description, read) if read.data else _random(description, read)
    found = with_expected(found, description, read.check)
    if read.rows is not None and read.data:
        found = with_rows(found, description, read.rows, read.max_bytes)
    return _noted(found, description)


def _random(description: Description, read: Read) -> InputSet:
    generator = _generator(read)
    tensors = [tensor for tensor in description.inputs if tensor.name not in description.optional]
    rows = read.rows or Rows((1,))
    if read.rows is not None and not description.has_rows:
        raise InputError(
            f"--rows: the inputs of '{description.model}' have no free dimension 0 to put them in"
        )
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
    return InputSet(tuple(items), f"random, seed {read.seed}", weights, round=len(counts))


def _from_data(description: Description, read: Read) -> InputSet:
    name, path = read.data[0]
    if len(read.data) == 1 and name is None:
        whole = _whole(Path(path), description, read)
        if whole is not None:
            return whole
    parts = [_parts(name, Path(path), description, read) for name, path in read.data]
    return _completed(_merged(parts, read), description, read)


def _whole(path: Path, description: Description, read: Read) -> InputSet | None:
    """Data that is whole calls; None: it is of other kinds."""
    if path.suffix == ".json":
        return _calls(path, description, read)
    records = _record_files(path)
    if records:
        return logs.read_log(records, description, str(path), read.max_bytes, answers=read.check == DATA)
    return None


def _calls(path: Path, description: Description, read: Read) -> InputSet:
    calls = perf_analyzer.read_json(path, description, read.shapes)
    items = [
        Item(inputs, description.rows_of(inputs), None if calls.outputs is None else calls.outputs[at])
        for at, inputs in enumerate(calls.inputs)
    ]
    for at, item in enumerate(items):
        _check_complete(item.inputs, description, f"{path}: data[{at}]")
    notes = (f"{path}: the steps of its sequences are sent as single calls",) if calls.in_sequences else ()
    return InputSet(tuple(items), f"{path} ({len(items)} calls)", None, notes)


def _record_files(path: Path) -> list[Path]:
    if path.is_dir():
        return [each for each in sorted(path.iterdir()) if each.is_file() and starts_as_records(each)]
    return [path] if path.is_file() and starts_as_records(path) else []


def _parts(name: str | None, path: Path, description: Description, read: Read) -> list[Part]:
    """What one --data says, call by call."""
    if not path.exists():
        raise InputError(f"--data {path}: there is no such file or folder")
    if path.suffix == ".npz":
        return [_by_names(_renamed(read_npz(path), name, path), path, description)]
    if path.suffix == ".npy":
        tensor = _target(name, path, description, description.inputs)
        return [{tensor.name: fitted(read_npy(path), tensor, str(path))}]
    if path.is_dir() and name is None and (arrays := sorted(path.glob("*.npy"))):
        return [_by_names({file.stem: read_npy(file) for file in arrays}, path, description)]
    files = images.image_files(path)
    if not files:
        raise InputError(f"--data {path}: expected {_KINDS}")
    taking = tuple(filter(images.is_image_input, description.inputs))
    if name is None and not taking:
        raise InputError(
            f"--data {path}: no input of '{description.model}' takes images (BYTES, or rank 4); the inputs"
            f" are {listed(description.inputs)}: give arrays (.npy)"
        )
    tensor = _target(name, path, description, taking)
    read_files = images.read_images(files, tensor, read.scale, read.shapes.get(tensor.name))
    return [{tensor.name: array} for array in _bounded(read_files, path, read)]


def _bounded(arrays: Iterable[Array], path: Path, read: Read) -> Iterable[Array]:
    """As long as memory is left."""
    nbytes = 0
    for number, array in enumerate(arrays, 1):
        nbytes += Item({"": array}, 1).nbytes
        if nbytes > read.max_bytes:
            raise InputError(
                f"--data {path}: {number} of its images take more than {read.max_bytes >> 20} MiB: give"
                " fewer, a smaller --shape, or a larger --input-mb"
            )
        yield array


def _renamed(arrays: dict[str, Array], name: str | None, path: Path) -> dict[str, Array]:
    if name is None:
        return arrays
    if len(arrays) != 1:
        raise InputError(
            f"{path} holds {len(arrays)} arrays ({', '.join(arrays)}): leave '{name}=' away to use their"
            " names"
        )
    return {name: next(iter(arrays.values()))}


def _by_names(arrays: Mapping[str, Array], path: Path, description: Description) -> Part:
    found: dict[str, Array] = {}
    for name, array in arrays.items():
        tensor = description.input(name)
        if tensor is None:
            raise InputError(f"{path}: no input '{name}'; the inputs are {listed(description.inputs)}")
        found[name] = fitted(array, tensor, f"{path}: '{name}'")
    if not found:
        raise InputError(f"{path}: it holds no arrays")
    return found


def _target(
    name: str | None, path: Path, description: Description, candidates: Sequence[TensorMetadata]
) -> TensorMetadata:
    if name is not None:
        return next(tensor for tensor in description.inputs if tensor.name == name)
    needed = [tensor for tensor in candidates if tensor.name not in description.optional] or list(candidates)
    if len(needed) != 1:
        raise InputError(
            f"--data {path}: say which input, as in NAME={path}; the inputs are {listed(description.inputs)}"
        )
    return needed[0]


def _merged(parts: Sequence[list[Part]], read: Read) -> list[dict[str, Array]]:
    """What several --data say, call by call; what says one call only goes with all of the others."""
    most = max(map(len, parts))
    merged: list[dict[str, Array]] = [{} for _ in range(most)]
    for (_, path), calls in zip(read.data, parts, strict=True):
        if len(calls) not in (1, most):
            raise InputError(f"--data {path}: it has {len(calls)} calls, and another one {most}")
        for at, call in enumerate(merged):
            part = calls[at % len(calls)]
            if again := call.keys() & part.keys():
                raise InputError(f"--data {path}: input '{sorted(again)[0]}' is given twice")
            call.update(part)
    return merged


def _completed(calls: Sequence[dict[str, Array]], description: Description, read: Read) -> InputSet:
    """With random values for what the data does not give."""
    generator = _generator(read)
    items: list[Item] = []
    missing: dict[str, None] = {}
    for call in calls:
        rows = description.rows_of(call)
        for tensor in description.inputs:
            if tensor.name not in call and tensor.name not in description.optional:
                call[tensor.name] = generator.array(tensor, rows)
                missing[tensor.name] = None
        items.append(Item(call, rows))
    source = ", ".join(path for _, path in read.data) + (f" ({len(items)} calls)" if len(items) > 1 else "")
    notes = (f"{source}: random values for {', '.join(missing)}",) if missing else ()
    return InputSet(tuple(items), source, None, notes)


def _check_complete(inputs: Part, description: Description, where: str) -> None:
    for tensor in description.inputs:
        if tensor.name not in inputs and tensor.name not in description.optional:
            raise InputError(f"{where}: input '{tensor.name}' is missing")


def _noted(found: InputSet, description: Description) -> InputSet:
    most, rows = description.max_batch_rows, max(item.rows for item in found.items)
    if not rows:
        note = f"{found.source}: its calls have no rows, and give the model nothing to do"
        return replace(found, notes=(*found.notes, note))
    if most is None or rows <= most:
        return found
    note = f"calls of {rows} rows: the server says that it takes {most}; --rows makes smaller ones"
    return replace(found, notes=(*found.notes, note))


def _generator(read: Read) -> Generator:
    lines = _lines(read.text) if read.text else []
    return Generator(read.seed, shapes=read.shapes, ranges=read.ranges, lines=lines)


def _lines(path: str) -> list[bytes]:
    try:
        with open(path, "rb") as file:
            found = [line.rstrip(b"\r\n") for line in file.readlines(64 * 2**20)]
    except OSError as error:
        raise InputError(f"--text {path}: {error.strerror or error}") from None
    if not any(found):
        raise InputError(f"--text {path}: it has no lines")
    return [line for line in found if line]
