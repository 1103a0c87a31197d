"""Text files, and those of protobuf messages: errors say where, and TensorFlow Serving's words among ours."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TypeVar, cast

from google.protobuf import text_format
from google.protobuf.message import Message

from hotgraph_server.errors import SettingsError

M = TypeVar("M")


def read(path: Path, kind: type[M]) -> M:
    """The message of class `kind` in a file.

    Raises:
        SettingsError: the file cannot be read, or holds no such message; the text names the file, the line
            and the field.
    """
    return parse(text_of(path, _words(kind)), kind, str(path))


def text_of(path: Path, words: str = "") -> str:
    """What is in a file, whatever editor wrote it: see `decoded`.

    Args:
        words: that the error ends with, where it is no text.

    Raises:
        SettingsError: the file cannot be read, or is no text; the text names it.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise SettingsError(f"{path}: {error.strerror or error}") from error
    return decoded(content, str(path), words)


def decoded(content: bytes, where: str, words: str = "") -> str:
    """The text that bytes in UTF-8 stand for, without the mark that some editors begin a file with, and with
    lines that end as they do here.

    Args:
        where: they are from, for errors.
        words: that the error ends with.

    Raises:
        SettingsError: they are none.
    """
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError as error:
        raise SettingsError(f"{where}: no text: byte {error.start} is not UTF-8{words}") from error
    return text.removeprefix("\ufeff").replace("\r\n", "\n")


def parse(text: str, kind: type[M], where: str) -> M:
    """The message of class `kind` that a text stands for.

    Args:
        where: the text is from, for errors.

    Raises:
        SettingsError: it is none; the text names `where`, the line and the field.
    """
    message = kind()
    try:
        text_format.Parse(text, cast(Message, message))
    except text_format.ParseError as error:
        line = error.GetLine()
        if line is None:
            raise SettingsError(f"{where}: {error}{_words(kind)}") from error
        column = error.GetColumn() or 1
        field = _field_at(text, line, column)
        raise SettingsError(
            f"{where}:{line}:{column}: {f'in {field}: ' if field else ''}{_said(error)}{_words(kind)}"
        ) from error
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        # What protobuf's reader lets through: the number of an enum's value that no 32 bits hold.
        raise SettingsError(f"{where}: {' '.join(str(error).split())}{_words(kind)}") from error
    return message


def _words(kind: type) -> str:
    """What TensorFlow Serving's logs say of such a file, for owners who look for that."""
    return f" (Error parsing text-format {cast(type[Message], kind).DESCRIPTOR.full_name})"


def _said(error: text_format.ParseError) -> str:
    """What the parser says, without the place and the line that it quotes."""
    said = str(error).partition(" : ")[2] or str(error)
    if said.startswith("'") and "': " in said:
        said = said.rpartition("': ")[2]
    return said.rstrip(".")


# Comments and quotes first: what looks like a field in them is none.
_TOKEN = re.compile(
    r"""\#[^\n]* | "(?:\\.|[^"\\])*"? | '(?:\\.|[^'\\])*'? | [\w.\[\]/-]+ | [{}<>:]""", re.VERBOSE
)


def _field_at(text: str, line: int, column: int) -> str:
    """The fields that are open at a place, outermost first: ``model_config_list.config``. A rough reading,
    for an error that the parser has found already: it knows nothing of types."""
    lines = text.split("\n")[:line]
    lines[-1:] = [last[: column - 1] for last in lines[-1:]]
    opened: list[str] = []
    name = token = ""
    for token in _TOKEN.findall("\n".join(lines)):
        if token in "{<":
            opened.append(name)
        elif token in "}>":
            del opened[-1:]
        elif token[0] not in "#\"':":
            name = token
    if token == ":":
        # A value that is wrong belongs to the field before its colon.
        opened.append(name)
    return ".".join(filter(None, opened))
