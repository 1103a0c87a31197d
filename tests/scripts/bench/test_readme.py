"""What the README and its page say of performance is made from the committed results, and only from them."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

import pytest

from bench import environment, publish, readme
from bench.environment import ROOT, Cache
from bench.figures import Run, Tail
from bench.outcomes import Closed, Idle, Level
from bench.overload_results import Overload, read
from bench.readme import Measured
from bench.results import Memory, Results
from bench.workload import Cell

TINY = Cell("softmax", 1, 128)


@pytest.fixture
def results() -> Results:
    runs = [
        Run("hotgraph", TINY, 0, calls_per_s=9000, p50_ms=10),
        Run("triton", TINY, 0, calls_per_s=9000, p50_ms=25),
        Run("echo", TINY, 0, calls_per_s=10_000, p50_ms=2),
    ]
    return Results(
        started="2030-01-01 00:00",
        machine={"cores": "2", "processor": "a processor"},
        versions={"grpcio": "1.2"},
        revision="abc",
        load="how",
        rounds=1,
        settings={"hotgraph": "defaults"},
        notes=["a note"],
        runs=runs,
        memory=[Memory("hotgraph", "softmax", (2_000, 200_000), (100, 101))],
        startup={"serve_s": [6.0, 7.0, 7.5], "bare_s": [5.0, 5.0, 5.0]},
    )


@pytest.fixture
def overload() -> Overload:
    level = Level("hotgraph", 0, 3.0, 500.0, 1500.0, 450.0, {"right": 460, "refused": 900}, late=2)
    return Overload(
        started="2030-01-01 00:00",
        machine={},
        versions={},
        revision="abc",
        rounds=1,
        deadline_ms=50.0,
        run_ms=[16.0],
        settings={"hotgraph": "defaults"},
        levels=[level],
        idle=[Idle("hotgraph", 0, 2, 100, 0, 17.0, 20.0, 21.0, 42.0, 0)],
        closed=[Closed("hotgraph", 0, 32, 0.97)],
    )


def test_readme_and_page_are_what_the_committed_results_make() -> None:
    for file, made in ((publish.README, publish.made_headline()), (publish.FIGURES, publish.made_section())):
        text = file.read_text()
        assert readme.replaced(text, made) == text, "run scripts/bench/report --readme"


def test_headline_has_the_marks_beside_triton_met_or_not(results: Results) -> None:
    text = readme.headline(Measured(results, None))
    assert "| softmax, 128 in flight: hotgraph / Triton, calls/s | at least 1.5 | 1 | **no** |" in text
    assert "echo" not in text
    assert "](docs/performance/figures.md)" in text
    assert "](docs/performance/plot-softmax.svg)" in text


@pytest.mark.parametrize(
    ("made", "folder"), [(publish.made_section, publish.PERFORMANCE), (publish.made_headline, ROOT)]
)
def test_every_picture_is_committed(made: Callable[[], str], folder: Path) -> None:
    pictures = [line for line in made().splitlines() if line.startswith("![")]
    assert pictures
    for line in pictures:
        assert (folder / line.rpartition("(")[2].removesuffix(")")).exists()


def test_marks_that_were_missed_say_so(results: Results) -> None:
    text = readme.section(Measured(results, None))
    assert "| softmax, 128 in flight: hotgraph / Triton, calls/s | at least 1.5 | 1 | **no** |" in text
    assert "| softmax, 128 in flight: hotgraph / C++ echo, calls/s | at least 0.35 | 0.9 | yes |" in text
    assert "| resident memory after 200,000 calls / after 2,000 | at most 1.02 | 1.01 | yes |" in text
    assert "at most 1.3 | 1.4 (1.2 - 1.5) | **no** |" in text
    assert "2 of the 4 marks are met" in text.replace("\n", " ")


def test_calls_over_http_have_a_table_of_their_own(results: Results) -> None:
    assert "### Over HTTP" not in readme.section(Measured(results, None))
    alone, images = Cell("softmax", 1, 1), Cell("mobilenet", 1, 1)
    results.runs += [
        Run("hotgraph-http", TINY, 0, calls_per_s=6000, p50_ms=20),
        Run("triton-http", TINY, 0, calls_per_s=3000, p50_ms=40),
        Run("hotgraph-http", alone, 0, calls_per_s=2000, p50_ms=0.5),
        Run("hotgraph-http", images, 0, calls_per_s=77, p50_ms=13),
    ]
    text = readme.section(Measured(results, None))
    calls, _, http = text.partition("### Over HTTP")
    assert "| hotgraph, HTTP | 2 000 (0.5) | 6 000 (20) |" in http
    assert "| Triton 2.51, HTTP | - | 3 000 (40) |" in http
    assert "| hotgraph | - | 9 000 (10) |" in http
    assert "hotgraph, HTTP" not in calls
    assert "HTTP, calls/s | at least 1.5 | 2 | yes |" in calls
    # The C++ echo speaks gRPC alone, and what is not of the table is not in it.
    assert "echo" not in http
    assert "77" not in text


def test_overload_is_judged_by_goodput_lateness_and_stalls(overload: Overload, results: Results) -> None:
    text = readme.section(Measured(results, overload))
    assert "| goodput at 3 times the capacity / capacity | at least 0.9 | 0.9 | yes |" in text
    few = "of 1 360 calls, 30 000 are wanted"
    assert f"| answers after their deadline, all loads | none | 2 {few} | **no** |" in text
    assert f"| calls that ended 10 ms past their deadline | none | 0 {few} | yes |" in text
    assert "hotgraph 0.97" in text


def test_lines_are_no_longer_than_a_reader_of_the_source_likes(results: Results, overload: Overload) -> None:
    text = readme.section(Measured(results, overload))
    prose = [line for line in text.splitlines() if not line.startswith(("|", "-"))]
    assert max(map(len, prose)) <= 110


def test_quick_run_leaves_the_rest_to_the_whole_one_under_its_date(
    results: Results, overload: Overload
) -> None:
    few = dataclasses.replace(
        results,
        quick=True,
        started="2030-02-02 00:00",
        runs=[*results.runs, Run("hotgraph --lead never", TINY, 0, calls_per_s=8000, p50_ms=11)],
        tails=[Tail("hotgraph", TINY, 20_000, 31.0)],
        memory=[],
        startup={},
    )
    whole = Measured(results, overload, "docs/performance/whole")
    text = readme.section(Measured(few, None), whole=whole).replace("\n", " ")
    new, old = text.split("### From the last whole run")
    assert "`scripts/bench/run --quick` (2030-02-02" in new
    assert "`scripts/bench/run --marks` and `scripts/bench/overload` of 2030-01-01, revision abc" in old
    assert "| hotgraph | 9 000 (10; 31) |" in new
    assert "| hotgraph --lead never | 8 000 (11; -) |" in new
    assert "| hotgraph | 9 000 (10) |" in old
    assert "(docs/performance/plot-softmax.svg)" in new
    assert "(docs/performance/whole/plot-softmax.svg)" in old
    # Each mark once: memory and start-up come from the whole run, the others from the quick one.
    assert ("| resident memory" in new, "| resident memory" in old) == (False, True)
    assert ("| softmax, 128 in flight" in new, "| softmax, 128 in flight" in old) == (True, False)


@pytest.fixture
def performance(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A checkout's docs/performance and README, in which nothing was measured; pictures are not drawn."""
    folder = tmp_path / "docs" / "performance"
    folder.mkdir(parents=True)
    (folder / "README.md").write_text("")
    for file in (tmp_path / "README.md", folder / "figures.md"):
        file.write_text(f"{readme.BEGIN}{readme.END}")
    monkeypatch.setattr(publish, "FIGURES", folder / "figures.md")
    monkeypatch.setattr(publish, "PERFORMANCE", folder)
    monkeypatch.setattr(publish, "WHOLE", folder / "whole")
    monkeypatch.setattr(publish, "README", tmp_path / "README.md")
    monkeypatch.setattr(
        environment, "draw", lambda *given: (given[-1] / "plot-softmax.svg").write_text(str(given[2]))
    )
    return folder


def test_whole_run_moves_aside_for_quick_ones_until_the_next(
    performance: Path, results: Results, overload: Overload, tmp_path: Path
) -> None:
    cache = Cache(tmp_path / "cache")
    quick, whole = tmp_path / "quick", tmp_path / "whole"
    for folder, run in ((quick, dataclasses.replace(results, quick=True)), (whole, results)):
        folder.mkdir()
        run.write(folder / "results.json")
    overload.write(whole / "overload.json")

    publish.take(cache, whole)
    publish.take(cache, quick)
    publish.take(cache, quick)
    assert publish.measured(performance, "") == Measured(dataclasses.replace(results, quick=True), None, "")
    assert publish.measured(performance / "whole", "") == Measured(results, overload, "")
    assert (performance / "whole" / "plot-softmax.svg").exists()
    assert "### From the last whole run" in publish.FIGURES.read_text()

    publish.take(cache, whole)
    assert publish.measured(performance, "") == Measured(results, overload, "")
    assert not (performance / "whole").exists()
    assert "whole run" not in publish.FIGURES.read_text()


def test_missed_mark_without_a_word_about_it_is_told(
    performance: Path, results: Results, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    results.write(tmp_path / "results.json")
    missed = "softmax, 128 in flight: hotgraph / Triton, calls/s"
    publish.take(Cache(tmp_path / "cache"), tmp_path)
    assert f"no word about what was missed: {missed}" in capsys.readouterr().err
    (performance / "README.md").write_text(f"### {missed}")
    publish.take(Cache(tmp_path / "cache"), tmp_path)
    assert missed not in capsys.readouterr().err


def test_only_what_lies_between_the_markers_is_replaced() -> None:
    text = f"before\n{readme.BEGIN}\nold\n{readme.END}\nafter"
    assert readme.replaced(text, "new") == f"before\n{readme.BEGIN}\nnew\n{readme.END}\nafter"


@pytest.mark.parametrize("text", ["", readme.BEGIN, readme.END, f"{readme.END}{readme.BEGIN}"])
def test_readme_without_its_markers_is_not_touched(text: str) -> None:
    with pytest.raises(readme.NoPlace):
        readme.replaced(text, "new")


def test_overload_results_survive_their_file(overload: Overload, tmp_path: Path) -> None:
    overload.write(tmp_path / "overload.json")
    assert read(tmp_path / "overload.json") == overload
