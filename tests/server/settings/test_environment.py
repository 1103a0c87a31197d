"""Settings from the environment: one rule for every name, and what is nobody's setting is passed over."""

from __future__ import annotations

import dataclasses
import re
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from hotgraph_server.errors import SettingsError
from hotgraph_server.settings import (
    PER_MODEL,
    PER_SERVER,
    BatchSettings,
    QueuePolicy,
    build,
    fields_of,
    key_of,
)
from hotgraph_server.settings.environment import CommandLine, read_environment, variable_of
from hotgraph_server.settings.fields import Count

FIELDS = {key_of(field): field for field in fields_of(*PER_SERVER, *PER_MODEL)}
OWNERS = {key_of(field): owner for owner in (*PER_SERVER, *PER_MODEL) for field in fields_of(owner)}
# A text, and what it stands for.
EXAMPLES: dict[type, tuple[str, Any]] = {
    str: ("some text", "some text"),
    int: ("3", 3),
    float: ("2.5", 2.5),
    bool: ("yes", True),
    tuple: ("1, 2,", (1, 2)),
    list: ("/models '/more models'", ["/models", "/more models"]),
    dict: ("a = 1, b = c", {"a": 1.0, "b": "c"}),
    Count: ("auto", Count("auto")),
    QueuePolicy: ("max_queue_size = 3", {"max_queue_size": 3}),
}
BY_NUMBER = ("1 = { max_queue_size = 3 }", {"1": {"max_queue_size": 3}})


def example_of(key: str) -> tuple[str, Any]:
    return BY_NUMBER if FIELDS[key].metadata["of"] else EXAMPLES[FIELDS[key].metadata["kind"]]


@pytest.mark.parametrize("key", FIELDS)
def test_every_setting_has_a_variable_by_one_rule(key: str) -> None:
    text, value = example_of(key)
    assert variable_of(FIELDS[key]) == f"HOTGRAPH_{key.upper()}"
    found = read_environment({f"HOTGRAPH_{key.upper()}": text})
    assert (found.values, found.faults, found.remarks) == ({key: value}, (), ())


def test_tables_of_settings_may_have_their_braces() -> None:
    text = "{ default_timeout_us = 3, timeout_action = 'delay' }"
    found = read_environment({"HOTGRAPH_QUEUE_POLICY": text, "HOTGRAPH_QUEUE_POLICY_BY_LEVEL": f"2 = {text}"})
    policy = {"default_timeout_us": 3, "timeout_action": "delay"}
    assert found.values == {"queue_policy": policy, "queue_policy_by_level": {"2": policy}}
    assert build(BatchSettings, {**found.values, "priority_levels": 2}).policy_of(2).delays


def test_what_the_command_line_has_beside_has_variables_too() -> None:
    environment = {
        "HOTGRAPH_CONFIG": "/etc/server.toml",
        "HOTGRAPH_MODELS": "a=/m/a '/my models/b'",
        "HOTGRAPH_VERBOSE": "on",
    }
    found = read_environment(environment)
    assert found.command_line == CommandLine("/etc/server.toml", ("a=/m/a", "/my models/b"), True)
    assert not found.values


def test_empty_variable_and_one_of_somebody_else_say_nothing() -> None:
    found = read_environment({"HOTGRAPH_PORT": "", "HOTGRAPH_PROT": "", "PORT": "1", "HOTGRAPHPORT": "2"})
    assert (found.values, found.faults, found.remarks) == ({}, (), ())


def test_key_of_the_client_is_no_unknown_variable() -> None:
    assert read_environment({"HOTGRAPH_KEY": "secret"}).remarks == ()


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("HOTGRAPH_PROT", "HOTGRAPH_PORT"),
        ("HOTGRAPH_MAX_BATCH_ROW", "HOTGRAPH_MAX_BATCH_ROWS"),
        ("HOTGRAPH_port", "HOTGRAPH_PORT"),
        ("HOTGRAPH_MODEL", "HOTGRAPH_MODELS"),
    ],
)
def test_unknown_variable_is_a_remark_with_what_was_meant_and_no_error(name: str, meant: str) -> None:
    found = read_environment({name: "3"})
    assert found.remarks == (f"the environment's {name} is no setting; did you mean {meant}?",)
    assert (found.values, found.faults) == ({}, ())


def test_unknown_variable_that_is_like_no_other_is_a_remark_too() -> None:
    assert read_environment({"HOTGRAPH_XYZZY": "3"}).remarks == (
        "the environment's HOTGRAPH_XYZZY is no setting",
    )


# What Kubernetes sets for a Service called "hotgraph" with the ports grpc and rest, and one "hotgraph-admin".
OF_KUBERNETES = {
    "HOTGRAPH_SERVICE_HOST": "10.0.0.1",
    "HOTGRAPH_SERVICE_PORT": "8500",
    "HOTGRAPH_SERVICE_PORT_GRPC": "8500",
    "HOTGRAPH_SERVICE_PORT_REST": "8502",
    "HOTGRAPH_PORT": "tcp://10.0.0.1:8500",
    "HOTGRAPH_PORT_8500_TCP": "tcp://10.0.0.1:8500",
    "HOTGRAPH_PORT_8500_TCP_PROTO": "tcp",
    "HOTGRAPH_PORT_8500_TCP_PORT": "8500",
    "HOTGRAPH_PORT_8500_TCP_ADDR": "10.0.0.1",
    "HOTGRAPH_ADMIN_SERVICE_HOST": "10.0.0.2",
    "HOTGRAPH_ADMIN_SERVICE_PORT": "8501",
    "HOTGRAPH_ADMIN_PORT": "tcp://10.0.0.2:8501",
    "HOTGRAPH_ADMIN_PORT_8501_TCP": "tcp://10.0.0.2:8501",
    "HOTGRAPH_ADMIN_PORT_53_UDP_ADDR": "10.0.0.2",
    "HOTGRAPH_REST_PORT": "tcp://[fd00::1]:8502",
}


def test_what_kubernetes_sets_for_services_is_passed_over_with_one_line() -> None:
    found = read_environment(OF_KUBERNETES)
    assert (found.values, found.faults) == ({}, ())
    (line,) = found.remarks
    assert line.startswith(
        "passed over: HOTGRAPH_PORT=tcp://10.0.0.1:8500 and 14 more, which Kubernetes sets"
    )


def test_port_of_ours_counts_beside_those_of_kubernetes() -> None:
    found = read_environment({**OF_KUBERNETES, "HOTGRAPH_PORT": "9000"})
    assert found.values == {"port": 9000}
    assert len(found.remarks) == 1


def test_no_setting_is_called_as_kubernetes_calls_its_own() -> None:
    for key in FIELDS:
        name = f"HOTGRAPH_{key.upper()}"
        assert not read_environment({name: example_of(key)[0]}).remarks, name


def test_former_name_is_read_and_the_log_says_the_present_one(caplog: pytest.LogCaptureFixture) -> None:
    assert read_environment({"HOTGRAPH_JOIN": "auto"}).values == {"batching": "tried"}
    assert "the setting join is called batching now" in caplog.text


def test_all_that_cannot_be_read_is_told_at_once() -> None:
    found = read_environment({"HOTGRAPH_PORT": "x", "HOTGRAPH_DRAIN_S": "soon", "HOTGRAPH_XLA": "true"})
    assert found.faults == (
        "HOTGRAPH_DRAIN_S must be a number, got 'soon'",
        "HOTGRAPH_PORT must be an integer of 0 or more, got 'x'",
    )
    assert found.values == {"xla": True}


SECRETS = [key for key, field in FIELDS.items() if field.metadata["secret"]]


def test_what_may_be_a_secret_is_never_shown() -> None:
    assert {"tls_key", "grpc_restricted_protocol", "http_restricted_api"} <= set(SECRETS)
    for key in SECRETS:
        name = f"HOTGRAPH_{key.upper()}"
        found = read_environment({name: "'s3cret"})
        assert "s3cret" not in " ".join(found.faults)
        assert "s3cret" not in found.explained(f"{key.replace('_', '-')} cannot be")


TYPED = [key for key, field in FIELDS.items() if field.metadata["kind"] is not str]


@given(st.sampled_from(TYPED), st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1))
def test_any_text_is_a_value_or_one_line_that_names_variable_and_text(key: str, text: str) -> None:
    name = f"HOTGRAPH_{key.upper()}"
    found = read_environment({name: text})
    assume(not found.remarks)
    if not found.faults:
        assert set(found.values) == {key}
        return
    (line,) = found.faults
    assert line.startswith(f"{name} must be ")
    assert "\n" not in line
    assert key in SECRETS or line.endswith(repr(text[:100]))


NUMBERS = [key for key, field in FIELDS.items() if field.metadata["kind"] in (int, float, Count)]


@given(st.sampled_from(NUMBERS), st.one_of(st.integers(0, 10**17), st.sampled_from(["nan", "inf", "1e99"])))
def test_number_out_of_its_range_is_one_line_that_names_variable_and_text(key: str, number: object) -> None:
    name = f"HOTGRAPH_{key.upper()}"
    found = read_environment({name: str(number)})
    if found.faults:
        assert name in found.faults[0]
        return
    try:
        build(OWNERS[key], found.values)
    except SettingsError as error:
        line = found.explained(str(error))
        assert f"({name} is '{number}')" in line or f" {name} is '{number}'" in line
        assert "\n" not in line


def test_error_about_what_a_flag_says_does_not_name_the_variable() -> None:
    found = read_environment({"HOTGRAPH_PORT": "70000"})
    wrong = "port must be 0 to 65535, got 80000"
    assert found.explained(wrong, but_not=["port"]) == wrong
    assert found.explained("rest-port must be something") == "rest-port must be something"


@pytest.mark.parametrize("text", ["1_0", "\N{ARABIC-INDIC DIGIT ONE}", "0x10", "", " ", "1,5"])
def test_number_is_written_in_digits(text: str) -> None:
    assert "drain_s" not in read_environment({"HOTGRAPH_DRAIN_S": text}).values


def test_giant_variables_are_told_of_in_a_line() -> None:
    giant = 100_000
    found = read_environment(
        {
            f"HOTGRAPH_{'A' * giant}": "1",
            f"HOTGRAPH_{'B' * giant}_SERVICE_HOST": "1",
            "HOTGRAPH_PORT": f"tcp://{'1' * giant}:8500",
            "HOTGRAPH_ADMIN_PORT": "9" * giant,
            "HOTGRAPH_DRAIN_S": "9" * giant,
            "HOTGRAPH_PAD": "{" * giant,
            "HOTGRAPH_QUEUE_POLICY": "{" * giant,
            "HOTGRAPH_REPOSITORY": "'" + "x" * giant,
            "HOTGRAPH_ROW_BUCKETS": "1," * giant + "x",
        }
    )
    assert len(found.remarks) == 2
    assert len(found.faults) == 5
    assert max(map(len, (*found.remarks, *found.faults))) < 1000


@given(st.dictionaries(st.from_regex(r"HOTGRAPH_[A-Z0-9_]{0,20}", fullmatch=True), st.text(max_size=20)))
def test_no_environment_stops_the_reading(environment: dict[str, str]) -> None:
    found = read_environment(environment)
    assert set(found.values) <= set(FIELDS)
    assert all(re.match(r"HOTGRAPH_[A-Z_]+ must be ", line) for line in found.faults)


def test_fields_of_the_command_line_are_no_keys() -> None:
    assert not {field.name for field in dataclasses.fields(CommandLine)} & set(FIELDS)
