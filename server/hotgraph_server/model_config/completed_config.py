"""What a model's configuration leaves out, as Triton shows it to clients. Pure."""

from __future__ import annotations

from hotgraph_protos.model_config import ModelConfig, ModelInstanceGroup, ModelVersionPolicy
from hotgraph_server.settings import AllVersions, Latest, ModelSettings, Specific, VersionPolicy

PLATFORM = "tensorflow_savedmodel"
BACKEND = "tensorflow"


def complete(config: ModelConfig, settings: ModelSettings, *, batched: bool, joined: bool) -> None:
    """Fill in, as Triton shows it, all that a configuration leaves out but its tensors.

    Args:
        config: is changed.
        settings: of the model.
        batched: is dimension 0 of its tensors the batch's?
        joined: do calls of its default signature share batches?
    """
    config.name = settings.name
    config.platform = PLATFORM
    config.backend = BACKEND
    config.default_model_filename = config.default_model_filename or settings.folder.saved_model
    if config.version_policy.WhichOneof("policy_choice") is None:
        config.version_policy.CopyFrom(_policy(settings.versions))
    own_size = config.max_batch_size
    if batched and not own_size:
        config.max_batch_size = settings.batch.max_batch_rows
    if config.WhichOneof("scheduling_choice") is None and joined and config.max_batch_size > 1:
        batching = config.dynamic_batching
        batching.SetInParent()
        batching.preferred_batch_size.extend(settings.batch.preferred_batch_rows)
        batching.max_queue_delay_microseconds = settings.batch.max_wait_us
    if config.HasField("dynamic_batching") and config.max_batch_size:
        batching = config.dynamic_batching
        if not batching.preferred_batch_size:
            batching.preferred_batch_size.append(config.max_batch_size)
    if not config.instance_group:
        config.instance_group.add()
    for index, group in enumerate(config.instance_group):
        _complete_group(group, index, settings)


def _complete_group(group: ModelInstanceGroup, index: int, settings: ModelSettings) -> None:
    group.name = group.name or f"{settings.name}_{index}"
    group.count = group.count or 1
    kind, number = settings.session.canonical_device.split(":")[-2:]
    if group.kind == ModelInstanceGroup.KIND_AUTO:
        group.kind = ModelInstanceGroup.KIND_GPU if kind == "GPU" else ModelInstanceGroup.KIND_CPU
    if group.kind == ModelInstanceGroup.KIND_GPU and not group.gpus:
        group.gpus.append(int(number))


def _policy(versions: VersionPolicy) -> ModelVersionPolicy:
    if isinstance(versions, Latest):
        return ModelVersionPolicy(latest=ModelVersionPolicy.Latest(num_versions=versions.count))
    if isinstance(versions, AllVersions):
        return ModelVersionPolicy(all=ModelVersionPolicy.All())
    assert isinstance(versions, Specific)
    return ModelVersionPolicy(specific=ModelVersionPolicy.Specific(versions=versions.numbers))
