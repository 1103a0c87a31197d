"""Small graphs whose truth is known by how they are made: honest ones, whose rows do not influence each
other, and traps, in which they do. Written with the ops of models that people serve.

Each is a function of TensorFlow and its inputs; importing this does not import TensorFlow.
"""

from __future__ import annotations

from . import honest, traps
from .cases import Case

__all__ = ["HONEST", "TRAPS", "Case"]

HONEST: dict[str, Case] = honest.CASES.found
TRAPS: dict[str, Case] = traps.CASES.found
