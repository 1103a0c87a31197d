"""How calls end over grpc's public API: with which status and trailers, and who is told."""

from __future__ import annotations

import base64
import functools
from collections.abc import Callable
from typing import Any, NamedTuple, NoReturn

import grpc

from hotgraph_server.errors import CallError, forget_traceback
from hotgraph_server.transport.load_trailers import LoadTrailers, Trailer
from hotgraph_server.transport.service import Failure, Tell
from hotgraph_server.transport.status import as_call_error, code_of, details_of, trailers_of


class Ending(NamedTuple):
    """How calls of a method end.

    Attributes:
        path: ``/SERVICE/METHOD``.
        tell: is told of them; None: nobody is.
        load: what the end of any call says of the server's load; None: nothing.
    """

    path: str
    tell: Tell | None
    load: LoadTrailers | None = None

    def __call__(
        self,
        context: grpc.ServicerContext,
        error: BaseException,
        leave: Callable[[], Any] | None = None,
    ) -> NoReturn:
        """End an RPC with an error's status; raises, as grpc wants it."""
        failure = as_call_error(error)
        self.say(context, failure, leave)
        _abort(context, error, failure, self.load)

    def well(self, context: grpc.ServicerContext) -> None:
        """Before the answer of a call that ends well."""
        if trailers := _load_of(context, self.load):
            context.set_trailing_metadata(trailers)

    def say(self, context: grpc.ServicerContext, error: CallError, leave: Callable[[], Any] | None) -> None:
        """Tell of a call that has ended so."""
        if self.tell is not None:
            header = functools.partial(header_of, context)
            self.tell(Failure(self.path, context.peer(), error, header, leave))


def header_of(context: grpc.ServicerContext, name: str) -> str | None:
    """What the caller says under that name; None: nothing."""
    for key, value in context.invocation_metadata() or ():
        if key == name:
            return value if isinstance(value, str) else value.decode("latin-1")
    return None


def headers_of(context: grpc.ServicerContext) -> dict[str, str]:
    """All that the caller says; see Reply."""
    return {
        key: value if isinstance(value, str) else base64.b64encode(value).decode()
        for key, value in context.invocation_metadata() or ()
    }


def _abort(
    context: grpc.ServicerContext, error: BaseException, failure: CallError, load: LoadTrailers | None
) -> NoReturn:
    code, details = code_of(failure), details_of(failure)
    trailers: tuple[Trailer, ...] = (*trailers_of(failure), *_load_of(context, load))
    forget_traceback(error)
    forget_traceback(failure)
    # What abort raises holds this frame.
    del error, failure
    context.set_trailing_metadata(trailers)
    context.abort(code, details)


def _load_of(context: grpc.ServicerContext, load: LoadTrailers | None) -> tuple[Trailer, ...]:
    """What the end of a call says of the server's load."""
    if load is None:
        return ()
    # Not at once: most calls do not ask, and to look at all that they say takes time.
    headers = {
        key: value if isinstance(value, str) else value.decode("latin-1")
        for key, value in context.invocation_metadata() or ()
        if key == load.header
    }
    trailer = load.for_call(headers)
    return () if trailer is None else (trailer,)
