"""Calls of a model to paste, that run as they stand: in Python, with curl and from the shell.

Inputs have the least shape that the graph was tried with: one row of zeros, text, or what the graph can read
of what its strings have to hold (an image, a tf.Example).
"""

from __future__ import annotations

import base64
import json
import math
import shlex
import struct
import zlib
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import quote

import numpy as np

from hotgraph_protos import tensors as wire
from hotgraph_server.signatures import Signature, TensorSpec
from hotgraph_server.tensors import STRING
from hotgraph_server.warmup.synthetic_inputs import has_numerals_in, size_in

if TYPE_CHECKING:
    from hotgraph_server.models.version import Version

_ADDRESS = "127.0.0.1:8500"
_HTTP_ADDRESS = "http://127.0.0.1:8502"
# A line of JSON with more values nobody reads, or types.
_MOST_VALUES = 16
# Of a square of one colour, which every size of crop takes and few bytes hold.
_SIDE = 64


class Sent(NamedTuple):
    """An input as a client sends it.

    Attributes:
        shape: the least that it may have for clients.
        text: of each of its strings.
    """

    spec: TensorSpec
    shape: list[int]
    text: bytes


def calling(version: Version, signature: Signature) -> Iterator[str]:
    """The lines of the report that show how a signature is called."""
    chooses = signature is not version.default_signature
    started = shlex.join(["hotgraph", "serve", f"{version.name}=DIR"])
    yield f"to call it (started with: {started})"
    yield ""
    sent = _sent(version, signature)
    if any(not _is_plain(one.text) for one in sent):
        yield "  import base64"
    if any(_needs_ml_dtypes(one.spec) for one in sent):
        yield "  import ml_dtypes"
    yield "  import numpy as np"
    yield "  from hotgraph_client import Client"
    yield ""
    yield f'  with Client("{_ADDRESS}") as client:  # or, over HTTP, "{_HTTP_ADDRESS}"'
    inputs = ", ".join(f'"{one.spec.alias}": {_example(one)}' for one in sent)
    choice = f', signature="{signature.name}"' if chooses else ""
    yield f'      answer = client.predict("{version.name}", {{{inputs}}}{choice})'
    yield f'      print(answer["{signature.outputs[0].alias}"])'
    yield ""
    yield from _curl(version.name, signature.name if chooses else "", sent)
    yield from _command(version.name, signature, signature.name if chooses else "", sent)


def _command(model: str, signature: Signature, chosen: str, sent: Sequence[Sent]) -> Iterator[str]:
    """A call from the shell: the values in it, or zeros where they are many."""
    image = next((one.spec.alias for one in sent if _takes_images(one, signature)), None)
    if image is not None:
        yield f"  with a picture of your own below: --input {image}=FILE.jpg"
    words = ["hotgraph", "predict", _ADDRESS, model]
    for one in sent:
        if math.prod(one.shape) > _MOST_VALUES:
            value = f"zeros:{'x'.join(map(str, one.shape))}"
        else:
            value = json.dumps(np.full(one.shape, _element(one), object).tolist())
        words += ["--input", f"{one.spec.alias}={value}"]
    words += ["--signature", chosen] if chosen else []
    yield f"  {shlex.join(words)}"


def _takes_images(one: Sent, signature: Signature) -> bool:
    if one.spec.dtype == STRING:
        content = signature.contents.get(one.spec.alias)
        return content is not None and "images" in content.name
    return one.spec.dtype.kind in "fu" and len(one.shape) == 4 and one.shape[-1] in (1, 3, 4)


def _curl(model: str, chosen: str, sent: Sequence[Sent]) -> Iterator[str]:
    """A call over HTTP in JSON; where that would be long, where there is one to be tried."""
    tensors = []
    for one in sent:
        datatype, count = wire.datatype_of(one.spec.dtype), math.prod(one.shape)
        if datatype is None or count > _MOST_VALUES:
            yield f"  in a browser, to be tried: {_HTTP_ADDRESS}/docs"
            return
        data = [_element(one)] * count
        tensors.append({"name": one.spec.alias, "datatype": datatype, "shape": one.shape, "data": data})
    body: dict[str, Any] = {"inputs": tensors}
    if chosen:
        body["parameters"] = {"signature_name": chosen}
    url = f"{_HTTP_ADDRESS}/v2/models/{quote(model, safe='')}/infer"
    yield f"  curl -d {shlex.quote(json.dumps(body))} {url}"


def _sent(version: Version, signature: Signature) -> list[Sent]:
    """The inputs that clients send."""
    contract = version.contract
    # The sizes with which it was tried: not every graph takes what is smaller.
    free = size_in(version.warmed[signature.name])
    if contract.signature != signature.name or contract.config is None:
        return [
            Sent(spec, _filled(spec.shape or (), free), _text(version, signature, spec))
            for spec in signature.inputs
        ]
    sent = []
    for alias, promised in contract.inputs.items():
        spec = signature.inputs_by_alias[alias]
        dims = [free if size < 0 else size for size in promised.dims or ()]
        shape = [1, *dims] if contract.batched else dims
        sent.append(Sent(spec, shape, _text(version, signature, spec)))
    return sent


def _filled(shape: Sequence[int | None], free: int) -> list[int]:
    return [(free if place else 1) if size is None else size for place, size in enumerate(shape)]


def _text(version: Version, signature: Signature, spec: TensorSpec) -> bytes:
    """What a string of an input may be."""
    content = signature.contents.get(spec.alias)
    if content is None:
        return b"1" if has_numerals_in(version.warmed[signature.name]) else b"text"
    return _PICTURE if "images" in content.name else min(content.samples, key=len)


def _picture() -> bytes:
    """A grey square as a PNG, which TensorFlow's ops take where they take images of any kind."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = struct.pack(">IIBBBBB", _SIDE, _SIDE, 8, 0, 0, 0, 0)
    rows = (b"\0" + b"\x80" * _SIDE) * _SIDE
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        chunk(kind, data)
        for kind, data in ((b"IHDR", head), (b"IDAT", zlib.compress(rows, 9)), (b"IEND", b""))
    )


_PICTURE = _picture()


def _element(one: Sent) -> Any:
    """A value of the input in JSON."""
    if one.spec.dtype != STRING:
        return False if one.spec.dtype.kind == "b" else int(_has_ones(one.spec))
    return one.text.decode() if _is_plain(one.text) else {"b64": base64.b64encode(one.text).decode()}


def _has_ones(spec: TensorSpec) -> bool:
    """Is it the shape of a sparse tensor, in which its values have to lie?"""
    return spec.part is not None and spec.part.role == "dense_shape"


def _is_plain(text: bytes) -> bool:
    return text.isascii() and text.decode().isprintable()


def _needs_ml_dtypes(spec: TensorSpec) -> bool:
    return spec.dtype.name == "bfloat16"


def _example(one: Sent) -> str:
    if one.spec.dtype == STRING:
        if _is_plain(one.text):
            return f"np.full({one.shape}, b{json.dumps(one.text.decode())}, object)"
        encoded = base64.b64encode(one.text).decode()
        return f'np.full({one.shape}, base64.b64decode("{encoded}"), object)'
    dtype = "ml_dtypes.bfloat16" if _needs_ml_dtypes(one.spec) else f"np.{one.spec.dtype.name}"
    made = "ones" if _has_ones(one.spec) else "zeros"
    return f"np.{made}({one.shape}, {dtype if dtype != 'np.bool' else 'np.bool_'})"
