"""The rivals: what each needs, how it is started, and the settings that it was given."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from bench import environment, triton
from bench.environment import ROOT, Cache
from bench.places import Installed, Place, import_path, in_venv
from bench.processes import Launch
from bench.protocols import JSON, PREDICT, RAW, V2, V2_BINARY, V2_JSON, Protocol
from bench.variants import Variant, python_path
from bench.workload import BATCH_ROWS, Cell, Model

NOT_TO_BE_HAD = (
    "Triton with its native TensorFlow backend and TensorFlow Serving's own server are missing: no package "
    "registry has a binary of either (the backend ended with Triton 25.02, TensorFlow Serving comes as a "
    "container or from its own apt source)."
)


@dataclass(frozen=True)
class Rival:
    """A way to serve the model.

    Attributes:
        protocol: None: it is no server but the bare loop.
        settings: in words, for the report.
        set_up: makes what it needs; raises CannotSetUp.
        launch: the server's command line.
        says_address: it binds a free port for gRPC by itself, and says "serving on HOST:PORT" when it answers
            on all its ports.
        answers: they are the model's, and can be checked; False: only their size is.
        statistics: it has ModelStatistics whose figures give the executor's duty.
        most_bytes: of inputs in flight that it is measured with; None: any.
    """

    name: str
    title: str
    protocol: Protocol | None
    settings: str
    set_up: Callable[[Cache], Installed]
    launch: Callable[[Place], Launch]
    says_address: bool = False
    answers: bool = True
    statistics: bool = False
    most_bytes: int | None = None

    def takes(self, model: Model, cell: Cell) -> bool:
        """Whether it is measured there."""
        return self.most_bytes is None or cell.in_flight * cell.rows * model.row_bytes <= self.most_bytes


def _own(_: Cache) -> Installed:
    return Installed(Path(sys.executable))


def _own_with_uvloop(cache: Cache) -> Installed:
    python = environment.venv(cache, "uvloop", ["uvloop"])
    return Installed(python, environment.versions_in(python, ["uvloop"]))


def hotgraph_launcher(*flags: str, http: bool = False) -> Callable[[Place], Launch]:
    """How `hotgraph serve` is started, with these flags more.

    Args:
        http: on the place's port; otherwise it has none.
    """

    def launch(place: Place) -> Launch:
        served = f"{place.model.name}={place.folder}"
        command = [sys.executable, "-m", "hotgraph_server", "serve", served, "--port", "0"]
        command += ["--rest-port", str(place.port if http else 0), "--admin-port", "0", *flags]
        return Launch(command, {"PYTHONPATH": python_path(place.installed.tree)})

    return launch


def variant_rival(variant: Variant) -> Rival:
    """It is called and measured as hotgraph is."""

    def set_up(cache: Cache) -> Installed:
        return Installed(Path(sys.executable), tree=variant.sources(cache))

    launch = hotgraph_launcher(*variant.flags)
    # Of several processes each tells its own figures, and who answers is chance.
    whole = "--processes" not in variant.flags
    return Rival(variant.name, variant.name, V2, variant.settings, set_up, launch, True, statistics=whole)


def title(name: str) -> str:
    """What a reader calls a rival, or a variant that only its own run knows."""
    return RIVALS[name].title if name in RIVALS else name


def in_order(names: Iterable[str]) -> list[str]:
    """As tables list them: hotgraph, its variants, and the others as they stand here. Each once."""
    places = {name: place for place, name in enumerate(RIVALS)}
    return sorted(set(names), key=lambda name: (places.get(name, 0), name))


def _grpc_handlers(kind: str) -> Callable[[Place], Launch]:
    def launch(place: Place) -> Launch:
        where = "inline" if place.model.quick else "pool"
        command = [sys.executable, "-m", "bench.servers.grpc_handlers", kind, str(place.port)]
        path = import_path()
        if kind == "aio":
            path += os.pathsep + str(environment.site_packages(place.installed.python))
        return Launch([*command, str(place.saved_model), where], {"PYTHONPATH": path})

    return launch


def _triton_http(name: str) -> Callable[[Place], Launch]:
    return lambda place: triton.launch(place, door="http", name=name)


def _mosec(place: Place) -> Launch:
    command = [str(place.installed.python), "-m", "bench.servers.mosec_server", "--port", str(place.port)]
    command += ["--address", "127.0.0.1", "--timeout", "60000", "--capacity", "4096", "--log-level", "error"]
    env = {"BENCH_SAVED_MODEL": str(place.saved_model), "BENCH_SHAPE": place.shape}
    return Launch([*command, "--max-body-size", str(2**27)], {"PYTHONPATH": import_path(), **env})


def _litserve(place: Place) -> Launch:
    command = [str(place.installed.python), "-m", "bench.servers.litserve_server", str(place.port)]
    return Launch([*command, str(place.saved_model)], {"PYTHONPATH": import_path()})


def _bentoml(place: Place) -> Launch:
    command = [str(place.installed.python), "-m", "bentoml", "serve", "bench.servers.bentoml_server:Graph"]
    command += ["--host", "127.0.0.1", "--port", str(place.port), "--working-dir", str(ROOT / "scripts")]
    env = {"BENCH_SAVED_MODEL": str(place.saved_model), "BENTOML_DO_NOT_TRACK": "True"}
    env["BENTOML_HOME"] = str(place.cache.at("bentoml-home"))
    return Launch(command, {"PYTHONPATH": import_path(), **env})


def _echo_set_up(cache: Cache) -> Installed:
    binary = cache.at("echo", "echo")
    environment.compile_cpp(ROOT / "scripts" / "bench" / "servers" / "echo.cc", binary)
    return Installed(binary, {"libgrpc++": environment.debian_version("libgrpc++-dev")})


def _echo(place: Place) -> Launch:
    sizes = [f"{request}:{answer}" for request, answer in place.sizes]
    return Launch([str(place.installed.python), str(place.port), *sizes], {})


def _bare(form: str) -> Callable[[Place], Launch]:
    def launch(place: Place) -> Launch:
        command = [sys.executable, "-m", "bench.servers.bare_loop", str(place.saved_model), place.shape, form]
        return Launch(command, {"PYTHONPATH": import_path()})

    return launch


_CALLABLE = "runs the graph through a session callable in the calling thread"
# Beyond, a batch of JSON takes many seconds to read, and a run would see less than one of them.
_MAX_JSON = 5_000_000
_LITTLE_JSON = "measured with up to 5 MB of floats in flight"
_BATCHES = f"batches of up to {BATCH_ROWS}"

RIVALS = {
    rival.name: rival
    for rival in (
        Rival("hotgraph", "hotgraph", V2, "defaults", _own, hotgraph_launcher(), True, statistics=True),
        Rival(
            "hotgraph-tfs",
            "hotgraph, Predict",
            PREDICT,
            "defaults; tensor_content",
            _own,
            hotgraph_launcher(),
            True,
        ),
        Rival(
            "hotgraph-no-lane",
            "hotgraph, grpcio alone",
            V2,
            "--no-fast-lane: grpcio's public API",
            _own,
            hotgraph_launcher("--no-fast-lane"),
            True,
            statistics=True,
        ),
        Rival(
            "hotgraph-as-saved",
            "hotgraph, graph as saved",
            V2,
            "--plan as-saved",
            _own,
            hotgraph_launcher("--plan", "as-saved"),
            True,
            statistics=True,
        ),
        Rival(
            "hotgraph-http",
            "hotgraph, HTTP",
            V2_BINARY,
            "defaults",
            _own,
            hotgraph_launcher(http=True),
            True,
        ),
        Rival(
            "hotgraph-json",
            "hotgraph, HTTP in JSON",
            V2_JSON,
            f"defaults; {_LITTLE_JSON}",
            _own,
            hotgraph_launcher(http=True),
            True,
            most_bytes=_MAX_JSON,
        ),
        Rival(
            "triton",
            "Triton 2.51, Python backend",
            V2,
            f"the server from the wheel nvidia-pytriton 0.7.0, started by itself; dynamic_batching without a "
            f"delay, {_BATCHES} rows, one CPU instance whose model.py {_CALLABLE}, shared memory "
            "that need not grow; numpy below 2",
            triton.set_up,
            triton.launch,
        ),
        Rival(
            "triton-http",
            "Triton 2.51, HTTP",
            V2_BINARY,
            "as Triton, a server of its own; its HTTP port",
            triton.set_up,
            _triton_http("triton-http"),
        ),
        Rival(
            "triton-json",
            "Triton 2.51, HTTP in JSON",
            V2_JSON,
            f"the same; {_LITTLE_JSON}",
            triton.set_up,
            _triton_http("triton-json"),
            most_bytes=_MAX_JSON,
        ),
        Rival(
            "grpc-aio",
            "grpc.aio, obvious handler",
            V2,
            f"uvloop; {_CALLABLE}, in the event loop for models whose runs take microseconds, in two threads "
            "for the others; no batches",
            _own_with_uvloop,
            _grpc_handlers("aio"),
        ),
        Rival(
            "grpc-threads",
            "grpc.server, obvious handler",
            V2,
            f"8 threads; {_CALLABLE}; no batches",
            _own,
            _grpc_handlers("threads"),
        ),
        Rival(
            "mosec",
            "mosec",
            RAW,
            f"one worker, {_BATCHES} calls, max_wait_time 1 ms; {_CALLABLE}",
            in_venv("mosec", "mosec"),
            _mosec,
        ),
        Rival(
            "litserve",
            "LitServe",
            JSON,
            f"one worker, {_BATCHES} calls, batch_timeout 1 ms, fast_queue; {_CALLABLE}; {_LITTLE_JSON}",
            in_venv("litserve", "litserve", "pyzmq"),
            _litserve,
            most_bytes=_MAX_JSON,
        ),
        Rival(
            "bentoml",
            "BentoML",
            JSON,
            f"one worker, batchable, {_BATCHES} rows, no shedding, metrics and access log off; {_CALLABLE}; "
            f"{_LITTLE_JSON}",
            in_venv("bentoml", "bentoml"),
            _bentoml,
            most_bytes=_MAX_JSON,
        ),
        Rival(
            "echo",
            "limit: C++ gRPC echo",
            V2,
            "AsyncGenericService, one thread on one completion queue; an answer of the same size, made once",
            _echo_set_up,
            _echo,
            answers=False,
        ),
        Rival(
            "bare",
            "limit: bare loop, as saved",
            None,
            f"{_CALLABLE}, at the rows in flight but at most {BATCH_ROWS}; no decoding, no sending",
            _own,
            _bare("saved"),
        ),
        Rival(
            "bare-frozen",
            "limit: bare loop, frozen",
            None,
            "the same with variables made constants",
            _own,
            _bare("frozen"),
        ),
    )
}
