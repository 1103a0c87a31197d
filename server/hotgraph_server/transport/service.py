"""The face between a protocol and the transport: bytes and a reply in, bytes or an error out.

A protocol is a Service: a name and its methods. Two kinds of method:

* hot (ModelInfer, Predict): gets the request's bytes and a Reply, returns at once, and finishes the
  reply when the answer is there, from whatever thread. Thousands of them may be open at a time.
* plain (metadata, status): a message in, a message out, quick.

Either may raise CallError; the transport translates it. A protocol knows nothing of grpc's contexts,
and the transport nothing of models.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol


class Reply(Protocol):
    """Where the answer of one hot call goes.

    Attributes:
        deadline: monotonic seconds; infinite if the caller set none.
    """

    deadline: float

    def finish(self, encode: Callable[[], bytes]) -> None:
        """Send what `encode` returns, or the CallError that it raises.

        Any thread may call it, once. `encode` runs in a thread of the transport's choice, which may be
        this one: whoever must not spend time on encoding lets another thread finish its replies
        (finisher.py).
        """

    def when_gone(self, leave: Callable[[], None]) -> None:
        """Call `leave` when the caller cancels or its deadline passes, at once if that has happened.

        It runs in a thread of the transport's and must not wait.
        """


HotMethod = Callable[[bytes, Reply], None]


@dataclass(frozen=True)
class PlainMethod:
    """A method that is answered on the spot.

    Attributes:
        request: class of the request message.
        answer: makes the response message from a request; raises CallError.
    """

    request: Any
    answer: Callable[[Any], Any]


@dataclass(frozen=True)
class Service:
    """A gRPC service by its full name; `descriptor` is its file's FileDescriptor, for reflection."""

    name: str
    descriptor: Any
    hot: Mapping[str, HotMethod] = field(default_factory=dict)
    plain: Mapping[str, PlainMethod] = field(default_factory=dict)
