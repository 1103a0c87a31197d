"""A server in this process, asked over HTTP by nothing that would hide what is sent and answered."""

from __future__ import annotations

import argparse
import contextlib
import http.client
import json
import shutil
import socket
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from ..ports import free_port
from ..saved_models import SavedModels

PATIENCE_S = 60.0

ODD_NAME = "odd+n@me.1 é%41"

SEQUENCE = """
max_batch_size: 8
input { name: "x" data_type: TYPE_FP32 dims: [1] }
output { name: "sum" data_type: TYPE_FP32 dims: [1] }
sequence_batching {
  max_sequence_idle_microseconds: 60000000
  oldest { }
  control_input { name: "START" control { kind: CONTROL_SEQUENCE_START int32_false_true: [0, 1] } }
  control_input { name: "END" control { kind: CONTROL_SEQUENCE_END int32_false_true: [0, 1] } }
  control_input { name: "READY" control { kind: CONTROL_SEQUENCE_READY int32_false_true: [0, 1] } }
  control_input { name: "CORRID" control { kind: CONTROL_SEQUENCE_CORRID data_type: TYPE_INT64 } }
  state {
    input_name: "sum_in" output_name: "sum_out" data_type: TYPE_FP32 dims: [1]
    initial_state { name: "begin" data_type: TYPE_FP32 dims: [1] zero_data: true }
  }
}
"""
LABELS = ("ash", "birch", "cedar")
LABELLED = """
max_batch_size: 8
output { name: "sum" data_type: TYPE_FP32 dims: [3] label_filename: "labels.txt" }
output { name: "product" data_type: TYPE_INT32 dims: [3] }
"""
QUEUE = "max_batch_size: 8 dynamic_batching {{ default_queue_policy {{ {} }} }}"


class Answer(NamedTuple):
    """What came back; names of headers are in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        assert self.headers["content-type"] == "application/json", self
        return json.loads(self.body)

    @property
    def error(self) -> str:
        """The text of what must be an error and nothing else."""
        assert self.status >= 400, self
        (only,) = self.json.items()
        assert only[0] == "error"
        return str(only[1])

    @property
    def refusal(self) -> tuple[int, str]:
        return self.status, self.error

    def output(self, name: str) -> Any:
        """The member of an infer answer's outputs that has that name."""
        assert self.status == 200, self
        (found,) = [one for one in self.json["outputs"] if one["name"] == name]
        return found

    @property
    def split(self) -> tuple[Any, bytes]:
        """The JSON of an answer that has tensors behind it, and these."""
        assert self.status == 200, self
        assert self.headers["content-type"] == "application/octet-stream"
        length = int(self.headers["inference-header-content-length"])
        return json.loads(self.body[:length]), self.body[length:]


class HttpServer:
    """A server whose settings are those of a command line; ports are chosen here.

    Attributes:
        port: of HTTP.
        url: HOST:PORT of that.
        address: HOST:PORT of gRPC.
    """

    def __init__(self, *flags: str) -> None:
        from hotgraph_server.commands import serve
        from hotgraph_server.server import Server

        parser = argparse.ArgumentParser()
        serve.add_arguments(parser)
        self.port, self.admin_port = free_port(), free_port()
        ports = ("--port", "0", "--rest-port", str(self.port), "--admin-port", str(self.admin_port))
        self.server = Server(serve.settings_from(vars(parser.parse_args([*ports, *flags]))))
        self.server.start()
        self.url = f"127.0.0.1:{self.port}"
        self.address = self.server.address

    def close(self) -> None:
        from hotgraph_server.server import Stopped

        assert self.server.stop() == Stopped(answered=True, ended=True)

    def ask(self, method: str, path: str, body: Any = None, **headers: str) -> Answer:
        """One request on a connection of its own.

        Args:
            body: bytes, or what shall be JSON.
            headers: underscores stand for hyphens.
        """
        return ask(self.port, method, path, body, **headers)

    def get(self, path: str, **headers: str) -> Answer:
        return self.ask("GET", path, **headers)

    def post(self, path: str, body: Any = None, **headers: str) -> Answer:
        return self.ask("POST", path, body, **headers)

    def infer(self, model: str, inputs: Any, version: str = "", **members: Any) -> Answer:
        """A call with nothing behind its JSON."""
        return self.post(infer_path(model, version), {"inputs": inputs, **members})

    def infer_binary(
        self, model: str, inputs: Any, tails: bytes, length: str | None = None, **members: Any
    ) -> Answer:
        """A call with tensors behind its JSON; `length`: what is said to be its length."""
        text = json.dumps({"inputs": inputs, **members}).encode()
        said = str(len(text)) if length is None else length
        return self.post(infer_path(model), text + tails, inference_header_content_length=said)

    def raw(self, data: bytes) -> bytes:
        """What comes back on a connection until the server closes it."""
        return raw(self.port, data)

    def metric(self, name: str, **labels: str) -> float:
        """The sum of the series of that name with these labels; 0: there is none."""
        with urllib.request.urlopen(
            f"http://127.0.0.1:{self.admin_port}/metrics", timeout=PATIENCE_S
        ) as page:
            text = page.read().decode()
        return sum(
            float(line.rsplit(" ", 1)[1])
            for line in text.splitlines()
            if line.startswith(f"{name}{{")
            and all(f'{key}="{value}"' in line for key, value in labels.items())
        )

    def wait_for_metric(self, value: float, name: str, **labels: str) -> None:
        while self.metric(name, **labels) != value:
            pass


def ask(port: int, method: str, path: str, body: Any = None, **headers: str) -> Answer:
    """See HttpServer.ask."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE_S)
    with contextlib.closing(connection):
        return ask_on(connection, method, path, body, **headers)


def ask_on(
    connection: http.client.HTTPConnection, method: str, path: str, body: Any = None, **headers: str
) -> Answer:
    """One request on a connection that is there."""
    data = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    connection.request(method, path, data, named)
    response = connection.getresponse()
    found = {name.lower(): value for name, value in response.getheaders()}
    return Answer(response.status, found, response.read())


def raw(port: int, data: bytes) -> bytes:
    """See HttpServer.raw."""
    with socket.create_connection(("127.0.0.1", port), timeout=PATIENCE_S) as connection:
        connection.sendall(data)
        parts = []
        while part := connection.recv(65536):
            parts.append(part)
    return b"".join(parts)


def infer_path(model: str, version: str = "") -> str:
    return f"/v2/models/{model}/versions/{version}/infer" if version else f"/v2/models/{model}/infer"


def tensor(name: str, datatype: str, shape: Sequence[int], data: Any = None, **parameters: Any) -> Any:
    """An input as JSON has it; without data, and with parameters, if any."""
    one: dict[str, Any] = {"name": name, "datatype": datatype, "shape": list(shape)}
    if data is not None:
        one["data"] = data
    if parameters:
        one["parameters"] = parameters
    return one


def two(a: Any = (1, 2, 3), b: Any = (4, 5, 6)) -> Any:
    """The inputs of a model made of `two_in_two_out`, one row."""
    return [tensor("a", "FP32", [1, 3], list(a)), tensor("b", "INT32", [1, 3], list(b))]


@contextlib.contextmanager
def of_repository(root: Path, *flags: str) -> Iterator[HttpServer]:
    """A server under explicit control over a repository, all of which it has loaded."""
    server = HttpServer("--repository", str(root), "--model-control", "explicit", "--load-model", "*", *flags)
    try:
        yield server
    finally:
        server.close()


def write_repository(root: Path, saved_models: SavedModels) -> None:
    """A repository with models of each kind; see there."""

    def add(name: str, of: str, config: str = "", versions: tuple[str, ...] = ("1",)) -> None:
        for version in versions:
            shutil.copytree(saved_models[of], root / name / version / "model.savedmodel")
        if config:
            (root / name / "config.pbtxt").write_text(config)

    add("simple", "two_in_two_out", LABELLED)
    (root / "simple" / "labels.txt").write_text("\n".join(LABELS))
    add("multi", "two_in_two_out", "max_batch_size: 8 version_policy { all { } }", ("1", "3"))
    add(ODD_NAME, "two_in_two_out", "max_batch_size: 8")
    add("echo", "every_dtype")
    add("text", "strings", "max_batch_size: 0")
    add("vectors", "variable_length")
    add("shared", "pass_through")
    add("ids", "embedding", "max_batch_size: 4")
    add("classes", "square_output")
    add("sequence", "running_sum", SEQUENCE)
    add("decoupled", "two_in_two_out", "max_batch_size: 4 model_transaction_policy { decoupled: true }")
    add("full", "gated", QUEUE.format("max_queue_size: 1"))
    add("late", "gated", QUEUE.format("default_timeout_microseconds: 50000 allow_timeout_override: true"))
    add("free", "gated", "max_batch_size: 8")
    add("comes", "two_in_two_out", "max_batch_size: 8")
