"""What a supervisor and its processes say to each other: JSON, and bytes behind it that are a page's. Pure.

    supervisor to process                       process to supervisor
    {"do": "all ready", "ready": true}          {"is": "answering"}   takes connections, loads its models
    {"do": "page", "id": 7, "method": "GET",    {"is": "live"}        answers calls
     "path": "/metrics", "headers": {}}         {"is": "stopping"}    wants no connections any more
    {"do": "renew access"}
    {"do": "shed", "connections": 3}
    {"do": "leave"}   others answer in its      {"id": 7, "status": 200, "kind": "text/plain",
                      place; then as stop        "headers": {}} and the page's bytes
    {"do": "stop"}

The end of the line says the most: a process whose supervisor has gone stops, and a process that has gone is
started again.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping
from typing import Any

_HEAD = struct.Struct(">II")
HEAD_BYTES = _HEAD.size


def encode(message: Mapping[str, Any], body: bytes = b"") -> bytes:
    """A message as it is sent."""
    text = json.dumps(message, separators=(",", ":")).encode()
    return b"".join((_HEAD.pack(len(text), len(body)), text, body))


def lengths(head: bytes) -> tuple[int, int]:
    """From a message's first HEAD_BYTES bytes: how many its JSON has, and what is behind that."""
    text, body = _HEAD.unpack(head)
    return text, body


def decode(text: bytes) -> dict[str, Any]:
    """A message from its JSON."""
    message: dict[str, Any] = json.loads(text)
    return message
