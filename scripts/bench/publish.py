"""Results as text, and as the README's section. Started by scripts/bench/report."""

from __future__ import annotations

import argparse
import json
import shutil
import sys
from pathlib import Path

from bench import environment, overload_results, readme, report, results
from bench.environment import ROOT, Cache

PERFORMANCE = ROOT / "docs" / "performance"
README = ROOT / "README.md"
_MODULES = {"results.json": "bench.plot", "overload.json": "bench.plot_overload"}
_AS_IS = ("swap.json", "memory.json")
"""What has no picture; as `readme.section` takes it."""

DESCRIPTION = """\
Without an option: print the report of what scripts/bench/run measured.

The README's performance section is made from results.json, overload.json, swap.json and memory.json
in docs/performance, which are committed beside the pictures; a test fails where the section and these
files differ. After a measurement:

  scripts/bench/run --marks && scripts/bench/overload &&
  scripts/bench/swap --json .bench/results/swap.json &&
  scripts/bench/memory --large --json .bench/results/memory.json && scripts/bench/report --take"""


def main() -> int:
    """Do as the command line says; returns the exit status."""
    parser = argparse.ArgumentParser(
        prog="scripts/bench/report",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        description=DESCRIPTION,
    )
    add = parser.add_argument
    add("--readme", action="store_true", help="write the README's section from docs/performance")
    add(
        "--take",
        action="store_true",
        help="put what was measured into docs/performance, draw it, and write the README's section",
    )
    add(
        "--from",
        dest="source",
        type=Path,
        metavar="DIR",
        help="where it lies (default: results/ in the cache)",
    )
    add(
        "--cache", type=Path, metavar="DIR", default=ROOT / ".bench", help="(default: .bench in the checkout)"
    )
    given = parser.parse_args()
    source = given.source or given.cache / "results"
    if not given.readme and not given.take:
        if not (source / "results.json").exists():
            parser.error(f"{source} has no results.json: measure first, or say --from")
        print(report.markdown(results.read(source / "results.json")))
        return 0
    if given.take:
        _take(Cache(given.cache.resolve()), source)
    if not (PERFORMANCE / "results.json").exists():
        parser.error("docs/performance has no results.json: --take puts one there")
    README.write_text(readme.replaced(README.read_text(), made_section()))
    print("README.md: written", file=sys.stderr)
    return 0


def made_section() -> str:
    """The README's section, from the files in docs/performance."""
    overload = PERFORMANCE / "overload.json"
    return readme.section(
        results.read(PERFORMANCE / "results.json"),
        overload_results.read(overload) if overload.exists() else None,
        *(
            json.loads(file.read_text()) if file.exists() else None
            for file in map(PERFORMANCE.joinpath, _AS_IS)
        ),
    )


def _take(cache: Cache, source: Path) -> None:
    PERFORMANCE.mkdir(parents=True, exist_ok=True)
    for name, module in _MODULES.items():
        if (source / name).exists():
            shutil.copyfile(source / name, PERFORMANCE / name)
            environment.draw(cache, module, PERFORMANCE / name, PERFORMANCE)
            print(f"docs/performance: {name} and its pictures", file=sys.stderr)
    for name in _AS_IS:
        if (source / name).exists():
            shutil.copyfile(source / name, PERFORMANCE / name)
            print(f"docs/performance: {name}", file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())
