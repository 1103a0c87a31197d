"""``hotgraph doctor``: the command."""

from __future__ import annotations

import argparse
import json
import logging
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

from hotgraph_server.commands.bootstrap import import_tensorflow
from hotgraph_server.commands.doctor import findings
from hotgraph_server.commands.doctor.findings import Examination
from hotgraph_server.commands.setting_flags import add_flags
from hotgraph_server.errors import SettingsError
from hotgraph_server.settings import OpsSettings, SessionSettings, build

DESCRIPTION = """\
Read an existing deployment of TensorFlow Serving or Triton, and say, model by model, what will be the same
here, what better, what different, and what has to be changed first. Nothing is served and nothing is
written. Each model is loaded once, as hotgraph serve would load it; --no-load reads the files alone.
"""
EXAMPLES = """\
examples:
  hotgraph doctor --tfs /etc/models.config
  hotgraph doctor --tfs --model_name=flowers --model_base_path=/models/flowers --enable_batching
  hotgraph doctor --tfs "tensorflow_model_server --model_config_file=/etc/models.config --port=8500"
  hotgraph doctor --triton /models --no-load
  hotgraph doctor --triton /models --json | jq '.subjects[] | select(.change != [])'

Exit status 0: all of it is served as it is; 1: something has to
be changed first (CHANGE in the report); 2: the command line is wrong.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Give `parser` the arguments of the command, its description and its examples."""
    parser.description, parser.epilog = DESCRIPTION, EXAMPLES
    parser.add_argument("--json", action="store_true", help="print the report as one JSON object")
    parser.add_argument(
        "--no-load", action="store_true", help="read files alone: seconds, and less is known of each model"
    )
    which = parser.add_mutually_exclusive_group(required=True)
    which.add_argument(
        "--tfs",
        nargs=argparse.REMAINDER,
        metavar="FILE | FLAG",
        help="TensorFlow Serving: its file of models, or the flags that it is started with; the last option",
    )
    which.add_argument("--triton", nargs="+", metavar="REPO", help="Triton: its model repository, or several")
    add_flags(parser, OpsSettings)


def run(arguments: argparse.Namespace) -> int:
    """Examine; returns the exit status.

    Raises:
        StartError: what is to be examined cannot be read at all.
    """
    # What the loader says of each model is in the findings.
    logging.getLogger("hotgraph_server").setLevel(logging.CRITICAL)
    if arguments.tfs:
        # All that stands behind --tfs is TensorFlow Serving's, which has none of these.
        arguments.json = arguments.json or "--json" in arguments.tfs
        arguments.no_load = arguments.no_load or "--no-load" in arguments.tfs
        arguments.tfs = [word for word in arguments.tfs if word not in ("--json", "--no-load")]
    loads = not arguments.no_load
    for repository in arguments.triton or ():
        # A mistyped folder shall not cost the seconds that TensorFlow takes to import.
        if not Path(repository).is_dir():
            raise SettingsError(f"{repository}: no such folder")
    examination = _examiner(arguments, loads)()
    if arguments.json:
        print(json.dumps(findings.document(examination), indent=2))
    else:
        print("\n".join(findings.lines(examination)))
    return 0 if examination.is_fit else 1


def _examiner(arguments: argparse.Namespace, loads: bool) -> Callable[[], Examination]:
    if arguments.tfs is not None and not arguments.tfs:
        raise SettingsError("--tfs needs a file of models, or the flags of tensorflow_model_server")
    if loads or arguments.tfs:
        # TensorFlow Serving's messages bring it as well.
        _say("importing TensorFlow")
        import_tensorflow([SessionSettings()], build(OpsSettings, vars(arguments)), or_others=True)
    if arguments.tfs:
        from hotgraph_server.commands.doctor import tensorflow_serving

        return partial(tensorflow_serving.examine, arguments.tfs, _say, loads=loads)
    from hotgraph_server.commands.doctor import triton

    return partial(triton.examine, arguments.triton, _say, loads=loads)


def _say(line: str) -> None:
    print(f"hotgraph doctor: {line}", file=sys.stderr)
