"""Archives of packages, as the index has them, kept in the user's cache from run to run."""

from __future__ import annotations

import hashlib
import importlib
import json
import os
import tarfile
import urllib.request
import zipfile
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

_ANSWER_S = 60.0


class NotToBeHad(Exception):
    """The index is away, or has no such file."""


def cache() -> Path:
    """Where what was fetched and made is kept."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "hotgraph-tests"


def is_reached() -> bool:
    """Does the index answer?"""
    try:
        _got(f"{_index()}/pip/")
    except OSError:
        return False
    return True


@dataclass(frozen=True)
class Archive:
    """A wheel or a source distribution.

    pip would run the code of a source distribution to find its metadata, so the file is got without it.

    Attributes:
        name: of the file in the index.
        sha256: of its bytes, in hex.
    """

    name: str
    sha256: str

    @property
    def project(self) -> str:
        return self.name.split("-", 1)[0].replace("_", "-")

    def path(self) -> Path:
        """The file, fetched if it is not there yet.

        Raises:
            NotToBeHad: it cannot be fetched.
        """
        kept = cache() / "archives" / self.name
        if not kept.exists():
            kept.parent.mkdir(parents=True, exist_ok=True)
            try:
                content = _got(self._url())
            except OSError as error:
                raise NotToBeHad(f"{self.name}: {error}") from None
            found = hashlib.sha256(content).hexdigest()
            assert found == self.sha256, f"{self.name} has the SHA-256 {found}"
            part = kept.with_suffix(f".part{os.getpid()}")
            part.write_bytes(content)
            part.replace(kept)
        return kept

    def unpack(self, prefix: str, into: Path) -> None:
        """Write the files whose names begin with `prefix`: a file, or a folder that ends with a slash."""
        path = self.path()
        parent = prefix if prefix.endswith("/") else f"{PurePosixPath(prefix).parent}/"
        files = _members_of_zip(path, prefix) if path.suffix == ".whl" else _members_of_tar(path, prefix)
        assert files, f"{self.name} has no {prefix}"
        for name, content in files.items():
            target = into / name.removeprefix(parent)
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(content)

    def _url(self) -> str:
        page = json.loads(_got(f"{_index()}/{self.project}/"))
        found: list[dict[str, Any]] = [one for one in page["files"] if one["filename"] == self.name]
        if not found:
            raise NotToBeHad(f"the index has no {self.name}")
        return str(found[0]["url"])


def _index() -> str:
    """Where pip looks."""
    given = os.environ.get("PIP_INDEX_URL")
    return str(given or importlib.import_module("pip._internal.models.index").PyPI.simple_url).rstrip("/")


def _got(url: str) -> bytes:
    request = urllib.request.Request(
        url, headers={"Accept": "application/vnd.pypi.simple.v1+json, */*;q=0.1"}
    )
    with urllib.request.urlopen(request, timeout=_ANSWER_S) as answer:
        content: bytes = answer.read()
    return content


def _members_of_zip(path: Path, prefix: str) -> dict[str, bytes]:
    with zipfile.ZipFile(path) as archive:
        names = [name for name in archive.namelist() if name.startswith(prefix) and not name.endswith("/")]
        return {name: archive.read(name) for name in names}


def _members_of_tar(path: Path, prefix: str) -> dict[str, bytes]:
    with tarfile.open(path) as archive:
        found = {}
        for member in archive.getmembers():
            # the first folder has the name and the version of the package
            name = member.name.partition("/")[2]
            if member.isfile() and name.startswith(prefix):
                content = archive.extractfile(member)
                assert content is not None
                found[name] = content.read()
        return found
