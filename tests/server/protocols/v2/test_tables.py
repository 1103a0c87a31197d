"""tables.py: methods of one service from several modules."""

from __future__ import annotations

import pytest

from hotgraph_protos import open_inference as pb
from hotgraph_server.protocols.v2.tables import merged
from hotgraph_server.transport.service import PlainMethod, StreamingMethod

PLAIN = PlainMethod(pb.ServerLiveRequest, lambda _: pb.ServerLiveResponse())
STREAMING = StreamingMethod(lambda stream: lambda message: None)


def hot(message: object, reply: object) -> None:
    """A hot method."""


def test_methods_keep_their_kind() -> None:
    service = merged("s", pb.DESCRIPTOR, [{"A": hot, "B": PLAIN}, {"C": STREAMING}, {}])
    assert (service.hot, service.plain, service.streaming) == ({"A": hot}, {"B": PLAIN}, {"C": STREAMING})


def test_method_of_two_modules_is_a_mistake() -> None:
    with pytest.raises(ValueError, match="two modules answer A, B"):
        merged("s", pb.DESCRIPTOR, [{"B": hot, "A": hot, "C": hot}, {"A": PLAIN, "B": PLAIN}])
