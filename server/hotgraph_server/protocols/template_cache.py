"""The templates that one hot method knows: looked up for every message, learned from some, bounded.

Guarantees:

* `find` takes no lock: it reads one dict entry, whose value is a tuple that is never changed, and the
  interpreter makes both atomic. Any number of threads may call it.
* At most MAX_TEMPLATES are kept, at most MAX_OF_A_LENGTH of which are for messages of the same length about
  the same; each holds a few kilobytes at most (template.py). So all of them together stay below 2 MiB.
* Learning costs as much again as reading the message, so it pays only where such messages come again.
  Whenever it did not (nothing to learn, a template that left unused, no room), twice as many messages as
  before pass before the next try, up to _MAX_PAUSE; the first use of a template ends the pause.
* A template that is in use is not driven out by others that come along: room is made among those that no
  message has fitted since the last time room was looked for.
"""

from __future__ import annotations

import threading
from collections.abc import Hashable, Iterable
from typing import Generic, TypeVar

from hotgraph_server.protocols.template import Template
from hotgraph_server.transport.message_fields import Message

Meaning = TypeVar("Meaning")

MAX_TEMPLATES = 256
MAX_OF_A_LENGTH = 8

# So a caller that never sends the same form twice pays for learning with one message in this many.
_MAX_PAUSE = 256


class KnownTemplates(Generic[Meaning]):
    """By length of message, and what it is about."""

    def __init__(self) -> None:
        self._by_length: dict[tuple[int, Hashable], tuple[Template[Meaning], ...]] = {}
        self._learning = threading.Lock()
        # In the order in which they were learned; under the lock, as are the two below.
        self._all: dict[Template[Meaning], None] = {}
        self._pause = 0
        self._passing = 0

    def __len__(self) -> int:
        return len(self._all)

    def find(self, message: Message, about: Hashable = None) -> Template[Meaning] | None:
        """The template that a message fits, if there is one.

        Args:
            about: see Template.
        """
        for template in self._by_length.get((len(message), about), ()):
            if template.fits(message):
                if not template.used:
                    template.used = True
                    # Without the lock: what could be lost is one doubling of the pause.
                    self._pause = self._passing = 0
                return template
        return None

    def wants_more(self) -> bool:
        """Shall the message at hand, which was read by the full path, be learned? The answer is for one."""
        with self._learning:
            if self._passing > 0:
                self._passing -= 1
                return False
            return True

    def add(self, template: Template[Meaning] | None) -> None:
        """Take in what was learned; None: it was nothing.

        A template of the same form is replaced: what it means has changed.
        """
        with self._learning:
            if template is None:
                self._waste()
                return
            form = (template.length, template.about)
            of_length = self._by_length.get(form, ())
            for former in of_length:
                if former.literals == template.literals:
                    self._remove(former)
            if len(self._by_length.get(form, ())) >= MAX_OF_A_LENGTH:
                self._make_room(of_length)
            elif len(self._all) >= MAX_TEMPLATES:
                self._make_room(self._all)
            of_length = self._by_length.get(form, ())
            if len(of_length) < MAX_OF_A_LENGTH and len(self._all) < MAX_TEMPLATES:
                self._by_length[form] = (*of_length, template)
                self._all[template] = None

    def _make_room(self, among: Iterable[Template[Meaning]]) -> None:
        """Remove the oldest one that is not in use; where all are, they have to prove it until next time."""
        assert self._learning.locked()
        self._waste()
        idle = next((template for template in among if not template.used), None)
        if idle is not None:
            self._remove(idle)
            return
        for template in among:
            template.used = False

    def _remove(self, template: Template[Meaning]) -> None:
        assert self._learning.locked()
        del self._all[template]
        form = (template.length, template.about)
        left = tuple(other for other in self._by_length[form] if other is not template)
        if left:
            self._by_length[form] = left
        else:
            del self._by_length[form]

    def _waste(self) -> None:
        assert self._learning.locked()
        self._pause = self._passing = min(2 * self._pause + 1, _MAX_PAUSE)
