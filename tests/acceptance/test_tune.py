"""`hotgraph tune` as it is used: what is bad is mended, what is good is left, and what it writes is served.

The model takes nearly as long for one row as for sixteen, as models do whose weights are more than they
compute. With batches of one row it is therefore overloaded at a rate that is nothing to it otherwise, and its
queue grows for as long as the load goes on. The rate lies between what it can do either way, by what the
last attempt measured; an attempt that the machine's other work spoils, as the command says, is made again.
"""

from __future__ import annotations

import json
import math
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tritonclient.grpc import InferenceServerClient

from hotgraph_client import Client
from hotgraph_server.settings.file import read_settings_file

from . import browser
from .command import serve

# Attempts may follow each other, on a machine that is busy otherwise.
pytestmark = pytest.mark.timeout(1200)

ATTEMPTS = 3
WIDTH, LAYERS = 2048, 12
MOST_ROWS = 16
SHORT = ("--seconds", "2.5", "--max-rows", str(MOST_ROWS))
PORTS = ("--port", "0", "--rest-port", "0", "--admin-port", "0")

SETTINGS = """
[models.wide]
path = "{path}"
plan = "as-saved"
intra_op_threads = 1
"""
"""Without more, so that there is one way to run it, which is measured in a second."""


@dataclass
class Tuned:
    """What the command left.

    Attributes:
        table: stdout.
        said: stderr.
        document: --json.
        written: where --write would be.
        page: --html.
    """

    table: str
    said: str
    document: Any
    written: Path
    page: Path

    @property
    def tune(self) -> Any:
        return self.document["tune"]

    @property
    def best(self) -> Any:
        return next(one for one in self.tune["candidates"] if one["label"] == self.tune["best"])


@pytest.fixture(scope="module")
def wide(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of one version: a square matrix again and again, and its settings beside it."""
    import tensorflow as tf

    folder = tmp_path_factory.mktemp("tuned")
    module = tf.Module()
    module.weights = tf.Variable(tf.random.stateless_normal([WIDTH, WIDTH], (1, 2)) / WIDTH**0.5)

    def scores(x: tf.Tensor) -> dict[str, tf.Tensor]:
        for _ in range(LAYERS):
            x = tf.nn.relu(x @ module.weights)
        return {"scores": x[:, :10]}

    spec = tf.TensorSpec([None, WIDTH], tf.float32, name="x")
    module.scores = tf.function(scores, input_signature=[spec])
    tf.saved_model.save(module, str(folder / "wide" / "1"), signatures=module.scores)
    settings = SETTINGS.format(path=folder / "wide")
    (folder / "good.toml").write_text(settings)
    (folder / "bad.toml").write_text(f"{settings}max_batch_rows = 1\n")
    return folder / "wide"


def tune(model: Path, folder: Path, *flags: str, write: str = "best.toml") -> Tuned:
    """The command, to its end."""
    out, page, written = folder / "out.json", folder / "page.html", folder / write
    command = [sys.executable, "-m", "hotgraph_server", "tune", str(model), *SHORT, *flags]
    command += ["--json", str(out), "--html", str(page), "--write", str(written)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600, check=False)
    assert done.returncode == 0, done.stderr
    return Tuned(done.stdout, done.stderr, json.loads(out.read_text()), written, page)


@pytest.fixture(scope="module")
def as_good(wide: Path, tmp_path_factory: pytest.TempPathFactory) -> Tuned:
    """Where nothing is to be had: a call or two a second, and all the time in the world."""
    flags = ("--config", str(wide.with_name("good.toml")), "--rate", "2", "--slo", "p99<30s")
    return tune(wide, tmp_path_factory.mktemp("good"), *flags, "--confirm", "0")


def load(tuned: Tuned) -> tuple[str, ...]:
    """More than runs of one row can do, and less than runs of sixteen can, by what was measured."""
    run_ms = {one["rows"]: one["ms"] for one in tuned.tune["costs"]}
    slowest, fastest = 1e3 / run_ms[1], max(rows * 1e3 / ms for rows, ms in run_ms.items())
    bound_ms = min(30 * max(run_ms.values()), 1000.0)
    return ("--rate", f"{math.sqrt(slowest * fastest):.0f}", "--slo", f"p99<{bound_ms:.0f}ms")


def mend(wide: Path, folder: Path, before: Tuned, *flags: str, write: str = "best.toml") -> Tuned:
    """Where today's settings are plainly bad: runs of one row."""
    bad = ("--config", str(wide.with_name("bad.toml")), *flags)
    found = [before]
    for attempt in range(ATTEMPTS):
        place = folder / str(attempt)
        place.mkdir()
        found.append(tune(wide, place, *bad, *load(found[-1]), write=write))
        if "max_batch_rows" in found[-1].best["settings"]:
            return found[-1]
    pytest.fail("\n".join(one.table for one in found))


@pytest.fixture(scope="module")
def mended(wide: Path, as_good: Tuned, tmp_path_factory: pytest.TempPathFactory) -> Tuned:
    """With a real load."""
    folder = tmp_path_factory.mktemp("bad")
    return mend(wide, folder, as_good, "--confirm", "1", "--turn-seconds", "1")


def test_settings_that_are_as_good_as_any_are_left(as_good: Tuned) -> None:
    assert as_good.tune["best"] == "defaults"
    assert as_good.tune["verdict"].startswith("the defaults are as good")
    assert "verdict: the defaults are as good" in as_good.table
    assert "p99<30s holds" in as_good.table
    assert not as_good.written.exists()
    assert "is not written" in as_good.said
    assert "as --confirm 0 wants it" in as_good.table


@pytest.mark.slow
def test_a_real_load_shows_what_is_better(mended: Tuned) -> None:
    default = next(one for one in mended.tune["candidates"] if one["default"])
    best = mended.best
    assert best["settings"]["max_batch_rows"] > 1
    assert best["predicted"]["goodput_per_s"] > default["predicted"]["goodput_per_s"]
    assert best["measured"]["p99_ms"] < default["measured"]["p99_ms"]
    assert mended.tune["verdict"].startswith(f"better than the defaults: {best['label']}. ")
    assert "(measured)" in mended.tune["verdict"]
    assert "(best)" in mended.table
    # Every turn of both is in the document, as `hotgraph loadtest` has it.
    labels = {step["label"] for step in mended.document["steps"]}
    assert {f"{one}, turn {turn}" for one in ("defaults", best["label"]) for turn in (1, 2, 3)} <= labels


@pytest.mark.slow
def test_settings_that_were_written_are_served(mended: Tuned) -> None:
    values = read_settings_file(mended.written).models["wide"]
    rows = mended.best["settings"]["max_batch_rows"]
    # Those of today, but for what was found to be better.
    assert (values["plan"], values["intra_op_threads"], values["max_batch_rows"]) == ("as-saved", 1, rows)
    with serve("--config", str(mended.written), *PORTS) as serving:
        answers_with(serving.address, "wide", rows)


def answers_with(address: str, model: str, max_batch_rows: int) -> None:
    """The server at that address answers, and has these rows for a limit."""
    with Client(address) as client:
        assert client.predict(model, np.ones((3, WIDTH), np.float32)).shape == (3, 10)
    with InferenceServerClient(address) as client:
        config = client.get_model_config(model, as_json=True)["config"]
    assert config["max_batch_size"] == max_batch_rows


@pytest.mark.slow
@pytest.mark.skipif(browser.CHROMIUM is None, reason="no Chromium is installed (Debian's package: chromium)")
def test_the_report_is_drawn_and_complains_of_nothing(mended: Tuned, as_good: Tuned, tmp_path: Path) -> None:
    with browser.page(tmp_path) as shown:
        for tuned, more in ((mended, {"distribution", "time-latency"}), (as_good, set())):
            shown.open(tuned.page.as_uri())
            shown.until(f"location.href === {tuned.page.as_uri()!r} && window.report")
            drawn = shown.evaluate(
                "[...document.querySelectorAll('figure[data-chart]')].filter(one => !one.hidden"
                " && one.querySelector('svg path')).map(one => one.dataset.chart)"
            )
            assert {"costs", *more} <= set(drawn)
            verdict = shown.evaluate("document.querySelector('.verdict').textContent")
            assert verdict.lower() == tuned.tune["verdict"].lower()
            assert shown.evaluate("document.querySelector('#tuning tr.best').textContent").count(
                tuned.tune["best"]
            )
            assert shown.evaluate("document.documentElement.scrollWidth") <= 1000
        assert not shown.complaints


@pytest.mark.slow
def test_a_config_pbtxt_that_was_written_is_served(wide: Path, as_good: Tuned, tmp_path: Path) -> None:
    tuned = mend(wide, tmp_path, as_good, "--confirm", "0", write="config.pbtxt")
    rows = tuned.best["settings"]["max_batch_rows"]
    repository = tmp_path / "repository"
    (repository / "wide").mkdir(parents=True)
    (repository / "wide" / "1").symlink_to(wide / "1")
    tuned.written.rename(repository / "wide" / "config.pbtxt")
    with serve("--repository", str(repository), *PORTS) as serving:
        answers_with(serving.address, "wide", rows)
