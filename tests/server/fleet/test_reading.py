"""`fleet.toml`: what it says, and one line where it is wrong."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hotgraph_server.errors import SettingsError
from hotgraph_server.fleet import reading
from hotgraph_server.fleet.reading import read, spec_and_faults
from hotgraph_server.fleet.spec import FleetSpec, ModelSpec, ReplicaSpec, RolloutSpec, ScalingSpec

LEAST = """
[fleet]
repository = "/srv/models"
state = "/srv/fleet"
"""


def spec_of(text: str, folder: Path = Path("/etc")) -> FleetSpec:
    spec, faults = spec_and_faults(LEAST + text, folder)
    assert not faults
    assert spec is not None
    return spec


def wrong(text: str) -> list[str]:
    spec, faults = spec_and_faults(text)
    assert spec is None
    return [fault.text for fault in faults]


def test_everything_that_a_file_may_say() -> None:
    text = """
    [fleet]
    name = "shop"
    repository = "/srv/models"
    state = "/srv/fleet"
    address = "10.0.0.1:6379"
    host = "10.0.0.7"
    admin_port = 0
    listen = "0.0.0.0:8080"
    [replicas]
    count = 2
    least = 1
    most = 8
    cpus = 4
    memory_mb = 16384
    model_memory_mb = 8000
    gpus = 0.5
    settings = { max_batch_rows = 32, row_buckets = [1, 32] }
    [models.flowers]
    copies = 2
    most_copies = 4
    rate_per_s = 300
    cost_ms = { 32 = 20, 1 = 2.0 }
    memory_mb = 60.5
    version = 3
    apart_from = ["voices"]
    [models.voices]
    [models."with.dot"]
    pin = true
    [scaling]
    duty_high = 0.9
    duty_low = 0.2
    queue_wait_high_ms = 5
    out_hold_s = 0
    in_hold_s = 600
    [rollout]
    calls = 10
    wait_s = 5
    blind = false
    tolerance = 1e-4
    slower = 2
    """
    assert spec_and_faults(text) == (
        FleetSpec(
            "shop",
            Path("/srv/models"),
            Path("/srv/fleet"),
            "10.0.0.1:6379",
            "10.0.0.7",
            0,
            "0.0.0.0:8080",
            "auto",
            ReplicaSpec(2, 1, 8, 4, 16384, 8000, 0.5, {"max_batch_rows": 32, "row_buckets": [1, 32]}),
            (
                ModelSpec("flowers", 2, 4, 300, ((1, 2.0), (32, 20.0)), 60.5, 3, frozenset({"voices"})),
                ModelSpec("voices"),
                ModelSpec("with.dot", pin=True),
            ),
            ScalingSpec(0.9, 0.2, 5, 0, 600),
            RolloutSpec(10, 5, False, 1e-4, 2),
        ),
        [],
    )


def test_where_little_is_said_the_rest_is_as_the_values_have_it() -> None:
    spec = spec_of("")
    assert spec == FleetSpec("hotgraph", Path("/srv/models"), Path("/srv/fleet"))


@pytest.mark.parametrize(
    ("said", "meant"),
    [
        ("", (1, 1, 1)),
        ("count = 3", (3, 3, 3)),
        ("least = 2", (2, 2, 2)),
        ("most = 4", (1, 1, 4)),
        ("count = 2\nmost = 4", (2, 2, 4)),
        ("least = 2\nmost = 4", (2, 2, 4)),
        ("least = 1\ncount = 3", (3, 1, 3)),
    ],
)
def test_bounds_that_are_not_said_keep_the_number_of_replicas(said: str, meant: tuple[int, int, int]) -> None:
    replicas = spec_of(f"[replicas]\n{said}").replicas
    assert (replicas.count, replicas.least, replicas.most) == meant


def test_paths_are_read_from_the_folder_of_the_file(tmp_path: Path) -> None:
    file = tmp_path / "fleet.toml"
    file.write_text('[fleet]\nrepository = "models"\nstate = "/srv/fleet"')
    spec = read(file)
    assert (spec.repository, spec.state) == (tmp_path / "models", Path("/srv/fleet"))


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (LEAST + "[model.a]", "unknown table 'model'; did you mean 'models'?"),
        (LEAST + "[models.a]\ncopys = 2", "[models.a]: unknown key 'copys'; did you mean 'copies'?"),
        (
            LEAST + "[replicas]\nmin = 2",
            "[replicas]: unknown key 'min'; known are count, cpus, gpus, least, ",
        ),
        (
            LEAST + "[replicas.settings]\nmax_batch_row = 2",
            "[replicas.settings]: unknown key 'max_batch_row'; did you mean 'max_batch_rows'?",
        ),
        (LEAST + "[replicas.settings]\nmax_batch_rows = true", "max_batch_rows must be an integer, got True"),
        (LEAST + "[replicas.settings]\nmax_batch_rows = 0", "max-batch-rows must be"),
        (LEAST + "[replicas.settings]\nport = 8500", "port is what the fleet says to each of its servers"),
        (LEAST + "[models]\na = 3", "[models.a]: must be a table, got 3"),
        (LEAST + "[models.a]\ncopies = 1.5", "[models.a]: copies must be an integer, got 1.5"),
        (LEAST + "[models.a]\ncopies = 0", "[models.a]: copies must be 1 to"),
        (LEAST + "[models.a]\ncopies = 2", "copies is 2, but there are 1 replicas at most"),
        (LEAST + "[models.a]\ncost_ms = { x = 3 }", "cost_ms must be milliseconds by rows"),
        (LEAST + "[models.a]\ncost_ms = { 0 = 3 }", "cost_ms must be by rows of 1 to"),
        (LEAST + "[models.a]\ncost_ms = { 1 = -3 }", "cost_ms must be milliseconds above 0"),
        (LEAST + "[models.a]\ncost_ms = { 1 = true }", "cost_ms must be milliseconds by rows"),
        (LEAST + "[models.a]\nrate_per_s = nan", "rate_per_s must be 0 to 1e9, got nan"),
        (LEAST + '[models.a]\napart_from = ["a"]', "apart_from of 'a' names itself"),
        (LEAST + '[models.a]\napart_from = ["b"]', "apart_from names 'b', which there is not"),
        (LEAST + '[models.a]\napart_from = ["b"]\n[models.b]\npin = true', "'b' is pinned to every replica"),
        (LEAST + "[models.a]\nmemory_mb = 5000", "memory_mb is 5000, but a replica has 3456 for models"),
        (LEAST + "[models.a]\npin = true\nmost_copies = 2", "pin is every replica, and most_copies is 2"),
        (LEAST + '[models.".."]', "the name of a model is that of a folder, got '..'"),
        (LEAST + "[replicas]\nleast = 3\nmost = 2", "most is 2, but least is 3"),
        (LEAST + "[replicas]\nleast = 3\ncount = 2", "count must be from least to most"),
        (LEAST + "[replicas]\nmemory_mb = 600", "memory_mb must be more than 640"),
        (LEAST + "[replicas]\nmodel_memory_mb = 9000", "model_memory_mb must be 1 to memory_mb"),
        (LEAST + "[scaling]\nduty_low = 0.8", "duty_low must be 0 or more and below duty_high"),
        (LEAST + "[rollout]\nslower = 0", "[rollout]: slower must be above 0"),
        ('[fleet]\nstate = "s"', '[fleet]: needs repository = "DIR"'),
        ("", '[fleet]: needs repository = "DIR"'),
        (LEAST + 'listen = "8080"', "listen must be HOST:PORT, got '8080'"),
        (
            LEAST + '[replicas.settings]\ntls_cert = "a.pem"\ntls_key = "b.pem"',
            "[replicas.settings]: tls_cert needs rest_clear_text = true",
        ),
        (
            LEAST + "[replicas.settings]\nprocesses = 2",
            "[replicas.settings]: processes must be 1 in a fleet: models come and go in one process alone",
        ),
        (LEAST + 'host = "0.0.0.0"', "or an IP address that callers reach, got '0.0.0.0'"),
        (LEAST + 'host = "localhost"', "or an IP address that callers reach, got 'localhost'"),
        (LEAST + 'address = "ray"', "address must be auto, local or HOST:PORT, got 'ray'"),
        (LEAST + 'name = "a/b"', "name must be letters, digits"),
        ('[fleet]\nrepository = ""\nstate = "s"', "repository must be a folder, got ''"),
        (LEAST + "fleet = ", "no valid TOML"),
        ("fleet = 3", "[fleet]: must be a table, got 3"),
    ],
)
def test_what_is_wrong_is_said_with_its_table_and_key(text: str, says: str) -> None:
    assert says in wrong(text)[0]


def test_error_names_file_and_line_and_how_much_more_is_wrong(tmp_path: Path) -> None:
    file = tmp_path / "fleet.toml"
    file.write_text(LEAST + "[models.a]\ncopies = 0\n[models.b]\ncopies = 0\n[models.c]\ncopies = 0")
    with pytest.raises(SettingsError) as caught:
        read(file)
    text = str(caught.value)
    assert text.startswith(f"{file}: [models.a]: copies must be 1 to ")
    assert "(line 6); and 2 more: [models.b]: copies" in text


def test_every_server_setting_that_the_fleet_says_is_one_of_a_server_or_of_load_on_demand() -> None:
    known = set(reading.known_settings()) | {"memory_mb"}
    assert known >= reading.FLEETS_OWN


KEYS = ["name", "repository", "state", "count", "most", "copies", "cost_ms", "settings", "apart_from", "x"]
VALUES = st.recursive(
    st.sampled_from(["1", "0", "-3", "2.5", "nan", "inf", "true", '"a"', '"~nobody/x"', '"\\u0000"', "[]"])
    | st.integers().map(str),
    lambda inner: (
        st.lists(inner, max_size=2).map(lambda them: f"[{', '.join(them)}]")
        | st.dictionaries(st.sampled_from([*KEYS, "1", "a"]), inner, max_size=2).map(
            lambda them: "{ " + ", ".join(f"{key} = {value}" for key, value in them.items()) + " }"
        )
    ),
    max_leaves=4,
)
TABLES = st.dictionaries(
    st.sampled_from(["fleet", "replicas", "models", "models.a", "models.b", "scaling", "replicas.settings"]),
    st.dictionaries(st.sampled_from(KEYS), VALUES, max_size=3),
    max_size=4,
)


@given(TABLES)
def test_whatever_a_text_says_it_is_a_fleet_or_faults(tables: dict[str, dict[str, str]]) -> None:
    text = "\n".join(
        f"[{name}]\n" + "\n".join(f"{key} = {value}" for key, value in table.items())
        for name, table in tables.items()
    )
    spec, faults = spec_and_faults(text)
    assert (spec is None) == bool(faults)


@given(st.text(max_size=60))
def test_any_text_is_read_or_refused(text: str) -> None:
    spec, faults = spec_and_faults(text)
    assert (spec is None) == bool(faults)
