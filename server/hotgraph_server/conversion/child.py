"""The process that converts one file, ends, and leaves a SavedModel and an answer behind.

It takes its limits upon itself before it reads anything: memory, size of files, and no GPU, which the server
may need. What it and all that it imports say goes to a file that its starter may look into.
"""

from __future__ import annotations

import importlib
import os
import resource
import sys
from dataclasses import replace
from pathlib import Path

from hotgraph_server.conversion.request import Answer, Refused, Request
from hotgraph_server.repository.model_files import GRAPHS

# What a process with TensorFlow takes, and what a model takes while it is written again: as variables, as
# arrays and as bytes, once or twice.
OWN_BYTES = 6 << 30
_TIMES = 8
# What cannot be said of every kind of file, and of which it can.
_FLAGS = {
    "inputs": ("--inputs", "frozen graphs"),
    "outputs": ("--outputs", "frozen graphs"),
    "function": ("--function", "modules without signatures"),
    "specs": ("--input-spec", "files of Keras's and modules without signatures"),
}


def main(words: list[str], own_bytes: int = OWN_BYTES) -> int:
    """Convert, and write the answer.

    Args:
        words: a request as JSON, and the file for the answer.
        own_bytes: of memory, beside what the model takes.
    """
    request, end = Request.from_json(words[0]), Path(words[1])
    _limit_itself(request, own_bytes)
    end.write_text(answer_to(request).to_json())
    return 0


def answer_to(request: Request) -> Answer:
    """What becomes of a request."""
    try:
        return _converted(request)
    except Refused as error:
        return Answer(error=str(error))
    except MemoryError:
        return Answer(error="converting it takes more memory than a file of its size should")
    except ImportError as error:
        return Answer(error=f"converting it needs what is not installed: {error}")


def _limit_itself(request: Request, own_bytes: int) -> None:
    source = Path(request.source)
    size = source.stat().st_size if source.is_file() else sum(one.stat().st_size for one in source.rglob("*"))
    for kind, limit in (
        (resource.RLIMIT_DATA, own_bytes + _TIMES * size),
        (resource.RLIMIT_FSIZE, own_bytes + _TIMES * size),
        (resource.RLIMIT_CORE, 0),
    ):
        _, most = resource.getrlimit(kind)
        if most == resource.RLIM_INFINITY or most > limit:
            resource.setrlimit(kind, (limit, limit))
    os.environ["CUDA_VISIBLE_DEVICES"] = "-1"
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.nice(5)


def _converted(request: Request) -> Answer:
    _bring(request)
    source = Path(request.source)
    if source.is_dir():
        from hotgraph_server.conversion import frozen, functions

        # As some have named it, for a server that takes no other name.
        if frozen.is_graph(source / "saved_model.pb"):
            _refuse_unused(request, "a frozen graph", "function", "specs")
            return frozen.export(replace(request, source=str(source / "saved_model.pb")))
        _refuse_unused(request, "a folder of functions", "inputs", "outputs")
        return functions.export(request)
    if source.suffix.lower() in GRAPHS:
        from hotgraph_server.conversion import frozen

        _refuse_unused(request, "a frozen graph", "function", "specs")
        return frozen.export(request)
    from hotgraph_server.conversion import keras_export

    _refuse_unused(request, "a file of Keras's", "inputs", "outputs", "function")
    return keras_export.export(request)


def _refuse_unused(request: Request, what: str, *unused: str) -> None:
    """Raises Refused: it asks for what can only be asked of others."""
    for name in unused:
        if getattr(request, name):
            flag, of = _FLAGS[name]
            raise Refused(f"is {what}, and {flag} is for {of}")


def _bring(request: Request) -> None:
    if not (request.modules or request.libraries):
        return
    # Where programs of one's own lie, behind all that is installed.
    sys.path.append(os.getcwd())
    for module in request.modules:
        try:
            importlib.import_module(module)
        except (Exception, SystemExit) as error:
            raise Refused(f"--import {module}: {error or type(error).__name__}") from error
    for library in request.libraries:
        import tensorflow as tf

        try:
            tf.load_op_library(library)
        except Exception as error:
            raise Refused(f"--load-op-library {library}: {error}") from error
