"""When is a model that came, changed or went in a repository to be taken as it is? One thread."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from hotgraph_server.model_control.discovery import Discovery, Offer
from hotgraph_server.repository.tree import Tree, tree_of


class StabilityCheck:
    """What was seen of each model.

    A model that is new is taken when two looks have found the same files in it, and a configuration when two
    looks have found the same file: what is being copied is not finished. A model is gone when its folder is.
    One whose name is refused from now on (another repository offers it too) goes on as it is.

    Args:
        tree: what is below a folder.
    """

    def __init__(self, tree: Callable[[Path], Tree] = tree_of) -> None:
        self._tree = tree
        self._taken: dict[str, Offer] = {}
        self._coming: dict[str, tuple[Offer, Tree | None]] = {}

    def take(self, offer: Offer) -> None:
        """This one is taken as it is."""
        self._taken[offer.name] = offer

    def look(self, offers: Discovery) -> tuple[list[Offer], set[str]]:
        """What is to be taken up, new or changed, and the names of those taken that are gone."""
        before, self._coming = self._coming, {}
        ready = []
        for name, offer in offers.models.items():
            if self._taken.get(name) == offer:
                continue
            # The folders of models that are taken are looked at elsewhere.
            seen = (offer, None if name in self._taken else self._tree(offer.folder))
            if before.get(name) == seen:
                ready.append(offer)
                self.take(offer)
            else:
                self._coming[name] = seen
        gone = self._taken.keys() - offers.models.keys() - offers.refused.keys()
        for name in gone:
            del self._taken[name]
        return ready, set(gone)
