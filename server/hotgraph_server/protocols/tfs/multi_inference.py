"""MultiInference: several Classify and Regress signatures of one model on the same examples.

Each task is a call of its own, all of them are queued together, and their answers are joined; the first error
is the answer's, and the others' calls are then cancelled. TensorFlow Serving runs all tasks at once, which
spares the second parsing of the examples. Here that would need signatures that the SavedModel lacks, one for
each choice of tasks, each with its own trial and plan, and calls of such would share batches with nothing but
each other. As they are, they share them with all calls of their signatures, however these came in.
"""

from __future__ import annotations

import functools
import threading
from collections.abc import Mapping, Sequence
from typing import Any

from hotgraph_server.batching.completion import Completion, Outcome
from hotgraph_server.batching.request import QueueHints, Request
from hotgraph_server.errors import CallError, InvalidCall, Unsupported
from hotgraph_server.models.admission import Submitted, cancel
from hotgraph_server.models.registry import Registry
from hotgraph_server.models.version import Version
from hotgraph_server.protocols.submission import refusal_of
from hotgraph_server.protocols.telling import telling
from hotgraph_server.protocols.tfs import examples, model_spec
from hotgraph_server.protocols.tfs.inference import CLASSIFY, REGRESS, Task, task_of
from hotgraph_server.signatures import Signature
from hotgraph_server.tensors import Array
from hotgraph_server.transport.message_fields import Message, header
from hotgraph_server.transport.service import Reply

_KINDS = {kind.method_name: kind for kind in (CLASSIFY, REGRESS)}

# inference.proto: MultiInferenceResponse.results and InferenceResult.model_spec.
_RESULTS, _MODEL_SPEC = 1, 1


class MultiInference:
    """The hot method over a registry. Any number of threads may call it."""

    def __init__(self, registry: Registry, *, check_method_names: bool = False) -> None:
        self._registry = registry
        self._check_method_names = check_method_names

    def __call__(self, message: Message, reply: Reply) -> None:
        """Read the message and queue its calls.

        Raises:
            CallError: it cannot be answered, and why; the reply is not used then.
        """
        request = examples.read_multi_inference(message)
        # The first task's alone counts, whatever the others say.
        wanted = _first_wanted(request)
        with telling(self._registry, wanted.name):
            version = model_spec.find(self._registry, wanted)
            tasks = tasks_of(request, version.signatures, check_method_names=self._check_method_names)
            inputs = examples.examples_of(request.input)
        # All calls hold the same examples.
        _Joined(reply, version, tasks, inputs, len(message) // len(tasks)).submit()


def tasks_of(request: Any, signatures: Mapping[str, Signature], *, check_method_names: bool) -> list[Task]:
    """What a request asks to be run.

    Args:
        request: from `examples.read_multi_inference`.
        signatures: those of the version that can be called, by name.
        check_method_names: shall a signature's `method_name` count?

    Raises:
        CallError: a task cannot be run, or not with the others.
    """
    tasks: list[Task] = []
    model = _first_wanted(request).name
    names: set[str] = set()
    for asked in request.tasks:
        if not asked.model_spec.name:
            raise InvalidCall("Found ModelSpec with an empty model name.")
        if asked.model_spec.name != model:
            raise InvalidCall("All ModelSpecs in a MultiInferenceRequest must access the same model name.")
        name = model_spec.signature_name(asked.model_spec)
        if name in names:
            raise InvalidCall(f"Duplicate evaluation of signature: {name}")
        names.add(name)
        signature = signatures.get(name)
        if signature is None:
            raise InvalidCall(f"Requested signature not found in model graph: {name}")
        kind = _KINDS.get(asked.method_name)
        if kind is None:
            raise Unsupported(f"Unsupported signature method_name: {asked.method_name}")
        tasks.append(task_of(kind, signature, check_method_name=check_method_names))
    return tasks


def _first_wanted(request: Any) -> model_spec.Wanted:
    """What the first task asks for; nothing if there is none."""
    return model_spec.wanted(request.tasks[0].model_spec) if request.tasks else model_spec.Wanted("", None)


class _Joined:
    """The calls of one request: ends its reply once, with all answers or with the first error.

    Any thread may deliver. Under the lock is only said who ends the reply; ending it and cancelling
    calls happens after.
    """

    def __init__(
        self, reply: Reply, version: Version, tasks: Sequence[Task], inputs: Array, nbytes: int
    ) -> None:
        """
        Args:
            reply: not yet used.
            version: which is called.
            tasks: at least one.
            inputs: the examples.
            nbytes: of memory that each call counts for.
        """
        self._version = version
        self._tasks = tasks
        self._inputs = inputs
        self._nbytes = nbytes
        self._ending = threading.Lock()  # guards what follows
        self._reply: Reply | None = reply
        self._answers: dict[int, Sequence[Array]] = {}
        self._error: CallError | None = None
        self._calls: Sequence[Submitted] = ()

    def submit(self) -> None:
        """Queue the calls.

        Raises:
            CallError: the version does not take one; the others are cancelled, and the reply is not used.
        """
        reply, calls = self._reply, list[Submitted]()
        assert reply is not None
        for index, task in enumerate(self._tasks):
            request = Request(
                task.signature,
                [self._inputs],
                task.outputs,
                Completion(functools.partial(self._deliver, index)),
                reply.deadline,
                hints=QueueHints(nbytes=self._nbytes),
                peer=reply.peer,
                observer=reply.observer,
            )
            try:
                calls.append(self._version.submit(request))
            except CallError as error:
                refusal = refusal_of(self._version, request, error)
                first = self._end(refusal) is not None
                self._cancel(calls)
                if first:
                    raise refusal from None
                # One that was taken has failed before, and its error has been the answer.
                return
        with self._ending:
            over = self._reply is None
            if not over:
                self._calls = calls
        if over:
            self._cancel(calls)
            return
        deadline = min(call.deadline for call in calls)
        if deadline < reply.deadline:
            reply.expire_at(deadline)
        reply.when_gone(self._cancel_all)

    def _deliver(self, index: int, outcome: Outcome) -> None:
        reply = self._end(outcome) if isinstance(outcome, CallError) else self._add(index, outcome)
        if reply is not None:
            reply.finish(self._encode)
            self._cancel_all()

    def _add(self, index: int, arrays: Sequence[Array]) -> Reply | None:
        """The answer of one call; returns the reply if it was the last one."""
        with self._ending:
            self._answers[index] = arrays
            if len(self._answers) < len(self._tasks):
                return None
            reply, self._reply = self._reply, None
            return reply

    def _end(self, error: CallError) -> Reply | None:
        """One call has failed; returns the reply if it was the first one."""
        with self._ending:
            reply, self._reply = self._reply, None
            if reply is not None:
                self._error = error
            return reply

    def _cancel_all(self) -> None:
        # Their completions know this object: a cycle, if it were not cut here.
        with self._ending:
            calls, self._calls = self._calls, ()
        self._cancel(calls)

    def _cancel(self, calls: Sequence[Submitted]) -> None:
        """End those that have not ended."""
        for call in calls:
            cancel(call)

    def _encode(self) -> bytes:
        if self._error is not None:
            raise self._error
        parts: list[bytes] = []
        for index, (kind, signature, outputs) in enumerate(self._tasks):
            result = kind.encode_result(outputs, self._answers[index], len(self._inputs))
            spec = model_spec.answered(self._version, signature.name).SerializeToString()
            body = b"".join((header(_MODEL_SPEC, len(spec)), spec, header(kind.result, len(result)), result))
            parts += (header(_RESULTS, len(body)), body)
        return b"".join(parts)
