"""Scores of classes into the names of the best."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hotgraph_server.errors import StartError
from hotgraph_server.wrapping.wishes import LabelWish

LABELS, CLASSES, SCORES = "labels", "classes", "scores"


class Labeller:
    """For one output of a model.

    Raises:
        StartError: there is no such output, or it is no scores of classes, or of more or fewer than are
        named.
    """

    def __init__(self, wish: LabelWish, outputs: Mapping[str, Any]) -> None:
        self._wish = wish
        self._output = wish.output or (next(iter(outputs)) if len(outputs) == 1 else "")
        names = ", ".join(sorted(outputs))
        if self._output not in outputs:
            known = f"--output {self._output!r}: " if self._output else "--output NAME says which scores: "
            raise StartError(f"{known}the model has {names}")
        spec = outputs[self._output]
        shape = spec.shape.as_list() if spec.shape.rank is not None else [None, None]
        if len(shape) != 2 or not spec.dtype.is_floating:
            raise StartError(
                f"--top: output {self._output!r} is {spec.dtype.name}{shape}, and no scores of classes"
                " (rows, classes)"
            )
        count, labels = shape[1], len(wish.labels)
        # Of two classes a model may tell the one score that says it all.
        self._of_two = count == 1 and labels == 2
        if labels and count is not None and count != labels and not self._of_two:
            raise StartError(
                f"--labels: there are {labels} lines, and output {self._output!r} has {count} classes"
            )
        classes = 2 if self._of_two else count or labels or wish.top
        self._top = min(wish.top, classes)

    def __call__(self, outputs: Mapping[str, Any]) -> dict[str, Any]:
        """Labels and scores [rows, top], and all other outputs as they are."""
        import tensorflow as tf

        scores = tf.cast(outputs[self._output], tf.float32)
        if self._of_two:
            second = tf.sigmoid(scores) if self._wish.softmax else scores
            scores = tf.concat([1 - second, second], axis=1)
        elif self._wish.softmax:
            scores = tf.nn.softmax(scores)
        values, indices = tf.math.top_k(scores, self._top)
        found = {name: value for name, value in outputs.items() if name != self._output}
        if self._wish.labels:
            found[LABELS] = tf.gather(tf.constant(self._wish.labels), indices)
        else:
            found[CLASSES] = indices
        found[SCORES] = values
        return found
