"""The floors of the server, and what is held against them.

A floor knows the floors below it and nothing of those above: who has read the floors below a room has read
everything that the room stands on. tests/test_architecture.py holds the imports against this list, and
scripts/architecture draws it.
"""

from __future__ import annotations

FLOORS: tuple[tuple[str, ...], ...] = (
    ("__main__",),
    ("commands",),
    ("server",),
    ("rest", "model_control", "processes", "tuning", "fleet"),
    ("protocols", "repository"),
    ("observability", "model_config"),
    ("models", "forwarding"),
    ("execution", "graph"),
    ("warmup", "sequences"),
    ("transport", "access", "state", "batching"),
    ("settings",),
    ("row_independence", "signatures", "statistics", "text_proto"),
    ("threads", "call_observer", "last_errors", "tensors", "errors"),
)
"""From the top to the bottom; rooms of one floor do not import each other. From the left to the right as the
picture shows them.
"""

BASE = 3
"""So many of the lowest floors are what every other may use; the picture leaves the arrows to them away."""
