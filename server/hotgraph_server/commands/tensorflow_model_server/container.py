"""The variables by which TensorFlow Serving's container image is told what to serve. Pure.

Its entry point runs the server with ``--port=8500 --rest_api_port=8501 --model_name=${MODEL_NAME}
--model_base_path=${MODEL_BASE_PATH}/${MODEL_NAME} "$@"``, and its image has MODEL_BASE_PATH=/models and
MODEL_NAME=model (tensorflow_serving/tools/docker/Dockerfile). So does this one where MODEL_BASE_PATH is set:
as there, flags of the command line win. MODEL_NAME alone, which many programs read, changes nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

BASE_PATH, NAME = "MODEL_BASE_PATH", "MODEL_NAME"
_USUAL_NAME = "model"
_PORTS = ("--port=8500", "--rest_api_port=8501")
_FILE = "--model_config_file="


def words_of(environment: Mapping[str, str], words: Sequence[str]) -> list[str]:
    """A command line with what the environment puts before it."""
    base = environment.get(BASE_PATH, "")
    if not base:
        return list(words)
    name = environment.get(NAME, "") or _USUAL_NAME
    model = [f"--model_name={name}", f"--model_base_path={base.rstrip('/')}/{name}"]
    # A file names the models itself, and what it makes void need not be told.
    if any(word.startswith(_FILE) for word in words):
        model = []
    return [*_PORTS, *model, *words]
