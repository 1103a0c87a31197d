"""translation.py: what each flag and file amounts to, and what is said about it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import trustme

from hotgraph_server.commands.tensorflow_model_server import to_settings
from hotgraph_server.commands.tensorflow_model_server.flag_table import FLAGS
from hotgraph_server.commands.tensorflow_model_server.flags import parse
from hotgraph_server.errors import SettingsError, StartError
from hotgraph_server.settings import (
    AdminSettings,
    AllVersions,
    BatchSettings,
    Latest,
    ListenSettings,
    LogSettings,
    ModelSettings,
    PredictionSettings,
    RepositorySettings,
    RestSettings,
    ServerSettings,
    SessionSettings,
    Specific,
    WarmupSettings,
)

PEM = "-----BEGIN X-----\\nAA==\\n-----END X-----\\n"


def translated(*words: str) -> ServerSettings:
    named = any(word.startswith("--model_") for word in words)
    given = parse(words if named else ["--model_base_path=/m", *words])
    to_settings.check(given)
    return to_settings.server_settings(given, to_settings.models(given, to_settings.model_factory(given)))


def said(*words: str) -> list[str]:
    return to_settings.remarks(parse(["--model_base_path=/m", *words]))


def write(folder: Path, text: str, name: str = "file") -> str:
    file = folder / name
    file.write_text(text)
    return str(file)


def test_without_flags_everything_is_as_in_tensorflow_serving() -> None:
    found = translated()
    assert found.listen == ListenSettings(host="0.0.0.0", port=8500, max_message_mb=2047)
    assert found.admin == AdminSettings(admin_port=0)
    assert found.rest == RestSettings(rest_port=0, rest_clear_text=True)
    assert found.repository == RepositorySettings(
        poll_s=1.0, max_load_retries=5, load_retry_s=60.0, wait_for_models=True
    )
    assert found.prediction == PredictionSettings()
    assert found.models == (
        ModelSettings("default", Path("/m"), batch=BatchSettings(refuse_with="unavailable")),
    )


@pytest.mark.parametrize(
    ("words", "owner", "expected"),
    [
        (["--port=9000", "--host=127.0.0.1"], "listen", {"host": "127.0.0.1", "port": 9000}),
        (["--grpc_socket_path=/s"], "listen", {"socket_path": "/s", "socket_only": False, "port": 8500}),
        (["--grpc_socket_path=/s", "--port=0"], "listen", {"socket_path": "/s", "socket_only": True}),
        (["--grpc_channel_arguments=grpc.max_receive_message_length=1"], "listen", {"max_message_mb": 1}),
        (["--grpc_channel_arguments=a=b"], "listen", {"compress_answers": "off"}),
        (
            ["--grpc_channel_arguments=grpc.max_connection_age_ms=1500"],
            "listen",
            {"max_connection_age_s": 1.5, "max_connection_idle_s": 0.0},
        ),
        (
            ["--grpc_channel_arguments=grpc.default_compression_level=3"],
            "listen",
            {"compress_answers": "high"},
        ),
        (
            ["--grpc_channel_arguments=grpc.default_compression_algorithm=2"],
            "listen",
            {"compress_answers": "medium"},
        ),
        (
            ["--grpc_channel_arguments=grpc.default_compression_algorithm=0"],
            "listen",
            {"compress_answers": "off"},
        ),
        (
            ["--grpc_channel_arguments=a=b,grpc.max_receive_message_length=1048577"],
            "listen",
            {"max_message_mb": 2},
        ),
        (
            ["--grpc_channel_arguments=grpc.max_receive_message_length=-1"],
            "listen",
            {"max_message_mb": 2047},
        ),
        (
            [
                "--rest_api_port=8501",
                "--rest_api_timeout_in_ms=7",
                "--rest_api_num_threads=3",
                "--rest_api_enable_cors_support",
            ],
            "rest",
            {"rest_port": 8501, "rest_timeout_ms": 7, "rest_threads": 3, "rest_cors": True},
        ),
        (["--admin_port=8505"], "admin", {"admin_port": 8505}),
        (["--file_system_poll_wait_seconds=0"], "repository", {"poll_s": 0.0}),
        (["--file_system_poll_wait_seconds=-1"], "repository", {"poll_s": 0.0}),
        (["--file_system_poll_wait_seconds=30"], "repository", {"poll_s": 30.0}),
        (
            ["--max_num_load_retries=2", "--load_retry_interval_micros=1500000", "--num_load_threads=4"],
            "repository",
            {"max_load_retries": 2, "load_retry_s": 1.5, "load_threads": 4},
        ),
        (["--allow_version_labels_for_unavailable_models"], "repository", {"labels_ahead": True}),
        (
            ["--enable_serialization_as_tensor_content", "--enable_signature_method_name_check"],
            "prediction",
            {"tensor_content": True, "check_method_names": True, "strict_shapes": None},
        ),
        (["--strict_shapes"], "prediction", {"rest_checks_shapes": True, "predict_checks_shapes": True}),
        (
            ["--strict_shapes=false"],
            "prediction",
            {"rest_checks_shapes": False, "predict_checks_shapes": False},
        ),
        ([], "prediction", {"rest_checks_shapes": True, "predict_checks_shapes": False}),
    ],
)
def test_flag_of_the_server_is_a_setting(words: list[str], owner: str, expected: dict[str, Any]) -> None:
    found = getattr(translated(*words), owner)
    assert {name: getattr(found, name) for name in expected} == expected


@pytest.mark.parametrize(
    ("words", "owner", "expected"),
    [
        (
            ["--tensorflow_session_parallelism=2"],
            "session",
            SessionSettings(intra_op_threads=2, inter_op_threads=2),
        ),
        (["--tensorflow_intra_op_parallelism=2"], "session", SessionSettings(intra_op_threads=2)),
        (["--tensorflow_inter_op_parallelism=3"], "session", SessionSettings(inter_op_threads=3)),
        (
            ["--tensorflow_inter_op_parallelism=3", "--tensorflow_session_parallelism=2"],
            "session",
            SessionSettings(intra_op_threads=2, inter_op_threads=3),
        ),
        (["--per_process_gpu_memory_fraction=0.5"], "session", SessionSettings(gpu_memory_fraction=0.5)),
        (["--tensorflow_session_config_file=/c"], "session", SessionSettings(session_config="/c")),
        (["--enable_model_warmup=false"], "warmup", WarmupSettings(warmup_records=False)),
        (["--num_request_iterations_for_warmup=3"], "warmup", WarmupSettings(warmup_rounds=3)),
        (["--enable_batching", "--enable_per_model_batching_parameters"], "batching_params", True),
    ],
)
def test_flag_of_models_is_a_setting_of_each(words: list[str], owner: str, expected: Any) -> None:
    (model,) = translated(*words).models
    assert getattr(model, owner) == expected


def test_batching_has_tensorflow_servings_limits_and_all_that_may_wait_can_come_in() -> None:
    found = translated("--enable_batching")
    assert found.models[0].batch == BatchSettings(
        refuse_with="unavailable",
        max_batch_rows=1000,
        max_call_rows=1000,
        max_queued_calls=10_000,
        max_queued_rows=10_000,
        split=False,
    )
    assert found.listen.max_calls == 10_000


def test_batching_file_is_read(tmp_path: Path) -> None:
    file = write(tmp_path, "max_batch_size { value: 4 } batch_timeout_micros { value: 9 }")
    batch = translated("--enable_batching", f"--batching_parameters_file={file}").models[0].batch
    assert (batch.max_batch_rows, batch.max_wait_us, batch.refuse_with) == (4, 9, "unavailable")


def test_what_has_no_meaning_in_the_batching_file_is_said(tmp_path: Path) -> None:
    file = write(tmp_path, "num_batch_threads { value: 4 }")
    lines = said("--enable_batching", f"--batching_parameters_file={file}")
    assert sum(line.startswith(f"{file}: num_batch_threads is taken") for line in lines) == 1


def test_tls_file_is_read(tmp_path: Path) -> None:
    authority = trustme.CA()
    leaf = authority.issue_cert("localhost")
    key, cert, ca = (
        one.bytes().decode() for one in (leaf.private_key_pem, leaf.cert_chain_pems[0], authority.cert_pem)
    )

    def field(name: str, text: str) -> str:
        return f'{name}: "{text}" '.replace("\n", "\\n")

    texts = field("server_key", key) + field("server_cert", cert)
    listen = translated(f"--ssl_config_file={write(tmp_path, texts)}").listen
    assert (listen.tls_key, listen.tls_cert, listen.tls_client_ca) == (key, cert, "")
    verified = texts + field("custom_ca", ca) + "client_verify: true"
    assert translated(f"--ssl_config_file={write(tmp_path, verified)}").listen.tls_client_ca == ca
    # as gRPC has it: without client_verify nobody is asked for a certificate
    unverified = texts + field("custom_ca", ca)
    assert translated(f"--ssl_config_file={write(tmp_path, unverified)}").listen.tls_client_ca == ""


def test_certificate_that_cannot_be_used_ends_a_start_before_tensorflow_is_there(tmp_path: Path) -> None:
    file = write(tmp_path, f'server_key: "{PEM}" server_cert: "{PEM}"')
    with pytest.raises(StartError, match="the certificate and key do not fit"):
        translated(f"--ssl_config_file={file}")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("prometheus_config { enable: true }", (True, "/monitoring/prometheus/metrics")),
        ('prometheus_config { enable: true path: "/metrics" }', (True, "/metrics")),
        ("prometheus_config { }", (False, "/monitoring/prometheus/metrics")),
        ("", (False, "/monitoring/prometheus/metrics")),
    ],
)
def test_monitoring_file_is_read(text: str, expected: tuple[bool, str], tmp_path: Path) -> None:
    words = ["--rest_api_port=1", f"--monitoring_config_file={write(tmp_path, text)}"]
    rest = translated(*words).rest
    assert (rest.prometheus, rest.prometheus_path) == expected


def test_model_config_file_is_read(tmp_path: Path) -> None:
    file = write(
        tmp_path,
        """
        model_config_list {
          config { name: "a" base_path: "/a" model_platform: "tensorflow" }
          config {
            name: "b" base_path: "/b" model_platform: "tensorflow"
            model_version_policy { specific { versions: [1, 3] } }
            version_labels { key: "stable" value: 1 } version_labels { key: "canary" value: 3 }
            logging_config {
              log_collector_config { type: "tfrecord" filename_prefix: "/logs/b" }
              sampling_config { sampling_rate: 0.25 }
            }
          }
          config { name: "c" base_path: "/c" model_platform: "tensorflow" model_version_policy { all {} } }
          config {
            name: "d" base_path: "/d" model_platform: "tensorflow"
            model_version_policy { latest { num_versions: 2 } }
          }
        }
        """,
    )
    a, b, c, d = translated(f"--model_config_file={file}", "--enable_batching").models
    assert [(model.name, model.path) for model in (a, b, c, d)] == [
        ("a", Path("/a")),
        ("b", Path("/b")),
        ("c", Path("/c")),
        ("d", Path("/d")),
    ]
    assert [model.versions for model in (a, b, c, d)] == [
        Latest(1),
        Specific((1, 3)),
        AllVersions(),
        Latest(2),
    ]
    assert b.labels == {"stable": 1, "canary": 3}
    assert (a.log, b.log) == (None, LogSettings("/logs/b", 0.25))
    assert all(model.batch.max_batch_rows == 1000 for model in (a, b, c, d))


def test_config_without_models_is_taken(tmp_path: Path) -> None:
    assert translated(f"--model_config_file={write(tmp_path, '')}").models == ()


A = 'config { name: "a" base_path: "/a" model_platform: "tensorflow"'


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("model_config_list {\n config {\n nme: 'a' } }", r"3:2: in model_config_list.config: .*\"nme\""),
        (f"model_config_list {{ {A} }} {A} }} }}", "Illegal to list model a multiple times in config list"),
        (
            "model_config_list { config { name: 'a' base_path: 'a' model_platform: 'tensorflow' } }",
            r"Expected model a to have an absolute path or URI; got base_path\(\)=a",
        ),
        (
            "model_config_list { config { name: 'a' base_path: 'gs://b/a' model_platform: 'tensorflow' } }",
            "gs://b/a is a URI",
        ),
        (
            "model_config_list { config { name: 'a' base_path: '/a' } }",
            r"Illegal setting neither ModelServerConfig::model_type \(deprecated\) nor"
            " ModelServerConfig::model_platform, model name is a",
        ),
        (
            "model_config_list { config { name: 'a' base_path: '/a' model_platform: 'torch' } }",
            "Model a requests unsupported platform torch",
        ),
        ("custom_model_config { }", "custom_model_config is not supported"),
        (
            f"model_config_list {{ {A} model_version_policy {{ specific {{ }} }} }} }}",
            "a policy of specific versions must name one",
        ),
        (
            f"model_config_list {{ {A} logging_config {{ }} }} }}",
            "logging_config of model a: a request log needs the prefix of its files' names",
        ),
        (
            f"model_config_list {{ {A} logging_config {{ log_collector_config {{ type: 'kafka' }} }} }} }}",
            "log_collector_config.type 'kafka' is not known",
        ),
        (
            f"model_config_list {{ {A} logging_config {{ log_collector_config {{ filename_prefix: '/l' }}"
            " sampling_config { sampling_rate: 2 } } } }",
            "the sampling rate of a request log must be 0 to 1, got 2.0",
        ),
        (
            f"model_config_list {{ {A} logging_config {{ custom_logging_config {{ }} }} }} }}",
            "custom_logging_config is not known here",
        ),
        (
            "model_config_list { config { name: '\\x01' base_path: '/a' model_platform: 'tensorflow' } }",
            "a model's name cannot have a control character",
        ),
    ],
)
def test_mistake_in_the_model_config_file_is_told_with_the_file(text: str, told: str, tmp_path: Path) -> None:
    file = write(tmp_path, text, "models.config")
    with pytest.raises(SettingsError, match=f"^{re.escape(file)}:.*{told}"):
        translated(f"--model_config_file={file}")


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--model_name=a"], "give --model_base_path=/DIR for one model, or --model_config_file=FILE"),
        (["--model_base_path=models/a"], "--model_base_path must be absolute, got 'models/a'"),
        (["--port=-1"], "--port and --rest_api_port must be 0 to 65535"),
        (["--port=70000"], "port must be 0 to 65535, got 70000"),
        (["--rest_api_port=8500"], "rest-port and port must differ, both are 8500"),
        (["--host="], "host must not be empty"),
        (["--use_alts_credentials"], "--use_alts_credentials is not served"),
        (
            ["--use_alts_credentials", "--ssl_config_file=/x"],
            "--use_alts_credentials and --ssl_config_file exclude each other",
        ),
        (["--batching_parameters_file=/x"], "--batching_parameters_file needs --enable_batching"),
        (
            ["--enable_per_model_batching_parameters"],
            "--enable_per_model_batching_parameters needs --enable_batching",
        ),
        (
            [f"--tensorflow_{kind}_parallelism=2" for kind in ("session", "intra_op", "inter_op")],
            "--tensorflow_session_parallelism is short for",
        ),
        (["--grpc_channel_arguments=a"], "takes NAME=VALUE,NAME=VALUE, got 'a'"),
        (
            ["--grpc_channel_arguments=grpc.default_compression_level=4"],
            "grpc.default_compression_level must be one of 0, 1, 2, 3, got '4'",
        ),
        (["--grpc_channel_arguments==1"], "takes NAME=VALUE,NAME=VALUE, got '=1'"),
        (
            ["--grpc_channel_arguments=grpc.max_receive_message_length=x"],
            "grpc.max_receive_message_length must be a number of bytes, got 'x'",
        ),
        (["--rest_api_timeout_in_ms=-1"], "rest-timeout-ms must be "),
        (["--per_process_gpu_memory_fraction=2"], "gpu-memory-fraction must be 0 to 1, got 2"),
        (["--max_num_load_retries=-1"], "max-load-retries must be 0 or more"),
        (["--tensorflow_intra_op_parallelism=-1"], "intra-op-threads must be 0 to"),
    ]
    + [
        ([f"--{flag}=/nonesuch", *more], "/nonesuch: No such file or directory")
        for flag, more in (
            ("model_config_file", []),
            ("batching_parameters_file", ["--enable_batching"]),
            ("ssl_config_file", []),
            ("monitoring_config_file", []),
        )
    ],
)
def test_what_does_not_go_together_or_cannot_be_is_told_before_tensorflow_is_there(
    words: list[str], told: str
) -> None:
    named = any(word.startswith("--model_") for word in words)
    with pytest.raises(SettingsError, match=re.escape(told)):
        to_settings.check(parse(words if named else ["--model_base_path=/m", *words]))


@pytest.mark.parametrize(
    ("flag", "text", "told"),
    [
        ("ssl_config_file", "server_key: 1", ":1:13: in server_key: Expected string"),
        ("ssl_config_file", f'server_key: "{PEM}"', ": needs server_key and server_cert, as PEM texts"),
        (
            "ssl_config_file",
            f'server_key: "{PEM}" server_cert: "/cert.pem"',
            ": server_cert must be a PEM text, not the name of a file",
        ),
        (
            "ssl_config_file",
            f'server_key: "{PEM}" server_cert: "{PEM}" client_verify: true',
            ": client_verify needs custom_ca",
        ),
        (
            "monitoring_config_file",
            "prometheus_config { enable: maybe }",
            ":1:29: in prometheus_config.enable: ",
        ),
        ("batching_parameters_file", "max_batch_size { value: 0 }", ": max_batch_size must be at least 1"),
        ("batching_parameters_file", "max_batch_size: 3", ":1:17: in max_batch_size: "),
        ("model_config_file", "model_config_list {", ":1:19: "),
    ],
)
def test_mistake_in_a_file_is_told_with_file_and_place(
    flag: str, text: str, told: str, tmp_path: Path
) -> None:
    file = write(tmp_path, text)
    words = ["--model_base_path=/m", "--enable_batching", f"--{flag}={file}"]
    with pytest.raises(SettingsError, match="^" + re.escape(f"{file}{told}")):
        to_settings.check(parse(words))


def test_key_is_not_in_what_is_told(tmp_path: Path) -> None:
    """The parser quotes the line that it does not understand."""
    file = write(tmp_path, 'server_key: "SECRET" server_crt: "x"')
    with pytest.raises(SettingsError) as raised:
        to_settings.check(parse(["--model_base_path=/m", f"--ssl_config_file={file}"]))
    assert "SECRET" not in str(raised.value)


@pytest.mark.parametrize("name", [flag.name for flag in FLAGS.values() if not flag.has_meaning])
def test_flag_without_a_meaning_is_one_line_if_it_is_given_and_changes_nothing(name: str) -> None:
    flag = FLAGS[name]
    shown = str(flag.default).lower() if flag.kind is bool else flag.default
    word = f"--{name}={shown}"
    assert [line for line in said(word) if name in line] == [f"--{name} has no meaning here: {flag.help}"]
    assert not [line for line in said() if name in line]
    assert translated(word) == translated()


@pytest.mark.parametrize(
    ("words", "start"),
    [
        ([], "listening on all networks of this machine"),
        (["--enable_batching", "--port=0"], "listening on all networks of this machine"),
        ([], "without --enable_batching too calls share runs"),
        (["--monitoring_config_file=/f"], "--monitoring_config_file: Prometheus is shown on the REST port"),
        (["--model_config_file=/f"], "--model_config_file names the models"),
        (["--file_system_poll_wait_seconds=-1"], "--file_system_poll_wait_seconds below 0 is taken as 0"),
        (["--grpc_channel_arguments=a=1,b=2"], "--grpc_channel_arguments: a, b has no meaning here"),
    ],
)
def test_what_one_might_not_expect_is_said(words: list[str], start: str) -> None:
    assert [line for line in said(*words) if line.startswith(start)]


@pytest.mark.parametrize(
    ("words", "start"),
    [
        (["--host=127.0.0.1"], "listening on all networks"),
        (["--host=0.0.0.0"], "listening on all networks"),
        (["--grpc_socket_path=/s", "--port=0"], "listening on all networks"),
        (["--enable_batching"], "without --enable_batching"),
        (["--monitoring_config_file=/f", "--rest_api_port=1"], "--monitoring_config_file"),
        (["--grpc_channel_arguments=grpc.max_receive_message_length=1"], "--grpc_channel_arguments"),
        (["--grpc_channel_arguments=grpc.default_compression_level=1"], "--grpc_channel_arguments"),
    ],
)
def test_and_not_where_it_was_said_or_is_not_so(words: list[str], start: str) -> None:
    assert not [line for line in said(*words) if line.startswith(start)]


def test_models_that_are_named_later_are_like_the_others() -> None:
    given = parse(["--model_base_path=/m", "--enable_batching", "--tensorflow_intra_op_parallelism=2"])
    later = to_settings.model_factory(given, "/GPU:0")("b", Path("/b"), None)
    assert later.session == SessionSettings(device="/GPU:0", intra_op_threads=2)
    assert later.batch.max_batch_rows == 1000


def test_version_without_a_file_of_its_own_has_no_limits_where_each_has_its_own(tmp_path: Path) -> None:
    for_all = tmp_path / "batching"
    for_all.write_text("max_batch_size { value: 8 }")
    found = translated(
        "--enable_batching",
        "--enable_per_model_batching_parameters",
        f"--batching_parameters_file={for_all}",
    )
    assert found.models[0].batch == BatchSettings(refuse_with="unavailable")


def test_file_that_is_empty_when_it_is_read_again_is_one_that_is_being_written(tmp_path: Path) -> None:
    """A change of a file begins with an empty one, and must not unload everything."""
    file = tmp_path / "models.config"
    make = to_settings.model_factory(parse([]), "/CPU:0")
    file.write_text("")
    assert to_settings.models_in(file, make) == []
    with pytest.raises(SettingsError, match=r"models\.config: it is empty"):
        to_settings.models_in(file, make, again=True)
    file.write_text("model_config_list {}")
    assert to_settings.models_in(file, make, again=True) == []
