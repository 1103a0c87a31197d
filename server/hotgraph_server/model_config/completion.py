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

from collections.abc import Mapping

from hotgraph_protos.model_config import (
    ModelConfig,
)
from hotgraph_server.errors import LoadError
from hotgraph_server.model_config import datatypes, own_files, parameters
from hotgraph_server.model_config.completed_config import complete
from hotgraph_server.model_config.completed_tensors import dims_fit, listed, model_dims, tensors_of, type_of
from hotgraph_server.model_config.sequence_batching import rules_of
from hotgraph_server.models.contract import Contract
from hotgraph_server.sequences.rules import SequenceRules
from hotgraph_server.settings import ModelSettings
from hotgraph_server.signatures import Signature, default_signature


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
    inputs, outputs = tensors_of(own, signature, rules, batched, where, files)
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
        (spec, model_dims(tensor))
        for known, tensors in (
            (signature.inputs_by_alias, own.input),
            (signature.outputs_by_alias, own.output),
        )
        for tensor in tensors
        if (spec := known.get(tensor.name)) is not None and (tensor.dims or tensor.HasField("reshape"))
    ]
    if not given:
        return joined
    return all(dims_fit(dims, (spec.shape or ())[1:]) for spec, dims in given)


def _check_hidden(rules: SequenceRules, signature: Signature, where: str) -> None:
    """Raises LoadError where what the server fills in for sequences is not there, or of another dtype."""
    wanted = [("input", control.alias, control.dtype) for control in rules.controls]
    wanted += [("input", state.input_alias, state.dtype) for state in rules.states]
    wanted += [("output", state.output_alias, state.dtype) for state in rules.states]
    for kind, alias, dtype in wanted:
        known = signature.inputs_by_alias if kind == "input" else signature.outputs_by_alias
        if alias not in known:
            raise LoadError(
                where, f"sequence_batching: unexpected {kind} '{alias}', the SavedModel has {listed(known)}"
            )
        if known[alias].dtype != dtype:
            raise LoadError(
                where,
                f"sequence_batching: {kind} '{alias}' is {type_of(known[alias])} in the SavedModel and"
                f" {datatypes.name_of(datatypes.number_of(dtype))} in the configuration",
            )
