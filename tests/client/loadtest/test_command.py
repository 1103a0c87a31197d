"""command.py and session.py: the command with senders that send nothing, its files and its exit statuses."""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hotgraph_client.descriptions import TensorMetadata
from hotgraph_client.loadtest import command, session
from hotgraph_client.loadtest.dialects.description import V2_GRPC, Description, TargetError
from hotgraph_client.loadtest.document import Document, Slo, Step
from hotgraph_client.loadtest.load import Answer, Assignment, Ended, Interval, Payload

from .fake_generator import FakeGenerator, Fate

DESCRIPTION = Description(
    V2_GRPC,
    "m",
    "3",
    "serving_default",
    (TensorMetadata("x", "FP32", (-1, 2)),),
    (TensorMetadata("y", "FP32", (-1, 2)),),
    server="fake",
    server_version="1.0",
)


class FakeDialect:
    description = DESCRIPTION

    def payload(self, inputs: Any) -> Payload:
        return Payload("/infer", (), inputs["x"].tobytes(), rows=len(inputs["x"]))

    def read(self, answer: Answer) -> dict[str, Any]:
        return {"y": np.frombuffer(answer.body, np.float32)}


class Bench:
    """What the next command meets.

    Attributes:
        fate: of the calls of each run.
        generators: of the commands so far.
        refusal: of the target; None: it answers.
    """

    def __init__(self) -> None:
        self.fate: Callable[[Assignment], Fate] = lambda _: Fate()
        self.generators: list[FakeGenerator] = []
        self.on_second: Callable[[FakeGenerator, int], None] = lambda *_: None
        self.refusal: Exception | None = None
        self.asked: tuple[Any, ...] = ()

    def __call__(self, *words: str) -> int:
        parser = argparse.ArgumentParser(prog="hotgraph loadtest")
        command.add_arguments(parser)
        return command.run(parser.parse_args(["127.0.0.1:8500", "m", *words]))

    def open_dialect(self, *asked: Any) -> FakeDialect:
        self.asked = asked
        if self.refusal is not None:
            raise self.refusal
        return FakeDialect()

    def senders(self, count: int) -> FakeSenders:
        return FakeSenders(self, count)

    @property
    def rates(self) -> list[float]:
        """Of the runs so far, of all processes together."""
        return [
            sum(one.arrivals.rate for one in run) for generator in self.generators for run in generator.runs
        ]


class FakeSenders:
    def __init__(self, bench: Bench, count: int) -> None:
        self._generator = FakeGenerator(lambda whole: bench.fate(whole))
        self._generator.on_second = lambda second: bench.on_second(self._generator, second)
        bench.generators.append(self._generator)

    def __enter__(self) -> FakeSenders:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def run(self, assignments: Sequence[Assignment], on_interval: Callable[[Interval], None]) -> Ended:
        return self._generator.run(assignments, on_interval)

    def change(self, rate: float | None = None, weights: Sequence[float] | None = None) -> None:
        if rate is not None:
            self._generator.change(rate)

    def stop_early(self) -> None:
        self._generator.stop_early()


@pytest.fixture
def loadtest(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Bench:
    """Runs the command in an empty directory."""
    monkeypatch.chdir(tmp_path)
    bench = Bench()

    def no_client(*_: object, **__: object) -> None:
        raise ValueError("nobody to ask")

    monkeypatch.setattr(session, "open_dialect", bench.open_dialect)
    monkeypatch.setattr(session, "Senders", bench.senders)
    monkeypatch.setattr(session, "Client", no_client)
    return bench


def written(file: str = "out.json") -> Any:
    return json.loads(Path(file).read_text())


def test_rate_is_put_on_and_shown(loadtest: Bench, capsys: pytest.CaptureFixture[str]) -> None:
    assert loadtest("--rate", "100", "--duration", "3") == 0
    out, err = capsys.readouterr()
    heading, row = out.splitlines()
    assert heading.split()[:3] == ["load", "offered/s", "achieved/s"]
    assert row.split()[:3] == ["100/s", "100", "100"]
    assert "run 1 of 1 100/s" in err
    assert "3 s  due 100  answered 100" in err


def test_json_has_the_form_that_others_read(loadtest: Bench) -> None:
    assert loadtest("--rate", "100,200", "--repeat", "2", "--json", "out.json") == 0
    document = written()
    assert document.keys() == Document.__annotations__.keys() - {"slo", "tune"}
    assert document["hotgraph_loadtest"] == 1
    assert (document["target"], document["model"]) == ("127.0.0.1:8500", "m")
    assert (document["protocol"], document["version"]) == ("v2 over gRPC", "3")
    assert document["machine"]["server"] == {"name": "fake", "version": "1.0"}
    assert {"cpu", "cores", "system", "python", "hotgraph"} <= document["machine"].keys()
    assert document["input"]["rows"] == {"1": 1.0}
    assert document["input"].keys() == {"source", "items", "rows", "bytes"}
    assert document["load"] == {
        "kind": "open",
        "arrivals": "poisson",
        "seconds": 10.0,
        "warm_up_s": 2.0,
        "repeats": 2,
        "processes": 1,
        "connections": 4,
        "deadline_ms": None,
        "check": "first",
    }
    for step in document["steps"]:
        assert step.keys() == Step.__annotations__.keys()


def test_design_cards_fixed_form_is_kept(loadtest: Bench) -> None:
    assert loadtest("--slo", "p99<20ms", "--rate", "50..100", "--json", "out.json") == 0
    document = written()
    assert document.keys() >= {"target", "model", "machine", "steps", "slo"}
    assert document["slo"].keys() == Slo.__annotations__.keys()
    step = document["steps"][0]
    assert step.keys() >= {
        *("offered_per_s", "achieved_per_s", "calls", "latency_ms", "errors", "wrong", "lag_ms"),
        *("void", "server"),
    }
    assert step["latency_ms"].keys() == {"mean", "p50", "p90", "p99", "p99.9", "max"}
    assert step["lag_ms"].keys() >= {"p50", "p99"}


def test_json_on_stdout_is_alone_there(loadtest: Bench, capsys: pytest.CaptureFixture[str]) -> None:
    assert loadtest("--rate", "100", "--json", "-") == 0
    out, err = capsys.readouterr()
    assert json.loads(out)["steps"][0]["calls"] == 1000
    assert "offered/s" in err


def test_report_is_one_file_and_knows_the_baseline(
    loadtest: Bench, capsys: pytest.CaptureFixture[str]
) -> None:
    assert loadtest("--rate", "100", "--json", "before.json") == 0
    loadtest.fate = lambda _: Fate(latency_ms=lambda _: 10.0)
    assert loadtest("--rate", "100", "--html", "report.html", "--baseline", "before.json") == 0
    assert Path("report.html").read_text().startswith("<!doctype html>")
    assert "(+100 %)" in capsys.readouterr().out


def test_nothing_asked_for_probes_and_goes_up_to_what_the_server_can(loadtest: Bench) -> None:
    assert loadtest("--json", "out.json") == 0
    (probe, *_) = loadtest.generators[0].runs
    assert probe[0].arrivals.kind == "closed"
    # the fake answers 100 calls a second to each of 8 callers
    assert [step["label"] for step in written()["steps"]] == ["160/s", "320/s", "480/s", "640/s", "760/s"]


def test_flags_reach_the_senders(loadtest: Bench) -> None:
    words = [
        "--rate",
        "100",
        "--arrivals",
        "uniform",
        "--deadline-ms",
        "50",
        "--seed",
        "7",
        "--rows",
        "1:3,4:1",
    ]
    assert (
        loadtest(*words, "--processes", "2", "--connections", "6", "--duration", "4", "--warm-up", "0") == 0
    )
    first, second = loadtest.generators[0].runs[0]
    assert first.arrivals.kind == "uniform"
    assert (first.arrivals.rate, second.arrivals.rate) == (50.0, 50.0)
    assert first.deadline_s == 0.05
    assert (first.seconds, first.warm_up_s, first.connections) == (4.0, 0.0, 3)
    assert sorted({payload.rows for payload in first.payloads}) == [1, 4]
    assert first.weights is not None
    assert first.keep_answers > 0
    assert (first.destination.host, first.destination.port) == ("127.0.0.1", 8500)


def test_unchecked_answers_are_not_kept(loadtest: Bench) -> None:
    assert loadtest("--rate", "100", "--check", "none") == 0
    assert loadtest.generators[0].runs[0][0].keep_answers == 0


def test_key_goes_with_every_call(loadtest: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOTGRAPH_KEY", "abc")
    assert loadtest("--rate", "100") == 0
    (whole,) = loadtest.generators[0].runs[0]
    assert whole.destination.headers == (("authorization", "Bearer abc"), ("x-hotgraph-model", "m"))


def test_wrong_answers_fail(loadtest: Bench, capsys: pytest.CaptureFixture[str]) -> None:
    right, wrong = (np.array(values, np.float32).tobytes() for values in ([1, 2], [1, 3]))
    loadtest.fate = lambda _: Fate(answers=[Answer(0, (), right, 90), Answer(0, (), wrong, 10)])
    assert loadtest("--rate", "100", "--json", "out.json") == 1
    assert written()["steps"][0]["wrong"] == 10
    assert "10 wrong answers" in capsys.readouterr().err.splitlines()[-1]
    assert loadtest("--rate", "100", "--check", "none") == 0


def test_errors_alone_do_not_fail_but_no_answer_at_all_does(
    loadtest: Bench, capsys: pytest.CaptureFixture[str]
) -> None:
    loadtest.fate = lambda _: Fate(errors={"UNAVAILABLE": 50}, error_texts={"UNAVAILABLE": "too busy"})
    assert loadtest("--rate", "100") == 0
    assert "500 x UNAVAILABLE: too busy" in capsys.readouterr().out
    loadtest.fate = lambda whole: Fate(
        errors={"UNAVAILABLE": 100 * (whole.arrivals.callers or 1)}, error_texts={"UNAVAILABLE": "too busy"}
    )
    assert loadtest("--rate", "100") == 1
    assert "no call was answered" in capsys.readouterr().err.splitlines()[-1]
    assert loadtest() == 1
    assert "too busy" in capsys.readouterr().err.splitlines()[-1]


@pytest.mark.parametrize(("need", "status", "says"), [("700", 0, "reaches"), ("800", 1, "misses")])
def test_rate_that_is_needed_decides(
    loadtest: Bench, capsys: pytest.CaptureFixture[str], need: str, status: int, says: str
) -> None:
    loadtest.fate = lambda whole: Fate(latency_ms=lambda _: 5.0 if whole.arrivals.rate < 777 else 50.0)
    assert loadtest("--slo", "p99<20ms", "--rate", "100", "--need", need, "--json", "out.json") == status
    slo = written()["slo"]
    assert slo["confirmed"] is True
    assert slo["rate_per_s"] == pytest.approx(777, rel=0.03)
    out, err = capsys.readouterr()
    assert f"{says} the {need}/s" in out
    assert (f"{says} the {need}/s" in err.splitlines()[-1]) == (status == 1)


def test_search_without_a_rate_begins_with_a_probe(loadtest: Bench) -> None:
    loadtest.fate = lambda whole: Fate(latency_ms=lambda _: 5.0 if whole.arrivals.rate < 777 else 50.0)
    assert loadtest("--slo", "p99<20ms,errors<1%") == 0
    kinds = [run[0].arrivals.kind for run in loadtest.generators[0].runs[:2]]
    assert kinds == ["closed", "poisson"]
    assert loadtest.rates[1] == 400.0


def test_void_step_is_marked_and_explained(loadtest: Bench, capsys: pytest.CaptureFixture[str]) -> None:
    loadtest.fate = lambda _: Fate(lag_ms=4.0)
    assert loadtest("--rate", "100") == 0
    out = capsys.readouterr().out
    assert "VOID" in out
    assert "--processes" in out


def test_closed_loop_says_what_it_leaves_out(loadtest: Bench, capsys: pytest.CaptureFixture[str]) -> None:
    assert loadtest("--concurrency", "1,8") == 0
    assert "closed loop" in capsys.readouterr().out


def test_target_that_does_not_answer_fails_in_one_line(
    loadtest: Bench, capsys: pytest.CaptureFixture[str]
) -> None:
    loadtest.refusal = TargetError("nobody is there\nat all")
    assert loadtest("--rate", "100") == 1
    assert capsys.readouterr().err == "hotgraph loadtest: nobody is there at all\n"


@pytest.mark.parametrize(
    "words",
    [
        ("--slo", "nothing"),
        ("--rate", "1", "--rows", "x"),
        ("--rate", "1", "--baseline", "absent.json"),
        ("--rate", "1", "--baseline", "other.json"),
        ("--rate", "1", "--baseline", "deep.json"),
        ("--rate", "1", "--baseline", "later.json"),
        ("--rate", "1", "--baseline", "changed.json"),
        ("--rate", "1", "--metrics", "somewhere"),
        ("--rate", "1", "--json", "absent/out.json"),
        ("--rate", "1", "--html", "."),
        ("--rate", "1", "--key-file", "absent"),
        ("--rate", "1", "--tls-ca", "absent"),
        ("--rate", "1", "--data", "absent.npy"),
        ("--replay", "absent"),
    ],
)
def test_what_makes_no_sense_is_wrong_usage(
    loadtest: Bench, capsys: pytest.CaptureFixture[str], words: tuple[str, ...]
) -> None:
    Path("other.json").write_text("[]")
    Path("deep.json").write_text("[" * 100_000)
    Path("later.json").write_text('{"hotgraph_loadtest": 2}')
    Path("changed.json").write_text('{"hotgraph_loadtest": 1, "steps": [{"label": 7}]}')
    assert loadtest(*words) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("hotgraph loadtest: ")
    assert not loadtest.generators or not loadtest.generators[0].runs


@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM])
def test_interrupt_shows_and_writes_what_there_is(
    loadtest: Bench, capsys: pytest.CaptureFixture[str], sent: signal.Signals
) -> None:
    def interrupt(generator: FakeGenerator, second: int) -> None:
        if second == 4:
            os.kill(os.getpid(), sent)
            assert generator.was_stopped.wait(10)

    loadtest.on_second = interrupt
    threads = threading.active_count()
    assert (
        loadtest("--rate", "100,200", "--duration", "60", "--json", "out.json", "--html", "out.html") == 130
    )
    (step,) = written()["steps"]
    assert (step["calls"], step["seconds"]) == (500, 5)
    assert Path("out.html").exists()
    out, err = capsys.readouterr()
    assert "100/s" in out
    assert "Ctrl-C" in err
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
    assert threading.active_count() <= threads


def test_interrupt_before_there_is_a_load_is_one_line(
    loadtest: Bench, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(command, "read_options", interrupted)
    assert loadtest("--rate", "1") == 130
    assert len(capsys.readouterr().err.splitlines()) == 1


def test_live_goes_on_until_its_page_stops_it(loadtest: Bench, capsys: pytest.CaptureFixture[str]) -> None:
    """The page itself: test_live.py."""
    loadtest.on_second = lambda generator, second: generator.stop_early() if second == 6 else None
    assert loadtest("--live", "--rate", "50", "--json", "out.json") == 0
    (step,) = written()["steps"]
    assert (step["label"], step["calls"]) == ("live", 350)
    assert "live: http://127.0.0.1:" in capsys.readouterr().err


def test_closed_pipe_is_no_error(loadtest: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "w") as closed:
        monkeypatch.setattr(sys, "stdout", closed)
        assert loadtest("--rate", "100", "--json", "-") == 0


def test_stdout_that_cannot_be_written_fails_in_one_line(
    loadtest: Bench, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    class Full:
        def write(self, text: str) -> None:
            raise OSError(28, "No space left on device")

    monkeypatch.setattr(sys, "stdout", Full())
    assert loadtest("--rate", "100") == 1
    assert capsys.readouterr().err.splitlines()[-1].startswith("hotgraph loadtest: ")
    monkeypatch.setattr(sys, "stdout", None)
    assert loadtest("--rate", "100", "--json", "out.json") == 0
    assert written()["steps"]


def test_replay_of_a_file_that_is_not_there_names_its_own_flag(
    loadtest: Bench, capsys: pytest.CaptureFixture[str]
) -> None:
    assert loadtest("--replay", "absent") == 2
    assert "--replay absent" in capsys.readouterr().err


def test_metrics_that_say_nothing_are_told_of_before_the_load(
    loadtest: Bench, capsys: pytest.CaptureFixture[str]
) -> None:
    assert loadtest("--rate", "100", "--metrics", "http://127.0.0.1:1/metrics") == 0
    first = capsys.readouterr().err.splitlines()[0]
    assert "http://127.0.0.1:1/metrics says nothing of 'm'" in first


@pytest.mark.parametrize("flag", ["--tls-ca", "--key-file", "--baseline"])
def test_file_that_is_not_there_is_named_as_people_do(
    loadtest: Bench, capsys: pytest.CaptureFixture[str], flag: str
) -> None:
    assert loadtest("--rate", "1", flag, "absent") == 2
    err = capsys.readouterr().err
    assert "absent: No such file" in err
    assert "Errno" not in err


def test_calls_that_were_due_too_rarely_are_told_of(
    loadtest: Bench, capsys: pytest.CaptureFixture[str]
) -> None:
    loadtest.fate = lambda _: Fate(none_due=True)
    assert loadtest("--rate", "0.1", "--duration", "1", "--html", "out.html") == 1
    out, err = capsys.readouterr()
    assert "longer --duration" in err.splitlines()[-1]
    assert "0.1/s" in out


def test_process_that_cannot_send_is_the_reason_that_is_given(
    loadtest: Bench, capsys: pytest.CaptureFixture[str]
) -> None:
    loadtest.fate = lambda _: Fate(none_due=True, fault="it fell over")
    for words in (["--rate", "10", "--html", "out.html"], []):
        assert loadtest(*words) == 1
        assert "it fell over" in capsys.readouterr().err.splitlines()[-1]


def test_answers_that_come_after_the_end_are_answers(loadtest: Bench) -> None:
    loadtest.fate = lambda _: Fate(latency_ms=lambda _: 60_000.0)
    assert loadtest("--rate", "10", "--json", "out.json") == 0
    assert written()["steps"][0]["achieved_per_s"] == 0
    assert loadtest("--json", "out.json") == 0


WITHOUT_EXTRA = """
import sys
from importlib.abc import MetaPathFinder

ABSENT = sys.argv.pop(1).split(",")

class Absent(MetaPathFinder):
    def find_spec(self, name, path, target=None):
        if name.partition(".")[0] in ABSENT:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Absent())
from hotgraph_server.commands.cli import main
sys.exit(main(sys.argv[1:]))
"""


EXTRA = "hdrh,rich,ngh2,httptools,PIL,google_crc32c"


def without_extra(*words: str, absent: str = EXTRA) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", WITHOUT_EXTRA, absent, "loadtest", *words],
        capture_output=True,
        text=True,
        timeout=120,
    )


def test_help_needs_none_of_the_extras_packages() -> None:
    found = without_extra("--help")
    assert found.returncode == 0, found.stderr
    assert "examples:" in found.stdout
    assert len(found.stderr) == 0


@pytest.mark.parametrize("absent", [EXTRA, "ngh2", "httptools"])
def test_without_the_extra_one_line_says_how_to_get_it(absent: str) -> None:
    found = without_extra("127.0.0.1:1", "m", "--rate", "5", absent=absent)
    assert found.returncode == 1
    (line,) = found.stderr.splitlines()
    assert "pip install 'hotgraph[loadtest]'" in line
