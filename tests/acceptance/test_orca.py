"""Load reports, as gRPC's own balancer reads them: calls go to the server that has less to do.

That Envoy reads the same is shown where Envoy is (unequal_servers.py is for it as well)."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import grpc
import pytest

from hotgraph_protos import orca as pb

from .unequal_servers import Servers, Shares, kept_busy, shares, unequal_servers

# Nine to one, as the servers are; what is asked for leaves room for whatever else a machine of tests does.
LEAST = 4.0
PATIENCE_S = 30.0
STREAM = "/xds.service.orca.v3.OpenRcaService/StreamCoreMetrics"


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Servers]:
    with unequal_servers(tmp_path_factory.mktemp("unequal"), "--load-reports", "always") as servers:
        yield servers


def balanced(servers: Servers, *, out_of_band: bool) -> grpc.Channel:
    """A channel to both that weighs them by their reports; the first second it does not."""
    policy = {
        "enableOobLoadReport": out_of_band,
        "oobReportingPeriod": "1s",
        "blackoutPeriod": "1s",
        "weightUpdatePeriod": "0.5s",
    }
    config = json.dumps({"loadBalancingConfig": [{"weighted_round_robin": policy}]})
    target = f"ipv4:{servers.slow},{servers.fast}"
    options = [("grpc.service_config", config), ("grpc.use_local_subchannel_pool", 1)]
    return grpc.insecure_channel(target, options)


@pytest.fixture
def told(capsys: pytest.CaptureFixture[str], request: pytest.FixtureRequest) -> Callable[[Shares], float]:
    """Prints what was counted, whatever is captured, and returns the ratio."""

    def tell(found: Shares) -> float:
        with capsys.disabled():
            print(f"\n{request.node.name}: {found.fast}:{found.slow}, {found.ratio:.1f} to 1")
        return found.ratio

    return tell


def report_of(address: str) -> Any:
    with grpc.insecure_channel(address) as channel:
        stream: Any = channel.unary_stream(STREAM)
        reports = stream(b"", timeout=PATIENCE_S)
        report = pb.OrcaLoadReport.FromString(next(reports))
        reports.cancel()
    return report


def test_reports_with_the_answers_send_nine_of_ten_calls_to_the_faster_server(
    servers: Servers, told: Callable[[Shares], float]
) -> None:
    with balanced(servers, out_of_band=False) as channel:
        assert told(shares(channel, until_s=6.0, warm_up_s=2.0)) >= LEAST


@pytest.mark.slow
def test_reports_beside_the_calls_do_too(servers: Servers, told: Callable[[Shares], float]) -> None:
    with balanced(servers, out_of_band=True) as channel:
        assert told(shares(channel, until_s=10.0, warm_up_s=4.0)) >= LEAST


@pytest.mark.slow
@pytest.mark.parametrize("out_of_band", [False, True], ids=["with the answers", "beside the calls"])
def test_calls_leave_a_server_that_others_keep_busy(
    servers: Servers, told: Callable[[Shares], float], out_of_band: bool
) -> None:
    with kept_busy(servers.slow), balanced(servers, out_of_band=out_of_band) as channel:
        ratio = told(shares(channel, until_s=10.0, warm_up_s=4.0))
        busy, idle = report_of(servers.slow), report_of(servers.fast)
    assert ratio >= LEAST
    assert busy.application_utilization > idle.application_utilization
