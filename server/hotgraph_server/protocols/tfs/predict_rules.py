"""What a PredictRequest asks of a signature, by TensorFlow Serving's rules and in its words. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from hotgraph_server.errors import InvalidCall, WrongMethod, WrongSignature
from hotgraph_server.protocols.input_shapes import check_shape
from hotgraph_server.protocols.tfs import classify, decode, regress
from hotgraph_server.signatures import DEFAULT_SIGNATURE, Signature
from hotgraph_server.tensors import Array, tensorflow_name

_METHOD_NAMES = ("tensorflow/serving/predict", classify.METHOD_NAME, regress.METHOD_NAME)


def signature_of(
    signatures: Mapping[str, Signature],
    unusable: Mapping[str, str],
    name: str,
    *,
    check_method_name: bool = False,
) -> Signature:
    """The signature of that name.

    Args:
        signatures: those of a version that can be called, by name.
        unusable: why the others cannot be called, by name.
        name: what the call asks for; empty: ``serving_default``.
        check_method_name: shall its `method_name` be one that is known?

    Raises:
        WrongSignature: there is none, or it cannot be called.
        WrongMethod: its `method_name` counts, and is another.
    """
    name = name or DEFAULT_SIGNATURE
    signature = signatures.get(name)
    if signature is None:
        raise WrongSignature(f'Serving signature key "{name}" not found.{why_unusable(unusable, name)}')
    if check_method_name and signature.method_name not in _METHOD_NAMES:
        raise WrongMethod(
            f"Expected prediction signature method_name to be one of {{{', '.join(_METHOD_NAMES)}}}. "
            f"Was: {signature.method_name}"
        )
    return signature


def why_unusable(unusable: Mapping[str, str], name: str) -> str:
    """What to add to an error where a signature is there, but cannot be called; else nothing."""
    return f" It cannot be called: {unusable[name]}." if name in unusable else ""


def inputs_of(
    request: Any,
    large: Mapping[str, decode.LargeValues],
    signature: Signature,
    *,
    strict_shapes: bool = False,
) -> Sequence[Array]:
    """The arrays in the signature's order, those left out by their defaults.

    Shapes are the graph's concern on this protocol, unless the settings say otherwise: TensorFlow Serving
    takes what the graph takes, whatever the signature says.

    Args:
        request: a PredictRequest.
        large: what was left out of it, by alias (decode.read_request).
        signature: what is called.
        strict_shapes: see protocols/input_shapes.py.

    Raises:
        InvalidCall: inputs too many, missing, unreadable, of another dtype, or of a shape that is refused.
    """
    sent, known, defaults = request.inputs, signature.inputs_by_alias, signature.defaults
    if len(sent) > len(known) or (len(sent) < len(known) and not defaults):
        extra = ",".join(sorted(set(sent) - set(known)))
        missing = ",".join(sorted(set(known) - set(sent)))
        raise InvalidCall(
            f"input size does not match signature: {len(sent)}!={len(known)} "
            f"len({{{','.join(sorted(sent))}}}) != len({{{','.join(sorted(known))}}}). "
            f"Sent extra: {{{extra}}}. Missing but required: {{{missing}}}."
        )
    for alias in sent:
        if alias not in known and defaults:
            raise InvalidCall(
                f"Inputs contains invalid name. Used request inputs: {{{','.join(sorted(known))}}}, "
                f"request input: {{{','.join(sorted(sent))}}}"
            )
    arrays: list[Array] = []
    for spec in signature.inputs:
        if spec.alias in sent:
            array = decode.decode_tensor(spec.alias, sent[spec.alias], large.get(spec.alias))
        elif spec.alias in defaults:
            array = defaults[spec.alias]
        else:
            raise InvalidCall(
                f"Signature input alias: {spec.alias}(feed name: {spec.tensor}) not found in request and no "
                f"default value provided. Inputs expected to be in the request {{{','.join(sorted(sent))}}}, "
                f"or default input alias set: {','.join(sorted(defaults))}"
            )
        if array.dtype != spec.dtype:
            raise InvalidCall(
                f"Type mismatch for input {spec.alias}: actual {tensorflow_name(array.dtype)} "
                f"vs. expect {tensorflow_name(spec.dtype)}"
            )
        if strict_shapes and spec.alias in sent:
            check_shape(spec, array)
        arrays.append(array)
    return arrays


def outputs_of(output_filter: Sequence[str], signature: Signature) -> tuple[str, ...]:
    """The outputs that a call asks for; without a filter all.

    Raises:
        InvalidCall: the filter names one that is not there, or one twice.
    """
    if not output_filter:
        return signature.output_aliases
    known = signature.outputs_by_alias
    for index, alias in enumerate(output_filter):
        if alias not in known:
            raise InvalidCall(
                f"output tensor alias not found in signature: {alias} "
                f"Outputs expected to be in the set {{{','.join(sorted(known))}}}."
            )
        if alias in output_filter[:index]:
            raise InvalidCall(f"duplicate output tensor alias: {alias}")
    return tuple(output_filter)
