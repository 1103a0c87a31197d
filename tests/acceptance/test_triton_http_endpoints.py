"""What a user of Triton's HTTP port may take for granted of all that runs no model: each endpoint, its
answer and its failures, routing, shared memory, the repository. Where Triton's way is a nuisance, our own."""

from __future__ import annotations

import base64
import contextlib
import json
import os
import socket
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import quote

import numpy as np
import pytest
from tritonclient.grpc import InferenceServerClient as GrpcClient
from tritonclient.utils import shared_memory as shm

from ..saved_models import SavedModels
from ..server.fakes import until
from .http_server import ODD_NAME, PATIENCE_S, HttpServer, tensor, two
from .triton_tensors import tensor as grpc_tensor

NO_DOOR = "Not Found"
FILE = "can not be updated through network protocol"


class TestOfTheServer:
    def test_it_says_what_it_is(self, http_server: HttpServer) -> None:
        said = http_server.get("/v2").json
        assert said.keys() == {"name", "version", "extensions"}
        assert said["name"] == "hotgraph"
        assert {
            *("classification", "sequence", "model_repository", "model_repository(unload_dependents)"),
            *("schedule_policy", "model_configuration", "system_shared_memory", "binary_tensor_data"),
            *("parameters", "statistics", "trace", "logging"),
        } <= set(said["extensions"])

    @pytest.mark.parametrize(("what", "body"), [("live", {"live": True}), ("ready", {"ready": True})])
    def test_health_is_a_status_and_what_kserve_reads(
        self, http_server: HttpServer, what: str, body: Any
    ) -> None:
        answer = http_server.get(f"/v2/health/{what}")
        assert (answer.status, answer.json) == (200, body)

    def test_metrics_are_on_the_port_of_their_own_alone(self, http_server: HttpServer) -> None:
        with urllib.request.urlopen(f"http://127.0.0.1:{http_server.admin_port}/metrics") as page:
            assert page.status == 200
            assert page.headers["content-type"].startswith("text/plain")
            assert b"nv_inference_request_success" in page.read()
        assert http_server.get("/metrics").status == 404


class TestOfModels:
    def test_metadata_have_the_batch_dimension_and_every_version(self, http_server: HttpServer) -> None:
        said = http_server.get("/v2/models/multi").json
        assert (said["name"], said["versions"], said["platform"]) == (
            *("multi", ["1", "3"]),
            "tensorflow_savedmodel",
        )
        assert said["inputs"] == [
            {"name": "a", "datatype": "FP32", "shape": [-1, 3]},
            {"name": "b", "datatype": "INT32", "shape": [-1, 3]},
        ]
        assert {one["name"]: (one["datatype"], one["shape"]) for one in said["outputs"]} == {
            "sum": ("FP32", [-1, 3]),
            "product": ("INT32", [-1, 3]),
        }
        assert http_server.get("/v2/models/multi/versions/3").json["versions"] == ["3"]

    def test_what_the_batcher_fills_in_is_no_input(self, http_server: HttpServer) -> None:
        said = http_server.get("/v2/models/sequence").json
        assert [one["name"] for one in said["inputs"]] == ["x"]

    @pytest.mark.parametrize("what", ["", "/config"])
    @pytest.mark.parametrize(
        ("model", "text"),
        [
            ("nobody", "Request for unknown model: 'nobody' is not found"),
            ("multi/versions/99", "Request for unknown model: 'multi' version 99 is not found"),
        ],
    )
    def test_what_is_not_there_is_not_found(
        self, http_server: HttpServer, what: str, model: str, text: str
    ) -> None:
        assert http_server.get(f"/v2/models/{model}{what}").refusal == (404, text)

    @pytest.mark.parametrize("version", ["abc", "-1", "2x", "1.0"])
    def test_a_version_is_digits(self, http_server: HttpServer, version: str) -> None:
        for path in ("", "/ready", "/config", "/stats"):
            status, text = http_server.get(f"/v2/models/multi/versions/{version}{path}").refusal
            assert (status, text.startswith(NO_DOOR)) == (404, True)
        assert http_server.infer("multi", two(), version).status == 404

    def test_ready_is_yes_or_a_mistake_of_the_caller(self, http_server: HttpServer) -> None:
        for model in ("multi", "multi/versions/3"):
            assert http_server.get(f"/v2/models/{model}/ready").json == {"name": "multi", "ready": True}
        for model in ("multi/versions/99", "nobody"):
            answer = http_server.get(f"/v2/models/{model}/ready")
            assert answer.status == 400
            name = model.partition("/")[0]
            assert answer.json == {"name": name, "ready": False, "error": "Model version not ready"}

    def test_config_has_the_names_of_the_file_and_what_it_leaves_out(self, http_server: HttpServer) -> None:
        said = http_server.get("/v2/models/simple/config").json
        assert (said["name"], said["max_batch_size"]) == ("simple", 8)
        assert said["version_policy"] == {"latest": {"num_versions": 1}}
        (a,) = [one for one in said["input"] if one["name"] == "a"]
        assert (a["data_type"], a["dims"]) == ("TYPE_FP32", ["3"]) or a["dims"] == [3]
        assert said["output"][0]["label_filename"] == "labels.txt"
        assert http_server.get("/v2/models/multi/versions/1/config").json["version_policy"] == {"all": {}}

    def test_statistics_are_of_a_version_of_a_model_or_of_all(self, http_server: HttpServer) -> None:
        assert http_server.infer("multi", two(), "1").status == 200
        (one,) = http_server.get("/v2/models/multi/versions/1/stats").json["model_stats"]
        assert (one["name"], one["version"]) == ("multi", "1")
        assert one["inference_count"] >= 1
        assert one["execution_count"] >= 1
        assert one["last_inference"] > 1_600_000_000_000
        assert one["inference_stats"].keys() == {
            *("success", "fail", "queue", "compute_input", "compute_infer", "compute_output"),
            *("cache_hit", "cache_miss"),
        }
        assert one["inference_stats"]["success"].keys() == {"count", "ns"}
        assert one["inference_stats"]["success"]["count"] >= 1
        assert one["batch_stats"][0].keys() == {
            *("batch_size", "compute_input", "compute_infer", "compute_output"),
        }
        assert one["response_stats"].keys() == {"0"}
        (held,) = one["memory_usage"]
        assert (held["type"], held["id"]) == ("CPU", 0)
        # A model of two numbers still has a graph and a session.
        assert 0 < held["byte_size"] < 2**28
        both = http_server.get("/v2/models/multi/stats").json["model_stats"]
        assert {row["version"] for row in both} == {"1", "3"}
        every = http_server.get("/v2/models/stats").json["model_stats"]
        assert {"multi", "simple", ODD_NAME} <= {row["name"] for row in every}

    @pytest.mark.parametrize(
        ("model", "text"),
        [
            ("nobody", "requested model 'nobody' is not available"),
            ("multi/versions/99", "requested model version is not available for model 'multi'"),
        ],
    )
    def test_statistics_of_what_is_not_there_are_a_mistake(
        self, http_server: HttpServer, model: str, text: str
    ) -> None:
        status, said = http_server.get(f"/v2/models/{model}/stats").refusal
        assert (status, text in said) == (400, True), said

    def test_models_are_listed_without_asking_for_the_index(self, http_server: HttpServer) -> None:
        rows = http_server.get("/v2/models").json["models"]
        assert {"name": "multi", "version": "1", "state": "READY"} in rows
        assert {"name": "multi", "version": "3", "state": "READY"} in rows
        assert "later" not in {row["name"] for row in rows}


class TestRouting:
    @pytest.mark.parametrize(
        ("method", "path"),
        [
            *(("GET", path) for path in ("/v2/", "/v2/health", "/v2/Health/live", "/V2", "/v2/health/live/")),
            *(
                ("GET", path)
                for path in ("/v2//health/live", "/v2/models/", "/v2/models/simple/", "/v1", "/")
            ),
            *(("GET", path) for path in ("/v2/models/simple/nothing", "/v2/models/simple/versions/")),
            *(("POST", path) for path in ("/v2/models/simple/INFER", "/v2/models/simple//infer")),
            *(("POST", path) for path in ("/v2/repository", "/v2/repository/models//load")),
            ("GET", "/v2/models/simple/versions/1/trace/setting"),
        ],
    )
    def test_paths_are_exact(self, http_server: HttpServer, method: str, path: str) -> None:
        status, text = http_server.ask(method, path).refusal
        assert status == 404
        assert text.startswith((NO_DOOR, "no such path")), text

    @pytest.mark.parametrize("path", ["/v2", "/v2/health/live", "/v2/models/simple"])
    def test_what_follows_a_question_mark_is_ignored(self, http_server: HttpServer, path: str) -> None:
        assert http_server.get(f"{path}?x=1&y[]=%zz").body == http_server.get(path).body

    @pytest.mark.parametrize(
        ("method", "path", "allowed"),
        [
            ("POST", "/v2", "GET, HEAD"),
            ("DELETE", "/v2/models/simple", "GET, HEAD"),
            ("GET", "/v2/models/simple/infer", "POST"),
            ("OPTIONS", "/v2/models/simple/infer", "POST"),
            ("PUT", "/v2/logging", "GET, HEAD, POST"),
            ("GET", "/v2/repository/index", "POST"),
        ],
    )
    def test_a_wrong_method_hears_the_right_ones(
        self, http_server: HttpServer, method: str, path: str, allowed: str
    ) -> None:
        answer = http_server.ask(method, path)
        assert (answer.status, answer.headers["allow"]) == (405, allowed)
        assert answer.error.startswith("Method Not Allowed")

    def test_head_is_get_without_its_body(self, http_server: HttpServer) -> None:
        got, head = (http_server.ask(method, "/v2/models/simple") for method in ("GET", "HEAD"))
        assert (head.status, head.body) == (200, b"")
        assert head.headers["content-length"] == str(len(got.body))

    def test_no_header_is_sent_that_nobody_asked_for(self, http_server: HttpServer) -> None:
        headers = http_server.get("/v2", Origin="http://elsewhere.example").headers
        assert headers.keys() == {"content-type", "content-length"}

    @pytest.mark.parametrize("name", [ODD_NAME, "odd+n@me.1 é%41"])
    def test_names_are_decoded_once(self, http_server: HttpServer, name: str) -> None:
        path = f"/v2/models/{quote(name)}"
        assert http_server.get(path).json["name"] == ODD_NAME
        assert http_server.get(f"{path}/ready").status == 200
        assert http_server.post(f"{path}/infer", {"inputs": two()}).json["model_name"] == ODD_NAME
        # Not twice: %2541 is %41 and no A.
        assert http_server.get(f"/v2/models/{quote(quote(name))}").status == 404

    def test_what_is_no_utf8_is_no_name(self, http_server: HttpServer) -> None:
        status, text = http_server.get("/v2/models/%ff").refusal
        assert (status, "%ff" in text) == (400, True)

    @pytest.mark.parametrize("headers", [{"Content-Type": "text/x"}, {"Accept": "image/png"}])
    def test_kinds_of_content_are_ignored(self, http_server: HttpServer, headers: dict[str, str]) -> None:
        assert http_server.post("/v2/models/simple/infer", {"inputs": two()}, **headers).output("sum")

    @pytest.mark.parametrize(
        ("model", "body", "headers", "status", "text"),
        [
            # In the order in which a request is looked at: each has all later mistakes as well.
            ("nobody", b"{", {"content_encoding": "br"}, 404, "unknown model"),
            ("simple", b"{", {"inference_header_content_length": "x", "content_encoding": "br"}, 400, "x"),
            ("simple", b"{", {"content_encoding": "br"}, 415, "br"),
            ("simple", b"{", {"inference_header_content_length": "99"}, 400, "in range (0, 1), got: 99"),
            ("simple", b'{"id": 1,', {}, 400, "failed to parse the request JSON buffer"),
            ("simple", b'{"id": 1, "parameters": 1}', {}, 400, "'id'"),
            ("simple", b'{"parameters": 1}', {}, 400, "request params"),
            ("simple", b'{"inputs": [{}], "outputs": 1}', {}, 400, "'name'"),
            ("simple", b'{"inputs": [], "outputs": 1}', {}, 400, "'outputs'"),
            ("simple", b'{"inputs": []}', {}, 400, "expected 2 inputs but got 0 inputs"),
        ],
    )
    def test_of_several_mistakes_the_first_one_is_told(
        self,
        http_server: HttpServer,
        model: str,
        body: bytes,
        headers: dict[str, str],
        status: int,
        text: str,
    ) -> None:
        found, said = http_server.post(f"/v2/models/{model}/infer", body, **headers).refusal
        assert (found, text in said) == (status, True), said


class TestSettings:
    """Each leaves the settings as they were."""

    TRACE: ClassVar[dict[str, Any]] = {
        "trace_level": ["OFF"],
        "trace_rate": "1000",
        "trace_count": "-1",
        "log_frequency": "0",
        "trace_mode": "triton",
    }

    @pytest.mark.parametrize("path", ["/v2/trace/setting", "/v2/models/simple/trace/setting"])
    def test_traces_are_shown_changed_and_forgotten(self, http_server: HttpServer, path: str) -> None:
        def shown() -> Any:
            said = http_server.get(path).json
            assert said.pop("trace_file").endswith("traces.json")
            return said

        assert shown() == self.TRACE
        changed = http_server.post(path, {"trace_rate": "7", "trace_level": ["TENSORS"]}).json
        try:
            assert (changed["trace_rate"], changed["trace_level"]) == ("7", ["TENSORS"])
            assert shown() == self.TRACE | {"trace_rate": "7", "trace_level": ["TENSORS"]}
        finally:
            http_server.post(path, {"trace_rate": None, "trace_level": None})
        assert shown() == self.TRACE

    def test_traces_of_calls_look_like_those_of_grpc(self, http_server: HttpServer) -> None:
        path = "/v2/models/shared/trace/setting"
        file = Path(http_server.get(path).json["trace_file"])
        http_server.post(path, {"trace_rate": "1", "trace_level": ["TIMESTAMPS", "TENSORS"]})
        x = np.array([[1, 2]], np.float32)
        try:
            with GrpcClient(http_server.address) as client:
                client.infer("shared", [grpc_tensor("x", x)], request_id="over grpc")
            body = [tensor("x", "FP32", [1, 2], [1, 2])]
            assert http_server.infer("shared", body, id="over http").status == 200
            assert (
                http_server.post("/v2/models/shared/generate", {"x": [1, 2], "id": "generated"}).status == 200
            )
        finally:
            http_server.post(path, {"trace_rate": None, "trace_level": None})
        wanted = ["over grpc", "over http", "generated"]
        until(lambda: file.exists() and all(f'"{one}"' in file.read_text() for one in wanted), PATIENCE_S)
        entries = json.loads(file.read_text())
        found = []
        for one in wanted:
            (about,) = [entry for entry in entries if entry.get("request_id") == one]
            assert (about["model_name"], about["model_version"]) == ("shared", 1)
            found.append([entry for entry in entries if entry["id"] == about["id"]])
        tensors = [[entry["tensor"] for entry in trace if "tensor" in entry] for trace in found]
        assert tensors[0] == tensors[1] == tensors[2]
        assert [one["name"] for one in tensors[0]] == ["x", "doubled", "same"]
        moments = [[stamp["name"] for stamp in trace[1]["timestamps"]] for trace in found]
        assert moments[1] == moments[2]
        assert [one for one in moments[1] if "HTTP" not in one] == [
            one for one in moments[0] if "GRPC" not in one
        ]
        assert (moments[1][:2], moments[1][-2:]) == (
            ["HTTP_RECV_START", "HTTP_RECV_END"],
            ["HTTP_SEND_START", "HTTP_SEND_END"],
        )

    @pytest.mark.parametrize(
        ("path", "body", "status", "text"),
        [
            ("/v2/models/nobody/trace/setting", {"trace_rate": "1"}, 400, "unknown model : nobody"),
            ("/v2/trace/setting", {"trace_rate": "x"}, 400, "Unable to parse 'trace_rate', got: x"),
            ("/v2/trace/setting", {"trace_rate": 1}, 400, "'trace_rate'"),
            ("/v2/trace/setting", {"nonesuch": "1"}, 400, "nonesuch"),
            ("/v2/trace/setting", {"trace_file": "/tmp/x"}, 501, f"trace file location {FILE}"),
            ("/v2/trace/setting", b"", 400, "failed to parse the request JSON buffer"),
            ("/v2/logging", {"log_info": 1}, 400, "log_info"),
            ("/v2/logging", {"log_verbose_level": "1"}, 400, "log_verbose_level"),
            ("/v2/logging", {"log_format": "xml"}, 400, "xml"),
            ("/v2/logging", {"nonesuch": True}, 400, "nonesuch"),
            ("/v2/logging", {"log_file": "/tmp/x"}, 501, f"log file location {FILE}"),
            ("/v2/logging", b"", 400, "failed to parse the request JSON buffer"),
        ],
    )
    def test_what_cannot_be_is_refused(
        self, http_server: HttpServer, path: str, body: Any, status: int, text: str
    ) -> None:
        found, said = http_server.post(path, body).refusal
        assert (found, text in said) == (status, True), said

    def test_the_log_is_shown_and_changed(self, http_server: HttpServer) -> None:
        before = http_server.get("/v2/logging").json
        assert list(before) == [
            *("log_file", "log_info", "log_warning", "log_error", "log_verbose_level", "log_format"),
        ]
        # What tests log is pytest's affair.
        del before["log_info"], before["log_warning"]
        assert before == {"log_file": "", "log_error": True, "log_verbose_level": 0, "log_format": "default"}
        change = {"log_verbose_level": 1, "log_format": "ISO8601", "log_error": False}
        try:
            changed = http_server.post("/v2/logging", change).json
            assert changed.items() >= (before | change).items()
        finally:
            http_server.post("/v2/logging", {name: before[name] for name in change})
        assert http_server.get("/v2/logging").json.items() >= before.items()


class TestRepository:
    def rows(self, http_server: HttpServer, model: str, body: Any = None, repository: str = "") -> list[Any]:
        path = f"/v2/repository{repository}/index"
        return [row for row in http_server.post(path, body).json if row["name"] == model]

    def test_index_has_each_version_with_its_state_in_order(self, http_server: HttpServer) -> None:
        rows = http_server.post("/v2/repository/index").json
        assert [row["name"] for row in rows] == sorted(row["name"] for row in rows)
        for repository in ("", "/r"):
            assert self.rows(http_server, "multi", repository=repository) == [
                {"name": "multi", "version": version, "state": "READY"} for version in ("3", "1")
            ]
        assert self.rows(http_server, "later") == [{"name": "later"}]
        assert self.rows(http_server, "later", {"ready": True}) == []
        assert http_server.post("/v2/repository/index", b"{").status == 400

    def test_there_is_but_one_repository(self, http_server: HttpServer) -> None:
        for what in ("load", "unload"):
            status, text = http_server.post(f"/v2/repository/r/models/comes/{what}").refusal
            assert status == 501
            assert "'repository_name' specification is not supported" in text

    def test_models_go_and_come(self, http_server: HttpServer) -> None:
        answer = http_server.post("/v2/repository/models/comes/unload")
        assert (answer.status, answer.json) == (200, {"name": "comes", "unload": True})
        while http_server.get("/v2/models/comes/ready").status == 200:
            pass
        while self.rows(http_server, "comes")[0]["state"] != "UNAVAILABLE":
            pass
        assert self.rows(http_server, "comes")[0]["reason"] == "unloaded"
        text = "Request for unknown model: 'comes' is not found"
        assert http_server.get("/v2/models/comes").refusal == (404, text)
        assert http_server.infer("comes", two()).refusal == (404, text)
        assert http_server.get("/v2/health/ready").status == 200
        for body in (b"", {"parameters": {"unload_dependents": True}}):
            # What is gone, or never was, may be unloaded.
            assert http_server.post("/v2/repository/models/comes/unload", body).status == 200
        assert http_server.post("/v2/repository/models/nobody/unload").status == 200
        config = json.dumps({"max_batch_size": 2})
        answer = http_server.post("/v2/repository/models/comes/load", {"parameters": {"config": config}})
        assert (answer.status, answer.json) == (200, {"name": "comes", "load": True})
        assert http_server.get("/v2/models/comes/config").json["max_batch_size"] == 2
        assert http_server.post("/v2/repository/models/comes/load").status == 200
        assert http_server.get("/v2/models/comes/config").json["max_batch_size"] == 8
        assert http_server.infer("comes", two()).output("sum")["data"] == [5, 7, 9]

    def test_files_come_with_a_request(self, http_server: HttpServer, saved_models: SavedModels) -> None:
        folder = saved_models["embedding"]
        files = {
            f"file:2/model.savedmodel/{path.relative_to(folder)}": base64.b64encode(
                path.read_bytes()
            ).decode()
            for path in folder.rglob("*")
            if path.is_file()
        }
        parameters = {"config": '{"max_batch_size": 4}', **files}
        path = "/v2/repository/models/brought"
        assert http_server.post(f"{path}/load", {"parameters": parameters}).status == 200
        answer = http_server.infer("brought", [tensor("id", "INT32", [1], [2])])
        assert answer.output("vector")["data"] == [2.5] * 3
        assert http_server.get("/v2/models/brought").json["versions"] == ["2"]
        assert http_server.post(f"{path}/unload").status == 200

    def test_a_load_that_fails_leaves_what_there_was(self, http_server: HttpServer) -> None:
        status, text = http_server.post("/v2/repository/models/nobody/load").refusal
        assert status == 500
        assert "failed to load 'nobody', failed to poll from model repository" in text
        wrong = {"parameters": {"config": '{"max_batch_size": "many"}'}}
        assert http_server.post("/v2/repository/models/ids/load", wrong).status in (400, 500)
        assert http_server.infer("ids", [tensor("id", "INT32", [1], [1])]).status == 200

    def test_without_explicit_control_nobody_may(self, saved_models: SavedModels) -> None:
        with contextlib.closing(HttpServer(f"simple={saved_models['two_in_two_out']}")) as server:
            for what in ("load", "unload"):
                status, text = server.post(f"/v2/repository/models/simple/{what}").refusal
                assert status == 503
                assert "explicit model load / unload is not allowed" in text


@pytest.fixture
def region(http_server: HttpServer) -> Iterator[Any]:
    """64 bytes of shared memory under the name `ra` and the key KEY."""
    handle = shm.create_shared_memory_region("ra", KEY, 64, create_only=True)
    path = "/v2/systemsharedmemory"
    assert http_server.post(f"{path}/region/ra/register", {"key": KEY, "byte_size": 64}).status == 200
    yield handle
    http_server.post(f"{path}/unregister")
    shm.destroy_shared_memory_region(handle)


KEY = f"/hotgraph-test-{os.getpid()}-http"


class TestSharedMemory:
    def shared(self, offset: int = 0, byte_size: int = 16, region: str = "ra") -> Any:
        return {
            "shared_memory_region": region,
            "shared_memory_offset": offset,
            "shared_memory_byte_size": byte_size,
        }

    def test_regions_are_registered_shown_and_let_go(self, http_server: HttpServer, region: Any) -> None:
        path = "/v2/systemsharedmemory"
        row = {"name": "ra", "key": KEY, "offset": 0, "byte_size": 64}
        assert http_server.get(f"{path}/status").json == [row]
        assert http_server.get(f"{path}/region/ra/status").json == [row]
        body = {"key": KEY, "offset": 32, "byte_size": 32}
        assert http_server.post(f"{path}/region/rb/register", body).body == b""
        assert http_server.get(f"{path}/region/rb/status").json[0]["offset"] == 32
        assert http_server.post(f"{path}/region/rb/unregister").body == b""
        assert http_server.get(f"{path}/status").json == [row]
        assert http_server.post(f"{path}/unregister").status == 200
        assert http_server.get(f"{path}/status").json == []

    def test_tensors_lie_there(self, http_server: HttpServer, region: Any) -> None:
        shm.set_shared_memory_region(region, [np.array([[1, 2], [3, 4]], np.float32)])
        outputs = [
            {"name": "doubled", "parameters": self.shared(32)},
            {"name": "same"},
        ]
        x = tensor("x", "FP32", [2, 2], **self.shared())
        answer = http_server.infer("shared", [x], outputs=outputs)
        doubled = answer.output("doubled")
        assert (doubled["datatype"], doubled["shape"]) == ("FP32", [2, 2])
        assert "data" not in doubled
        assert answer.output("same")["data"] == [1, 2, 3, 4]
        found = shm.get_contents_as_numpy(region, np.float32, [2, 2], offset=32)
        assert found.tolist() == [[2, 4], [6, 8]]

    @pytest.mark.parametrize(
        ("given", "wanted", "status", "text"),
        [
            ({"region": "zz"}, {}, 404, "Unable to find shared memory region: 'zz'"),
            ({"offset": 60}, {}, 400, "Invalid offset + byte size for shared memory region: 'ra'"),
            ({}, {"classification": 1}, 400, "cannot go to shared memory as a classification"),
            (
                {},
                {"binary_data": True},
                400,
                "Output can't set both 'shared_memory_region' and 'binary_data'",
            ),
            ({}, {"shared_memory_byte_size": 8}, 500, "should be at least 16 bytes to hold the results"),
        ],
    )
    def test_mistakes_of_calls(
        self, http_server: HttpServer, region: Any, given: Any, wanted: Any, status: int, text: str
    ) -> None:
        outputs = [{"name": "doubled", "parameters": self.shared(32) | wanted}]
        x = tensor("x", "FP32", [2, 2], **self.shared(**given))
        found, said = http_server.infer("shared", [x], outputs=outputs).refusal
        assert (found, text in said) == (status, True), said

    @pytest.mark.parametrize(
        ("path", "body", "status", "text"),
        [
            ("/region/rb/register", {"byte_size": 8}, 400, "register request has no 'key' field"),
            ("/region/rb/register", {"key": KEY}, 400, "register request has no 'byte_size' field"),
            ("/region/ra/register", {"key": KEY, "byte_size": 8}, 400, "region 'ra' already in manager"),
            ("/region/rb/register", {"key": "/hotgraph-nope", "byte_size": 8}, 500, "Unable to open shared"),
            ("/region/rb/register", {"key": KEY, "byte_size": 1 << 40}, 400, "shared memory region"),
            ("/region/rb/register", {"key": KEY, "byte_size": 8, "offset": 1 << 40}, 400, "shared memory"),
            ("/register", {"key": KEY, "byte_size": 8}, 400, "'region name' is necessary to register system"),
        ],
    )
    def test_mistakes_of_registering(
        self, http_server: HttpServer, region: Any, path: str, body: Any, status: int, text: str
    ) -> None:
        found, said = http_server.post(f"/v2/systemsharedmemory{path}", body).refusal
        assert (found, text in said) == (status, True), said

    def test_unknown_regions_have_no_status(self, http_server: HttpServer) -> None:
        for kind in ("system", "cuda"):
            status, text = http_server.get(f"/v2/{kind}sharedmemory/region/a/status").refusal
            assert status == 404
            assert f"Unable to find {kind} shared memory region: 'a'" in text

    def test_memory_of_gpus_is_as_on_a_machine_without_one(self, http_server: HttpServer) -> None:
        path = "/v2/cudasharedmemory"
        assert http_server.get(f"{path}/status").json == []
        assert http_server.post(f"{path}/unregister").status == 200
        handle = base64.b64encode(bytes(64)).decode()
        body = {"raw_handle": {"b64": handle}, "device_id": 0, "byte_size": 8}
        assert http_server.post(f"{path}/region/a/register", body).status == 400
        body["raw_handle"] = {"b64": "@"}
        status, text = http_server.post(f"{path}/region/a/register", body).refusal
        assert status == 400
        assert "'raw_handle' must be a valid base64 encoded cudaIpcMemHandle_t" in text


def test_it_listens_on_this_machine_alone(http_server: HttpServer) -> None:
    assert http_server.server.rest_address == http_server.url
    with socket.create_connection(("127.0.0.1", http_server.port)):
        pass
