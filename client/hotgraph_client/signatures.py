"""What a signature of a model takes by its metadata, and errors that list what there is. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from difflib import get_close_matches

from .descriptions import ModelMetadata, TensorMetadata
from .errors import InvalidCall, NotFound

_DEFAULT_SIGNATURE = "serving_default"


def inputs_of(
    metadata: ModelMetadata, signature: str | None, model: str
) -> tuple[TensorMetadata, ...] | None:
    """What a signature takes; None where the server does not describe it.

    Args:
        signature: None for the default one.

    Raises:
        NotFound: there is no such signature.
    """
    default = metadata.properties.get("default_signature")
    if not signature or signature == default:
        # A server that has anything to say of signatures, and no default one to name, has none.
        if default is not None or "signatures" not in metadata.properties:
            return metadata.inputs
        if not metadata.signatures:
            raise NotFound(f"'{model}' has no signature that can be called", model=model)
        found = ", ".join(sorted(metadata.signatures))
        raise NotFound(f"'{model}' has no default signature: choose one of {found}", model=model)
    if signature in metadata.signatures:
        return metadata.signatures[signature]
    if metadata.signatures:
        found = ", ".join(sorted(metadata.signatures))
        raise NotFound(
            f"'{model}' has no signature '{signature}'; there are {found}"
            f"{did_you_mean(signature, metadata.signatures)}",
            model=model,
        )
    return metadata.inputs if signature == _DEFAULT_SIGNATURE else None


def listed(tensors: Sequence[TensorMetadata]) -> str:
    """Tensors for an error's text."""
    return ", ".join(map(str, tensors)) or "none"


def not_an_input(name: str, known: Sequence[TensorMetadata], model: str) -> InvalidCall:
    """The error of a name that is no input's."""
    meant = did_you_mean(name, [tensor.name for tensor in known])
    return InvalidCall(f"no input '{name}'; the inputs of '{model}': {listed(known)}{meant}", model=model)


def undescribed(model: str) -> InvalidCall:
    """The error of values that need names or datatypes which the server does not tell."""
    return InvalidCall(
        f"the server of '{model}' describes its default signature only, so names and datatypes of another "
        "cannot be looked up: give a dict of input name to numpy array",
        model=model,
    )


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """`; did you mean 'x'?`, or nothing where no name comes near."""
    found = get_close_matches(name, list(known), 1, 0.6)
    return f"; did you mean '{found[0]}'?" if found else ""
