"""Which logger a name in ``--log-level`` means."""

from __future__ import annotations

import logging
import pkgutil
from collections.abc import Mapping

import hotgraph_server

_OURS = "hotgraph_server"
# Loggers that are no modules; see call_log.py.
_OF_CALLS = ("calls", "access_log")


def logger_of(name: str) -> str:
    """The full name of a logger: one that begins like a part of the server is one of ours."""
    first = name.partition(".")[0]
    parts = {module.name for module in pkgutil.iter_modules(hotgraph_server.__path__)}
    return f"{_OURS}.{name}" if first in parts or first in _OF_CALLS else name


def apply(levels: Mapping[str, int], *, verbose: bool) -> None:
    """Set them; what `levels` does not say of the server as a whole is INFO, or DEBUG if `verbose`."""
    general = levels.get("", logging.DEBUG if verbose else logging.INFO)
    logging.getLogger(_OURS).setLevel(general)
    # Others' warnings are enough, unless less is wanted.
    logging.getLogger().setLevel(max(logging.WARNING, general))
    for name, level in levels.items():
        if name:
            logging.getLogger(logger_of(name)).setLevel(level)
