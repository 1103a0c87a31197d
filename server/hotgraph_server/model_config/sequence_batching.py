"""``sequence_batching`` of a model's configuration, as rules of ours. Reads initial states from the model's
folder; everything else is pure."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np

from hotgraph_protos import tensors as wire
from hotgraph_protos.model_config import ModelConfig, ModelSequenceBatching
from hotgraph_server.errors import SettingsError
from hotgraph_server.model_config import datatypes
from hotgraph_server.model_config.own_files import OwnFiles
from hotgraph_server.models import reshaping
from hotgraph_server.sequences.rules import DEFAULT_IDLE_S, Control, ControlTensor, SequenceRules, StateTensor
from hotgraph_server.settings.fields import check
from hotgraph_server.tensors import STRING, Array

STATES_FOLDER = "initial_state"
"""In a model's folder, where files of initial states lie."""

# As much as a sequence may begin with; each one holds a copy.
_LARGEST_STATE = 256 * 1024 * 1024

_KINDS = {
    ModelSequenceBatching.Control.CONTROL_SEQUENCE_START: Control.START,
    ModelSequenceBatching.Control.CONTROL_SEQUENCE_READY: Control.READY,
    ModelSequenceBatching.Control.CONTROL_SEQUENCE_END: Control.END,
    ModelSequenceBatching.Control.CONTROL_SEQUENCE_CORRID: Control.CORRELATION_ID,
}
_FALSE_TRUE: dict[str, Any] = {
    "int32_false_true": np.int32,
    "fp32_false_true": np.float32,
    "bool_false_true": np.bool_,
}
_CORRELATION_IDS = ("TYPE_UINT64", "TYPE_INT64", "TYPE_UINT32", "TYPE_INT32", "TYPE_STRING")


def check_sequences(config: ModelConfig, model: str) -> None:
    """Check what can be checked without the model's folder.

    Raises:
        SettingsError: it cannot be; the text names the field and the model.
    """
    if not config.HasField("sequence_batching"):
        return
    batching = config.sequence_batching
    check(
        not batching.iterative_sequence, f"sequence_batching.iterative_sequence of {model} is not served here"
    )
    controls = list(_controls(batching, model))
    for kind in Control:
        named = [control.alias for control in controls if control.kind is kind]
        check(
            len(named) <= 1,
            f"sequence batching specifies multiple tensors for {kind.value} for {model}: {', '.join(named)}",
        )
    inputs = [control.alias for control in controls] + [state.input_name for state in batching.state]
    outputs = [state.output_name for state in batching.state]
    for names in (inputs, outputs):
        twice = sorted({name for name in names if names.count(name) > 1})
        check(not twice, f"sequence batching uses tensors twice for {model}: {', '.join(twice)}")
    both = sorted(set(inputs) & {tensor.name for tensor in config.input})
    check(not both, f"sequence batching of {model} fills in {', '.join(both)}, which clients send too")
    for index, state in enumerate(batching.state):
        _check_state(state, f"sequence_batching.state[{index}] of {model}")
    oldest, direct = batching.oldest, batching.direct
    check(
        oldest.max_candidate_sequences >= 0,
        f"max_candidate_sequences of {model} must not be negative, got {oldest.max_candidate_sequences}",
    )
    check(
        all(size > 0 for size in oldest.preferred_batch_size),
        f"sequence batching preferred batch size must be positive for {model}",
    )
    # Written so that what is no number fails too.
    check(
        0 <= direct.minimum_slot_utilization <= 1,
        f"sequence batching minimum slot utilization must be in range [0.0, 1.0] for {model}",
    )


def rules_of(config: ModelConfig, files: OwnFiles, model: str) -> SequenceRules | None:
    """The rules of a configuration that has been checked; None: its calls are independent.

    Args:
        config: of the model.
        files: of the model, with those of initial states.
        model: its name, for errors.

    Raises:
        SettingsError: an initial state cannot be read, or is not as it is said to be.
    """
    if not config.HasField("sequence_batching"):
        return None
    batching = config.sequence_batching
    oldest = batching.WhichOneof("strategy_choice") == "oldest"
    strategy = batching.oldest if oldest else batching.direct
    return SequenceRules(
        idle_s=batching.max_sequence_idle_microseconds / 1e6 or DEFAULT_IDLE_S,
        strategy="oldest" if oldest else "direct",
        max_candidates=batching.oldest.max_candidate_sequences,
        controls=tuple(_controls(batching, model)),
        states=tuple(
            _state(state, files, f"sequence_batching.state[{index}] of {model}")
            for index, state in enumerate(batching.state)
        ),
        max_queue_delay_s=strategy.max_queue_delay_microseconds / 1e6,
        minimum_slot_utilization=batching.direct.minimum_slot_utilization,
        preferred_rows=tuple(sorted(set(batching.oldest.preferred_batch_size))),
        preserve_ordering=batching.oldest.preserve_ordering,
    )


def _controls(batching: ModelSequenceBatching, model: str) -> Iterator[ControlTensor]:
    for tensor in batching.control_input:
        check(bool(tensor.name), f"sequence batching must specify 'name' of its control inputs for {model}")
        where = f"sequence batching control input '{tensor.name}' of {model}"
        check(len(tensor.control) == 1, f"{where} needs one control, got {len(tensor.control)}")
        yield _control(tensor.name, tensor.control[0], where)


def _control(alias: str, control: ModelSequenceBatching.Control, where: str) -> ControlTensor:
    kind = _KINDS.get(control.kind)
    if kind is None:
        raise SettingsError(f"{where}: there is no kind {control.kind}")
    pairs = [field for field in _FALSE_TRUE if getattr(control, field)]
    if kind is Control.CORRELATION_ID:
        check(not pairs, f"{where}: a correlation id has no values for false and true")
        dtype = datatypes.dtype_of(control.data_type)
        if dtype is None or datatypes.name_of(control.data_type) not in _CORRELATION_IDS:
            raise SettingsError(
                f"{where}: unexpected data type {datatypes.name_of(control.data_type)} for"
                f" CONTROL_SEQUENCE_CORRID, it must be one of {', '.join(_CORRELATION_IDS)}"
            )
        return ControlTensor(kind, alias, dtype)
    check(
        len(pairs) == 1 and len(getattr(control, pairs[0])) == 2,
        f"{where} must specify one of {', '.join(_FALSE_TRUE)}, with two values",
    )
    dtype = np.dtype(_FALSE_TRUE[pairs[0]])
    false, true = (dtype.type(value) for value in getattr(control, pairs[0]))
    return ControlTensor(kind, alias, dtype, false, true)


def _check_state(state: ModelSequenceBatching.State, where: str) -> None:
    check(bool(state.input_name) and bool(state.output_name), f"{where} needs input_name and output_name")
    check(datatypes.dtype_of(state.data_type) is not None, f"{where} needs a data_type")
    check(
        all(size >= 1 or size == reshaping.FREE for size in state.dims), f"{where}: dims must be >= 1 or -1"
    )
    check(len(state.initial_state) <= 1, f"{where} may have one initial_state")
    for initial in state.initial_state:
        check(
            initial.WhichOneof("state_data") is not None,
            f"{where}: initial_state expects zero_data or data_file",
        )
        check(
            initial.data_type in (0, state.data_type),
            f"{where}: initial_state has another data_type than the state",
        )
        check(
            reshaping.matches(initial.dims, state.dims) and all(size >= 1 for size in initial.dims),
            f"{where}: dims {list(initial.dims)} of initial_state are not those of the state,"
            f" {list(state.dims)}, with a size for each -1",
        )


def _state(state: ModelSequenceBatching.State, files: OwnFiles, where: str) -> StateTensor:
    dtype = datatypes.dtype_of(state.data_type)
    assert dtype is not None, "checked"
    initial = next(iter(state.initial_state), None)
    return StateTensor(
        state.input_name,
        state.output_name,
        dtype,
        tuple(state.dims),
        None if initial is None else _initial(initial, dtype, files, where),
    )


def _initial(
    initial: ModelSequenceBatching.InitialState, dtype: np.dtype[Any], files: OwnFiles, where: str
) -> Array:
    shape = tuple(initial.dims)
    if math.prod(shape) * dtype.itemsize > _LARGEST_STATE:
        raise SettingsError(f"{where}: initial_state is larger than {_LARGEST_STATE} bytes")
    if initial.WhichOneof("state_data") == "zero_data":
        return np.full(shape, b"", object) if dtype == STRING else np.zeros(shape, dtype)
    name = f"{STATES_FOLDER}/{initial.data_file}"
    content = files.read(name, where, _LARGEST_STATE)
    try:
        return wire.decode_raw(wire.datatype_of(dtype) or "", shape, content)
    except ValueError as error:
        raise SettingsError(f"{where}: {name}: {error}") from error
