"""Every name, version and path that comes in a request, on its way to a folder: checked here, or not used.

What it promises. A path that `upload` returns has only parts that a folder can hold as they are: joined to a
folder they name something below it, whatever the request said. It is decided by the text alone; nothing here
looks at a disk, and what uses the result cannot be led elsewhere by one. What is not known to be harmless
is refused:

* parts that are empty, "." or "..", begin with a dot, or begin or end with a space, or end with a dot;
* separators ("/" within a part, a backslash, a colon), and what becomes one, or a dot, once a file system has
  normalised it: a part must be its own NFC form, and its NFKC form must keep to the same rules;
* control characters, NUL among them, and those that are not seen or turn the direction of writing;
* names of devices on other systems, which a repository may be shared with;
* more than 255 bytes a part, 1024 a path, or 16 parts;
* two paths of which one is a folder of the other, or which a file system that does not tell upper from lower
  case takes for one.

A model's name goes into no path: what it may be is said by settings.model_name_fault. One that comes in a
request has no separators, nothing that is not seen, no dot at its start (no folder of a repository that has
one is a model), and is no longer than a folder's name.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Mapping

from hotgraph_server.errors import InvalidCall
from hotgraph_server.settings.model import model_name_fault

FILE = "file:"

_PART_BYTES = 255
_PATH_BYTES = 1024
_PARTS = 16
# A version as a folder is named for it: no sign, no leading zero, within 64 bits.
_VERSION = re.compile(r"0|[1-9][0-9]{0,18}")
_HIGHEST = 2**63 - 1
_SEPARATORS = frozenset('/\\:"<>|?*')
_DEVICE = re.compile(r"(con|prn|aux|nul|com[0-9¹²³]|lpt[0-9¹²³])(\..*)?", re.IGNORECASE)

Parts = tuple[str, ...]


def model_name(name: str) -> str:
    """The name of a model to be loaded.

    Raises:
        InvalidCall: it is empty, has what leads to another folder, or what no model is called.
    """
    if not name.strip():
        raise InvalidCall("Model name cannot be empty.")
    if len(name.encode("utf-8", "surrogatepass")) > _PART_BYTES:
        raise InvalidCall(f"a model's name has at most {_PART_BYTES} bytes, got {_shown(name)}")
    if _leads_elsewhere(name):
        raise InvalidCall(f"model name must not contain path traversal characters, got {_shown(name)}")
    fault = model_name_fault(name)
    if fault is None and any(unicodedata.category(character).startswith("C") for character in name):
        fault = f"a model's name cannot have a character that is not seen, got {_shown(name)}"
    if fault is None and name.startswith("."):
        fault = f"a model's name cannot begin with a dot, got {_shown(name)}"
    if fault is not None:
        raise InvalidCall(fault)
    return name


def version(text: str) -> int | None:
    """The number of a version's folder; None: it is no such name."""
    if not _VERSION.fullmatch(text) or int(text) > _HIGHEST:
        return None
    return int(text)


def uploads(files: Mapping[str, bytes], *, most_files: int, most_bytes: int) -> dict[Parts, bytes]:
    """Where the files of a request go below a model's folder, by the keys ``file:VERSION/PATH``.

    Args:
        files: by their keys.
        most_files: so many are taken.
        most_bytes: of all together.

    Raises:
        InvalidCall: too many, too large, or a key that is not as it must be; the text says which.
    """
    if len(files) > most_files:
        raise InvalidCall(f"{len(files)} files in one request to load; the limit is {most_files}")
    size = sum(map(len, files.values()))
    if size > most_bytes:
        raise InvalidCall(f"{size} bytes of files in one request to load; the limit is {most_bytes}")
    found = {upload(key): content for key, content in files.items()}
    _check_apart(found)
    return found


def upload(key: str) -> Parts:
    """The parts of one such path, the version's folder first.

    Raises:
        InvalidCall: see above.
    """
    path = key.removeprefix(FILE)
    parts = tuple(path.split("/"))
    why = None
    if len(path.encode("utf-8", "surrogatepass")) > _PATH_BYTES:
        why = f"is longer than {_PATH_BYTES} bytes"
    elif len(parts) < 2 or version(parts[0]) is None:
        why = "is not VERSION/PATH"
    elif len(parts) > _PARTS:
        why = f"has more than {_PARTS} parts"
    else:
        why = next((fault for fault in map(part_fault, parts) if fault is not None), None)
    if why is not None:
        raise InvalidCall(f"the path of a file to load {why}: {_shown(path)}")
    return parts


def part_fault(part: str) -> str | None:
    """What is wrong with a part of a path, to be said after its name; None: nothing."""
    if not part:
        return "has an empty part"
    if any(unicodedata.category(character).startswith("C") for character in part):
        return "has a character that is not seen"
    if len(part.encode()) > _PART_BYTES:
        return f"has a part longer than {_PART_BYTES} bytes"
    if unicodedata.normalize("NFC", part) != part:
        return "has a part that is not in its normal form (NFC)"
    for form in (part, unicodedata.normalize("NFKC", part)):
        if not form or form[0] in ". " or form[-1] in ". " or not _SEPARATORS.isdisjoint(form):
            return "has a part that no file is called"
        if _DEVICE.fullmatch(form):
            return "has a part that is the name of a device"
    return None


def _check_apart(paths: Iterable[Parts]) -> None:
    """Raises InvalidCall where two paths cannot be there at the same time."""
    folders: dict[Parts, Parts] = {}
    taken: dict[Parts, Parts] = {}
    for path in paths:
        same = _folded(path)
        if same in taken or same in folders:
            raise InvalidCall(f"two files to load cannot both be there: {_shown('/'.join(path))}")
        taken[same] = path
        for end in range(1, len(path)):
            above = same[:end]
            if above in taken or folders.setdefault(above, path[:end]) != path[:end]:
                raise InvalidCall(f"two files to load cannot both be there: {_shown('/'.join(path))}")


def _folded(path: Parts) -> Parts:
    return tuple(unicodedata.normalize("NFKC", part).casefold() for part in path)


def _leads_elsewhere(name: str) -> bool:
    forms = (name, unicodedata.normalize("NFKC", name))
    return any(".." in form or "\0" in form or not {"/", "\\"}.isdisjoint(form) for form in forms)


def _shown(text: str) -> str:
    """For a message: nothing in it that a terminal or a header would act on, and never all of a long one."""
    shown = ascii(text)
    return shown if len(shown) <= 120 else f"{shown[:100]}... ({len(text)} characters)"
