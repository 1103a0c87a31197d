"""The one place where an error becomes a gRPC status."""

from __future__ import annotations

import logging

import grpc

from hotgraph_server.errors import CallError, InternalError

_LOG = logging.getLogger(__name__)

# Status texts travel in a header block, which most peers limit to 8 KiB, and each byte that is not ASCII
# takes three there. TensorFlow's own texts can hold a whole graph's trace. TensorFlow Serving cuts at 1024
# characters; with bytes the same holds for ASCII, and other scripts stay below the peers' limit.
_MAX_TEXT_BYTES = 1024
_CUT_MARK = "...TRUNCATED"


def as_call_error(error: BaseException) -> CallError:
    """A CallError as it is; anything else is a bug: logged whole here, and sent without details."""
    if isinstance(error, CallError):
        return error
    _LOG.error("unexpected error while answering a call", exc_info=error)
    return InternalError()


def details_of(error: CallError) -> str:
    """The text that goes on the wire."""
    text = str(error).encode("utf-8", "replace")
    if len(text) <= _MAX_TEXT_BYTES:
        return text.decode()
    return text[:_MAX_TEXT_BYTES].decode(errors="ignore") + _CUT_MARK


def trailers_of(error: CallError) -> tuple[tuple[str, str], ...]:
    """Trailing metadata that goes with it: when another try makes sense, as gRPC clients read it."""
    if error.retry_after_ms is None:
        return ()
    return (("grpc-retry-pushback-ms", str(error.retry_after_ms)),)


def code_of(error: CallError) -> grpc.StatusCode:
    """Its gRPC status code."""
    return error.status
