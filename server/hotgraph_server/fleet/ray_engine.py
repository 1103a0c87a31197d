"""Replicas as actors of Ray, each of which keeps one server as its child (server_process.py).

An actor has a name, is there whether or not a driver is, and is begun anew by Ray as often as it ends
(`max_restarts=-1`), elsewhere where its node is gone. Its server then has no models: what it shall have is
loaded by the driver, which looks at what is there and knows nothing else. No call of the driver's is tried
again by Ray (`max_task_retries=0`): each is of one look, and the next look may want something else.

Each replica is put on the node that has the fewest, where there is room. A placement group would have to be
as large as the fleet can become at its beginning, since none can grow, and would hold processors for replicas
that are not there; so each replica holds its own processors and memory, and nothing more.

Nothing of a call goes through Ray.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from hotgraph_server.errors import FleetError, ReplicaGone
from hotgraph_server.fleet.endpoints import ENVOY, are_written
from hotgraph_server.fleet.loading import parameters_of
from hotgraph_server.fleet.observed import NodeSeen, ReplicaSeen, ReplicaState
from hotgraph_server.fleet.ray_cluster import namespace
from hotgraph_server.fleet.server_process import LOAD_S, ServerProcess, ServerSpec
from hotgraph_server.fleet.spec import FleetSpec
from hotgraph_server.fleet.spreading import Spreading

NODE = "node"

_PREFIX = "replica-"
_LOOK_S = 0.5
# The first of a driver: what answers later is taken for one that starts.
_FIRST_LOOK_S = 5.0
_CALL_S = 10.0
# An actor tells of itself within milliseconds, unless its machine is gone, or nearly.
_SILENT_S = 5.0
# Threads of an actor: one loads, others tell of it, drain and stop meanwhile.
_THREADS = 8
_MIB = 2**20


class Replica:
    """The actor."""

    def __init__(self, replica_id: str, spec: ServerSpec) -> None:
        import ray

        # Only some of its functions have types.
        util: Any = ray.util
        self._replica_id = replica_id
        self._node_id = ray.get_runtime_context().get_node_id()
        host = str(util.get_node_ip_address()) if spec.host == NODE else spec.host
        self._process = ServerProcess(replace(spec, host=host))
        self._process.start()

    def report(self) -> ReplicaSeen:
        return self._process.report(self._replica_id, self._node_id)

    def pid(self) -> int:
        return os.getpid()

    def load(self, model: str, parameters: Mapping[str, str]) -> None:
        self._process.load(model, parameters)

    def unload(self, model: str) -> None:
        self._process.unload(model)

    def drain(self) -> None:
        self._process.drain()

    def stop(self) -> None:
        self._process.stop()


class RayEngine:
    """See engine.Engine. Needs a cluster that is joined.

    `nodes` and `replicas` are called by one thread, all else by any.

    Args:
        ray: the module.
    """

    def __init__(self, ray: Any, spec: FleetSpec, server: ServerSpec | None = None) -> None:
        self._ray = ray
        self._spec = spec
        self._server = server or server_spec(spec)
        # Of the looking thread: actors, reports that have not come yet, and the last that have.
        self._handles: dict[str, Any] = {}
        self._asked: dict[str, tuple[Any, float]] = {}
        self._seen: dict[str, ReplicaSeen] = {}
        self._look_s = _FIRST_LOOK_S
        self._spreading = Spreading(spec.replicas)

    def nodes(self) -> list[NodeSeen]:
        return [
            NodeSeen(
                node["NodeID"],
                node["NodeManagerAddress"],
                float(node["Resources"].get("CPU", 0.0)),
                float(node["Resources"].get("memory", 0.0)) / _MIB,
                float(node["Resources"].get("GPU", 0.0)),
                bool(node["Alive"]),
            )
            for node in self._ray.nodes()
        ]

    def replicas(self) -> list[ReplicaSeen]:
        names = self._names()
        self._seen = {name: seen for name, seen in self._seen.items() if name in names}
        self._asked = {name: asked for name, asked in self._asked.items() if name in names}
        self._handles = {name: handle for name, handle in self._handles.items() if name in names}
        for name in names:
            if name in self._asked:
                continue
            handle = self._handles.get(name) or self._handle(name)
            if handle is not None:
                self._handles[name] = handle
                self._asked[name] = handle.report.remote(), time.monotonic()
        if self._asked:
            asked = [one for one, _ in self._asked.values()]
            timeout_s, self._look_s = self._look_s, _LOOK_S
            self._ray.wait(asked, num_returns=len(asked), timeout=timeout_s, fetch_local=True)
        return [self._look_at(name) for name in names]

    def start(self, replica_id: str) -> None:
        replicas = self._spec.replicas
        strategy = self._strategy(replica_id)
        self._ray.remote(Replica).options(
            name=_PREFIX + replica_id,
            namespace=namespace(self._spec),
            get_if_exists=True,
            lifetime="detached",
            max_restarts=-1,
            max_task_retries=0,
            max_concurrency=_THREADS,
            num_cpus=replicas.cpus,
            num_gpus=replicas.gpus,
            memory=replicas.memory_mb * _MIB,
            scheduling_strategy=strategy,
        ).remote(replica_id, self._server)

    def drain(self, replica_id: str) -> None:
        self._call(replica_id, "drain", _CALL_S)

    def stop(self, replica_id: str) -> None:
        self._spreading.forget(replica_id)
        handle = self._handle(replica_id)
        if handle is None:
            return
        # Ray would kill the actor, and the system then ask the server to end in its own time.
        with contextlib.suppress(self._ray.exceptions.RayError):
            self._ray.get(handle.stop.remote(), timeout=_CALL_S)
        self._ray.kill(handle, no_restart=True)

    def load(
        self,
        replica_id: str,
        model: str,
        versions: tuple[int, ...] = (),
        parameters: Mapping[str, str] | None = None,
    ) -> None:
        """See Engine; `parameters` are further ones of the request to load."""
        asked = parameters_of(versions, self._spec.rollout)
        self._call(replica_id, "load", LOAD_S, model, {**asked, **(parameters or {})})

    def unload(self, replica_id: str, model: str) -> None:
        self._call(replica_id, "unload", LOAD_S, model)

    def _call(self, replica_id: str, method: str, timeout_s: float, *arguments: object) -> None:
        exceptions = self._ray.exceptions
        handle = self._handle(replica_id)
        if handle is None:
            raise ReplicaGone(f"replica {replica_id} is not there")
        try:
            self._ray.get(getattr(handle, method).remote(*arguments), timeout=timeout_s)
        except exceptions.GetTimeoutError:
            raise FleetError(f"replica {replica_id} has not answered for {timeout_s:g} s") from None
        except exceptions.RayTaskError as error:
            if isinstance(error.cause, ReplicaGone):
                raise ReplicaGone(str(error.cause)) from None
            if isinstance(error.cause, FleetError):
                raise FleetError(str(error.cause)) from None
            raise FleetError(f"replica {replica_id}: {error.cause!r}") from error
        except exceptions.RayError:
            raise ReplicaGone(f"replica {replica_id} ended meanwhile") from None

    def _look_at(self, name: str) -> ReplicaSeen:
        before = self._seen.get(name)
        asked = self._asked.get(name)
        # Never heard of: Ray has not begun it, or looks for a place.
        found = before or ReplicaSeen(name, ReplicaState.STARTING)
        if asked is None:
            return found
        report, since_s = asked
        if self._ray.wait([report], timeout=0)[0]:
            del self._asked[name]
            try:
                found = self._ray.get(report)
            except self._ray.exceptions.RayError:
                # It ends, or Ray begins it anew; or it is another one of that name.
                self._handles.pop(name, None)
                found = _lost(found)
        elif before is not None and time.monotonic() - since_s > _SILENT_S:
            found = _lost(found)
        self._seen[name] = found
        if found.node_id:
            self._spreading.forget(name)
        return found

    def _strategy(self, replica_id: str) -> Any:
        """The node with the fewest replicas that has room for one more; any where none has."""
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        # A copy: the looking thread changes it meanwhile.
        chosen = self._spreading.choose(replica_id, self.nodes(), list(self._seen.values()))
        if chosen is None:
            return "SPREAD"
        return NodeAffinitySchedulingStrategy(chosen, soft=True, _spill_on_unavailable=True)

    def _names(self) -> list[str]:
        from ray.util import list_named_actors

        mine = namespace(self._spec)
        return sorted(
            one["name"].removeprefix(_PREFIX)
            for one in list_named_actors(all_namespaces=True)
            if one["namespace"] == mine and one["name"].startswith(_PREFIX)
        )

    def _handle(self, replica_id: str) -> Any:
        try:
            return self._ray.get_actor(_PREFIX + replica_id, namespace=namespace(self._spec))
        except ValueError:
            return None


def server_spec(spec: FleetSpec) -> ServerSpec:
    """The server of each replica. It sends calls for models that it has not to those that have them, by the
    fleet's own file, unless the settings name another one, or have TLS, with which that does not go."""
    settings = dict(spec.replicas.settings)
    if are_written(spec) and "tls_cert" not in settings:
        settings.setdefault("peers_file", str(spec.state.resolve() / ENVOY))
    return ServerSpec(spec.host, str(spec.repository.resolve()), settings, int(spec.replicas.cpus))


def _lost(replica: ReplicaSeen) -> ReplicaSeen:
    return ReplicaSeen(
        replica.replica_id, ReplicaState.LOST, node_id=replica.node_id, restarts=replica.restarts
    )
