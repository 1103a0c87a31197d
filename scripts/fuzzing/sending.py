"""Cases on their way to a server, as bytes: nothing on this side looks at what it sends."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import grpc

from fuzzing.calls import V2, good_call, is_right
from hotgraph_protos import open_inference as pb

LIMIT_S = 60.0
"""What every call is given; nothing that is sent takes a hundredth of it."""

_AT_ONCE = 16
_OPTIONS = [
    ("grpc.max_send_message_length", -1),
    ("grpc.max_receive_message_length", -1),
    # Each sender has a connection of its own.
    ("grpc.use_local_subchannel_pool", 1),
]


@dataclass(frozen=True)
class Outcome:
    """How a call ended.

    Attributes:
        code: gRPC's name for it.
        text: its details.
        waited_s: until then, seconds.
    """

    code: str
    text: str
    waited_s: float


class NotRight(Exception):
    """A good call was refused, or had another answer than it should."""


class Sender:
    """One connection. One thread at a time.

    Args:
        address: of the server.
    """

    def __init__(self, address: str) -> None:
        self._channel = grpc.insecure_channel(address, options=_OPTIONS)
        self._unary: Callable[[str], Any] = self._channel.unary_unary
        self._streaming: Callable[[str], Any] = self._channel.stream_stream
        self._good = good_call().SerializeToString()

    def close(self) -> None:
        self._channel.close()

    def call(self, method: str, message: bytes, limit_s: float = LIMIT_S) -> tuple[Outcome, bytes]:
        """Send one message and wait for its end."""
        began = time.monotonic()
        try:
            answer: bytes = self._unary(method)(message, timeout=limit_s)
        except grpc.RpcError as error:
            return _outcome(error, began), b""
        return Outcome("OK", "", time.monotonic() - began), answer

    def calls(self, method: str, messages: Sequence[bytes]) -> list[Outcome]:
        """Send them, several at once; returns how each of them ended."""
        outcomes: list[Outcome | None] = [None] * len(messages)
        room = threading.Semaphore(_AT_ONCE)
        stub = self._unary(method)
        for at, message in enumerate(messages):
            room.acquire()
            future = stub.future(message, timeout=LIMIT_S)
            future.add_done_callback(_noting(outcomes, at, time.monotonic(), room))
        for _ in range(_AT_ONCE):
            room.acquire()
        return [outcome for outcome in outcomes if outcome is not None]

    def stream(
        self, method: str, messages: Iterable[bytes], header: tuple[str, str] | None = None
    ) -> tuple[list[bytes], Outcome]:
        """Send them on one stream; returns its answers and how it ended."""
        began = time.monotonic()
        answers: list[bytes] = []
        metadata = None if header is None else (header,)
        try:
            for answer in self._streaming(method)(iter(messages), timeout=LIMIT_S, metadata=metadata):
                answers.append(answer)
        except grpc.RpcError as error:
            return answers, _outcome(error, began)
        return answers, Outcome("OK", "", time.monotonic() - began)

    def check(self) -> None:
        """Make the call that always works, alone and in a stream.

        Raises:
            NotRight: it did not.
        """
        outcome, answer = self.call(V2 + "ModelInfer", self._good)
        if outcome.code != "OK" or not is_right(pb.ModelInferResponse.FromString(answer)):
            raise NotRight(f"a good call: {outcome.code} {outcome.text}")
        answers, outcome = self.stream(V2 + "ModelStreamInfer", [self._good])
        streamed = [pb.ModelStreamInferResponse.FromString(one) for one in answers]
        if outcome.code != "OK" or [is_right(one.infer_response) for one in streamed] != [True]:
            raise NotRight(f"a good call in a stream: {outcome.code} {outcome.text}")


def _noting(
    outcomes: list[Outcome | None], at: int, began: float, room: threading.Semaphore
) -> Callable[[Any], None]:
    def note(future: Any) -> None:
        error = future.exception()
        outcomes[at] = (
            Outcome("OK", "", time.monotonic() - began) if error is None else _outcome(error, began)
        )
        room.release()

    return note


def _outcome(error: BaseException, began: float) -> Outcome:
    assert isinstance(error, grpc.RpcError)
    return Outcome(error.code().name, error.details() or "", time.monotonic() - began)
