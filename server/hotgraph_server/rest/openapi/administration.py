"""Every path that is about no model in particular, as a table. Pure.

What the live models themselves take is said path by path (document.py); here a model's name is a parameter.
The sections are those of the two protocols' own documents.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any, NamedTuple

from hotgraph_server.rest.openapi.answers import JSON, OF_CALLS, OF_QUESTIONS, errors, ok
from hotgraph_server.rest.openapi.schemas import Schema, an_object, ref

SERVER, REPOSITORY, EXTENSIONS, ANY_MODEL, TFS = (
    "server",
    "repository",
    "extensions",
    "any model, Open Inference Protocol",
    "any model, TensorFlow Serving",
)
TAGS = {
    SERVER: "Health, and what the server is.",
    ANY_MODEL: "What can be asked of a model by its name, under /v2.",
    TFS: "What can be asked of a model by its name, under /v1.",
    REPOSITORY: "Which models there are; loading and unloading, where `--model-control explicit` allows it.",
    EXTENSIONS: "Shared memory, traces and the log, where they are switched on.",
}


class Path(NamedTuple):
    """An operation.

    Attributes:
        method: of HTTP.
        summary: what it is for, without a full stop.
        answer: the schema of the answer's body; None: it is empty.
        body: the schema of the request's body; None: there is none.
        needs_body: it may not be left out.
        call: does it run a model?
        kind: the media type of the answer.
    """

    method: str
    path: str
    tag: str
    summary: str
    answer: Schema | None = None
    body: Schema | None = None
    needs_body: bool = False
    call: bool = False
    kind: str = JSON


_TEXT: Schema = {"type": "string"}
_ANYTHING: Schema = {"type": "object"}
_STATISTICS = an_object(
    {"model_stats": {"type": "array", "items": an_object({"name": _TEXT, "version": _TEXT}, ["name"])}},
    ["model_stats"],
)
_INDEX: Schema = {
    "type": "array",
    "items": an_object({"name": _TEXT, "version": _TEXT, "state": _TEXT, "reason": _TEXT}, ["name"]),
}
_TENSORS: Schema = {
    "type": "array",
    "items": an_object(
        {
            "name": _TEXT,
            "datatype": _TEXT,
            "shape": {"type": "array", "items": {"type": "integer", "minimum": -1}},
        },
        ["name", "datatype", "shape"],
    ),
}
_METADATA = an_object(
    {
        "name": _TEXT,
        "versions": {"type": "array", "items": _TEXT},
        "platform": _TEXT,
        "inputs": _TENSORS,
        "outputs": _TENSORS,
    },
    ["name", "platform", "inputs", "outputs"],
)
_LOAD = an_object({"parameters": an_object({"config": {"type": "string", "description": "a ModelConfig"}})})
_UNLOAD = an_object({"parameters": an_object({"unload_dependents": {"type": "boolean"}})})
_TRACE = an_object(
    {
        "trace_level": {"type": ["array", "string", "null"], "items": _TEXT},
        "trace_rate": {"type": ["string", "null"]},
        "trace_count": {"type": ["string", "null"]},
        "log_frequency": {"type": ["string", "null"]},
    }
)
_LOGGING = an_object(
    {
        "log_info": {"type": "boolean"},
        "log_warning": {"type": "boolean"},
        "log_error": {"type": "boolean"},
        "log_verbose_level": {"type": "integer", "minimum": 0},
        "log_format": {"enum": ["default", "ISO8601"]},
    }
)
_MODEL, _VERSION = "/v2/models/{model_name}", "/versions/{version}"

_OF_A_MODEL = (
    ("GET", "", "the model's inputs and outputs", _METADATA),
    ("GET", "/ready", "is the model ready?", an_object({"name": _TEXT, "ready": {"type": "boolean"}})),
    ("GET", "/config", "the model's configuration, completed", _ANYTHING),
    ("GET", "/stats", "what the model has run", _STATISTICS),
)


def _of_memory(what: str, words: str, region: Schema, register: Schema) -> Iterator[Path]:
    base = f"/v2/{what}"
    one = f"{base}/region/{{region}}"
    for path in (base, one):
        about = f"the {words} that is registered" if path == base else f"one region of {words}"
        yield Path("GET", f"{path}/status", EXTENSIONS, about, {"type": "array", "items": region})
        all_of_it = f"forget all {words}" if path == base else f"forget one region of {words}"
        yield Path("POST", f"{path}/unregister", EXTENSIONS, all_of_it)
    yield Path(
        "POST",
        f"{one}/register",
        EXTENSIONS,
        f"register a region of {words}",
        None,
        register,
        needs_body=True,
    )


def _of_models() -> Iterator[Path]:
    for version in ("", _VERSION):
        where = f"{_MODEL}{version}"
        for method, ending, summary, answer in _OF_A_MODEL:
            of_version = f"{summary}{', of one version' if version else ''}"
            yield Path(method, f"{where}{ending}", ANY_MODEL, of_version, answer)
        run = partial(Path, "POST", tag=ANY_MODEL, needs_body=True, call=True)
        yield run(
            f"{where}/infer",
            summary="run the model",
            answer=ref("InferResponse"),
            body=ref("InferRequest"),
        )
        yield run(
            f"{where}/generate",
            summary="run the model, with inputs by their names",
            answer=_ANYTHING,
            body=_ANYTHING,
        )
        yield run(
            f"{where}/generate_stream",
            summary="the same, with the answers as events",
            answer=_TEXT,
            body=_ANYTHING,
            kind="text/event-stream",
        )
    for chosen in ("", "/versions/{version}", "/labels/{label}"):
        model = f"/v1/models/{{model_name}}{chosen}"
        yield Path("GET", model, TFS, "the states of the versions", _ANYTHING)
        yield Path("GET", f"{model}/metadata", TFS, "the signatures", _ANYTHING)
        for what in ("predict", "classify", "regress"):
            summary = f"run the model: {what.capitalize()}"
            request, response = f"{what.capitalize()}Request", f"{what.capitalize()}Response"
            yield Path("POST", f"{model}:{what}", TFS, summary, ref(response), ref(request), True, call=True)


PATHS: tuple[Path, ...] = (
    Path("GET", "/v2/health/live", SERVER, "is the server up?", an_object({"live": {"type": "boolean"}})),
    Path(
        "GET", "/v2/health/ready", SERVER, "are all models ready?", an_object({"ready": {"type": "boolean"}})
    ),
    Path(
        "GET",
        "/v2",
        SERVER,
        "what the server is and can do",
        an_object(
            {"name": _TEXT, "version": _TEXT, "extensions": {"type": "array", "items": _TEXT}},
            ["name", "version", "extensions"],
        ),
    ),
    Path(
        "GET", "/v2/models", SERVER, "the models that are served", an_object({"models": _INDEX}, ["models"])
    ),
    Path(
        "GET",
        "/v1/models",
        SERVER,
        "the states of all models' versions",
        an_object({"models": _ANYTHING}, ["models"]),
    ),
    Path("GET", "/v2/models/stats", SERVER, "what all models have run", _STATISTICS),
    *_of_models(),
    *(
        Path(
            "POST",
            f"/v2/repository{repository}/index",
            REPOSITORY,
            "the models that there are",
            _INDEX,
            an_object({"ready": {"type": "boolean"}}),
        )
        for repository in ("", "/{repository}")
    ),
    *(
        Path(
            "POST",
            f"/v2/repository{repository}/models/{{model_name}}/{what}",
            REPOSITORY,
            f"{what} a model",
            an_object({"name": _TEXT, what: {"const": True}}, ["name", what]),
            body,
        )
        for repository in ("", "/{repository}")
        for what, body in (("load", _LOAD), ("unload", _UNLOAD))
    ),
    *_of_memory(
        "systemsharedmemory",
        "shared memory",
        _ANYTHING,
        an_object(
            {
                "key": _TEXT,
                "offset": {"type": "integer", "minimum": 0},
                "byte_size": {"type": "integer", "minimum": 0},
            },
            ["key", "byte_size"],
        ),
    ),
    *_of_memory(
        "cudasharedmemory",
        "GPU memory",
        _ANYTHING,
        an_object(
            {
                "raw_handle": an_object({"b64": _TEXT}, ["b64"]),
                "device_id": {"type": "integer", "minimum": 0},
                "byte_size": {"type": "integer", "minimum": 0},
            },
            ["raw_handle", "device_id", "byte_size"],
        ),
    ),
    *(
        Path(method, path, EXTENSIONS, summary, _ANYTHING, _TRACE if method == "POST" else None)
        for path, of in (("/v2/trace/setting", ""), (f"{_MODEL}/trace/setting", " of a model"))
        for method, summary in (
            ("GET", f"the settings of traces{of}"),
            ("POST", f"change the settings of traces{of}"),
        )
    ),
    Path("GET", "/v2/logging", EXTENSIONS, "the settings of the log", _ANYTHING),
    Path("POST", "/v2/logging", EXTENSIONS, "change the settings of the log", _ANYTHING, _LOGGING),
)
"""All operations."""

PARAMETERS = {
    "model_name": {**_TEXT, "minLength": 1},
    "version": {"type": "string", "pattern": "^[0-9]{1,18}$"},
    "label": {**_TEXT, "minLength": 1},
    "region": {**_TEXT, "minLength": 1},
    "repository": {**_TEXT, "minLength": 1},
}
"""Schemas of what a path may have in braces."""


def paths() -> dict[str, dict[str, Any]]:
    """The document's paths."""
    found: dict[str, dict[str, Any]] = {}
    for one in PATHS:
        item = found.setdefault(one.path, {})
        names = [name for name in PARAMETERS if f"{{{name}}}" in one.path]
        if names:
            item["parameters"] = [ref(name, "parameters") for name in names]
        item[one.method.lower()] = _operation(one)
    return found


def parameters() -> dict[str, Any]:
    """The document's parameters."""
    return {
        name: {"name": name, "in": "path", "required": True, "schema": schema}
        for name, schema in PARAMETERS.items()
    }


def _operation(one: Path) -> dict[str, Any]:
    found: dict[str, Any] = {
        "tags": [one.tag],
        "summary": one.summary,
        "responses": {
            "200": ok("What was asked for.", one.answer, one.kind),
            **errors(OF_CALLS if one.call else OF_QUESTIONS),
        },
    }
    if one.answer == ref("InferResponse"):
        found["responses"]["200"]["content"]["application/octet-stream"] = {}
    if one.body is not None:
        found["requestBody"] = {"required": one.needs_body, "content": {JSON: {"schema": one.body}}}
    return found
