"""What a run of a sequence's signature takes and gives: inputs of clients, control tensors and states go in,
answers and states come out. Pure.

Control tensors are filled in as Triton does it: START, END and READY get the value that the configuration has
for false or true, CORRID the sequence's id. They have the rank that the SavedModel declares, every dimension
but the batch's being 1. Rows of a run that belong to no sequence have READY false, and so are START and END;
all else in them is zero, or the empty string.

States are kept with the dimension 0 that they have in a run of one row.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from hotgraph_server.errors import InvalidCall
from hotgraph_server.sequences.call import Result, SequenceCall, SequenceId, Shapes
from hotgraph_server.sequences.rules import Control, ControlTensor, SequenceRules, StateTensor
from hotgraph_server.signatures import Signature, TensorSpec
from hotgraph_server.tensors import STRING, Array

MAX_ID_BYTES = 128
"""Of an id that is a string; Triton's."""


class Layout:
    """Of one signature.

    Args:
        signature: as the graph has it.
        rules: whose tensors are all in it.
        batched: is dimension 0 of every tensor the batch's?
        rows: of a run of slots; 1: there are no slots, or one.

    Attributes:
        signature: see above.
        clients: the inputs that clients send, in the signature's order.
        initial: the states that a sequence begins with.

    Raises:
        ValueError: the rules contradict the signature; the text says how.
    """

    def __init__(self, signature: Signature, rules: SequenceRules, *, batched: bool, rows: int = 1) -> None:
        self.signature = signature
        self._batched = batched
        self._rows = rows
        hidden = rules.hidden_inputs
        self.clients = tuple(spec for spec in signature.inputs if spec.alias not in hidden)
        self._controls = {control.alias: control for control in rules.controls}
        self._states = tuple(rules.states)
        self._state_of = {state.input_alias: place for place, state in enumerate(rules.states)}
        for alias in (*self._controls, *self._state_of):
            if alias not in signature.inputs_by_alias:
                raise ValueError(f"signature {signature.name!r} has no input {alias!r}")
        for state in rules.states:
            if state.output_alias not in signature.outputs_by_alias:
                raise ValueError(f"signature {signature.name!r} has no output {state.output_alias!r}")
        if rows > 1:
            for spec in (
                *signature.inputs,
                *(signature.outputs_by_alias[s.output_alias] for s in self._states),
            ):
                if spec.shape == () or (spec.shape and spec.shape[0] not in (None, rows)):
                    raise ValueError(
                        f"tensor {spec.alias!r} of shape {list(spec.shape)} cannot have a row for each of"
                        f" {rows} slots"
                    )
        self.initial = tuple(self._initial(state) for state in rules.states)
        self._corrid = next((c for c in rules.controls if c.kind is Control.CORRELATION_ID), None)

    def check(self, sequence_id: SequenceId, inputs: Sequence[Array], model: str) -> None:
        """Can a call be one of a sequence?

        Args:
            sequence_id: 0 and "" are none.
            inputs: as `clients` are.
            model: its name.

        Raises:
            InvalidCall: no; the words are Triton's, as far as it has any.
        """
        where = f"inference request for sequence {sequence_id} to model '{model}'"
        if not sequence_id:
            raise InvalidCall(
                f"inference request to model '{model}' must specify a non-zero or non-empty correlation ID"
            )
        if isinstance(sequence_id, str) and len(sequence_id.encode()) > MAX_ID_BYTES:
            raise InvalidCall(
                f"inference request to model '{model}': a correlation ID that is a string must have at most"
                f" {MAX_ID_BYTES} bytes, got {len(sequence_id.encode())}"
            )
        if self._batched:
            for spec, array in zip(self.clients, inputs, strict=True):
                if self._has_rows(spec) and array.ndim and array.shape[0] != 1:
                    raise InvalidCall(
                        f"{where} must specify batch-size 1 due to requirements of sequence batcher, got"
                        f" {array.shape[0]}"
                    )
        if self._corrid is not None:
            self._check_id(self._corrid, sequence_id, where)

    def shapes(self, inputs: Sequence[Array]) -> Shapes:
        """Of each input, without its rows."""
        return tuple([array.shape[1:] for array in inputs])

    def inner_outputs(self, outputs: tuple[str, ...]) -> tuple[str, ...]:
        """What a run is asked for so that calls get these outputs and their sequences the states."""
        wanted = dict.fromkeys(outputs)
        wanted.update(dict.fromkeys(state.output_alias for state in self._states))
        return tuple(wanted)

    def inputs(self, calls: Sequence[SequenceCall]) -> list[Array]:
        """Of a run of these calls, in the signature's order; with slots, each in the row of its own."""
        if self._rows > 1:
            return self._inputs_of_slots(calls)
        (call,) = calls
        assert call.sequence is not None
        clients = iter(call.inputs)
        arrays = []
        for spec in self.signature.inputs:
            if (control := self._controls.get(spec.alias)) is not None:
                arrays.append(np.full(self._control_shape(spec), _value(control, call), control.dtype))
            elif (place := self._state_of.get(spec.alias)) is not None:
                arrays.append(call.sequence.states[place])
            else:
                arrays.append(next(clients))
        return arrays

    def results(self, calls: Sequence[SequenceCall], arrays: Sequence[Array]) -> list[Result]:
        """What a run of these calls gave each of them.

        Args:
            calls: as they went in.
            arrays: what came out, as `inner_outputs` says.

        Raises:
            ValueError: an output does not have the rows that went in.
        """
        outputs = calls[0].outputs
        by_alias = dict(zip(self.inner_outputs(outputs), arrays, strict=True))
        if self._rows > 1:
            for spec in self.signature.outputs:
                array = by_alias.get(spec.alias)
                if array is not None and self._has_rows(spec) and array.shape[:1] != (self._rows,):
                    raise ValueError(
                        f"{self._rows} rows went in, output {spec.alias!r} has shape {list(array.shape)}"
                    )
        results = []
        for call in calls:
            answer = [self._of(call, alias, by_alias[alias]) for alias in outputs]
            states = [
                _own(self._of(call, state.output_alias, by_alias[state.output_alias]))
                for state in self._states
            ]
            results.append(Result(answer, states))
        return results

    def _inputs_of_slots(self, calls: Sequence[SequenceCall]) -> list[Array]:
        arrays = []
        client = 0
        for spec in self.signature.inputs:
            if (control := self._controls.get(spec.alias)) is not None:
                empty = (
                    control.false if control.kind is not Control.CORRELATION_ID else _nothing(control.dtype)
                )
                array = np.full(self._control_shape(spec), empty, control.dtype)
                for call in calls:
                    array[_row(call)] = _value(control, call)
            elif (place := self._state_of.get(spec.alias)) is not None:
                array = self._rows_of([(call, _states(call)[place]) for call in calls])
            else:
                array = self._rows_of([(call, call.inputs[client]) for call in calls])
                client += 1
            arrays.append(array)
        return arrays

    def _rows_of(self, given: Sequence[tuple[SequenceCall, Array]]) -> Array:
        first = given[0][1]
        array = np.full((self._rows, *first.shape[1:]), _nothing(first.dtype), first.dtype)
        for call, row in given:
            array[_row(call)] = row[0]
        return array

    def _of(self, call: SequenceCall, alias: str, array: Array) -> Array:
        if self._rows == 1 or not self._has_rows(self.signature.outputs_by_alias[alias]):
            return array
        row = _row(call)
        return array[row : row + 1]

    def _has_rows(self, spec: TensorSpec) -> bool:
        """Is dimension 0 the batch's? A model of slots may have as many for good."""
        return spec.shape is None or (spec.shape != () and spec.shape[0] in (None, self._rows))

    def _control_shape(self, spec: TensorSpec) -> tuple[int, ...]:
        if spec.shape is None:
            return (self._rows, 1) if self._batched else (1,)
        return (self._rows, *(1 for _ in spec.shape[1:])) if spec.shape else ()

    def _initial(self, state: StateTensor) -> Array:
        array = state.initial
        if array is None:
            shape = tuple(1 if size == -1 else size for size in state.dims)
            array = np.full(shape, _nothing(state.dtype), state.dtype)
        return array[np.newaxis] if self._batched else array

    def _check_id(self, control: ControlTensor, sequence_id: SequenceId, where: str) -> None:
        if isinstance(sequence_id, str) is not (control.dtype == STRING):
            raise InvalidCall(
                f"{where}: input {control.alias!r} of the model, which gets the correlation ID, is of type"
                f" {'string' if control.dtype == STRING else control.dtype}"
            )
        if isinstance(sequence_id, int) and not _fits(sequence_id, control.dtype):
            raise InvalidCall(
                f"{where}: the correlation ID does not fit into input {control.alias!r} of the model, which"
                f" is of type {control.dtype}"
            )


def _value(control: ControlTensor, call: SequenceCall) -> Any:
    """What a control tensor says of a call."""
    if control.kind is Control.CORRELATION_ID:
        if isinstance(call.sequence_id, str):
            return call.sequence_id.encode()
        return np.array(call.sequence_id % 2**64, np.uint64).astype(control.dtype)
    says = {Control.START: call.start, Control.END: call.end, Control.READY: True}[control.kind]
    return control.true if says else control.false


def _fits(sequence_id: int, dtype: np.dtype[Any]) -> bool:
    """An id of 64 bits fits into 64, signed or not: on the wire it is signed, and means an unsigned one."""
    if dtype.itemsize == 8:
        return -(2**63) <= sequence_id < 2**64
    limits = np.iinfo(dtype)
    return bool(limits.min <= sequence_id <= limits.max)


def _states(call: SequenceCall) -> Sequence[Array]:
    assert call.sequence is not None
    return call.sequence.states


def _row(call: SequenceCall) -> int:
    assert call.sequence is not None
    return call.sequence.place


def _nothing(dtype: np.dtype[Any]) -> Any:
    return b"" if dtype == STRING else 0


def _own(array: Array) -> Array:
    """A state outlives its run: it must not keep the whole batch that it is a row of."""
    whole = array.base
    return array.copy() if isinstance(whole, np.ndarray) and whole.nbytes > array.nbytes else array
