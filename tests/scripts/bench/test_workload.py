"""The places of the table, and how calls are spread over connections."""

from __future__ import annotations

import pytest

from bench.options import MODEL_NAMES, RIVAL_NAMES, parse
from bench.rivals import RIVALS
from bench.workload import CALL_ROWS, IN_FLIGHT, MODELS, Cell, cells, connections


def test_places_past_a_models_limit_are_left_out() -> None:
    model = MODELS["mobilenet"]
    assert list(cells(model, (1, 32, 512), (1, 8))) == [
        Cell("mobilenet", 1, 1),
        Cell("mobilenet", 1, 32),
        Cell("mobilenet", 8, 1),
    ]


@pytest.mark.parametrize("in_flight", IN_FLIGHT)
def test_every_number_in_flight_is_spread_evenly(in_flight: int) -> None:
    links, streams = connections(in_flight)
    assert links * streams == in_flight
    assert links <= 4


def test_uneven_number_in_flight_is_refused() -> None:
    with pytest.raises(ValueError, match="6 calls"):
        connections(6)


def test_options_know_exactly_the_rivals_and_models_that_there_are() -> None:
    assert tuple(RIVALS) == RIVAL_NAMES
    assert tuple(MODELS) == MODEL_NAMES


def test_full_run_measures_everything() -> None:
    options = parse([])
    assert (options.rivals, options.models) == (RIVAL_NAMES, MODEL_NAMES)
    assert (options.in_flight, options.rows, options.rounds) == (IN_FLIGHT, CALL_ROWS, 5)
    assert options.seconds is None


def test_short_run_is_small_and_what_is_given_wins_over_it() -> None:
    options = parse(["--short", "--rounds", "2"])
    assert (options.in_flight, options.rows, options.rounds, options.seconds) == ((1, 32), (1,), 2, 1.0)


@pytest.mark.parametrize(
    "argv",
    [
        ["--rivals", "tritn"],
        ["--models", "resnet"],
        ["--rows", "2"],
        ["--in-flight", "6"],
        ["--in-flight", "0"],
        ["--in-flight", "x"],
        ["--rounds", "0"],
        ["--seconds", "0.1"],
    ],
)
def test_options_that_make_no_sense_end_with_a_usage_message(
    argv: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        parse(argv)
    assert ended.value.code == 2
    assert argv[0] in capsys.readouterr().err
