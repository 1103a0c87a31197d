"""Errors and other answers that many paths share, as components of the document. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from hotgraph_server.rest.openapi.schemas import Schema, an_object, ref

JSON = "application/json"

CODES = {
    400: "What was sent is wrong; the text names the field and the value.",
    401: "No key, or an unknown one, was sent.",
    403: "The key, or this server, does not allow it.",
    404: "There is no such thing.",
    405: "The path takes another method.",
    408: "The body has not come in time.",
    409: "What is there already stands against it.",
    413: "The body is too large.",
    415: "The body is compressed in a way that is not known here.",
    429: "There is too much to do; try again later.",
    431: "The head of the request is too large.",
    499: "The call was cancelled.",
    500: "The model failed, or the server did.",
    501: "This is not done here.",
    503: "Not now: models are loaded, or the server stops, or it is switched off.",
    504: "The call has not been answered within its time.",
}
"""What each status of an error means."""

OF_CALLS = tuple(CODES)
"""Those that a call of a model may get."""

OF_QUESTIONS = tuple(code for code in CODES if code not in (409, 499))
"""Those that anything else may get."""


def components() -> dict[str, dict[str, Any]]:
    """Schemas and responses, by their kind."""
    error = an_object({"error": {"type": "string"}}, ["error"], title="error")
    responses = {f"Error{code}": _error(text) for code, text in CODES.items()}
    responses["Error4XX"] = _error("The call is refused, by a fault of the caller's or for load.")
    responses["Error5XX"] = _error("The call has failed, or is not answered now.")
    return {"schemas": {"Error": error}, "responses": responses}


def errors(codes: Iterable[int | str]) -> dict[str, Schema]:
    """The responses of an operation that are errors."""
    return {str(code): ref(f"Error{code}", "responses") for code in codes}


def ok(description: str, schema: Schema | None = None, kind: str = JSON) -> dict[str, Any]:
    """The response to what went well; without a schema its body is empty."""
    if schema is None:
        return {"description": description}
    return {"description": description, "content": {kind: {"schema": schema}}}


def _error(text: str) -> dict[str, Any]:
    return ok(text, ref("Error"))
