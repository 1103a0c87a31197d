"""Triton 2.51 as a rival: the server that the wheel of nvidia-pytriton holds, started by itself.

Its Python backend loads the stub of the Python that runs the model, which the wheel keeps elsewhere, and
the stub loads libpython. With numpy 2 it answers empty tensors; the wheel asks for numpy below 2.
"""

from __future__ import annotations

import filecmp
import hashlib
import os
import shutil
import sys
import sysconfig
from pathlib import Path

from bench import environment
from bench.environment import Cache, CannotSetUp
from bench.places import Installed, Place, import_path, in_venv
from bench.processes import Launch, free_port
from bench.workload import INPUT, OUTPUT

_BATCHING = "dynamic_batching { }"
_SHARED_BYTES = 256 * 2**20
"""Of the memory that server and stub share. Triton's default is 1 MiB, which it enlarges under load; it was
seen to end then (boost::interprocess::lock_exception; triton-inference-server/server, issue 8882)."""


def launch(place: Place, batching: str = _BATCHING, door: str = "grpc", name: str = "triton") -> Launch:
    """Start it on a model repository of one model, with these words about batching in its config.pbtxt.

    Args:
        door: which of its ports is to be the place's: ``grpc`` or ``http``.
        name: of the rival, whose model repository is its own.
    """
    packages = environment.site_packages(place.installed.python)
    triton = packages / "pytriton" / "tritonserver"
    # Servers of one model run at the same time, and one that starts reads what is there.
    digest = hashlib.sha256(batching.encode()).hexdigest()[:8]
    repository = place.cache.at("triton", f"{place.model.name}-{digest}-{name}")
    _write_model(place, repository / place.model.name, packages, batching)
    command = [str(triton / "bin" / "tritonserver"), "--model-repository", str(repository)]
    command += ["--backend-directory", str(triton / "backends"), "--log-verbose", "0"]
    command += ["--backend-config", f"python,shm-default-byte-size={_SHARED_BYTES}"]
    for endpoint in ("grpc", "http", "metrics"):
        port = place.port if endpoint == door else free_port()
        command += [f"--{endpoint}-address", "127.0.0.1", f"--{endpoint}-port", str(port)]
    libraries = os.pathsep.join(
        [str(sysconfig.get_config_var("LIBDIR")), os.environ.get("LD_LIBRARY_PATH", "")]
    )
    return Launch(command, {"PYTHONPATH": str(packages), "LD_LIBRARY_PATH": libraries})


def set_up(cache: Cache) -> Installed:
    """Install the wheel and put the stub in its place; raises CannotSetUp."""
    library = str(sysconfig.get_config_var("INSTSONAME") or "")
    if not library.startswith("libpython") or ".so" not in library:
        raise CannotSetUp("this Python was built without a shared libpython, which Triton's stub loads")
    installed = in_venv("triton", "nvidia-pytriton==0.7.0")(cache)
    triton = environment.site_packages(installed.python) / "pytriton" / "tritonserver"
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    stub = triton / "python_backend_stubs" / version / "triton_python_backend_stub"
    if not stub.exists():
        raise CannotSetUp(f"the wheel has no stub for Python {version}")
    there = triton / "backends" / "python" / stub.name
    # A stub that runs cannot be written to.
    if not there.exists() or not filecmp.cmp(stub, there, shallow=False):
        shutil.copy2(stub, there)
    return installed


def _write_model(place: Place, folder: Path, packages: Path, batching: str) -> None:
    version = folder / "1"
    version.mkdir(parents=True, exist_ok=True)
    shutil.copytree(place.saved_model, version / "saved_model", dirs_exist_ok=True)
    paths = [str(packages), *import_path().split(os.pathsep)]
    version.joinpath("model.py").write_text(
        f"import sys\n\nsys.path[:0] = {paths!r}\nfrom bench.servers.triton_model import TritonPythonModel\n"
    )
    tensor = '{{ name: "{}" data_type: TYPE_FP32 dims: [ {} ] }}'
    inputs = tensor.format(INPUT, place.shape.replace(",", ", "))
    outputs = tensor.format(OUTPUT, place.model.answer)
    folder.joinpath("config.pbtxt").write_text(
        f'backend: "python"\nmax_batch_size: {place.batch_rows}\ninput [ {inputs} ]\noutput [ {outputs} ]\n'
        f"{batching}\n"
        "instance_group [ { count: 1 kind: KIND_CPU } ]\n"
    )
