"""What callers may want of outputs: some of them, classes, another shape, shared memory."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest

from hotgraph_protos import open_inference as pb
from hotgraph_server.errors import CallError, InvalidCall, NotFound, RegionBroken, Unsupported
from hotgraph_server.models.contract import Contract, TensorContract
from hotgraph_server.models.registry import Registry
from hotgraph_server.protocols.v2.inference import Infer
from hotgraph_server.protocols.v2.outputs import wanted_outputs
from hotgraph_server.protocols.v2.regions import Regions
from hotgraph_server.settings import SharedMemorySettings
from hotgraph_server.signatures import Signature
from hotgraph_server.tensors import Array

from ..fakes import FakeReply, RecordingVersion, spec, strings

SIGNATURE = Signature(
    "serving_default",
    (spec("x", np.float32, None, 2),),
    (
        spec("scores", np.float32, None, 3),
        spec("words", object, None),
        spec("vector", np.float32, None),
        spec("complex", np.complex64, None),
    ),
)
SCORES = np.array([[1, 3, 2], [6, 5, 4]], np.float32)
WORDS = strings(b"one", b"")


class Scene:
    """A model whose answers the test gives, and a folder in place of /dev/shm."""

    def __init__(self, folder: Path | None = None, contract: Contract | None = None, **more: Any) -> None:
        self.version = RecordingVersion("m", 3, SIGNATURE)
        self.version.contract = contract or Contract(None)
        registry = Registry()
        registry.publish([self.version])
        self.regions: Regions | None = None
        if folder is not None:
            self.regions = Regions(SharedMemorySettings(allow_client_shm=True), str(folder))
        self.infer = Infer(registry, self.regions, **more)

    def ask(self, request: pb.ModelInferRequest, *arrays: Array) -> pb.ModelInferResponse:
        reply = FakeReply()
        self.infer(request.SerializeToString(), reply)
        call = self.version.calls.pop()
        call.completion.finish(arrays)
        return pb.ModelInferResponse.FromString(reply.answer())


def request(*outputs: str, id: str = "", **parameters: Any) -> pb.ModelInferRequest:
    """A good call; the last output has these parameters."""
    built = pb.ModelInferRequest(model_name="m", id=id)
    built.inputs.add(name="x", datatype="FP32", shape=[2, 2])
    built.raw_input_contents.append(bytes(16))
    for name in outputs:
        built.outputs.add(name=name)
    for name, value in parameters.items():
        kind = {str: "string_param", int: "int64_param"}[type(value)]
        setattr(built.outputs[-1].parameters[name], kind, value)
    return built


def texts(response: pb.ModelInferResponse, index: int = 0) -> list[str]:
    raw = response.raw_output_contents[index]
    found = []
    while raw:
        length = int.from_bytes(raw[:4], "little")
        found.append(raw[4 : 4 + length].decode())
        raw = raw[4 + length :]
    return found


class TestClasses:
    def test_largest_values_of_each_row_come_as_strings(self) -> None:
        scene = Scene()
        asked = request("words", "scores", classification=2)
        for _ in range(2):
            # The second time by the fast path.
            response = scene.ask(asked, WORDS, SCORES)
            assert [(one.name, one.datatype, list(one.shape)) for one in response.outputs] == [
                ("words", "BYTES", [2]),
                ("scores", "BYTES", [2, 2]),
            ]
            assert texts(response, 1) == ["3.000000:1", "2.000000:2", "6.000000:0", "5.000000:1"]

    def test_labels_are_those_of_the_configuration(self) -> None:
        labelled = {"scores": TensorContract((3,), labels=("cat", "dog"))}
        scene = Scene(contract=Contract(None, "serving_default", True, outputs=labelled))
        response = scene.ask(request("scores", classification=3), SCORES[:1])
        assert texts(response) == ["3.000000:1:dog", "2.000000:2", "1.000000:0:cat"]

    def test_vector_of_free_length_is_one_row(self) -> None:
        response = Scene().ask(request("vector", classification=1), np.array([1, 2], np.float32))
        assert texts(response) == ["2.000000:1"]
        assert list(response.outputs[0].shape) == [1]

    @pytest.mark.parametrize(("output", "datatype"), [("words", "BYTES"), ("complex", "None")])
    def test_what_is_no_number_has_no_classes(self, output: str, datatype: str) -> None:
        with pytest.raises(
            InvalidCall, match="class result not available for output due to unsupported type"
        ):
            wanted_outputs(request(output, classification=1), SIGNATURE, "m")


class TestOtherShapes:
    def test_output_is_shown_as_the_configuration_says(self) -> None:
        outputs = {"scores": TensorContract((3, 1), reshape=(3,)), "words": TensorContract((1,), reshape=())}
        scene = Scene(contract=Contract(None, "serving_default", True, outputs=outputs))
        response = scene.ask(request(), SCORES, WORDS)
        assert [list(one.shape) for one in response.outputs] == [[2, 3, 1], [2, 1]]
        assert response.raw_output_contents[0] == SCORES.tobytes()

    def test_answer_that_is_not_as_the_configuration_says_is_an_internal_error(self) -> None:
        outputs = {"scores": TensorContract((3, 1), reshape=(3,))}
        scene = Scene(contract=Contract(None, "serving_default", True, outputs=outputs))
        with pytest.raises(
            CallError, match=r"\[request id: i\] output 'scores' is not as its conf"
        ) as raised:
            scene.ask(request(id="i"), SCORES[:, :2])
        assert raised.value.status.name == "INTERNAL"

    def test_all_means_those_of_the_configuration_in_its_order(self) -> None:
        outputs = {"words": TensorContract(()), "scores": TensorContract((3,))}
        contract = Contract(None, "serving_default", True, outputs=outputs)
        assert wanted_outputs(request(), SIGNATURE, "m", contract).aliases == ("words", "scores")
        assert wanted_outputs(request("vector"), SIGNATURE, "m", contract).aliases == ("vector",)


class TestSharedMemory:
    PLACE: ClassVar[dict[str, Any]] = {"shared_memory_region": "out", "shared_memory_byte_size": 24}

    @pytest.fixture
    def scene(self, tmp_path: Path) -> Scene:
        scene = Scene(tmp_path)
        (tmp_path / "object").write_bytes(bytes(range(64)))
        assert scene.regions is not None
        scene.regions.register("in", "object", 0, 32)
        scene.regions.register("out", "object", 32, 32)
        return scene

    def test_output_is_written_where_it_shall_lie_and_not_sent(self, scene: Scene, tmp_path: Path) -> None:
        for value in (1, 2):
            asked = request("words", "scores", **self.PLACE, shared_memory_offset=8)
            response = scene.ask(asked, WORDS, SCORES * value)
            scores = response.outputs[1]
            assert (scores.name, scores.datatype, list(scores.shape)) == ("scores", "FP32", [2, 3])
            assert scores.parameters["shared_memory_region"].string_param == "out"
            assert scores.parameters["shared_memory_byte_size"].int64_param == 24
            assert list(response.raw_output_contents) == [b"\3\0\0\0one\0\0\0\0", b""]
            assert (tmp_path / "object").read_bytes() == bytes(range(40)) + (SCORES * value).tobytes()

    def test_strings_say_how_many_bytes_they_take(self, scene: Scene, tmp_path: Path) -> None:
        response = scene.ask(request("words", **self.PLACE), WORDS)
        assert response.outputs[0].parameters["shared_memory_byte_size"].int64_param == 11
        assert (tmp_path / "object").read_bytes()[32:43] == b"\3\0\0\0one\0\0\0\0"

    def test_output_that_does_not_fit_is_an_error(self, scene: Scene) -> None:
        place = self.PLACE | {"shared_memory_byte_size": 8}
        with pytest.raises(CallError, match=r"\[request id: i\] shared memory size specified") as raised:
            scene.ask(request("scores", id="i", **place), SCORES)
        assert raised.value.status is RegionBroken.status

    def test_region_may_go_while_the_call_is_under_way(self, scene: Scene, tmp_path: Path) -> None:
        reply = FakeReply()
        scene.infer(request("scores", **self.PLACE).SerializeToString(), reply)
        assert scene.regions is not None
        scene.regions.unregister_all()
        scene.version.calls[0].completion.finish([SCORES])
        reply.answer()
        assert (tmp_path / "object").read_bytes()[32:56] == SCORES.tobytes()
        with pytest.raises(NotFound, match="Unable to find shared memory region: 'out'"):
            scene.ask(request("scores", **self.PLACE), SCORES)

    def test_inputs_are_read_anew_for_every_call(self, scene: Scene, tmp_path: Path) -> None:
        for first in (0, 7):
            (tmp_path / "object").write_bytes(np.arange(first, first + 16, dtype=np.float32).tobytes())
            scene.infer(self.from_region(8, 16).SerializeToString(), FakeReply())
            assert scene.version.calls[-1].inputs[0].ravel().tolist() == [first + 2 + i for i in range(4)]

    def test_raw_entries_are_taken_by_the_inputs_that_are_not_in_shared_memory(self, tmp_path: Path) -> None:
        two = Signature("s", (spec("x", np.float32, None), spec("y", np.float32, None)), SIGNATURE.outputs)
        (tmp_path / "object").write_bytes(np.array([1], np.float32).tobytes())
        version = RecordingVersion("m", 1, two)
        registry = Registry()
        registry.publish([version])
        regions = Regions(SharedMemorySettings(allow_client_shm=True), str(tmp_path))
        regions.register("in", "object", 0, 4)
        built = pb.ModelInferRequest(
            model_name="m", raw_input_contents=[np.array([2], np.float32).tobytes(), b"more"]
        )
        built.inputs.add(name="x", datatype="FP32", shape=[1])
        built.inputs[0].parameters["shared_memory_region"].string_param = "in"
        built.inputs[0].parameters["shared_memory_byte_size"].int64_param = 4
        built.inputs.add(name="y", datatype="FP32", shape=[1])
        infer = Infer(registry, regions)
        for _ in range(2):
            infer(built.SerializeToString(), FakeReply())
            assert [array.tolist() for array in version.calls[-1].inputs] == [[1], [2]]

    @pytest.mark.parametrize(
        ("place", "code", "says"),
        [
            (("nobody", 0, 16), "NOT_FOUND", "Unable to find shared memory region: 'nobody'"),
            (("in", 99, 16), "INVALID_ARGUMENT", "Invalid offset for shared memory region: 'in'"),
            (("in", 24, 16), "INVALID_ARGUMENT", "Invalid offset \\+ byte size for shared memory region"),
            (
                ("in", 0, 12),
                "INVALID_ARGUMENT",
                "input byte size mismatch for input 'x' .* Expected 16, got 12",
            ),
        ],
    )
    def test_input_that_is_not_there_is_refused(
        self, scene: Scene, place: tuple[str, int, int], code: str, says: str
    ) -> None:
        region, offset, nbytes = place
        with pytest.raises(CallError, match=says) as raised:
            scene.infer(self.from_region(offset, nbytes, region).SerializeToString(), FakeReply())
        assert raised.value.status.name == code

    def test_contents_beside_a_region_are_refused(self, scene: Scene) -> None:
        built = self.from_region(0, 16)
        built.inputs[0].contents.fp32_contents.extend([1, 2, 3, 4])
        with pytest.raises(InvalidCall, match="must not be specified when using shared memory for input 'x'"):
            scene.infer(built.SerializeToString(), FakeReply())

    def test_classes_do_not_go_there(self, scene: Scene) -> None:
        with pytest.raises(InvalidCall, match="cannot go to shared memory as a classification"):
            scene.infer(request("scores", classification=1, **self.PLACE).SerializeToString(), FakeReply())

    def test_server_that_does_not_allow_it_says_so(self) -> None:
        with pytest.raises(Unsupported, match="shared memory is off"):
            wanted_outputs(request("scores", **self.PLACE), SIGNATURE, "m")

    @staticmethod
    def from_region(offset: int, nbytes: int, region: str = "in") -> pb.ModelInferRequest:
        built = request()
        del built.raw_input_contents[:]
        parameters = built.inputs[0].parameters
        parameters["shared_memory_region"].string_param = region
        parameters["shared_memory_offset"].int64_param = offset
        parameters["shared_memory_byte_size"].int64_param = nbytes
        return built


def test_decoupled_model_is_called_in_streams_only() -> None:
    decoupled = Contract(None, "serving_default", decoupled=True, outputs={"scores": TensorContract(None)})
    with pytest.raises(Unsupported, match="ModelInfer RPC doesn't support models with decoupled transaction"):
        Scene(contract=decoupled).ask(request(), SCORES)
    assert len(Scene(contract=decoupled, streamed=True).ask(request(), SCORES).outputs) == 1
