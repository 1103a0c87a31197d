"""hotgraph in other ways: with flags of the moment, or as another commit has it.

Imports nothing that has to be installed. A variant's name is its title, and tells what it is to whoever reads
results of another day: `hotgraph --lead never`, `hotgraph@7c5ee88`.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.environment import ROOT, Cache, CannotSetUp

BASE = "hotgraph"
BEFORE = "7c5ee88"
"""The commit before the executor's thread could read sockets, which the marks for that compare with."""
_GIT_S = 60.0
_HELP_S = 60.0


class NoSources(Exception):
    """What was to be compared with is neither a checkout nor a commit; the text says so."""


@dataclass(frozen=True)
class Variant:
    """A way to serve that this checkout's `hotgraph serve` without flags is compared with.

    Attributes:
        flags: of `hotgraph serve`.
        commit: whose sources are unpacked into the cache and served with; empty: none.
        checkout: a folder whose sources are served with as they lie there; None: this one's, or `commit`'s.
    """

    name: str
    flags: tuple[str, ...] = ()
    commit: str = ""
    checkout: Path | None = None

    @property
    def settings(self) -> str:
        """In words, for the report."""
        if self.commit or self.checkout:
            return f"defaults; the server of commit {self.name.partition('@')[2]}, in this Python"
        return " ".join(self.flags)

    def sources(self, cache: Cache) -> Path:
        """The checkout that its server comes from.

        Raises:
            CannotSetUp: it cannot be unpacked, or its server does not know the flags.
        """
        tree = self.checkout or (_unpacked(cache, self.commit) if self.commit else ROOT)
        asked = {flag.partition("=")[0] for flag in self.flags if flag.startswith("--")}
        unknown = sorted(asked - (flags_of(tree) if asked else set()))
        if unknown:
            raise CannotSetUp(f"this server has no {', '.join(unknown)}")
        return tree


def is_variant(name: str) -> bool:
    """Whether a name is that of a variant, and no rival's."""
    return name.startswith((f"{BASE} --", f"{BASE}@"))


def with_flags(text: str) -> Variant:
    """This checkout's server with flags, given as in a shell.

    Raises:
        ValueError: they are none.
    """
    flags = tuple(shlex.split(text))
    if not flags or not flags[0].startswith("--"):
        raise ValueError(f"{text!r} are no flags")
    return Variant(f"{BASE} {' '.join(flags)}", flags)


def wanted_by_marks() -> tuple[list[Variant], dict[str, str]]:
    """Those that some marks are about; and why others cannot be, by name."""
    found = [with_flags("--lead never"), with_flags("--processes 2")]
    try:
        return [*found, against(BEFORE)], {}
    except NoSources as error:
        return found, {f"{BASE}@{BEFORE}": str(error)}


def against(text: str) -> Variant:
    """The server of another checkout (a folder) or of a commit of this one.

    Raises:
        NoSources: it is neither.
    """
    folder = Path(text)
    if (folder / "server" / "hotgraph_server").is_dir():
        head = _git(folder, "rev-parse", "--short=7", "HEAD").decode().strip()
        changed = _git(folder, "status", "--porcelain", "--untracked-files=no").strip()
        return Variant(f"{BASE}@{head}{'+' if changed else ''}", checkout=folder.resolve())
    commit = _git(ROOT, "rev-parse", "--verify", "--quiet", f"{text}^{{commit}}").decode().strip()
    return Variant(f"{BASE}@{commit[:7]}", commit=commit)


def flags_of(tree: Path) -> set[str]:
    """That `hotgraph serve` of this checkout has.

    Raises:
        CannotSetUp: it does not even say so.
    """
    command = [sys.executable, "-m", "hotgraph_server", "serve", "--help"]
    env = {**os.environ, "PYTHONPATH": python_path(tree)}
    try:
        done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=_HELP_S, check=False)
    except subprocess.TimeoutExpired as error:
        raise CannotSetUp(f"serve --help is not done after {_HELP_S:.0f} s") from error
    if done.returncode:
        raise CannotSetUp(f"serve --help: {(done.stderr.strip().splitlines() or ['no reason given'])[-1]}")
    return set(re.findall(r"--[a-z][a-z-]*", done.stdout))


def python_path(tree: Path) -> str:
    """Where a server of this checkout finds its modules, before those that are installed."""
    return os.pathsep.join(str(tree / folder) for folder in ("protos", "server", "client"))


def _unpacked(cache: Cache, commit: str) -> Path:
    """The commit's files, without a trace in the repository; made once."""
    folder = cache.at("trees", commit)
    if not folder.is_dir():
        try:
            packed = _git(ROOT, "archive", "--format=tar", commit, "protos", "server", "client")
        except NoSources as error:
            raise CannotSetUp(str(error)) from error
        # Whole or not at all, also where this is interrupted.
        draft = Path(tempfile.mkdtemp(dir=folder.parent))
        try:
            subprocess.run(["tar", "-x", "-C", str(draft)], input=packed, check=True, timeout=_GIT_S)
            draft.replace(folder)
        except (OSError, subprocess.SubprocessError) as error:
            raise CannotSetUp(f"commit {commit[:7]} cannot be unpacked: {error}") from error
        finally:
            shutil.rmtree(draft, ignore_errors=True)
    return folder


def _git(folder: Path, *words: str) -> bytes:
    command: Sequence[str] = ["git", "-C", str(folder), *words]
    try:
        done = subprocess.run(command, capture_output=True, timeout=_GIT_S, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise NoSources(f"git: {error}") from error
    if done.returncode:
        raise NoSources(f"git knows no commit {words[-1].removesuffix('^{commit}')!r} here")
    return done.stdout
