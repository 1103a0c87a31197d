"""RepositoryIndex, RepositoryModelLoad and RepositoryModelUnload over a control that the test answers for."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import pytest

from hotgraph_protos import open_inference as pb
from hotgraph_server.errors import CallError, ControlOff, Draining, InvalidCall, LoadFailed, Unsupported
from hotgraph_server.models.status import IndexRow, State
from hotgraph_server.protocols.v2.model_control import methods

from ..fakes import FakeReply

Parameter = pb.ModelRepositoryParameter
METHODS: dict[str, tuple[Any, Any]] = {
    "RepositoryModelLoad": (pb.RepositoryModelLoadRequest, pb.RepositoryModelLoadResponse),
    "RepositoryModelUnload": (pb.RepositoryModelUnloadRequest, pb.RepositoryModelUnloadResponse),
}


class FakeControl:
    """Attributes:
    asked: what the methods have passed on.
    tell: of the last request.
    rows: the index.
    refusal: what every request is refused with.
    """

    def __init__(self) -> None:
        self.asked: list[tuple[Any, ...]] = []
        self.tell: Callable[[CallError | None], None] | None = None
        self.rows: list[IndexRow] | CallError = []
        self.refusal: CallError | None = None

    def load(self, name: str, config: str | None, files: Mapping[str, bytes], tell: Any) -> None:
        if self.refusal is not None:
            raise self.refusal
        self.asked.append((name, config, dict(files)))
        self.tell = tell

    def unload(self, name: str, tell: Any) -> None:
        if self.refusal is not None:
            raise self.refusal
        self.asked.append((name,))
        self.tell = tell

    def index(self, tell: Callable[[list[IndexRow] | CallError], None]) -> None:
        tell(self.rows)

    def ask(self, method: str, **fields: Any) -> FakeReply:
        reply = FakeReply()
        request = METHODS[method][0](**fields)
        methods(self)[method](request.SerializeToString(), reply)
        return reply


@pytest.fixture
def control() -> FakeControl:
    return FakeControl()


@pytest.mark.parametrize(
    ("method", "done"), [("RepositoryModelLoad", "isLoaded"), ("RepositoryModelUnload", "isUnloaded")]
)
class TestBoth:
    @pytest.mark.parametrize("field", ["model_name", "repository_name"])
    def test_model_is_named_by_tritons_field_or_by_kserves_alone(
        self, control: FakeControl, method: str, done: str, field: str
    ) -> None:
        reply = control.ask(method, **{field: "m"})
        assert control.asked[0][0] == "m"
        assert not reply.finished
        assert control.tell is not None
        control.tell(None)
        response = METHODS[method][1].FromString(reply.answer())
        assert (response.model_name, getattr(response, done)) == ("m", True)

    def test_both_fields_name_a_repository_which_nobody_has(
        self, control: FakeControl, method: str, done: str
    ) -> None:
        with pytest.raises(Unsupported, match="'repository_name' specification is not supported"):
            control.ask(method, repository_name="r", model_name="m")
        assert control.asked == []

    def test_error_is_told_as_it_is(self, control: FakeControl, method: str, done: str) -> None:
        reply = control.ask(method, model_name="m")
        assert control.tell is not None
        control.tell(LoadFailed("m", "why"))
        with pytest.raises(LoadFailed, match="failed to load 'm', why"):
            reply.answer()

    def test_refusal_comes_at_once(self, control: FakeControl, method: str, done: str) -> None:
        control.refusal = ControlOff()
        with pytest.raises(ControlOff):
            control.ask(method, model_name="m")

    def test_bytes_that_are_no_request_are_refused(
        self, control: FakeControl, method: str, done: str
    ) -> None:
        with pytest.raises(InvalidCall, match="the message is no RepositoryModel"):
            methods(control)[method](b"\xff", FakeReply())


class TestLoad:
    def test_configuration_and_files_are_passed_on_as_they_are(self, control: FakeControl) -> None:
        parameters = {
            "config": Parameter(string_param="{}"),
            "file:1/a": Parameter(bytes_param=b"\0"),
            "file:../b": Parameter(bytes_param=b""),
        }
        control.ask("RepositoryModelLoad", model_name="m", parameters=parameters)
        assert control.asked == [("m", "{}", {"file:1/a": b"\0", "file:../b": b""})]

    def test_empty_configuration_is_one_all_the_same(self, control: FakeControl) -> None:
        control.ask("RepositoryModelLoad", model_name="m", parameters={"config": Parameter(string_param="")})
        assert control.asked == [("m", "", {})]

    @pytest.mark.parametrize(
        ("key", "value", "text"),
        [
            ("config", Parameter(bytes_param=b"{}"), "invalid value type for load parameter 'config'"),
            ("config", Parameter(), "invalid value type for load parameter 'config'"),
            ("file:1/a", Parameter(string_param=""), "invalid value type for load parameter 'file:1/a'"),
            ("other", Parameter(string_param=""), "unrecognized load parameter 'other'"),
            ("Config", Parameter(string_param="{}"), "unrecognized load parameter 'Config'"),
            ("x" * 10_000, Parameter(), "unrecognized load parameter 'x{100}'"),
        ],
    )
    def test_other_parameters_and_types_are_refused(
        self, control: FakeControl, key: str, value: Any, text: str
    ) -> None:
        with pytest.raises(InvalidCall, match=text):
            control.ask("RepositoryModelLoad", model_name="m", parameters={key: value})
        assert control.asked == []


class TestUnload:
    @pytest.mark.parametrize("key", ["unload_dependents", "nonesuch"])
    def test_dependents_change_nothing_and_unknown_parameters_are_ignored(
        self, control: FakeControl, key: str
    ) -> None:
        control.ask("RepositoryModelUnload", model_name="m", parameters={key: Parameter(bool_param=True)})
        assert control.asked == [("m",)]

    def test_dependents_of_another_type_are_refused(self, control: FakeControl) -> None:
        wrong = {"unload_dependents": Parameter(string_param="yes")}
        with pytest.raises(InvalidCall, match="invalid value type for 'unload_dependents'"):
            control.ask("RepositoryModelUnload", model_name="m", parameters=wrong)


class TestIndex:
    @staticmethod
    def asked(control: FakeControl, **fields: Any) -> list[tuple[str, str, str, str]]:
        reply = FakeReply()
        request = pb.RepositoryIndexRequest(**fields)
        methods(control)["RepositoryIndex"](request.SerializeToString(), reply)
        response = pb.RepositoryIndexResponse.FromString(reply.answer())
        return [(row.name, row.version, row.state, row.reason) for row in response.models]

    def test_states_are_tritons(self, control: FakeControl) -> None:
        control.rows = [IndexRow("m", number, state) for number, state in enumerate(State)] + [IndexRow("n")]
        states = ["UNAVAILABLE", "LOADING", "LOADING", "READY", "UNLOADING", "UNAVAILABLE", "UNAVAILABLE"]
        found = self.asked(control)
        assert found == [*(("m", str(i), state, "") for i, state in enumerate(states)), ("n", "", "", "")]

    def test_ready_leaves_out_what_is_not(self, control: FakeControl) -> None:
        control.rows = [
            IndexRow("m", 2, State.LIVE),
            IndexRow("m", 1, State.CLOSED, "unloaded"),
            IndexRow("n"),
        ]
        assert self.asked(control, ready=True) == [("m", "2", "READY", "")]

    def test_reason_is_told(self, control: FakeControl) -> None:
        control.rows = [IndexRow("m", None, State.FAILED, "why")]
        assert self.asked(control) == [("m", "", "UNAVAILABLE", "why")]

    def test_name_of_a_repository_is_not_supported(self, control: FakeControl) -> None:
        with pytest.raises(Unsupported):
            self.asked(control, repository_name="r")

    def test_error_is_told(self, control: FakeControl) -> None:
        control.rows = Draining("model control")
        with pytest.raises(Draining):
            self.asked(control)
