"""What a model's configuration may not say, whatever the SavedModel is: Triton's own rules, and what is
not served here at all. Pure; texts name field and model, in Triton's words where clients may know them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from hotgraph_protos.model_config import ModelConfig, ModelDynamicBatching, ModelInput, ModelQueuePolicy
from hotgraph_server.errors import SettingsError
from hotgraph_server.model_config import datatypes
from hotgraph_server.model_config.sequence_batching import check_sequences
from hotgraph_server.models import reshaping
from hotgraph_server.settings.fields import check

_PLATFORM = "tensorflow_savedmodel"
_PLATFORMS = ("", _PLATFORM)
_BACKENDS = ("", "tensorflow", "hotgraph")
_IMAGE_RANK = 3


def check_config(config: ModelConfig, model: str) -> None:
    """Check a configuration.

    Args:
        config: as its owner wrote it.
        model: the name under which it is served.

    Raises:
        SettingsError: it cannot be; the text says why.
    """
    _check_kind(config, model)
    check(
        config.max_batch_size >= 0,
        f"'max_batch_size' must be non-negative value for {model}, got {config.max_batch_size}",
    )
    _check_version_policy(config, model)
    _check_tensors("input", config.input, model)
    _check_tensors("output", config.output, model)
    for tensor in config.input:
        _check_input(tensor, model)
    if config.HasField("dynamic_batching"):
        _check_dynamic_batching(config.dynamic_batching, config.max_batch_size, model)
    check_sequences(config, model)
    _check_answers(config, model)
    for index, group in enumerate(config.instance_group):
        check(
            group.count >= 0 and all(gpu >= 0 for gpu in group.gpus),
            f"instance_group[{index}] of {model}: count and gpus must not be negative",
        )
    _check_warmup(config, model)


def _check_kind(config: ModelConfig, model: str) -> None:
    """Is it a model that can be served here, and this one?"""
    check(
        config.name in ("", model),
        f"unexpected name {config.name!r} in the configuration of model {model!r}: leave it out, or give the"
        " model the name of its folder",
    )
    check(
        config.platform in _PLATFORMS,
        f"platform {config.platform!r} of {model} is not served here; {_PLATFORM} is",
    )
    check(
        config.backend in _BACKENDS,
        f"backend {config.backend!r} of {model} is not served here; tensorflow is",
    )
    for field, why in (
        ("ensemble_scheduling", "models made of others are not served here"),
        ("model_repository_agents", "no agents are run here, and the model may not be what they make of it"),
    ):
        check(not config.HasField(field), f"{field} of {model}: {why}")
    for field in ("batch_input", "batch_output"):
        check(
            not getattr(config, field),
            f"{field} of {model}: tensors for ragged batches are not made here; calls whose shapes differ run"
            " apart",
        )


def _check_version_policy(config: ModelConfig, model: str) -> None:
    policy = config.version_policy
    chosen = policy.WhichOneof("policy_choice")
    check(
        chosen != "latest" or policy.latest.num_versions >= 1,
        f"version_policy.latest.num_versions of {model} must be at least 1",
    )
    check(
        chosen != "specific" or bool(policy.specific.versions),
        f"version_policy.specific of {model} must name a version",
    )


def _check_tensors(kind: str, tensors: Iterable[Any], model: str) -> None:
    seen = set()
    for tensor in tensors:
        check(bool(tensor.name), f"model {kind} must specify 'name' for {model}")
        check(tensor.name not in seen, f"model {kind} '{tensor.name}' is there twice for {model}")
        seen.add(tensor.name)
        where = f"model {kind} '{tensor.name}' of {model}"
        check(
            tensor.data_type == 0 or datatypes.dtype_of(tensor.data_type) is not None,
            f"{where}: there is no data_type {tensor.data_type}",
        )
        shapes = [tensor.dims, tensor.reshape.shape] if tensor.HasField("reshape") else [tensor.dims]
        check(
            all(size >= 1 or size == reshaping.FREE for shape in shapes for size in shape),
            f"{where}: model {kind} dimension must be integer >= 1, or -1 to indicate a variable-size"
            " dimension",
        )
        if tensor.HasField("reshape"):
            check(bool(tensor.dims), f"{where}: a reshape needs dims")
            check(
                reshaping.fits(tensor.dims, tensor.reshape.shape),
                f"{where}: model {kind} has different size for dims and reshape: {list(tensor.dims)} and"
                f" {list(tensor.reshape.shape)}",
            )
        for field in ("is_shape_tensor", "is_non_linear_format_io"):
            check(not getattr(tensor, field), f"{where}: {field} is for TensorRT alone")


def _check_input(tensor: ModelInput, model: str) -> None:
    where = f"model input '{tensor.name}' of {model}"
    check(
        not tensor.allow_ragged_batch,
        f"{where}: allow_ragged_batch: a SavedModel takes no ragged batches; without it calls whose shapes"
        " differ run apart",
    )
    check(
        tensor.format in ModelInput.Format.values(),
        f"{where}: there is no format {tensor.format}",
    )
    check(
        tensor.format == ModelInput.FORMAT_NONE or not tensor.dims or len(tensor.dims) == _IMAGE_RANK,
        f"{where}: model input NHWC/NCHW require 3 dims, got {list(tensor.dims)}",
    )


def _check_dynamic_batching(batching: ModelDynamicBatching, max_batch_size: int, model: str) -> None:
    for size in batching.preferred_batch_size:
        check(size > 0, f"dynamic batching preferred size must be positive for {model}, got {size}")
        check(
            size <= max_batch_size,
            f"dynamic batching preferred size must be <= max batch size for {model}, got {size} and"
            f" {max_batch_size}",
        )
    levels = batching.priority_levels
    if levels:
        check(
            1 <= batching.default_priority_level <= levels,
            f"default priority level must be in range [1, {levels}] for {model},"
            f" got {batching.default_priority_level}",
        )
    else:
        check(
            not batching.default_priority_level,
            f"default_priority_level of {model} needs priority_levels",
        )
    for level in batching.priority_queue_policy:
        check(
            1 <= level <= levels,
            f"priority queue policy of {model} is for level {level}, and the levels are"
            f" {f'1 to {levels}' if levels else 'none'}",
        )
    if batching.preserve_ordering:
        check(
            levels <= 1,
            f"Only one priority level is allowed when 'preserve_ordering' is true for {model}, got {levels}",
        )
        policies = [batching.default_queue_policy, *batching.priority_queue_policy.values()]
        check(
            all(policy.timeout_action != ModelQueuePolicy.DELAY for policy in policies),
            f"Queue policy can not have DELAY as timeout action when 'preserve_ordering' is true for {model}",
        )


def _check_answers(config: ModelConfig, model: str) -> None:
    sequences = config.HasField("sequence_batching")
    decoupled = config.model_transaction_policy.decoupled
    if config.response_cache.enable:
        check(not sequences, f"Response caching does not support models with sequence batching: {model}")
        check(not decoupled, f"Response caching does not support decoupled models: {model}")


def _check_warmup(config: ModelConfig, model: str) -> None:
    for index, sample in enumerate(config.model_warmup):
        where = f"model_warmup[{index}] of {model}"
        for name, tensor in sample.inputs.items():
            check(
                tensor.WhichOneof("input_data_type") is not None,
                f"{where}: warmup setting expects zero_data, random_data or input_data_file for input"
                f" '{name}'",
            )
            check(
                all(size >= 0 for size in tensor.dims),
                f"{where}: warmup setting expects all variable-size dimensions are specified for input"
                f" '{name}'",
            )
            if datatypes.dtype_of(tensor.data_type) is None:
                raise SettingsError(f"{where}: input '{name}' needs a data_type")
