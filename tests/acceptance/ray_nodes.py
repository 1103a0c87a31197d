"""Several nodes of Ray on this machine, on the loopback alone, in a process of their own.

``python -m tests.acceptance.ray_nodes N`` starts them, prints the cluster's address, and then obeys lines of
its
stdin: ``lose NODE_ID`` ends a node as if its machine were gone. At the end of stdin, however that comes
about, all of them end."""

from __future__ import annotations

import importlib.util
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

from hotgraph_server.fleet.local_ray import loopback
from hotgraph_server.threads.parent_death import end_with_parent

_MIB = 2**20
_END_S = 60.0
# Of each, as it tells Ray: room for one replica.
CPUS, MEMORY_MB = 1, 2000
OBJECT_STORE_BYTES = 100 * _MIB


def is_there() -> bool:
    """Is Ray installed?"""
    return importlib.util.find_spec("ray") is not None


class RayNodes:
    """A running cluster.

    Attributes:
        address: HOST:PORT.
        first: the node that the others cannot do without.
    """

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process
        self.address, self.first = self._line().split()

    def lose(self, node_id: str) -> None:
        """End a node; returns when its processes are gone."""
        assert self._process.stdin is not None
        self._process.stdin.write(f"lose {node_id}\n")
        self._process.stdin.flush()
        assert self._line() == "lost"

    def _line(self) -> str:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        assert line, f"Ray's nodes ended with status {self._process.wait(_END_S)}"
        return line.strip()


@contextmanager
def ray_nodes(count: int) -> Iterator[RayNodes]:
    """So many nodes; gone at the end."""
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.acceptance.ray_nodes", str(count)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        preexec_fn=partial(end_with_parent, signal.SIGTERM),
    )
    try:
        yield RayNodes(process)
    finally:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.close()
        try:
            process.wait(_END_S)
        finally:
            process.kill()
            process.wait()
            process.stdout.close()


def main(count: int) -> None:
    os.environ.update(loopback() | {"RAY_USAGE_STATS_ENABLED": "0", "RAY_AUTH_MODE": "disabled"})
    from ray.cluster_utils import Cluster

    node: dict[str, Any] = {
        **{"node_ip_address": "127.0.0.1", "num_cpus": CPUS, "memory": MEMORY_MB * _MIB},
        **{"object_store_memory": OBJECT_STORE_BYTES, "include_dashboard": False},
    }
    # Their processes end with this one, also where it is killed.
    cluster: Any = Cluster(initialize_head=True, head_node_args=node, shutdown_at_exit=True)
    nodes = {one.node_id: one for one in [cluster.head_node]}
    for _ in range(count - 1):
        added = cluster.add_node(**node)
        nodes[added.node_id] = added
    print(cluster.address, cluster.head_node.node_id, flush=True)
    for line in sys.stdin:
        cluster.remove_node(nodes.pop(line.split()[1]), allow_graceful=False)
        print("lost", flush=True)
    cluster.shutdown()


if __name__ == "__main__":
    main(int(sys.argv[1]))
