"""`hotgraph predict`: one call from the shell, with inputs as people have them."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import grpc

from hotgraph_protos.tensors import Array

from . import models_command
from .access_flags import add_access_arguments, add_address_argument, add_timeout_argument, key_of, tls_of
from .client import Client
from .errors import HotgraphError, InvalidCall, NotFound
from .images import SCALES
from .next_steps import next_step
from .predicting import answers, fitting, labels
from .predicting.fitting import Fitting
from .predicting.reading import Given, read_input
from .signatures import did_you_mean, inputs_of, listed

DESCRIPTION = """\
Run a model once and show the answer. Without MODEL: list what is served.

An input is a file: an image, a table with a header (.csv, .tsv), arrays (.npy, .npz) or JSON (.json); or -
for standard input, or JSON on the spot. What the model takes is asked for: JSON and tables become its
datatypes, images its pixels (or their bytes, where it takes those), arrays its dtype where no value changes
by it. What was done to an input is told in a line on stderr. NAME= may be left out where the model has one
input, and where the value brings the names: JSON such as {"a": [1], "b": [2]} or {"instances": [...]}, the
columns of a table, the arrays of a .npz.
"""

EXAMPLES = """\
examples:
  hotgraph predict 127.0.0.1:8500 digits --input images.npy
  hotgraph predict 127.0.0.1:8500 flowers --input rose.jpg --top 3 --labels names.txt
  hotgraph predict 127.0.0.1:8500 iris --input measured.csv
  hotgraph predict 127.0.0.1:8500 add --input 'a=[1, 2]' --input 'b=[3, 4]'
  hotgraph predict 127.0.0.1:8500 add --input '{"a": [1, 2], "b": [3, 4]}'
  hotgraph predict 127.0.0.1:8500 add --input '{"instances": [{"a": 1, "b": 3}]}' --signature other
  hotgraph predict 127.0.0.1:8500 sentiment --input 'text=["good", "bad"]' --output score
  cat request.json | hotgraph predict 127.0.0.1:8500 add --input -
  hotgraph predict 127.0.0.1:8500 upscale --input cat.jpg --output image=large.png
  hotgraph predict 127.0.0.1:8500 detector --input image=cat.npy --save answer.npz
  hotgraph predict 127.0.0.1:8500 detector --input image=zeros:1x300x300x3
  hotgraph predict models.example:443 digits --input images.npy --tls --version 3
  hotgraph predict models.example:443 digits --input images.npy --tls --key-file key.txt
  hotgraph predict http://127.0.0.1:8502 digits --input images.npy
  hotgraph predict 127.0.0.1:8500                                    what is there?

The answer is one JSON object, output by output; long arrays are shortened unless --full. Bytes that are
not text look like {"b64": "..."}, on the way in too.
"""

# Of files that --save does not write.
_ENDINGS = (".npy", ".png", ".csv", ".json", ".txt", ".jpg")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Give `parser` the arguments of the command, its description and its examples."""
    parser.description = DESCRIPTION
    parser.epilog = EXAMPLES
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    add_address_argument(parser, done="called")
    parser.add_argument(
        "model", metavar="MODEL", nargs="?", help="the model's name on the server; none: list what is served"
    )
    parser.add_argument(
        "--input",
        action="append",
        default=[],
        metavar="[NAME=]VALUE",
        dest="inputs",
        help="a file (image, .csv, .npy, .npz, .json), - for standard input, JSON, or zeros[:1x28x28] to try;"
        " once for each input, and images once for each row",
    )
    parser.add_argument(
        "--scale",
        choices=SCALES,
        help="what 0..255 of an image's pixels becomes where the input takes floats (default: 0..1), and what"
        " floats are that become a .png (default: as they look)",
    )
    parser.add_argument(
        "--cast", action="store_true", help="round floats of .npy and .npz files to the model's precision"
    )
    parser.add_argument(
        "--output",
        action="append",
        metavar="NAME[=FILE]",
        dest="outputs",
        help="only this output; as NAME=out.png or NAME=out.npy into a file; repeatable",
    )
    parser.add_argument(
        "--top", type=_count, metavar="N", help="print the N largest values of each row, with their classes"
    )
    parser.add_argument(
        "--labels",
        type=Path,
        metavar="FILE",
        help="names of the classes for --top, one a line (or .json); default: the server's, if it has any",
    )
    parser.add_argument(
        "--version", metavar="N", help="this version of the model; default: the server's choice"
    )
    parser.add_argument("--signature", metavar="NAME", help="a signature other than the model's default")
    add_timeout_argument(parser, 30.0, "seconds to wait for the answer")
    parser.add_argument(
        "--save",
        type=Path,
        metavar="WHERE",
        help="save to FILE.npz, or to a directory as NAME.npy, and do not print",
    )
    parser.add_argument("--full", action="store_true", help="print every element")
    add_access_arguments(parser)


def run(arguments: argparse.Namespace) -> int:
    """Make the call that `arguments` describe; the exit status.

    0: answered. 1: the call failed. 2: the arguments make no sense. Failures are one line on stderr.
    """
    if arguments.model is None:
        return _list(arguments)
    try:
        given = [read_input(text, sys.stdin.buffer.read) for text in arguments.inputs]
        fitting.check_names(given)
        named = None if arguments.labels is None else labels.read_labels(arguments.labels)
        if arguments.top is None and named is not None:
            raise ValueError("--labels go with --top N")
        _check_place(arguments.save)
        client = Client(
            arguments.address,
            timeout_s=arguments.timeout_s,
            tls=tls_of(arguments),
            key=key_of(arguments.key_file),
        )
    except (ValueError, OSError) as error:
        return _fail(error, 2)
    with client:
        inputs: dict[str, Any] = {}
        try:
            inputs = _inputs(client, given, arguments)
        except HotgraphError as error:
            return _fail(f"{error}{_advice(error, client, inputs, arguments)}", 1)
        except ValueError as error:
            return _fail(error, 2)
        try:
            answer = _answer(client, inputs, arguments, asks_for_classes=arguments.top and named is None)
            _show(answer, arguments, named)
        except HotgraphError as error:
            return _fail(f"{error}{_advice(error, client, inputs, arguments)}", 1)
        except BrokenPipeError:
            # whoever read the answer has left, which is no fault of the call
            raise
        except (ValueError, OSError) as error:
            return _fail(error, 1)
    return 0


def _inputs(client: Client, given: Sequence[Given], arguments: argparse.Namespace) -> dict[str, Any]:
    """The call's inputs by name; notes of what was done to them go to stderr."""
    asked = fitting.signature_in(given)
    if asked and arguments.signature and asked != arguments.signature:
        raise ValueError(f"--signature is {arguments.signature}, and the JSON says {asked}")
    arguments.signature = arguments.signature or asked
    how = Fitting(arguments.scale, arguments.cast)
    if not fitting.needs_tensors(given, how):
        return dict(fitting.named_arrays(given))
    metadata = client.metadata(arguments.model, arguments.version)
    tensors = inputs_of(metadata, arguments.signature, arguments.model)
    if tensors is None:
        raise InvalidCall(
            f"the server describes the default signature of '{arguments.model}' only, so what"
            f" '{arguments.signature}' takes cannot be looked up: say which input, as in --input NAME=VALUE,"
            " and give .npy",
            model=arguments.model,
        )
    inputs, notes = fitting.fitted(given, tensors, arguments.model, how)
    for note in notes:
        _say(note)
    return inputs


def _answer(
    client: Client, inputs: Mapping[str, Any], arguments: argparse.Namespace, *, asks_for_classes: bool
) -> dict[str, Array]:
    wanted: Any = [_name_and_file(text)[0] for text in arguments.outputs or ()] or None
    if asks_for_classes:
        wanted = _with_classes(client, wanted, arguments)
    answer: dict[str, Array] = client.predict(
        arguments.model,
        inputs,
        version=arguments.version,
        signature=arguments.signature,
        outputs=wanted,
    )
    return answer


def _with_classes(client: Client, wanted: list[str] | None, arguments: argparse.Namespace) -> Any:
    """The outputs to ask for; those with classes as classes where the server knows how: it may name them."""
    if labels.EXTENSION not in client.server_metadata().extensions:
        return wanted
    metadata = client.metadata(arguments.model, arguments.version)
    default = metadata.properties.get("default_signature")
    if arguments.signature and arguments.signature != default:
        return wanted
    files = {name for name, file in map(_name_and_file, arguments.outputs or ()) if file}
    names = wanted or [tensor.name for tensor in metadata.outputs]
    classes = set(labels.askable(metadata.outputs)) - files
    return {name: {labels.EXTENSION: arguments.top} if name in classes else {} for name in names}


def _show(answer: Mapping[str, Array], arguments: argparse.Namespace, named: Sequence[str] | None) -> None:
    """Print the answer, or save it."""
    files = {name: file for name, file in map(_name_and_file, arguments.outputs or ()) if file is not None}
    for name, file in files.items():
        if name in answer:
            written, said = answers.save_output(name, answer[name], file, arguments.scale)
            many = f" and {len(written) - 1} more" if len(written) > 1 else ""
            _say(f"saved {written[0] if written else 'nothing'}{many}{f' ({said})' if said else ''}")
    shown: dict[str, Any] = {name: array for name, array in answer.items() if name not in files}
    if arguments.save is not None:
        for path in answers.save(shown, arguments.save):
            _say(f"saved {path}")
        return
    if arguments.top is not None:
        best = {name: _best(name, array, arguments.top, named) for name, array in shown.items()}
        if shown and not any(best.values()):
            raise ValueError("--top: no output has classes, which are numbers along the last dimension")
        shown = {name: best[name] or array for name, array in shown.items()}
    if shown or not files:
        print(answers.to_json(shown, full=arguments.full))


def _best(name: str, array: Array, count: int, named: Sequence[str] | None) -> labels.Best | None:
    told = labels.best_as_told(array) if named is None else None
    return told or labels.best_of(array, count, named, name)


def _list(arguments: argparse.Namespace) -> int:
    if arguments.inputs:
        return _fail(
            "say which MODEL: HOST:PORT MODEL --input ...; without --input it lists what is served", 2
        )
    status = models_command.show(arguments, (), in_json=False, command="predict")
    if status == 0:
        _say(f"call one: hotgraph predict {arguments.address} MODEL --input VALUE (--help shows values)")
    return status


def _check_place(save: Path | None) -> None:
    # a folder of that name would be a surprise
    if save is not None and save.suffix in _ENDINGS and not save.is_dir():
        raise ValueError(
            f"--save {save}: expected FILE.npz, or a directory; --output NAME=FILE writes .npy and .png"
        )


def _name_and_file(text: str) -> tuple[str, Path | None]:
    name, equals, file = text.partition("=")
    return (name, Path(file)) if equals else (text, None)


def _count(text: str) -> int:
    if not (text.isascii() and text.isdecimal() and int(text[:9]) > 0 and len(text) < 9):
        raise argparse.ArgumentTypeError(f"'{text}' is not a number of classes")
    return int(text)


def _advice(
    error: HotgraphError, client: Client, inputs: Mapping[str, Any], arguments: argparse.Namespace
) -> str:
    """What to do next; asks the server what there is, where a name is not."""
    if isinstance(error, InvalidCall) and error.code is None and ".astype(" in error.details:
        return "; or give --cast"
    try:
        found = ""
        if isinstance(error, NotFound):
            found = _what_there_is(client, arguments, of_signatures=error.code is None)
        elif isinstance(error, InvalidCall) and error.code is grpc.StatusCode.INVALID_ARGUMENT:
            found = _what_it_takes(client, inputs, arguments, error.details)
    except HotgraphError:
        # it is the first error that is told
        found = "; check MODEL, --version and --signature, and that the server speaks v2"
    return found or next_step(error)


def _what_there_is(client: Client, arguments: argparse.Namespace, *, of_signatures: bool) -> str:
    if of_signatures:
        return "; say which with --signature NAME"
    served = {model.name: model for model in client.models()}
    if arguments.model not in served:
        return f"; it serves {', '.join(served) or 'nothing'}{did_you_mean(arguments.model, served)}"
    versions = ", ".join(f"{one.version} ({one.state})" for one in served[arguments.model].versions)
    return f"; check --version and --signature: its versions are {versions}"


def _what_it_takes(
    client: Client, inputs: Mapping[str, Any], arguments: argparse.Namespace, said: str
) -> str:
    """The names that there are, where others were given."""
    metadata = client.metadata(arguments.model, arguments.version)
    tensors = inputs_of(metadata, arguments.signature, arguments.model)
    if "the inputs of" in said:
        return ""
    if tensors is not None and set(inputs) != {tensor.name for tensor in tensors}:
        return f"; the inputs of '{arguments.model}': {listed(tensors)}"
    names = [tensor.name for tensor in metadata.outputs]
    wanted = [_name_and_file(text)[0] for text in arguments.outputs or ()]
    strange = next((name for name in wanted if name not in names), None)
    if names and strange is not None and not arguments.signature:
        return f"; the outputs: {listed(metadata.outputs)}{did_you_mean(strange, names)}"
    return ""


def _say(line: str) -> None:
    print(f"hotgraph predict: {line}", file=sys.stderr)


def _fail(error: object, status: int) -> int:
    print("hotgraph predict:", " ".join(str(error).split()), file=sys.stderr)
    return status
