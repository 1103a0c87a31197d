"""The checks in service: joined calls are run alone, and what differs ends joining.

Which calls, and when, is decided in batching/trust.py. Where a call is compared before the answers of its
batch leave and differs, no call gets the batch's answers: each call is run alone, and so are all later ones
of its signature. Where the owner wants calls joined all the same, those that were found to differ get the
answer that they have alone, and the log says so. A call that was answered from a batch and fails alone
differs; one that fails for want of memory tells nothing.

Calls that change state are never run a second time, so never compared. Neither is a large call that runs in
pieces with itself as a whole, which may need more memory than there is.

The runner's own, in the executor's thread.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, MutableMapping, Sequence
from dataclasses import dataclass

from hotgraph_server.batching.call import Call
from hotgraph_server.batching.comparing import OF_PROVEN, TOLERANCE, alike_in_rows
from hotgraph_server.batching.joining import PLAIN, Joining
from hotgraph_server.batching.queue import BatchQueue
from hotgraph_server.batching.trust import FIRST, Trust
from hotgraph_server.errors import first_line
from hotgraph_server.execution.retries import Retries
from hotgraph_server.execution.runs import Ran, Runs
from hotgraph_server.row_independence.verdict import Judgement, Verdict
from hotgraph_server.settings import BatchSettings
from hotgraph_server.signatures import Signature
from hotgraph_server.state.learnt import Learnt, Memory
from hotgraph_server.statistics import Event
from hotgraph_server.tensors import Array
from hotgraph_server.warmup.batching_rules import is_proven

_LOG = logging.getLogger(__name__)

MAX_BYTES = 64 * 2**20


@dataclass(frozen=True)
class Sample:
    """A call that is compared later, and what it was answered from its batch; the arrays are its own."""

    signature: Signature
    outputs: tuple[str, ...]
    inputs: list[Array]
    answer: list[Array]
    rows: int


def sample_of(call: Call, answer: Sequence[Array]) -> Sample | None:
    """None: it is too large to be remembered."""
    if sum(array.nbytes for array in (*call.inputs, *answer)) > MAX_BYTES:
        return None
    # Copies: views would keep a whole message and a whole batch alive.
    return Sample(
        call.signature,
        call.outputs,
        [array.copy() for array in call.inputs],
        [array.copy() for array in answer],
        call.rows,
    )


def difference(
    outputs: Sequence[str],
    answer: Sequence[Array],
    alone: Sequence[Array],
    tolerance: float = TOLERANCE,
) -> str | None:
    """How the answer of a batch differs from that of the call alone; None: it does not (floats within
    `tolerance` of the largest of their row, everything else exactly)."""
    for alias, one, other in zip(outputs, answer, alone, strict=True):
        if one.shape != other.shape:
            return f"output {alias!r} has shape {list(one.shape)} from a batch and {list(other.shape)} alone"
        if not alike_in_rows(one, other, tolerance):
            return f"output {alias!r} differs between a batch and the call alone"
    return None


def stops(settings: BatchSettings, name: str) -> bool:
    """Does a difference end joining for a signature, by its name?"""
    return settings.on_difference == "stop" and not _is_by_owner(settings, name)


def trust_in(
    signatures: Mapping[str, Signature],
    unbatched_reasons: Mapping[str, str | None],
    proofs: Mapping[str, Judgement],
    joinings: Mapping[str, Joining],
    settings: BatchSettings,
    learnt: Mapping[str, Learnt],
) -> dict[str, Trust]:
    """Where trust begins, for each signature whose joined calls are checked.

    Args:
        unbatched_reasons: why a signature's calls run alone; None where they are joined.
        proofs: what the structure of the graph proves.
        joinings: how calls are joined; not named: the plain way.
        learnt: what earlier runs of the server have learnt.
    """
    trust: dict[str, Trust] = {}
    for name, signature in signatures.items():
        if not settings.verify_one_in or signature.writes or unbatched_reasons[name] is not None:
            continue
        # That padding changes nothing was tried, never proven.
        proven = is_proven(signature, proofs.get(name)) and joinings.get(name, PLAIN).padding is None
        first = 1 if proven or _is_by_owner(settings, name) else FIRST
        trust[name] = Trust(settings.verify_one_in, first, learnt.get(name, Learnt()).joined)
    return trust


def remembered(difference: str) -> str:
    """Why calls of a signature run alone from the start."""
    return f"a check in an earlier run of the server found a difference: {difference}"


class Verifier:
    """The runner's own.

    Args:
        title: of the version, for the log.
        queue: is told when the executor does something else than a batch; an empty one makes time.
        runs: does and counts runs.
        retries: ends calls that fail alone.
        settings: of the model.
        unbatched_reasons: why a signature's calls run alone; a difference is written here.
        trust: of the signatures whose joined calls are checked.
        proofs: what the structure of the graph says, for the log.
        memory: keeps what is learnt.

    Attributes:
        sample: to be compared when there is time; None: nothing is.
    """

    def __init__(
        self,
        title: str,
        queue: BatchQueue,
        runs: Runs,
        retries: Retries,
        settings: BatchSettings,
        unbatched_reasons: MutableMapping[str, str | None],
        trust: Mapping[str, Trust],
        proofs: Mapping[str, Judgement],
        memory: Memory,
    ) -> None:
        self._title = title
        self._queue = queue
        self._runs = runs
        self._retries = retries
        self._settings = settings
        self._unbatched_reasons = unbatched_reasons
        self._trust = trust
        self._proofs = proofs
        self._memory = memory
        self.sample: Sample | None = None

    def may_leave(self, calls: Sequence[Call], ran: Ran) -> bool:
        """Compare what is due of calls that were answered from one run. False: they have ended, otherwise."""
        name = calls[0].signature.name
        trust = self._trust[name]
        if trust.difference:
            self._run_each_alone(calls, ran, {})
            return False
        # A call whose caller has left gets no answer, and proves none.
        wanted = [place for place, call in enumerate(calls) if not call.completion.taken]
        if not wanted:
            return True
        due = trust.take(len(wanted), ran.ended)
        if due.before:
            # What follows is no measure of what such a batch costs.
            self._queue.done()
        alone: dict[Call, Ran] = {}
        differing: list[Call] = []
        for place in [wanted[index] for index in due.before]:
            call = calls[place]
            if call.completion.taken:
                continue
            alone[call] = self._runs.run_alone(call)
            if self._compare(call, ran.answers[place], alone[call]):
                differing.append(call)
                if trust.difference:
                    self._run_each_alone(calls, ran, alone)
                    return False
        if due.later is not None and self.sample is None:
            place = wanted[due.later]
            self.sample = sample_of(calls[place], ran.answers[place])
        if due.doubled:
            self._keep()
        if not differing:
            return True
        self._end_apart(calls, ran, {call: alone[call] for call in differing})
        return False

    def run_if_idle(self) -> None:
        """Compare the sampled call, if there is one and nothing else is to be done."""
        sample = self.sample
        if sample is None or len(self._queue):
            return
        self.forget()
        self._queue.done()
        if self._unbatched_reasons[sample.signature.name] is None:
            self._compare(sample, sample.answer, self._runs.run_alone(sample))

    def forget(self) -> None:
        """The state of the session may change: what was sampled can no longer be compared."""
        self.sample = None

    def close(self) -> None:
        """Keep what was learnt last."""
        if self._trust:
            self._keep()
        self._memory.close()

    def _tolerance(self, signature: Signature) -> float:
        """Where it is proven that rows do not influence each other, rounding may go further; that padding
        changes nothing is never proven."""
        proven = is_proven(signature, self._proofs.get(signature.name))
        return OF_PROVEN if proven and self._runs.joining_of(signature.name).padding is None else TOLERANCE

    def _compare(self, call: Call | Sample, answer: Sequence[Array], alone: Ran) -> bool:
        """Returns whether they differ; what follows from that is done, but for calls to be ended."""
        name = call.signature.name
        if alone.out_of_memory:
            self._trust[name].put_off()
            return False
        if alone.error is not None:
            found: str | None = f"it was answered from a batch and fails alone: {first_line(alone.error)}"
        else:
            found = difference(call.outputs, answer, alone.answers[0], self._tolerance(call.signature))
        self._runs.count(call, Event.CHECKED)
        if found is None:
            return False
        self._runs.count(call, Event.DIFFERED)
        found += self._where(name)
        ends = stops(self._settings, name)
        _LOG.warning(
            "%s: a call of signature %r was answered otherwise from a batch than alone: %s; %s",
            self._title,
            name,
            found,
            "its calls share no batches any more" if ends else "its calls go on sharing batches by setting",
        )
        if ends:
            self._unbatched_reasons[name] = f"a check in service found a difference: {found}"
            self._trust[name].lose(found)
            self._keep()
        return True

    def _where(self, name: str) -> str:
        """The op in which rows may meet, if the structure of the graph names one."""
        proof = self._proofs.get(name)
        return f" (in its graph: {proof.reason})" if proof and proof.verdict is not Verdict.PROVEN else ""

    def _run_each_alone(self, calls: Sequence[Call], ran: Ran, alone: Mapping[Call, Ran]) -> None:
        """End calls with what they have alone, which may be known, instead of what their run gave them."""
        self._runs.count_in_vain(calls, ran)
        for call in calls:
            if self._runs.is_wanted(call):
                self._end(call, alone.get(call) or self._runs.run_alone(call))

    def _end_apart(self, calls: Sequence[Call], ran: Ran, alone: Mapping[Call, Ran]) -> None:
        """End the calls of `alone` with that, and the others with what their run gave them."""
        rest = [(call, answer) for call, answer in zip(calls, ran.answers, strict=True) if call not in alone]
        if rest:
            others, answers = zip(*rest, strict=True)
            self._runs.deliver(others, ran._replace(answers=answers))
        else:
            self._runs.count_in_vain(calls, ran)
        for call, alone_ran in alone.items():
            self._end(call, alone_ran)

    def _end(self, call: Call, ran: Ran) -> None:
        self._runs.watched([call], ran)
        if ran.error is None:
            self._runs.deliver([call], ran)
        else:
            self._retries.after([call], ran)

    def _keep(self) -> None:
        self._memory.keep({name: Learnt(one.joined, one.difference) for name, one in self._trust.items()})


def _is_by_owner(settings: BatchSettings, name: str) -> bool:
    return settings.batching_of(name) == "always"
