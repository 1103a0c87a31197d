"""A hot method with a fast path and a full path into the queue: what Predict and ModelInfer do alike.

A message of a form that is known (template.py) is two arrays and a look at the registry away from the
queue: the fast path, which is the method itself. Any other is parsed and checked, and every
error is found on this full path; if nothing is wrong with it, the next one of its form takes the fast path.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import Any, Generic, Protocol, TypeVar

from hotgraph_server.batching.request import QueueHints, hints_of
from hotgraph_server.models.version import Version
from hotgraph_server.protocols.template import learn
from hotgraph_server.protocols.template_cache import KnownTemplates
from hotgraph_server.signatures import Signature
from hotgraph_server.tensors import Array
from hotgraph_server.transport.message_fields import MalformedMessage, Message, Span


class Meant(Protocol):
    """What a message was found to ask for, but for what lies in its spans: a NamedTuple of the protocol's.

    Attributes:
        version: the one that was found; weakly, so that no template keeps a version from closing.
        aliases: of the outputs that the call wants, in the order of its answer.
        hints: for the queue; worked out for templates, which spare all later calls the same.
    """

    @property
    def version(self) -> weakref.ref[Version]: ...
    @property
    def signature(self) -> Signature: ...
    @property
    def aliases(self) -> tuple[str, ...]: ...
    @property
    def hints(self) -> QueueHints: ...
    @property
    def _replace(self) -> Callable[..., Any]: ...


Asked = TypeVar("Asked", bound=Meant)

Spans = Callable[[], tuple[Mapping[str, Span], Span | None]]
"""Where the tensors lie in a message, by alias, and where its one string lies, if it has one that differs
from message to message. Raises MalformedMessage: it cannot be walked through."""


class FastPath(Generic[Asked]):
    """Any number of threads may call it."""

    def __init__(self) -> None:
        self._templates: KnownTemplates[Asked] = KnownTemplates()

    def _remember(
        self,
        message: Message,
        asked: Asked,
        version: Version,
        inputs: Sequence[Array],
        spans: Spans,
        about: Hashable = None,
    ) -> None:
        """Learn what messages of this form mean, if it is time for that.

        Args:
            message: one in which nothing is wrong.
            asked: what it means.
            version: that of `asked`.
            inputs: its tensors, in the order of the signature's inputs.
            spans: called only if the answer is wanted.
            about: see Template.
        """
        if not self._templates.wants_more():
            return
        signature = asked.signature
        try:
            places, text = spans()
        except MalformedMessage:
            self._templates.add(None)
            return
        padded = version.padded.get(signature.name, ())
        hints = hints_of(signature, asked.aliases, inputs, padded)
        self._templates.add(
            learn(
                message,
                asked._replace(hints=hints),
                inputs,
                [places.get(spec.alias) for spec in signature.inputs],
                text,
                given=list(signature.defaults.values()),
                about=about,
            )
        )
