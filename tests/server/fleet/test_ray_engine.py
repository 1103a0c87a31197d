from __future__ import annotations

from pathlib import Path

import pytest

from hotgraph_server.fleet.ray_engine import server_spec
from hotgraph_server.fleet.spec import FleetSpec, ReplicaSpec


def spec(folder: Path, endpoints: str = "files", **settings: object) -> FleetSpec:
    replicas = ReplicaSpec(cpus=2.5, settings=dict(settings))
    return FleetSpec("a", folder / "m", folder / "s", endpoints=endpoints, replicas=replicas)


def test_servers_send_calls_on_by_the_file_that_the_driver_writes(tmp_path: Path) -> None:
    made = server_spec(spec(tmp_path, max_batch_rows=8))
    assert made.settings == {"max_batch_rows": 8, "peers_file": str(tmp_path / "s" / "endpoints.json")}
    assert (made.host, made.repository, made.cores) == ("node", str(tmp_path / "m"), 2)


@pytest.mark.parametrize(
    ("endpoints", "settings"),
    [("none", {}), ("files", {"tls_cert": "cert.pem"}), ("files", {"peers_file": "mine"})],
)
def test_settings_of_the_file_stay_where_the_fleets_own_would_not_do(
    endpoints: str, settings: dict[str, object], tmp_path: Path
) -> None:
    assert server_spec(spec(tmp_path, endpoints, **settings)).settings == settings
