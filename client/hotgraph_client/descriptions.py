"""What a server says about itself and its models, as plain values."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field

from hotgraph_protos import open_inference as oip

# The keys of properties that describe a signature.
_INPUTS_OF = "inputs."


@dataclass(frozen=True)
class TensorMetadata:
    """An input or output. `shape` has -1 where any size goes; `datatype` is the protocol's, such as FP32."""

    name: str
    datatype: str
    shape: tuple[int, ...]

    def __str__(self) -> str:
        return f"{self.name} ({self.datatype} {list(self.shape)})"


@dataclass(frozen=True)
class ModelMetadata:
    """A model's face: what its default signature takes and gives.

    Attributes:
        properties: what the protocol has no field for, in the server's own words.
        signatures: what each signature takes, by name; empty where the server does not say.
    """

    name: str
    versions: tuple[str, ...]
    platform: str
    inputs: tuple[TensorMetadata, ...]
    outputs: tuple[TensorMetadata, ...]
    properties: Mapping[str, str] = field(default_factory=dict)
    signatures: Mapping[str, tuple[TensorMetadata, ...]] = field(default_factory=dict)


@dataclass(frozen=True)
class ServedVersion:
    """One version of a model, as its server lists it.

    Attributes:
        version: empty where the server does not say.
        state: in the server's word: READY, LOADING, UNLOADING or UNAVAILABLE; empty: not told.
        reason: why it is not ready, if it says so.
    """

    version: str
    state: str
    reason: str = ""


@dataclass(frozen=True)
class ServedModel:
    """A model that a server has, with its versions in the server's order."""

    name: str
    versions: tuple[ServedVersion, ...]

    @property
    def is_ready(self) -> bool:
        """Does one of its versions answer calls?"""
        return any(version.state == "READY" for version in self.versions)


@dataclass(frozen=True)
class ServerMetadata:
    """Name and version of the server, and the protocol extensions that it knows."""

    name: str
    version: str
    extensions: tuple[str, ...]


@dataclass(frozen=True)
class Timing:
    """How often something happened and how long it took in all."""

    count: int
    total_s: float

    @property
    def mean_s(self) -> float:
        """Seconds each time; 0.0 where it never happened."""
        return self.total_s / self.count if self.count else 0.0


@dataclass(frozen=True)
class BatchStatistics:
    """The runs of one batch size: `runs` of them, `run.total_s` in the graph."""

    rows: int
    run: Timing


@dataclass(frozen=True)
class ModelStatistics:
    """What one version of a model has done since it was loaded.

    Attributes:
        rows: rows answered.
        runs: runs of the graph; fewer than calls where batches were formed.
        success: calls answered, from arrival to answer.
        failure: calls refused or failed.
        queue: time that calls waited for a run.
        run: time in the graph, counted for each call.
        last_call_s: when the last call came, in seconds since the epoch; 0.0 before the first.
        batches: the same runs by batch size.
    """

    name: str
    version: str
    rows: int
    runs: int
    success: Timing
    failure: Timing
    queue: Timing
    run: Timing
    last_call_s: float
    batches: tuple[BatchStatistics, ...]

    @property
    def rows_per_run(self) -> float:
        """How full the batches were on average; 0.0 before the first."""
        return self.rows / self.runs if self.runs else 0.0


def read_model_metadata(response: oip.ModelMetadataResponse) -> ModelMetadata:
    """The wire's form as ours."""
    inputs, outputs = (
        tuple(TensorMetadata(tensor.name, tensor.datatype, tuple(tensor.shape)) for tensor in tensors)
        for tensors in (response.inputs, response.outputs)
    )
    properties = dict(response.properties)
    signatures = {
        key.removeprefix(_INPUTS_OF): _read_inputs(text)
        for key, text in properties.items()
        if key.startswith(_INPUTS_OF)
    }
    return ModelMetadata(
        response.name,
        tuple(response.versions),
        response.platform,
        inputs,
        outputs,
        properties,
        {name: found for name, found in signatures.items() if found is not None},
    )


def read_server_metadata(response: oip.ServerMetadataResponse) -> ServerMetadata:
    """The wire's form as ours."""
    return ServerMetadata(response.name, response.version, tuple(response.extensions))


def read_index(response: oip.RepositoryIndexResponse) -> tuple[ServedModel, ...]:
    """The wire's form, a row for each version, as ours; models in the order of their first rows."""
    versions: dict[str, list[ServedVersion]] = {}
    for row in response.models:
        versions.setdefault(row.name, []).append(ServedVersion(row.version, row.state, row.reason))
    return tuple(ServedModel(name, tuple(found)) for name, found in versions.items())


def read_statistics(response: oip.ModelStatisticsResponse) -> tuple[ModelStatistics, ...]:
    """The wire's form as ours, one entry for each version."""
    return tuple(
        ModelStatistics(
            name=model.name,
            version=model.version,
            rows=model.inference_count,
            runs=model.execution_count,
            success=_timing(model.inference_stats.success),
            failure=_timing(model.inference_stats.fail),
            queue=_timing(model.inference_stats.queue),
            run=_timing(model.inference_stats.compute_infer),
            last_call_s=model.last_inference / 1000,
            batches=tuple(
                BatchStatistics(batch.batch_size, _timing(batch.compute_infer)) for batch in model.batch_stats
            ),
        )
        for model in response.model_stats
    )


def _read_inputs(text: str) -> tuple[TensorMetadata, ...] | None:
    """The inputs of a signature as hotgraph servers write them; None: another's text, of another meaning."""
    try:
        return tuple(
            TensorMetadata(str(one["name"]), str(one["datatype"]), tuple(map(int, one["shape"])))
            for one in json.loads(text)
        )
    except (ValueError, TypeError, KeyError):
        return None


def _timing(duration: oip.StatisticDuration) -> Timing:
    return Timing(duration.count, duration.ns / 1e9)
