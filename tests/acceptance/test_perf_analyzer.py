"""NVIDIA's perf_analyzer, unchanged, in each of its ways to call a server over gRPC, and in some over HTTP.

It ends with an error as soon as one call fails, or one answer is another than its input file tells.
"""

from __future__ import annotations

import csv
import json
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from tritonclient.grpc import InferenceServerClient

from bench import perf_analyzer
from bench.environment import CACHE, Cache, CannotSetUp

from ..ports import free_port
from ..saved_models import SavedModels
from .command import serve
from .test_sequences import DIRECT, OLDEST, configured

CALLS = 200
CALLERS = 4
RUN_S = 60.0

# perf_analyzer cannot send a tensor that has the batch's dimension alone.
STRINGS = """
max_batch_size: 64
input { name: "text" data_type: TYPE_STRING dims: [1] reshape { } }
output { name: "length" data_type: TYPE_INT32 dims: [1] reshape { } }
output { name: "upper" data_type: TYPE_STRING dims: [1] reshape { } }
"""

PASS_THROUGH_CALLS = [
    ({"x": [1.5, 2.5]}, {"doubled": [3.0, 5.0], "same": [1.5, 2.5]}),
    ({"x": [3.5, -4.5]}, {"doubled": [7.0, -9.0], "same": [3.5, -4.5]}),
]
STRINGS_CALLS = [
    ({"text": ["abc"]}, {"length": [3], "upper": ["ABC"]}),
    ({"text": [""]}, {"length": [0], "upper": [""]}),
    ({"text": ["x" * 3000]}, {"length": [3000], "upper": ["X" * 3000]}),
]


@dataclass(frozen=True)
class Report:
    """What it reported, and what the server's own statistics say of the same time.

    Attributes:
        calls: that it counted.
        sequences: that it counted; 0 where it called no sequences.
        calls_per_s: in its table.
        answered, failed, runs: calls and runs in the server's statistics.
    """

    calls: int
    sequences: int
    calls_per_s: float
    answered: int
    failed: int
    runs: int


@dataclass(frozen=True)
class Analyzer:
    """perf_analyzer, and the server that it calls.

    Attributes:
        address: of gRPC.
        http: of the REST port; empty: it has none.
    """

    tool: perf_analyzer.Tool
    client: InferenceServerClient
    address: str
    table: Path
    http: str = ""

    def __call__(self, model: str, *flags: str, over: str = "grpc") -> Report:
        """Have it make CALLS calls, CALLERS at a time, over ``grpc`` or ``http``; fails if it does."""
        address = self.http if over == "http" else self.address
        self.table.unlink(missing_ok=True)
        arguments = ["-m", model, "-f", str(self.table), "--request-count", str(CALLS), *flags]
        if not any(flag.startswith("--request-rate") for flag in flags):
            arguments += ["--concurrency-range", str(CALLERS)]
        before = self._counted(model)
        try:
            done = self.tool.run(address, arguments, RUN_S, over)
        except subprocess.TimeoutExpired:
            # On a machine that is busy one run in some hundred never comes to its end. That is the tool's
            # own affair only if it has got all of its answers.
            answered = self._counted(model)[0] - before[0]
            assert answered >= CALLS, f"{CALLS - answered} calls have no answer"
            before = self._counted(model)
            done = self.tool.run(address, arguments, RUN_S, over)
        after = self._counted(model)
        assert done.returncode == 0, done.stdout + done.stderr
        (row,) = csv.DictReader(self.table.read_text().splitlines())
        return Report(
            _number("Request count", done.stdout),
            _number("Sequence count", done.stdout),
            float(row["Inferences/Second"]),
            *(late - early for early, late in zip(before, after, strict=True)),
        )

    def _counted(self, model: str) -> tuple[int, int, int]:
        (row,) = self.client.get_inference_statistics(model).model_stats
        return row.inference_stats.success.count, row.inference_stats.fail.count, row.execution_count


def _number(what: str, text: str) -> int:
    found = re.search(rf"^ *{what}: (\d+)", text, re.MULTILINE)
    return int(found[1]) if found else 0


def complete(report: Report) -> bool:
    """Did all calls get their answers, by its own count and by the server's?"""
    return report.calls >= CALLS and report.answered >= CALLS and not report.failed and report.calls_per_s > 0


@pytest.fixture(scope="module")
def tool() -> perf_analyzer.Tool:
    """Fetched into the folder in which the benchmark keeps what it has fetched."""
    try:
        return perf_analyzer.set_up(Cache(CACHE))
    except CannotSetUp as error:
        pytest.fail(f"perf_analyzer is fetched from PyPI, and a library of it from Debian: {error}")


@pytest.fixture(scope="module", params=["fast lane", "grpc's own way"])
def analyse(
    request: pytest.FixtureRequest,
    tool: perf_analyzer.Tool,
    saved_models: SavedModels,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Analyzer]:
    from hotgraph_server.server import Server, Stopped
    from hotgraph_server.settings import (
        AdminSettings,
        ListenSettings,
        ModelSettings,
        RestSettings,
        ServerSettings,
        SharedMemorySettings,
    )

    models = (
        *(ModelSettings(name, saved_models[name]) for name in ("pass_through", "tf2_mlp")),
        configured("strings", saved_models["strings"], STRINGS),
        configured("running_sum", saved_models["running_sum"], OLDEST),
        configured("slot_sums", saved_models["slot_sums"], DIRECT),
    )
    settings = ServerSettings(
        models,
        ListenSettings(port=0, fast_lane=request.param == "fast lane"),
        AdminSettings(admin_port=0),
        RestSettings(rest_port=free_port()),
        shared_memory=SharedMemorySettings(allow_client_shm=True),
    )
    server = Server(settings)
    server.start()
    table = tmp_path_factory.mktemp("perf_analyzer") / "report.csv"
    with InferenceServerClient(server.address) as client:
        yield Analyzer(tool, client, server.address, table, server.rest_address or "")
    assert server.stop() == Stopped(answered=True, ended=True)


@pytest.fixture
def input_file(tmp_path: Path) -> Callable[[list[Any]], str]:
    """Writes calls and their right answers, tensors by name, as a file that perf_analyzer reads."""

    def write(calls: list[tuple[dict[str, list[Any]], dict[str, list[Any]]]]) -> str:
        path = tmp_path / "calls.json"
        asked, answers = zip(*calls, strict=True)
        path.write_text(json.dumps({"data": asked, "validation_data": answers}))
        return str(path)

    return write


@pytest.mark.parametrize("mode", ["--sync", "--async", "--streaming"])
def test_answers_are_right(analyse: Analyzer, input_file: Callable[[list[Any]], str], mode: str) -> None:
    report = analyse("pass_through", mode, "--input-data", input_file(PASS_THROUGH_CALLS))
    assert complete(report)


@pytest.mark.parametrize("mode", ["--sync", "--async", "--streaming"])
def test_answers_with_strings_are_right(
    analyse: Analyzer, input_file: Callable[[list[Any]], str], mode: str
) -> None:
    assert complete(analyse("strings", mode, "--input-data", input_file(STRINGS_CALLS)))


def test_wrong_answer_would_be_noticed(analyse: Analyzer, input_file: Callable[[list[Any]], str]) -> None:
    calls = [({"x": [1.5, 2.5]}, {"doubled": [3.0, 5.5], "same": [1.5, 2.5]})]
    with pytest.raises(AssertionError, match="Output doesn't match expected output"):
        analyse("pass_through", "--input-data", input_file(calls))


# A run takes a second, however few its calls: these are seen over one of the two ways only.
@pytest.mark.parametrize("analyse", ["fast lane"], indirect=True)
@pytest.mark.parametrize(
    "flags",
    [
        ("-b", "8"),
        ("-b", "8", "--streaming"),
        ("-x", "1"),
        ("--async", "--request-rate-range", "200", "--request-distribution", "poisson"),
        ("--grpc-compression-algorithm", "gzip"),
        ("--request-parameter", "tenant:blue:string"),
    ],
    ids=" ".join,
)
def test_calls_are_made_in_other_ways(analyse: Analyzer, flags: tuple[str, ...]) -> None:
    assert complete(analyse("tf2_mlp", *flags))


@pytest.mark.parametrize(
    ("model", "mode"),
    [("tf2_mlp", "--sync"), ("tf2_mlp", "--async"), ("tf2_mlp", "--streaming"), ("strings", "--streaming")],
)
def test_tensors_lie_in_shared_memory(analyse: Analyzer, model: str, mode: str) -> None:
    assert complete(analyse(model, mode, "--shared-memory", "system"))


@pytest.mark.parametrize("mode", ["--sync", "--streaming"])
@pytest.mark.parametrize("model", ["running_sum", "slot_sums"])
def test_calls_form_sequences(analyse: Analyzer, model: str, mode: str) -> None:
    report = analyse(model, mode, "--sequence-length", "10")
    assert complete(report)
    assert report.sequences >= CALLS // 10 // 2


# HTTP has one way, whichever of the two gRPC goes.
@pytest.mark.parametrize("analyse", ["fast lane"], indirect=True)
@pytest.mark.parametrize("form", ["binary", "json"])
@pytest.mark.parametrize("mode", ["--sync", "--async"])
def test_answers_over_http_are_right(
    analyse: Analyzer, input_file: Callable[[list[Any]], str], mode: str, form: str
) -> None:
    forms = ("--input-tensor-format", form, "--output-tensor-format", form)
    calls = ("--input-data", input_file(PASS_THROUGH_CALLS))
    assert complete(analyse("pass_through", mode, *calls, *forms, over="http"))


@pytest.mark.parametrize("analyse", ["fast lane"], indirect=True)
@pytest.mark.parametrize(
    ("model", "flags"),
    [
        ("strings", ()),
        ("tf2_mlp", ("-b", "8")),
        ("tf2_mlp", ("-x", "1")),
        ("tf2_mlp", ("--shared-memory", "system")),
        ("running_sum", ("--sync", "--sequence-length", "10")),
    ],
    ids=["strings", "eight rows", "by version", "shared memory", "sequences"],
)
def test_calls_are_made_over_http(analyse: Analyzer, model: str, flags: tuple[str, ...]) -> None:
    report = analyse(model, *flags, over="http")
    assert complete(report)
    if "--sequence-length" in flags:
        assert report.sequences >= CALLS // 10 // 2


# It sends the last call of a sequence while the one before is on its way: outside of streams only the fast
# lane takes them in the order in which they came.
@pytest.mark.parametrize("analyse", ["fast lane"], indirect=True)
@pytest.mark.parametrize("model", ["running_sum", "slot_sums"])
def test_calls_form_sequences_without_waiting_for_answers(analyse: Analyzer, model: str) -> None:
    report = analyse(model, "--async", "--sequence-length", "10")
    assert complete(report)
    assert report.sequences >= CALLS // 10 // 2


@pytest.mark.parametrize(
    ("model", "flags"),
    [("tf2_mlp", ()), ("tf2_mlp", ("-b", "8")), ("tf2_mlp", ("-x", "1")), ("strings", ())],
    ids=["one row", "eight rows", "by version", "strings"],
)
def test_tensorflow_servings_protocol_is_spoken(
    analyse: Analyzer, model: str, flags: tuple[str, ...]
) -> None:
    rows = () if "-b" in flags else ("-b", "1")
    assert complete(analyse(model, "--service-kind", "tfserving", *rows, *flags))


def test_model_is_tuned_by_loading_it_with_other_configurations(
    tool: perf_analyzer.Tool, saved_models: SavedModels, tmp_path: Path
) -> None:
    """What NVIDIA's model_analyzer does: load with a `config`, have perf_analyzer measure, unload."""
    repository = tmp_path / "repository"
    shutil.copytree(saved_models["tf2_mlp"], repository / "mlp" / "1")
    flags = ["--repository", str(repository), "--model-control", "explicit", "--port", "0"]
    with serve(*flags) as serving, InferenceServerClient(serving.address) as client:
        analyse = Analyzer(tool, client, serving.address, tmp_path / "report.csv")

        def tried(config: dict[str, Any], *flags: str) -> Report:
            client.load_model("mlp", config=json.dumps(config))
            report = analyse("mlp", *flags)
            used = client.get_model_config("mlp", as_json=True)["config"]
            assert used["max_batch_size"] == config["max_batch_size"]
            client.unload_model("mlp")
            assert not client.is_model_ready("mlp")
            return report

        alone = tried({"max_batch_size": 1})
        assert complete(alone)
        assert alone.runs == alone.answered
        patient = {"preferred_batch_size": [CALLERS], "max_queue_delay_microseconds": 100_000}
        joined = tried({"max_batch_size": 8, "dynamic_batching": patient})
        assert complete(joined)
        assert joined.runs < joined.answered
        large = tried({"max_batch_size": 32, "dynamic_batching": {}}, "-b", "32")
        assert complete(large)
        assert large.runs == large.answered
