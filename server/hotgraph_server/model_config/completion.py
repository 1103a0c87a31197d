"""The contract of a version: what its configuration says and what its SavedModel is, brought together.

What it promises. Where a configuration says nothing, the SavedModel does, and the completed configuration
is one that could have been written by hand: its names, types and shapes are those that calls must have.
Where the two contradict each other the version is refused, with the tensor and both sides of it in the text.

Dimension 0 is the batch's, and missing in ``dims``, in three cases: ``max_batch_size`` is above 0; the
configuration has no dims, and calls of the signature share batches; or it has dims that leave a free
dimension 0 out, which Triton too takes for a batch dimension that was forgotten. Otherwise ``dims`` are
whole shapes.
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
from hotgraph_server.model_config import datatypes, own_files, parameters
from hotgraph_server.model_config.completed_config import complete
from hotgraph_server.model_config.sequence_batching import rules_of
from hotgraph_server.models import reshaping
from hotgraph_server.models.contract import Contract, TensorContract
from hotgraph_server.sequences.rules import SequenceRules
from hotgraph_server.settings import ModelSettings
from hotgraph_server.signatures import Signature, TensorSpec, default_signature

_LARGEST_LABELS = 64 * 1024 * 1024


def contract_of(
    settings: ModelSettings,
    where: str,
    signatures: Mapping[str, Signature],
    unusable: Mapping[str, str],
    alone: Mapping[str, str | None],
) -> Contract:
    """The contract of a version with these signatures.

    Args:
        settings: of the model; `config` among them.
        where: names the version in errors.
        signatures: those that can be called, by name.
        unusable: why the others cannot, by name.
        alone: why a signature's calls run alone; None where they share batches.

    Raises:
        StartError: its configuration contradicts the SavedModel, or names files that are not as they must be.
    """
    own = settings.config if settings.config is not None else ModelConfig()
    signature = _signature(own, where, signatures, unusable)
    files = own_files.OwnFiles(settings.path, settings.folder.linked_files)
    rules = rules_of(own, files, settings.name)
    config = ModelConfig()
    config.CopyFrom(own)
    if signature is None:
        if own.input or own.output or rules is not None:
            raise LoadError(where, f"its configuration names tensors, but there is {_no_default(signatures)}")
        complete(config, settings, batched=False, joined=False)
        return Contract(config, cached=own.response_cache.enable, decoupled=_decoupled(own))
    joined = alone.get(signature.name, "not known") is None
    batched = _is_batched(own, signature, joined=joined)
    if rules is not None:
        _check_hidden(rules, signature, where)
    if own.response_cache.enable and signature.writes:
        raise LoadError(where, "response_cache: its signature may change state, so no answer can be kept")
    inputs, outputs = _tensors(own, signature, rules, batched, where, files)
    del config.input[:], config.output[:]
    config.input.extend(message for message, _ in inputs)
    config.output.extend(message for message, _ in outputs)
    complete(config, settings, batched=batched, joined=joined)
    return Contract(
        config=config,
        signature=signature.name,
        batched=batched,
        max_batch_size=0 if parameters.splits(own) else own.max_batch_size,
        inputs={message.name: tensor for message, tensor in inputs},
        outputs={message.name: tensor for message, tensor in outputs},
        sequence=rules,
        cached=own.response_cache.enable,
        decoupled=_decoupled(own),
    )


def _decoupled(own: ModelConfig) -> bool:
    return own.model_transaction_policy.decoupled


def _signature(
    own: ModelConfig, where: str, signatures: Mapping[str, Signature], unusable: Mapping[str, str]
) -> Signature | None:
    """The signature of calls that name none; None: there is none."""
    wanted = parameters.default_signature(own)
    if wanted is None:
        return default_signature(signatures)
    if wanted in signatures:
        return signatures[wanted]
    why = f"cannot be called: {unusable[wanted]}" if wanted in unusable else "is not there"
    raise LoadError(
        where, f"TF_SIGNATURE_DEF: signature {wanted!r} {why}; there are {', '.join(signatures) or 'none'}"
    )


def _no_default(signatures: Mapping[str, Signature]) -> str:
    return (
        f"no default signature; the parameter TF_SIGNATURE_DEF takes one of {', '.join(signatures)}"
        if signatures
        else "no signature that can be called"
    )


def _is_batched(own: ModelConfig, signature: Signature, *, joined: bool) -> bool:
    if own.max_batch_size:
        return True
    specs = [*signature.inputs, *signature.outputs]
    if not signature.inputs or not all(spec.free_rows for spec in specs):
        return False
    given = [
        (spec, _model_dims(tensor))
        for known, tensors in (
            (signature.inputs_by_alias, own.input),
            (signature.outputs_by_alias, own.output),
        )
        for tensor in tensors
        if (spec := known.get(tensor.name)) is not None and (tensor.dims or tensor.HasField("reshape"))
    ]
    if not given:
        return joined
    return all(_fits(dims, (spec.shape or ())[1:]) for spec, dims in given)


def _model_dims(tensor: ModelInput | ModelOutput) -> Sequence[int]:
    """The shape on the model's side that a configuration says a tensor has."""
    return tensor.reshape.shape if tensor.HasField("reshape") else tensor.dims


def _fits(dims: Sequence[int], shape: Sequence[int | None]) -> bool:
    """May a tensor of the SavedModel's shape be said to have these dims? Where the SavedModel has a size, it
    must be that one; where it has none, the configuration may have one."""
    return len(dims) == len(shape) and all(
        size is None or size == said for said, size in zip(dims, shape, strict=True)
    )


def _check_hidden(rules: SequenceRules, signature: Signature, where: str) -> None:
    """Raises LoadError where what the server fills in for sequences is not there, or of another dtype."""
    wanted = [("input", control.alias, control.dtype) for control in rules.controls]
    wanted += [("input", state.input_alias, state.dtype) for state in rules.states]
    wanted += [("output", state.output_alias, state.dtype) for state in rules.states]
    for kind, alias, dtype in wanted:
        known = signature.inputs_by_alias if kind == "input" else signature.outputs_by_alias
        if alias not in known:
            raise LoadError(
                where, f"sequence_batching: unexpected {kind} '{alias}', the SavedModel has {_names(known)}"
            )
        if known[alias].dtype != dtype:
            raise LoadError(
                where,
                f"sequence_batching: {kind} '{alias}' is {_type(known[alias])} in the SavedModel and"
                f" {datatypes.name_of(datatypes.number_of(dtype))} in the configuration",
            )


def _tensors(
    own: ModelConfig,
    signature: Signature,
    rules: SequenceRules | None,
    batched: bool,
    where: str,
    files: own_files.OwnFiles,
) -> tuple[list[tuple[ModelInput, TensorContract]], list[tuple[ModelOutput, TensorContract]]]:
    """The inputs that clients send and the outputs that they get, in the order of the configuration."""
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
                f" {_names(known)}",
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
            f"the model expects data-type {_type(spec)} but the model configuration specifies data-type"
            f" {datatypes.name_of(tensor.data_type)}",
        )
    if spec.shape is None:
        # Only the configuration knows, or nobody does.
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
    elif not _fits(_model_dims(tensor), shape):
        batch = " behind the batch dimension" if batched else ""
        what = "reshape" if tensor.HasField("reshape") else "dims"
        raise LoadError(
            where,
            f"the model expects {len(shape)} dimensions (shape {_shape(shape)}){batch} but the model"
            f" configuration specifies {what} {list(_model_dims(tensor))}",
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


def _type(spec: TensorSpec) -> str:
    name = datatypes.name_of(datatypes.number_of(spec.dtype))
    return name if name != datatypes.INVALID else f"{spec.dtype} (which no configuration can name)"


def _shape(shape: Sequence[int | None]) -> str:
    return str([reshaping.FREE if size is None else size for size in shape])


def _names(known: Iterable[str]) -> str:
    return ", ".join(known) or "none"
