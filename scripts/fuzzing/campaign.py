"""A part of a run: its cases by number, sent block by block, and what came of them.

A block is of one method, so that a stream can be one; it ends with the call that always works. Which method
a block is of, and what each of its cases is, follows from the seed and the numbers alone.
"""

from __future__ import annotations

import random
import threading
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Protocol

from google.protobuf.message import DecodeError
from tensorflow_serving.apis import classification_pb2, inference_pb2

from fuzzing.calls import WORDS, Kind
from fuzzing.mutation import Mutator
from fuzzing.sending import LIMIT_S, NotRight, Outcome, Sender
from fuzzing.verdict import fault, fault_of_stream_error
from hotgraph_protos import open_inference as pb

BLOCK = 50
_ERRORS_AS_STATUS = ("triton_grpc_error", "true")


@dataclass(frozen=True)
class Case:
    """One message.

    Attributes:
        name: PART:NUMBER.
    """

    name: str
    method: str
    message: bytes


@dataclass
class Tally:
    """What came of a part. Changed by one thread at a time.

    Attributes:
        codes: how often each status came; in streams, errors without a code are `stream error`.
        faults: what was wrong, by the case's name.
        slowest_s: the longest that a status took.
    """

    codes: Counter[str] = field(default_factory=Counter)
    faults: list[tuple[str, str]] = field(default_factory=list)
    good: int = 0
    slowest_s: float = 0.0

    @property
    def cases(self) -> int:
        return self.codes.total()


Judged = list[tuple[Case, Outcome, str | None]]
"""Cases, each with its outcome and what is wrong with that."""


class Traffic(Protocol):
    """Cases of one kind, by their numbers.

    Attributes:
        name: one of options.PARTS.
    """

    @property
    def name(self) -> str: ...

    def judged(self, sender: Sender, number: int) -> Judged:
        """Send the cases `number * BLOCK` and on, whichever way is theirs. Any number of threads call it."""


class Part:
    """The cases that are calls of one service or another.

    Args:
        name: one of options.PARTS.
        kinds: what they are made from.
        seed: of all cases.
    """

    def __init__(self, name: str, kinds: Sequence[Kind], seed: int) -> None:
        self.name = name
        self._seed = seed
        self._kinds = kinds
        self._mutators = [Mutator(kind.messages, WORDS) for kind in kinds]

    def block(self, number: int) -> tuple[Kind, list[Case]]:
        """The cases `number * BLOCK` and on."""
        # Not drawn, so that however few there are, every kind is among them.
        at = number % len(self._kinds)
        kind = self._kinds[at]
        return kind, [self._case(kind, at, number * BLOCK + each) for each in range(BLOCK)]

    def case(self, number: int) -> tuple[Kind, Case]:
        """One of them."""
        at = number // BLOCK % len(self._kinds)
        return self._kinds[at], self._case(self._kinds[at], at, number)

    def judged(self, sender: Sender, number: int) -> Judged:
        """Send a block of cases."""
        kind, cases = self.block(number)
        return stream(sender, cases, number) if kind.streamed else unary(sender, cases)

    def _case(self, kind: Kind, at: int, number: int) -> Case:
        message = self._mutators[at].case(random.Random(f"{self._seed} {self.name} {number}"))
        return Case(f"{self.name}:{number}", kind.method, message)


def run(
    part: Traffic,
    count: int,
    address: str,
    senders: int,
    progress: Callable[[Tally], None],
    restore: Callable[[Sender], None] = lambda sender: None,
) -> Tally:
    """Send the first `count` cases (whole blocks of them).

    Args:
        progress: told after every block, by one thread at a time; what it raises ends the run.
        restore: makes good what the cases of a block may have done on purpose, before the call that
            always works.
    """
    tally, lock = Tally(), threading.Lock()
    idle = [Sender(address) for _ in range(senders)]
    everyone = list(idle)

    def send(number: int) -> None:
        with lock:
            sender = idle.pop()
        judged = part.judged(sender, number)
        wrong = None
        try:
            restore(sender)
            sender.check()
        except NotRight as error:
            wrong = f"after it: {error}"
        with lock:
            idle.append(sender)
            for case, outcome, found in judged:
                tally.codes[outcome.code] += 1
                tally.slowest_s = max(tally.slowest_s, outcome.waited_s)
                if found is not None:
                    tally.faults.append((case.name, found))
            tally.good += 2 * (wrong is None)
            if wrong is not None:
                tally.faults.append((judged[-1][0].name, wrong))
            progress(tally)

    try:
        with ThreadPoolExecutor(senders, "sender") as threads:
            for done in [threads.submit(send, number) for number in range(-(-count // BLOCK))]:
                done.result()
    finally:
        for sender in everyone:
            sender.close()
    return tally


def unary(sender: Sender, cases: Sequence[Case]) -> Judged:
    """Send cases as calls of their own; returns each with its outcome and what is wrong with that."""
    outcomes = sender.calls(cases[0].method, [case.message for case in cases])
    return [(case, outcome, _fault(case, outcome)) for case, outcome in zip(cases, outcomes, strict=True)]


def stream(sender: Sender, cases: Sequence[Case], number: int) -> Judged:
    """Send cases as messages of streams: one, or one for each error that ends it."""
    judged: Judged = []
    header = _ERRORS_AS_STATUS if number // 2 % 3 == 0 else None
    while len(judged) < len(cases):
        open_ = cases[len(judged) :]
        answers, end = sender.stream(open_[0].method, [case.message for case in open_], header)
        for case, answer in zip(open_, answers, strict=False):
            text = pb.ModelStreamInferResponse.FromString(answer).error_message
            code = "stream error" if text else "OK"
            judged.append((case, Outcome(code, text, end.waited_s), fault_of_stream_error(text)))
        if len(answers) > len(open_):
            judged[-1] = (*judged[-1][:2], f"{len(answers)} answers to {len(open_)} messages")
        elif len(answers) < len(open_):
            # The first without an answer is what ended it.
            case = open_[len(answers)]
            found = _fault(case, end)
            if header is None or end.code == "OK":
                found = f"the stream ended before it was answered: {end.code} {end.text}"
            judged.append((case, end, found))
        elif end.code != "OK":
            judged[-1] = (judged[-1][0], end, f"the stream ended badly: {end.code} {end.text}")
    return judged


def _fault(case: Case, outcome: Outcome) -> str | None:
    return fault(outcome.code, outcome.text, model_of(case), outcome.waited_s, LIMIT_S)


def model_of(case: Case) -> str:
    """The model that a message names, if it is one of ModelInfer or of TensorFlow Serving's methods."""
    try:
        if "ModelInfer" in case.method or "ModelStreamInfer" in case.method:
            return str(pb.ModelInferRequest.FromString(case.message).model_name)
        if case.method.endswith("MultiInference"):
            tasks = inference_pb2.MultiInferenceRequest.FromString(case.message).tasks
            return str(tasks[0].model_spec.name) if tasks else ""
        # Field 1 is the model's in all of them.
        return str(classification_pb2.ClassificationRequest.FromString(case.message).model_spec.name)
    except DecodeError:
        return ""
