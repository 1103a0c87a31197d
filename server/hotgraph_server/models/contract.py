"""What clients may count on: a version's tensors as Triton's clients see them, and its completed config."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hotgraph_server.models.reshaping import reshaped
from hotgraph_server.sequences.rules import SequenceRules


@dataclass(frozen=True)
class TensorContract:
    """An input or output as clients see it.

    Attributes:
        dims: without the batch dimension where the contract is batched; -1 for a size that is free; None:
            not even the rank is known, and any shape is right.
        reshape: the shape that the model takes or gives in place of `dims`, without the batch dimension
            too; None: the same.
        optional: calls may leave it out, and the signature's own value is taken; of inputs only.
        labels: of the classes along the last dimension; of outputs only.
    """

    dims: tuple[int, ...] | None
    reshape: tuple[int, ...] | None = None
    optional: bool = False
    labels: tuple[str, ...] = ()


@dataclass(frozen=True)
class Contract:
    """What a version promises to calls of its default signature.

    Attributes:
        config: the whole inference.ModelConfig, completed.
        signature: name of the default signature, which `inputs` and `outputs` are of; None: there is none,
            and calls must name theirs. Calls of other signatures have no rules here.
        batched: is dimension 0 of every tensor the batch's, and missing in `dims`?
        max_batch_size: most rows of a call; 0: no rule, larger calls are answered too.
        inputs: what clients send, by alias; tensors that the server fills in for sequences are not here.
        outputs: what they get if they do not choose, by alias, in that order.
        sequence: how calls that belong together are run; None: they are independent.
        cached: may answers be kept and given again?
        decoupled: calls come in streams only.
    """

    config: Any
    signature: str | None = None
    batched: bool = False
    max_batch_size: int = 0
    inputs: Mapping[str, TensorContract] = dataclasses.field(default_factory=dict)
    outputs: Mapping[str, TensorContract] = dataclasses.field(default_factory=dict)
    sequence: SequenceRules | None = None
    cached: bool = False
    decoupled: bool = False

    def model_shape(self, alias: str, shape: Sequence[int]) -> tuple[int, ...]:
        """The shape in which the model takes an input that a client gives `shape`.

        Args:
            alias: of one of `inputs`.
            shape: dimension 0 included.

        Raises:
            ValueError: clients may not give it this shape.
        """
        tensor = self.inputs[alias]
        if tensor.reshape is None or tensor.dims is None:
            return tuple(shape)
        return reshaped(shape, tensor.dims, tensor.reshape, batched=self.batched)

    def client_shape(self, alias: str, shape: Sequence[int]) -> tuple[int, ...]:
        """The shape in which a client gets an output that the model gives `shape`.

        Args:
            alias: of one of `outputs`.
            shape: dimension 0 included.

        Raises:
            ValueError: the model has broken its own word.
        """
        tensor = self.outputs[alias]
        if tensor.reshape is None or tensor.dims is None:
            return tuple(shape)
        return reshaped(shape, tensor.reshape, tensor.dims, batched=self.batched)
