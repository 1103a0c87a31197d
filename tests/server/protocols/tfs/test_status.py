"""ModelService: the versions of a model and their states, highest first; and new lists of models."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import Any

import pytest
from tensorflow_serving.apis import get_model_status_pb2, model_management_pb2

from hotgraph_server.errors import (
    CallError,
    ConfigError,
    InvalidCall,
    LoadError,
    NotAvailable,
    NotFound,
    Unsupported,
)
from hotgraph_server.models.status import State, Unavailable, VersionStatus
from hotgraph_server.protocols.tfs import status
from hotgraph_server.settings import ModelFactory, ModelSettings
from hotgraph_server.transport.service import Service

from ..fakes import FakeReply

ModelVersionStatus = get_model_status_pb2.ModelVersionStatus


class FakeModels:
    """What repository.Repository is to the service.

    Attributes:
        known: the statuses of each model.
        waiting: who wants to know what; told by the test.
        given: the lists of models that the service has passed on.
        refusal: what such a list is refused with.
    """

    def __init__(self, **known: Sequence[VersionStatus]) -> None:
        self.known = {name: list(statuses) for name, statuses in known.items()}
        self.waiting: dict[frozenset[str], Callable[[list[Unavailable]], None]] = {}
        self.given: list[Sequence[ModelSettings]] = []
        self.refusal: ConfigError | None = None
        self.counted: dict[str, dict[str, int]] = {}
        self.service = self._service(lambda name, path, _: ModelSettings(name, path))

    def _service(self, make: ModelFactory | None) -> Service:
        return status.service(self, self.reconfigure, make, lambda: self.counted)

    def reconfigure(self, models: Sequence[ModelSettings]) -> None:
        if self.refusal is not None:
            raise self.refusal
        self.given.append(models)

    def models(self) -> list[str]:
        return list(self.known)

    def statuses(self, name: str) -> list[VersionStatus]:
        return self.known.get(name, [])

    def when_settled(
        self, names: Collection[str], tell: Callable[[list[Unavailable]], None]
    ) -> Callable[[], None]:
        self.waiting[frozenset(names)] = tell
        return lambda: self.waiting.clear()


class TestStatus:
    @pytest.fixture
    def models(self) -> FakeModels:
        return FakeModels(
            m=[VersionStatus(12, State.LOADING), VersionStatus(9, State.LIVE), VersionStatus(3, State.LIVE)]
        )

    @staticmethod
    def asking(name: str, *, version: int | None = None, label: str | None = None) -> Any:
        request = get_model_status_pb2.GetModelStatusRequest()
        request.model_spec.name = name
        if version is not None:
            request.model_spec.version.value = version
        if label is not None:
            request.model_spec.version_label = label
        return request

    @staticmethod
    def status(models: FakeModels, request: Any) -> list[tuple[int, int]]:
        """Version numbers and states."""
        plain = models.service.plain["GetModelStatus"]
        response = plain.answer(plain.request.FromString(request.SerializeToString()))
        return [(one.version, one.state) for one in response.model_version_status]

    def test_all_versions_are_told_highest_first(self, models: FakeModels) -> None:
        assert self.status(models, self.asking("m")) == [
            (12, ModelVersionStatus.LOADING),
            (9, ModelVersionStatus.AVAILABLE),
            (3, ModelVersionStatus.AVAILABLE),
        ]

    def test_named_version_is_told_alone(self, models: FakeModels) -> None:
        assert self.status(models, self.asking("m", version=3)) == [(3, ModelVersionStatus.AVAILABLE)]

    def test_version_zero_means_all_where_there_is_no_zero(self) -> None:
        models = FakeModels(m=[VersionStatus(3, State.LIVE)])
        assert self.status(models, self.asking("m", version=0)) == [(3, ModelVersionStatus.AVAILABLE)]
        models.known["m"].append(VersionStatus(0, State.LIVE))
        assert self.status(models, self.asking("m", version=0)) == [(0, ModelVersionStatus.AVAILABLE)]

    def test_label_is_ignored(self, models: FakeModels) -> None:
        assert len(self.status(models, self.asking("m", label="canary"))) == 3

    @pytest.mark.parametrize(
        ("state", "shown"),
        [
            (State.KNOWN, ModelVersionStatus.START),
            (State.WAITING, ModelVersionStatus.START),
            (State.LOADING, ModelVersionStatus.LOADING),
            (State.LIVE, ModelVersionStatus.AVAILABLE),
            (State.DRAINING, ModelVersionStatus.UNLOADING),
            (State.CLOSED, ModelVersionStatus.END),
            (State.FAILED, ModelVersionStatus.END),
        ],
    )
    def test_each_state_has_its_counterpart(self, state: State, shown: int) -> None:
        models = FakeModels(m=[VersionStatus(1, state)])
        assert self.status(models, self.asking("m")) == [(1, shown)]

    def test_version_that_is_well_says_so_and_one_that_failed_says_why(self) -> None:
        models = FakeModels(
            m=[VersionStatus(2, State.FAILED, "fails its first run"), VersionStatus(1, State.LIVE)]
        )
        failed, well = models.service.plain["GetModelStatus"].answer(self.asking("m")).model_version_status
        assert well.HasField("status")
        assert (well.status.error_code, well.status.error_message) == (0, "")
        assert (failed.status.error_code, failed.status.error_message) == (2, "fails its first run")

    @pytest.mark.parametrize(
        ("request_", "error", "text"),
        [
            (get_model_status_pb2.GetModelStatusRequest(), InvalidCall, "Missing ModelSpec"),
            (asking(""), NotFound, "Could not find any versions of model "),
            (asking("x"), NotFound, "Could not find any versions of model x"),
            (asking("m", version=7), NotFound, "Could not find version 7 of model m"),
            (asking("m", version=-1), NotFound, "Could not find version -1 of model m"),
        ],
    )
    def test_what_is_not_there_is_told_in_tensorflow_servings_words(
        self, models: FakeModels, request_: Any, error: type[CallError], text: str
    ) -> None:
        with pytest.raises(error) as raised:
            self.status(models, request_)
        assert str(raised.value) == text


class TestReload:
    @staticmethod
    def asking(*names: str) -> bytes:
        request = model_management_pb2.ReloadConfigRequest()
        request.config.model_config_list.SetInParent()
        for name in names:
            request.config.model_config_list.config.add(
                name=name, base_path=f"/models/{name}", model_platform="tensorflow"
            )
        return bytes(request.SerializeToString())

    @staticmethod
    def reload(models: FakeModels, message: bytes) -> FakeReply:
        reply = FakeReply()
        models.service.hot["HandleReloadConfigRequest"](message, reply)
        return reply

    def test_answer_comes_when_the_models_that_are_new_are_settled(self) -> None:
        models = FakeModels(m=[VersionStatus(1, State.LIVE)])
        reply = self.reload(models, self.asking("m", "n"))
        ((m, n),) = models.given
        assert (m.name, m.path, n.name, n.path) == ("m", Path("/models/m"), "n", Path("/models/n"))
        ((names, tell),) = models.waiting.items()
        assert names == {"n"}
        tell([])
        response = model_management_pb2.ReloadConfigResponse.FromString(reply.answer())
        assert response.HasField("status")
        assert (response.status.error_code, response.status.error_message) == (0, "")

    def test_growth_of_the_metrics_that_are_named_comes_with_the_answer(self) -> None:
        models = FakeModels(m=[VersionStatus(1, State.LIVE)])
        models.counted = {"/calls": {"m 1": 5, "gone": 7}, "/runs": {"m 1": 1}}
        request = model_management_pb2.ReloadConfigRequest.FromString(self.asking("m", "n"))
        request.metric_names.extend(["/calls", "/nobody/has/this"])
        reply = self.reload(models, request.SerializeToString())
        models.counted = {"/calls": {"m 1": 8, "n 1": 2}, "/runs": {"m 1": 9}}
        ((_, tell),) = models.waiting.items()
        tell([])
        response = model_management_pb2.ReloadConfigResponse.FromString(reply.answer())
        assert [(one.name, one.int64_value_increase) for one in response.metric] == [("/calls", 5)]

    def test_versions_that_did_not_become_available_are_named(self) -> None:
        models = FakeModels()
        reply = self.reload(models, self.asking("x", "y"))
        ((_, tell),) = models.waiting.items()
        tell(
            [
                Unavailable("x", 1, LoadError("here", "broken")),
                Unavailable("y", None, LoadError("/models/y", "no such folder")),
            ]
        )
        with pytest.raises(NotAvailable) as raised:
            reply.answer()
        assert raised.value.status.name == "UNKNOWN"
        assert str(raised.value) == (
            "2 servable(s) did not become available: {{{name: x version: 1} due to error: here: broken},"
            " {{name: y} due to error: /models/y: no such folder}, }"
        )

    def test_caller_who_leaves_is_waited_for_no_longer(self) -> None:
        models = FakeModels()
        reply = self.reload(models, self.asking("x"))
        assert models.waiting
        assert reply.cancel is not None
        reply.cancel()
        assert not models.waiting

    def test_empty_list_serves_nothing_any_more(self) -> None:
        models = FakeModels(m=[VersionStatus(1, State.LIVE)])
        self.reload(models, self.asking())
        assert models.given == [[]]

    @pytest.mark.parametrize("kind", ["none", "custom"])
    def test_only_a_list_of_models_is_taken(self, kind: str) -> None:
        request = model_management_pb2.ReloadConfigRequest()
        if kind == "custom":
            request.config.custom_model_config.SetInParent()
        models = FakeModels()
        with pytest.raises(InvalidCall) as raised:
            self.reload(models, request.SerializeToString())
        assert str(raised.value) == (
            "ServerModelConfig type not supported by HandleReloadConfigRequest."
            " Only ModelConfigList is currently supported"
        )
        assert not models.given

    def test_refused_list_is_an_error_at_once(self) -> None:
        models = FakeModels()
        models.refusal = ConfigError("cannot be")
        with pytest.raises(ConfigError):
            self.reload(models, self.asking("x"))
        with pytest.raises(ConfigError, match="multiple times"):
            self.reload(models, self.asking("x", "x"))
        assert not models.given
        assert not models.waiting

    def test_garbage_is_no_request(self) -> None:
        with pytest.raises(InvalidCall, match="ReloadConfigRequest"):
            self.reload(FakeModels(), b"\xff")

    def test_server_whose_models_are_fixed_says_so(self) -> None:
        models = FakeModels()
        models.service = models._service(None)
        with pytest.raises(Unsupported, match="command line"):
            self.reload(models, self.asking("x"))


def test_only_methods_of_the_descriptor_are_answered() -> None:
    service = FakeModels().service
    described = service.descriptor.services_by_name["ModelService"]
    assert described.full_name == service.name
    assert {*service.hot, *service.plain} == set(described.methods_by_name)
