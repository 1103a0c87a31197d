"""Single calls from Python, to see whether a server's answers are right."""

from __future__ import annotations

import http.client
from collections.abc import Sequence
from dataclasses import dataclass

import grpc
import numpy as np

from bench.protocols import FRAME_BYTES, BadAnswer, Floats, Protocol

_CALL_S = 60.0
_TOLERANCE = 1e-4


@dataclass(frozen=True)
class Question:
    """An input and its right answer, both float32 [rows, ...]."""

    inputs: Floats
    answer: Floats


class Caller:
    """One connection to one server. Used by one thread at a time."""

    def __init__(self, protocol: Protocol, model: str, address: str) -> None:
        self._protocol = protocol
        self._model = model
        self._address = address
        self._channel: grpc.Channel | None = None
        # Writing a megabyte of JSON takes longer than the call.
        self._messages: dict[int, bytes] = {}
        self._path = protocol.path_of(model)

    def check(self, question: Question) -> int:
        """Ask, and look at the answer; returns the answer's size in bytes, with gRPC's frame.

        Raises:
            BadAnswer: it is not the right one, or there is none.
        """
        message = self.call(question)
        try:
            answer = self._protocol.decode(message, question.answer.shape)
        except (ValueError, KeyError, TypeError) as error:
            raise BadAnswer(f"the answer cannot be read: {error}") from error
        compare(answer, question.answer)
        return len(message) + FRAME_BYTES * self._protocol.grpc

    def call(self, question: Question) -> bytes:
        """Ask; the answer as it came, without gRPC's frame.

        Raises:
            BadAnswer: there is none.
        """
        message = self._messages.get(id(question))
        if message is None:
            message = self._protocol.encode(self._model, question.inputs)
            self._messages[id(question)] = message
        if self._protocol.grpc:
            return self._call_grpc(message)
        return self._post(message, self._protocol.headers_of(self._model, question.inputs))

    def close(self) -> None:
        if self._channel is not None:
            self._channel.close()
            self._channel = None

    def _call_grpc(self, message: bytes) -> bytes:
        if self._channel is None:
            options = [("grpc.max_receive_message_length", -1), ("grpc.use_local_subchannel_pool", 1)]
            self._channel = grpc.insecure_channel(self._address, options)
        try:
            call = self._channel.unary_unary(self._path, bytes, bytes)
            return call(message, timeout=_CALL_S)
        except grpc.RpcError as error:
            raise BadAnswer(f"{error.code().name}: {error.details()}") from error

    def _post(self, body: bytes, lines: Sequence[str]) -> bytes:
        headers = dict(line.split(": ", 1) for line in lines)
        connection = http.client.HTTPConnection(self._address, timeout=_CALL_S)
        try:
            connection.request("POST", self._path, body, headers)
            response = connection.getresponse()
            answer = response.read()
        except OSError as error:
            raise BadAnswer(f"no answer: {error}") from error
        finally:
            connection.close()
        if response.status != 200:
            raise BadAnswer(f"HTTP status {response.status}: {answer[:200]!r}")
        return answer


def compare(answer: Floats, expected: Floats) -> None:
    """Are they the same, within what kernels for one row and for many differ by?

    Raises:
        BadAnswer: they are not.
    """
    if answer.shape != expected.shape:
        raise BadAnswer(f"the answer has shape {list(answer.shape)} in place of {list(expected.shape)}")
    if not np.allclose(answer, expected, _TOLERANCE, _TOLERANCE * float(np.abs(expected).max())):
        raise BadAnswer(f"the answer is off by up to {float(np.abs(answer - expected).max()):.3g}")
