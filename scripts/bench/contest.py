"""One model's contest: every rival's server up, its answers checked, nobody in the others' way."""

from __future__ import annotations

import contextlib
import re
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from bench import h2load
from bench.calls import Caller, Question
from bench.environment import Cache
from bench.places import Installed, Place
from bench.processes import NoLine, Server, free_port
from bench.protocols import FRAME_BYTES, V2, BadAnswer, v2_response
from bench.rivals import Rival
from bench.workload import Model

_READY_S = 120.0
_SETTLE_S = 1.0
# Of a core. Below it a server costs the others nothing that shows, and is spared the shock of being frozen:
# mosec gives up a worker whose socket is silent for as long as a round takes.
_BUSY_WHEN_IDLE = 0.05
_CHECK_IN_FLIGHT = 8
_CHECK_S = 2.0
_CHECKS_UNDER_LOAD = 20


@dataclass
class Contender:
    """A rival whose server runs.

    Attributes:
        installed: what it was started from.
        address: ``HOST:PORT``; of no use for the bare loop.
        answer_bytes: of a right answer as h2load counts them, by the rows of the call.
        idle_cores: what it used while nobody called.
        frozen: it is held still while others are measured.
    """

    rival: Rival
    installed: Installed
    server: Server
    address: str
    answer_bytes: dict[int, int] = field(default_factory=dict)
    idle_cores: float = 0.0
    frozen: bool = False

    @contextlib.contextmanager
    def awake(self) -> Iterator[None]:
        """While it is called or measured."""
        if self.frozen:
            self.server.thaw()
        try:
            yield
        finally:
            if self.frozen:
                self.server.freeze()


class Contest:
    """All servers of one model; a context manager, which stops them. Used by one thread.

    Args:
        folder: of the model.
        questions: by the rows of a call, two each.
    """

    def __init__(
        self, cache: Cache, model: Model, folder: Path, questions: Mapping[int, Sequence[Question]]
    ) -> None:
        self.model = model
        self.contenders: list[Contender] = []
        self._cache = cache
        self._folder = folder
        self._questions = questions
        self._bodies: dict[tuple[str, int], Path] = {}
        self._sizes = [self._message_sizes(rows) for rows in sorted(questions)]

    def __enter__(self) -> Contest:
        return self

    def __exit__(self, *_: object) -> None:
        for contender in self.contenders:
            contender.server.ask_to_end()
        for contender in self.contenders:
            contender.server.stop()

    def enter(self, rivals: Sequence[tuple[Rival, Installed]]) -> dict[str, str]:
        """Start the rivals' servers, and check their answers, alone and under load.

        All are started at once, since each spends much of its start waiting. Those that are busy with
        nothing are frozen whenever it is not their turn.

        Returns:
            Why those that do not start, or do not answer right, are not among `contenders`; by name.
        """
        started = {rival.name: self._start(rival, installed) for rival, installed in rivals}
        # From here on they are stopped with the contest, whatever happens.
        self.contenders = list(started.values())
        refused: dict[str, str] = {}
        for name, contender in started.items():
            try:
                self._wait_until_ready(contender)
                self.check(contender)
            except (BadAnswer, NoLine) as error:
                self.contenders.remove(contender)
                contender.server.stop()
                refused[name] = f"{error}; its log ends: {contender.server.last_words()}"
        time.sleep(_SETTLE_S)
        before = [contender.server.cpu_s() for contender in self.contenders]
        time.sleep(_SETTLE_S)
        for contender, used_s in zip(self.contenders, before, strict=True):
            contender.idle_cores = (contender.server.cpu_s() - used_s) / _SETTLE_S
            if contender.idle_cores > _BUSY_WHEN_IDLE:
                contender.frozen = True
                contender.server.freeze()
        return refused

    def revive(self, contender: Contender) -> str:
        """Start a server again that has ended by itself; returns its last words.

        Triton does so now and then, and whoever is measured with it in a round would have nobody to be
        compared with any more.

        Raises:
            BadAnswer, NoLine: it does not come back.
        """
        last_words = contender.server.last_words()
        # Whatever it has left behind.
        contender.server.stop()
        again = self._start(contender.rival, contender.installed)
        contender.server, contender.address = again.server, again.address
        self._wait_until_ready(contender)
        return last_words

    def check(self, contender: Contender) -> None:
        """Ask every question, and see that neighbours do not disturb the answers.

        Raises:
            BadAnswer: an answer is not right.
        """
        rival = contender.rival
        if rival.protocol is None:
            return
        with contender.awake(), contextlib.closing(self._caller(contender)) as caller:
            for rows, questions in self._questions.items():
                for question in questions:
                    contender.answer_bytes[rows] = (
                        caller.check(question)
                        if rival.answers
                        else len(caller.call(question)) + FRAME_BYTES * rival.protocol.grpc
                    )
            if rival.answers:
                self._check_under_load(contender, caller)

    def target(self, contender: Contender, rows: int) -> h2load.Target:
        """What h2load needs to know to send the first question of `rows` rows."""
        protocol = contender.rival.protocol
        assert protocol is not None
        name, inputs = self.model.name, self._questions[rows][0].inputs
        body = self._bodies.get((protocol.name, rows))
        if body is None:
            kind = "-".join(re.findall(r"\w+", protocol.name))
            body = self._cache.at("bodies", f"{name}-{rows}-{kind}")
            body.write_bytes(protocol.body(name, inputs))
            self._bodies[protocol.name, rows] = body
        url = f"http://{contender.address}{protocol.path_of(name)}"
        return h2load.Target(url, body, protocol.headers_of(name, inputs), http1=not protocol.grpc)

    def _caller(self, contender: Contender) -> Caller:
        assert contender.rival.protocol is not None
        return Caller(contender.rival.protocol, self.model.name, contender.address)

    def _start(self, rival: Rival, installed: Installed) -> Contender:
        place = Place(self._cache, installed, self.model, self._folder, free_port(), self._sizes)
        log = self._cache.at("logs", f"{rival.name.replace(' ', '-')}-{self.model.name}.log")
        server = Server(rival.launch(place), log)
        return Contender(rival, installed, server, f"127.0.0.1:{place.port}")

    def _wait_until_ready(self, contender: Contender) -> None:
        rival, server = contender.rival, contender.server
        if rival.says_address:
            said = server.wait_for_line("serving on ", _READY_S)
            # It is gRPC's. HTTP's is the one that it was given, since 0 would be none.
            if rival.protocol is not None and rival.protocol.grpc:
                contender.address = said
        elif rival.protocol is None or not rival.answers:
            server.wait_for_line("ready", _READY_S)
        else:
            question = self._questions[min(self._questions)][0]
            deadline = time.monotonic() + _READY_S
            while True:
                with contextlib.closing(self._caller(contender)) as caller:
                    try:
                        caller.check(question)
                        return
                    except BadAnswer:
                        if server.ended or time.monotonic() > deadline:
                            raise
                time.sleep(0.25)

    def _check_under_load(self, contender: Contender, caller: Caller) -> None:
        """While h2load asks the first question, ask the second: a batch must not mix them up."""
        rows = min(self._questions)
        log = self._cache.at("logs", "check.log")
        command = h2load.command(self.target(contender, rows), _CHECK_IN_FLIGHT, _CHECK_S, 0.0, log)
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        checks = 0
        try:
            while checks < _CHECKS_UNDER_LOAD and process.poll() is None:
                caller.check(self._questions[rows][1])
                checks += 1
        finally:
            process.kill()
            process.wait()
        if not checks:
            raise BadAnswer("no answer could be checked under load")

    def _message_sizes(self, rows: int) -> tuple[int, int]:
        question = self._questions[rows][0]
        request = V2.encode(self.model.name, question.inputs)
        return len(request), len(v2_response(self.model.name, question.answer).SerializeToString())
