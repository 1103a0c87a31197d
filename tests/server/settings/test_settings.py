"""Settings: what is refused, and that every field declares itself."""

from __future__ import annotations

import dataclasses
import math
import re
from pathlib import Path
from typing import Any

import pytest

from hotgraph_server.errors import SettingsError
from hotgraph_server.settings import (
    PER_MODEL,
    PER_SERVER,
    AdminSettings,
    BatchSettings,
    HealthSettings,
    ListenSettings,
    LoadReportSettings,
    ModelSettings,
    QueuePolicy,
    ResponseCacheSettings,
    RestSettings,
    ServerSettings,
    SessionSettings,
    SharedMemorySettings,
    build,
    fields_of,
)
from hotgraph_server.settings.fields import Count

ALL = list(fields_of(*PER_SERVER, *PER_MODEL))


@pytest.mark.parametrize(
    ("owner", "name", "bad"),
    [
        (ListenSettings, "port", -1),
        (ListenSettings, "port", 65536),
        (AdminSettings, "admin_port", -1),
        (AdminSettings, "admin_port", 65536),
        (HealthSettings, "health_port", -1),
        (HealthSettings, "health_port", 65536),
        (HealthSettings, "liveness_s", 0.5),
        (HealthSettings, "liveness_s", float("nan")),
        (HealthSettings, "liveness_run_s", -1.0),
        (HealthSettings, "liveness_run_s", float("inf")),
        (LoadReportSettings, "load_reports", "sometimes"),
        (LoadReportSettings, "load_report_min_s", 0.0),
        (LoadReportSettings, "load_report_min_s", float("nan")),
        (RestSettings, "rest_port", -1),
        (RestSettings, "rest_port", 65536),
        (RestSettings, "rest_timeout_ms", -1),
        (RestSettings, "rest_timeout_ms", 86_400_001),
        (RestSettings, "rest_threads", 0),
        (RestSettings, "rest_processes", -1),
        (RestSettings, "rest_max_body_mb", 0),
        (RestSettings, "prometheus_path", "metrics"),
        (ListenSettings, "max_calls", 0),
        (ListenSettings, "drain_s", -0.5),
        (ListenSettings, "drain_s", math.nan),
        (ListenSettings, "drain_s", math.inf),
        (ListenSettings, "drain_s", 1e300),
        (BatchSettings, "max_batch_rows", 0),
        (BatchSettings, "max_wait_us", -1),
        (BatchSettings, "max_wait_us", 10_000_001),
        (BatchSettings, "max_queued_calls", 0),
        (BatchSettings, "max_queued_rows", -1),
        (BatchSettings, "max_queued_rows", 63),
        (BatchSettings, "max_queued_mb", -1),
        (BatchSettings, "default_timeout_ms", -1),
        (BatchSettings, "default_timeout_ms", 86_400_001),
        (BatchSettings, "refuse_with", "ok"),
        (BatchSettings, "priority_levels", 0),
        (BatchSettings, "priority_levels", 101),
        (BatchSettings, "default_priority_level", -1),
        (BatchSettings, "default_priority_level", 2),
        (BatchSettings, "refuse_by_policy_with", "ok"),
        (BatchSettings, "preferred_batch_rows", [0]),
        (BatchSettings, "preferred_batch_rows", [65]),
        (QueuePolicy, "max_queue_size", -1),
        (QueuePolicy, "default_timeout_us", -1),
        (QueuePolicy, "default_timeout_us", 2**63),
        (QueuePolicy, "timeout_action", "continue"),
        (BatchSettings, "batching", "sometimes"),
        (BatchSettings, "on_difference", "weep"),
        (BatchSettings, "verify_one_in", -1),
        (BatchSettings, "row_buckets", [0, 64]),
        (BatchSettings, "row_buckets", [8, 8, 64]),
        (BatchSettings, "row_buckets", [32]),
        (SessionSettings, "device", "cpu"),
        (SessionSettings, "device", "/TPU:0"),
        (SessionSettings, "device", "/GPU:"),
        (SessionSettings, "device", "/GPU:0 "),
        (SessionSettings, "cpu_devices", 0),
        (SessionSettings, "cpu_devices", 2**31),
        (SessionSettings, "intra_op_threads", -1),
        (SessionSettings, "intra_op_threads", 2**31),
        (SessionSettings, "inter_op_threads", -1),
        (SessionSettings, "inter_op_threads", 2**31),
        (SharedMemorySettings, "max_client_shm_regions", 0),
        (SharedMemorySettings, "max_client_shm_mb", 0),
        (SharedMemorySettings, "client_shm_prefix", "a/"),
        (ResponseCacheSettings, "cache_mb", -1),
        (SessionSettings, "plan", "fast"),
        (SessionSettings, "plan_budget_s", -1.0),
        (SessionSettings, "plan_budget_s", float("nan")),
        (SessionSettings, "plan_budget_s", 3601.0),
    ],
)
def test_bad_value_is_refused_with_its_flag_and_itself(owner: type, name: str, bad: Any) -> None:
    with pytest.raises(SettingsError, match=f"^{name.replace('_', '-')} .*{re.escape(str(bad))}"):
        owner(**{name: bad})


@pytest.mark.parametrize(
    ("owner", "name", "good"),
    [
        (ListenSettings, "port", 0),
        (ListenSettings, "port", 65535),
        (ListenSettings, "drain_s", 0),
        (ListenSettings, "max_calls", 1),
        (BatchSettings, "max_wait_us", 10_000_000),
        (BatchSettings, "max_batch_rows", 1),
        (BatchSettings, "max_queued_rows", 0),
        (BatchSettings, "max_queued_rows", 64),
        (BatchSettings, "max_queued_mb", 0),
        (BatchSettings, "default_timeout_ms", 1),
        (BatchSettings, "refuse_with", "unavailable"),
        (BatchSettings, "verify_one_in", 0),
        (BatchSettings, "row_buckets", (64,)),
        (BatchSettings, "row_buckets", (1, 64)),
        (BatchSettings, "pad", {"x.1": 0, "a.b.12": "", "x.2": -1.5}),
        (SessionSettings, "device", "GPU:12"),
        (SessionSettings, "device", "/device:cpu:0"),
        (SessionSettings, "plan_budget_s", 0),
        (SessionSettings, "plan_budget_s", 3600),
    ],
)
def test_value_on_the_edge_is_taken(owner: type, name: str, good: Any) -> None:
    assert getattr(owner(**{name: good}), name) == good


@pytest.mark.parametrize("key", ["x", "x.0", ".1", "x.01", "x.", "x.1 ", "x.-1"])
def test_padded_dimension_is_written_as_input_and_a_dimension_behind_the_rows(key: str) -> None:
    with pytest.raises(SettingsError, match=rf'^pad must be "INPUT.DIMENSION" .*{re.escape(repr(key))} = 0$'):
        BatchSettings(pad={key: 0})


def test_padding_and_never_joining_contradict_each_other() -> None:
    with pytest.raises(
        SettingsError, match=r"^pad makes calls alike .* batching never there is nothing to gain"
    ):
        BatchSettings(pad={"x.1": 0}, batching="never")
    BatchSettings(pad={"x.1": 0}, batching="never", batching_by_signature={"one": "tried"})


def test_waiting_longer_than_the_default_deadline_is_refused() -> None:
    with pytest.raises(
        SettingsError, match=r"^max-wait-us must be less than default-timeout-ms \(5\).*5000$"
    ):
        BatchSettings(max_wait_us=5000, default_timeout_ms=5)
    BatchSettings(max_wait_us=4999, default_timeout_ms=5)


def test_signature_has_batching_of_its_own_or_the_models() -> None:
    settings = BatchSettings(batching="always", batching_by_signature={"one": "never"})
    assert (settings.batching_of("one"), settings.batching_of("other")) == ("never", "always")
    with pytest.raises(
        SettingsError,
        match=r"^batching-by-signature of 'one' must be one of proven-only, tried, always, never",
    ):
        BatchSettings(batching_by_signature={"one": "no"})


def test_policy_is_for_a_level_that_there_is() -> None:
    with pytest.raises(SettingsError, match=r"^queue-policy-by-level .* 1 to priority-levels \(2\), got 3$"):
        BatchSettings(priority_levels=2, queue_policy_by_level={3: QueuePolicy()})


def test_order_is_not_kept_where_levels_or_delays_change_it() -> None:
    with pytest.raises(SettingsError, match=r"^preserve-ordering .* one level .* priority-levels 2$"):
        BatchSettings(preserve_ordering=True, priority_levels=2)
    delays = QueuePolicy(default_timeout_us=1, timeout_action="delay")
    with pytest.raises(SettingsError, match=r"^preserve-ordering does not go with timeout-action delay"):
        BatchSettings(preserve_ordering=True, queue_policy=delays)


def test_level_has_a_policy_of_its_own_or_the_models() -> None:
    one, other = QueuePolicy(max_queue_size=1), QueuePolicy(max_queue_size=2)
    settings = BatchSettings(priority_levels=2, queue_policy=one, queue_policy_by_level={2: other})
    assert (settings.policy_of(1), settings.policy_of(2)) == (one, other)
    assert settings.has_policies
    assert not BatchSettings().has_policies


@pytest.mark.parametrize(
    ("default", "priority", "level"),
    [(0, 0, 2), (0, 3, 3), (0, 4, 2), (1, 0, 1), (1, -1, 1), (1, 2**64, 1), (1, 2, 2)],
)
def test_priority_that_is_no_level_is_the_default_one(default: int, priority: int, level: int) -> None:
    settings = BatchSettings(priority_levels=3, default_priority_level=default)
    assert settings.level_of(priority) == level


@pytest.mark.parametrize(
    ("allowed", "default_us", "asked_us", "timeout_us"),
    [
        (True, 100, 0, 100),
        (True, 100, 99, 99),
        (True, 100, 100, 100),
        (True, 100, 101, 100),
        (True, 0, 50, 0),
        (False, 100, 50, 100),
    ],
)
def test_call_can_only_shorten_its_time_in_the_queue_and_only_where_allowed(
    allowed: bool, default_us: int, asked_us: int, timeout_us: int
) -> None:
    policy = QueuePolicy(default_timeout_us=default_us, allow_timeout_override=allowed)
    assert policy.timeout_us(asked_us) == timeout_us


def test_policies_are_made_from_tables() -> None:
    settings = build(
        BatchSettings,
        {
            "priority_levels": 2,
            "queue_policy": {"max_queue_size": 5},
            "queue_policy_by_level": {"2": {"timeout_action": "delay", "default_timeout_us": 7}},
        },
    )
    assert settings.queue_policy == QueuePolicy(max_queue_size=5)
    assert settings.queue_policy_by_level == {2: QueuePolicy(0, 7, False, "delay")}


@pytest.mark.parametrize("other", [{"plan": "as-saved"}, {"plan_budget_s": 0.0}])
def test_xla_and_trying_nothing_contradict_each_other(other: dict[str, Any]) -> None:
    with pytest.raises(SettingsError, match=r"^xla is one of the plans that are tried"):
        SessionSettings(xla=True, **other)


def test_empty_host_is_refused_with_the_way_out() -> None:
    with pytest.raises(SettingsError, match=r"host must not be empty; 0\.0\.0\.0 listens on every network"):
        ListenSettings(host="")


@pytest.mark.parametrize("given", [{"tls_cert": "c"}, {"tls_key": "k"}])
def test_certificate_and_key_go_together(given: dict[str, Any]) -> None:
    with pytest.raises(SettingsError, match="tls-cert and tls-key go together"):
        ListenSettings(**given)


def test_clients_authority_needs_tls() -> None:
    with pytest.raises(SettingsError, match="tls-client-ca needs tls-cert and tls-key"):
        ListenSettings(tls_client_ca="ca")


@pytest.mark.parametrize(
    "name", ["max_connection_age_s", "max_connection_age_grace_s", "max_connection_idle_s"]
)
def test_times_of_connections_have_edges_that_both_servers_can_keep(name: str) -> None:
    assert getattr(ListenSettings(), name) == 0.0
    value: Any
    for value in (0.0, 0.001, 2_000_000.0):
        assert getattr(ListenSettings(**{name: value}), name) == value
    for value in (-1.0, 0.0009, 2_000_001.0, float("inf"), float("nan")):
        with pytest.raises(SettingsError, match=f"{name.replace('_', '-')} must be 0, or 0.001 to 2000000"):
            ListenSettings(**{name: value})


@pytest.mark.parametrize("name", ["", "a\n", "\r", "a\0b", "\x1b[2J", "a\u2028b", "caf\udce9"])
def test_model_name_that_no_message_or_line_can_carry_is_refused(name: str) -> None:
    with pytest.raises(SettingsError, match=f"a model's name .* got {re.escape(ascii(name))}"):
        ModelSettings(name, Path("/models"))


@pytest.mark.parametrize(
    "name",
    [
        "m",
        "M-1_b.c",
        "_shadow",
        "-x",
        "org/model",
        "with space",
        "ümlaut",
        "a" * 140,
        "..",
        'a"\\',
        " ",
        "a=b",
    ],
)
def test_any_other_model_name_is_taken(name: str) -> None:
    assert ModelSettings(name, Path("/models")).name == name


def test_calls_and_admin_cannot_share_a_port() -> None:
    with pytest.raises(SettingsError, match="admin-port and port must differ, both are 8501"):
        ServerSettings((), ListenSettings(port=8501))
    both_off = ServerSettings((), ListenSettings(port=0), AdminSettings(admin_port=0))
    assert both_off.listen.port == both_off.admin.admin_port == 0


@pytest.mark.parametrize("port", [8500, 8501])
def test_rest_shares_no_port(port: int) -> None:
    with pytest.raises(SettingsError, match=rf"rest-port and (admin-)?port must differ, both are {port}"):
        ServerSettings((), rest=RestSettings(port))
    with pytest.raises(SettingsError, match="rest-port and port must differ, both are 8502"):
        ServerSettings((), ListenSettings(port=8502))
    assert ServerSettings((), ListenSettings(port=0), AdminSettings(0), RestSettings(0))


@pytest.mark.parametrize(("port", "flag"), [(8500, "port"), (8501, "admin-port"), (8502, "rest-port")])
def test_health_shares_no_port(port: int, flag: str) -> None:
    with pytest.raises(SettingsError, match=f"health-port and {flag} must differ, both are {port}"):
        ServerSettings((), health=HealthSettings(port))


def test_two_models_with_one_name_are_refused() -> None:
    models = tuple(ModelSettings("m", Path(folder)) for folder in ("/a", "/b"))
    with pytest.raises(SettingsError, match="two models are called 'm'; give one another name: NAME=DIR"):
        ServerSettings(models)


@pytest.mark.parametrize(
    ("device", "canonical"),
    [
        ("/CPU:0", "/device:CPU:0"),
        ("cpu:0", "/device:CPU:0"),
        ("/GPU:1", "/device:GPU:1"),
        ("/device:gpu:01", "/device:GPU:1"),
    ],
)
def test_device_is_known_by_its_full_name(device: str, canonical: str) -> None:
    assert SessionSettings(device=device).canonical_device == canonical


def test_every_setting_has_help_and_a_kind_that_fits_its_default() -> None:
    # What argparse can read; the file can say more.
    flags = (str, int, float, bool, list, Count)
    for field in ALL:
        said = field.metadata
        assert len(said["help"]) > 10, field.name
        default = field.default_factory() if callable(field.default_factory) else field.default
        # A list that does not change is a tuple; None where nothing said is a third thing to say.
        kind = tuple if said["kind"] is list else said["kind"]
        assert default is None or type(default) is kind, field.name
        assert said["kind"] in (flags if said["flag"] else (*flags, tuple, dict, QueuePolicy)), field.name
        assert not said["choices"] or default in said["choices"], field.name


def test_no_name_is_declared_twice() -> None:
    names = [field.name for field in ALL]
    assert len(set(names)) == len(names)


@pytest.mark.parametrize("owner", [*PER_SERVER, *PER_MODEL])
def test_settings_do_not_change_once_made(owner: type) -> None:
    settings = owner()
    with pytest.raises(dataclasses.FrozenInstanceError):
        setattr(settings, dataclasses.fields(owner)[0].name, "other")


def test_owner_takes_its_own_values_and_leaves_the_rest() -> None:
    values = {"max_batch_rows": 7, "port": 1, "device": "/GPU:0", "unrelated": object()}
    assert build(BatchSettings, values) == BatchSettings(max_batch_rows=7)


def test_list_from_a_file_becomes_a_tuple() -> None:
    assert build(BatchSettings, {"row_buckets": [1, 8, 64]}).row_buckets == (1, 8, 64)
