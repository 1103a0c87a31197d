"""`hotgraph models`: what a server serves, and what it takes and gives."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from typing import Any, NamedTuple

import grpc

from . import protocol
from .access_flags import add_access_arguments, add_address_argument, add_timeout_argument, key_of, tls_of
from .client import Client
from .descriptions import ModelMetadata, ServedModel, ServedVersion, TensorMetadata
from .errors import AccessDenied, HotgraphError, InvalidCall, NotFound, TooLate, Unreachable
from .next_steps import next_step
from .signatures import did_you_mean

DESCRIPTION = """\
List the models of a server: versions and their states, inputs and outputs of the default signature (of each,
where there is no default one). A dimension of -1 may have any size.
"""
EXAMPLES = """\
examples:
  hotgraph models 127.0.0.1:8500
  hotgraph models 127.0.0.1:8500 flowers           one model
  hotgraph models http://127.0.0.1:8502 --json     over HTTP, for a program
  hotgraph models tf-serving:8500 flowers          a server that keeps no list, by name

Servers of the Open Inference Protocol that know a repository index (hotgraph, Triton) list what they have.
TensorFlow Serving keeps no list: there, name the models.
"""

# Lines of what a server says of a model, as one line of a table.
_MOST_REASON = 100


class Shown(NamedTuple):
    """A model as it is shown.

    Attributes:
        signature: whose inputs and outputs these are; empty: the server has no word for it.
        remark: why there are no inputs and outputs; empty: there are.
    """

    model: ServedModel
    signature: str = ""
    inputs: tuple[TensorMetadata, ...] = ()
    outputs: tuple[TensorMetadata, ...] = ()
    remark: str = ""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Give `parser` the arguments of the command, its description and its examples."""
    parser.description = DESCRIPTION
    parser.epilog = EXAMPLES
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    add_address_argument(parser)
    parser.add_argument("models", metavar="MODEL", nargs="*", help="these models; default: all")
    parser.add_argument("--json", action="store_true", help="as a list of JSON objects, a model each")
    add_timeout_argument(parser, 10.0, "seconds to wait for each answer")
    add_access_arguments(parser)


def run(arguments: argparse.Namespace) -> int:
    """List what `arguments` ask for; the exit status.

    0: listed. 1: the server does not answer, or has no such model. 2: the arguments make no sense.
    """
    return show(arguments, arguments.models, in_json=arguments.json, command="models")


def show(arguments: argparse.Namespace, names: Sequence[str], *, in_json: bool, command: str) -> int:
    """Print the models of a server; the exit status, as `run`.

    Args:
        arguments: the address, --timeout-s and the flags of access.
        names: of models; none: all.
        command: whose name errors begin with.
    """
    try:
        client = Client(
            arguments.address,
            timeout_s=arguments.timeout_s,
            tls=tls_of(arguments),
            key=key_of(arguments.key_file),
        )
    except (ValueError, OSError) as error:
        return _fail(command, error, 2)
    with client:
        try:
            found = _found(client, arguments, names)
        except HotgraphError as error:
            told = "" if "hotgraph models" in error.details else next_step(error)
            return _fail(command, f"{error}{told}", 1)
        except ValueError as error:
            return _fail(command, error, 1)
    if in_json:
        print(json.dumps([as_object(one) for one in found], indent=2, ensure_ascii=False))
    else:
        print("\n".join(table(found)))
    return 0


def table(found: Sequence[Shown]) -> list[str]:
    """The lines of a table: a model each, and more lines where it has several tensors or versions."""
    if not found:
        return ["no model is served"]
    rows = [("MODEL", "VERSION", "STATE", "INPUTS", "OUTPUTS")]
    for one in found:
        versions = one.model.versions or (ServedVersion("", ""),)
        inputs = [*map(str, one.inputs)] or [one.remark[:_MOST_REASON] or "none"]
        if one.signature and one.remark == "" and one.signature != "serving_default":
            inputs[0] = f"{one.signature}: {inputs[0]}"
        columns = (
            [one.model.name],
            [version.version or "-" for version in versions],
            [_state(version) for version in versions],
            inputs,
            [*map(str, one.outputs)],
        )
        for index in range(max(map(len, columns))):
            first, *rest = (column[index] if index < len(column) else "" for column in columns)
            rows.append((first, rest[0], rest[1], rest[2], rest[3]))
    widths = [max(len(row[column]) for row in rows) for column in range(5)]
    return [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    ]


def as_object(one: Shown) -> dict[str, Any]:
    """A model for --json."""
    return {
        "name": one.model.name,
        "versions": [
            {"version": version.version, "state": version.state, "reason": version.reason}
            for version in one.model.versions
        ],
        "signature": one.signature,
        "inputs": [_tensor(tensor) for tensor in one.inputs],
        "outputs": [_tensor(tensor) for tensor in one.outputs],
        "remark": one.remark,
    }


def _found(client: Client, arguments: argparse.Namespace, names: Sequence[str]) -> list[Shown]:
    try:
        listed = {model.name: model for model in client.models()}
    except InvalidCall as error:
        if not names:
            raise InvalidCall(
                f"{error.details}: hotgraph models {arguments.address} MODEL",
                code=error.code,
                address=error.address,
            ) from None
        return [shown for name in dict.fromkeys(names) for shown in _unlisted(client, arguments, name)]
    for name in names:
        if name not in listed:
            there = ", ".join(listed) or "none"
            raise NotFound(
                f"no model '{name}' at {arguments.address}; it serves: {there}{did_you_mean(name, listed)}"
            )
    chosen = [listed[name] for name in dict.fromkeys(names)] if names else list(listed.values())
    return [shown for model in chosen for shown in _described(client, model)]


def _described(client: Client, model: ServedModel) -> list[Shown]:
    if not model.is_ready and any(version.state for version in model.versions):
        reasons = "; ".join(dict.fromkeys(version.reason for version in model.versions if version.reason))
        return [Shown(model, remark=" ".join(reasons.split()) or "not ready")]
    try:
        return _by_metadata(client.metadata(model.name), model)
    except (Unreachable, TooLate, AccessDenied):
        raise
    except HotgraphError as error:
        return [Shown(model, remark=" ".join(error.details.split()))]


def _by_metadata(metadata: ModelMetadata, model: ServedModel) -> list[Shown]:
    default = metadata.properties.get("default_signature", "")
    if default or not metadata.signatures:
        return [Shown(model, default, metadata.inputs, metadata.outputs)]
    first, *rest = sorted(metadata.signatures.items())
    others = ServedModel("", (ServedVersion(" ", ""),))
    return [Shown(model, first[0], first[1]), *(Shown(others, name, inputs) for name, inputs in rest)]


def _unlisted(client: Client, arguments: argparse.Namespace, name: str) -> list[Shown]:
    """A model of a server that keeps no list, by its metadata in either protocol."""
    try:
        metadata = client.metadata(name)
    except (InvalidCall, NotFound) as error:
        if error.code not in (grpc.StatusCode.UNIMPLEMENTED, grpc.StatusCode.NOT_FOUND):
            raise
        return [_of_tensorflow_serving(arguments, name)]
    versions = tuple(ServedVersion(version, "") for version in metadata.versions)
    return _by_metadata(metadata, ServedModel(name, versions))


def _of_tensorflow_serving(arguments: argparse.Namespace, name: str) -> Shown:
    """Raises ValueError: it cannot be asked."""
    from .loadtest.dialects.description import TargetError
    from .loadtest.dialects.opening import SERVING_NAME, open_dialect
    from .loadtest.target import destinations

    headers = protocol.checked_headers(None, key_of(arguments.key_file))
    (destination,) = destinations(arguments.address, tls=tls_of(arguments), headers=headers)
    try:
        told = open_dialect(
            destination, name, protocol=SERVING_NAME, timeout_s=arguments.timeout_s
        ).description
    except TargetError as error:
        raise ValueError(str(error)) from None
    model = ServedModel(name, (ServedVersion(told.version, ""),))
    return Shown(model, told.signature, told.inputs, told.outputs)


def _state(version: ServedVersion) -> str:
    return version.state or ("" if version.version == " " else "-")


def _tensor(tensor: TensorMetadata) -> dict[str, Any]:
    return {"name": tensor.name, "datatype": tensor.datatype, "shape": list(tensor.shape)}


def _fail(command: str, error: object, status: int) -> int:
    print(f"hotgraph {command}:", " ".join(str(error).split()), file=sys.stderr)
    return status
