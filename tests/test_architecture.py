"""The house as its own imports show it: floors, no circle, and who may know of what.

Floors are listed in scripts/codemap/floors.py and rules are written in scripts/codemap/rules.py, whose own
tests show that they find what they look for. Imports in functions and for types count as the others do: what
is forbidden here is to know of something.
"""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from codemap import rules
from codemap.floors import FLOORS
from codemap.sources import Package, When, statements

ROOT = Path(__file__).parents[1]
PROTOS = Package(ROOT / "protos" / "hotgraph_protos")
SERVER = Package(ROOT / "server" / "hotgraph_server")
CLIENT = Package(ROOT / "client" / "hotgraph_client")
PACKAGES = (PROTOS, SERVER, CLIENT)

MAX_LINES = 350
MAX_LOOSE = 12

LONG = {
    "errors": "one tree of errors, which is drawn at its head",
    "batching.queue": "a quarter of it is the contract that callers read",
}
"""Modules of the server with more lines than `MAX_LINES`, and why they are not split."""

OUTSIDE: dict[str, tuple[str, ...]] = {
    "argparse": ("commands",),
    "aiohttp": ("forwarding.links",),
    "asyncio": (
        *("fleet.observing", "forwarding", "observability.admin.server", "processes", "program.serving"),
        "transport.accepting",
    ),
    "cryptography": ("transport.certificate_expiry",),
    # Of which errors and warmup know the names of statuses, and REST their numbers.
    "grpc": (
        "errors",
        "forwarding.links",
        "forwarding.forwarder",
        "rest.codes",
        "rest.v2.errors",
        "transport",
        "warmup.first_runs",
    ),
    "hpack": ("transport.http2",),
    "httptools": ("transport.http1.request_reader",),
    "hotgraph_client": (),
    "hotgraph_protos": (
        *("commands", "model_config", "model_control", "protocols.orca", "protocols.v2", "rest.v2"),
        *("observability.metrics", "observability.otlp", "observability.tracing"),
        *("rest.openapi.describing", "rest.opening", "transport.health", "tuning.written"),
    ),
    "opentelemetry": ("observability.otlp",),
    "multiprocessing": ("rest.json.process",),
    "prometheus_client": ("fleet.admin", "fleet.metrics", "observability"),
    # Whatever else there is of a fleet can be read, and is tested, without it.
    "ray": ("fleet.local_ray", "fleet.ray_cluster", "fleet.ray_engine"),
    "selectors": ("transport.sockets",),
    "subprocess": (
        *("conversion.process", "fleet.ray_cluster", "fleet.server_process", "processes.child"),
        "tuning.children",
    ),
    "socket": (
        *("fleet.child", "fleet.ray_cluster", "observability.admin.server", "processes"),
        "transport",
    ),
    "ssl": ("transport",),
    # At once in graph/ alone: see below.
    "tensorflow": (
        *(
            "commands",
            "conversion",
            "graph",
            "observability.request_log",
            "program.exporting",
            "protocols.tfs",
        ),
        "wrapping",
    ),
    "tensorflow_serving": (
        *("commands.doctor", "commands.tensorflow_model_server", "protocols.tfs", "rest.tfs.methods"),
    ),
}
"""What comes from outside, and which parts of the server may know of it."""

BLOCKING = (
    *("asyncio", "concurrent", "multiprocessing", "queue", "select", "selectors", "socket", "ssl"),
    *("subprocess", "threading", "time"),
)
PURE = (
    *("observability.logs.bound", "observability.logs.calls", "observability.otlp.environment"),
    *("observability.otlp.figures", "observability.otlp.spans", "observability.tracing.sampling"),
    *("observability.tracing.traceparent", "settings.trace_config"),
    *("conversion.input_specs", "conversion.request", "wrapping.wishes"),
    *("forwarding.figures", "forwarding.headers", "forwarding.messages", "forwarding.peers"),
    *("fleet.eds", "fleet.envoy", "fleet.observed", "fleet.placement", "fleet.reading", "fleet.spec"),
    *("fleet.actions", "fleet.crashes", "fleet.memory", "fleet.reconcile", "fleet.scaling"),
    *("fleet.figures", "fleet.loading", "fleet.rolling", "fleet.rollout", "fleet.rollout_steps"),
    *("fleet.rollouts", "fleet.status", "fleet.status_tables"),
    *("model_control.served_versions", "observability.metrics.shadows"),
    *("fleet.estimating", "fleet.explained", "fleet.mending", "fleet.needed", "fleet.needs", "fleet.packing"),
    *("fleet.paper", "fleet.planner", "fleet.planning", "fleet.simulation"),
    *("access", "model_config", "processes.messages", "processes.shares", "row_independence"),
    *("batching.backlog", "batching.cost", "batching.decisions", "batching.joining", "batching.policies"),
    *("protocols.tfs.decode", "protocols.tfs.encode", "protocols.v2.codec"),
    *("transport.http1.codings", "transport.http1.heads", "transport.http1.request_reader"),
    *("rest.json.fair_queue", "rest.json.tensors", "rest.json.text"),
    *("rest.openapi.administration", "rest.openapi.answers", "rest.openapi.description"),
    *("rest.openapi.document", "rest.openapi.examples", "rest.openapi.generic", "rest.openapi.schemas"),
    *("rest.openapi.v1", "rest.openapi.v2"),
    *("rest.tfs.examples", "rest.tfs.paths", "rest.tfs.predict"),
    *("rest.v2.generate_text", "rest.v2.infer_answer", "rest.v2.infer_request", "rest.v2.members"),
    *("rest.v2.raw_request", "rest.v2.values"),
    *("rest.v2.about", "rest.v2.errors", "rest.v2.message_values", "rest.v2.paths"),
    *("rest.v2.repository", "rest.v2.row", "rest.v2.settings", "rest.v2.shared_memory"),
    *("sequences.layout", "sequences.table"),
    *("state.durability", "state.snapshot"),
    *("batching.plain_simulator", "batching.simulator"),
    *("on_demand.ages", "on_demand.decisions", "on_demand.thrash"),
    *("observability.load.report", "protocols.orca.messages", "threads.progress"),
    *("tuning.confirmation", "tuning.costs", "tuning.document", "tuning.jobs", "tuning.prediction"),
    *("tuning.replicas", "tuning.search", "tuning.slo", "tuning.traffic", "tuning.variants"),
    *("tuning.verdict", "tuning.written"),
    *("transport.http2.connection", "transport.http2.flow_control", "transport.http2.frames"),
    *("transport.http2.header_blocks", "transport.http2.messages", "transport.sockets.receive_coalescing"),
    *("transport.sockets.round_robin", "transport.http2.send_side", "transport.http2.stream"),
    *("settings.peers", "transport.certificate_expiry", "transport.sockets.connection_age"),
    *("transport.load_trailers", "transport.message_fields"),
)
"""Parts that decide, read or write, and neither wait nor ask what time it is."""

CLIENT_PURE = (
    "model_header",
    *("arrays", "descriptions", "errors", "images", "next_steps", "prediction", "protocol", "signatures"),
    *("predicting.answers", "predicting.documents", "predicting.fitting", "predicting.labels"),
    *("predicting.reading", "predicting.tables"),
    *("http.answers", "http.attempts", "http.requests", "http.route"),
    *("loadtest.histograms", "loadtest.load", "loadtest.sending.calls", "loadtest.sending.http1"),
    *("loadtest.sending.http2", "loadtest.sending.merging", "loadtest.sending.messages"),
    *("loadtest.sending.schedule", "loadtest.sending.statuses", "loadtest.sending.tally", "tls"),
    *("loadtest.report.assembling", "loadtest.report.charts", "loadtest.report.comparing"),
    *("loadtest.report.figures", "loadtest.report.judging", "loadtest.report.markup"),
    *("loadtest.report.plain", "loadtest.report.sections", "loadtest.report.step_charts"),
    *("loadtest.report.summary", "loadtest.report.time_charts", "loadtest.report.tune_charts"),
    "loadtest.report.tune_section",
)
"""The same of the client."""

WITHIN: dict[str, tuple[str, ...]] = {
    # A graph is tried on inputs of its own, and knows nothing of calls.
    "graph": ("batching.call", "batching.completion", "batching.joining", "batching.lane", "batching.queue"),
    # Who knows a queue has got it from a version.
    "protocols": ("batching.lane", "batching.queue"),
    "rest": ("batching.lane", "batching.queue"),
    "sequences": ("batching.lane", "batching.queue"),
    # Each protocol can be read without the other, and its codec without calls.
    "protocols.tfs": ("protocols.v2",),
    "protocols.v2": ("protocols.tfs",),
    "rest.tfs": ("protocols.v2", "rest.v2"),
    "rest.v2": ("protocols.tfs", "rest.tfs"),
    "rest.json": ("batching", "models", "protocols", "transport"),
    # It tells of calls, and makes none.
    "rest.openapi": (
        "batching.request",
        "protocols.submission",
        "protocols.tfs",
        "repository",
        "rest.tfs",
        "rest.v2",
    ),
    **{
        f"rest.openapi.{name}": ("access", "models", "protocols", "transport")
        for name in ("document", "examples", "schemas", "v1", "v2")
    },
    "protocols.tfs.decode": ("batching", "models.registry", "models.version", "transport.service"),
    "protocols.tfs.encode": ("batching", "models.registry", "models.version", "transport.service"),
    "protocols.v2.codec": ("batching", "models.registry", "models.version", "transport.service"),
    "protocols.v2.regions": ("batching", "models", "transport"),
    # JSON is made of values.
    **{
        f"rest.tfs.{name}": ("batching", "models", "protocols.tfs", "transport.service")
        for name in ("examples", "paths", "predict")
    },
    **{
        f"rest.v2.{name}": ("batching", "models.registry", "models.version", "transport.service")
        for name in ("generate_text", "infer_answer", "infer_request", "members", "raw_request", "values")
    },
    # What everybody may read of a configuration is plain values.
    **{name: ("errors", "settings") for name in ("models.contract", "models.reshaping", "sequences.rules")},
    # What is written down of calls is a service's face and its bytes.
    "observability.request_log": ("models", "statistics"),
    "observability.tracing": ("models.version",),
    "observability.admin.http": ("models", "observability.metrics", "signatures", "statistics"),
    "observability.admin.server": ("models", "observability.metrics", "signatures", "statistics"),
    # The transport moves bytes.
    "transport": ("signatures", "statistics", "tensors"),
}
"""Parts of the server that may not know of others, where the floors would let them."""

THREADS = {
    *("commands.reloading", "commands.signals", "execution.executor", "execution.finisher"),
    *("fleet.server_process", "fleet.workers"),
    "forwarding.loop",
    *("models.response_cache", "models.shadows"),
    *("observability.admin.server", "processes.member", "processes.pages"),
    "observability.otlp.export",
    *("rest.json.process", "rest.json.process_pool"),
    *("state.learnt", "state.snapshotter"),
    *("threads.budgeted_writer", "threads.one_shot", "threads.periodic"),
    *("transport.grpcio.pools", "transport.sockets.handshakes", "transport.sockets.server"),
    *("transport.server", "transport.thread_pool"),
}
"""Modules that start threads: each owns them, and stops them."""


def inside(name: str, *wholes: str) -> bool:
    return any(name == whole or name.startswith(f"{whole}.") for whole in wholes)


def ours(*names: str) -> tuple[str, ...]:
    return tuple(f"{SERVER.name}.{name}" for name in names)


def parts(name: str) -> list[str]:
    """The modules of a part of the server."""
    found = [module for module in SERVER.modules if inside(module, *ours(name))]
    assert found, f"{name} has moved; move its rule"
    return found


def importers(name: str) -> set[str]:
    """Modules of the server that import that or a part of it."""
    return {
        module for module, imports in SERVER.imports.items() if any(inside(one.name, name) for one in imports)
    }


FOUND = {
    "on no floor": rules.misplaced(SERVER, FLOORS),
    "not downwards": rules.not_downwards(SERVER, FLOORS),
    "circles of modules": {circle for package in PACKAGES for circle in rules.circles_of_modules(package)},
    "circles of rooms": rules.circles_of_rooms(SERVER),
    "folders without a contract": rules.without_contract(SERVER),
    "too long": rules.too_long(SERVER, MAX_LINES, dict(zip(ours(*LONG), LONG.values(), strict=True))),
}


@pytest.mark.parametrize("rule", FOUND)
def test_nothing_breaks_the_rule(rule: str) -> None:
    assert not FOUND[rule]


def test_few_modules_lie_loose_at_the_top() -> None:
    assert len(rules.loose(SERVER)) <= MAX_LOOSE


@pytest.mark.parametrize("outside", OUTSIDE)
def test_what_comes_from_outside_is_known_to_few(outside: str) -> None:
    allowed = ours(*OUTSIDE[outside])
    knowing = importers(outside)
    assert not {module for module in knowing if not inside(module, *allowed)}
    stale = {part for part in allowed if not any(inside(module, part) for module in knowing)}
    assert not stale, "no longer imports it; take it off the list"


@pytest.mark.parametrize("part", PURE)
def test_what_is_pure_neither_waits_nor_asks_for_the_time(part: str) -> None:
    wrong = {
        (module, one.name)
        for module in parts(part)
        for one in SERVER.imports[module]
        if inside(one.name, *BLOCKING)
    }
    assert not wrong


@pytest.mark.parametrize("part", WITHIN)
def test_parts_do_not_know_of_others_that_are_none_of_their_business(part: str) -> None:
    for other in WITHIN[part]:
        assert not importers(ours(other)[0]) & set(parts(part)), other
        assert parts(other)


@pytest.mark.parametrize(
    ("package", "forbidden"),
    [
        (PROTOS, ("hotgraph_server", "hotgraph_client", "tensorflow", "tensorflow_serving", "grpc")),
        (CLIENT, ("hotgraph_server", "tensorflow", "tensorflow_serving", "ml_dtypes")),
    ],
    ids=["protos", "client"],
)
def test_client_and_messages_need_no_server(package: Package, forbidden: tuple[str, ...]) -> None:
    wrong = {
        (module, one.name)
        for module, imports in package.imports.items()
        for one in imports
        if inside(one.name, *forbidden)
    }
    assert package.modules
    assert not wrong


@pytest.mark.parametrize("module", CLIENT_PURE)
def test_client_has_its_decisions_apart_from_its_channels(module: str) -> None:
    imports = CLIENT.imports[f"{CLIENT.name}.{module}"]
    assert not {one.name for one in imports if inside(one.name, *BLOCKING, "grpc.aio", "aiohttp")}


def test_what_one_way_over_http_needs_is_asked_for_by_no_other() -> None:
    knowing = {
        module
        for module, imports in CLIENT.imports.items()
        if any(inside(one.name, "aiohttp", "yarl") for one in imports)
    }
    assert knowing == {f"{CLIENT.name}.http.asynchronous"}


def test_tensorflow_is_imported_by_the_graph_alone_and_elsewhere_only_when_called() -> None:
    """Whoever imports a module of ours for anything else does not wait seconds for TensorFlow."""
    at_once = {
        module
        for package in PACKAGES
        for module, imports in package.imports.items()
        if any(inside(one.name, "tensorflow") and one.when is When.AT_ONCE for one in imports)
    }
    assert at_once
    assert all(inside(module, *ours("graph")) for module in at_once)


def test_nothing_leans_on_private_parts_of_grpc() -> None:
    names = {one.name for package in PACKAGES for imports in package.imports.values() for one in imports}
    of_grpc = {name for name in names if inside(name, "grpc")}
    assert of_grpc
    assert not {name for name in of_grpc if any(part.startswith("_") for part in name.split(".")[1:])}


def test_only_the_modules_that_own_a_thread_start_one() -> None:
    """Threads have an owner; the rest is plain functions and locks."""
    starting = {
        module
        for module, path in SERVER.modules.items()
        if re.search(r"\b(Thread|\w*PoolExecutor|ThreadPool)\(", path.read_text())
    }
    assert starting == set(ours(*THREADS))


def test_nothing_reads_arguments_or_environment_when_it_is_imported() -> None:
    read = {
        (module, ast.unparse(node))
        for package in PACKAGES
        for module in package.modules
        for node, when in statements(package.tree(module))
        if when is When.AT_ONCE
        and isinstance(node, ast.Attribute)
        and ast.unparse(node) in ("sys.argv", "os.environ", "os.getenv")
    }
    assert not read
    # Which would make them names that are not looked for.
    imported = {
        (module, one.name)
        for package in PACKAGES
        for module, imports in package.imports.items()
        for one in imports
        if one.name in ("sys.argv", "os.environ", "os.getenv")
    }
    assert not imported
