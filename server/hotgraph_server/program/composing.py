"""The settings of a server, from the values of single ones and the models that somebody named."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from hotgraph_server.errors import SettingsError
from hotgraph_server.model_control.model_factory import ConfiguredModels, in_folder
from hotgraph_server.program.converting import given_path
from hotgraph_server.settings import (
    AccessSettings,
    AdminSettings,
    ControlSettings,
    ConversionSettings,
    ForwardingSettings,
    HealthSettings,
    InferenceSettings,
    ListenSettings,
    LoadReportSettings,
    LoggingSettings,
    ModelSettings,
    OnDemandSettings,
    OpsSettings,
    OtlpSettings,
    PredictionSettings,
    ProcessSettings,
    RepositorySettings,
    ResponseCacheSettings,
    RestSettings,
    ServerSettings,
    SharedMemorySettings,
    TraceSettings,
    build,
)
from hotgraph_server.settings.control import POLL

# Of model-control poll, where poll-s is not given; as Triton has it.
_POLL_S = 15.0


def server_settings(
    values: Mapping[str, Any],
    of_models: Mapping[str, Mapping[str, Any]],
    named: Sequence[tuple[str, Path]],
    file: Path | None = None,
    otherwise: ModelSettings | None = None,
) -> ServerSettings:
    """
    Args:
        values: of settings, by name.
        of_models: of single models, by theirs; one that lies in no repository has its folder under `path`.
        named: models and their folders.
        file: that `of_models` comes from, for errors.
        otherwise: a model that is served where none is named and no repository.

    Raises:
        SettingsError: a value or a model that cannot be.
    """
    control = build(ControlSettings, values)
    repositories = tuple(str(given_path(one)) for one in control.repository)
    control = dataclasses.replace(control, repository=repositories)
    tables = {name: table for name, table in of_models.items() if "path" not in table}
    if tables and not control.repository:
        raise SettingsError(f'{file}: [models.{min(tables)}] needs path = "DIR", or a repository')
    models = [
        in_folder(name, given_path(table["path"]), values, table)
        for name, table in of_models.items()
        if "path" in table
    ]
    models += [in_folder(name, folder, values) for name, folder in named]
    if not models and not control.repository and otherwise is not None:
        models = [otherwise]
    repository = build(RepositorySettings, values)
    if control.model_control == POLL and not repository.poll_s:
        repository = dataclasses.replace(repository, poll_s=_POLL_S)
    listen, access, rest = (
        build(ListenSettings, values),
        build(AccessSettings, values),
        build(RestSettings, values),
    )
    if "rest_port" not in values and _has_locks_that_rest_lacks(listen, access):
        rest = dataclasses.replace(rest, rest_port=0)
    return ServerSettings(
        tuple(models),
        listen,
        build(AdminSettings, values),
        rest,
        repository,
        build(PredictionSettings, values),
        build(SharedMemorySettings, values),
        build(ResponseCacheSettings, values),
        control=control,
        offered=ConfiguredModels(values, tables) if control.repository else None,
        inference=build(InferenceSettings, values),
        tracing=build(TraceSettings, values),
        otlp=build(OtlpSettings, values),
        logging=build(LoggingSettings, values),
        ops=build(OpsSettings, values),
        access=access,
        processes=build(ProcessSettings, values),
        health=build(HealthSettings, values),
        load_reports=build(LoadReportSettings, values),
        on_demand=build(OnDemandSettings, values),
        conversion=build(ConversionSettings, values),
        forwarding=build(ForwardingSettings, values),
    )


def _has_locks_that_rest_lacks(listen: ListenSettings, access: AccessSettings) -> bool:
    """Who has locked gRPC's door by what HTTP's does not have shall not find that one open, unasked."""
    restricted = access.grpc_restricted_protocol and not access.http_restricted_api
    return bool(listen.socket_only or restricted)
