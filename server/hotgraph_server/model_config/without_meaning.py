"""Fields of a model's configuration that are taken and change nothing here, for the log. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from hotgraph_protos.model_config import ModelConfig, ModelInstanceGroup

_ONE_EXECUTOR = "each version has one executor, which is never idle while calls wait"
_NO_CUDA = "TensorFlow looks after its GPU itself"
_NO_BUFFERS = "requests are read where they arrived"

_CONFIG = {
    "runtime": "there is one",
    "cc_model_filenames": "one SavedModel serves every GPU",
    "model_operations": "libraries of operations are loaded by --load-op-library alone",
    "model_metrics": "histograms have fixed buckets",
}
_OPTIMIZATION = {
    "priority": "no model goes before another",
    "cuda": _NO_CUDA,
    "execution_accelerators": "graphs are run by TensorFlow alone, with the precision they were saved with",
    "input_pinned_memory": _NO_BUFFERS,
    "output_pinned_memory": _NO_BUFFERS,
    "gather_kernel_buffer_threshold": _NO_CUDA,
    "eager_batching": "the next batch is always made while one runs",
}
_INSTANCE_GROUP = {
    "rate_limiter": "each version has one executor, and they do not wait for each other",
    "secondary_devices": "a session lives on one device",
    "profile": "it is for TensorRT alone",
    "passive": "a version that is loaded answers",
    "host_policy": "the system places threads and memory",
}
_STATE = {
    "use_same_buffer_for_input_output": "states are handed on without copies anyway",
    "use_growable_memory": "states may grow anyway",
}
_PARAMETERS = {
    "MAX_SESSION_SHARE_COUNT": _ONE_EXECUTOR,
    "TF_INIT_OPS_FILE": "a SavedModel names its own initialisation",
}


def remarks(config: ModelConfig) -> list[str]:
    """A line for each field that is said and has no meaning here, or another than its owner may expect."""
    return [f"{field} has no meaning here: {why}" for field, why in _found(config)]


def _found(config: ModelConfig) -> Iterator[tuple[str, str]]:
    yield from _said(config, "", _CONFIG)
    yield from _said(config.optimization, "optimization.", _OPTIMIZATION)
    if config.optimization.graph.level < 0:
        yield (
            "optimization.graph.level below 0",
            "how a graph is run is found by trying; see the setting plan",
        )
    yield from _of_instances(config)
    for index, state in enumerate(config.sequence_batching.state):
        yield from _said(state, f"sequence_batching.state[{index}].", _STATE)
    for name, why in _PARAMETERS.items():
        if name in config.parameters:
            yield f"parameters.{name}", why
    for index, sample in enumerate(config.model_warmup):
        if not sample.batch_size:
            yield f"model_warmup[{index}]", "its batch_size is 0, so nothing is run for it"


def _of_instances(config: ModelConfig) -> Iterator[tuple[str, str]]:
    for index, group in enumerate(config.instance_group):
        where = f"instance_group[{index}]"
        yield from _said(group, f"{where}.", _INSTANCE_GROUP)
        if index:
            yield where, _ONE_EXECUTOR
            continue
        if group.count > 1:
            yield f"{where}.count above 1", _ONE_EXECUTOR
        if len(group.gpus) > 1:
            yield f"{where}.gpus beyond the first", "a session lives on one device"
        if group.gpus and group.kind in (ModelInstanceGroup.KIND_CPU, ModelInstanceGroup.KIND_MODEL):
            yield f"{where}.gpus", "the group's kind is none of a GPU"


def _said(message: Any, where: str, reasons: dict[str, str]) -> Iterator[tuple[str, str]]:
    said = {field.name for field, _ in message.ListFields()}
    for name, why in reasons.items():
        if name in said:
            yield f"{where}{name}", why
