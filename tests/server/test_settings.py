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
    BatchSettings,
    ListenSettings,
    ModelSettings,
    ServerSettings,
    SessionSettings,
    build,
    fields_of,
)

ALL = list(fields_of(*PER_SERVER, *PER_MODEL))


@pytest.mark.parametrize(
    ("owner", "name", "bad"),
    [
        (ListenSettings, "port", -1),
        (ListenSettings, "port", 65536),
        (ListenSettings, "max_calls", 0),
        (ListenSettings, "drain_s", -0.5),
        (ListenSettings, "drain_s", math.nan),
        (ListenSettings, "drain_s", math.inf),
        (ListenSettings, "drain_s", 1e300),
        (BatchSettings, "max_batch_rows", 0),
        (BatchSettings, "max_wait_us", -1),
        (BatchSettings, "max_wait_us", 10_000_001),
        (BatchSettings, "max_queued_calls", 0),
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
        (SessionSettings, "device", "GPU:12"),
        (SessionSettings, "device", "/device:cpu:0"),
    ],
)
def test_value_on_the_edge_is_taken(owner: type, name: str, good: Any) -> None:
    assert getattr(owner(**{name: good}), name) == good


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


@pytest.mark.parametrize("name", ["", ".hidden", "-flag", "a b", "a/b", "a=b", "é", "x" * 129, "a\n"])
def test_model_name_that_not_every_place_can_carry_is_refused(name: str) -> None:
    with pytest.raises(SettingsError, match=f"a model's name is .* got {re.escape(repr(name))}"):
        ModelSettings(name, Path("/models"))


@pytest.mark.parametrize("name", ["m", "M-1_b.c", "0", "x" * 128])
def test_model_name_of_plain_characters_is_taken(name: str) -> None:
    assert ModelSettings(name, Path("/models")).name == name


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


@pytest.mark.parametrize("field", ALL, ids=[field.name for field in ALL])
def test_every_setting_has_help_and_a_kind_that_fits_its_default(field: dataclasses.Field[Any]) -> None:
    assert len(field.metadata["help"]) > 10
    assert field.metadata["kind"] in (str, int, float, bool)
    assert type(field.default) is field.metadata["kind"]


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
