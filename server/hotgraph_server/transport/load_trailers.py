"""What answers say at their end of the server's load, to those who ask and to those who shall hear it anyway.
What it says is others' business. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple

Trailer = tuple[str, str | bytes]
"""A name, and a value; bytes are a value that gRPC writes in base64, and the name ends with ``-bin`` then."""


class LoadTrailers(NamedTuple):
    """
    Attributes:
        header: of a call that asks; its value says what for.
        of: what a caller is told who asks for that; empty: it asks for nothing. In the thread that sends: it
            must not wait. None: nothing.
        always: calls that do not ask are told too.
    """

    header: str
    of: Callable[[str], Trailer | None]
    always: bool = False

    def for_call(self, headers: Mapping[str, str]) -> Trailer | None:
        """For a call with such headers, by their names in lower case."""
        if not self.always and self.header not in headers:
            return None
        return self.of(headers.get(self.header, ""))
