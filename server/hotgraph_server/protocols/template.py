"""Templates: what a message means, told by the bytes between its tensors. Pure.

Callers send the same message again and again with other tensor bytes in it. Reading one with every check
costs fifteen times what its tensors' arrays do. So a message that was read by the full path leaves a template
behind: the message's length, where its tensors' bytes lie (the *spans*), the bytes between them (the
*literals*: tags, lengths, names, dtypes, shapes, parameters), and what it was found to mean.

    message:   literal | span | literal | span | literal

A message of the same length with the same literals means the same, and its arrays are views of its spans:

1. A protobuf message is a row of fields, each a tag, for most kinds a length, and a value; a nested
   message is a value. A span is the whole value of a bytes field, of a packed field of floats or doubles,
   or of one string. So every tag and every length, at every level, lies in a literal.
2. Therefore a parser takes the same steps through both messages: it is at the same byte before each field,
   finds the same tag and length there, and so is at the same byte behind it. A span is skipped as a whole.
3. Any bytes are legal in a span, as far as parsing goes: a packed field is refused for its length alone.
   A string has to be UTF-8, which is checked for each message.
4. All that is checked afterwards depends on literals and on how many bytes a span has. Two dtypes are
   exceptions. The bytes of strings are structure (lengths again), so they are never a span. The bytes of
   booleans are made 0 or 1, here as there. (One difference can be seen, by callers that look at bits: where
   protobuf reads a typed float field, a signalling NaN becomes a quiet one; here it stays as it was sent,
   as in raw contents.)

What is said of a message elsewhere, as in the path of a request over HTTP, is what it is *about*: a template
is for messages about the same. What depends on something else still, such as which version is live, is no
part of a template's meaning; the fast path asks for it with each call. A caller who sends strange bytes can
only teach what such strange bytes mean: a template says nothing about a message with other literals.

No tensor's bytes are copied here, those of booleans excepted; arrays keep their message alive.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import Any, Generic, NamedTuple, TypeVar

import numpy as np

from hotgraph_server.tensors import Array
from hotgraph_server.transport.message_fields import Message, Span

Meaning = TypeVar("Meaning")

MAX_LITERAL_BYTES = 4096
"""A message with more than this between its tensors is not worth comparing, nor keeping."""

_MAX_CONSTANT_BYTES = 4096

# Quicker than frombuffer and reshape; and so is a name of this module's than one of numpy's.
_array = np.ndarray


class _View(NamedTuple):
    """A tensor whose memory is a span."""

    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    at: int

    def read(self, message: Message) -> Array:
        return _array(self.shape, self.dtype, message, self.at)


class _Booleans(NamedTuple):
    """A tensor of booleans, of whose bytes any may be something else than 0 and 1."""

    shape: tuple[int, ...]
    span: Span

    def read(self, message: Message) -> Array:
        sent = np.frombuffer(message, np.uint8, self.span.length, self.span.at)
        return np.not_equal(sent, 0).reshape(self.shape)


class _Constant(NamedTuple):
    """A tensor whose bytes are literals, or that no message holds; no call may write into it."""

    array: Array

    def read(self, message: Message) -> Array:
        return self.array


class Template(Generic[Meaning]):
    """What messages of one form mean; immutable but for `used`.

    Attributes:
        length: of the messages, in bytes.
        about: what is said of them elsewhere and means something; of gRPC's nothing is.
        literals: what is the same in all of them, and where.
        meaning: what the protocol made of the literals.
        used: has a message fitted since this was last False?
    """

    __slots__ = ("_sources", "_text", "_views", "about", "length", "literals", "meaning", "used")

    def __init__(
        self,
        length: int,
        literals: tuple[tuple[bytes, int], ...],
        sources: Sequence[_View | _Booleans | _Constant],
        text: Span | None,
        meaning: Meaning,
        about: Hashable = None,
    ) -> None:
        self.length = length
        self.about = about
        self.literals = literals
        self.meaning = meaning
        self.used = False
        self._sources = sources
        self._text = text
        views = [source for source in sources if isinstance(source, _View)]
        # Nearly always all of them, and worth a quicker way.
        self._views = views if len(views) == len(sources) else None

    def fits(self, message: Message) -> bool:
        """Is a message of the right length one of this form?"""
        if isinstance(message, memoryview):
            return all(message[at : at + len(literal)] == literal for literal, at in self.literals)
        for literal, at in self.literals:  # noqa: SIM110 (a generator costs more than the comparison)
            if not message.startswith(literal, at):
                return False
        return True

    def inputs(self, message: Message) -> list[Array]:
        """The tensors of a message that fits, in the order in which they were learned.

        Views of `message`, read-only unless it is writable; what lies in literals is shared by all calls.
        """
        if self._views is not None:
            return [_array(shape, dtype, message, at) for shape, dtype, at in self._views]
        return [source.read(message) for source in self._sources]

    def text(self, message: Message) -> str | None:
        """The string of a message that fits; empty if this form has none, None if it is not UTF-8."""
        if self._text is None:
            return ""
        at, length = self._text
        try:
            return str(message[at : at + length], "utf-8")
        except UnicodeDecodeError:
            return None


def learn(
    message: Message,
    meaning: Meaning,
    arrays: Sequence[Array],
    spans: Sequence[Span | None],
    text: Span | None = None,
    *,
    given: Sequence[Array] = (),
    about: Hashable = None,
) -> Template[Meaning] | None:
    """The template of a message that was read by the full path; None where none is worth having.

    Args:
        arrays: what it was found to hold.
        spans: for each of `arrays` where all its bytes lie; None: nowhere in one piece. A span that does not
            hold exactly the array's bytes is taken for None.
        text: where the one string lies that differs from message to message.
        given: those of `arrays` that come from elsewhere and live anyway, whatever their size.
        about: see Template.
    """
    # By identity: comparing arrays compares their elements.
    lives = {id(array) for array in given}
    sources: list[_View | _Booleans | _Constant] = []
    cuts: list[Span] = []
    kept_bytes = 0
    for array, span in zip(arrays, spans, strict=True):
        source = None if span is None else _source(message, array, span)
        if span is not None and source is not None:
            cuts.append(span)
            sources.append(source)
            continue
        if id(array) not in lives:
            kept_bytes += array.nbytes
            if kept_bytes > _MAX_CONSTANT_BYTES:
                return None
            # It may be a small view of a large message.
            array = array.copy()
        constant = array.view()
        constant.setflags(write=False)
        sources.append(_Constant(constant))
    if not cuts:
        return None
    if text is not None:
        cuts.append(text)
    cuts.sort()
    if len(message) - sum(span.length for span in cuts) > MAX_LITERAL_BYTES:
        return None
    literals: list[tuple[bytes, int]] = []
    at = 0
    for cut in (*cuts, Span(len(message), 0)):
        if cut.at > at:
            literals.append((bytes(message[at : cut.at]), at))
        at = cut.end
    return Template(len(message), tuple(literals), sources, text, meaning, about)


def _source(message: Message, array: Array, span: Span) -> _View | _Booleans | None:
    """How to read an array from its span; None: what lies there is not simply its bytes."""
    if not span.length or array.dtype.hasobject or span.length != array.nbytes:
        return None
    sent = np.frombuffer(message, np.uint8, span.length, span.at)
    if array.dtype == np.bool_:
        return _Booleans(array.shape, span) if np.array_equal(sent != 0, array.reshape(-1)) else None
    same = np.array_equal(sent, np.ascontiguousarray(array).reshape(-1).view(np.uint8))
    return _View(array.shape, array.dtype, span.at) if same else None
