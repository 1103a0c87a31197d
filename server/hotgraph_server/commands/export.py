"""``hotgraph export``: a SavedModel of a file of Keras's, a frozen graph, or a module without signatures."""

from __future__ import annotations

import argparse
import os
import shlex
from pathlib import Path

from hotgraph_server.commands.conversion import tell
from hotgraph_server.commands.setting_flags import add_flags
from hotgraph_server.conversion.process import convert
from hotgraph_server.conversion.request import Request
from hotgraph_server.errors import LoadError, StartError
from hotgraph_server.program.converting import given_path
from hotgraph_server.repository.layout import versions_in
from hotgraph_server.repository.model_files import about_a_file, is_model_file
from hotgraph_server.settings import OpsSettings, build

DESCRIPTION = """\
Make a SavedModel: of a .keras or .h5 file, with the Keras that wrote it; of a frozen graph (.pb, .pbtxt); or
of a SavedModel without signatures, as TensorFlow Hub has them. It is done in a process of its own, without a
GPU.

hotgraph serve takes such files as they are, and keeps what it makes of them. This command is for what has to
be said besides, and for the machine that has Keras where the one that serves has not.
"""
EXAMPLES = """\
examples:
  hotgraph export model.keras flowers/1           then: hotgraph serve flowers
  hotgraph export model.keras DIR --import layers with classes of your own, from layers.py
  hotgraph export model.h5 DIR --input-spec 'x=float32[?,4]'
      a model that does not say what it takes, or other names and shapes than it says
  hotgraph export frozen.pb DIR --inputs image:0 --outputs scores:0,boxes:0
      placeholders go in and what nobody reads comes out, unless it is said otherwise
  hotgraph export hub_module DIR --function encode --input-spec 'text=string[?]'
      one of the functions of a module without signatures

A Lambda layer brings Python code along, which is run only with --allow-lambda.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Give `parser` the arguments of the command, its description and its examples."""
    parser.description, parser.epilog = DESCRIPTION, EXAMPLES
    parser.add_argument(
        "file", metavar="FILE", help="a .keras, .h5, .pb or .pbtxt file, or a SavedModel's folder"
    )
    parser.add_argument("out", metavar="DIR", help="the SavedModel's folder, which is not there yet")
    parser.add_argument(
        "--allow-lambda", action="store_true", help="run the Python code that Lambda layers bring"
    )
    parser.add_argument(
        "--inputs", default="", metavar="A:0,B:0", help="tensors of a frozen graph that are fed"
    )
    parser.add_argument(
        "--outputs", default="", metavar="C:0", help="tensors of a frozen graph that are answered"
    )
    parser.add_argument(
        "--function", default="", metavar="NAME", help="of a module without signatures, or __call__"
    )
    parser.add_argument(
        "--input-spec",
        action="append",
        default=[],
        metavar="'x=float32[?,4]'",
        help="an input, where the model does not say it; once for each",
    )
    parser.add_argument(
        "--timeout-s",
        type=float,
        default=600.0,
        metavar="S",
        help="it may take (default %(default)g; 0: any time)",
    )
    add_flags(parser, OpsSettings)


def run(arguments: argparse.Namespace) -> int:
    """Write the SavedModel; returns the exit status.

    Raises:
        StartError: none can be made; the text says why, and what to do.
    """
    source, target = given_path(arguments.file).absolute(), Path(os.path.expanduser(arguments.out)).absolute()
    if not source.exists():
        raise LoadError(str(source), "no such file")
    if source.is_dir():
        source = versions_in(source)[max(versions_in(source))]
    elif not is_model_file(source):
        raise LoadError(str(source), about_a_file(source))
    if target.exists():
        raise LoadError(str(target), "is there already")
    if arguments.timeout_s < 0:
        raise StartError("--timeout-s must be 0 or more")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise LoadError(str(target), f"cannot be made: {error.strerror}") from error
    ops = build(OpsSettings, vars(arguments))
    request = Request(
        str(source),
        str(target),
        arguments.allow_lambda,
        tuple(ops.import_),
        tuple(os.path.abspath(os.path.expanduser(one)) for one in ops.load_op_library),
        _names(arguments.inputs),
        _names(arguments.outputs),
        arguments.function,
        tuple(arguments.input_spec),
    )
    convert(request, arguments.timeout_s, tell)
    print(f"{target}\nhotgraph serve {shlex.quote(str(target))}")
    return 0


def _names(text: str) -> tuple[str, ...]:
    return tuple(name.strip() for name in text.split(",") if name.strip())
