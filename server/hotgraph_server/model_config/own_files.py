"""Files that a model's configuration names: read from the model's own folder and from nowhere else.

A configuration may come with a request, so what it names is not to be trusted. A name has plain parts only,
and what it leads to, links followed, must be a file that lies in the model's folder still. Where the one who
has put the files there has written the configuration too, what he has linked from elsewhere is meant.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from hotgraph_server.errors import SettingsError

_LONGEST_NAME = 1024


@dataclass(frozen=True)
class OwnFiles:
    """Those of one model.

    Attributes:
        folder: of the model.
        linked: may a file be a link out of it? See FolderSettings.linked_files.
    """

    folder: Path
    linked: bool = False

    def read(self, name: str, field: str, most_bytes: int) -> bytes:
        """What is in a file.

        Args:
            name: of the file as the configuration has it, from the model's folder on.
            field: that names it, for errors.
            most_bytes: a larger file is refused.

        Raises:
            SettingsError: the name leads elsewhere, or there is no such file, or it is too large.
        """
        path = _below(self.folder, name, field, linked=self.linked)
        try:
            with path.open("rb") as file:
                content = file.read(most_bytes + 1)
        except OSError as error:
            raise SettingsError(f"{field}: {name!r}: {error.strerror or error}") from error
        if len(content) > most_bytes:
            raise SettingsError(f"{field}: {name!r} is larger than {most_bytes} bytes")
        return content


def _below(folder: Path, name: str, field: str, *, linked: bool) -> Path:
    parts = PurePosixPath(name).parts
    if (
        not parts
        or len(name) > _LONGEST_NAME
        or name.startswith("/")
        or any(part in (".", "..") for part in name.split("/"))
        or not name.isprintable()
        or "\\" in name
    ):
        raise SettingsError(f"{field}: {name[:100]!a} is no name of a file in the model's folder")
    try:
        path = folder.joinpath(*parts).resolve()
        inside = linked or path.is_relative_to(folder.resolve())
        # Nothing but a plain file: opening a pipe would wait for somebody to write into it.
        there = path.is_file()
    except (OSError, RuntimeError) as error:
        # A loop of links is a RuntimeError until Python 3.12.
        raise SettingsError(f"{field}: {name!r} cannot be followed: {error}") from error
    if not inside:
        raise SettingsError(f"{field}: {name!r} leads out of the model's folder")
    if not there:
        raise SettingsError(f"{field}: there is no file {name!r} in {folder}")
    return path
