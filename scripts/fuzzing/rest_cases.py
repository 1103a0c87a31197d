"""HTTP/1.1 requests of TensorFlow Serving's REST and the Open Inference Protocol with something wrong in it:
in the JSON, in its text, in the bytes behind it, in what it is zipped with, in the head. Pure."""

from __future__ import annotations

import copy
import gzip
import json
import random
from collections.abc import Sequence
from typing import Any, NamedTuple

from fuzzing import wire_mutation

_ROWS = [[0.5, 1, 2], [3, 4, 5]]
_EXAMPLE = {"x": [1.0, 2.0, 3.0, 4.0]}
_DEEP: Any = 1
for _ in range(300):
    _DEEP = [_DEEP]

_INPUTS: list[dict[str, Any]] = [
    {"name": "a", "datatype": "FP32", "shape": [2, 3], "data": _ROWS},
    {"name": "b", "datatype": "INT32", "shape": [2, 3], "data": [1, 2, 3, 4, 5, 6], "parameters": {}},
]


def _binary(tensor: dict[str, Any], nbytes: int) -> dict[str, Any]:
    """The same with its values behind the JSON."""
    told = {name: value for name, value in tensor.items() if name != "data"}
    return {**told, "parameters": {"binary_data_size": nbytes}}


# Texts that no writer of JSON writes; in a value, a string of RAW and a number stands for one of them.
_RAW = "\ue000"
_TEXTS = ("NaN", "-Infinity", "Inf", "-", "1e999", "1" * 5000, '"\\ud800"', '"\\x"', "01", "1.", "nul", "")

# What may stand for any value.
_VALUES: tuple[Any, ...] = (
    *(None, True, False, 0, -1, 2**31, 2**63, 2**64, -(2**63) - 1, 0.5, -0.0, 1e308, 1e-320, "", "x", {}, []),
    *({"b64": "Yg=="}, {"b64": "Y"}, {"b64": "!"}, {"b64": 1}, {"b64": "Yg==", "x": 1}, [[]], [[], [1]]),
    *("\u202e\U0001f525", "\x00", "x" * 5000, [1] * 3000, [[1, 2]] * 500, _DEEP, ["a", 1, None]),
    *(f"{_RAW}{number}" for number in range(len(_TEXTS))),
)
_KEYS = (
    "instances",
    "inputs",
    "signature_name",
    "examples",
    "context",
    "a",
    "b",
    "x",
    "text",
    "id",
    "b64",
    "",
    "é",
)
_NAMES = (
    *("good", "strings", "scalars", "embedding", "example_tasks", "unknown_rank", "variable_length"),
    *("none", "", "%67ood", "%ff", "good%2f", "../good", "x" * 3000),
)
_WHATS = (":predict", ":classify", ":regress", "", "/metadata", ":PREDICT", ":explain", "/versions/1:predict")
_VERSIONS = (
    "/versions/1",
    "/versions/99999999999999999999",
    "/versions/-1",
    "/labels/stable",
    "/labels/%",
    "/versions/",
)
_HEADERS = (
    *(
        b"Content-Encoding: gzip",
        b"Content-Encoding: br",
        b"Accept-Encoding: gzip",
        b"Accept-Encoding: gzip;q=0",
    ),
    *(b"Content-Length: 3", b"Content-Length: -1", b"Content-Length: 99999999999999", b"Content-Length: x"),
    *(
        b"Transfer-Encoding: chunked",
        b"Transfer-Encoding: gzip",
        b"Expect: 100-continue",
        b"Connection: close",
    ),
    *(
        b"Connection: Upgrade\r\nUpgrade: h2c",
        b"Inference-Header-Content-Length: 9",
        b"X: " + b"y" * 70_000,
        b"no colon",
        b": nameless",
        b"X\0: \xff",
    ),
    b"Content-Type: text/html",
)


class Request(NamedTuple):
    """Of which all else is made.

    Attributes:
        body: JSON; None: nothing is sent.
        binary: tensors behind the JSON, as the Open Inference Protocol's extension has them.
    """

    method: str
    path: str
    body: Any
    binary: bytes = b""


class RestCase(NamedTuple):
    """What is sent, in pieces; and whether the head is as it must be, so that an answer has to come."""

    pieces: list[bytes]
    must_answer: bool


REQUESTS: Sequence[Request] = (
    Request("POST", "/v1/models/good:predict", {"inputs": {"a": _ROWS, "b": [[1, 2, 3], [4, 5, 6]]}}),
    Request(
        "POST",
        "/v1/models/good/versions/1:predict",
        {"signature_name": "serving_default", "instances": [{"a": row, "b": [1, 2, 3]} for row in _ROWS]},
    ),
    Request("POST", "/v1/models/strings:predict", {"instances": ["amber", {"b64": "AGI="}, ""]}),
    Request("POST", "/v1/models/scalars:predict", {"inputs": 1.5}),
    Request("POST", "/v1/models/embedding:predict", {"instances": [1, 2]}),
    Request("POST", "/v1/models/unknown_rank:predict", {"inputs": _ROWS}),
    # Large enough for a thread of its own.
    Request("POST", "/v1/models/variable_length:predict", {"instances": [[0.25] * 8000, [1.5] * 8000]}),
    Request("POST", "/v1/models/example_tasks:classify", {"examples": [_EXAMPLE, _EXAMPLE]}),
    Request(
        "POST",
        "/v1/models/example_tasks:regress",
        {
            "signature_name": "regress",
            "context": _EXAMPLE,
            "examples": [{"n": "text"}, {"x": [{"b64": "Yg=="}]}],
        },
    ),
    Request("POST", "/v2/models/good/infer", {"id": "1", "inputs": _INPUTS, "outputs": [{"name": "sum"}]}),
    Request(
        "POST",
        "/v2/models/good/versions/1/infer",
        {"inputs": [_binary(one, 24) for one in _INPUTS], "parameters": {"binary_data_output": True}},
        bytes(range(48)),
    ),
    Request("POST", "/v2/repository/index", {"ready": True}),
    Request("GET", "/v2/models/good/config", None),
    Request("GET", "/v2/models/good/stats", None),
    Request("GET", "/v2/health/ready", None),
    Request("GET", "/v1/models/good", None),
    Request("GET", "/v1/models/good/metadata", None),
)


class RestCases:
    """Makes cases.

    Args:
        seed: of all cases.
    """

    def __init__(self, seed: int) -> None:
        self._seed = seed

    def case(self, number: int) -> RestCase:
        """One request."""
        chance = random.Random(f"{self._seed} rest {number}")
        request = chance.choice(REQUESTS)
        value = copy.deepcopy(request.body)
        if value is not None:
            for _ in range(chance.choice((0, 1, 1, 1, 1, 2, 3))):
                value = changed(value, chance)
        body = b"" if value is None else text_of(value)
        if chance.random() < 0.25:
            body = wire_mutation.mutate(body, chance)
        headers = [b"Host: localhost"]
        if request.binary:
            told = chance.choice((0, 0, 0, 0, -1, 1, 10**6, -(10**6))) + len(body)
            headers.append(b"Inference-Header-Content-Length: %d" % told)
            body += request.binary[: chance.choice((48, 48, 48, 47, 24, 0))]
        if chance.random() < 0.2:
            headers.append(b"Content-Encoding: gzip")
            body = _zipped(body, chance)
        path = _path(chance) if chance.random() < 0.15 else request.path
        return _sent(request.method, path, headers, body, chance)


def text_of(value: Any) -> bytes:
    """JSON, or nearly."""
    text = json.dumps(value, ensure_ascii=False)
    if _RAW in text:
        for number, raw in enumerate(_TEXTS):
            text = text.replace(f'"{_RAW}{number}"', raw)
    return text.encode("utf-8", "surrogatepass")


def changed(value: Any, chance: random.Random) -> Any:
    """A value of JSON with one place in it that is something else; it may be changed itself."""
    if chance.random() < 0.25 or not isinstance(value, dict | list) or not value:
        return copy.deepcopy(chance.choice(_VALUES))
    if isinstance(value, list):
        at = chance.randrange(len(value))
        what = chance.randrange(5)
        if what == 0:
            del value[at]
        elif what == 1:
            value += [value[at]] * (1 if isinstance(value[at], list) else chance.choice((1, 1, 200)))
        else:
            value[at] = changed(value[at], chance)
        return value
    key = chance.choice(list(value))
    what = chance.randrange(6)
    if what == 0:
        del value[key]
    elif what == 1:
        value[chance.choice(_KEYS)] = value[key]
    elif what == 2:
        value[chance.choice(_KEYS)] = copy.deepcopy(chance.choice(_VALUES))
    else:
        value[key] = changed(value[key], chance)
    return value


def _zipped(body: bytes, chance: random.Random) -> bytes:
    what = chance.randrange(6)
    if what == 0:
        # Of zeros: a thousand times as much as is sent.
        body = bytes(chance.choice((10_000, 3_000_000)))
    zipped = gzip.compress(body, 1, mtime=0)
    if what == 1:
        zipped += gzip.compress(b" ", 1, mtime=0) * chance.choice((1, 50))
    return wire_mutation.mutate(zipped, chance) if what in (2, 3) else zipped


def _path(chance: random.Random) -> str:
    version = chance.choice(_VERSIONS) if chance.random() < 0.3 else ""
    return f"/v1/models/{chance.choice(_NAMES)}{version}{chance.choice(_WHATS)}"


def _sent(method: str, path: str, headers: list[bytes], body: bytes, chance: random.Random) -> RestCase:
    must_answer = True
    chunked = chance.random() < 0.1
    if chunked:
        headers.append(b"Transfer-Encoding: chunked")
        cut = chance.randrange(len(body) + 1)
        parts = [part for part in (body[:cut], body[cut:]) if part]
        body = b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in parts) + b"0\r\n\r\n"
    else:
        headers.append(b"Content-Length: %d" % len(body))
    if chance.random() < 0.1:
        must_answer = False
        headers.insert(chance.randrange(len(headers) + 1), chance.choice(_HEADERS))
        method = chance.choice((method, "GET", "POST", "PUT", "HEAD", "OPTIONS", "post", "P OST", ""))
    head = b"\r\n".join([f"{method} {path} HTTP/1.1".encode(), *headers]) + b"\r\n\r\n"
    data = head + body
    if chance.random() < 0.08:
        must_answer = False
        # The head again as often as the body, which is longer.
        data = (
            wire_mutation.mutate(head, chance) + body
            if chance.random() < 0.5
            else wire_mutation.mutate(data, chance)
        )
    places = sorted(chance.randrange(len(data) + 1) for _ in range(chance.choice((0, 0, 0, 1, 3))))
    pieces = [data[at:end] for at, end in zip([0, *places], [*places, len(data)], strict=True) if end > at]
    return RestCase(pieces, must_answer)
