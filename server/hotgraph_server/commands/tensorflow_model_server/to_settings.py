"""A command line of TensorFlow Serving's, as settings of ours; and what is to be said about it.

Reads the files that flags name, and nothing else. `check` finds most mistakes without TensorFlow; `models`
and `models_in` import it, with the protocol whose messages they read.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tensorflow_serving.config.model_server_config_pb2 import ModelServerConfig

from hotgraph_protos.tensorflow_serving_files import MonitoringConfig, SSLConfig
from hotgraph_server import text_proto
from hotgraph_server.access.gate import gate_of
from hotgraph_server.commands.tensorflow_model_server import channel_arguments
from hotgraph_server.commands.tensorflow_model_server.flag_table import FLAGS
from hotgraph_server.commands.tensorflow_model_server.flags import Given
from hotgraph_server.errors import ConfigError, SettingsError
from hotgraph_server.model_config import batching_parameters
from hotgraph_server.observability.request_log.placing import checked_folder
from hotgraph_server.repository import changes
from hotgraph_server.settings import (
    TENSORFLOW,
    AccessSettings,
    AdminSettings,
    BatchSettings,
    ControlSettings,
    HealthSettings,
    ListenSettings,
    LoadReportSettings,
    ModelFactory,
    ModelSettings,
    OnDemandSettings,
    OpsSettings,
    PredictionSettings,
    ProcessSettings,
    RepositorySettings,
    RestSettings,
    ServerSettings,
    SessionSettings,
    WarmupSettings,
)
from hotgraph_server.settings.control import AUTO, NONE
from hotgraph_server.settings.fields import Count
from hotgraph_server.settings.local_paths import local_path
from hotgraph_server.transport import tls


def check(given: Given) -> None:
    """Do the flags go together, and can the files that they name be read?

    Raises:
        StartError: they do not, or cannot; the text names them.
    """
    _check_flags(given)
    settings = server_settings(given, [])
    gate_of(settings.access)
    tls.check(settings.listen)
    checked_folder(settings.access.request_log_dir)
    model_factory(given)
    if path := given.text("model_config_file"):
        text_proto.read(Path(path), ModelServerConfig)
    elif not Path(local_path(given.text("model_base_path"))).is_absolute():
        raise SettingsError(f"--model_base_path must be absolute, got {given.text('model_base_path')!r}")


def server_settings(given: Given, models: Sequence[ModelSettings]) -> ServerSettings:
    """All settings but those of the models, which come ready.

    Raises:
        SettingsError: a file or a value is wrong.
    """
    waiting = max((model.batch.max_queued_calls for model in models), default=0)
    return ServerSettings(
        tuple(models),
        _listen(given, waiting),
        AdminSettings(given.number("admin_port")),
        _rest(given),
        _repository(given),
        PredictionSettings(
            tensor_content=given.is_on("enable_serialization_as_tensor_content"),
            check_method_names=given.is_on("enable_signature_method_name_check"),
            strict_shapes=given.is_on("strict_shapes") if "strict_shapes" in given.named else None,
        ),
        ops=ops(given),
        access=AccessSettings(auth=given.text("auth"), request_log_dir=given.text("request_log_dir")),
        processes=_processes(given.text("processes")),
        control=_control(given.text("model_control")),
        on_demand=OnDemandSettings(given.number("memory_mb")),
        health=HealthSettings(given.number("health_port")),
        load_reports=LoadReportSettings(given.text("load_reports")),
    )


def _control(text: str) -> ControlSettings:
    if text not in (NONE, AUTO):
        raise SettingsError(f"--model_control must be {NONE} or {AUTO}, got {text!r}")
    return ControlSettings(model_control=text)


def _processes(text: str) -> ProcessSettings:
    try:
        return ProcessSettings(Count(text))
    except ValueError:
        raise SettingsError(f"--processes takes a number or auto, got {text!r}") from None


def ops(given: Given) -> OpsSettings:
    """What brings ops that TensorFlow does not have."""
    return OpsSettings(given.texts("import"), given.texts("load_op_library"))


def model_factory(given: Given, device: str = "/CPU:0") -> ModelFactory:
    """What every model is like, however it is named later.

    Raises:
        SettingsError: a file or a value is wrong.
    """
    batch = plain = BatchSettings(refuse_with="unavailable")
    if path := given.text("batching_parameters_file"):
        batch = batching_parameters.read(Path(path), batch)
    elif given.is_on("enable_batching"):
        batch = batching_parameters.defaults(batch)
    if given.is_on("enable_per_model_batching_parameters"):
        # TensorFlow Serving takes threads alone from the file for all, which have no meaning here, and does
        # not batch a version without a file of its own.
        batch = plain
    session = _session(given, device)
    warmup = WarmupSettings(
        warmup_records=given.is_on("enable_model_warmup"),
        warmup_rounds=max(given.number("num_request_iterations_for_warmup"), 1),
    )
    per_model = given.is_on("enable_per_model_batching_parameters")

    def make(name: str, path: Path, _: object) -> ModelSettings:
        return ModelSettings(name, path, batch, session, warmup=warmup, batching_params=per_model)

    return make


def models(given: Given, make: ModelFactory) -> list[ModelSettings]:
    """The models that the flags name: the one of --model_base_path, or those of the config file.

    Raises:
        SettingsError: the file cannot be read, or what it or the flags say cannot be.
    """
    if path := given.text("model_config_file"):
        found = models_in(Path(path), make)
        try:
            changes.check(found, {}, {})
        except ConfigError as error:
            raise SettingsError(f"{path}: {error}") from error
        return found
    config = ModelServerConfig()
    config.model_config_list.config.add(
        name=given.text("model_name"), base_path=given.text("model_base_path"), model_platform=TENSORFLOW
    )
    return _models_of(config, make, "--model_base_path")


def models_in(path: Path, make: ModelFactory, *, again: bool = False) -> list[ModelSettings]:
    """The models of a model config file, whatever is served so far.

    Args:
        again: it has been read before. Then a file that says nothing at all is one that is being written,
            and no wish to serve nothing; an empty model_config_list says that, as in TensorFlow Serving.

    Raises:
        SettingsError: it cannot be read, or what it says can never be; the text names the file.
    """
    config = text_proto.read(path, ModelServerConfig)
    if again and config.WhichOneof("config") is None:
        raise SettingsError(f"{path}: it is empty; an empty model_config_list would serve no model")
    return _models_of(config, make, str(path))


def _models_of(config: Any, make: ModelFactory, where: str) -> list[ModelSettings]:
    # Here, because the protocol's other messages bring TensorFlow.
    from hotgraph_server.protocols.tfs.model_config import models_of

    try:
        return models_of(config, make)
    except ConfigError as error:
        raise SettingsError(f"{where}: {error}") from error


def remarks(given: Given) -> list[str]:
    """What the log says about a command line: what is as in TensorFlow Serving though one might not expect
    it, what is not, and what was given in vain. For one that `check` has passed."""
    lines = [
        f"--{flag.name} has no meaning here: {flag.help}"
        for flag in FLAGS.values()
        if flag.name in given.named and not flag.has_meaning
    ]
    if path := given.text("batching_parameters_file"):
        lines += batching_parameters.remarks(Path(path))
    if unknown := channel_arguments.without_meaning(given.text("grpc_channel_arguments")):
        lines.append(f"--grpc_channel_arguments: {', '.join(unknown)} has no meaning here")
    if given.text("model_config_file") and {"model_name", "model_base_path"} & given.named:
        lines.append("--model_config_file names the models; --model_name and --model_base_path do not count")
    if given.number("file_system_poll_wait_seconds") < 0:
        lines.append("--file_system_poll_wait_seconds below 0 is taken as 0: versions are looked for once")
    if not given.is_on("enable_batching"):
        lines.append(
            "without --enable_batching too calls share runs, where that was tried to change no answer"
        )
    if given.text("monitoring_config_file") and not given.number("rest_api_port"):
        lines.append("--monitoring_config_file: Prometheus is shown on the REST port; give --rest_api_port")
    if "host" not in given.named and not _socket_only(given):
        lines.append(
            "listening on all networks of this machine, as TensorFlow Serving does;"
            " --host=127.0.0.1 keeps it to this machine"
        )
    return lines


def _check_flags(given: Given) -> None:
    on, text = given.is_on, given.text
    if given.number("port") < 0 or given.number("rest_api_port") < 0:
        raise SettingsError("--port and --rest_api_port must be 0 to 65535")
    if on("use_alts_credentials"):
        both = " and --ssl_config_file exclude each other, and ALTS" if text("ssl_config_file") else ""
        raise SettingsError(
            f"--use_alts_credentials{both} is not served: it exists in Google's network only, and calls must"
            " not come in without it unnoticed; --ssl_config_file turns TLS on"
        )
    if not text("model_base_path") and not text("model_config_file"):
        raise SettingsError("give --model_base_path=/DIR for one model, or --model_config_file=FILE for many")
    for flag in ("batching_parameters_file", "enable_per_model_batching_parameters"):
        if given.values[flag] and not on("enable_batching"):
            raise SettingsError(f"--{flag} needs --enable_batching")
    threads = ("session", "intra_op", "inter_op")
    if all(given.number(f"tensorflow_{kind}_parallelism") for kind in threads):
        raise SettingsError(
            "--tensorflow_session_parallelism is short for --tensorflow_intra_op_parallelism and"
            " --tensorflow_inter_op_parallelism; give it, or these two"
        )


def _listen(given: Given, waiting: int) -> ListenSettings:
    settings = ListenSettings(
        host=given.text("host"),
        port=given.number("port"),
        socket_path=given.text("grpc_socket_path"),
        socket_only=_socket_only(given),
        **channel_arguments.settings(given.text("grpc_channel_arguments")),
        **_tls(given),
    )
    # Whatever may wait for a model must come in at the door.
    return dataclasses.replace(settings, max_calls=max(settings.max_calls, waiting))


def _socket_only(given: Given) -> bool:
    return bool(given.text("grpc_socket_path")) and not given.number("port")


def _tls(given: Given) -> dict[str, Any]:
    path = given.text("ssl_config_file")
    if not path:
        return {}
    config: Any = text_proto.read(Path(path), SSLConfig)
    if not config.server_key or not config.server_cert:
        raise SettingsError(f"{path}: needs server_key and server_cert, as PEM texts")
    if config.client_verify and not config.custom_ca:
        raise SettingsError(f"{path}: client_verify needs custom_ca, the authority that signs clients")
    for field in ("server_key", "server_cert", "custom_ca"):
        if getattr(config, field) and "-----BEGIN " not in getattr(config, field):
            raise SettingsError(f"{path}: {field} must be a PEM text, not the name of a file")
    authority = config.custom_ca if config.client_verify else ""
    return {"tls_key": config.server_key, "tls_cert": config.server_cert, "tls_client_ca": authority}


def _rest(given: Given) -> RestSettings:
    settings = RestSettings(
        rest_port=given.number("rest_api_port"),
        rest_timeout_ms=given.number("rest_api_timeout_in_ms"),
        rest_cors=given.is_on("rest_api_enable_cors_support"),
        # The SSLConfig is about gRPC's port alone there, and clients of REST come as they did.
        rest_clear_text=True,
    )
    if threads := given.number("rest_api_num_threads"):
        settings = dataclasses.replace(settings, rest_threads=threads)
    if path := given.text("monitoring_config_file"):
        config = text_proto.read(Path(path), MonitoringConfig).prometheus_config
        settings = dataclasses.replace(settings, prometheus=config.enable)
        if config.path:
            settings = dataclasses.replace(settings, prometheus_path=config.path)
    return settings


def _repository(given: Given) -> RepositorySettings:
    return RepositorySettings(
        poll_s=float(max(given.number("file_system_poll_wait_seconds"), 0)),
        load_threads=max(given.number("num_load_threads"), 0),
        max_load_retries=given.number("max_num_load_retries"),
        load_retry_s=given.number("load_retry_interval_micros") / 1e6,
        wait_for_models=True,
        labels_ahead=given.is_on("allow_version_labels_for_unavailable_models"),
    )


def _session(given: Given, device: str) -> SessionSettings:
    both = given.number("tensorflow_session_parallelism")
    return SessionSettings(
        device=device,
        intra_op_threads=given.number("tensorflow_intra_op_parallelism") or both,
        inter_op_threads=given.number("tensorflow_inter_op_parallelism") or both,
        gpu_memory_fraction=given.share("per_process_gpu_memory_fraction"),
        session_config=given.text("tensorflow_session_config_file"),
    )
