"""deploy/observability: a dashboard, rules and alerts, against the real Prometheus that scrapes live servers.

Where Debian's package cannot be had, what needs it is skipped.
"""

from __future__ import annotations

import contextlib
import math
import os
import re
import shutil
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import trustme
import yaml
from tritonclient.grpc import InferenceServerClient
from tritonclient.utils import InferenceServerException

from ..ports import free_port
from ..saved_models import SavedModels
from .command import Serving, arguments, starting
from .foreign_packages import NotToBeHad, downloaded
from .gpu_page import gpu_page
from .grafana_dashboard import DASHBOARD, OBSERVABILITY, Panel, dashboard, filled, metrics_in, panels
from .prometheus import Prometheus, programs, running
from .test_sequences import OLDEST
from .triton_tensors import strings, tensor

DOCS = Path(__file__).parents[2] / "docs"
SCHEMA_CHECK = Path(__file__).with_name("grafana_schema.py")

SDK = "grafana-foundation-sdk=="
# Of Grafana 10.1, of 11.6, and of the one that came after.
SDK_VERSIONS = ("1769699998!10.1.0", "1769699379!11.6.0", "0.0.21")
# What a data source of Prometheus adds to queries, and what is only shown in lists.
NOT_IN_THE_SCHEMA = re.compile(
    r"\.annotations\.list\[\]\.(builtIn|step|tagKeys|textFormat|titleFormat)"
    r"|\.templating\.list\[\]\.definition|\.panels\[\]\.options\.tooltip\.(show|mode)"
)

AUTHORITY = "ca.crt"
SCRAPES_S = 1
INTERVAL = "6s"
SECONDS = {"one server": 5.0, "several": 8.0}
PATIENCE_S = 90.0

ROWS_OF_SEVERAL = ("Several processes (--processes)", "GPUs")
ZERO_IS_WELL = {
    *("Waiting calls", "Waiting calls by model", "Calls that wait in sequences", "How full the queue is"),
    *("Open calls by server", "How full the server is", "Bytes of messages inside"),
    *("Calls that are checked or split", "Records that were lost", "Restarts", "Open files"),
}
"""Panels that may show nothing but zeros in a test that is this short."""


def alerts() -> list[dict[str, Any]]:
    text = (OBSERVABILITY / "alerts.yml").read_text("utf-8")
    return [rule for group in yaml.safe_load(text)["groups"] for rule in group["rules"]]


def records() -> list[dict[str, Any]]:
    text = (OBSERVABILITY / "recording-rules.yml").read_text("utf-8")
    return [rule for group in yaml.safe_load(text)["groups"] for rule in group["rules"]]


def unit_tests() -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = yaml.safe_load((OBSERVABILITY / "alerts_test.yml").read_text("utf-8"))[
        "tests"
    ]
    return found


RECORDED: Mapping[str, str] = {rule["record"]: rule["expr"] for rule in records()}


def metrics_of_rule(expr: str) -> set[str]:
    """Of a rule's expression, those behind what is recorded included."""
    for name, recorded in RECORDED.items():
        expr = expr.replace(name, f"({recorded})")
    return metrics_in(expr) | ({"up"} if re.search(r"\bup\b", expr) else set())


@pytest.fixture(scope="module")
def tools() -> Mapping[str, str]:
    try:
        return programs()
    except NotToBeHad as error:
        pytest.skip(f"no Prometheus: {error}")


# What is written


@pytest.mark.parametrize(
    "command",
    [
        ("check", "rules", "recording-rules.yml", "alerts.yml"),
        ("check", "config", "prometheus.yml"),
        ("test", "rules", "alerts_test.yml"),
    ],
    ids=" ".join,
)
def test_promtool_finds_nothing(tools: Mapping[str, str], command: tuple[str, ...]) -> None:
    ended = subprocess.run(
        [tools["promtool"], *command], cwd=OBSERVABILITY, capture_output=True, text=True, check=False
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert "SUCCESS" in ended.stdout


def test_every_alert_fires_in_a_unit_test() -> None:
    told = [
        sample for test in unit_tests() for ask in test["promql_expr_test"] for sample in ask["exp_samples"]
    ]
    firing = set(re.findall(r'alertname="(\w+)"', " ".join(sample["labels"] for sample in told)))
    assert firing == {rule["alert"] for rule in alerts()}


def test_the_server_that_is_well_has_all_that_alerts_look_at() -> None:
    """Silence where there is nothing to be heard would show nothing."""
    well = unit_tests()[0]
    assert well["name"] == "a server that is well"
    assert all(ask["exp_samples"] == [] for ask in well["promql_expr_test"])
    there = {one["series"].partition("{")[0] for one in well["input_series"]}
    assert {name for rule in alerts() for name in metrics_of_rule(rule["expr"])} == there


def test_every_alert_says_what_it_means_and_what_to_do() -> None:
    headings = re.findall(r"^#+ (\w+)$", (DOCS / "operations.md").read_text("utf-8"), re.MULTILINE)
    for rule in alerts():
        name = rule["alert"]
        assert {"summary", "description", "action", "runbook"} == set(rule["annotations"]), name
        assert rule["annotations"]["runbook"] == f"docs/operations.md#{name.lower()}"
        assert headings.count(name) == 1, f"{name} has no section"
        assert rule["labels"]["severity"] in ("critical", "warning")
    assert {name for name in headings if name.startswith("Hotgraph")} == {rule["alert"] for rule in alerts()}


def has_unit(panel: Panel) -> bool:
    """Of its values, or of its columns, if those have values."""
    fields, options = panel.json["fieldConfig"], panel.json["options"]
    of_columns = [one["id"] for override in fields["overrides"] for one in override["properties"]]
    if panel.json["type"] == "table":
        return "unit" in of_columns or len(panel.queries) == 1
    return "unit" in fields["defaults"] or "unit" in options.get("yAxis", ())


def test_panels_have_a_unit_and_a_title_of_their_own() -> None:
    found = list(panels())
    ids = [panel.json["id"] for panel in found]
    ids += [one["id"] for one in dashboard()["panels"] if one["type"] == "row"]
    assert len(set(ids)) == len(ids)
    assert len({panel.title for panel in found}) == len(found)
    assert all(panel.json["datasource"] == {"type": "prometheus", "uid": "${datasource}"} for panel in found)
    assert [panel.title for panel in found if not has_unit(panel)] == []


def test_panels_do_not_lie_on_each_other() -> None:
    taken: set[tuple[str, int, int]] = set()
    for panel in panels():
        place = panel.json["gridPos"]
        across, down = range(place["w"]), range(place["h"])
        cells = {(panel.row, place["x"] + x, place["y"] + y) for x in across for y in down}
        assert place["x"] + place["w"] <= 24
        assert not cells & taken, panel.title
        taken |= cells


def test_every_query_heeds_the_variables() -> None:
    """Each metric that is picked out is picked by job and instance, and by model where it has one."""
    for panel in panels():
        for query in panel.queries:
            for selector in re.findall(r"\{([^{}]*)\}", query):
                assert 'job=~"$job", instance=~"$instance"' in selector, panel.title
            assert "{" in query, panel.title
            assert "[5m]" not in query, f"{panel.title}: a rate is taken over $__rate_interval"


@pytest.mark.parametrize("version", SDK_VERSIONS)
def test_grafanas_own_classes_know_all_of_the_dashboard(version: str) -> None:
    try:
        wheel = downloaded(SDK + version)
    except NotToBeHad as error:
        pytest.skip(f"no Grafana schema: {error}")
    ended = subprocess.run(
        [sys.executable, str(SCHEMA_CHECK), str(DASHBOARD)],
        env={**os.environ, "PYTHONPATH": str(wheel)},
        capture_output=True,
        text=True,
        check=True,
    )
    unknown = [line for line in ended.stdout.splitlines() if line and not NOT_IN_THE_SCHEMA.match(line)]
    assert not unknown


# What is shown


class Shown(NamedTuple):
    """Prometheus after it has watched servers under load.

    Attributes:
        prometheus: it.
        begin, end: of the load, seconds since the epoch.
        several: are there two servers, one of them with two processes, and a GPU?
    """

    prometheus: Prometheus
    begin: float
    end: float
    several: bool


@pytest.fixture(scope="module", params=["one server", pytest.param("several", marks=pytest.mark.slow)])
def shown(
    request: pytest.FixtureRequest,
    tools: Mapping[str, str],
    saved_models: SavedModels,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Shown]:
    folder = tmp_path_factory.mktemp("observed")
    several = request.param == "several"
    with contextlib.ExitStack() as stack:
        ports = [free_port()]
        servers = [stack.enter_context(starting(command_of(saved_models, folder, ports[0])))]
        if several:
            ports.append(free_port())
            command = arguments(
                str(saved_models["tf2_mlp"]), "--port", "0", "--processes", "2", "--admin-port", str(ports[1])
            )
            servers.append(stack.enter_context(starting(command)))
            ports.append(stack.enter_context(gpu_page()))
        config = configuration(folder, ports)
        prometheus = stack.enter_context(running(tools["prometheus"], config, folder))
        for server in servers:
            server.until_it_serves()
        begin = time.time()
        make_traffic(servers, str(folder / AUTHORITY), SECONDS[request.param])
        # For the last scrape, and the rules behind it.
        time.sleep(2 * SCRAPES_S + 0.5)
        yield Shown(prometheus, begin, time.time(), several)


def command_of(saved_models: SavedModels, folder: Path, admin_port: int) -> list[str]:
    """The command line of a server with models of many kinds, of which one cannot be loaded."""
    from hotgraph_server.commands.builtin import digits_model

    broken = folder / "broken" / "1"
    broken.mkdir(parents=True)
    (broken / "saved_model.pb").write_bytes(b"no model")
    repository = folder / "repository" / "running_sum"
    repository.mkdir(parents=True)
    (repository / "config.pbtxt").write_text(OLDEST)
    (repository / "1").mkdir()
    (repository / "1" / "model.savedmodel").symlink_to(saved_models["running_sum"])
    with_authority(folder)
    config = folder / "server.toml"
    config.write_text(
        f"""
        port = 0
        tls_cert = "{folder / "tls.crt"}"
        tls_key = "{folder / "tls.key"}"
        rest_clear_text = true
        exit_on_error = false
        cache_mb = 8
        [models.digits]
        path = "{digits_model()}"
        [models.broken]
        path = "{broken.parent}"
        [models.padded_text]
        path = "{saved_models["padded_text"]}"
        [models.cached]
        path = "{saved_models["embedding"]}"
        response_cache = true
        [models.embedding]
        path = "{saved_models["embedding"]}"
        [models.narrow]
        path = "{saved_models["embedding"]}"
        max_queued_calls = 1
        """
    )
    ports = ("--admin-port", str(admin_port), "--rest-port", str(free_port()))
    return arguments("--config", str(config), "--repository", str(folder / "repository"), *ports)


def with_authority(folder: Path) -> None:
    """A certificate for this machine in a folder, and who has signed it."""
    authority = trustme.CA()
    pair = authority.issue_cert("127.0.0.1")
    authority.cert_pem.write_to_path(str(folder / AUTHORITY))
    pair.private_key_pem.write_to_path(str(folder / "tls.key"))
    pair.cert_chain_pems[0].write_to_path(str(folder / "tls.crt"))


def configuration(folder: Path, ports: list[int]) -> Path:
    """The files that are shipped, with other targets and in more of a hurry."""
    for name in ("recording-rules.yml", "alerts.yml", "prometheus.yml"):
        shutil.copy(OBSERVABILITY / name, folder / name)
    config = folder / "prometheus.yml"
    text = config.read_text("utf-8")
    targets = ", ".join(f'"127.0.0.1:{port}"' for port in ports)
    assert text.count('["127.0.0.1:8501"]') == 1
    assert text.count("interval: 15s") == 2
    text = text.replace('["127.0.0.1:8501"]', f"[{targets}]")
    config.write_text(text.replace("interval: 15s", f"interval: {SCRAPES_S}s"))
    rules = folder / "recording-rules.yml"
    rules.write_text(rules.read_text("utf-8").replace("interval: 30s", f"interval: {SCRAPES_S}s"))
    return config


def make_traffic(servers: list[Serving], authority: str, seconds: float) -> None:
    """Calls that are answered, and of each kind that is not; to the first server by TLS."""
    ends_at = time.monotonic() + seconds
    command = [sys.executable, "-m", "hotgraph_server", "loadtest", servers[0].address, "digits"]
    load = subprocess.Popen(
        [*command, "--tls-ca", authority, "--rate", "200", "--duration", f"{seconds:g}", "--warm-up", "0"],
        stdout=subprocess.DEVNULL,
    )
    try:
        with ThreadPoolExecutor(4) as pool:
            work = [pool.submit(call_as_one_should_not, servers[0].address, authority, ends_at)]
            work += [pool.submit(ask_sequences, servers[0].address, authority, ends_at)]
            work += [pool.submit(ask_over_http, servers[0], ends_at)]
            if len(servers) > 1:
                work.append(pool.submit(ask_plainly, servers[1].address, ends_at))
            for one in work:
                one.result()
        assert load.wait(PATIENCE_S) == 0
    finally:
        load.kill()
        load.wait()


def by_tls(address: str, authority: str) -> InferenceServerClient:
    return InferenceServerClient(address, ssl=True, root_certificates=authority)


def call_as_one_should_not(address: str, authority: str, ends_at: float) -> None:
    good, poison = [tensor("id", np.zeros(1, np.int32))], [tensor("id", np.full(1, 9, np.int32))]
    with by_tls(address, authority) as client, ThreadPoolExecutor(24) as pool:

        def infer(model: str, inputs: list[Any]) -> None:
            with contextlib.suppress(InferenceServerException):
                client.infer(model, inputs)

        turn = 0
        while time.monotonic() < ends_at:
            turn += 1
            infer("no_such_model", good)
            infer("embedding", [strings("id", [b"no number"])])
            infer("padded_text", [strings("text", [b"a", b"bc"])])
            infer("cached", good)
            # One in eight is refused by the graph, and fails the batch that it is in at first.
            list(pool.map(lambda one: infer("embedding", poison if one % 8 == 0 else good), range(24)))
            # More at once than may wait.
            list(pool.map(lambda _: infer("narrow", good), range(24)))
            time.sleep(0.05)


def ask_sequences(address: str, authority: str, ends_at: float) -> None:
    x = [tensor("x", np.ones((1, 1), np.float32))]
    with by_tls(address, authority) as client:
        number = 1
        while time.monotonic() < ends_at:
            client.infer("running_sum", x, sequence_id=number, sequence_start=True)
            # Two are left open, so that there are some to be counted; more would take all slots.
            if number > 2:
                client.infer("running_sum", x, sequence_id=number, sequence_end=True)
            number += 1
            time.sleep(0.1)


def ask_plainly(address: str, ends_at: float) -> None:
    x = [tensor("x", np.ones((1, 16), np.float32))]
    with contextlib.ExitStack() as stack:
        alone = [("grpc.use_local_subchannel_pool", 1)]
        clients = [stack.enter_context(InferenceServerClient(address, channel_args=alone)) for _ in range(4)]
        model = "tf2_mlp"
        while time.monotonic() < ends_at:
            for client in clients:
                client.infer(model, x)
            time.sleep(0.02)


def ask_over_http(server: Serving, ends_at: float) -> None:
    port = next(line for line in server.lines if "REST port: " in line).rpartition("REST port: ")[2].strip()
    while time.monotonic() < ends_at:
        with contextlib.suppress(urllib.error.HTTPError):
            urllib.request.urlopen(f"{port}v1/models/no_such_model", timeout=PATIENCE_S)
        time.sleep(0.2)


def panels_of(shown: Shown) -> list[Panel]:
    return [one for one in panels() if shown.several or one.row not in ROWS_OF_SEVERAL]


def test_no_panel_is_empty(shown: Shown) -> None:
    empty, nought = set(), set()
    for panel in panels_of(shown):
        of_panel = []
        for query in panel.queries:
            series = shown.prometheus.series(filled(query, interval=INTERVAL), shown.begin, shown.end)
            values = [value for one in series for value in one if math.isfinite(value)]
            if not values:
                empty.add(panel.title)
            of_panel += values
        if of_panel and not any(of_panel):
            nought.add(panel.title)
    assert empty == set()
    assert nought <= ZERO_IS_WELL


def test_one_model_of_one_server_can_be_chosen(shown: Shown) -> None:
    instances = shown.prometheus.labels("hotgraph_build_info", "instance")
    for panel in panels_of(shown):
        for query in panel.queries:
            if panel.row in ROWS_OF_SEVERAL:
                continue
            one = filled(query, interval=INTERVAL, model="digits", instance=min(instances))
            found = shown.prometheus.get("query", query=one)["result"]
            assert {each["metric"].get("model", "digits") for each in found} <= {"digits"}, panel.title


def test_variables_find_what_there_is(shown: Shown) -> None:
    variables = {one["name"]: one for one in dashboard()["templating"]["list"]}
    assert list(variables) == ["datasource", "job", "instance", "model"]
    found = {}
    for name in ("job", "instance", "model"):
        asked = re.fullmatch(r"label_values\((.*), (\w+)\)", variables[name]["query"]["query"])
        assert asked is not None
        found[name] = shown.prometheus.labels(filled(asked[1], interval=INTERVAL), asked[2])
    assert found["job"] == {"hotgraph"}
    assert len(found["instance"]) == 1 + shown.several
    # One that could not be loaded can be chosen too.
    assert {"digits", "embedding", "running_sum", "broken"} <= found["model"]


def test_marks_on_the_time_axis_can_be_asked_for(shown: Shown) -> None:
    asked = [one["expr"] for one in dashboard()["annotations"]["list"] if "expr" in one]
    assert len(asked) == 2
    for query in asked:
        shown.prometheus.series(filled(query, interval=INTERVAL), shown.begin, shown.end)


def test_rules_are_worked_out_and_show_something(shown: Shown) -> None:
    groups = shown.prometheus.get("rules")["groups"]
    rules = [rule for group in groups for rule in group["rules"]]
    assert len(rules) == len(alerts()) + len(records())
    assert not [rule for rule in rules if rule["health"] == "err"]
    for name in RECORDED:
        values = [value for one in shown.prometheus.series(name, shown.begin, shown.end) for value in one]
        assert any(map(math.isfinite, values)), name


def test_every_metric_that_is_named_exists(shown: Shown) -> None:
    text = "".join((DOCS / page).read_text("utf-8") for page in ("operations.md", "metrics.md"))
    text += (OBSERVABILITY / "alerts.yml").read_text("utf-8")
    named = {name for name in metrics_in(text) if name.startswith("hotgraph_")}
    named |= {name for panel in panels_of(shown) for query in panel.queries for name in metrics_in(query)}
    named |= {name for rule in [*alerts(), *records()] for name in metrics_of_rule(rule["expr"])}
    known = shown.prometheus.names()
    # In prose a histogram goes by the name that its series have in common.
    known |= {re.sub(r"_(bucket|sum|count)$", "", name) for name in known}
    assert named - known <= NOT_HERE_NAMES | (set() if shown.several else OF_SEVERAL_NAMES)


NOT_HERE_NAMES = {
    *("hotgraph_plan_xla_gain_ratio", "hotgraph_memory_limit_bytes"),
    *("hotgraph_demand_calls_total", "hotgraph_demand_loads_total", "hotgraph_demand_reloads_total"),
    *("hotgraph_evictions_total", "hotgraph_load_wait_seconds", "hotgraph_load_waiting_calls"),
    *("hotgraph_load_waiting_calls_limit", "hotgraph_models_memory_bytes"),
    *("hotgraph_models_memory_bytes_limit", "hotgraph_thrash_ratio", "hotgraph_working_set_bytes"),
    *("hotgraph_forwarded_calls_total", "hotgraph_forwarded_seconds_total", "hotgraph_forwarding_bytes"),
    *("hotgraph_forwarding_calls", "hotgraph_forwarding_peers"),
    *("hotgraph_shadow_calls_total", "hotgraph_shadow_largest_difference_ratio"),
    "hotgraph_shadow_slower_ratio",
}
"""Metrics that a server has with XLA alone, in a container with a limit, with models on demand, with peers or
with a version in another's shadow; that each of those exists, its own tests say."""

OF_SEVERAL_NAMES = {f"hotgraph_process_{name}" for name in ("up", "connections", "restarts_total")}


def test_labels_that_an_alert_tells_are_there(shown: Shown) -> None:
    for rule in alerts():
        told = set(re.findall(r"\$labels\.(\w+)", " ".join(rule["annotations"].values())))
        kept = re.search(r"by \(([^)]*)\)", rule["expr"])
        recorded = next((name for name in RECORDED if name in rule["expr"]), "")
        if recorded or kept is None:
            name = recorded or sorted(metrics_in(rule["expr"]) or {"up"})[0]
            if name in NOT_HERE_NAMES:
                continue
            found = shown.prometheus.get("query", query=f"last_over_time({name}[1m])")["result"]
            labels = set.union(*(set(one["metric"]) for one in found))
            labels |= set(kept[1].split(", ")) if kept else set()
        else:
            labels = set(kept[1].split(", "))
        assert told <= labels, rule["alert"]


def test_what_really_happened_is_an_alert(shown: Shown) -> None:
    """A model that cannot be loaded is pending or fires already; nothing else is wrong with the server."""
    states = {one["labels"]["alertname"]: one["state"] for one in shown.prometheus.get("alerts")["alerts"]}
    assert states["HotgraphLoadFails"] == "firing"
    assert states.keys() >= {"HotgraphVersionFailed", "HotgraphModelUnavailable"}
    assert not states.keys() & {"HotgraphDown", "HotgraphAbsent", "HotgraphNotReady", "HotgraphFaults"}
