"""`hotgraph predict`: one call from the shell, with arrays from files and the answer on the screen."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from . import protocol
from .access_flags import add_access_arguments, key_of, positive_seconds, tls_of
from .client import Client
from .errors import (
    AccessDenied,
    Busy,
    HotgraphError,
    InvalidCall,
    NotFound,
    TooLate,
    Unreachable,
)
from .predict_values import read_input, save, to_json

DESCRIPTION = """\
Run a model once and show the answer.

An input is a file (.npy, .npz, .json) or JSON on the spot. JSON becomes the datatype that the model
states; so do arrays from .npy and .npz where no value changes by it. NAME= may be left out where the
model has one input.
"""

EXAMPLES = """\
examples:
  hotgraph predict 127.0.0.1:8500 digits --input images.npy
  hotgraph predict 127.0.0.1:8500 add --input 'a=[1, 2]' --input 'b=[3, 4]'
  hotgraph predict 127.0.0.1:8500 sentiment --input 'text=["good", "bad"]' --output score
  hotgraph predict 127.0.0.1:8500 detector --input image=cat.npy --save answer.npz
  hotgraph predict models.example:443 digits --input images.npy --tls --version 3
  hotgraph predict models.example:443 digits --input images.npy --tls --key-file key.txt
  hotgraph predict http://127.0.0.1:8502 digits --input images.npy

The answer is one JSON object, output by output; long arrays are shortened unless --full. Bytes that are
not text look like {"b64": "..."}, on the way in too.
"""

# what a person at the shell can do next
_NEXT: tuple[tuple[type[HotgraphError], str], ...] = (
    (Unreachable, "check HOST:PORT and whether the server is up (hotgraph serve prints 'serving on ...')"),
    (TooLate, "allow more time with --timeout-s"),
    (NotFound, "check MODEL, --version and --signature"),
    (AccessDenied, "check --key-file or HOTGRAPH_KEY, and --tls-ca, --tls-cert and --tls-key"),
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Give `parser` the arguments of the command, its description and its examples."""
    parser.description = DESCRIPTION
    parser.epilog = EXAMPLES
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument(
        "address",
        metavar="HOST:PORT",
        help="the server; as http://HOST:PORT or https://HOST:PORT it is called over HTTP",
    )
    parser.add_argument("model", metavar="MODEL", help="the model's name on the server")
    parser.add_argument(
        "--input",
        action="append",
        default=[],
        metavar="[NAME=]VALUE",
        dest="inputs",
        help="a file (.npy, .npz, .json) or JSON; once for each input",
    )
    parser.add_argument(
        "--output", action="append", metavar="NAME", dest="outputs", help="only this output; repeatable"
    )
    parser.add_argument(
        "--version", metavar="N", help="this version of the model; default: the server's choice"
    )
    parser.add_argument("--signature", metavar="NAME", help="a signature other than the model's default")
    parser.add_argument(
        "--timeout-s",
        type=positive_seconds,
        default=30.0,
        metavar="S",
        help="seconds to wait for the answer (%(default)g)",
    )
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
    try:
        inputs = _inputs(arguments.inputs)
        client = Client(
            arguments.address,
            timeout_s=arguments.timeout_s,
            tls=tls_of(arguments),
            key=key_of(arguments.key_file),
        )
    except (ValueError, OSError) as error:
        return _fail(error, 2)
    with client:
        try:
            answer = _answer(client, inputs, arguments)
            if arguments.save is None:
                print(to_json(answer, full=arguments.full))
            else:
                for path in save(answer, arguments.save):
                    print(f"saved {path}", file=sys.stderr)
        except HotgraphError as error:
            return _fail(f"{error}{_advice(error)}", 1)
        except (ValueError, OSError) as error:
            return _fail(error, 1)
    return 0


def _answer(client: Client, inputs: Any, arguments: argparse.Namespace) -> dict[str, Any]:
    if not isinstance(inputs, dict):
        # named here, so that the answer keeps its names as well
        metadata = client.metadata(arguments.model, arguments.version)
        tensors = protocol.inputs_of(metadata, arguments.signature, arguments.model)
        if tensors is None or len(tensors) != 1:
            found = "not told by its server" if tensors is None else ", ".join(map(str, tensors)) or "none"
            raise InvalidCall(
                f"say which input, as in --input NAME=VALUE; the inputs of '{arguments.model}': {found}"
            )
        inputs = {tensors[0].name: inputs}
    answer: dict[str, Any] = client.predict(
        arguments.model,
        inputs,
        version=arguments.version,
        signature=arguments.signature,
        outputs=arguments.outputs,
    )
    return answer


def _inputs(texts: Sequence[str]) -> Any:
    """A dict of name to value, or the value itself if it is the only one and has no name."""
    named: dict[str, Any] = {}
    for text in texts:
        name, value = read_input(text)
        if name is None and not isinstance(value, dict):
            if len(texts) > 1:
                raise ValueError(f"--input {text} has no name, but there are several: use NAME=VALUE")
            return value
        for key, array in value.items() if name is None else [(name, value)]:
            if key in named:
                raise ValueError(f"input '{key}' is given twice")
            named[key] = array
    return named


def _advice(error: HotgraphError) -> str:
    if isinstance(error, Busy):
        when = "in a moment" if error.pushback_ms is None else f"in {error.pushback_ms} ms"
        return f"; the server is busy: try again {when}"
    return next((f"; {advice}" for kind, advice in _NEXT if isinstance(error, kind)), "")


def _fail(error: object, status: int) -> int:
    print("hotgraph predict:", " ".join(str(error).split()), file=sys.stderr)
    return status
