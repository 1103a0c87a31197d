"""Started by scripts/fuzz coverage: atheris over what parses bytes, each target in a process of its own, for
atheris ends it when something is found. Imports nothing that has to be installed: --help answers at once."""

from __future__ import annotations

import argparse
import importlib.util
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from fuzzing.targets import WHERE

DESCRIPTION = """\
Let a fuzzer that sees which lines are reached find bytes that some parser of the server's does not take well.

A target is a parser as a function of bytes, which may raise what its contract names and nothing else, and
keeps some promise besides: that pieces mean what the whole does, that templates mean what the full path says,
that what was read can be written. Each begins with some valid inputs. What is found is kept in a file, and
shown as a line of a test."""

EPILOG = f"""\
targets: {", ".join(WHERE)}

examples:
  scripts/fuzz coverage                         all, 5000 runs of each
  scripts/fuzz coverage json http2 --seconds 300
  scripts/fuzz coverage --corpus ~/corpora      go on from where the last time ended"""

MISSING = "atheris is not installed; it has wheels for Linux on x86-64 alone"
_INPUT_S = 10
_MEMORY_MIB = 4096


def is_installed() -> bool:
    """Can atheris be imported?"""
    return importlib.util.find_spec("atheris") is not None


def main(argv: Sequence[str] | None = None) -> int:
    """Fuzz as the command line says; returns the exit status."""
    parser = argparse.ArgumentParser(
        prog="scripts/fuzz coverage",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        description=DESCRIPTION,
        epilog=EPILOG,
    )
    add = parser.add_argument
    add("targets", nargs="*", metavar="TARGET", help="of those below (default: all)")
    add("--runs", type=int, metavar="N", help="of each target (default: 5000)")
    add("--seconds", type=int, metavar="S", help="for each target, whatever the number of runs")
    add("--seed", type=int, default=1, metavar="N", help="another one: other inputs (default: 1)")
    add("--corpus", type=Path, metavar="DIR", help="where inputs worth keeping are kept, by target")
    add(
        "--found",
        type=Path,
        default=Path(),
        metavar="DIR",
        help="where what is found is written (default: here)",
    )
    given = parser.parse_args(argv)
    unknown = set(given.targets) - set(WHERE)
    if unknown:
        parser.error(f"no such target: {', '.join(sorted(unknown))}; there are {', '.join(WHERE)}")
    if not is_installed():
        parser.error(MISSING)
    limits = [f"-runs={given.runs or (-1 if given.seconds else 5000)}"]
    if given.seconds:
        limits.append(f"-max_total_time={given.seconds}")
    found = []
    for name in given.targets or WHERE:
        with tempfile.TemporaryDirectory(prefix="hotgraph-fuzz-") as folder:
            corpus = Path(folder) if given.corpus is None else given.corpus / name
            found += fuzz(name, [*limits, f"-seed={given.seed}"], corpus, given.found)
    print("nothing is wrong" if not found else f"{len(found)} found")
    return 1 if found else 0


def fuzz(name: str, limits: Sequence[str], corpus: Path, found: Path) -> list[Path]:
    """Run one target; returns the files of the inputs that it does not take well.

    Args:
        limits: for libFuzzer.
        corpus: a folder for inputs worth keeping; those that are there are tried first.
        found: a folder for what is found.
    """
    corpus.mkdir(parents=True, exist_ok=True)
    found.mkdir(parents=True, exist_ok=True)
    prefix = f"found-{name}-"
    before = set(found.glob(f"{prefix}*"))
    command = [sys.executable, "-m", "fuzzing.coverage_child", name, *limits]
    command += [f"-artifact_prefix={found / prefix}", f"-timeout={_INPUT_S}"]
    command += [f"-rss_limit_mb={_MEMORY_MIB}", "-print_final_stats=1", str(corpus)]
    child = subprocess.run(
        command,
        env={
            **os.environ,
            "PYTHONPATH": str(Path(__file__).parents[1]),
            "TF_CPP_MIN_LOG_LEVEL": "2",
            "CUDA_VISIBLE_DEVICES": "-1",
        },
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        check=False,
    )
    new = sorted(set(found.glob(f"{prefix}*")) - before)
    figures = dict(
        line.removeprefix("stat::").replace(" ", "").split(":", 1)
        for line in child.stdout.splitlines()
        if line.startswith("stat::")
    )
    runs, rate = figures.get("number_of_executed_units", "?"), figures.get("average_exec_per_sec", "?")
    print(
        f"{name}: {runs} runs, {rate} a second, {len(list(corpus.iterdir()))} inputs worth keeping",
        flush=True,
    )
    if child.returncode or new:
        print("\n".join(child.stdout.splitlines()[-60:]))
    if child.returncode and not new:
        raise SystemExit(f"FAULT {name}: the fuzzer ended with status {child.returncode}, and says no input")
    for path in new:
        print(f"FAULT {path}, as a case of tests/scripts/fuzzing/test_targets.py:")
        print(f'    ("{name}", "{path.read_bytes().hex()}"),')
    return new


if __name__ == "__main__":
    sys.exit(main())
