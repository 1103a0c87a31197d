"""``hotgraph inspect``: what a SavedModel takes, gives, whether it batches, and code to call it."""

from __future__ import annotations

import argparse
import json
import math
import os
import shlex
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from hotgraph_protos import tensors as wire
from hotgraph_server.commands.bootstrap import import_tensorflow
from hotgraph_server.commands.setting_flags import add_flags
from hotgraph_server.model_config import config_file, translation
from hotgraph_server.model_config.shown import shown
from hotgraph_server.model_control.model_factory import in_folder, own_config
from hotgraph_server.repository.layout import default_name, versions_in
from hotgraph_server.row_independence.verdict import Judgement, Verdict
from hotgraph_server.settings import ModelSettings, OpsSettings, build
from hotgraph_server.settings.file import FileSettings, read_settings_file
from hotgraph_server.signatures import Signature, TensorSpec
from hotgraph_server.tensors import STRING, tensorflow_name

if TYPE_CHECKING:
    from hotgraph_server.models.version import Version

DESCRIPTION = """\
Load a SavedModel as the server would, try it, and show its signatures: inputs and outputs with dtypes
and shapes, whether calls share batches and if not why, and code to paste that calls it. Where DIR has a
config.pbtxt of Triton's, show too what it promises to clients, and what of it has no meaning here.
"""
EXAMPLES = """\
examples:
  hotgraph inspect ~/models/flowers        a SavedModel, or a folder of numbered versions
  hotgraph inspect DIR --name flowers      with the name that it will be served under
  hotgraph inspect DIR --config FILE.toml  with the settings that hotgraph serve will have
  hotgraph inspect DIR --explain           which op lets rows of a batch influence each other
"""

_ADDRESS = "127.0.0.1:8500"
_HTTP_ADDRESS = "http://127.0.0.1:8502"
# A line of JSON with more values nobody reads, or types.
_MOST_VALUES = 16


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Give `parser` the arguments of the command, its description and its examples."""
    parser.description, parser.epilog = DESCRIPTION, EXAMPLES
    parser.add_argument("directory", metavar="DIR", help="a SavedModel, or a folder of versions")
    parser.add_argument("--name", help="what the model is called in the code shown (default: DIR's name)")
    parser.add_argument(
        "--config", type=Path, metavar="FILE.toml", help="settings, as hotgraph serve takes them"
    )
    parser.add_argument(
        "--explain",
        action="store_true",
        help="say too what the structure of the graph proves: that rows of a batch cannot influence"
        " each other, or the first op in which they meet",
    )
    add_flags(parser, OpsSettings)


def run(arguments: argparse.Namespace) -> int:
    """Print the report; returns the exit status.

    Raises:
        StartError: the model cannot be served, and why.
    """
    directory = Path(os.path.expanduser(arguments.directory))
    given = read_settings_file(arguments.config) if arguments.config is not None else FileSettings()
    settings, remarks = _settings(directory, arguments.name, given)
    found = versions_in(directory, settings.folder)
    import_tensorflow([settings.session], build(OpsSettings, {**given.values, **vars(arguments)}))
    from hotgraph_server.protocols.tfs.warmup_records import records_in
    from hotgraph_server.repository.footprints import Footprints
    from hotgraph_server.repository.loader import load_version

    number = max(found)
    load = Footprints().measuring(load_version, brings_of=records_in)
    version = load(settings, number, found[number])
    others = sorted(set(found) - {number})
    print("\n".join(report(version, found[number], others, remarks, explains=arguments.explain)))
    version.stop(timeout_s=5)
    return 0


def _settings(
    directory: Path, name: str | None, given: FileSettings
) -> tuple[ModelSettings, list[str] | None]:
    """The settings of the model in a folder, and what is to be said of its configuration; None: it has none.

    Raises:
        SettingsError: the configuration, or what is given, cannot be.
    """
    config = own_config(directory)
    name = name or (config.name if config is not None else "") or default_name(directory)
    settings = in_folder(name, directory, given.values, given.models.get(name))
    if config is None:
        return settings, None
    return settings, translation.settings_from(config, ModelSettings(name, directory))[1]


def report(
    version: Version,
    directory: Path,
    others: list[int],
    remarks: Sequence[str] | None = None,
    *,
    explains: bool = False,
) -> Iterator[str]:
    """The lines of the report on a live version.

    Args:
        version: live.
        directory: where it lies.
        others: the versions that are not served.
        remarks: on its configuration; None: it has none, and its contract is not shown.
        explains: says too what the structure of the graph proves.
    """
    not_served = f" (not served: {', '.join(map(str, others))})" if others else ""
    yield f"{version.name}, version {version.number}{not_served}"
    yield f"{directory}"
    if taken := version.memory.by_device():
        told = " and ".join(f"{nbytes / 2**20:.1f} MiB of {place}" for place, nbytes in taken.items())
        yield f"takes {told.replace('CPU:0', 'memory')} between runs"
    for signature in version.signatures.values():
        yield ""
        yield from _signature(version, signature)
        proof = version.proofs.get(signature.name)
        if explains and proof is not None:
            yield f"  that rows are independent is {_told(proof)}"
    if remarks is not None:
        yield ""
        yield f"contract with clients ({config_file.FILE_NAME})"
        yield from shown(version.contract)
        yield from (f"  {line}" for line in remarks)
    if version.unusable:
        yield ""
        yield "cannot be called"
        for name, reason in version.unusable.items():
            yield f"  {name}: {reason}"
    example = version.default_signature or next(iter(version.signatures.values()), None)
    if example is not None:
        yield ""
        yield from _code(version, example)


def _signature(version: Version, signature: Signature) -> Iterator[str]:
    default = "  (the default)" if signature is version.default_signature else ""
    yield f"signature {signature.name}{default}"
    rows = [("in", spec) for spec in signature.inputs] + [("out", spec) for spec in signature.outputs]
    width = max(len(spec.alias) for _, spec in rows)
    for direction, spec in rows:
        note = ""
        if direction == "in":
            content = signature.contents.get(spec.alias)
            note = f"  {content.name}" if content is not None else ""
            note += "  may be left out" if spec.alias in signature.defaults else ""
        yield f"  {direction:3}  {spec.alias:{width}}  {_datatype(spec):7}  {_shape(spec)}{note}"
    if signature.variables:
        yield f"  writes {', '.join(sorted(signature.variables))}"
    if signature.other_state:
        yield f"  writes what no snapshot keeps: {', '.join(sorted(signature.other_state))}"
    reason = version.unbatched_reasons[signature.name]
    yield f"  runs {version.plans[signature.name]}"
    if reason is None:
        yield f"  calls share batches: {version.joined_because(signature.name)}"
    else:
        yield f"  each call runs alone: {reason}"
    buckets = version.buckets.get(signature.name, ())
    if buckets:
        yield f"  runs are filled up to {', '.join(map(str, buckets))} rows{_why_buckets(signature)}"
    elif signature.compiles:
        yield f"  compiles anew for each shape: {signature.compiles}"
    padded = ", ".join(
        f"{alias}.{dimension}" for alias, dimension in sorted(version.padded.get(signature.name, ()))
    )
    if padded:
        yield f"  calls that differ in {padded} are padded and share batches too"
    if signature.python_call:
        yield f"  a run that comes to {signature.python_call} fails: its Python function is not here"
    yield f"  {version.warmed[signature.name]}"


def _told(proof: Judgement) -> str:
    by = "by the graph's structure"
    if proof.verdict is Verdict.PROVEN:
        return f"proven {by}"
    if proof.verdict is Verdict.REFUTED:
        return f"refuted {by}: {proof.reason}"
    return f"not to be told {by}: {proof.reason}"


def _why_buckets(signature: Signature) -> str:
    return f", for {signature.compiles} compiles anew for each number" if signature.compiles else ""


def _datatype(spec: TensorSpec) -> str:
    return wire.datatype_of(spec.dtype) or tensorflow_name(spec.dtype)


def _shape(spec: TensorSpec) -> str:
    if spec.shape is None:
        return "any shape"
    return "[" + ", ".join("?" if size is None else str(size) for size in spec.shape) + "]"


def _code(version: Version, signature: Signature) -> Iterator[str]:
    chooses = signature is not version.default_signature
    yield f"to call it (started with: hotgraph serve {version.name}=DIR)"
    yield ""
    sent = _sent(version, signature)
    if any(_needs_ml_dtypes(spec) for spec, _ in sent):
        yield "  import ml_dtypes"
    yield "  import numpy as np"
    yield "  from hotgraph_client import Client"
    yield ""
    yield f'  with Client("{_ADDRESS}") as client:  # or, over HTTP, "{_HTTP_ADDRESS}"'
    inputs = ", ".join(f'"{spec.alias}": {_example(spec, shape)}' for spec, shape in sent)
    choice = f', signature="{signature.name}"' if chooses else ""
    yield f'      answer = client.predict("{version.name}", {{{inputs}}}{choice})'
    yield f'      print(answer["{signature.outputs[0].alias}"])'
    yield ""
    yield from _curl(version.name, signature.name if chooses else "", sent)
    flags = "".join(f" --input {spec.alias}={spec.alias.replace('/', '_')}.npy" for spec, _ in sent)
    choice = f" --signature {signature.name}" if chooses else ""
    yield f"  hotgraph predict {_ADDRESS} {version.name}{flags}{choice}"


def _curl(model: str, chosen: str, sent: Sequence[tuple[TensorSpec, list[int]]]) -> Iterator[str]:
    """A call over HTTP in JSON; where that would be long, where there is one to be tried."""
    tensors = []
    for spec, shape in sent:
        datatype, count = wire.datatype_of(spec.dtype), math.prod(shape)
        if datatype is None or count > _MOST_VALUES:
            yield f"  in a browser, to be tried: {_HTTP_ADDRESS}/docs"
            return
        value = {"BOOL": False, "BYTES": "text"}.get(datatype, 0)
        tensors.append({"name": spec.alias, "datatype": datatype, "shape": shape, "data": [value] * count})
    body: dict[str, Any] = {"inputs": tensors}
    if chosen:
        body["parameters"] = {"signature_name": chosen}
    url = f"{_HTTP_ADDRESS}/v2/models/{quote(model, safe='')}/infer"
    yield f"  curl -d {shlex.quote(json.dumps(body))} {url}"


def _sent(version: Version, signature: Signature) -> list[tuple[TensorSpec, list[int]]]:
    """The inputs that clients send, each with the least shape that it may have for them."""
    contract = version.contract
    if contract.signature != signature.name or contract.config is None:
        return [
            (spec, [1 if size is None else size for size in spec.shape or ()]) for spec in signature.inputs
        ]
    rows = [1] if contract.batched else []
    return [
        (signature.inputs_by_alias[alias], rows + [max(size, 1) for size in promised.dims or ()])
        for alias, promised in contract.inputs.items()
    ]


def _needs_ml_dtypes(spec: TensorSpec) -> bool:
    return spec.dtype.name == "bfloat16"


def _example(spec: TensorSpec, shape: list[int]) -> str:
    if spec.dtype == STRING:
        return f'np.full({shape}, b"text", object)'
    dtype = "ml_dtypes.bfloat16" if _needs_ml_dtypes(spec) else f"np.{spec.dtype.name}"
    return f"np.zeros({shape}, {dtype if dtype != 'np.bool' else 'np.bool_'})"
