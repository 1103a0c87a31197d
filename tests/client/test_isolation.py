"""What the client brings into a process, and whom it shares one with.

Each test runs in an interpreter of its own. tritonclient.grpc and kserve each put a file of package
``inference`` into protobuf's default pool, with clashing content: those two cannot be imported together,
with or without us. So ours is tested beside each of them, in either order, and beside both with the part
of tritonclient that leaves the pool alone.
"""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from .fake_inference_server import FakeServer

OURS = "import hotgraph_client"
CALL = """
import numpy
with hotgraph_client.Client({address!r}) as client:
    answer = client.predict("double", numpy.ones((1, 2), numpy.float32))
assert answer.tolist() == [[2.0, 2.0]], answer
"""


def run_python(program: str) -> None:
    """Runs `program` in a fresh interpreter that finds the same packages as this one."""
    finished = subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert finished.returncode == 0, finished.stderr[-4000:]


def test_client_imports_neither_tensorflow_nor_any_package_it_does_not_depend_on(server: FakeServer) -> None:
    run_python(
        f"""
import sys
import hotgraph_client, hotgraph_client.predict_command
{CALL.format(address=server.address)}
tops = {{name.partition(".")[0] for name in sys.modules}}
assert not {{top for top in tops if "tensorflow" in top or top in ("keras", "jax", "torch")}}, tops
assert "hotgraph_server" not in tops
assert not {{"ml_dtypes", "aiohttp"}} & tops
"""
    )


def test_names_are_loaded_when_they_are_asked_for() -> None:
    run_python(
        """
import sys
import hotgraph_client
assert "grpc" not in sys.modules
assert set(hotgraph_client.__all__) <= set(dir(hotgraph_client))
for name in hotgraph_client.__all__:
    assert getattr(hotgraph_client, name) is not None, name
try:
    hotgraph_client.Klient
except AttributeError as error:
    assert "Klient" in str(error)
else:
    raise AssertionError
"""
    )


def test_importing_the_client_opens_nothing_and_reads_no_arguments() -> None:
    run_python(
        """
import sys, threading
before = threading.active_count()
del sys.argv
import hotgraph_client
assert threading.active_count() == before
"""
    )


# what stands between them is the same either way
@pytest.mark.parametrize("kind_of_server", [FakeServer])
@pytest.mark.parametrize("ours_first", [True, False])
@pytest.mark.parametrize(
    "theirs",
    [
        "import tritonclient.grpc",
        "import kserve",
        "import tritonclient.utils, kserve",
    ],
)
def test_client_shares_a_process_with_other_clients_of_the_protocol(
    server: FakeServer, theirs: str, ours_first: bool
) -> None:
    imports = [OURS, theirs] if ours_first else [theirs, OURS]
    run_python("\n".join([*imports, CALL.format(address=server.address)]))


def test_messages_of_ours_and_tritonclients_are_the_same_on_the_wire() -> None:
    run_python(
        """
from tritonclient.grpc import service_pb2
from hotgraph_protos import open_inference as oip
ours = oip.ModelInferRequest(model_name="m", raw_input_contents=[b"abc"])
ours.inputs.add(name="x", datatype="UINT8", shape=[3])
ours.parameters["p"].string_param = "v"
theirs = service_pb2.ModelInferRequest.FromString(ours.SerializeToString())
assert (theirs.model_name, theirs.inputs[0].shape[:], theirs.parameters["p"].string_param) == ("m", [3], "v")
assert oip.ModelInferRequest.FromString(theirs.SerializeToString()) == ours
"""
    )
