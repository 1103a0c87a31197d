"""What the command line asks for, where it is more than a default."""

from __future__ import annotations

import pytest

from bench.options import Options, parse
from bench.variants import BEFORE


def names(options: Options) -> list[str]:
    return [variant.name for variant in options.variants]


def test_variants_take_part_only_when_they_are_asked_for() -> None:
    assert parse([]).variants == ()
    asked = parse(["--processes", "2", "--with", "--plan as-saved", "--with=--no-fast-lane"])
    assert names(asked) == [
        "hotgraph --plan as-saved",
        "hotgraph --no-fast-lane",
        "hotgraph --processes 2",
    ]
    assert "hotgraph --processes 2" in asked.agenda[0].rivals


def test_quick_run_asks_for_what_its_marks_name_and_takes_more() -> None:
    options = parse(["--quick", "--with", "--lead never", "--with", "--lead auto"])
    wanted = {"hotgraph --lead never", "hotgraph --processes 2", f"hotgraph@{BEFORE}"} - set(options.missing)
    assert set(names(options)) == wanted | {"hotgraph --lead auto"}
    assert options.perf_analyzer
    assert {entry.cell.model for entry in options.agenda} == {"softmax", "mlp", "identity"}


@pytest.mark.parametrize(
    "argv",
    [
        ["--quick", "--marks"],
        ["--quick", "--in-flight", "8"],
        ["--publish"],
        ["--with", "never"],
        ["--against", "no-such-commit"],
    ],
)
def test_what_makes_no_sense_is_refused(argv: list[str]) -> None:
    with pytest.raises(SystemExit):
        parse(argv)
