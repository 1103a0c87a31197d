"""The table of TensorFlow Serving's flags; flags.py reads command lines by it."""

from __future__ import annotations

from dataclasses import dataclass

Value = bool | int | float | str | tuple[str, ...]

GROUPS = {
    "listen": "where calls come in",
    "models": "models and their versions",
    "batch": "batches",
    "run": "TensorFlow",
    "answer": "answers",
    "access": "who may call what",
    "watch": "monitoring",
    "none": "taken, and without a meaning here",
}


@dataclass(frozen=True)
class Flag:
    """One flag.

    Attributes:
        name: with underscores, as TensorFlow Serving has it.
        default: TensorFlow Serving's own; its type is the flag's: a tuple is one of texts, whose flag may be
            given more than once.
        group: what it is about; ``none``: it has no meaning here.
        help: what it does here; for a flag without a meaning, why it has none.
        wide: an integer of 64 bits, not 32.
    """

    name: str
    default: Value
    group: str
    help: str
    wide: bool = False

    @property
    def kind(self) -> type:
        """Of its values: bool, int, float, str or tuple."""
        return type(self.default)

    @property
    def has_meaning(self) -> bool:
        """Does it change anything here?"""
        return self.group != "none"


def _flag(group: str, name: str, default: Value, help: str, wide: bool = False) -> Flag:
    return Flag(name, default, group, help, wide)


_THREADS = "4 x CPUs there; here one thread reads calls, and each version has one that runs them"
_TFLITE = "TFLite models are not served; a version is its SavedModel"

# TensorFlow Serving's defaults. Where it works one out from the CPUs, 0 stands for that.
_ALL = (
    _flag("listen", "port", 8500, "port for gRPC; 0 picks a free one, or none if there is a Unix socket"),
    _flag(
        "listen",
        "host",
        "0.0.0.0",
        "address to listen on, for gRPC and REST; ours alone",
    ),
    _flag("listen", "grpc_socket_path", "", "file name of a Unix socket for gRPC, beside the port"),
    _flag(
        "listen",
        "ssl_config_file",
        "",
        "text file of an SSLConfig: server_key, server_cert, custom_ca (PEM texts) and client_verify;"
        " turns TLS on for gRPC",
    ),
    _flag(
        "listen",
        "use_alts_credentials",
        False,
        "refused: ALTS exists in Google's network only, and calls must not come in without it unnoticed",
    ),
    _flag(
        "listen",
        "grpc_channel_arguments",
        "",
        "NAME=VALUE,NAME=VALUE for gRPC; grpc.max_receive_message_length counts here,"
        " grpc.default_compression_level or grpc.default_compression_algorithm, and"
        " grpc.max_connection_age_ms, grpc.max_connection_age_grace_ms and grpc.max_connection_idle_ms",
    ),
    _flag(
        "listen",
        "processes",
        "1",
        "servers behind the same ports, each a process on processors of its own; auto: one for every two"
        " processors; ours alone",
    ),
    _flag("listen", "rest_api_port", 0, "port for REST; 0: no REST"),
    _flag("listen", "rest_api_timeout_in_ms", 30_000, "time that a REST call has, milliseconds"),
    _flag("listen", "rest_api_num_threads", 0, "threads for REST; 0: our own choice"),
    _flag("listen", "rest_api_enable_cors_support", False, "let web pages from anywhere call REST"),
    _flag("models", "model_name", "default", "what clients call the model of --model_base_path"),
    _flag("models", "model_base_path", "", "folder of numbered versions, absolute; or --model_config_file"),
    _flag("models", "model_config_file", "", "text file of a ModelServerConfig: any number of models"),
    _flag(
        "models",
        "model_config_file_poll_wait_seconds",
        0,
        "read that file again so often; a new one that is wrong changes nothing; 0: never",
    ),
    _flag(
        "models",
        "file_system_poll_wait_seconds",
        1,
        "look for new and removed versions so often; 0: at start only",
    ),
    _flag(
        "models",
        "model_control",
        "none",
        "none: every model is loaded at start; auto: each when it is called, within --memory_mb; ours alone",
    ),
    _flag(
        "models",
        "memory_mb",
        0,
        "MiB that all models together may hold under --model_control=auto; 0: no limit; ours alone",
    ),
    _flag(
        "models", "max_num_load_retries", 5, "how often the loading of a version that failed is tried again"
    ),
    _flag(
        "models",
        "load_retry_interval_micros",
        60_000_000,
        "longest pause before such a try, microseconds",
        wide=True,
    ),
    _flag(
        "models",
        "num_load_threads",
        0,
        "versions that may be loaded at a time; 0: one by one",
    ),
    _flag(
        "models",
        "enable_model_warmup",
        True,
        "warm versions up with the records in assets.extra/tf_serving_warmup_requests",
    ),
    _flag("models", "num_request_iterations_for_warmup", 0, "how often each of these is run; 0: once"),
    _flag(
        "models",
        "allow_version_labels_for_unavailable_models",
        False,
        "a new label may name a version that is not live yet; it holds once that is",
    ),
    _flag(
        "batch",
        "enable_batching",
        False,
        "take TensorFlow Serving's limits for batches; calls share runs without it too, where that was tried"
        " to change no answer",
    ),
    _flag(
        "batch", "batching_parameters_file", "", "text file of BatchingParameters; needs --enable_batching"
    ),
    _flag(
        "batch",
        "enable_per_model_batching_parameters",
        False,
        "read batching_params.pbtxt in each version's folder; needs --enable_batching",
    ),
    _flag("run", "tensorflow_session_parallelism", 0, "threads in and between ops; 0: TensorFlow decides"),
    _flag("run", "tensorflow_intra_op_parallelism", 0, "threads within an op; 0: TensorFlow decides"),
    _flag("run", "tensorflow_inter_op_parallelism", 0, "threads between ops; 0: TensorFlow decides"),
    _flag(
        "run",
        "tensorflow_session_config_file",
        "",
        "text file of a tensorflow.ConfigProto that sessions start from",
    ),
    _flag(
        "run",
        "import",
        (),
        "a Python module that brings ops of its own, such as tensorflow_text; may be given again for another"
        " one; ours alone: TensorFlow Serving has the ops that it was built with",
    ),
    _flag("run", "load_op_library", (), "a library of ops (.so), in the same way; ours alone"),
    _flag("run", "per_process_gpu_memory_fraction", 0.0, "share of a GPU's memory to take; 0: what it needs"),
    _flag(
        "answer",
        "enable_serialization_as_tensor_content",
        False,
        "answer Predict with tensor_content in place of typed fields",
    ),
    _flag(
        "answer",
        "enable_signature_method_name_check",
        False,
        "hold signatures' method_name against the kind of call",
    ),
    _flag(
        "answer",
        "strict_shapes",
        False,
        "refuse inputs whose shape contradicts the signature, on REST and Predict; =false: on neither; where"
        " the flag is not given REST does; TensorFlow Serving does not have this flag",
    ),
    _flag(
        "access",
        "auth",
        "",
        "TOML file that closes groups of methods or gives them keys; read again on SIGHUP; ours alone",
    ),
    _flag(
        "access",
        "request_log_dir",
        "",
        "folder that a logging_config in HandleReloadConfigRequest may have calls written down in; such a"
        " request is refused without it; ours alone",
    ),
    _flag(
        "watch",
        "monitoring_config_file",
        "",
        "text file of a MonitoringConfig; Prometheus is shown on the REST port",
    ),
    _flag(
        "watch",
        "admin_port",
        0,
        "HTTP port for Prometheus' metrics, /healthz, /readyz and the live page; 0: none; ours alone",
    ),
    _flag(
        "watch",
        "health_port",
        0,
        "port for grpc.health.v1 alone, in the clear and without keys; 0: none; ours alone",
    ),
    _flag(
        "watch",
        "load_reports",
        "asked",
        "which answers carry an ORCA load report: asked, always or never; ours alone",
    ),
    _flag("watch", "version", False, "print the version, and end"),
    _flag("none", "grpc_max_threads", 0, _THREADS),
    _flag(
        "none",
        "num_unload_threads",
        0,
        "a version is unloaded by its own executor; nobody waits for it",
    ),
    _flag(
        "none",
        "flush_filesystem_caches",
        True,
        "the system gives files' memory back by itself when it is needed",
    ),
    _flag("none", "saved_model_tags", "serve", "the tags are taken from the SavedModel"),
    _flag("none", "platform_config_file", "", "tensorflow is the one platform"),
    _flag(
        "none",
        "remove_unused_fields_from_bundle_metagraph",
        True,
        "what a version does not need is freed anyway",
    ),
    _flag("none", "prefer_tflite_model", False, _TFLITE),
    _flag("none", "num_tflite_pools", 0, _TFLITE),
    _flag("none", "num_tflite_interpreters_per_pool", 1, _TFLITE),
    _flag(
        "none",
        "xla_cpu_compilation_enabled",
        False,
        "functions with jit_compile are compiled without it",
    ),
    _flag(
        "none",
        "xla_gpu_compilation_enabled",
        False,
        "functions with jit_compile are compiled without it",
    ),
    _flag("none", "enable_profiler", True, "TensorFlow's profiler service is not on the port"),
    _flag("none", "thread_pool_factory_config_file", "", "there is no such factory outside of Google"),
    _flag("none", "mixed_precision", "", "graphs are run with the precision that they were saved with"),
    _flag("none", "skip_initialize_tpu", False, "TPUs are not used"),
    _flag("none", "enable_grpc_healthcheck_service", False, "health is always on, and true for each model"),
)

OURS = frozenset(
    {
        *("admin_port", "auth", "health_port", "host", "import", "load_op_library", "load_reports"),
        *("memory_mb", "model_control", "processes", "request_log_dir", "strict_shapes"),
    }
)
"""Those that TensorFlow Serving does not have. They may be written with dashes too, as `hotgraph serve` has
them."""

FLAGS = {flag.name: flag for flag in _ALL}
"""By name, in the order of the help."""
