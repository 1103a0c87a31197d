"""Callables: what TensorFlow prepares once for a signature and a choice of outputs, and then only runs.

With ``inter_op_thread_pool = -1`` they execute in the calling thread: a small softmax at one row takes
10 us so, 42 us on TensorFlow's own pool, and several hundred through ``Session.run``. A callable also
takes shapes that ``feed_dict`` refuses, and refuses dtypes that it would silently cast.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
from tensorflow.core.protobuf import config_pb2

from hotgraph_server.signatures import Signature
from hotgraph_server.tensors import Array
from hotgraph_server.warmup.probing import Measured

# Callers may ask for any choice of outputs, and each has its callable, which takes TensorFlow some 50 ms.
MAX_CALLABLES = 256

_CALLER_THREAD = -1


class Key(NamedTuple):
    """Which callable.

    Attributes:
        signature: its name.
        outputs: aliases of the outputs wanted.
        scope: the name scope of the copy of the graph; empty: as saved.
        on_pool: on TensorFlow's threads and not on the caller's.
    """

    signature: str
    outputs: tuple[str, ...]
    scope: str
    on_pool: bool


class Callables:
    """Those of one session, the latest ones used."""

    def __init__(self, session: Any) -> None:
        self._session = session
        self._prepared: OrderedDict[Key, Prepared] = OrderedDict()

    def __len__(self) -> int:
        return len(self._prepared)

    def get(self, key: Key, signature: Signature) -> Prepared:
        """The callable, prepared now if it is not there; `signature` is that of the key."""
        prepared = self._prepared.get(key)
        if prepared is None:
            prepared = self._prepared[key] = Prepared(self._session, signature, key)
            if len(self._prepared) > MAX_CALLABLES:
                self._prepared.popitem(last=False)
        else:
            self._prepared.move_to_end(key)
        return prepared

    def find(self, key: Key) -> Prepared | None:
        """The callable if it is prepared."""
        return self._prepared.get(key)

    def keep_only(self, keys: set[Key]) -> None:
        """Let go of all others, and of what TensorFlow has prepared for them."""
        for key in self._prepared.keys() - keys:
            del self._prepared[key]


class Prepared:
    """A signature with a choice of outputs, ready to run.

    TensorFlow refuses to fetch what it is fed, so an output that is the very tensor of an input is
    answered from the input. Two aliases of one tensor are fetched once.
    """

    def __init__(self, session: Any, signature: Signature, key: Key, run_s: float = 0.0) -> None:
        """`run_s`: seconds after which TensorFlow ends a run, on its own threads; 0: it never does."""
        feeds = [spec.tensor for spec in signature.inputs]
        wanted = [signature.outputs_by_alias[alias] for alias in key.outputs]
        fetches = list(dict.fromkeys(spec.tensor for spec in wanted if spec.tensor not in feeds))
        # For each output: where it is found, among the inputs or among what the run gives.
        self._from_inputs = [feeds.index(spec.tensor) if spec.tensor in feeds else -1 for spec in wanted]
        self._from_run = [fetches.index(spec.tensor) if spec.tensor in fetches else -1 for spec in wanted]
        self._dtypes = [spec.dtype for spec in wanted]
        self._as_run = self._from_run == list(range(len(wanted)))
        self._run: Callable[..., Sequence[Any]] | None = None
        if fetches:
            options = config_pb2.CallableOptions(
                feed=[key.scope + name for name in feeds], fetch=[key.scope + name for name in fetches]
            )
            if not key.on_pool:
                options.run_options.inter_op_thread_pool = _CALLER_THREAD
            if run_s:
                assert key.on_pool, "what runs in the caller's thread cannot be ended by it"
                options.run_options.timeout_in_ms = max(int(run_s * 1e3), 1)
                # So much of a trace that it tells what was allocated.
                options.run_options.trace_level = config_pb2.RunOptions.SOFTWARE_TRACE
            self._run = session._make_callable_from_options(options)

    def __call__(self, inputs: Sequence[Array]) -> list[Array]:
        """Run; raises TensorFlow's OpError."""
        return self._answers(inputs, self._run(*inputs) if self._run is not None else ())

    def measure(self, inputs: Sequence[Array]) -> Measured:
        """The same of one that was made with `run_s`; tells what its ops allocated."""
        if self._run is None:
            return Measured(self._answers(inputs, ()), 0)
        metadata = config_pb2.RunMetadata()
        results = self._run(*inputs, run_metadata=metadata)
        allocated = sum(
            memory.total_bytes
            for device in metadata.step_stats.dev_stats
            for node in device.node_stats
            for memory in node.memory
        )
        return Measured(self._answers(inputs, results), allocated)

    def _answers(self, inputs: Sequence[Array], results: Sequence[Any]) -> list[Array]:
        if self._as_run:
            return [
                value if isinstance(value, np.ndarray) else np.array(value, dtype)
                for value, dtype in zip(results, self._dtypes, strict=True)
            ]
        return [
            inputs[source] if source >= 0 else _as_array(results[index], dtype)
            for source, index, dtype in zip(self._from_inputs, self._from_run, self._dtypes, strict=True)
        ]


def _as_array(value: Any, dtype: np.dtype[Any]) -> Array:
    """Scalars come out of TensorFlow as numpy scalars or bytes."""
    return value if isinstance(value, np.ndarray) else np.array(value, dtype)
