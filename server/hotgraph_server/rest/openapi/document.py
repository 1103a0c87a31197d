"""Descriptions of versions to an OpenAPI document (3.1.1). Pure.

Each version is written once, as bytes, and these are put together whenever another comes or goes: what a
document costs is what has changed. It is bounded: what would make it larger than MAX_BYTES is left to the
paths that take a model's name as a parameter, and the document says so.

Written here and not with a library: apispec, which starlette's users take, makes documents from classes of
its plugins' serialisers and from docstrings. There are neither, for a signature is known when a model is
loaded; what would remain of it is a dictionary of paths.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple
from urllib.parse import quote

import orjson

from hotgraph_server.rest.openapi import administration, answers, schemas, v1, v2
from hotgraph_server.rest.openapi.answers import JSON, errors, ok
from hotgraph_server.rest.openapi.description import Form, SignatureDescription, Tensor, VersionDescription
from hotgraph_server.rest.openapi.generic import generic
from hotgraph_server.rest.openapi.schemas import Schema, any_of, ref, shape_text

VERSION = "3.1.1"

MAX_BYTES = 8 * 2**20
"""Of all versions together."""

_DESCRIPTION = """\
Every path of this port. Those of the live models come first, each with a call that can be tried: the shapes \
and datatypes are those that the models have been loaded with. `-1` in a shape is a size that is free.

Tensors may also be sent and got as binary data behind the JSON, with the header \
`Inference-Header-Content-Length`; that is faster, and nothing that a page can try."""

_BEHIND_JSON = "application/octet-stream"


class About(NamedTuple):
    """The server.

    Attributes:
        title: what it calls itself.
        version: of the server.
        keys: calls may need a key (`Authorization: Bearer ...`).
    """

    title: str
    version: str
    keys: bool = False


class Part(NamedTuple):
    """A version, written.

    Attributes:
        tag: under which it is shown.
        latest: the paths that mean it if it is the one that calls without a version get, and what each does.
        own: those that name it.
        components: by kind and name.
        nbytes: of all of these.
    """

    tag: str
    latest: Mapping[str, bytes]
    own: Mapping[str, bytes]
    components: Mapping[tuple[str, str], bytes]
    nbytes: int


class _Protocol(NamedTuple):
    """How a version is called in one protocol."""

    word: str
    path: Callable[[str, int | None], str]
    summary: str
    form: Callable[[SignatureDescription], Form]
    request: Callable[[VersionDescription, SignatureDescription], Schema]
    response: Callable[[VersionDescription, SignatureDescription], Schema]
    any_request: str
    of_answers: str
    is_default: Callable[[SignatureDescription], bool]


def _v1_path(name: str, number: int | None) -> str:
    return f"/v1/models/{quote(name, safe='')}{_version(number)}:predict"


def _v2_path(name: str, number: int | None) -> str:
    return f"/v2/models/{quote(name, safe='')}{_version(number)}/infer"


def _version(number: int | None) -> str:
    return "" if number is None else f"/versions/{number}"


_PROTOCOLS = (
    _Protocol(
        "infer",
        _v2_path,
        "Open Inference Protocol",
        lambda one: one.v2,
        lambda version, one: v2.request(one, sequences=version.sequences and one.v2_default),
        lambda version, one: v2.response(version.name, version.number, one),
        "InferRequest",
        "NaN and the infinities are strings.",
        lambda one: one.v2_default,
    ),
    _Protocol(
        "predict",
        _v1_path,
        "TensorFlow Serving",
        lambda one: one.v1,
        lambda _, one: v1.request(one),
        lambda _, one: v1.response(one),
        "PredictRequest",
        "NaN and the infinities stand there without quotes, as TensorFlow Serving writes them.",
        lambda one: one.v1_default,
    ),
)


def part(version: VersionDescription) -> Part:
    """Write a version."""
    latest: dict[str, bytes] = {}
    own: dict[str, bytes] = {}
    components: dict[tuple[str, str], bytes] = {}
    for protocol in _PROTOCOLS:
        key = f"{protocol.word}..{escaped(version.name)}..{version.number}"
        callable_here = [one for one in version.signatures if not protocol.form(one).refusal]
        if callable_here:
            body = _request(protocol, version, callable_here)
            answer = _response(protocol, version, callable_here)
            components["requestBodies", key] = orjson.dumps(body)
            components["responses", key] = orjson.dumps(answer)
        for paths, number in ((latest, None), (own, version.number)):
            operation = _operation(protocol, version, number, key if callable_here else None)
            paths[protocol.path(version.name, number)] = orjson.dumps({"post": operation})
    pieces = (*latest.values(), *own.values(), *components.values())
    return Part(tag_of(version.name), latest, own, components, sum(map(len, pieces)))


def document(about: About, parts: Sequence[Part]) -> bytes:
    """The document, as JSON.

    Args:
        parts: of the live versions: by name, highest number first.
    """
    paths: dict[str, Any] = {}
    components: dict[str, dict[str, Any]] = {
        "schemas": {},
        "responses": {},
        "requestBodies": {},
        "parameters": administration.parameters(),
    }
    tags: dict[str, str] = {}
    seen: set[str] = set()
    left, left_out = MAX_BYTES, 0
    for one in parts:
        is_latest = one.tag not in seen
        seen.add(one.tag)
        if one.nbytes > left:
            left_out += 1
            continue
        left -= one.nbytes
        tags[one.tag] = "Calls of this model."
        paths |= {path: orjson.Fragment(text) for path, text in (one.latest if is_latest else {}).items()}
        paths |= {path: orjson.Fragment(text) for path, text in one.own.items()}
        for (kind, name), text in one.components.items():
            components[kind][name] = orjson.Fragment(text)
    paths |= administration.paths()
    components["schemas"] |= {**schemas.components(), **v2.components(), **generic()}
    for kind, found in answers.components().items():
        components[kind] |= found
    tags |= administration.TAGS
    return orjson.dumps(
        {
            "openapi": VERSION,
            "info": _info(about, left_out),
            # Where the document is, also behind a proxy that puts something before our paths.
            "servers": [{"url": "."}],
            "tags": [{"name": name, "description": text} for name, text in tags.items()],
            "paths": paths,
            "components": {kind: found for kind, found in components.items() if found} | _security(about),
            **({"security": [{"key": []}, {}]} if about.keys else {}),
        }
    )


def tag_of(name: str) -> str:
    """Under which a model's calls are shown."""
    return f"model {name}"


def escaped(name: str) -> str:
    """A name as part of a component's, which may hold letters, digits, ``.``, ``-`` and ``_`` alone. No two
    names become the same, and none gets two points in a row."""
    return re.sub(r"[^A-Za-z0-9_-]", lambda found: "".join(f".{one:02x}" for one in found[0].encode()), name)


def _info(about: About, left_out: int) -> dict[str, Any]:
    description = _DESCRIPTION
    if left_out:
        description += (
            f"\n\n{left_out} further versions are not shown one by one, which would make this document too"
            " large. They are called by the paths with `{model_name}`."
        )
    return {
        "title": about.title,
        "version": about.version,
        "description": description,
    }


def _security(about: About) -> dict[str, Any]:
    if not about.keys:
        return {}
    return {"securitySchemes": {"key": {"type": "http", "scheme": "bearer"}}}


def _operation(
    protocol: _Protocol, version: VersionDescription, number: int | None, key: str | None
) -> dict[str, Any]:
    which = "the latest version" if number is None else f"version {number}"
    responses = errors(["4XX", "5XX"])
    if key is not None:
        responses = {"200": ref(key, "responses"), **responses}
        body = ref(key, "requestBodies")
    else:
        body = {"content": {JSON: {"schema": ref(protocol.any_request)}}}
    return {
        "operationId": f"{protocol.word}..{escaped(version.name)}{'' if number is None else f'..{number}'}",
        "tags": [tag_of(version.name)],
        "summary": f"{protocol.summary}: {which}",
        "description": _words(protocol, version),
        "requestBody": body,
        "responses": responses,
    }


def _request(
    protocol: _Protocol, version: VersionDescription, signatures: Sequence[SignatureDescription]
) -> dict[str, Any]:
    examples = {
        # What calls without a name mean is what is shown first.
        one.name: {"summary": f"signature {one.name}", "value": protocol.form(one).example}
        for one in sorted(signatures, key=protocol.is_default, reverse=True)
        if protocol.form(one).example is not None
    }
    content: dict[str, Any] = {"schema": any_of([protocol.request(version, one) for one in signatures])}
    if examples:
        content["examples"] = examples
    return {"required": True, "content": {JSON: content}}


def _response(
    protocol: _Protocol, version: VersionDescription, signatures: Sequence[SignatureDescription]
) -> dict[str, Any]:
    schema = any_of([protocol.response(version, one) for one in signatures])
    found = ok(f"The outputs. {protocol.of_answers}", schema)
    if protocol.word == "infer":
        found["content"][_BEHIND_JSON] = {}
    return found


def _words(protocol: _Protocol, version: VersionDescription) -> str:
    """What there is to be known of each signature, for people."""
    return "\n\n".join(
        [
            *(_words_of(protocol, one) for one in version.signatures),
            *(f"Signature `{name}` cannot be called: {why}." for name, why in version.unusable.items()),
        ]
    )


def _words_of(protocol: _Protocol, one: SignatureDescription) -> str:
    form = protocol.form(one)
    words = f"Signature `{one.name}`: {_listed(form.inputs)} → {_listed(form.outputs)}."
    if form.refusal:
        return f"{words} It cannot be called here: {form.refusal}."
    notes = [*one.notes, f"There is no example: {form.without}."] if form.without else one.notes
    return " ".join([words, *notes])


def _listed(tensors: Sequence[Tensor]) -> str:
    return ", ".join(map(_tensor, tensors)) or "nothing"


def _tensor(tensor: Tensor) -> str:
    optional = ", may be left out" if tensor.optional else ""
    content = f", {tensor.content}" if tensor.content else ""
    return (
        f"`{tensor.name}` ({tensor.datatype or tensor.dtype} {shape_text(tensor.shape)}{content}{optional})"
    )
