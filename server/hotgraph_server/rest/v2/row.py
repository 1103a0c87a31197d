"""What an endpoint that runs no model is: a method of gRPC, with its request made of a path and JSON and its
response written as JSON. Pure.

Bodies are objects; where a request needs nothing said, an empty body is an empty one.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from hotgraph_server.rest.json.text import write
from hotgraph_server.rest.v2.members import check_unicode, read_object
from hotgraph_server.rest.v2.paths import Target
from hotgraph_server.transport.http import Content
from hotgraph_server.transport.message_fields import Message

SMALL_BYTES = 2**20
"""The largest body of a request that holds no files. A guess: all settings and names fit many times."""


class Row(NamedTuple):
    """An endpoint.

    Attributes:
        method: of the service.
        request: makes the method's request of a path and a body; raises CallError.
        answer: makes the answer of the method's response.
        response: its class, where the method is hot; a plain method returns an instance of it.
        brings_files: may its body be as large as any?
    """

    method: str
    request: Callable[[Target, Message], Any]
    answer: Callable[[Target, Any], Content]
    response: Any = None
    brings_files: bool = False


def said_in(body: Message, *, needed: bool = False) -> dict[str, Any]:
    """What a body says.

    Args:
        needed: is an empty body refused?

    Raises:
        InvalidCall: it is no JSON, or no object, or a name in it cannot be sent on.
    """
    if not body and not needed:
        return {}
    return named(read_object(bytes(body)))


def named(found: dict[str, Any]) -> dict[str, Any]:
    """An object whose names can be those of a message's map. Raises InvalidCall: one cannot."""
    for name in found:
        check_unicode(name, name)
    return found


def json_content(value: Any, status: int = 200) -> Content:
    """An answer in JSON. It is never compressed, as in Triton: NVIDIA's asyncio client says that it reads
    gzip, and does so of infer's answers only."""
    return Content([write(value)], status=status, as_is=True)


def empty_content(*_: object) -> Content:
    """The answer where there is nothing to be said but that it was done, as Triton gives it."""
    return Content((), "text/plain")
