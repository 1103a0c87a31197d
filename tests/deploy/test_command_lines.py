"""What manifests tell the server, read by the server's own parser; and their numbers beside it."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from hotgraph_server.settings import ServerSettings

from .manifests import ROOT
from .pods import END_S, PODS, Pod, istio_drain_s, linkerd_wait_s, settings_of

# What the container names and what a setting opens; KServe knows its first port by another name.
OPENED: dict[str, Callable[[ServerSettings], int]] = {
    "grpc": lambda settings: settings.listen.port,
    "http": lambda settings: settings.rest.rest_port,
    "http1": lambda settings: settings.rest.rest_port,
    "admin": lambda settings: settings.admin.admin_port,
}
DOCKERFILE = ROOT / "Dockerfile"
MIB = {"Mi": 1, "Gi": 1024}


@pytest.fixture(params=PODS)
def pod(request: pytest.FixtureRequest) -> Pod:
    return PODS[request.param]()


@pytest.fixture
def settings(pod: Pod) -> ServerSettings:
    return pod.settings


def test_a_flag_that_does_not_exist_is_found() -> None:
    with pytest.raises(SystemExit):
        settings_of(["--no-such-flag=1"])


def test_each_port_that_is_named_is_opened(pod: Pod, settings: ServerSettings) -> None:
    opened: dict[str, Callable[[ServerSettings], int]] = {**OPENED, "health": lambda _: pod.health_port}
    assert {"grpc"} < pod.ports.keys()
    assert pod.ports == {name: opened[name](settings) for name in pod.ports}
    numbers = [settings.listen.port, settings.rest.rest_port, settings.admin.admin_port, pod.health_port]
    assert len(set(numbers)) == len(numbers)


def test_it_listens_where_others_can_call(settings: ServerSettings) -> None:
    assert settings.listen.host == "0.0.0.0"


def test_probes_ask_for_health_in_the_clear(pod: Pod) -> None:
    asked = {name: (probe["grpc"]["port"], probe["grpc"]["service"]) for name, probe in pod.probes.items()}
    port = pod.health_port
    assert asked == {
        "startup": (port, "readiness"),
        "readiness": (port, "readiness"),
        "liveness": (port, "liveness"),
    }


def test_a_slow_start_and_a_stutter_kill_no_pod(pod: Pod) -> None:
    startup, liveness = pod.probes["startup"], pod.probes["liveness"]
    assert startup["periodSeconds"] * startup["failureThreshold"] >= 300
    assert liveness["periodSeconds"] * liveness["failureThreshold"] >= 60


def test_the_grace_period_holds_the_whole_drain(pod: Pod, settings: ServerSettings) -> None:
    """docs/kubernetes.md has the rule; the server's own part of it is `drain_s`."""
    assert pod.pre_stop_s >= 5
    assert pod.grace_s >= pod.pre_stop_s + settings.listen.drain_s + END_S


def test_sidecars_stay_as_long_as_calls_may_be_under_way() -> None:
    for name, stays_s in (("istio", istio_drain_s), ("linkerd", linkerd_wait_s)):
        pod = PODS[name]()
        assert pod.pre_stop_s + pod.settings.listen.drain_s <= stays_s(pod) < pod.grace_s


def test_kserve_tells_prometheus_the_admin_port() -> None:
    pod = PODS["kserve"]()
    assert pod.annotations["prometheus.kserve.io/port"] == str(pod.settings.admin.admin_port)


def test_kserve_serves_the_model_under_its_own_name() -> None:
    (model,) = PODS["kserve"]().settings.models
    assert (model.name, str(model.path)) == ("flowers", "/mnt/models")


def test_kserve_has_http_first_and_grpc_in_the_name_of_the_other() -> None:
    """KServe's Service has the first port as 80, and speaks HTTP/2 to what is called so."""
    first, second = PODS["kserve"]().container["ports"]
    assert (first["name"], "grpc" in second["name"]) == ("http1", True)


def test_threads_and_messages_fit_into_what_is_asked_for(pod: Pod) -> None:
    resources = pod.container["resources"]
    flags = dict(word.split("=", 1) for word in pod.words if word.startswith("--"))
    assert flags["--intra-op-threads"] == resources["requests"]["cpu"]
    memory = resources["limits"]["memory"]
    assert resources["requests"]["memory"] == memory
    assert pod.settings.listen.max_inflight_mb * 4 <= int(memory[:-2]) * MIB[memory[-2:]]


@pytest.mark.skipif(not DOCKERFILE.exists(), reason="there is no Dockerfile yet")
def test_the_user_and_the_command_are_the_images(pod: Pod) -> None:
    lines = dict(line.split(" ", 1) for line in DOCKERFILE.read_text().splitlines() if " " in line)
    security = {**pod.spec.get("securityContext", {}), **pod.container["securityContext"]}
    assert security["runAsUser"] == int(lines["USER"].partition(":")[0])
    assert json.loads(lines["ENTRYPOINT"])[-1] == "hotgraph"


def test_it_may_write_nowhere_but_to_tmp(pod: Pod) -> None:
    security = {**pod.spec.get("securityContext", {}), **pod.container["securityContext"]}
    assert security["readOnlyRootFilesystem"] is True
    assert security["runAsNonRoot"] is True
    assert security["runAsUser"] > 0
    assert security["allowPrivilegeEscalation"] is False
    assert security["capabilities"] == {"drop": ["ALL"]}
    writable = [each["mountPath"] for each in pod.container["volumeMounts"] if not each.get("readOnly")]
    assert writable == ["/tmp"]
