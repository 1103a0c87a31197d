"""Live versions to plain descriptions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from hotgraph_protos import tensors as wire
from hotgraph_server.models.contract import Contract
from hotgraph_server.models.reshaping import reshaped
from hotgraph_server.models.version import Version
from hotgraph_server.protocols.v2 import checks
from hotgraph_server.rest.openapi import v1, v2
from hotgraph_server.rest.openapi.description import Form, SignatureDescription, Tensor, VersionDescription
from hotgraph_server.rest.openapi.examples import example_inputs
from hotgraph_server.signatures import DEFAULT_SIGNATURE, Shape, Signature, TensorSpec
from hotgraph_server.tensors import Array

MAX_REASON = 300
"""Characters of why a signature cannot be called."""


def describe(version: Version) -> VersionDescription:
    """What the document says of a live version."""
    return VersionDescription(
        version.name,
        version.number,
        tuple(_signature(version, signature) for signature in version.signatures.values()),
        version.contract.sequence is not None,
        {name: reason[:MAX_REASON] for name, reason in version.unusable.items()},
    )


def _signature(version: Version, signature: Signature) -> SignatureDescription:
    name = signature.name
    contract = version.contract if version.contract.signature == name else None
    found = example_inputs(signature, version.generated.get(name))
    without = found if isinstance(found, str) else ""
    arrays = None if isinstance(found, str) else dict(zip(signature.inputs_by_alias, found, strict=True))
    default = version.default_signature
    is_default = default is not None and default.name == name
    return SignatureDescription(
        name,
        _v1(signature, arrays, without, version.unbatched_reasons.get(name) is None),
        _v2(signature, contract, arrays, without, is_default=is_default),
        name == DEFAULT_SIGNATURE,
        is_default,
        tuple(_notes(version, signature)),
    )


def _notes(version: Version, signature: Signature) -> Sequence[str]:
    notes = []
    if signature.writes:
        notes.append("A call changes the state that the model keeps.")
    elif signature.name not in version.generated:
        notes.append("The example has not been tried: the model could not be run with such input before.")
    if signature.python_call:
        notes.append(f"A run that comes to {signature.python_call} fails: its Python function is not here.")
    return notes


def _v1(signature: Signature, arrays: Mapping[str, Array] | None, without: str, joined: bool) -> Form:
    inputs = tuple(_tensor(signature, spec, spec.shape) for spec in signature.inputs)
    outputs = tuple(_tensor(signature, spec, spec.shape) for spec in signature.outputs)
    refusal = v1.why_not(inputs, outputs)
    example = None
    if arrays is not None and not refusal:
        tensors = (*signature.inputs, *signature.outputs)
        # Where calls share runs, what is called rows is known to be rows.
        rows = joined and all(spec.free_rows for spec in tensors)
        example = v1.example(_named(signature.name, DEFAULT_SIGNATURE), arrays, rows=rows)
    return Form(inputs, outputs, example, without, refusal)


def _v2(
    signature: Signature,
    contract: Contract | None,
    arrays: Mapping[str, Array] | None,
    without: str,
    *,
    is_default: bool,
) -> Form:
    sent = checks.sent_inputs(signature, contract)
    inputs = tuple(_tensor(signature, spec, checks.shape_sent(spec, contract)) for spec in sent.values())
    outputs = tuple(
        _tensor(signature, signature.outputs_by_alias[alias], shape)
        for alias, shape in _outputs(signature, contract).items()
    )
    refusal = v2.why_not(inputs, outputs)
    if contract is not None and contract.decoupled:
        refusal = "its calls come in streams, over gRPC"
    example = None
    if arrays is not None and not refusal:
        sequence = contract is not None and contract.sequence is not None
        sent_arrays = {alias: _as_sent(alias, arrays[alias], contract) for alias in sent}
        name = "" if is_default else signature.name
        example = v2.example(name, inputs, outputs, sent_arrays, sequence=sequence)
    return Form(inputs, outputs, example, without, refusal)


def _outputs(signature: Signature, contract: Contract | None) -> Mapping[str, Shape | None]:
    if contract is None:
        return {spec.alias: spec.shape for spec in signature.outputs}
    shapes: dict[str, Shape | None] = {}
    for alias, tensor in contract.outputs.items():
        dims = None
        if tensor.dims is not None:
            dims = tuple(None if size < 0 else size for size in tensor.dims)
        shapes[alias] = (None, *dims) if contract.batched and dims is not None else dims
    return shapes


def _as_sent(alias: str, array: Array, contract: Contract | None) -> Array:
    """An array of the model as a client sends it."""
    rules = None if contract is None else contract.inputs.get(alias)
    if contract is None or rules is None or rules.reshape is None or rules.dims is None:
        return array
    return array.reshape(reshaped(array.shape, rules.reshape, rules.dims, batched=contract.batched))


def _tensor(signature: Signature, spec: TensorSpec, shape: Shape | None) -> Tensor:
    content = signature.contents.get(spec.alias)
    return Tensor(
        spec.alias,
        wire.datatype_of(spec.dtype),
        spec.dtype.name,
        shape,
        "" if content is None else content.name,
        spec.alias in signature.defaults,
    )


def _named(name: str, default: str) -> str:
    return "" if name == default else name
