"""The live page of 29 models in a real browser, of which three are busy and one is full."""

from __future__ import annotations

import os
import re
import threading
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tritonclient.grpc import InferenceServerClient

from hotgraph_client import Client
from hotgraph_client.errors import HotgraphError
from hotgraph_server.commands.builtin import digits_model

from ..ports import free_port
from ..saved_models import SavedModels
from . import browser
from .command import serve
from .triton_tensors import strings

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        browser.CHROMIUM is None, reason="no Chromium is installed (Debian's package: chromium)"
    ),
]

MODELS = 29
BUSY = ("digits", "mlp", "embedding")
FULL = "edge"
MOST_WAITING = 4
IDLE = ("tf2_mlp", "tf1_softmax", "strings", "two_in_two_out", "scalar_input", "vocabulary", "counter")
# Longer than the page's window, which the figures of the table are of.
PATIENCE_S = 30.0

ROWS = "[...document.querySelectorAll('#rows > .row')]"
NAMES = f"{ROWS}.map(row => row.querySelector('.title').textContent)"

Inputs = Mapping[str, Any]


class Load:
    """Threads that call until they are told to stop."""

    def __init__(self, address: str) -> None:
        self._address = address
        self._stopped = threading.Event()
        self._threads: list[threading.Thread] = []

    def call(self, model: str, inputs: Callable[[int], Inputs], pause_s: float) -> None:
        def loop() -> None:
            turn = 0
            with Client(self._address, timeout_s=PATIENCE_S) as client:
                while not self._stopped.wait(pause_s):
                    turn += 1
                    try:
                        client.predict(model, inputs(turn))
                    except HotgraphError:
                        # Some are meant to fail, and all of them when the server goes.
                        continue

        self._threads.append(threading.Thread(target=loop, name=f"calls {model}"))
        self._threads[-1].start()

    def hold_a_run(self, model: str, folder: Path) -> None:
        """From now on a run of it goes on, and calls wait."""
        for pipe in ("entered", "gate"):
            os.mkfifo(folder / pipe)

        def hold() -> None:
            inputs = [strings(pipe, str(folder / pipe).encode()) for pipe in ("entered", "gate")]
            with InferenceServerClient(self._address) as client:
                client.infer(model, inputs, parameters={"signature_name": "hold"})

        self._threads.append(threading.Thread(target=hold, name="held run"))
        self._threads[-1].start()
        (folder / "entered").read_bytes()

    def let_go(self, folder: Path) -> None:
        """The run ends."""
        (folder / "gate").read_bytes()

    def stop(self) -> None:
        self._stopped.set()
        for thread in self._threads:
            thread.join(PATIENCE_S)
            assert not thread.is_alive(), thread.name


@pytest.fixture(scope="module")
def address(saved_models: SavedModels, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The page's, of a server under load."""
    port, folder = free_port(), tmp_path_factory.mktemp("pipes")
    models = [f"digits={digits_model()}", f"{FULL}={saved_models['gated']}"]
    models += [f"mlp={saved_models['tf2_mlp']}", f"embedding={saved_models['embedding']}"]
    for number in range(MODELS - len(models)):
        name = IDLE[number % len(IDLE)]
        models.append(f"team-{number:02}.{name}={saved_models[name]}")
    flags = ("--port", "0", "--admin-port", str(port), "--max-queued-calls", str(MOST_WAITING))
    with serve(*models, *flags) as serving:
        load = Load(serving.address)
        load.hold_a_run(FULL, folder)
        for _ in range(2 * MOST_WAITING):
            load.call(FULL, lambda _: {"x": np.zeros((1, 2), np.float32)}, 0.1)
        many = np.random.default_rng(0).random((1200, 784), np.float32)
        load.call("digits", lambda _: {"images": many}, 0.0)
        for _ in range(3):
            load.call("mlp", lambda turn: {"x": np.zeros((1 + turn % 5, 16), np.float32)}, 0.005)
        # One in ten asks for an id that is not there, and now and then one sends what is no id at all.
        load.call("embedding", lambda turn: {"id": np.array([7 if turn % 10 == 0 else 1], np.int32)}, 0.02)
        load.call("embedding", lambda _: {"id": np.zeros((1, 1), np.float64)}, 1.0)
        try:
            yield f"http://127.0.0.1:{port}/"
        finally:
            load.let_go(folder)
            load.stop()


@pytest.fixture
def page(address: str, tmp_path: Path) -> Iterator[browser.Page]:
    """The live page, with figures; it asks nobody else, and nothing is wrong with it."""
    with browser.page(tmp_path / "browser") as found:
        found.open(address, 1600)
        found.until(f"{ROWS}.length === {MODELS} && {ROWS}[0].querySelector('.column-calls').innerText > '0'")
        found.until("document.querySelector('#limits .finding')")
        yield found
        assert not found.complaints
        assert not [asked for asked in found.requests if not asked.startswith((address, "data:"))]


def row(model: str) -> str:
    return f"{ROWS}.find(row => row.querySelector('.title').textContent === '{model}')"


def details(model: str) -> str:
    """Of a row that is open."""
    return f"{row(model)}.nextElementSibling.querySelector('.details')"


def open_row(page: browser.Page, model: str) -> None:
    page.evaluate(f"{row(model)}.querySelector('.name').click()")
    page.until(f"{details(model)}.querySelectorAll('.uplot').length === 8")


def press(page: browser.Page, key: str, text: str) -> None:
    for kind in ("keyDown", "keyUp"):
        more = {"text": text} if kind == "keyDown" else {}
        page.send("Input.dispatchKeyEvent", type=kind, key=key, code=key, windowsVirtualKeyCode=13, **more)


def test_the_busy_are_on_top_and_columns_sort_by_mouse_and_keyboard(page: browser.Page) -> None:
    page.until(f"'{' '.join(sorted(BUSY))}' === {NAMES}.slice(0, 3).sort().join(' ')")
    assert page.evaluate(f"{NAMES}[0]") == "digits"
    assert page.evaluate("document.querySelector('th.column-duty').getAttribute('aria-sort')") == "descending"
    page.evaluate("document.querySelector('th.column-name button').click()")
    names = page.evaluate(NAMES)
    assert names == sorted(names)
    assert len(names) == MODELS
    page.evaluate("document.querySelector('th.column-calls button').focus()")
    press(page, "Enter", "\r")
    assert (
        page.evaluate("document.querySelector('th.column-calls').getAttribute('aria-sort')") == "descending"
    )
    assert page.evaluate("document.querySelectorAll('[aria-sort]').length") == 1
    page.until(f"{NAMES}.slice(0, 2).includes('mlp')")
    press(page, "Enter", "\r")
    assert page.evaluate(f"{NAMES}[{MODELS - 1}]") in (*BUSY, FULL)
    assert page.evaluate("location.hash") == "#sort=calls"


def test_the_filter_leaves_what_it_says_and_the_address_remembers_it(
    page: browser.Page, address: str
) -> None:
    field = "document.getElementById('filter')"
    page.evaluate(f"{field}.value = 'STRINGS'; {field}.dispatchEvent(new Event('input'))")
    assert all("strings" in name for name in page.evaluate(NAMES))
    shown = page.evaluate(f"{ROWS}.length")
    assert page.evaluate("document.getElementById('shown').innerText") == f"{shown} of {MODELS}"
    page.evaluate("location.reload()")
    page.until(f"{field} && {field}.value === 'STRINGS' && {ROWS}.length === {shown}")
    page.evaluate(f"{field}.value = 'no such'; {field}.dispatchEvent(new Event('input'))")
    assert page.evaluate(f"{ROWS}.length") == 0
    assert page.evaluate("document.getElementById('none').hidden") is False


def test_a_row_opens_to_charts_with_the_time_and_with_values_under_the_pointer(page: browser.Page) -> None:
    assert page.evaluate("document.querySelectorAll('.uplot').length") == 0
    open_row(page, "digits")
    assert page.evaluate("location.hash") == "#open=digits%401"
    text = page.evaluate(f"{details('digits')}.innerText")
    assert "images: float [?, 784]" in text
    assert "calls share runs: proven by structure" in text
    # What is drawn is a picture; what it says is in the legend.
    page.until(f"{details('digits')}.querySelectorAll('.u-legend .u-value')[1].innerText > '0'")
    assert page.evaluate(f"{details('digits')}.querySelector('.u-legend .u-value').innerText") == "now"
    page.evaluate(f"{details('digits')}.scrollIntoView()")
    place = page.evaluate(
        f"(({{x, y, width, height}}) => [x + width - 5, y + height / 2])"
        f"({details('digits')}.querySelector('.u-over').getBoundingClientRect())"
    )
    page.send("Input.dispatchMouseEvent", type="mouseMoved", x=place[0], y=place[1])
    # All charts over time show the same moment.
    legends = f"[...{details('digits')}.querySelectorAll('.u-legend')].slice(0, 4)"
    page.until(
        f"{legends}.every(one => /^\\d\\d:\\d\\d:\\d\\d$/.test(one.querySelector('.u-value').innerText))"
    )
    values = page.evaluate(f"{legends}[1].innerText")
    assert re.search(r"p99\s*[0-9.]+ m?s", values), values
    page.evaluate(f"{row('digits')}.querySelector('.name').click()")
    assert page.evaluate("document.querySelectorAll('.uplot').length") == 0


def test_open_rows_are_open_again_when_the_page_is(page: browser.Page, address: str) -> None:
    page.evaluate("location.hash = '#open=mlp%401&open=digits%401'; location.reload()")
    for model in ("mlp", "digits"):
        page.until(
            f"{row(model)} && {details(model)} && {details(model)}.querySelectorAll('.uplot').length === 8"
        )


def test_last_errors_are_told_with_their_texts_of_all_and_of_each(page: browser.Page) -> None:
    errors = "document.getElementById('errors').innerText"
    for told in ("the limit is 4", "assertion failed", "data-type is 'FP64', but model 'embedding' expects"):
        page.until(f"{errors}.includes({told!r})")
    assert page.evaluate(f"{row('embedding')}.querySelector('.erring').innerText") == "errors"
    open_row(page, "embedding")
    own = page.evaluate(f"{details('embedding')}.querySelector('.errors').innerText")
    assert "assertion failed" in own
    assert "FP64" in own
    assert "the limit is" not in own


def test_what_limits_it_is_said_in_words(page: browser.Page) -> None:
    full = "calls/s refused: the queue is full, with 0 % of the time in runs"
    page.until(f"document.getElementById('limits').innerText.includes('{FULL}: ')")
    assert full in page.evaluate("document.getElementById('limits').innerText")
    assert page.evaluate(f"{row(FULL)}.querySelector('.limit').innerText") == "queue full"
    page.until(f"Number({row(FULL)}.querySelector('.column-refused').innerText) > 0")
    open_row(page, FULL)
    said = page.evaluate(f"{details(FULL)}.querySelector('.findings').innerText")
    assert full in said
    assert "max-queued-calls" in said


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_fits_every_screen(page: browser.Page, tmp_path: Path, scheme: str) -> None:
    """The pictures are for eyes; what can be asserted is that nothing has to be scrolled to."""
    page.send("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])
    open_row(page, "embedding")
    # Over the bright page, or the dark one.
    colour = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (sum(map(int, re.findall(r"\d+", colour)[:3])) < 300) is (scheme == "dark")
    for width in (1600, 1000, 400):
        size = {"width": width, "height": 1000, "deviceScaleFactor": 1, "mobile": False}
        page.send("Emulation.setDeviceMetricsOverride", **size)
        plot = f"{details('embedding')}.querySelector('.uplot')"
        page.until(
            f"Math.abs({plot}.parentElement.clientWidth - {plot}.querySelector('canvas').clientWidth) < 2"
        )
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        cut = page.evaluate(
            "[...document.querySelectorAll('#models td, #models th, .tile, .card')]"
            f".filter(one => one.getBoundingClientRect().right > {width}).length"
        )
        assert cut == 0
        page.screenshot(tmp_path / f"live-{scheme}-{width}.png")
