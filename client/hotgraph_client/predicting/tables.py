"""Tables with commas between their columns, as inputs of a model. Pure.

The first line names the columns, unless all of it is numbers. Columns that are called as inputs are those
inputs; otherwise all of them, in their order, are the columns of the only input. Types are the model's.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from typing import Any, NamedTuple

from hotgraph_protos.tensors import BYTES, Array

from ..arrays import from_python
from ..descriptions import TensorMetadata
from ..signatures import did_you_mean, listed

_TRUTH = {"true": True, "false": False, "1": True, "0": False}
_MOST_NAMES = 6


class Table(NamedTuple):
    """A table's cells as they stand in the file.

    Attributes:
        names: of the columns; numbers from 0 where the file has no header.
        rows: each with its line in the file.
        has_header: whether the names are the file's.
    """

    names: tuple[str, ...]
    rows: tuple[tuple[int, tuple[str, ...]], ...]
    has_header: bool


def read_table(text: str, where: str) -> Table:
    """The cells of a table; columns are divided by commas, or by what its first line has instead of them.

    Raises:
        ValueError: it is empty, has no rows, or a row of another length.
    """
    first = text.lstrip("\r\n").partition("\n")[0]
    delimiter = next((one for one in ",\t;" if one in first), ",")
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, skipinitialspace=True)
    try:
        lines = [(reader.line_num, tuple(cell.strip() for cell in row)) for row in reader if any(row)]
    except csv.Error as error:
        raise ValueError(f"{where}, line {reader.line_num}: {error}") from None
    if not lines:
        raise ValueError(f"{where} is empty")
    has_header = not all(map(_is_number, lines[0][1]))
    names = lines[0][1] if has_header else tuple(map(str, range(len(lines[0][1]))))
    rows = lines[1:] if has_header else lines
    if not rows:
        raise ValueError(f"{where} has a header and no rows")
    for line, cells in rows:
        if len(cells) != len(names):
            raise ValueError(f"{where}, line {line}: {len(cells)} cells, and there are {len(names)} columns")
    if len(set(names)) < len(names):
        raise ValueError(f"{where}: two columns have the same name")
    return Table(names, tuple(rows), has_header)


def inputs_of_table(
    table: Table, tensors: Sequence[TensorMetadata], where: str
) -> tuple[dict[str, Array], str]:
    """Arrays by input, and a note that says what became what.

    Args:
        tensors: that the columns may be: the model's, or the one that was named.

    Raises:
        ValueError: the columns are not these inputs', or a cell is not of the input's type.
    """
    by_name = {tensor.name: tensor for tensor in tensors}
    count = f"{len(table.rows)} row{'s' if len(table.rows) != 1 else ''}"
    header = f"header: {_some(table.names)}" if table.has_header else "no header: its first line is numbers"
    if table.has_header and any(name in by_name for name in table.names):
        for name in table.names:
            if name not in by_name:
                raise ValueError(
                    f"{where}: column '{name}' is no input; the inputs: {listed(tensors)}"
                    f"{did_you_mean(name, by_name)}"
                )
        arrays = {name: _column(table, index, by_name[name], where) for index, name in enumerate(table.names)}
        return arrays, f"{where}: {count}, each column as the input of its name ({_some(table.names)})"
    if len(tensors) != 1:
        raise ValueError(
            f"{where}: its columns ({_some(table.names)}) are none of the inputs, {listed(tensors)}: call"
            " them so in the header, or give one input's table as NAME=FILE"
        )
    (tensor,) = tensors
    if len(table.names) == 1 and len(tensor.shape) == 1:
        array = _column(table, 0, tensor, where)
    else:
        if len(tensor.shape) != 2 or tensor.shape[1] not in (-1, len(table.names)):
            raise ValueError(
                f"{where}: {len(table.names)} columns ({_some(table.names)}) do not fill the input {tensor}:"
                f" it takes {tensor.shape[1] if len(tensor.shape) == 2 else 'no table'}"
            )
        array = _array(table, range(len(table.names)), tensor, where)
    columns = f"{len(table.names)} column{'s' if len(table.names) != 1 else ''}"
    return {tensor.name: array}, f"{where}: {count} of {columns} as the input '{tensor.name}' ({header})"


def _column(table: Table, index: int, tensor: TensorMetadata, where: str) -> Array:
    rank = len(tensor.shape)
    if rank not in (1, 2) or (rank == 2 and tensor.shape[1] not in (-1, 1)):
        raise ValueError(f"{where}: one column does not fill the input {tensor}")
    return _array(table, [index], tensor, where).reshape((-1,) if rank == 1 else (-1, 1))


def _array(table: Table, columns: Sequence[int], tensor: TensorMetadata, where: str) -> Array:
    """Columns as an array of the input's type, [rows, columns].

    Raises:
        ValueError: a cell is none; the text says which.
    """
    try:
        rows = [[_value(cells[index], tensor.datatype) for index in columns] for _, cells in table.rows]
        return from_python(rows, tensor.datatype)
    except (ValueError, KeyError) as error:
        for line, cells in table.rows:
            for index in columns:
                _check_cell(cells[index], tensor, f"{where}, line {line}, column '{table.names[index]}'")
        raise ValueError(f"{where}: {error}") from None


def _value(cell: str, datatype: str) -> Any:
    if datatype == BYTES:
        return cell
    if datatype == "BOOL":
        return _TRUTH[cell.lower()]
    return int(cell) if "INT" in datatype else float(cell)


def _check_cell(cell: str, tensor: TensorMetadata, where: str) -> None:
    try:
        from_python(_value(cell, tensor.datatype), tensor.datatype)
    except (ValueError, KeyError) as error:
        why = f": {error}" if "range" in str(error) else ""
        shown = f"'{cell[:40]}'" if cell else "an empty cell (a missing number is written nan)"
        raise ValueError(
            f"{where}: {shown} is no {tensor.datatype}, which '{tensor.name}' takes{why}"
        ) from None


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - _MOST_NAMES} more" if len(names) > _MOST_NAMES else ""
    return ", ".join(names[:_MOST_NAMES]) + more
