"""Texts: JSON of REST, what it is zipped with, its paths, and the files that servers are set up by."""

from __future__ import annotations

import contextlib
import copy
import gzip
import json
import random
import tempfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from tensorflow_serving.config.model_server_config_pb2 import ModelServerConfig

from fuzzing import rest_cases
from fuzzing.targets import Target
from hotgraph_protos.tensorflow_serving_files import BatchingParameters
from hotgraph_server import text_proto
from hotgraph_server.access import rules
from hotgraph_server.errors import CallError, SettingsError
from hotgraph_server.model_config import config_file
from hotgraph_server.rest.json import text as json_text
from hotgraph_server.rest.tfs import examples, paths, predict
from hotgraph_server.rest.v2 import management
from hotgraph_server.rest.v2 import paths as v2_paths
from hotgraph_server.settings import file
from hotgraph_server.signatures import Signature, TensorSpec
from hotgraph_server.tensors import STRING
from hotgraph_server.transport.http1 import codings

_MAX_BYTES = 100_000


def _signature(name: str, **dtypes: Any) -> Signature:
    specs = tuple(TensorSpec(alias, f"{alias}:0", np.dtype(dtype), None) for alias, dtype in dtypes.items())
    return Signature(name, specs, specs)


_SIGNATURES = {
    one.name: one
    for one in (
        _signature("serving_default", x=np.float32),
        _signature("two", a=np.float32, b=np.int32),
        _signature("text", text=STRING),
        _signature("flags", flag=np.bool_, n=np.uint8, h=np.float16),
    )
}
_CONFIG = """
name: "m"  # a comment
max_batch_size: 8
input { name: "x" data_type: TYPE_FP32 dims: [ -1, 3 ] }
instance_group [ { kind: KIND_CPU, count: 2 } ]
parameters { key: "k" value: { string_value: 'it\\'s \\x41\\101' } }
dynamic_batching < preferred_batch_size: [4, 8] max_queue_delay_microseconds: 100; >
"""
_SERVING = 'model_config_list { config { name: "m" base_path: "/m" model_version_policy { all {} } } }'
_BATCHING = "max_batch_size { value: 32 }\nallowed_batch_sizes: 32\n"
_TOML = 'port = 0\nmax_batch_rows = 8\nimports = ["m"]\n[models.m]\nmax_wait_us = 5\n[models.m.dims]\nx = 3\n'
_RULES = '[keys.k]\nhash = "sha256:%s"\nallow = ["inference"]\n' % ("0" * 64)


def _json() -> Target:
    bodies = [
        {"signature_name": "two", "inputs": {"a": [[0.5, 1]], "b": [[1, 2]]}},
        {"signature_name": "two", "instances": [{"a": 1, "b": 2}, {"a": 3.5, "b": 4}]},
        {"instances": [[1.0, 2.0], [3, 4e2]]},
        {"signature_name": "text", "instances": ["é", {"b64": "AGI="}]},
        {"signature_name": "flags", "inputs": {"flag": [True], "n": [255], "h": [1e-3]}},
        {"context": {"c": [1]}, "examples": [{"x": [1.5, 2.5], "n": 1, "t": "é"}, {"b": {"b64": "AGI="}}]},
    ]
    seeds = [json.dumps(body).encode() for body in bodies]
    seeds += [json.dumps(body, ensure_ascii=False).encode() for body in bodies]
    return Target(_run_json, [*seeds, b'{"instances": [NaN, -Infinity, "\\"Inf\\\\"]}'], change=_change_json)


def _change_json(data: bytes, chance: random.Random) -> bytes:
    try:
        value = json.loads(data)
    except (ValueError, RecursionError):
        value = copy.deepcopy(chance.choice(rest_cases.REQUESTS).body)
    return rest_cases.text_of(rest_cases.changed(value, chance))


def _run_json(data: bytes) -> None:
    with contextlib.suppress(CallError):
        request = predict.read_request(data, _SIGNATURES)
        if request.inputs is not None:
            signature = _SIGNATURES[request.signature]
            for spec, array in zip(signature.inputs, request.inputs, strict=True):
                assert array.dtype == spec.dtype
            with contextlib.suppress(CallError):
                # An answer is JSON, by a reader that is another's.
                json.loads(
                    predict.write_outputs(
                        [spec.alias for spec in signature.inputs], request.inputs, rows=request.rows
                    )
                )
    with contextlib.suppress(CallError):
        examples.read_request(data)
    try:
        value = json_text.read(data)
    except CallError as error:
        text = str(error)
        assert len(text) < 1000
    else:
        json_text.shown(value)


def _gzip() -> Target:
    one = gzip.compress(b'{"inputs": 1}', mtime=0)
    zipped = [one, one * 3, gzip.compress(bytes(50_000), mtime=0)]
    return Target(_run_gzip, [*zipped, zlib.compress(b'{"inputs": 1}')])


def _run_gzip(data: bytes) -> None:
    for coding, unzip in (("gzip", gzip.decompress), ("deflate", zlib.decompress)):
        held: list[int] = []
        with contextlib.suppress(CallError):
            whole = codings.unpacked(data, coding, _MAX_BYTES, held.append)
            assert sum(held) <= _MAX_BYTES
            assert whole is None or (sum(held) == len(whole) and unzip(data) == whole)


def _paths() -> Target:
    seeds = [f"{one.method} {one.path}".encode() for one in rest_cases.REQUESTS]
    return Target(
        _run_paths, [*seeds, b"GET /v1/models/%67/labels/a%2fb", b"POST /v1/models/m/versions/7:predict"]
    )


def _run_paths(data: bytes) -> None:
    method, _, path = data.decode("latin-1").partition(" ")
    with contextlib.suppress(CallError):
        target = paths.read_path(method, path)
        assert target.number is None or 0 <= target.number < 2**63


def _v2() -> Target:
    said = [
        *("GET /v2/models/%6d/versions/07/ready\n", "POST /v2/models/a%2fb/infer\n", "GET /v2//models/\n"),
        'POST /v2/repository/models/m/load\n{"parameters": {"config": "{}", "file:1/a": "AGI="}}',
        'POST /v2/repository/r/models/m/unload\n{"parameters": {"unload_dependents": true, "n": 1}}',
        'POST /v2/repository/index\n{"ready": true}',
        'POST /v2/systemsharedmemory/region/r/register\n{"key": "/k", "offset": 0, "byte_size": 64}',
        'POST /v2/cudasharedmemory/region/r/register\n{"raw_handle": {"b64": ""}, "device_id": 0}',
        'POST /v2/models/m/trace/setting\n{"trace_level": ["OFF"], "trace_rate": "1", "trace_count": null}',
        'POST /v2/logging\n{"log_info": true, "log_verbose_level": 1, "log_format": "default"}',
    ]
    return Target(_run_v2, [one.encode() for one in said])


def _run_v2(data: bytes) -> None:
    line, _, body = data.partition(b"\n")
    method, _, path = line.decode("latin-1").partition(" ")
    try:
        target = v2_paths.read_path(method, path)
        if target.what in management.TABLE:
            management.TABLE[target.what].request(target, body).SerializeToString()
    except CallError as error:
        text = str(error)
        assert len(text) < 2000


def _configs() -> Target:
    texts = (_CONFIG, _SERVING, _BATCHING)
    seeds = [bytes((which,)) + text.encode() for which, text in enumerate(texts)]
    as_json = b'\x03{"name": "m", "maxBatchSize": "8", "input": [{"dims": [-1], "data_type": "TYPE_FP32"}]}'
    return Target(_run_configs, [*seeds, as_json])


def _run_configs(data: bytes) -> None:
    readers: tuple[Callable[[str], object], ...] = (
        lambda text: config_file.parse(text, "w"),
        lambda text: text_proto.parse(text, ModelServerConfig, "w"),
        lambda text: text_proto.parse(text, BatchingParameters, "w"),
        lambda text: config_file.from_json(text, "w"),
    )
    with contextlib.suppress(SettingsError):
        readers[data[0] % len(readers) if data else 0](text_proto.decoded(data[1:], "w"))


def _settings() -> Target:
    # They are read from files alone.
    path = Path(tempfile.mkstemp(prefix="hotgraph-fuzz-", suffix=".toml")[1])

    def run(data: bytes) -> None:
        path.write_bytes(data)
        with contextlib.suppress(SettingsError):
            file.read_settings_file(path)
        with contextlib.suppress(SettingsError):
            rules.read_rules(path)

    return Target(run, [_TOML.encode(), _RULES.encode()])


TARGETS = {
    "json": _json,
    "gzip": _gzip,
    "paths": _paths,
    "v2": _v2,
    "configs": _configs,
    "settings": _settings,
}
