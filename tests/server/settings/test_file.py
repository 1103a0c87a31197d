"""The settings file: names, types, tables of models, and errors that name file and key."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hotgraph_server.errors import SettingsError
from hotgraph_server.settings import PER_MODEL, PER_SERVER, fields_of, key_of
from hotgraph_server.settings.fields import Count
from hotgraph_server.settings.file import FileSettings, read_settings_file, settings_and_faults

# Tables of settings have tests of their own.
NAMES = [
    key_of(field)
    for field in fields_of(*PER_SERVER, *PER_MODEL)
    if not dataclasses.is_dataclass(field.metadata["kind"]) and field.metadata["of"] is None
]
KINDS = {key_of(field): field.metadata["kind"] for field in fields_of(*PER_SERVER, *PER_MODEL)}
# As TOML writes them.
EXAMPLES = {
    str: '"text"',
    int: "3",
    float: "2.5",
    bool: "true",
    tuple: "[1, 2]",
    list: '["a", "b"]',
    dict: '{ a = 1, b = "c" }',
    Count: "4",
}
WORDS = {
    str: "a string",
    int: "an integer",
    float: "a number",
    bool: "true or false",
    tuple: "a list of integers",
    list: "a list of strings",
    dict: "a table of plain values",
    Count: 'a number or "auto"',
}
# What is of another kind, and will do as well.
ALIKE = {float: (int, Count), int: (Count,), Count: (int,)}


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "server.toml"


def read(file: Path, content: str) -> FileSettings:
    file.write_text(content, "utf-8")
    return read_settings_file(file)


def test_empty_file_says_nothing(file: Path) -> None:
    assert read(file, "") == FileSettings({}, {})


def test_values_and_tables_of_models_are_read(file: Path) -> None:
    content = """
        port = 9000
        drain_s = 5
        tls_cert = "c.pem"
        fast_lane = false
        max_batch_rows = 32
        [models.digits]
        path = "/models/digits"
        max_batch_rows = 8
        row_buckets = [4, 8]
        [models.digits.batching_by_signature]
        classify = "never"
        [models."with.dot"]
        path = "x"
    """
    assert read(file, content) == FileSettings(
        {"port": 9000, "drain_s": 5, "tls_cert": "c.pem", "fast_lane": False, "max_batch_rows": 32},
        {
            "digits": {
                "path": "/models/digits",
                "max_batch_rows": 8,
                "row_buckets": [4, 8],
                "batching_by_signature": {"classify": "never"},
            },
            "with.dot": {"path": "x"},
        },
    )


def test_every_setting_is_a_key(file: Path) -> None:
    for name in NAMES:
        content = f"{name} = {EXAMPLES[KINDS[name]]}"
        assert set(read(file, content).values) == {name}


@pytest.mark.parametrize("kind", EXAMPLES)
def test_value_of_another_type_is_refused_with_file_key_and_value(file: Path, kind: type) -> None:
    wrong = {
        other: example
        for other, example in EXAMPLES.items()
        if other is not kind and other not in ALIKE.get(kind, ())
    }
    names = [name for name in NAMES if KINDS[name] is kind]
    assert names
    for name in names:
        for example in [*wrong.values(), "[1.5]", "[true]", "{ a = [1] }", "2024-01-01"]:
            with pytest.raises(SettingsError, match=f"^{file}: {name} must be {WORDS[kind]}, got "):
                read(file, f"{name} = {example}")


def test_tables_of_settings_are_read(file: Path) -> None:
    policy = "max_queue_size = 3\ntimeout_action = 'delay'"
    content = f"[queue_policy]\n{policy}\n[queue_policy_by_level.2]\n{policy}"
    table = {"max_queue_size": 3, "timeout_action": "delay"}
    assert read(file, content).values == {"queue_policy": table, "queue_policy_by_level": {"2": table}}


@pytest.mark.parametrize(
    ("content", "why"),
    [
        ("queue_policy = 3", "queue_policy must be a table of settings, got 3"),
        (
            "queue_policy = { max_calls = 3 }",
            "queue_policy: unknown key 'max_calls'; known are .*max_queue_size",
        ),
        (
            "queue_policy = { max_queue_size = true }",
            "queue_policy: max_queue_size must be an integer, got True",
        ),
        ("queue_policy_by_level = []", "queue_policy_by_level must be tables by number, got"),
        ("queue_policy_by_level = { one = {} }", "queue_policy_by_level must be tables by number, got"),
        ("queue_policy_by_level = { 1 = 2 }", "queue_policy_by_level.1 must be a table of settings, got 2"),
        ("queue_policy_by_level.1.port = 2", "queue_policy_by_level.1: unknown key 'port'"),
    ],
)
def test_table_that_is_none_of_settings_is_refused_with_its_name(file: Path, content: str, why: str) -> None:
    with pytest.raises(SettingsError, match=f"^{file}: {why}"):
        read(file, content)


def test_integer_will_do_for_a_number(file: Path) -> None:
    assert read(file, "drain_s = 5").values == {"drain_s": 5}


@pytest.mark.parametrize(
    ("key", "meant"), [("ports", "port"), ("max-calls", "max_calls"), ("PORT", "port"), ("drains", "drain_s")]
)
def test_unknown_key_is_refused_with_the_one_that_was_meant_and_its_line(
    file: Path, key: str, meant: str
) -> None:
    said = rf"^{file}: unknown key '{key}'; did you mean '{meant}'\? \(line 2\)$"
    with pytest.raises(SettingsError, match=said):
        read(file, f"# a remark\n{key} = 1")


@pytest.mark.parametrize("key", ["config", "verbose"])
def test_unknown_key_that_is_like_none_is_refused_with_where_all_are_told(file: Path, key: str) -> None:
    said = rf"^{file}: unknown key '{key}'; docs/settings.md has the \d+ that there are \(line 1\)$"
    with pytest.raises(SettingsError, match=said):
        read(file, f"{key} = 1")


@pytest.mark.parametrize(
    ("key", "why"),
    [
        ("port", "port is for the whole server, not for one model"),
        ("paths", "unknown key 'paths'; did you mean 'path'"),
        ("colour", "unknown key 'colour'; docs/settings.md has"),
        ("devise", "unknown key 'devise'; did you mean 'device'"),
    ],
)
def test_key_that_no_model_can_have_is_refused_with_its_table(file: Path, key: str, why: str) -> None:
    with pytest.raises(SettingsError, match=rf"^{file}: \[models.m\]: {why}"):
        read(file, f'[models.m]\npath = "x"\n{key} = 1')


def test_wrong_type_in_a_models_table_is_refused_with_its_table(file: Path) -> None:
    with pytest.raises(
        SettingsError, match=rf"^{file}: \[models.m\]: max_batch_rows must be an integer, got 'x'"
    ):
        read(file, '[models.m]\npath = "x"\nmax_batch_rows = "x"')


def test_first_fault_is_told_and_how_to_see_the_others(file: Path) -> None:
    with pytest.raises(SettingsError) as raised:
        read(file, 'port = "x"\n[models.m]\nnothing = 1\npath = 3\nmax_batch_rows = []\n')
    assert str(raised.value) == (
        f"{file}: port must be an integer, got 'x' (line 1); 3 more: hotgraph config check {file}"
    )


def test_all_faults_have_their_lines_and_the_rest_is_read() -> None:
    text = (
        'port = "x"\ndrain_s = 3\nstate.keep = true\njoin = 1\nqueue_policy = { max_queue_size = "x" }\n'
        "[models.m]\nmax_batch_rows = 3\nstate.nothing = 1\n[models.m.queue_policy]\nmax_size = 1\n"
    )
    found, faults = settings_and_faults(text)
    assert found == FileSettings({"drain_s": 3}, {"m": {"max_batch_rows": 3}})
    assert sorted(fault.line or 0 for fault in faults) == [1, 3, 4, 5, 8, 10]


def test_line_of_broken_toml_is_the_parsers() -> None:
    ((fault),) = settings_and_faults("port = 1\nport =\n")[1]
    assert fault.line == 2


def test_secret_of_another_type_is_not_shown(file: Path) -> None:
    with pytest.raises(SettingsError) as raised:
        read(file, 'tls_key = ["s3cret"]')
    assert "s3cret" not in str(raised.value)


def test_path_of_a_model_is_a_string(file: Path) -> None:
    with pytest.raises(SettingsError, match=rf'^{file}: \[models.m\] needs path = "DIR", got 3'):
        read(file, "[models.m]\npath = 3")


def test_model_of_a_repository_has_a_table_without_a_path(file: Path) -> None:
    assert read(file, "[models.m]\nmax_batch_rows = 3").models == {"m": {"max_batch_rows": 3}}


@pytest.mark.parametrize("value", ['"a"', "[1]", "3"])
def test_list_of_strings_is_one(file: Path, value: str) -> None:
    with pytest.raises(SettingsError, match="repository must be a list of strings"):
        read(file, f"repository = {value}")


@pytest.mark.parametrize(
    "content", ["models = 3", "models = []", '[models]\nm = "x"', "[[models]]\nname = 1"]
)
def test_models_that_are_no_tables_are_refused(file: Path, content: str) -> None:
    with pytest.raises(SettingsError, match=rf"^{file}: models are tables: \[models.NAME\]"):
        read(file, content)


@pytest.mark.parametrize("content", ["port", "port = ", "port = 1\nport = 2", "[models.m", '"'])
def test_what_is_no_toml_is_refused(file: Path, content: str) -> None:
    with pytest.raises(SettingsError, match=f"^{file}: no valid TOML: "):
        read(file, content)


def test_what_is_no_text_is_refused(file: Path) -> None:
    file.write_bytes(b"port = 1 # \xff\xfe")
    with pytest.raises(SettingsError, match=f"^{file}: no text: byte 11 is not UTF-8"):
        read_settings_file(file)


def test_file_may_begin_with_a_mark_and_its_lines_end_as_on_another_system(file: Path) -> None:
    file.write_bytes(b'\xef\xbb\xbfport = 1\r\n[models.m]\r\npath = "/m"\r\n')
    assert read_settings_file(file) == FileSettings({"port": 1}, {"m": {"path": "/m"}})


def test_file_that_is_not_there_or_is_a_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=f"^{tmp_path / 'gone.toml'}: No such file or directory$"):
        read_settings_file(tmp_path / "gone.toml")
    with pytest.raises(SettingsError, match=f"^{tmp_path}: Is a directory$"):
        read_settings_file(tmp_path)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.one_of(st.binary(max_size=60), st.text(max_size=60).map(str.encode)))
def test_any_bytes_are_read_or_refused_with_the_files_name(file: Path, content: bytes) -> None:
    file.write_bytes(content)
    text, values = f"{file}: ", set[str]()
    try:
        values = set(read_settings_file(file).values)
    except SettingsError as error:
        text = str(error)
    assert text.startswith(f"{file}: ")
    assert values <= set(NAMES)


def test_settings_of_state_may_be_written_with_a_dot(file: Path) -> None:
    file.write_text('state.dir = "/s"\n[models.m]\npath = "/m"\nstate.sync = "every_write"\nstate.keep = 2\n')
    found = read_settings_file(file)
    assert found.values == {"state_dir": "/s"}
    assert found.models["m"] == {"path": "/m", "state_sync": "every_write", "state_keep": 2}
    file.write_text("state.nothing = 1\n")
    with pytest.raises(SettingsError, match="unknown key 'state_nothing'"):
        read_settings_file(file)


FORMER = {
    "join": ('"auto"', "batching", "tried"),
    "join_by_signature": (
        '{ one = "auto", two = "never" }',
        "batching_by_signature",
        {"one": "tried", "two": "never"},
    ),
    "cut": ('{ "y.1" = "x.1" }', "unpad", {"y.1": "x.1"}),
    "check_one_in": ("7", "verify_one_in", 7),
    "state_carry": ("true", "transfer_state", True),
    "state.carry": ("true", "transfer_state", True),
    "state_undo": ("false", "rollback_failed_writes", False),
    "state.undo": ("false", "rollback_failed_writes", False),
}


@pytest.mark.parametrize("name", FORMER)
def test_former_name_is_read_for_the_server_and_for_one_model_and_the_log_says_the_present_one(
    name: str, file: Path, caplog: pytest.LogCaptureFixture
) -> None:
    written, key, value = FORMER[name]
    said = f"the setting {name.replace('.', '_')} is called {key} now"
    file.write_text(f"{name} = {written}\n")
    assert read_settings_file(file).values == {key: value}
    assert caplog.messages == [said]
    file.write_text(f"[models.digits]\n{name} = {written}\n")
    assert read_settings_file(file).models["digits"] == {key: value}
    assert caplog.messages == [said] * 2


def test_every_former_name_is_tried_here() -> None:
    former = {
        field.metadata["former"].name
        for field in fields_of(*PER_SERVER, *PER_MODEL)
        if field.metadata["former"]
    }
    assert former == {name for name in FORMER if "." not in name}


def test_present_name_wins_over_the_former(file: Path) -> None:
    file.write_text("check_one_in = 7\nverify_one_in = 8\n")
    assert read_settings_file(file).values == {"verify_one_in": 8}
