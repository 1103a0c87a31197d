"""The direction in which the code may know of itself, read from its imports.

Data goes transport -> codec -> registry -> queue -> executor, and each of these is written so that it can
be understood, tested and replaced without those before it.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = {
    "hotgraph_protos": ROOT / "protos" / "hotgraph_protos",
    "hotgraph_server": ROOT / "server" / "hotgraph_server",
    "hotgraph_client": ROOT / "client" / "hotgraph_client",
}


def name_of(path: Path) -> str:
    """The dotted name of a module of ours."""
    for root in PACKAGES.values():
        if path.is_relative_to(root):
            parts = path.relative_to(root.parent).with_suffix("").parts
            return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
    raise ValueError(path)


SOURCES = {name_of(path): path for root in PACKAGES.values() for path in sorted(root.rglob("*.py"))}


def imports_of(module: str, *, at_module_level: bool = False) -> set[str]:
    """Everything that a module imports, as dotted names: ``from a import b`` is ``a.b``.

    `at_module_level` leaves out what functions import when they are called, and what only types need.
    """
    tree = ast.parse(SOURCES[module].read_text())
    found: set[str] = set()
    for node in _statements(tree) if at_module_level else ast.walk(tree):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            origin = ".".join(filter(None, (_package(module, node.level), node.module)))
            found.update(f"{origin}.{alias.name}" for alias in node.names)
    return found


def _package(module: str, level: int) -> str:
    """What the dots of a relative import stand for; nothing if there are none."""
    parts = module.split(".")
    if SOURCES[module].name == "__init__.py":
        parts.append("__init__")
    return ".".join(parts[:-level]) if level else ""


def _statements(node: ast.AST) -> Iterator[ast.AST]:
    """What runs when a module is imported: everything outside functions and TYPE_CHECKING."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            continue
        if isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test):
            continue
        yield child
        yield from _statements(child)


def inside(name: str, *packages: str) -> bool:
    return any(name == package or name.startswith(f"{package}.") for package in packages)


def modules(*packages: str) -> list[str]:
    return [module for module in SOURCES if inside(module, *packages)]


def ours(*names: str) -> tuple[str, ...]:
    return tuple(f"hotgraph_server.{name}" for name in names)


SERVING = ours(
    *("server", "commands.cli", "__main__", "commands.serve", "commands.inspect", "settings.file"),
    "commands.tensorflow_model_server",
)

# Whoever may know TensorFlow Serving's messages.
TF_SERVING = ours(
    "protocols.tfs",
    "rest.methods",
    "commands.tensorflow_model_server",
    "observability.request_log",
    "repository",
)

# Who -> what it may not import, neither at module level nor later.
FORBIDDEN: dict[tuple[str, ...], tuple[str, ...]] = {
    ("hotgraph_protos",): ("hotgraph_server", "hotgraph_client", "tensorflow", "tensorflow_serving", "grpc"),
    ("hotgraph_client",): ("hotgraph_server", "tensorflow", "tensorflow_serving", "ml_dtypes"),
    ("hotgraph_server",): ("hotgraph_client",),
    # Who may call what is decided by names of methods and headers, whoever carries them.
    ours("access"): (
        *ours(
            "batching",
            "execution.executor",
            "graph",
            "models.version",
            "models.registry",
            "repository",
            "protocols",
            "transport",
        ),
        *ours("rest", "observability.admin", "observability.request_log"),
        *("grpc", "google", "tensorflow", "threading", "hotgraph_protos", *SERVING),
    ),
    # Batches are made from calls and arrays; nothing here knows who sent them or who runs them.
    ours("batching"): (
        *ours(
            "execution.executor",
            "graph",
            "models.version",
            "models.registry",
            "repository",
            "protocols",
            "transport",
            "warmup.first_runs",
        ),
        *("grpc", "google", "hotgraph_protos", *SERVING),
    ),
    ours("signatures", "tensors", "errors", "settings", "statistics", "graph.effects"): (
        *ours(
            "batching",
            "execution.executor",
            "graph",
            "models.version",
            "models.registry",
            "repository",
            "protocols",
            "transport",
        ),
        *("hotgraph_protos", "google", *SERVING),
    ),
    # What is proven of a graph is told by its messages alone, to whoever wants to know.
    ours("row_independence"): (
        *ours(
            "batching",
            "execution.executor",
            "graph",
            "models.version",
            "models.registry",
            "repository",
            "protocols",
            "transport",
        ),
        *("grpc", "google", "tensorflow", "threading", "time", "hotgraph_protos", *SERVING),
    ),
    # Of batching, a graph knows how inputs for a trial are made, and nothing of calls.
    ours("graph"): (
        *ours("batching.call", "batching.queue", "batching.lane", "batching.completion", "batching.joining"),
        *ours(
            "execution.executor", "models.version", "models.registry", "repository", "protocols", "transport"
        ),
    ),
    ours("warmup.first_runs", "warmup.warmup_calls", "warmup.plan", "warmup.plan_search"): ours(
        "graph",
        "execution.executor",
        "models.version",
        "models.registry",
        "repository",
        "protocols",
        "transport",
    ),
    ours("execution.executor"): (
        *ours("graph", "models.version", "models.registry", "repository", "protocols", "transport"),
        *("grpc", "hotgraph_protos", *SERVING),
    ),
    # Of models, sequences know a version's signature, and a queue that takes calls.
    ours("sequences"): (
        *ours(
            "execution.executor",
            "graph",
            "models.version",
            "models.registry",
            "repository",
            "protocols",
            "transport",
        ),
        *ours("batching.queue", "batching.lane"),
        *("grpc", "google", "hotgraph_protos", *SERVING),
    ),
    # What is kept of variables knows values and files, and neither calls nor who runs them.
    ours("state"): (
        *ours(
            "batching",
            "execution.executor",
            "models.version",
            "models.registry",
            "repository",
            "protocols",
            "transport",
            "execution.runner",
        ),
        *("grpc", "google", "tensorflow", "hotgraph_protos", *SERVING),
    ),
    ours("state.durability", "state.snapshot"): ("threading", "time", "os", "pathlib"),
    ours("models.version", "models.registry"): (
        *ours("graph", "repository", "protocols", "transport"),
        *("grpc", "hotgraph_protos", *SERVING),
    ),
    ours("models.response_cache", "models.cache_key"): (
        *ours(
            "execution.executor",
            "graph",
            "models.version",
            "models.registry",
            "repository",
            "protocols",
            "transport",
        ),
        *("grpc", "google", "hotgraph_protos", *SERVING),
    ),
    ours("protocols.v2.regions"): (
        *ours(
            "batching",
            "execution.executor",
            "graph",
            "models.version",
            "models.registry",
            "repository",
            "protocols",
            "transport",
        ),
        *("grpc", "google", "hotgraph_protos", *SERVING),
    ),
    ours("repository"): (*ours("models.registry", "protocols", "transport"), "grpc", *SERVING),
    ours("text_proto", "model_config.batching_parameters"): (
        *ours(
            "batching",
            "execution.executor",
            "graph",
            "models.version",
            "models.registry",
            "repository",
            "protocols",
            "transport",
        ),
        *SERVING,
    ),
    # A model's configuration is translated, and completed from what a version knows of itself.
    ours("model_config"): (
        *ours(
            "batching",
            "execution.executor",
            "graph",
            "models.registry",
            "repository",
            "protocols",
            "transport",
        ),
        *("grpc", "tensorflow", "tensorflow_serving", "threading", "time", *SERVING),
    ),
    # What everybody may read of it is plain values.
    ours("models.contract", "sequences.rules", "models.reshaping"): (
        *ours("models.version", "settings", "errors", "warmup.warmup_calls"),
        *("hotgraph_protos", "google"),
    ),
    # What writes calls down sees a service's face and its bytes.
    ours("observability.request_log"): (
        *ours(
            "batching",
            "execution.executor",
            "graph",
            "models.version",
            "models.registry",
            "repository",
            "protocols.tfs",
        ),
        *("grpc", "google", "tensorflow_serving", *SERVING),
    ),
    # What traces calls sees a service's face, bytes, and calls as a watcher of the figures does.
    ours("observability.tracing"): (
        *ours(
            "batching",
            "execution.executor",
            "graph",
            "models.version",
            "repository",
            "protocols.v2",
            "protocols.tfs",
        ),
        *("grpc", "tensorflow", *SERVING),
    ),
    ours("observability.log_settings"): (
        *ours("models.version", "models.registry", "protocols", "transport", "batching"),
        "grpc",
        *SERVING,
    ),
    # What shows figures reads them, and takes no part in a call.
    ours("observability.metrics", "observability.admin"): (
        *ours("batching", "execution", "graph", "protocols", "repository"),
        *("grpc", "google", "tensorflow", *SERVING),
    ),
    ours("observability.admin.http", "observability.admin.server"): ours(
        "models.version", "models.registry", "observability.metrics.prometheus", "statistics", "signatures"
    ),
    # A protocol sees the transport's face only, and codecs see nothing but values.
    ours("protocols"): (
        *ours("graph", "execution.executor", "repository", "batching.queue", "batching.lane"),
        *("grpc", *SERVING),
    ),
    ours("protocols.v2.codec", "protocols.tfs.decode", "protocols.tfs.encode"): (
        *ours("models.version", "models.registry", "batching", "transport.service"),
        *("threading", "time", "socket", "concurrent"),
    ),
    ours("protocols.v2"): ours("protocols.tfs"),
    ours("protocols.tfs"): (*ours("protocols.v2"), "hotgraph_protos"),
    # REST is a protocol with a transport of its own; what it says of models it asks the gRPC services.
    ours("rest"): (
        *ours("graph", "execution.executor", "repository", "batching.queue", "batching.lane", "protocols.v2"),
        *("tensorflow", *SERVING),
    ),
    ours(
        *(f"rest.{name}" for name in ("paths", "json_text", "json_tensors", "json_predict", "gzip_coding"))
    ): (
        *ours("models.version", "models.registry", "batching", "transport", "protocols.tfs", "protocols.v2"),
        *("threading", "time", "socket", "concurrent", "asyncio"),
        *("tensorflow_serving", "starlette", "uvicorn"),
    ),
    # It writes messages, by what every protocol knows of their bytes.
    ours("rest.json_examples"): (
        *ours("models.version", "models.registry", "batching", "transport.service"),
        *ours("protocols.tfs", "protocols.v2", "protocols.submission"),
        *("threading", "time", "socket", "concurrent", "asyncio"),
        *("tensorflow_serving", "starlette", "uvicorn"),
    ),
    ours("rest.fair_queue"): ("threading", "time", "socket", "concurrent", "asyncio"),
    # The transport moves bytes; which protocols and models there are is none of its business.
    ours("transport"): (
        *ours(
            "batching",
            "execution.executor",
            "graph",
            "models.version",
            "models.registry",
            "repository",
            "protocols",
        ),
        *ours("signatures", "tensors", "statistics"),
        *("hotgraph_protos", "tensorflow", "numpy", *SERVING),
    ),
    ours("transport.service"): ("grpc",),
    # A protocol's rules need no socket, thread or clock.
    ours(*(f"transport.http2.{name}" for name in ("connection", "frames", "header_blocks", "messages"))): (
        *("socket", "select", "selectors", "ssl", "threading", "time", "concurrent"),
    ),
}


@pytest.mark.parametrize("who", FORBIDDEN, ids=lambda who: ",".join(who))
def test_nothing_is_imported_against_the_direction(who: tuple[str, ...]) -> None:
    checked = modules(*who)
    assert checked, "the module has moved; move its rule"
    wrong = {
        (module, name) for module in checked for name in imports_of(module) if inside(name, *FORBIDDEN[who])
    }
    assert not wrong


def test_tensorflow_is_imported_by_the_graph_alone_and_elsewhere_only_when_called() -> None:
    """Whoever imports a module of ours for anything else does not wait seconds for TensorFlow."""
    at_once = {
        module
        for module in SOURCES
        if any(inside(name, "tensorflow") for name in imports_of(module, at_module_level=True))
    }
    assert at_once
    assert all(inside(module, *ours("graph")) for module in at_once)
    messages = {
        module for module in SOURCES for name in imports_of(module) if inside(name, "tensorflow_serving")
    }
    assert messages
    assert all(inside(module, *TF_SERVING) for module in messages)


def test_nothing_leans_on_private_parts_of_grpc() -> None:
    private = {
        module
        for module in SOURCES
        for name in imports_of(module)
        if inside(name, "grpc") and any(part.startswith("_") for part in name.split(".")[1:])
    }
    assert not private


def test_only_the_modules_that_own_a_thread_start_one() -> None:
    """Threads have an owner; the rest is plain functions and locks."""
    owners = {
        module
        for module in modules("hotgraph_server")
        if "threading.Thread(" in SOURCES[module].read_text()
        or "ThreadPoolExecutor(" in SOURCES[module].read_text()
    }
    assert owners <= {
        "hotgraph_server.execution.executor",
        "hotgraph_server.execution.finisher",
        "hotgraph_server.models.response_cache",
        *modules("hotgraph_server.transport"),
        "hotgraph_server.observability.admin.server",
        *("hotgraph_server.rest.json_process_pool", "hotgraph_server.rest.json_process"),
        "hotgraph_server.rest.server",
        "hotgraph_server.commands.reloading",
        "hotgraph_server.commands.signals",
        *("hotgraph_server.state.snapshotter", "hotgraph_server.state.learnt"),
        *("hotgraph_server.threads.periodic", "hotgraph_server.threads.one_shot"),
        "hotgraph_server.observability.request_log.writer",
        "hotgraph_server.observability.tracing.writer",
    }


def test_nothing_reads_arguments_or_environment_when_it_is_imported() -> None:
    read = {
        (module, ast.unparse(node))
        for module in SOURCES
        for node in _statements(ast.parse(SOURCES[module].read_text()))
        if isinstance(node, ast.Attribute) and ast.unparse(node) in ("sys.argv", "os.environ", "os.getenv")
    }
    assert not read


def test_imports_that_run_at_once_are_told_from_those_that_run_later() -> None:
    lines = (
        *("import a", "if TYPE_CHECKING:", "    import b", "def f():", "    import c"),
        *("class K:", "    import d", "try:", "    import e", "finally:", "    pass"),
    )
    tree = ast.parse("\n".join(lines))
    names = [alias.name for node in _statements(tree) if isinstance(node, ast.Import) for alias in node.names]
    assert names == ["a", "d", "e"]
