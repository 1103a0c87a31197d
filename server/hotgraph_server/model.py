"""A version of a model: its signatures, its queue and its executor, from loading to closed."""

from __future__ import annotations

import enum
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from hotgraph_server.batching.call import Call
from hotgraph_server.batching.queue import BatchQueue
from hotgraph_server.batching.slot import Slot
from hotgraph_server.errors import Cancelled, Draining
from hotgraph_server.executor import Executor, OpenGraph
from hotgraph_server.plan import Plan
from hotgraph_server.settings import ModelSettings
from hotgraph_server.signatures import Signature, default_signature
from hotgraph_server.statistics import Statistics
from hotgraph_server.tensors import Array


class State(enum.Enum):
    """In this order, or from loading to failed:  loading -> live -> draining -> closed."""

    LOADING = "loading"
    LIVE = "live"
    DRAINING = "draining"
    CLOSED = "closed"
    FAILED = "failed"


class Version:
    """One numbered SavedModel of a model.

    Attributes:
        name: of the model.
        number: of the version.
        state: see State; anyone may read it, only start and stop change it.
        statistics: what it has run.
        signatures: those that can be called, by name; set by `start`, like what follows.
        unusable: why the others cannot be called, by name.
        signature_defs: all of them as saved.
        alone: why a signature's calls run alone; None where they share batches.
        plans: how each signature is run, and why.
        default_signature: of calls that name none.
    """

    def __init__(
        self,
        settings: ModelSettings,
        number: int,
        open_graph: Callable[[], OpenGraph],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.name = settings.name
        self.number = number
        self.state = State.LOADING
        self.statistics = Statistics()
        self.signatures: Mapping[str, Signature] = {}
        self.unusable: Mapping[str, str] = {}
        self.signature_defs: Mapping[str, Any] = {}
        self.alone: Mapping[str, str | None] = {}
        self.plans: Mapping[str, Plan] = {}
        self.default_signature: Signature | None = None
        self._clock = clock
        self._queue = BatchQueue(self.title, settings.batch, clock)
        self._executor = Executor(self.title, open_graph, self._queue, self.statistics, clock)
        self._stopping = threading.Lock()  # stop() from two threads: the second waits for the first

    @property
    def title(self) -> str:
        """How logs and errors call it."""
        return f"model '{self.name}' version {self.number}"

    def start(self) -> None:
        """Load, warm up, become live.

        Raises:
            StartError: it cannot be served; its state is failed.
        """
        try:
            opened = self._executor.start()
        except BaseException:
            self.state = State.FAILED
            raise
        self.signatures = opened.signatures
        self.unusable = opened.unusable
        self.signature_defs = opened.signature_defs
        self.alone = opened.alone
        self.plans = opened.plans
        self.default_signature = default_signature(opened.signatures)
        self.state = State.LIVE

    def call(
        self,
        signature: Signature,
        inputs: Sequence[Array],
        outputs: tuple[str, ...],
        slot: Slot,
        *,
        deadline: float,
    ) -> Call:
        """Hand a decoded call to the queue; its outcome lands in `slot`, by whatever thread ends it.

        Args:
            signature: one of `signatures`.
            inputs: one array for each input, in the signature's order, with exactly its dtype.
            outputs: aliases of the outputs wanted, each once.
            slot: not yet taken.
            deadline: monotonic seconds.

        Raises:
            QueueFull: too many wait.
            Draining: this version takes no calls any more.
        """
        call = Call(
            signature,
            inputs,
            outputs,
            slot,
            arrived=self._clock(),
            deadline=deadline,
            joinable=self.alone[signature.name] is None,
        )
        self._queue.put(call)
        return call

    def leave(self, call: Call) -> None:
        """The caller has gone: end the call, and make room if it was still waiting."""
        if call.slot.finish(Cancelled()):
            self._queue.withdraw(call)

    def stop(self, timeout_s: float) -> bool:
        """Answer what was taken, then close the session.

        Calls that still wait after `timeout_s` are ended with Draining; so is everything that waits
        when it is 0. Returns whether the executor ended in time. Idempotent.
        """
        with self._stopping:
            if self.state is State.LIVE:
                self.state = State.DRAINING
            self._queue.close()
            ended = self._executor.stop(timeout_s)
            if not ended:
                self._queue.abandon(Draining(self.title))
            if self.state is State.DRAINING:
                self.state = State.CLOSED
            return ended
