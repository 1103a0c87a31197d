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
    *("server", "cli", "__main__", "serve_command", "inspect_command", "settings_file"),
    "tensorflow_model_server",
)

# Whoever may know TensorFlow Serving's messages.
TF_SERVING = ours("protocols.tfs", "rest.methods", "tensorflow_model_server", "request_log", "repository")

# Who -> what it may not import, neither at module level nor later.
FORBIDDEN: dict[tuple[str, ...], tuple[str, ...]] = {
    ("hotgraph_protos",): ("hotgraph_server", "hotgraph_client", "tensorflow", "tensorflow_serving", "grpc"),
    ("hotgraph_client",): ("hotgraph_server", "tensorflow", "tensorflow_serving", "ml_dtypes"),
    ("hotgraph_server",): ("hotgraph_client",),
    # Batches are made from calls and arrays; nothing here knows who sent them or who runs them.
    ours("batching"): (
        *ours("executor", "graph", "model", "registry", "repository", "protocols", "transport", "warmup"),
        *("grpc", "google", "hotgraph_protos", *SERVING),
    ),
    ours("signatures", "tensors", "errors", "settings", "statistics", "effects"): (
        *ours("batching", "executor", "graph", "model", "registry", "repository", "protocols", "transport"),
        *("hotgraph_protos", "google", *SERVING),
    ),
    # What is proven of a graph is told by its messages alone, to whoever wants to know.
    ours("row_independence"): (
        *ours("batching", "executor", "graph", "model", "registry", "repository", "protocols", "transport"),
        *("grpc", "google", "tensorflow", "threading", "time", "hotgraph_protos", *SERVING),
    ),
    # Of batching, a graph knows how inputs for a trial are made, and nothing of calls.
    ours("graph"): (
        *ours("batching.call", "batching.queue", "batching.lane", "batching.slot", "batching.joining"),
        *ours("executor", "model", "registry", "repository", "protocols", "transport"),
    ),
    ours("warmup", "brought", "plan", "planning"): ours(
        "graph", "executor", "model", "registry", "repository", "protocols", "transport"
    ),
    ours("executor"): (
        *ours("graph", "model", "registry", "repository", "protocols", "transport"),
        *("grpc", "hotgraph_protos", *SERVING),
    ),
    # Of models, sequences know a version's signature, and a queue that takes calls.
    ours("sequences"): (
        *ours("executor", "graph", "model", "registry", "repository", "protocols", "transport"),
        *ours("batching.queue", "batching.lane"),
        *("grpc", "google", "hotgraph_protos", *SERVING),
    ),
    # What is kept of variables knows values and files, and neither calls nor who runs them.
    ours("state"): (
        *ours("batching", "executor", "model", "registry", "repository", "protocols", "transport", "runner"),
        *("grpc", "google", "tensorflow", "hotgraph_protos", *SERVING),
    ),
    ours("state.ledger", "state.snapshot"): ("threading", "time", "os", "pathlib"),
    ours("model", "registry"): (
        *ours("graph", "repository", "protocols", "transport"),
        *("grpc", "hotgraph_protos", *SERVING),
    ),
    ours("response_cache", "response_key"): (
        *ours("executor", "graph", "model", "registry", "repository", "protocols", "transport"),
        *("grpc", "google", "hotgraph_protos", *SERVING),
    ),
    ours("shared_memory"): (
        *ours("batching", "executor", "graph", "model", "registry", "repository", "protocols", "transport"),
        *("grpc", "google", "hotgraph_protos", *SERVING),
    ),
    ours("repository"): (*ours("registry", "protocols", "transport"), "grpc", *SERVING),
    ours("text_files", "batching_parameters"): (
        *ours("batching", "executor", "graph", "model", "registry", "repository", "protocols", "transport"),
        *SERVING,
    ),
    # A model's configuration is translated, and completed from what a version knows of itself.
    ours("triton"): (
        *ours("batching", "executor", "graph", "registry", "repository", "protocols", "transport"),
        *("grpc", "tensorflow", "tensorflow_serving", "threading", "time", *SERVING),
    ),
    # What everybody may read of it is plain values.
    ours("triton.contract", "triton.sequence_rules", "triton.reshaping"): (
        *ours("model", "settings", "errors", "brought"),
        *("hotgraph_protos", "google"),
    ),
    # What writes calls down sees a service's face and its bytes.
    ours("request_log"): (
        *ours("batching", "executor", "graph", "model", "registry", "repository", "protocols.tfs"),
        *("grpc", "google", "tensorflow_serving", *SERVING),
    ),
    # What traces calls sees a service's face, bytes, and calls as a watcher of the figures does.
    ours("tracing"): (
        *ours("batching", "executor", "graph", "model", "repository", "protocols.v2", "protocols.tfs"),
        *("grpc", "tensorflow", *SERVING),
    ),
    ours("logs"): (*ours("model", "registry", "protocols", "transport", "batching"), "grpc", *SERVING),
    # What shows figures reads them, and takes no part in a call.
    ours("metrics", "tfs_metrics", "triton_metrics", "admin"): (
        *ours("batching", "executor", "graph", "protocols", "repository", "transport"),
        *("grpc", "google", "tensorflow", *SERVING),
    ),
    ours("admin.http", "admin.server"): ours("model", "registry", "metrics", "statistics", "signatures"),
    # A protocol sees the transport's face only, and codecs see nothing but values.
    ours("protocols"): (
        *ours("graph", "executor", "repository", "batching.queue", "batching.lane"),
        *("grpc", *SERVING),
    ),
    ours("protocols.v2.codec", "protocols.tfs.codec"): (
        *ours("model", "registry", "batching", "transport"),
        *("threading", "time", "socket", "concurrent"),
    ),
    ours("protocols.v2"): ours("protocols.tfs"),
    ours("protocols.tfs"): (*ours("protocols.v2"), "hotgraph_protos"),
    # REST is a protocol with a transport of its own; what it says of models it asks the gRPC services.
    ours("rest"): (
        *ours("graph", "executor", "repository", "batching.queue", "batching.lane", "protocols.v2"),
        *("tensorflow", *SERVING),
    ),
    ours(
        *(f"rest.{name}" for name in ("paths", "json_text", "json_tensors", "json_predict", "json_examples"))
    ): (
        *ours("model", "registry", "batching", "transport", "protocols"),
        *(
            "threading",
            "time",
            "socket",
            "concurrent",
            "asyncio",
            "tensorflow_serving",
            "starlette",
            "uvicorn",
        ),
    ),
    # The transport moves bytes; which protocols and models there are is none of its business.
    ours("transport"): (
        *ours("batching", "executor", "graph", "model", "registry", "repository", "protocols"),
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
        "hotgraph_server.batching.timer",
        "hotgraph_server.executor",
        "hotgraph_server.finisher",
        "hotgraph_server.response_cache",
        *modules("hotgraph_server.transport"),
        "hotgraph_server.admin.server",
        "hotgraph_server.rest.apart",
        "hotgraph_server.rest.server",
        "hotgraph_server.reloading",
        "hotgraph_server.signals",
        "hotgraph_server.sequences.timer",
        *("hotgraph_server.state.keeper", "hotgraph_server.state.learnt"),
        *("hotgraph_server.repository.watcher", "hotgraph_server.repository.threads"),
        "hotgraph_server.request_log.writer",
        "hotgraph_server.tracing.writer",
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
