"""What large models cost in memory. Started by scripts/bench/memory --large."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import grpc
from tensorflow_serving.apis import predict_pb2, prediction_service_pb2_grpc

from bench import environment
from bench.processes import Launch, Server

_START_S = 180.0
_CALL_S = 120.0
_MODEL = "large"
_WIDTH = 100
_MB = 1_000_000
_CHOICES = 8
_SMALL = "small"


def measure_large_models() -> dict[str, Any]:
    """Serve each model in a server of its own, and look at its memory; bytes, those of a server of a small
    model taken off."""
    figures: dict[str, Any] = {
        "started": time.strftime("%Y-%m-%d %H:%M", time.gmtime()),
        "machine": environment.machine(),
        "versions": environment.versions_in(Path(sys.executable), ["tensorflow", "numpy", "protobuf"]),
        "revision": environment.revision(),
        "models": [],
    }
    with tempfile.TemporaryDirectory(prefix="hotgraph-large-") as folder:
        bare = _measure(Path(folder), _SMALL)["loaded_bytes"]
        for name in _MODELS:
            if name != _SMALL:
                print(f"memory: {name}", file=sys.stderr, flush=True)
                found = _measure(Path(folder), name)
                for key in ("peak_bytes", "loaded_bytes", "chosen_bytes"):
                    found[key] -= bare
                figures["models"].append({"model": name, **found})
    return figures


def _measure(folder: Path, name: str) -> dict[str, int]:
    """Size of the SavedModel, and the server's resident memory: the most while it loads, after that, and
    after every choice of one output (at most so many of each signature) has been called."""
    directory = folder / "model" / "1"
    # By another process: TensorFlow takes all of the memory that it finds, and keeps it.
    words = [sys.executable, "-m", "bench.large_models", str(directory), name]
    subprocess.run(words, check=True, cwd=Path(__file__).parents[1], capture_output=True)
    size = sum(file.stat().st_size for file in directory.rglob("*") if file.is_file())
    words = [sys.executable, "-m", "hotgraph_server", "serve", "--port", "0", "--admin-port", "0"]
    words += ["--rest-port", "0", f"{_MODEL}={directory.parent}"]
    server = Server(Launch(words, {}), folder / "server.log")
    try:
        address = server.wait_for_line("serving on ", _START_S)
        peak, loaded = server.peak_bytes(), server.resident_bytes()
        for signature, outputs in _MODELS[name][1].items():
            for output in outputs[:_CHOICES]:
                _call(address, signature, output)
        return {
            "size_bytes": size,
            "peak_bytes": peak,
            "loaded_bytes": loaded,
            "chosen_bytes": server.resident_bytes(),
        }
    finally:
        server.stop()
        shutil.rmtree(directory)


def _call(address: str, signature: str, output: str) -> None:
    request = predict_pb2.PredictRequest(output_filter=[output])
    request.model_spec.name, request.model_spec.signature_name = _MODEL, signature
    looks_up = signature in _LOOK_UPS
    request.inputs["x"].dtype = 3 if looks_up else 1
    for size in (1, _WIDTH):
        request.inputs["x"].tensor_shape.dim.add(size=size)
    values = request.inputs["x"].int_val if looks_up else request.inputs["x"].float_val
    values.extend([1] * _WIDTH)
    with grpc.insecure_channel(address) as channel:
        prediction_service_pb2_grpc.PredictionServiceStub(channel).Predict(request, timeout=_CALL_S)


_LOOK_UPS = ("sums", "means", "least", "most")
_PAIR = ("raw", "squared")
_SERVING = "serving_default"


def _large_constant(columns: int = 400 * _MB // _WIDTH // 4) -> tuple[list[Any], dict[str, Any]]:
    """A product with a constant in the graph; each output is a column of it."""
    import numpy as np
    import tensorflow as tf

    value = np.random.default_rng(0).random((_WIDTH, columns), dtype=np.float32)

    def run(x: tf.Tensor) -> dict[str, tf.Tensor]:
        y = x @ tf.constant(value)
        return {f"y{index}": y[:, index] for index in range(_CHOICES)}

    return [], {_SERVING: tf.function(run, input_signature=[tf.TensorSpec([None, _WIDTH], name="x")])}


def _many_variables() -> tuple[list[Any], dict[str, Any]]:
    """Twenty products with a variable each; each output is the sum of one."""
    import numpy as np
    import tensorflow as tf

    rng = np.random.default_rng(0)
    shape = (_WIDTH, 60 * _MB // _WIDTH // 4)
    variables = [tf.Variable(rng.random(shape, dtype=np.float32)) for _ in range(20)]

    def run(x: tf.Tensor) -> dict[str, tf.Tensor]:
        return {f"y{index}": tf.reduce_sum(x @ one, 1) for index, one in enumerate(variables)}

    return variables, {_SERVING: tf.function(run, input_signature=[tf.TensorSpec([None, _WIDTH], name="x")])}


def _shared_embedding() -> tuple[list[Any], dict[str, Any]]:
    """Four signatures that look rows up in one variable."""
    import numpy as np
    import tensorflow as tf

    rows = np.random.default_rng(0).random((60 * _MB // 64 // 4, 64), dtype=np.float32)
    embedding = tf.Variable(rows)
    reductions = dict(
        zip(_LOOK_UPS, (tf.reduce_sum, tf.reduce_mean, tf.reduce_min, tf.reduce_max), strict=True)
    )

    def signature(reduction: Callable[..., Any]) -> Any:
        def run(x: tf.Tensor) -> dict[str, tf.Tensor]:
            y = reduction(tf.gather(embedding, x), 1)
            return dict(zip(_PAIR, (y, y * y), strict=True))

        return tf.function(run, input_signature=[tf.TensorSpec([None, _WIDTH], tf.int32, name="x")])

    return [embedding], {name: signature(reduction) for name, reduction in reductions.items()}


_COLUMNS = tuple(f"y{index}" for index in range(_CHOICES))
_MODELS: Mapping[
    str, tuple[Callable[[], tuple[list[Any], dict[str, Any]]], Mapping[str, tuple[str, ...]]]
] = {
    _SMALL: (lambda: _large_constant(_CHOICES), {_SERVING: _COLUMNS}),
    "a constant of 400 MB": (_large_constant, {_SERVING: _COLUMNS}),
    "20 variables of 60 MB": (_many_variables, {_SERVING: _COLUMNS}),
    "four signatures, one embedding of 60 MB": (_shared_embedding, dict.fromkeys(_LOOK_UPS, _PAIR)),
}
"""How each is made, and the outputs that are chosen, by signature."""


def _build(directory: Path, name: str) -> None:
    import tensorflow as tf

    module = tf.Module()
    module.tracked, signatures = _MODELS[name][0]()
    tf.saved_model.save(module, str(directory), signatures=signatures)


if __name__ == "__main__":
    _build(Path(sys.argv[1]), sys.argv[2])
