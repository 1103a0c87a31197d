"""The inputs and outputs of a configuration, completed from the SavedModel's signature, or refused.

Their names, types and shapes become those that calls must have; a tensor that contradicts the signature is
a LoadError with the tensor and both sides of it in the text.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from hotgraph_protos.model_config import (
    ModelConfig,
    ModelInput,
    ModelOutput,
)
from hotgraph_server import text_proto
from hotgraph_server.errors import LoadError
from hotgraph_server.model_config import datatypes, own_files
from hotgraph_server.models import reshaping
from hotgraph_server.models.contract import TensorContract
from hotgraph_server.sequences.rules import SequenceRules
from hotgraph_server.signatures import Signature, TensorSpec

_LARGEST_LABELS = 64 * 1024 * 1024


def model_dims(tensor: ModelInput | ModelOutput) -> Sequence[int]:
    """The shape on the model's side that a configuration says a tensor has."""
    return tensor.reshape.shape if tensor.HasField("reshape") else tensor.dims


def dims_fit(dims: Sequence[int], shape: Sequence[int | None]) -> bool:
    """May a tensor of the SavedModel's shape be said to have these dims? Where the SavedModel has a size, it
    must be that one; where it has none, the configuration may have one."""
    return len(dims) == len(shape) and all(
        size is None or size == said for said, size in zip(dims, shape, strict=True)
    )


def tensors_of(
    own: ModelConfig,
    signature: Signature,
    rules: SequenceRules | None,
    batched: bool,
    where: str,
    files: own_files.OwnFiles,
) -> tuple[list[tuple[ModelInput, TensorContract]], list[tuple[ModelOutput, TensorContract]]]:
    """The inputs that clients send and the outputs that they get, in the order of the configuration.

    Args:
        own: the configuration; one that names no inputs, or no outputs, means those of the signature.
        rules: what the server fills in for sequences is not among them.
        batched: is dimension 0 the batch's, and not in the dims?
        where: names the version in errors.
        files: where labels of classes lie.

    Raises:
        LoadError: a tensor contradicts the signature, or is missing.
    """
    hidden_in = rules.hidden_inputs if rules is not None else frozenset()
    hidden_out = rules.hidden_outputs if rules is not None else frozenset()
    _check_names("input", own.input, signature.inputs_by_alias, where)
    _check_names("output", own.output, signature.outputs_by_alias, where)
    sent = list(own.input) or [
        ModelInput(name=spec.alias) for spec in signature.inputs if spec.alias not in hidden_in
    ]
    given = list(own.output) or [
        ModelOutput(name=spec.alias) for spec in signature.outputs if spec.alias not in hidden_out
    ]
    left_out = signature.inputs_by_alias.keys() - {tensor.name for tensor in sent} - hidden_in
    missing = sorted(left_out - signature.defaults.keys())
    if missing:
        raise LoadError(
            where,
            f"the configuration has {len(sent)} inputs, but the SavedModel's signature {signature.name!r}"
            f" needs {', '.join(missing)} too",
        )
    inputs = []
    for tensor in sent:
        message, dims = _completed(tensor, signature.inputs_by_alias[tensor.name], batched, own, where)
        optional = message.name in signature.defaults
        if message.optional and not optional:
            raise LoadError(
                where,
                f"input '{message.name}' is optional in the configuration, but the SavedModel has no value"
                " for it where a call leaves it out",
            )
        message.optional = optional
        inputs.append((message, TensorContract(dims, _reshape(message), optional)))
    outputs = []
    for out in given:
        message, dims = _completed(out, signature.outputs_by_alias[out.name], batched, own, where)
        outputs.append((message, TensorContract(dims, _reshape(message), labels=_labels(message, files))))
    return inputs, outputs


def _check_names(
    kind: str,
    tensors: Iterable[ModelInput] | Iterable[ModelOutput],
    known: Mapping[str, TensorSpec],
    where: str,
) -> None:
    for tensor in tensors:
        if tensor.name not in known:
            raise LoadError(
                where,
                f"unexpected inference {kind} '{tensor.name}' in the configuration, allowed {kind}s are:"
                f" {listed(known)}",
            )


def _completed(
    tensor: Any, spec: TensorSpec, batched: bool, own: ModelConfig, where: str
) -> tuple[Any, tuple[int, ...] | None]:
    """A tensor of the configuration with all that it leaves out, and its dims; see TensorContract."""
    where = f"{where}: tensor '{tensor.name}'"
    message = type(tensor)()
    message.CopyFrom(tensor)
    message.data_type = datatypes.number_of(spec.dtype)
    if tensor.data_type not in (0, message.data_type):
        raise LoadError(
            where,
            f"the model expects data-type {type_of(spec)} but the model configuration specifies data-type"
            f" {datatypes.name_of(tensor.data_type)}",
        )
    if spec.shape is None:
        # Only the configuration knows, if it says so.
        if not tensor.dims and not tensor.HasField("reshape"):
            message.dims.append(reshaping.FREE)
            return message, None
        return message, tuple(tensor.dims)
    shape = spec.shape
    if batched:
        if not spec.free_rows:
            raise LoadError(
                where,
                f"max_batch_size is {own.max_batch_size}, but the model's shape {_shape(shape)} has no free"
                " first dimension for a batch",
            )
        shape = shape[1:]
    if not tensor.dims and not tensor.HasField("reshape"):
        message.dims.extend(reshaping.FREE if size is None else size for size in shape)
    elif not dims_fit(model_dims(tensor), shape):
        batch = " behind the batch dimension" if batched else ""
        what = "reshape" if tensor.HasField("reshape") else "dims"
        raise LoadError(
            where,
            f"the model expects {len(shape)} dimensions (shape {_shape(shape)}){batch} but the model"
            f" configuration specifies {what} {list(model_dims(tensor))}",
        )
    return message, tuple(message.dims)


def _reshape(message: ModelInput | ModelOutput) -> tuple[int, ...] | None:
    return tuple(message.reshape.shape) if message.HasField("reshape") else None


def _labels(message: ModelOutput, files: own_files.OwnFiles) -> tuple[str, ...]:
    """The lines of the file that names an output's classes."""
    if not message.label_filename:
        return ()
    field = f"label_filename of output '{message.name}'"
    content = files.read(message.label_filename, field, _LARGEST_LABELS)
    text = text_proto.decoded(content, f"{field}: {message.label_filename!r}")
    # Only what ends a line in a file: a label may hold any other kind of space.
    return tuple(text.removesuffix("\n").split("\n")) if text else ()


def type_of(spec: TensorSpec) -> str:
    """What a configuration calls a tensor's dtype, for errors."""
    name = datatypes.name_of(datatypes.number_of(spec.dtype))
    return name if name != datatypes.INVALID else f"{spec.dtype} (which no configuration can name)"


def _shape(shape: Sequence[int | None]) -> str:
    return str([reshaping.FREE if size is None else size for size in shape])


def listed(known: Iterable[str]) -> str:
    """Names, for errors."""
    return ", ".join(known) or "none"
