"""Servers of a contest: what becomes of one that ends by itself."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from bench.contest import Contender, Contest
from bench.environment import Cache
from bench.places import Installed, Place
from bench.processes import Launch, NoLine, Server
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
