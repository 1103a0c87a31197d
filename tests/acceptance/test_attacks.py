"""Callers who want more than models: names and paths that lead elsewhere, and messages that ask for memory.

All of it is refused with a status, nothing is written outside the server's own temporary folder, no memory
is taken, and the server goes on.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from tritonclient.grpc import service_pb2, service_pb2_grpc

from ..saved_models import SavedModels
from .command import Serving, serve
from .file_watch import FileWatch, contents

SHM = Path("/dev/shm")
MIB = 2**20
# What refusals may leave behind: buffers of the connection, the allocator's own.
SLACK_MIB = 64


class Attacked:
    """A server with everything on that a request could use to reach a file.

    Attributes:
        area: holds the repository, the server's temporary folder, its working folder and home, and `secret`.
        prefix: that shared memory objects of its clients may begin with.
    """

    def __init__(self, serving: Serving, stub: Any, area: Path, watch: FileWatch, prefix: str) -> None:
        self.serving = serving
        self.stub = stub
        self.area = area
        self.watch = watch
        self.prefix = prefix

    def refusal(self, method: str, request: Any) -> tuple[str, str]:
        """The code and text with which a request is refused."""
        with pytest.raises(grpc.RpcError) as error:
            getattr(self.stub, method)(request, timeout=60)
        return error.value.code().name, str(error.value.details())

    def load(self, name: str, config: str | None = None, **files: bytes) -> tuple[str, str]:
        """How a load is refused."""
        request = service_pb2.RepositoryModelLoadRequest(model_name=name)
        if config is not None:
            request.parameters["config"].string_param = config
        for key, content in files.items():
            request.parameters[key].bytes_param = content
        return self.refusal("RepositoryModelLoad", request)

    def resident_mib(self) -> float:
        status = Path(f"/proc/{self.serving.process.pid}/status").read_text()
        return int(status.split("VmRSS:")[1].split()[0]) / 1024

    def infer(self, name: str, datatype: str, shape: list[int], raw: bytes = b"", model: str = "mlp") -> Any:
        request = service_pb2.ModelInferRequest(model_name=model, raw_input_contents=[raw])
        request.inputs.add(name=name, datatype=datatype, shape=shape)
        return request


@pytest.fixture(scope="module")
def attacked(saved_models: SavedModels, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Attacked]:
    area = tmp_path_factory.mktemp("area")
    for name in ("repository", "temporary", "work", "home"):
        (area / name).mkdir()
    (area / "secret").write_text("secret\n")
    root = area / "repository"
    shutil.copytree(saved_models["tf2_mlp"], root / "mlp" / "1" / "model.savedmodel")
    shutil.copytree(saved_models["variable_length"], root / "variable_length" / "1" / "model.savedmodel")
    (root / "mlp" / "link").symlink_to(area / "secret")
    prefix = f"hotgraph-attack-{os.getpid()}-"
    (area / "server.toml").write_text(
        f'client_shm_prefix = "{prefix}"\nmax_client_shm_mb = 8\nmax_load_mb = 2\nmax_load_files = 20\n'
    )
    watch = FileWatch(tmp_path_factory.mktemp("watch"))
    words = ["--repository", str(root), "--model-control", "explicit", "--load-model", "*", "--port", "0"]
    words += ["--config", str(area / "server.toml"), "--allow-client-shm"]
    with pytest.MonkeyPatch.context() as patch:
        environment = {"TMPDIR": str(area / "temporary"), "HOME": str(area / "home"), **watch.environment}
        for name, value in environment.items():
            patch.setenv(name, value)
        patch.chdir(area / "work")
        with serve(*words) as serving, grpc.insecure_channel(serving.address) as channel:
            stub = service_pb2_grpc.GRPCInferenceServiceStub(channel)
            yield Attacked(serving, stub, area, watch, prefix)


@pytest.fixture(autouse=True)
def unharmed(attacked: Attacked) -> Iterator[None]:
    """Nothing is written, and the server goes on as it was."""
    before = contents(attacked.area)
    attacked.watch.forget()
    yield
    assert attacked.stub.ServerReady(service_pb2.ServerReadyRequest(), timeout=60).ready
    good = attacked.infer("x", "FP32", [1, 16], bytes(64))
    assert attacked.stub.ModelInfer(good, timeout=60).outputs[0].name == "scores"
    # What a refused load has brought is cleared away by the thread that answers this.
    attacked.stub.RepositoryIndex(service_pb2.RepositoryIndexRequest(), timeout=60)
    own = attacked.area / "temporary"
    outside = {path for path in attacked.watch.written() if not path.is_relative_to(own)}
    shared = {path for path in outside if path.parent == SHM and path.name.startswith(attacked.prefix)}
    assert outside == shared
    assert contents(attacked.area) == before


NAMES = (
    "../mlp",
    "..",
    ".",
    "/etc",
    "mlp/..",
    "mlp/../../secret",
    "..\\mlp",
    "a/b",
    "a\0b",
    "\uff0e\uff0e\uff0fmlp",
    ".hidden",
    "x" * 5000,
    "a\nb",
    "\u202ea",
)


@pytest.mark.parametrize("name", NAMES, ids=ascii)
def test_name_leads_nowhere(attacked: Attacked, name: str) -> None:
    assert attacked.load(name)[0] == "INVALID_ARGUMENT"
    assert attacked.load(name, "{}", **{"file:1/model.savedmodel/a": b"x"})[0] == "INVALID_ARGUMENT"
    request = attacked.infer("x", "FP32", [1, 16], bytes(64), model=name)
    assert attacked.refusal("ModelInfer", request)[0] == "NOT_FOUND"


KEYS = (
    "file:../x",
    "file:../1/x",
    "file:1/../../../secret",
    "file:1/../x",
    "file:1/./x",
    "file:1//x",
    "file://1/x",
    "file:/1/x",
    "file:/etc/cron.d/x",
    "file:1/..\\..\\x",
    "file:1\\x",
    "file:C:/x",
    "file:1/C:x",
    "file:1/a\0b",
    "file:1/a\nb",
    "file:1/\u202ea",
    "file:1/\uff0e\uff0e/x",
    "file:1/a\uff0fb",
    "file:1/e\u0301",
    "file:1/.hidden",
    "file:1/a.",
    "file:1/a ",
    "file:1/con",
    "file:1/~/x/../x",
    "file:1/",
    "file:1",
    "file:",
    "file:-1/x",
    "file:01/x",
    "file:1e3/x",
    "file:\uff11/x",
    "file:99999999999999999999/x",
    "file:config.pbtxt",
    "file:1/" + "a" * 256,
    "file:1/" + "a/" * 20 + "x",
    "file:1/" + "/".join(["a" * 200] * 6),
)


@pytest.mark.parametrize("key", KEYS, ids=lambda key: ascii(key)[:40])
def test_file_of_a_request_goes_nowhere_else(attacked: Attacked, key: str) -> None:
    assert attacked.load("brought", "{}", **{key: b"x"})[0] == "INVALID_ARGUMENT"
    assert (
        attacked.load("mlp", "{}", **{"file:1/model.savedmodel/a": b"x", key: b"x"})[0] == "INVALID_ARGUMENT"
    )


def test_files_that_are_taken_go_to_a_private_folder_and_nowhere_else(attacked: Attacked) -> None:
    saved = attacked.area / "repository" / "mlp" / "1" / "model.savedmodel"
    request = service_pb2.RepositoryModelLoadRequest(model_name="brought")
    request.parameters["config"].string_param = "{}"
    for path in saved.rglob("*"):
        if path.is_file():
            key = f"file:1/model.savedmodel/{path.relative_to(saved)}"
            request.parameters[key].bytes_param = path.read_bytes()
    attacked.stub.RepositoryModelLoad(request, timeout=60)
    written = attacked.watch.written()
    (folder,) = (attacked.area / "temporary").glob("hotgraph-model-*")
    assert folder.stat().st_mode & 0o777 == 0o700
    assert folder / "1" / "model.savedmodel" / "saved_model.pb" in written
    assert {path for path in written if not path.is_relative_to(folder)} == set()
    attacked.stub.RepositoryModelUnload(
        service_pb2.RepositoryModelUnloadRequest(model_name="brought"), timeout=60
    )
    attacked.serving.wait_for_text("model 'brought' version 1 is closed")
    # That is said before the files go.
    while folder.exists():
        attacked.stub.RepositoryIndex(service_pb2.RepositoryIndexRequest(), timeout=60)


def test_files_that_cannot_both_be_there_are_refused(attacked: Attacked) -> None:
    for one, other in (("1/a", "1/a/b"), ("1/a", "1/A"), ("1/A/x", "1/a/y"), ("1/\ufb01", "1/fi")):
        files = {f"file:{one}": b"x", f"file:{other}": b"x"}
        assert attacked.load("brought", "{}", **files)[0] == "INVALID_ARGUMENT"


def test_too_many_and_too_large_files_are_refused_before_one_is_written(attacked: Attacked) -> None:
    code, text = attacked.load("brought", "{}", **{f"file:1/{number}": b"" for number in range(21)})
    assert (code, "the limit is 20" in text) == ("INVALID_ARGUMENT", True)
    code, text = attacked.load("brought", "{}", **{"file:1/a": bytes(3 * MIB)})
    assert (code, f"the limit is {2 * MIB}" in text) == ("INVALID_ARGUMENT", True)
    assert attacked.watch.written() == set()


CONFIGS: dict[str, Any] = {
    "labels from elsewhere": {
        "max_batch_size": 4,
        "output": [
            {"name": "scores", "data_type": "TYPE_FP32", "dims": [4], "label_filename": "../../secret"}
        ],
    },
    "labels through a link": {
        "max_batch_size": 4,
        "output": [{"name": "scores", "data_type": "TYPE_FP32", "dims": [4], "label_filename": "link"}],
    },
    "warm-up from elsewhere": {
        "max_batch_size": 4,
        "model_warmup": [
            {
                "name": "w",
                "batch_size": 1,
                "inputs": {
                    "x": {"data_type": "TYPE_FP32", "dims": [16], "input_data_file": "../../../secret"}
                },
            }
        ],
    },
    "warm-up of terabytes": {
        "max_batch_size": 4,
        "model_warmup": [
            {
                "name": "w",
                "batch_size": 4,
                "inputs": {"x": {"data_type": "TYPE_FP32", "dims": [2**40], "random_data": True}},
            }
        ],
    },
    "another file as the model": {"default_model_filename": "../../mlp/1/model.savedmodel"},
}


@pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS)
def test_configuration_reaches_no_file_and_no_memory(attacked: Attacked, config: dict[str, Any]) -> None:
    before = attacked.resident_mib()
    code, text = attacked.load("mlp", json.dumps(config))
    assert code in ("INVALID_ARGUMENT", "INTERNAL")
    assert text.startswith("failed to load 'mlp', ")
    assert "secret\n" not in text
    assert attacked.resident_mib() - before < SLACK_MIB


@pytest.mark.parametrize(
    "config",
    [
        "[" * 100_000,
        '{"a":' * 100_000,
        '{"max_batch_size": ' + "9" * 100_000 + "}",
        '"' + "\\u0000" * 1000 + '"',
        "",
    ],
    ids=["brackets", "braces", "digits", "zeros", "nothing"],
)
def test_text_that_is_no_configuration_is_refused(attacked: Attacked, config: str) -> None:
    assert attacked.load("mlp", config)[0] == "INVALID_ARGUMENT"


@contextlib.contextmanager
def in_shm(path: Path) -> Iterator[Path]:
    try:
        yield path
    finally:
        with contextlib.suppress(IsADirectoryError):
            path.unlink(missing_ok=True)
        if path.is_dir():
            path.rmdir()


def register(attacked: Attacked, key: str, byte_size: int = 16, offset: int = 0) -> tuple[str, str]:
    """How a region is refused."""
    request = service_pb2.SystemSharedMemoryRegisterRequest(
        name="region", key=key, byte_size=byte_size, offset=offset
    )
    refusal = attacked.refusal("SystemSharedMemoryRegister", request)
    status = attacked.stub.SystemSharedMemoryStatus(service_pb2.SystemSharedMemoryStatusRequest(), timeout=60)
    assert not status.regions
    return refusal


def test_key_of_shared_memory_leads_nowhere(attacked: Attacked) -> None:
    secret = str(attacked.area / "secret")
    prefix = attacked.prefix
    keys = [
        "",
        "/",
        "//",
        ".",
        "..",
        "/..",
        secret,
        f"../..{secret}",
        f"/../..{secret}",
        "sem.x",
        "a\0b",
        "a/b",
    ]
    keys += [f"{prefix}/../../..{secret}", f"/{prefix}x/../y", f"//{prefix}x", f"{prefix}a\0b", "another"]
    keys += [f"\uff0f{prefix}", f"\u2215{prefix}", prefix.upper()]
    for key in keys:
        assert register(attacked, key)[0] == "INVALID_ARGUMENT", key
    assert register(attacked, prefix + "x" * 5000)[0] == "INTERNAL"
    assert register(attacked, prefix + "none")[0] == "INTERNAL"


def test_what_lies_in_shared_memory_and_is_none_is_refused(attacked: Attacked) -> None:
    for kind in ("link", "pipe", "folder"):
        with in_shm(SHM / f"{attacked.prefix}{kind}") as path:
            if kind == "link":
                path.symlink_to(attacked.area / "secret")
            elif kind == "pipe":
                os.mkfifo(path)
            else:
                path.mkdir()
            assert register(attacked, path.name)[0] == "INTERNAL", kind


@pytest.mark.parametrize(
    ("offset", "byte_size"),
    [(0, 0), (0, 4097), (4096, 1), (1, 4096), (2**63, 16), (2**64 - 1, 2), (2**64 - 16, 32), (0, 2**64 - 1)],
)
def test_bounds_of_a_region_are_those_of_its_object(attacked: Attacked, offset: int, byte_size: int) -> None:
    with in_shm(SHM / f"{attacked.prefix}bounds") as path:
        path.write_bytes(bytes(4096))
        assert register(attacked, path.name, byte_size, offset)[0] == "INVALID_ARGUMENT"


def test_object_of_terabytes_is_too_large(attacked: Attacked) -> None:
    before = attacked.resident_mib()
    with in_shm(SHM / f"{attacked.prefix}huge") as path:
        path.touch()
        os.truncate(path, 2**33)
        assert register(attacked, path.name, 2**33)[0] == "RESOURCE_EXHAUSTED"
    assert attacked.resident_mib() - before < SLACK_MIB


def test_tensor_in_a_region_stays_within_it(attacked: Attacked) -> None:
    with in_shm(SHM / f"{attacked.prefix}tensor") as path:
        path.write_bytes(bytes(4096))
        request = service_pb2.SystemSharedMemoryRegisterRequest(
            name="r", key=path.name, offset=4032, byte_size=64
        )
        attacked.stub.SystemSharedMemoryRegister(request, timeout=60)
        try:
            for offset, nbytes in ((1, 64), (64, 64), (2**62, 64), (-1, 64), (-64, 64), (0, -64), (0, 2**62)):
                call = attacked.infer("x", "FP32", [1, 16])
                del call.raw_input_contents[:]
                place(call.inputs[0], offset, nbytes)
                assert attacked.refusal("ModelInfer", call)[0] == "INVALID_ARGUMENT", (offset, nbytes)
                call = attacked.infer("x", "FP32", [1, 16], bytes(64))
                place(call.outputs.add(name="scores"), offset, nbytes)
                assert attacked.refusal("ModelInfer", call)[0] == "INVALID_ARGUMENT", (offset, nbytes)
            assert path.read_bytes() == bytes(4096)
        finally:
            attacked.stub.SystemSharedMemoryUnregister(
                service_pb2.SystemSharedMemoryUnregisterRequest(), timeout=60
            )


def place(tensor: Any, offset: int, nbytes: int) -> None:
    tensor.parameters["shared_memory_region"].string_param = "r"
    tensor.parameters["shared_memory_offset"].int64_param = offset
    tensor.parameters["shared_memory_byte_size"].int64_param = nbytes


@pytest.mark.parametrize(
    "shape",
    [
        [2**31 - 1, 0],
        [0, 2**31 - 1],
        [65537, 0],
        [2**31 - 1, 2**31 - 1],
        [2**62, 2**62],
        [-1, -1],
        [1] * 5000,
    ],
    ids=lambda shape: str(shape)[:30],
)
def test_few_bytes_that_claim_many_rows_are_refused(attacked: Attacked, shape: list[int]) -> None:
    before = attacked.resident_mib()
    request = attacked.infer("x", "FP32", shape, model="variable_length")
    assert attacked.refusal("ModelInfer", request)[0] == "INVALID_ARGUMENT"
    del request.raw_input_contents[:]
    assert attacked.refusal("ModelInfer", request)[0] == "INVALID_ARGUMENT"
    assert attacked.resident_mib() - before < SLACK_MIB
