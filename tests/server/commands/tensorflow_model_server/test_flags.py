"""flags.py: each flag's form, default and mistakes, and the help."""

from __future__ import annotations

import contextlib
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hotgraph_server.commands.tensorflow_model_server.flag_table import FLAGS, GROUPS
from hotgraph_server.commands.tensorflow_model_server.flag_table import OURS as KNOWN_AS_OURS
from hotgraph_server.commands.tensorflow_model_server.flags import UsageError, help_text, parse

PAGE = Path(__file__).parents[4] / "docs" / "tensorflow-serving.md"

# What TensorFlow Serving documents; where it works a default out from the CPUs, we have 0.
DEFAULTS: dict[str, Any] = {
    "port": 8500,
    "grpc_socket_path": "",
    "rest_api_port": 0,
    "rest_api_num_threads": 0,
    "rest_api_timeout_in_ms": 30000,
    "rest_api_enable_cors_support": False,
    "enable_batching": False,
    "allow_version_labels_for_unavailable_models": False,
    "batching_parameters_file": "",
    "enable_per_model_batching_parameters": False,
    "model_config_file": "",
    "model_config_file_poll_wait_seconds": 0,
    "model_name": "default",
    "model_base_path": "",
    "num_load_threads": 0,
    "num_unload_threads": 0,
    "max_num_load_retries": 5,
    "load_retry_interval_micros": 60000000,
    "file_system_poll_wait_seconds": 1,
    "flush_filesystem_caches": True,
    "tensorflow_session_parallelism": 0,
    "tensorflow_session_config_file": "",
    "tensorflow_intra_op_parallelism": 0,
    "tensorflow_inter_op_parallelism": 0,
    "use_alts_credentials": False,
    "ssl_config_file": "",
    "platform_config_file": "",
    "per_process_gpu_memory_fraction": 0.0,
    "saved_model_tags": "serve",
    "grpc_channel_arguments": "",
    "grpc_max_threads": 0,
    "enable_model_warmup": True,
    "num_request_iterations_for_warmup": 0,
    "version": False,
    "monitoring_config_file": "",
    "remove_unused_fields_from_bundle_metagraph": True,
    "prefer_tflite_model": False,
    "num_tflite_pools": 0,
    "num_tflite_interpreters_per_pool": 1,
    "enable_signature_method_name_check": False,
    "xla_cpu_compilation_enabled": False,
    "xla_gpu_compilation_enabled": False,
    "enable_profiler": True,
    "thread_pool_factory_config_file": "",
    "mixed_precision": "",
    "skip_initialize_tpu": False,
    "enable_grpc_healthcheck_service": False,
    "enable_serialization_as_tensor_content": False,
}
OURS = {
    "host": "0.0.0.0",
    "import": (),
    "load_op_library": (),
    "strict_shapes": False,
    "processes": "1",
    "auth": "",
    "request_log_dir": "",
    "admin_port": 0,
    "health_port": 0,
    "load_reports": "asked",
    "model_control": "none",
    "memory_mb": 0,
}

# By type: words after the flag's name, and the value that they stand for.
FORMS: dict[type, list[tuple[str, Any]]] = {
    bool: [("", True), ("=true", True), ("=false", False)],
    int: [("=0", 0), ("=12", 12), ("=-1", -1), ("=2147483647", 2**31 - 1)],
    float: [("=0.25", 0.25), ("=1", 1.0), ("=1e-2", 0.01)],
    tuple: [("=a", ("a",)), ("=a=b,c", ("a=b,c",))],
    str: [("=", ""), ("=a", "a"), ("=a=b c", "a=b c"), ("=--port=3", "--port=3")],
}
# By type: words after the flag's name that are wrong, and what is said.
MISTAKES: dict[type, list[tuple[str, str]]] = {
    bool: [
        ("=1", "takes true or false, got '1'"),
        ("=True", "takes true or false, got 'True'"),
        ("=", "takes true or false, got ''"),
    ],
    int: [
        ("", "takes an integer after a '='"),
        ("=", "takes an integer, got ''"),
        ("=x", "takes an integer, got 'x'"),
        ("=1.5", "takes an integer, got '1.5'"),
        ("=9223372036854775808", "takes an integer of"),
    ],
    float: [
        ("", "takes a number after a '='"),
        ("=x", "takes a number, got 'x'"),
        ("=nan", "takes a number, got 'nan'"),
        ("=inf", "takes a number, got 'inf'"),
    ],
    str: [("", "takes a text after a '='")],
    tuple: [("", "takes a text after a '='")],
}


def test_there_is_every_flag_of_tensorflow_serving_with_its_default_and_some_of_ours() -> None:
    assert {flag.name: flag.default for flag in FLAGS.values()} == DEFAULTS | OURS
    assert set(OURS) == KNOWN_AS_OURS
    given = parse([])
    assert given.values == DEFAULTS | OURS
    assert given.named == frozenset()
    assert all(type(FLAGS[name].default) is type(default) for name, default in DEFAULTS.items())


def test_flags_of_ours_may_be_written_as_the_other_command_has_them() -> None:
    assert parse(["--admin-port=8505", "--request-log-dir=/logs"]).values == {
        **DEFAULTS,
        **OURS,
        "admin_port": 8505,
        "request_log_dir": "/logs",
    }
    assert parse(["--admin-port=1"]).named == {"admin_port"}
    with pytest.raises(UsageError, match=r"--admin_port takes an integer after a '=': --admin_port=0"):
        parse(["--admin-port", "8505"])
    with pytest.raises(UsageError, match=r"unknown flag --rest-api-port; did you mean --rest_api_port\?"):
        parse(["--rest-api-port=8501"])


def of_kind(kind: type) -> list[str]:
    """The names of the flags whose values are of that type."""
    found = [flag.name for flag in FLAGS.values() if flag.kind is kind]
    assert found
    return found


@pytest.mark.parametrize(
    ("kind", "rest", "value"), [(kind, *form) for kind, forms in FORMS.items() for form in forms]
)
def test_each_flag_is_read_in_each_form_of_its_type(kind: type, rest: str, value: Any) -> None:
    for name in of_kind(kind):
        given = parse([f"--{name}{rest}"])
        assert given.values == {**DEFAULTS, **OURS, name: value}
        assert type(given.values[name]) is type(value)
        assert given.named == {name}


@pytest.mark.parametrize(
    ("kind", "rest", "said"),
    [(kind, *mistake) for kind, mistakes in MISTAKES.items() for mistake in mistakes],
)
def test_each_flag_refuses_what_is_not_of_its_type(kind: type, rest: str, said: str) -> None:
    for name in of_kind(kind):
        with pytest.raises(UsageError) as raised:
            parse([f"--{name}{rest}"])
        assert str(raised.value).startswith(f"--{name} {said}")


def test_integers_have_the_width_that_they_have_there() -> None:
    assert (
        parse(["--load_retry_interval_micros=5000000000"]).values["load_retry_interval_micros"] == 5 * 10**9
    )
    with pytest.raises(UsageError, match="--port takes an integer of 32 bits, got 5000000000"):
        parse(["--port=5000000000"])


@pytest.mark.parametrize(
    ("word", "said"),
    [
        ("--prot=8500", "unknown flag --prot; did you mean --port?"),
        ("--rest_port=1", "unknown flag --rest_port; did you mean --rest_api_port?"),
        ("--model-base-path=/m", "unknown flag --model-base-path; did you mean --model_base_path?"),
        ("-port=1", "unknown flag -port; did you mean --port?"),
        ("--noenable_batching", "unknown flag --noenable_batching; did you mean --enable_batching=false?"),
        ("--no-enable-batching", "unknown flag --no-enable-batching; did you mean --enable_batching=false?"),
        ("--qqqqqqqqqqqqqqqqqqq", "unknown flag --qqqqqqqqqqqqqqqqqqq (--help shows all)"),
        ("--", "unknown flag -- (--help shows all)"),
        ("8500", "'8500' is no flag; values stand behind a '='"),
        ("", "'' is no flag"),
        # no abbreviations: they would change their meaning with the next flag
        ("--model_conf=/m", "unknown flag --model_conf"),
    ],
)
def test_word_that_is_no_flag_is_refused_with_a_suggestion(word: str, said: str) -> None:
    """TensorFlow Serving goes on; the flag that was meant is then missing in silence."""
    with pytest.raises(UsageError) as raised:
        parse(["--port=1", word])
    assert str(raised.value).startswith(said)


def test_of_a_flag_that_is_there_twice_the_last_one_counts() -> None:
    assert parse(["--port=1", "--enable_batching", "--port=2", "--enable_batching=false"]).values["port"] == 2


def test_flag_of_many_texts_keeps_them_in_their_order() -> None:
    words = ["--import=b", "--load_op_library=/x.so", "--import=a"]
    assert parse(words).texts("import") == ("b", "a")
    assert parse(words).texts("load_op_library") == ("/x.so",)


@pytest.mark.parametrize("word", ["--help", "-h"])
def test_help_is_asked_for_wherever_the_word_stands(word: str) -> None:
    assert parse(["--port=1", word, "--nonesuch"]).help


def test_help_shows_every_flag_once_with_its_default_under_what_it_is_about() -> None:
    text = help_text()
    assert text.startswith("usage: hotgraph tensorflow-model-server ")
    for flag in FLAGS.values():
        shown = str(flag.default).lower() if flag.kind is bool else flag.default or ""
        shown = flag.default if flag.kind in (int, float) else shown
        assert text.count(f"\n  --{flag.name}={shown}\n") == 1
    headings = [text.index(f"\n{title}:\n") for title in GROUPS.values()]
    assert headings == sorted(headings)
    # those without a meaning stand behind that heading, and nothing else does
    last = text[headings[-1] :]
    assert {name for name in FLAGS if f"  --{name}=" in last.partition("examples:")[0]} == {
        flag.name for flag in FLAGS.values() if not flag.has_meaning
    }
    assert "examples:\n  hotgraph tensorflow-model-server " in text
    assert max(map(len, text.splitlines())) <= 118


def test_page_on_switching_has_every_flag_and_knows_which_have_no_meaning() -> None:
    marks = r"^## Flags$|^These are taken|^## Files$"
    _, flags, none, _ = re.split(marks, PAGE.read_text(), flags=re.MULTILINE)
    meant, in_vain = (set(re.findall(r"`--([a-z_]+)`", text)) for text in (flags, none))
    assert in_vain == {flag.name for flag in FLAGS.values() if not flag.has_meaning}
    assert meant >= {flag.name for flag in FLAGS.values() if flag.has_meaning}


@given(st.lists(st.text(max_size=40) | st.sampled_from(sorted(FLAGS)).map("--{}=1".format), max_size=4))
def test_any_words_are_read_or_refused(words: list[str]) -> None:
    with contextlib.suppress(UsageError):
        assert set(parse(words).values) == set(FLAGS)
