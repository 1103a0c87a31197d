"""HPACK's reading side (RFC 7541): a block of bytes as a list of fields, and the table that both ends keep.

The hpack library does this too, at four times the time; and a caller with a deadline sends a block that was
never seen before with each of its calls, because the time that is left is one of the fields. The static
table and the Huffman code are the library's.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

from hpack.exceptions import HPACKError
from hpack.huffman_table import decode_huffman
from hpack.table import HeaderTable

from hotgraph_server.transport.http2.field_rules import Field, field_fault

_STATIC: tuple[Field, ...] = (
    ("", ""),  # indices begin at 1
    *((name.decode("ascii"), value.decode("ascii")) for name, value in HeaderTable.STATIC_TABLE),
)
_FIRST_DYNAMIC = len(_STATIC)

# What SETTINGS_HEADER_TABLE_SIZE is where a side says nothing, as ours does (RFC 9113, section 6.5.2).
_TABLE_BYTES = 4096
# An entry's size beside its text (RFC 7541, section 4.1); the limit of a list counts alike.
_ENTRY_BYTES = 32


class BadHeaders(Exception):
    """The block cannot be decoded, so the connection's table is lost as well."""


class TooManyHeaders(BadHeaders):
    """The block's fields are larger than allowed, and were not read to their end."""


class FieldDecoder:
    """Decodes the blocks of one connection, in their order.

    Args:
        max_list_bytes: of a block's fields: names, values and 32 for each.

    Attributes:
        changed: did the last block change the table?
        list_bytes: of the last block's fields.
        fault: why one of the last block's fields can be in no block (field_rules.py); empty: all can.
    """

    def __init__(self, max_list_bytes: int) -> None:
        self.changed = False
        self.list_bytes = 0
        self.fault = ""
        self._faults: dict[Field, str] = {}  # of fields in the table, and of some that were
        self._max_list_bytes = max_list_bytes
        self._table: deque[Field] = deque()  # the youngest first
        self._table_bytes = 0
        self._limit = _TABLE_BYTES

    @property
    def dynamic_entries(self) -> Sequence[Field]:
        """The fields of the dynamic table, the youngest first (RFC 7541, section 2.3.2)."""
        return self._table

    def decode(self, block: bytes) -> list[Field]:
        """The fields of a block. Bytes that are no ASCII are read as Latin-1.

        Raises:
            BadHeaders: it is none, or its fields are larger than allowed.
        """
        self.changed = False
        self.fault = ""
        try:
            return self._fields(block)
        except IndexError:
            raise BadHeaders("a block ends in the middle of a field") from None
        except HPACKError as error:
            raise BadHeaders(str(error) or type(error).__name__) from error

    def _fields(self, block: bytes) -> list[Field]:
        fields: list[Field] = []
        at, end, room = 0, len(block), self._max_list_bytes
        while at < end:
            first = block[at]
            if first & 0x80:
                index, at = (first & 0x7F, at + 1) if first != 0xFF else integer(block, at, 7)
                field = self._at(index)
                if self._faults:
                    self.fault = self.fault or self._faults.get(field, "")
            elif first & 0x60 == 0x20:
                size, at = integer(block, at, 5)
                if fields or size > _TABLE_BYTES:
                    raise BadHeaders(f"a table of {size} bytes, in the wrong place or more than we allow")
                self._limit = size
                self._evict(size)
                self.changed = True
                continue
            else:
                added = first & 0x40
                index, at = integer(block, at, 6 if added else 4)
                if index:
                    name = self._at(index)[0]
                else:
                    name, at = _text(block, at)
                value, at = _text(block, at)
                field = (name, value)
                fault = field_fault(name, value)
                self.fault = self.fault or fault
                if added:
                    self._add(field)
                    if fault:
                        self._remember(field, fault)
            room -= len(field[0]) + len(field[1]) + _ENTRY_BYTES
            if room < 0:
                raise TooManyHeaders(f"more than {self._max_list_bytes} bytes of headers")
            fields.append(field)
        self.list_bytes = self._max_list_bytes - room
        return fields

    def _at(self, index: int) -> Field:
        if index >= _FIRST_DYNAMIC:
            if index - _FIRST_DYNAMIC < len(self._table):
                return self._table[index - _FIRST_DYNAMIC]
        elif index:
            return _STATIC[index]
        raise BadHeaders(f"no field {index} in the table")

    def _add(self, field: Field) -> None:
        self.changed = True
        size = len(field[0]) + len(field[1]) + _ENTRY_BYTES
        self._evict(self._limit - size)
        if size <= self._limit:
            self._table.appendleft(field)
            self._table_bytes += size

    def _remember(self, field: Field, fault: str) -> None:
        """The peer names it by its index, and means the same fault again."""
        self._faults[field] = fault
        if len(self._faults) > 2 * len(self._table):
            self._faults = {one: self._faults[one] for one in self._table if one in self._faults}

    def _evict(self, limit: int) -> None:
        """Until the table is no larger than `limit`, or empty."""
        while self._table and self._table_bytes > limit:
            name, value = self._table.pop()
            self._table_bytes -= len(name) + len(value) + _ENTRY_BYTES


def integer(block: bytes, at: int, bits: int) -> tuple[int, int]:
    """An integer in the last `bits` of the byte at `at` and what follows, and where it ends (section 5.1).

    Raises:
        IndexError: the block ends before.
        BadHeaders: it is longer than any that means something.
    """
    prefix_max = (1 << bits) - 1
    value = block[at] & prefix_max
    at += 1
    if value < prefix_max:
        return value, at
    for shift in range(0, 35, 7):
        byte = block[at]
        at += 1
        value += (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
    raise BadHeaders("a number in a block has no end")


def _text(block: bytes, at: int) -> tuple[str, int]:
    """A string (section 5.2)."""
    length, begin = integer(block, at, 7)
    end = begin + length
    if end > len(block):
        raise IndexError
    text = block[begin:end]
    if block[at] & 0x80:
        text = decode_huffman(text)
    return text.decode("latin-1"), end
