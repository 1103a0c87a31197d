"""How endpoints ask the service: by messages, where the transport lets them, and with what they are given."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from typing import Any

import pytest

from hotgraph_protos import open_inference as pb
from hotgraph_server.errors import CallError, Unsupported
from hotgraph_server.rest.json.process_pool import JsonProcessPool
from hotgraph_server.rest.v2.management import Management
from hotgraph_server.rest.v2.paths import Target, What
from hotgraph_server.transport.message_fields import Message
from hotgraph_server.transport.service import Reply, Service, failing

from ..fakes import request
from .http_calls import FakeHttpReply

LOAD = Target(What.LOAD, "m")
BODY = b'{"parameters": {"config": "{}"}}'


class OtherProcess(JsonProcessPool):
    """Runs here what it would run there, with what would arrive there."""

    ran = 0

    def __init__(self) -> None:
        super().__init__(0)

    def run(self, function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        self.ran += 1
        there, given, named = pickle.loads(pickle.dumps((function, args, kwargs)))
        return pickle.loads(pickle.dumps(there(*given, **named)))


class Loading:
    """A service whose RepositoryModelLoad keeps what it is given."""

    def __init__(self) -> None:
        self.calls: list[tuple[pb.RepositoryModelLoadRequest, Reply]] = []
        self.service = Service("inference.X", None, hot={"RepositoryModelLoad": self._load})

    def _load(self, message: Any, reply: Reply) -> None:
        self.calls.append((pb.RepositoryModelLoadRequest.FromString(message), reply))


def begun(management: Management, target: Target, body: Message) -> FakeHttpReply:
    reply = FakeHttpReply(request("POST", "/unused"), deadline=7.0)
    management.endpoint(target).begin(body, reply)
    return reply


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
def test_large_json_can_be_read_by_another_process(kind: Callable[[bytes], Message]) -> None:
    loading, pool = Loading(), OtherProcess()
    begun(Management(loading.service, 10**6, pool), LOAD, kind(BODY))
    ((asked, _),) = loading.calls
    assert (asked.model_name, asked.parameters["config"].string_param) == ("m", "{}")
    assert pool.ran == 1


def test_answer_comes_when_the_method_gives_it_and_the_call_is_the_callers() -> None:
    loading = Loading()
    reply = begun(Management(loading.service, 10**6), LOAD, BODY)
    ((_, inner),) = loading.calls
    assert not reply.finished
    assert (inner.deadline, inner.peer) == (7.0, "127.0.0.1:1")
    inner.when_gone(lambda: True)
    assert reply.cancel is not None
    inner.finish(lambda: pb.RepositoryModelLoadResponse(model_name="m").SerializeToString())
    assert reply.content() == [b'{"name":"m","load":true}']


def test_error_of_the_method_is_the_answers() -> None:
    loading = Loading()
    reply = begun(Management(loading.service, 10**6), LOAD, BODY)
    ((_, inner),) = loading.calls
    inner.finish(failing(Unsupported("why")))
    with pytest.raises(Unsupported, match="why"):
        reply.content()


@pytest.mark.parametrize("what", [What.LOAD, What.LOGGING])
def test_method_that_the_service_lacks_is_unsupported(what: What) -> None:
    management = Management(Service("inference.X", None), 10**6)
    with pytest.raises(Unsupported):
        begun(management, Target(what, "m"), b"")


def test_body_is_no_larger_than_the_server_takes() -> None:
    management = Management(Service("inference.X", None), 1000)
    assert management.endpoint(LOAD).most_bytes == management.endpoint(Target(What.INDEX)).most_bytes == 1000


def test_wrong_body_never_reaches_the_method() -> None:
    loading = Loading()
    with pytest.raises(CallError):
        begun(Management(loading.service, 10**6), LOAD, b"{")
    assert loading.calls == []
