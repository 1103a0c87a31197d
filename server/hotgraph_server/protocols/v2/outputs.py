"""What a request wants of a call's outputs, and how they become that. Pure, but for shared memory."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from hotgraph_protos import tensors as wire
from hotgraph_protos.open_inference import ModelInferRequest
from hotgraph_server.errors import InvalidCall, RunFailed, Unsupported
from hotgraph_server.models import reshaping
from hotgraph_server.models.contract import Contract, TensorContract
from hotgraph_server.protocols.v2.classification import can_be_classified, classify
from hotgraph_server.protocols.v2.regions import OFF, Regions, Room
from hotgraph_server.protocols.v2.tensor_parameters import SharedMemory, classes_of, shared_memory_of
from hotgraph_server.signatures import Signature, TensorSpec
from hotgraph_server.tensors import STRING, Array


class Treatment(NamedTuple):
    """What becomes of one output on its way to the caller.

    Attributes:
        rules: the contract's; they may have another shape for callers, and labels for classes.
        batched: is dimension 0 the batch's?
        classes: so many of the largest values, as strings, in place of all values; 0: the values.
        place: where in shared memory it shall lie; None: in the message.
        room: that place.
    """

    rules: TensorContract
    batched: bool
    classes: int = 0
    place: SharedMemory | None = None
    room: Room | None = None


class Wanted(NamedTuple):
    """The outputs of an answer, in its order.

    Attributes:
        aliases: their names.
        specs: as the graph gives them.
        treatments: for each of them; None: all are sent as the graph gives them.
    """

    aliases: tuple[str, ...]
    specs: tuple[TensorSpec, ...]
    treatments: tuple[Treatment, ...] | None

    @property
    def in_shared_memory(self) -> bool:
        """Does any of them go to shared memory?"""
        return any(treatment.place is not None for treatment in self.treatments or ())


_AS_IT_IS = TensorContract(None)
_INTERNAL = 13  # TensorFlow's code, and gRPC's


def wanted_outputs(
    request: ModelInferRequest,
    signature: Signature,
    model: str,
    contract: Contract | None = None,
    regions: Regions | None = None,
) -> Wanted:
    """What the answer shall hold; none asked for means all.

    Args:
        contract: what the model promises to calls of this signature; None: what the signature says.
        regions: shared memory; None: outputs may not go there.

    Raises:
        InvalidCall: an output is not the signature's, or asked for twice, or cannot be had in the way asked.
        Unsupported: an output shall go to shared memory and may not.
        CallError: shared memory cannot be used, and why.
    """
    if not request.outputs:
        aliases = signature.output_aliases if contract is None else tuple(contract.outputs)
        specs = tuple([signature.outputs_by_alias[alias] for alias in aliases])
        return Wanted(aliases, specs, _only_if_needed([_treatment(spec, contract) for spec in specs]))
    # A dict, since a request may name as many as it likes.
    wanted: dict[str, Treatment] = {}
    for output in request.outputs:
        spec = signature.outputs_by_alias.get(output.name)
        if spec is None:
            raise InvalidCall(f"unexpected inference output '{output.name}' for model '{model}'")
        if output.name in wanted:
            raise InvalidCall(f"output '{output.name}' already exists in request")
        treatment = _treatment(spec, contract)
        if output.parameters:
            treatment = _asked(output, spec, treatment, model, regions)
        wanted[output.name] = treatment
    return Wanted(
        tuple(wanted),
        tuple([signature.outputs_by_alias[alias] for alias in wanted]),
        _only_if_needed(list(wanted.values())),
    )


def treated(wanted: Wanted, arrays: Sequence[Array]) -> tuple[list[TensorSpec], list[Array], dict[str, Any]]:
    """Outputs as the caller wants them; what goes to shared memory is written there.

    Args:
        wanted: with treatments.
        arrays: as the graph gives them.

    Returns:
        The outputs' names and dtypes, their arrays, and by name where those are that are not sent.

    Raises:
        CallError: shared memory cannot be written, and why.
    """
    assert wanted.treatments is not None
    specs: list[TensorSpec] = []
    treated: list[Array] = []
    elsewhere: dict[str, SharedMemory] = {}
    for spec, array, treatment in zip(wanted.specs, arrays, wanted.treatments, strict=True):
        array = _as_callers_see_it(spec, array, treatment)
        if treatment.classes:
            # A tensor that begins with a free dimension has rows, whether they are the batch's or not; but a
            # vector of free length is one row.
            rows = treatment.batched or (spec.free_rows and array.ndim > 1)
            array = classify(array, treatment.classes, treatment.rules.labels, batched=rows)
            spec = TensorSpec(spec.alias, spec.tensor, STRING, None)
        if treatment.place is not None and treatment.room is not None:
            contents = wire.raw_view(array)
            treatment.room.write(contents)
            elsewhere[spec.alias] = treatment.place._replace(byte_size=len(contents))
        specs.append(spec)
        treated.append(array)
    return specs, treated, elsewhere


def _as_callers_see_it(spec: TensorSpec, array: Array, treatment: Treatment) -> Array:
    rules = treatment.rules
    if rules.reshape is None or rules.dims is None:
        return array
    try:
        shape = reshaping.reshaped(array.shape, rules.reshape, rules.dims, batched=treatment.batched)
    except ValueError as error:
        raise RunFailed(
            _INTERNAL, f"output '{spec.alias}' is not as its configuration says: {error}"
        ) from None
    return array.reshape(shape)


def _treatment(spec: TensorSpec, contract: Contract | None) -> Treatment:
    if contract is None:
        return Treatment(_AS_IT_IS, batched=False)
    rules = contract.outputs.get(spec.alias, _AS_IT_IS)
    return Treatment(rules, contract.batched)


def _only_if_needed(treatments: list[Treatment]) -> tuple[Treatment, ...] | None:
    if any(one.classes or one.place or one.rules.reshape is not None for one in treatments):
        return tuple(treatments)
    return None


def _asked(
    output: Any, spec: TensorSpec, treatment: Treatment, model: str, regions: Regions | None
) -> Treatment:
    classes = classes_of(output)
    place = shared_memory_of(output)
    if classes and not can_be_classified(spec.dtype):
        datatype = wire.datatype_of(spec.dtype)
        raise InvalidCall(
            f"class result not available for output due to unsupported type: output '{spec.alias}' of model "
            f"'{model}' is {datatype}"
        )
    if place is None:
        return treatment._replace(classes=classes)
    if classes:
        raise InvalidCall(
            f"output '{spec.alias}' of model '{model}' cannot go to shared memory as a classification"
        )
    if regions is None:
        raise Unsupported(f"{OFF}; output '{spec.alias}' for model '{model}' shall lie there")
    return treatment._replace(place=place, room=regions.room(place.region, place.offset, place.byte_size))
