from __future__ import annotations

import logging
from pathlib import Path

import pytest

from hotgraph_server.access.gate import Gate, gate_of
from hotgraph_server.access.groups import GRPC, REST, Group, Method
from hotgraph_server.access.keys import hashed, new_key
from hotgraph_server.access.rules import Header
from hotgraph_server.errors import (
    AccessDenied,
    ApiRestricted,
    ProtocolRestricted,
    SettingsError,
    Unauthenticated,
)
from hotgraph_server.settings import AccessSettings

LOAD = "/inference.GRPCInferenceService/RepositoryModelLoad"
INFER = "/inference.GRPCInferenceService/ModelInfer"
KEY = new_key()
NONE: Header = dict[str, str]().get


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "auth.toml"
    path.write_text(f'[groups.control]\nkeys = ["{hashed(KEY)}"]')
    return path


def test_who_makes_no_rules_has_no_gate() -> None:
    assert gate_of(AccessSettings()) is None
    assert gate_of(AccessSettings(request_log_dir="/tmp")) is None
    assert gate_of(AccessSettings(grpc_restricted_protocol=("trace:k=v",))) is not None
    assert gate_of(AccessSettings(http_restricted_api=("trace:k=v",))) is not None


def test_file_that_cannot_be_read_is_told(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"auth\.toml"):
        gate_of(AccessSettings(auth=str(tmp_path / "auth.toml")))


def test_method_is_refused_by_its_group(file: Path) -> None:
    gate = Gate(AccessSettings(auth=str(file)))
    assert gate.of_path(INFER, NONE) is None
    assert isinstance(gate.of_path(LOAD, NONE), Unauthenticated)
    assert gate.of_path(LOAD, {"authorization": f"Bearer {KEY}"}.get) is None
    assert isinstance(gate.of(Group.CONTROL, NONE), Unauthenticated)
    assert gate.of(Group.ADMIN, NONE) is None


def test_closing_all_groups_leaves_health_alone_but_for_its_list_of_models(tmp_path: Path) -> None:
    path = tmp_path / "auth.toml"
    path.write_text("".join(f"[groups.{group.value}]\nclosed = true\n" for group in Group))
    gate = Gate(AccessSettings(auth=str(path)))
    answered = {path for path in GRPC if gate.of_path(path, NONE) is None}
    health = {path for path, method in GRPC.items() if method.protocol == "health"}
    assert answered == health - {"/grpc.health.v1.Health/List"}


def test_path_that_is_nobodys_is_left_to_the_transport(file: Path) -> None:
    assert Gate(AccessSettings(auth=str(file))).of_path("/a.B/C", NONE) is None


def test_restricted_protocol_needs_its_header_and_its_group_its_key(file: Path) -> None:
    gate = Gate(AccessSettings(str(file), ("model-repository,health:k=v",)))
    header = {"triton-grpc-protocol-k": "v"}
    assert isinstance(gate.of_path(LOAD, {"authorization": f"Bearer {KEY}"}.get), ProtocolRestricted)
    assert isinstance(gate.of_path(LOAD, header.get), Unauthenticated)
    assert gate.of_path(LOAD, {**header, "authorization": f"Bearer {KEY}"}.get) is None
    assert isinstance(gate.of_path("/grpc.health.v1.Health/Check", NONE), ProtocolRestricted)


def test_restricted_api_needs_its_header_and_its_group_its_key(file: Path) -> None:
    gate = Gate(AccessSettings(str(file), http_restricted_api=("model-repository,inference:Admin-Key=v",)))
    header = {"admin-key": "v"}
    key = {"authorization": f"Bearer {KEY}"}
    assert isinstance(gate.of_request(GRPC[LOAD], key.get), ApiRestricted)
    assert isinstance(gate.of_request(GRPC[LOAD], header.get), Unauthenticated)
    assert gate.of_request(GRPC[LOAD], {**header, **key}.get) is None
    assert isinstance(gate.of_request(REST["predict"], NONE), ApiRestricted)
    assert gate.of_request(REST["status"], NONE) is None
    assert gate.of_request(Method(None), NONE) is None


def test_each_side_has_restrictions_of_its_own() -> None:
    over_grpc = Gate(AccessSettings(grpc_restricted_protocol=("inference:k=v",)))
    assert over_grpc.of_request(GRPC[INFER], NONE) is None
    over_http = Gate(AccessSettings(http_restricted_api=("inference:k=v",)))
    assert over_http.of_path(INFER, NONE) is None


def test_rules_are_read_again(file: Path) -> None:
    gate = Gate(AccessSettings(auth=str(file)))
    file.write_text("[groups.control]\nclosed = true\n[groups.infer]\nclosed = true")
    assert gate.of_path(INFER, NONE) is None
    gate.renew()
    assert isinstance(gate.of_path(INFER, NONE), AccessDenied)
    assert isinstance(gate.of_path(LOAD, {"authorization": f"Bearer {KEY}"}.get), AccessDenied)


@pytest.mark.parametrize("text", ["", "[groups.contrl]\nclosed = true", None])
def test_rules_that_cannot_be_read_again_change_nothing_and_are_told_once(
    file: Path, text: str | None, caplog: pytest.LogCaptureFixture
) -> None:
    gate = Gate(AccessSettings(auth=str(file)))
    before = gate.rules
    if text is None:
        file.unlink()
    else:
        file.write_text(text)
    with caplog.at_level(logging.INFO):
        gate.renew()
    (line,) = caplog.records
    assert gate.rules is before
    assert line.levelno == logging.ERROR
    assert "who may call what stays as it is: " in line.getMessage()
    assert "auth.toml" in line.getMessage()


def test_without_a_file_there_is_nothing_to_read_again(caplog: pytest.LogCaptureFixture) -> None:
    Gate(AccessSettings(grpc_restricted_protocol=("trace:k=v",))).renew()
    assert not caplog.records
