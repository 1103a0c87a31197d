"""Servers of a contest: what becomes of one that ends by itself."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from bench.calls import Question
from bench.contest import Contender, Contest
from bench.environment import Cache
from bench.places import Installed, Place
from bench.processes import Launch, NoLine, Server
from bench.protocols import V2, V2_BINARY, V2_JSON, Protocol
from bench.rivals import Rival
from bench.workload import MODELS

LISTENS = "print('ready', flush=True); input()"


@pytest.fixture
def contest(tmp_path: Path) -> Iterator[Contest]:
    with Contest(Cache(tmp_path / "cache"), MODELS["softmax"], tmp_path, {}) as contest:
        yield contest


def ended(contest: Contest, tmp_path: Path, program: str) -> Contender:
    """A server that has said goodbye, of a rival that would be started with `program` again."""

    def launch(place: Place) -> Launch:
        return Launch([str(place.installed.python), "-c", program], {})

    rival = Rival("fragile", "Fragile", None, "", lambda _: Installed(Path(sys.executable)), launch)
    server = Server(Launch([sys.executable, "-c", "print('goodbye')"], {}), tmp_path / "log")
    server.wait_for_line("goodbye", 60)
    contender = Contender(rival, Installed(Path(sys.executable)), server, "nowhere")
    contest.contenders.append(contender)
    return contender


def test_server_that_has_ended_is_started_again_and_its_last_words_kept(
    contest: Contest, tmp_path: Path
) -> None:
    contender = ended(contest, tmp_path, LISTENS)
    assert contest.revive(contender) == "goodbye"
    assert not contender.server.ended
    assert contender.address != "nowhere"
    contest.__exit__()
    assert contender.server.ended


def test_server_that_does_not_come_back_is_told(contest: Contest, tmp_path: Path) -> None:
    contender = ended(contest, tmp_path, "raise SystemExit('never again')")
    with pytest.raises(NoLine, match="it ended"):
        contest.revive(contender)
    assert contender.server.last_words() == "never again"


@pytest.mark.parametrize(("protocol", "said"), [(V2, True), (V2_BINARY, False)])
def test_address_that_is_said_is_grpcs_and_http_is_called_where_it_was_put(
    contest: Contest, tmp_path: Path, protocol: Protocol, said: bool
) -> None:
    def launch(place: Place) -> Launch:
        return Launch([sys.executable, "-c", "print('serving on 127.0.0.1:1', flush=True); input()"], {})

    rival = Rival("ours", "Ours", protocol, "", lambda _: Installed(Path(sys.executable)), launch, True)
    contender = ended(contest, tmp_path, LISTENS)
    contender.rival = rival
    contest.revive(contender)
    assert (contender.address == "127.0.0.1:1") is said


def test_h2load_is_told_what_a_body_with_bytes_behind_its_json_needs(tmp_path: Path) -> None:
    row = Question(np.ones((1, 784), np.float32), np.ones((1, 10), np.float32))
    rival = Rival("ours", "Ours", V2_BINARY, "", lambda _: Installed(Path()), lambda _: Launch([], {}))
    contender = Contender(rival, Installed(Path()), None, "127.0.0.1:2")  # type: ignore[arg-type]
    with Contest(Cache(tmp_path / "cache"), MODELS["softmax"], tmp_path, {1: [row]}) as contest:
        target = contest.target(contender, 1)
        contender.rival = dataclasses.replace(rival, protocol=V2_JSON)
        other = contest.target(contender, 1)
    assert (target.url, target.http1) == ("http://127.0.0.1:2/v2/models/softmax/infer", True)
    assert target.headers[-1] == f"inference-header-content-length: {target.body.stat().st_size - 4 * 784}"
    # One path, and two bodies.
    assert (target.url, target.body != other.body) == (other.url, True)
