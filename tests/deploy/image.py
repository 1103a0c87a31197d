"""The Dockerfile's steps, run without an engine: each stage is a folder in which all absolute paths lie."""

from __future__ import annotations

import fnmatch
import importlib
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .packages import wheel_of

ROOT = Path(__file__).parents[2]
_PARSER = "dockerfile-parse==2.0.1"
# A path that begins here is one of the stage: in a list, behind a blank, a quote or a colon.
_ABSOLUTE = re.compile(r"(?:(?<=[\s\"':=])|^)/(?=[\w.])")
# What a step needs to reach a package index, and nothing else of this process's environment.
_OF_NETWORKS = re.compile(r"(?i)\w+_proxy|PIP_(CERT|INDEX_URL|EXTRA_INDEX_URL)|SSL_CERT_(FILE|DIR)")
_STEP_S = 1500.0


def instructions(text: str) -> list[tuple[str, str]]:
    """The instructions of a Dockerfile and their values, by the parser that OpenShift's builds use."""
    sys.path.insert(0, str(wheel_of(_PARSER)))
    try:
        # From the wheel itself, and not by a statement, for mypy has none of it.
        package: Any = importlib.import_module("dockerfile_parse")
    finally:
        del sys.path[0]
    parser = package.DockerfileParser(fileobj=_Text(text))
    return [(one["instruction"], one["value"]) for one in parser.structure if one["instruction"] != "COMMENT"]


class _Text:
    """A file that is read from its beginning, as often as it is asked."""

    def __init__(self, text: str) -> None:
        self._lines = text.encode().splitlines(keepends=True)

    def seek(self, place: int) -> None:
        assert place == 0

    def readlines(self) -> list[bytes]:
        return self._lines


@dataclass
class Stage:
    """One stage; `last` of a file is the image."""

    name: str
    steps: list[tuple[str, str]] = field(default_factory=list)

    def only(self, instruction: str) -> str:
        """The value of the one instruction of this kind."""
        (value,) = (value for name, value in self.steps if name == instruction)
        return value

    @property
    def environment(self) -> dict[str, str]:
        """What ENV sets."""
        words = [word for name, value in self.steps if name == "ENV" for word in shlex.split(value)]
        return dict(word.split("=", 1) for word in words)


def stages(text: str) -> list[Stage]:
    """The stages of a Dockerfile, in order."""
    found: list[Stage] = []
    for instruction, value in instructions(text):
        if instruction == "FROM":
            found.append(Stage(value.rpartition(" AS ")[2]))
        elif found:
            found[-1].steps.append((instruction, value))
    return found


def in_context(path: str, patterns: Sequence[str]) -> bool:
    """Does .dockerignore let a file of the repository in? The last pattern that matches it decides."""
    inside = True
    for pattern in patterns:
        negated, plain = pattern.startswith("!"), pattern.removeprefix("!")
        parts = path.split("/")
        # A pattern for a folder is one for all that is in it.
        prefixes = ["/".join(parts[: end + 1]) for end in range(len(parts))]
        names = parts if plain.startswith("**/") else prefixes
        if any(fnmatch.fnmatchcase(one, plain.removeprefix("**/")) for one in names):
            inside = negated
    return inside


def ignored_patterns() -> list[str]:
    lines = (ROOT / ".dockerignore").read_text().splitlines()
    return [line for line in lines if line and not line.startswith("#")]


def context() -> Iterator[str]:
    """The files that a build sees: those of the repository that .dockerignore lets in."""
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True)
    patterns = ignored_patterns()
    yield from (path for path in listed.stdout.splitlines() if in_context(path, patterns))


class Build:
    """Runs the steps below a folder.

    Args:
        folder: where stages are made.
        python: the interpreter that stands for the base image's.
    """

    def __init__(self, folder: Path, python: str) -> None:
        self._folder = folder
        self._tools = folder / "tools"
        self._tools.mkdir(parents=True)
        (self._tools / "python").symlink_to(python)

    def root_of(self, stage: str) -> Path:
        return self._folder / stage

    def run(self, stage: Stage) -> None:
        """Run a stage's steps; raises AssertionError with the output of one that fails."""
        root, place = self.root_of(stage.name), "/"
        root.mkdir()
        for instruction, value in stage.steps:
            if instruction == "WORKDIR":
                place = value
                self.inside(root, place).mkdir(parents=True, exist_ok=True)
            elif instruction == "COPY":
                self._copy(root, place, value)
            elif instruction == "RUN" and not value.startswith("useradd "):
                self._run(root, place, value)

    def inside(self, root: Path, path: str) -> Path:
        return root / path.lstrip("/")

    def rewritten(self, root: Path, text: str) -> str:
        """A command with its absolute paths below the stage."""
        return _ABSOLUTE.sub(f"{root}/", text)

    def _run(self, root: Path, place: str, command: str) -> None:
        environment = {"PATH": f"{self._tools}:/usr/bin:/bin", "HOME": str(root)}
        environment |= {name: value for name, value in os.environ.items() if _OF_NETWORKS.fullmatch(name)}
        words = ["/usr/bin/env", "-i", *(f"{name}={value}" for name, value in environment.items())]
        ended = subprocess.run(
            [*words, "/bin/sh", "-ec", self.rewritten(root, command)],
            cwd=self.inside(root, place),
            capture_output=True,
            text=True,
            timeout=_STEP_S,
            check=False,
        )
        assert ended.returncode == 0, f"RUN {command}\n{ended.stdout[-2000:]}\n{ended.stderr[-4000:]}"

    def _copy(self, root: Path, place: str, value: str) -> None:
        words = value.split()
        source = ""
        if words[0].startswith("--from="):
            source = words.pop(0).removeprefix("--from=")
        *paths, end = words
        target = self.inside(root, end if end.startswith("/") else f"{place}/{end}")
        for path in paths:
            if source:
                self._from_stage(self.inside(self.root_of(source), path), target, is_folder=end.endswith("/"))
            elif path == ".":
                self._from_context(list(context()), target)
            else:
                target.mkdir(parents=True, exist_ok=True)
                assert path in set(context()), f"{path} is not in the build's context"
                shutil.copy(ROOT / path, target / Path(path).name)

    def _from_stage(self, source: Path, target: Path, *, is_folder: bool) -> None:
        assert source.exists(), f"{source} was not made by its stage"
        if source.is_dir():
            # Copied by an engine; it is large, and nobody needs the other one.
            target.parent.mkdir(parents=True, exist_ok=True)
            target.symlink_to(source, target_is_directory=True)
        else:
            target.mkdir(parents=True, exist_ok=True) if is_folder else None
            shutil.copy(source, target)

    def _from_context(self, paths: Sequence[str], target: Path) -> None:
        for path in paths:
            (target / path).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / path, target / path)


def words_of(value: str) -> list[str]:
    """An ENTRYPOINT or CMD in its JSON form."""
    words: Any = json.loads(value)
    return [str(word) for word in words]


def in_image(build: Build, image: Stage, more: Mapping[str, str]) -> dict[str, str]:
    """The environment of a container, its paths below the stage's folder, and more of it."""
    root = build.root_of(image.name)
    return {name: build.rewritten(root, value) for name, value in image.environment.items()} | dict(more)
