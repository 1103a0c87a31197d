"""The hot methods of both protocols as one kind of thing, for the tests of what both promise."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import ModuleType
from typing import Any, Protocol

import numpy as np
import pytest

from hotgraph_server.errors import CallError
from hotgraph_server.models.registry import Registry
from hotgraph_server.signatures import TensorSpec
from hotgraph_server.tensors import STRING, Array
from hotgraph_server.transport.message_fields import Message
from hotgraph_server.transport.service import HotMethod, Service

from .fakes import FakeReply, RecordingVersion
from .mutations import held


class Floats(Protocol):
    """Makes the message of a good call of `float_signature`; `y` None leaves it out."""

    def __call__(
        self, x: float = 1, *, rows: int = 1, y: float | None = 2, model: str = "m", number: int | None = None
    ) -> bytes: ...


@dataclass(frozen=True)
class Case:
    """A hot method, and messages for it.

    Attributes:
        method: its name in the service.
        service: over a registry.
        hot: it alone over a registry, knowing no form of messages yet.
        version: of model "m", by number; it takes all good messages, and has default_y for `y`.
        good: a message of each form that callers send, by a name for it.
        refused: the name of the form that is refused, each time again.
        floats: see Floats.
        words: the message of a good call whose last input are these strings.
        numbers: how its callers name versions; None: they name none.
        parsing: the module whose parse_request reads a message in full.
    """

    method: str
    service: Callable[[Registry], Service]
    hot: Callable[[Registry], HotMethod]
    version: Callable[..., RecordingVersion]
    good: Mapping[str, bytes]
    refused: str
    floats: Floats
    words: Callable[[Array], bytes]
    numbers: Sequence[int | None]
    parsing: ModuleType
    default_y: Array

    def forbid_parsing(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """From now on whatever is parsed fails the test."""

        def parse(message: Message) -> Any:
            raise AssertionError("parsed")

        monkeypatch.setattr(self.parsing, "parse_request", parse)


def registry_of(*versions: RecordingVersion) -> Registry:
    registry = Registry()
    registry.publish(versions)
    return registry


def answer_for(output: TensorSpec) -> Array:
    """An array that the output may have."""
    shape = [2] * len(output.shape or ())
    return np.full(shape, b"w" if output.dtype == STRING else 0, output.dtype)


def outcome(hot: HotMethod, message: Message, *versions: RecordingVersion) -> tuple[object, ...]:
    """All that comes of a message: the call and its answer, or the error."""
    for one in versions:
        one.calls.clear()
    reply = FakeReply()
    try:
        hot(message, reply)
    except CallError as error:
        assert not any(one.calls for one in versions)
        return (error.status, str(error), error.retry_after_ms)
    ((number, call),) = [(index, call) for index, one in enumerate(versions) for call in one.calls]
    inputs = [held(array) for array in call.inputs]
    place = (call.lane, call.rows, call.nbytes, call.level)
    call.completion.finish([answer_for(call.signature.outputs_by_alias[alias]) for alias in call.outputs])
    ends = (call.deadline < math.inf, (reply.expires or math.inf) < math.inf)
    return (number, call.signature.name, call.outputs, inputs, place, ends, reply.answer())
