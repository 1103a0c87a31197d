"""What the benchmark needs: a cache folder, rivals' virtual environments, Debian packages, and the facts."""

from __future__ import annotations

import argparse
import contextlib
import fcntl
import importlib.metadata
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
_PIP_S = 1800

CACHE = Path(os.environ.get("BENCH_CACHE") or ROOT / ".bench")
"""Where it lies unless a command is told; several checkouts can share what is installed there."""

DEBIAN = {
    # what is looked for: (the package that has it, what it is needed for)
    "h2load": ("nghttp2-client", "the load generator; nothing can be measured without it"),
    "g++": ("g++", "the C++ echo"),
    "pkg-config": ("pkg-config", "the C++ echo"),
    "grpc++": ("libgrpc++-dev", "the C++ echo"),
}


class CannotSetUp(Exception):
    """A rival cannot take part; the text says why."""


@dataclass(frozen=True)
class Cache:
    """A folder for what takes long to make; everything in it can be deleted at any time."""

    folder: Path

    def __post_init__(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        # Wherever it lies, it must not end up in a commit.
        (self.folder / ".gitignore").write_text("*\n")

    def at(self, *parts: str) -> Path:
        """A path in it, whose folder is made."""
        path = self.folder.joinpath(*parts)
        path.parent.mkdir(parents=True, exist_ok=True)
        return path


def add_cache_option(parser: argparse.ArgumentParser) -> None:
    """`--cache DIR`, which all commands of the benchmark have."""
    parser.add_argument(
        "--cache",
        type=Path,
        metavar="DIR",
        default=CACHE,
        help="what is installed and made (default: $BENCH_CACHE, or .bench in the checkout)",
    )


def venv(cache: Cache, name: str, requirements: Sequence[str], *, dependencies: bool = True) -> Path:
    """A virtual environment with `requirements`, made where it is not there; returns its python.

    Raises:
        CannotSetUp: pip cannot.
    """
    folder = cache.at("venvs", name)
    python, stamp = folder / "bin" / "python", folder / "installed"
    wanted = "\n".join([platform.python_version(), str(dependencies), *requirements])
    with alone(folder):
        if stamp.exists() and stamp.read_text() == wanted:
            return python
        print(f"installing {', '.join(requirements)} into a virtual environment", file=sys.stderr, flush=True)
        _run([sys.executable, "-m", "venv", "--clear", str(folder)])
        options = ["--disable-pip-version-check", "--quiet", *([] if dependencies else ["--no-deps"])]
        _run([str(python), "-m", "pip", "install", *options, *requirements])
        stamp.write_text(wanted)
    return python


@contextlib.contextmanager
def alone(path: Path) -> Iterator[None]:
    """Two commands may share a cache: neither may install where the other does, or measure while it does."""
    with path.with_name(f"{path.name}.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print(f"{path.name}: waiting for another command", file=sys.stderr, flush=True)
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def draw(cache: Cache, module: str, source: Path, folder: Path) -> None:
    """Have `module` draw a file of results into a folder, by a Python that has matplotlib; says why not."""
    try:
        python = venv(cache, "plot", ["matplotlib"])
        # A module that draws imports nothing that is not in that environment.
        path = {"PYTHONPATH": str(ROOT / "scripts"), "MPLCONFIGDIR": str(cache.at("matplotlib"))}
        _run([str(python), "-m", module, str(source), str(folder)], path)
    except CannotSetUp as error:
        print(f"no pictures: {error}", file=sys.stderr, flush=True)


def site_packages(python: Path) -> Path:
    """Where a virtual environment's packages lie."""
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    return python.parents[1] / "lib" / version / "site-packages"


def tensorflow_requirement() -> str:
    """The same TensorFlow that hotgraph runs here, as a package for processors only."""
    return f"tensorflow-cpu=={importlib.metadata.version('tensorflow')}"


def missing_debian_packages(wanted: Iterable[str] = DEBIAN) -> dict[str, str]:
    """Packages that are not there, with what they are needed for."""
    return {DEBIAN[thing][0]: DEBIAN[thing][1] for thing in wanted if not _has(thing)}


def _has(thing: str) -> bool:
    if thing == "grpc++":
        found = (
            subprocess.run(["pkg-config", "--exists", "grpc++"], check=False) if _has("pkg-config") else None
        )
        return found is not None and found.returncode == 0
    return shutil.which(thing) is not None


def folder_of_library(cache: Cache, package: str, library: str) -> Path | None:
    """Where a shared library of a Debian package lies; None: where the loader finds it by itself.

    One that is not installed is fetched and unpacked into the cache, which takes no rights.

    Raises:
        CannotSetUp: it cannot be fetched.
    """
    # The loader's own list; the command lies where a plain user's PATH may not lead.
    if library in _output(["/sbin/ldconfig", "-p"]):
        return None
    folder = cache.at("debian", package)
    if not folder.is_dir():
        _unpack_debian_package(cache, package, folder)
    found = next(folder.rglob(library), None)
    if found is None:
        raise CannotSetUp(f"the Debian package {package} does not hold {library}")
    return found.parent


def _unpack_debian_package(cache: Cache, package: str, folder: Path) -> None:
    try:
        with tempfile.TemporaryDirectory(dir=cache.folder) as draft:
            _fetch_debian_package(package, Path(draft))
            (archive,) = Path(draft).glob("*.deb")
            _run(["dpkg-deb", "--extract", str(archive), f"{draft}/unpacked"])
            Path(draft, "unpacked").replace(folder)
    except CannotSetUp as error:
        raise CannotSetUp(f"{error}; to have it installed: sudo apt-get install {package}") from error


def _fetch_debian_package(package: str, folder: Path) -> None:
    """Into a folder that is empty."""
    try:
        _run(["apt-get", "download", package], folder=folder)
    except CannotSetUp:
        # The machine's lists of packages are missing, as in fresh containers, or out of date.
        own = ["-o", f"Dir::State::Lists={folder}/lists", "-o", f"Dir::Cache={folder}/archives"]
        # root would hand over to a user who may not write here
        own += ["-o", "APT::Sandbox::User=root"]
        for name in ("lists/partial", "archives/archives/partial"):
            (folder / name).mkdir(parents=True)
        _run(["apt-get", "update", *own], folder=folder)
        _run(["apt-get", "download", package, *own], folder=folder)


def machine() -> dict[str, str]:
    """What kind of machine this is, without its name."""
    facts = {"system": f"{platform.system()} {platform.release()}", "python": platform.python_version()}
    facts["cores"] = str(len(os.sched_getaffinity(0)))
    facts["memory"] = f"{os.sysconf('SC_PHYS_PAGES') * os.sysconf('SC_PAGE_SIZE') / 2**30:.0f} GiB"
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            facts["processor"] = line.partition(":")[2].strip()
    for line in Path("/etc/os-release").read_text().splitlines():
        if line.startswith("PRETTY_NAME="):
            facts["distribution"] = line.partition("=")[2].strip('"')
    return facts


def revision() -> str:
    """The checkout's commit, with a + where files differ from it; empty without git."""
    try:
        commit = _output(["git", "-C", str(ROOT), "rev-parse", "--short", "HEAD"]).strip()
        changed = _output(["git", "-C", str(ROOT), "status", "--porcelain", "--untracked-files=no"]).strip()
    except (OSError, CannotSetUp):
        return ""
    return commit + "+" * bool(changed)


def own_versions() -> dict[str, str]:
    """Of the packages that hotgraph and the grpc rivals run on, and of the load generator."""
    names = ("tensorflow", "grpcio", "protobuf", "numpy")
    versions = {name: importlib.metadata.version(name) for name in names}
    return versions | {"h2load": _output(["h2load", "--version"]).strip().rpartition("/")[2]}


def versions_in(python: Path, packages: Sequence[str]) -> dict[str, str]:
    """Of packages in another virtual environment."""
    program = "import importlib.metadata as m, sys; print('\\n'.join(map(m.version, sys.argv[1:])))"
    return dict(zip(packages, _output([str(python), "-c", program, *packages]).split(), strict=True))


def debian_version(package: str) -> str:
    """Of an installed Debian package."""
    return _output(["dpkg-query", "--show", "--showformat=${Version}", package]).strip()


def _output(command: Sequence[str]) -> str:
    return _run(command).stdout


def _run(
    command: Sequence[str], env: Mapping[str, str] | None = None, *, folder: Path | None = None
) -> subprocess.CompletedProcess[str]:
    try:
        done = subprocess.run(
            command,
            cwd=folder,
            env={**os.environ, **(env or {})},
            capture_output=True,
            text=True,
            timeout=_PIP_S,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise CannotSetUp(f"{Path(command[0]).name}: {error}") from error
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
        raise CannotSetUp(f"{' '.join(map(str, command[1:4]))} failed: {last}")
    return done


def compile_cpp(source: Path, binary: Path) -> None:
    """A C++ program on gRPC, compiled if it is older than its source.

    Raises:
        CannotSetUp: the compiler or the library is not there, or it does not compile.
    """
    missing = missing_debian_packages(("g++", "pkg-config", "grpc++"))
    if missing:
        raise CannotSetUp(f"Debian packages are missing: sudo apt-get install {' '.join(missing)}")
    if binary.exists() and binary.stat().st_mtime > source.stat().st_mtime:
        return
    flags = _output(["pkg-config", "--cflags", "--libs", "grpc++"]).split()
    _run(["g++", "-std=c++17", "-O2", "-o", str(binary), str(source), *flags])
