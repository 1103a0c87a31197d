"""A model's configuration as settings of ours. Pure.

What it promises: any inference.ModelConfig either gives settings, or a SettingsError that names the field.
The settings of the server hold for whatever a configuration does not say; what it says wins over them,
because it is the model's own.

Two of its words mean something else here than in Triton. A model whose configuration has no
``dynamic_batching`` is batched all the same, where that was tried to change no answer. And one that has it is
batched only then, unless the owner vouches for it (parameters.py: HOTGRAPH_BATCHING).
"""

from __future__ import annotations

import dataclasses
from typing import Any

from hotgraph_protos.model_config import (
    ModelConfig,
    ModelDynamicBatching,
    ModelInstanceGroup,
    ModelQueuePolicy,
    ModelSequenceBatching,
)
from hotgraph_server.errors import SettingsError
from hotgraph_server.model_config import parameters, without_meaning
from hotgraph_server.model_config.validation import check_config
from hotgraph_server.settings import (
    AllVersions,
    BatchSettings,
    Latest,
    ModelSettings,
    QueuePolicy,
    SessionSettings,
    Specific,
    VersionPolicy,
)
from hotgraph_server.settings.fields import build

# The longest wait that our settings take.
_LONGEST_WAIT_US = 10_000_000


def settings_from(config: ModelConfig, base: ModelSettings) -> tuple[ModelSettings, list[str]]:
    """The settings of a model that brings a configuration.

    Args:
        config: as it was read; it becomes `ModelSettings.config`, and must not change any more.
        base: what the model's settings would be without it.

    Returns:
        The settings, and for the log a line for each field that changes nothing, or not all that it says.

    Raises:
        SettingsError: it cannot be, or not here; the text names the model and the field.
    """
    check_config(config, base.name)
    lines = without_meaning.remarks(config)
    try:
        ours = parameters.ours(config)
        settings = dataclasses.replace(
            base,
            batch=_batch(config, base.batch, ours, lines),
            session=_session(config, base.session, ours, lines),
            warmup=dataclasses.replace(base.warmup, **_own(ours, base.warmup)),
            residency=dataclasses.replace(base.residency, **_own(ours, base.residency)),
            shadow=dataclasses.replace(base.shadow, **_own(ours, base.shadow)),
            versions=_versions(config, base.versions),
            config=config,
        )
    except SettingsError as error:
        raise SettingsError(f"the configuration of model '{base.name}': {error}") from error
    return settings, [f"model '{base.name}': {line}" for line in lines]


def _versions(config: ModelConfig, base: VersionPolicy) -> VersionPolicy:
    policy = config.version_policy
    chosen = policy.WhichOneof("policy_choice")
    if chosen == "latest":
        return Latest(policy.latest.num_versions)
    if chosen == "all":
        return AllVersions()
    return Specific(tuple(policy.specific.versions)) if chosen == "specific" else base


def _batch(config: ModelConfig, base: BatchSettings, ours: dict[str, Any], lines: list[str]) -> BatchSettings:
    values: dict[str, Any] = {}
    if config.max_batch_size:
        values["max_batch_rows"] = config.max_batch_size
    if config.HasField("dynamic_batching"):
        values |= _queue(config.dynamic_batching, lines)
    if config.sequence_batching.HasField("oldest"):
        values |= _company(config.sequence_batching.oldest, "sequence_batching.oldest", lines)
    values |= _own(ours, base)
    rows = values.get("max_batch_rows", base.max_batch_rows)
    # What the server says of all its models' queues and sizes gives way to the size of this one.
    if "max_queued_rows" not in values and base.max_queued_rows:
        values["max_queued_rows"] = max(base.max_queued_rows, rows)
    if "row_buckets" not in values and base.row_buckets:
        values["row_buckets"] = (*(size for size in base.row_buckets if size < rows), rows)
    if "preferred_batch_rows" not in values:
        values["preferred_batch_rows"] = tuple(size for size in base.preferred_batch_rows if size <= rows)
    return dataclasses.replace(base, **values)


def _queue(batching: ModelDynamicBatching, lines: list[str]) -> dict[str, Any]:
    return {
        **_company(batching, "dynamic_batching", lines),
        "priority_levels": max(batching.priority_levels, 1),
        "default_priority_level": batching.default_priority_level,
        "queue_policy": _policy(batching.default_queue_policy),
        "queue_policy_by_level": {
            level: _policy(policy) for level, policy in sorted(batching.priority_queue_policy.items())
        },
    }


def _company(
    batching: ModelDynamicBatching | ModelSequenceBatching.StrategyOldest, field: str, lines: list[str]
) -> dict[str, Any]:
    """How calls wait for others, and leave."""
    wait_us = batching.max_queue_delay_microseconds
    if wait_us > _LONGEST_WAIT_US:
        lines.append(
            f"{field}.max_queue_delay_microseconds is taken as {_LONGEST_WAIT_US}, the longest wait there is"
            " here"
        )
    return {
        "max_wait_us": min(wait_us, _LONGEST_WAIT_US),
        "preferred_batch_rows": tuple(sorted(set(batching.preferred_batch_size))),
        "preserve_ordering": batching.preserve_ordering,
    }


def _policy(policy: ModelQueuePolicy) -> QueuePolicy:
    return build(
        QueuePolicy,
        {
            "max_queue_size": policy.max_queue_size,
            "default_timeout_us": policy.default_timeout_microseconds,
            "allow_timeout_override": policy.allow_timeout_override,
            "timeout_action": "delay" if policy.timeout_action == ModelQueuePolicy.DELAY else "reject",
        },
    )


def _session(
    config: ModelConfig, base: SessionSettings, ours: dict[str, Any], lines: list[str]
) -> SessionSettings:
    values = parameters.of_session(config) | _own(ours, base)
    device = _device(config)
    if device is not None:
        values["device"] = device
    if config.optimization.graph.level > 0 and "xla" not in values:
        plan, budget_s = values.get("plan", base.plan), values.get("plan_budget_s", base.plan_budget_s)
        if plan == "as-saved" or not budget_s:
            lines.append("optimization.graph.level asks for XLA, but by setting no plans are tried")
        else:
            values["xla"] = True
    return dataclasses.replace(base, **values)


def _device(config: ModelConfig) -> str | None:
    """Where the first group of instances lives; None: it does not say."""
    if not config.instance_group:
        return None
    group = config.instance_group[0]
    if group.kind == ModelInstanceGroup.KIND_CPU:
        return "/CPU:0"
    # As in Triton, a group that names GPUs and no kind means them.
    named = group.kind == ModelInstanceGroup.KIND_AUTO and group.gpus
    if group.kind == ModelInstanceGroup.KIND_GPU or named:
        return f"/GPU:{group.gpus[0] if group.gpus else 0}"
    return None


def _own(ours: dict[str, Any], owner: Any) -> dict[str, Any]:
    """Those of `ours` that are an owner's."""
    return {name: value for name, value in ours.items() if hasattr(owner, name)}
