"""Health, metadata, configuration and statistics over HTTP: numbers, names and words of the facts."""

from __future__ import annotations

import json

import pytest

from hotgraph_protos import open_inference as pb
from hotgraph_protos.version import __version__
from hotgraph_server.models.contract import Contract
from hotgraph_server.models.status import State

from ...protocols.fakes import FakeGraph, Models, add_and_subtract, float_signature
from .serving import V2


class TestHealth:
    def test_server_lives_and_is_ready_in_kserves_words(self, v2: V2) -> None:
        live, ready = v2.get("/v2/health/live"), v2.get("/v2/health/ready")
        assert (live.code, live.body) == (200, b'{"live":true}')
        assert (ready.code, ready.body) == (200, b'{"ready":true}')

    @pytest.mark.parametrize("state", [State.LOADING, State.DRAINING, State.CLOSED])
    def test_server_that_is_not_ready_says_503_and_lives(self, v2: V2, state: State) -> None:
        v2.state = state
        ready = v2.get("/v2/health/ready")
        assert (ready.code, ready.json) == (503, {"ready": False, "error": "Server not ready"})
        assert v2.get("/v2/health/live").code == 200

    @pytest.mark.parametrize("path", ["m", "m/versions/3", "m/versions/12"])
    def test_model_is_ready(self, v2: V2, path: str) -> None:
        answer = v2.get(f"/v2/models/{path}/ready")
        assert (answer.code, answer.json) == (200, {"name": "m", "ready": True})

    @pytest.mark.parametrize("path", ["x", "m/versions/4", "coming", "coming/versions/1"])
    def test_model_that_is_not_ready_or_not_known_says_400(self, v2: V2, path: str) -> None:
        answer = v2.get(f"/v2/models/{path}/ready")
        assert answer.code == 400
        assert answer.json == {
            "name": path.partition("/")[0],
            "ready": False,
            "error": "Model version not ready",
        }

    def test_model_is_not_ready_before_the_server_is(self, v2: V2) -> None:
        v2.state = State.LOADING
        assert v2.get("/v2/models/m/ready").code == 400


class TestServerMetadata:
    def test_name_version_and_extensions(self, v2: V2) -> None:
        answer = v2.get("/v2")
        assert answer.code == 200
        assert list(answer.json) == ["name", "version", "extensions"]
        assert (answer.json["name"], answer.json["version"]) == ("hotgraph", __version__)
        assert {"model_repository", "system_shared_memory"} <= set(answer.json["extensions"])


class TestModelMetadata:
    def test_tensors_have_shapes_of_numbers_and_all_versions_are_there(self, v2: V2) -> None:
        found = v2.get("/v2/models/m").json
        assert (found["name"], found["versions"], found["platform"]) == (
            *("m", ["3", "12"]),
            "tensorflow_savedmodel",
        )
        assert found["inputs"] == [
            {"name": "x", "datatype": "FP32", "shape": [-1, 2]},
            {"name": "y", "datatype": "FP32", "shape": [-1, 2]},
        ]
        assert [one["name"] for one in found["outputs"]] == ["sum", "difference"]
        assert found["properties"]["signatures"] == "serving_default"

    def test_version_that_is_named_is_the_only_one(self, v2: V2) -> None:
        assert v2.get("/v2/models/m/versions/3").json["versions"] == ["3"]


@pytest.mark.parametrize("what", ["", "/config"])
@pytest.mark.parametrize(
    ("path", "code", "text"),
    [
        ("x", 404, "Request for unknown model: 'x' is not found"),
        ("m/versions/99", 404, "Request for unknown model: 'm' version 99 is not found"),
        ("x/versions/99", 404, "Request for unknown model: 'x' is not found"),
        ("coming", 503, "Request for unknown model: model 'coming' version 1 is not at ready state"),
        (
            f"m/versions/{'9' * 20}",
            400,
            f"failed to get model version from specified version string '{'9' * 20}'",
        ),
    ],
)
def test_unknown_model_and_version_have_grpcs_words(
    v2: V2, what: str, path: str, code: int, text: str
) -> None:
    answer = v2.get(f"/v2/models/{path}{what}")
    assert (answer.code, answer.error) == (code, text)


class TestModelConfig:
    def test_configuration_is_in_tritons_form_with_what_holds_by_default(
        self, models: Models, v2: V2
    ) -> None:
        config = pb.ModelConfig(name="m", max_batch_size=8)
        config.input.add(name="x", data_type=pb.DataType.Value("TYPE_INT32"), dims=[-1, 2**40])
        models.registry.table["m"][3].contract = Contract(config)
        answer = v2.get("/v2/models/m/versions/3/config")
        assert answer.code == 200
        assert answer.json["max_batch_size"] == 8
        assert answer.json["platform"] == ""
        assert answer.json["instance_group"] == []
        assert answer.json["input"] == [
            {
                "name": "x",
                "data_type": "TYPE_INT32",
                "format": "FORMAT_NONE",
                "dims": [-1, 2**40],
                "is_shape_tensor": False,
                "allow_ragged_batch": False,
                "optional": False,
                "is_non_linear_format_io": False,
            }
        ]


class TestStatistics:
    def test_counts_are_numbers_and_all_parts_are_there(self, v2: V2) -> None:
        found = v2.get("/v2/models/m/versions/3/stats").json
        (stats,) = found["model_stats"]
        assert (stats["name"], stats["version"]) == ("m", "3")
        assert (stats["inference_count"], stats["execution_count"], stats["last_inference"]) == (0, 0, 0)
        assert stats["memory_usage"] == []
        assert set(stats["inference_stats"]) == {
            *("success", "fail", "queue", "compute_input", "compute_infer", "compute_output"),
            *("cache_hit", "cache_miss"),
        }
        assert set(map(json.dumps, stats["inference_stats"].values())) == {'{"count": 0, "ns": 0}'}

    def test_without_a_version_all_are_there_and_without_a_model_all_models(self, v2: V2) -> None:
        def told(path: str) -> list[str]:
            return [stats["version"] for stats in v2.get(path).json["model_stats"]]

        assert told("/v2/models/m/stats") == ["12", "3"]
        # Only m has any that are live.
        assert told("/v2/models/stats") == ["12", "3"]

    @pytest.mark.parametrize(
        ("path", "text"),
        [
            ("x/stats", "requested model 'x' is not available"),
            ("m/versions/9/stats", "requested model version is not available for model 'm': 9"),
        ],
    )
    def test_what_is_not_there_is_400_with_tritons_words(self, v2: V2, path: str, text: str) -> None:
        answer = v2.get(f"/v2/models/{path}")
        assert (answer.code, answer.error) == (400, text)


def test_name_that_needs_encoding_is_found(models: Models, v2: V2) -> None:
    models.add("odd+n@me.1", 1, FakeGraph((float_signature(), add_and_subtract)))
    assert v2.get("/v2/models/odd%2Bn%40me.1").json["name"] == "odd+n@me.1"
