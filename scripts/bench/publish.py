"""Results as text, as a page, and as the README's headline. Started by scripts/bench/report."""

from __future__ import annotations

import argparse
import json
import shutil
import sys
from pathlib import Path

from bench import environment, overload_report, overload_results, readme, report, results
from bench.environment import ROOT, Cache
from bench.readme import Measured

PERFORMANCE = ROOT / readme.FOLDER
WHOLE = PERFORMANCE / readme.WHOLE
README = ROOT / "README.md"
FIGURES = ROOT / readme.FIGURES
_MODULES = {"results.json": "bench.plot", "overload.json": "bench.plot_overload"}
_AS_IS = ("swap.json", "memory.json")
"""What has no picture; as `readme.section` takes it."""

DESCRIPTION = """\
Without an option: print the report of what scripts/bench/run measured.

The README's words on performance, and docs/performance/figures.md, are made from results.json, overload.json,
swap.json and memory.json in docs/performance, which are committed beside the pictures; a test fails where
they and these files differ. After a measurement:

  scripts/bench/run --marks && scripts/bench/overload &&
  scripts/bench/swap --json .bench/results/swap.json &&
  scripts/bench/memory --large --json .bench/results/memory.json && scripts/bench/report --take

Or, in twelve minutes: scripts/bench/run --quick --publish. What a quick run leaves out stays on the page,
under the date and revision of the last whole run, which moves to docs/performance/whole; the next whole run
takes its place again."""


def main() -> int:
    """Do as the command line says; returns the exit status."""
    parser = argparse.ArgumentParser(
        prog="scripts/bench/report",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        description=DESCRIPTION,
    )
    add = parser.add_argument
    add("--readme", action="store_true", help="write the README's words and figures.md from docs/performance")
    add(
        "--take",
        action="store_true",
        help="put what was measured into docs/performance, draw it, and do the same",
    )
    add(
        "--from",
        dest="source",
        type=Path,
        metavar="DIR",
        help="where it lies (default: results/ in the cache)",
    )
    environment.add_cache_option(parser)
    given = parser.parse_args()
    source = given.source or given.cache / "results"
    if not given.readme and not given.take:
        if not (source / "results.json").exists():
            parser.error(f"{source} has no results.json: measure first, or say --from")
        print(report.markdown(results.read(source / "results.json")))
        return 0
    if given.take:
        take(Cache(given.cache.resolve()), source)
        return 0
    if not (PERFORMANCE / "results.json").exists():
        parser.error("docs/performance has no results.json: --take puts one there")
    _write_readme()
    return 0


def _write_readme() -> None:
    for file, text in ((README, made_headline()), (FIGURES, made_section())):
        file.write_text(readme.replaced(file.read_text(), text))
    print(f"README.md and {readme.FIGURES}: written", file=sys.stderr)
    page = (PERFORMANCE / "README.md").read_text()
    for each in missed():
        if each not in page:
            print(f"docs/performance/README.md has no word about what was missed: {each}", file=sys.stderr)


def made_headline() -> str:
    """What the README says, from the files in docs/performance."""
    run = measured(PERFORMANCE, readme.FOLDER)
    assert run is not None
    return readme.headline(run)


def made_section() -> str:
    """The page, from the same files, beside which it lies."""
    swap, memory = (
        json.loads(file.read_text()) if file.exists() else None for file in map(PERFORMANCE.joinpath, _AS_IS)
    )
    run = measured(PERFORMANCE, ".")
    assert run is not None
    return readme.section(run, swap, memory, measured(WHOLE, readme.WHOLE))


def missed() -> list[str]:
    """The marks of the last run, quick or whole, that are not reached; as its tables call them."""
    run = measured(PERFORMANCE, readme.FOLDER)
    if run is None:
        return []
    found = report.judged(run.results) + (overload_report.judged(run.overload) if run.overload else [])
    return [each.measure for each in found if not each.met]


def measured(folder: Path, called: str) -> Measured | None:
    """The run whose files lie there; None: there is none."""
    if not (folder / "results.json").exists():
        return None
    overload = folder / "overload.json"
    return Measured(
        results.read(folder / "results.json"),
        overload_results.read(overload) if overload.exists() else None,
        called,
    )


def take(cache: Cache, source: Path) -> None:
    """Put what was measured into docs/performance, draw it, and write what is made of it."""
    PERFORMANCE.mkdir(parents=True, exist_ok=True)
    _make_way(source)
    for name, module in _MODULES.items():
        if (source / name).exists():
            shutil.copyfile(source / name, PERFORMANCE / name)
            environment.draw(cache, module, PERFORMANCE / name, PERFORMANCE)
            print(f"docs/performance: {name} and its pictures", file=sys.stderr)
    for name in _AS_IS:
        if (source / name).exists():
            shutil.copyfile(source / name, PERFORMANCE / name)
            print(f"docs/performance: {name}", file=sys.stderr)
    _write_readme()


def _make_way(source: Path) -> None:
    """A quick run does not take a whole one's place: its files go into a folder of their own."""
    new, old = measured(source, ""), measured(PERFORMANCE, "")
    if new is None or old is None:
        return
    if not new.results.quick:
        shutil.rmtree(WHOLE, ignore_errors=True)
    elif old.results.quick:
        # What the new run has not measured anew is not its own.
        (PERFORMANCE / "overload.json").unlink(missing_ok=True)
    else:
        WHOLE.mkdir(exist_ok=True)
        for name in (*_MODULES, *(picture.name for picture in PERFORMANCE.glob("*.svg"))):
            if (PERFORMANCE / name).exists():
                (PERFORMANCE / name).replace(WHOLE / name)


if __name__ == "__main__":
    sys.exit(main())
