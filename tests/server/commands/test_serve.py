"""From flags and file to settings; nothing is started."""

from __future__ import annotations

import argparse
import math
import sys
from pathlib import Path
from typing import Any

import pytest

from hotgraph_server.commands.builtin import digits_model
from hotgraph_server.commands.cli import main
from hotgraph_server.commands.serve import add_arguments, settings_from
from hotgraph_server.commands.signals import say
from hotgraph_server.errors import LoadError, SettingsError
from hotgraph_server.repository.layout import versions_in
from hotgraph_server.settings import (
    PER_MODEL,
    PER_SERVER,
    AdminSettings,
    BatchSettings,
    ListenSettings,
    RestSettings,
    ServerSettings,
    SessionSettings,
    fields_of,
    key_of,
)
from hotgraph_server.settings.environment import read_environment
from hotgraph_server.settings.fields import Count

FIELDS = {key_of(field): field for field in fields_of(*PER_SERVER, *PER_MODEL) if field.metadata["flag"]}
FILE_ONLY = [key_of(field) for field in fields_of(*PER_SERVER, *PER_MODEL) if not field.metadata["flag"]]
# A value that is not the default, on the command line and as it arrives.
EXAMPLES: dict[type, tuple[str, Any]] = {
    int: ("3", 3),
    float: ("2.5", 2.5),
    str: ("x", "x"),
    list: ("x", ["x"]),
    Count: ("auto", Count("auto")),
}
SPECIAL: dict[str, tuple[str, Any]] = {"device": ("/CPU:1", "/CPU:1")}


@pytest.fixture
def parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("hotgraph serve", formatter_class=argparse.RawDescriptionHelpFormatter)
    add_arguments(parser)
    return parser


def settings(parser: argparse.ArgumentParser, *words: str) -> ServerSettings:
    return settings_from(vars(parser.parse_args(words)))


def write(folder: Path, content: str) -> str:
    """A settings file."""
    file = folder / "server.toml"
    file.write_text(content, "utf-8")
    return str(file)


class TestFlags:
    def test_without_flags_everything_has_its_default(self, parser: argparse.ArgumentParser) -> None:
        found = settings(parser)
        assert (found.listen, found.admin) == (ListenSettings(), AdminSettings())
        (model,) = found.models
        assert (model.name, model.path) == ("digits", digits_model())
        assert (model.batch, model.session) == (BatchSettings(), SessionSettings())

    @pytest.mark.parametrize("name", FIELDS)
    def test_every_common_setting_has_a_flag_made_from_its_field(
        self, parser: argparse.ArgumentParser, name: str
    ) -> None:
        kind = FIELDS[name].metadata["kind"]
        flag = name.replace("_", "-")
        if kind is bool:
            assert vars(parser.parse_args([f"--no-{flag}"]))[name] is False
            assert vars(parser.parse_args([f"--{flag}"]))[name] is True
        else:
            choices = FIELDS[name].metadata["choices"]
            word, value = (choices[-1],) * 2 if choices else SPECIAL.get(name, EXAMPLES[kind])
            assert vars(parser.parse_args([f"--{flag}", word]))[name] == value
            if kind is list:
                assert vars(parser.parse_args([f"--{flag}", word] * 2))[name] == value * 2
        assert name not in vars(parser.parse_args([]))

    def test_rare_setting_is_a_key_of_the_file_alone(self, parser: argparse.ArgumentParser) -> None:
        shown = parser.format_help().split()
        assert not [name for name in FILE_ONLY if f"--{name.replace('_', '-')}" in shown]

    def test_help_shows_flag_text_and_default(self, parser: argparse.ArgumentParser) -> None:
        shown = " ".join(parser.format_help().split())
        for name, field in FIELDS.items():
            assert f"--{name.replace('_', '-')}" in shown
            expected = " ".join(field.metadata["help"].split())
            if field.default not in ("", (), None) and not isinstance(field.default, bool):
                expected += f" (default {field.default})"
            assert expected in shown

    def test_what_was_called_join_is_read_and_the_help_does_not_show_it(
        self, parser: argparse.ArgumentParser, caplog: pytest.LogCaptureFixture
    ) -> None:
        for given, meant in (("auto", "tried"), ("never", "never")):
            settings = settings_from(vars(parser.parse_args(["--join", given])))
            assert settings.models[0].batch.batching == meant
            assert "the setting join is called batching now" in caplog.text
            caplog.clear()
        assert "--join" not in parser.format_help()

    @pytest.mark.parametrize(
        "words",
        [
            *(["--port", "x"], ["--port", "1.5"], ["--drain-s", "soon"], ["--nonesuch"], ["--fast-lane=no"]),
            *(["--batching", "sometimes"], ["--split"]),
        ],
    )
    def test_wrong_usage_exits_with_two(
        self, parser: argparse.ArgumentParser, words: list[str], capsys: pytest.CaptureFixture[str]
    ) -> None:
        with pytest.raises(SystemExit) as raised:
            parser.parse_args(words)
        assert raised.value.code == 2
        assert words[0].partition("=")[0] in capsys.readouterr().err

    @pytest.mark.parametrize(
        ("words", "says"),
        [
            (["--port", "70000"], "port must be 0 to 65535, got 70000"),
            (["--drain-s", "nan"], "drain-s .* got nan"),
            (["--drain-s", str(math.inf)], "drain-s .* got inf"),
            (["--max-batch-rows", "0"], "max-batch-rows must be at least 1, got 0"),
            (["--device", "gpu"], "device must look like /CPU:0 or /GPU:1, got 'gpu'"),
            (["--tls-cert", "c.pem"], "tls-cert and tls-key go together"),
        ],
    )
    def test_bad_value_is_a_settings_error(
        self, parser: argparse.ArgumentParser, words: list[str], says: str
    ) -> None:
        with pytest.raises(SettingsError, match=says):
            settings(parser, *words)


class TestEnvironment:
    """Flags win over the environment, the environment over the file, and the file over the default."""

    @pytest.mark.parametrize("given", range(8))
    def test_order_is_flag_environment_file_default(
        self, parser: argparse.ArgumentParser, tmp_path: Path, given: int
    ) -> None:
        words, environment, content = [], {}, ""
        if given & 1:
            words = ["--port", "9001"]
        if given & 2:
            environment = {"HOTGRAPH_PORT": "9002"}
        if given & 4:
            content = "port = 9003"
        flags = vars(parser.parse_args([*words, "--config", write(tmp_path, content)]))
        found = settings_from(flags, read_environment(environment))
        assert found.listen.port == (
            9001 if given & 1 else 9002 if given & 2 else 9003 if given & 4 else 8500
        )

    def test_table_of_a_model_in_the_file_wins_over_the_environment(
        self, parser: argparse.ArgumentParser, tmp_path: Path
    ) -> None:
        file = write(tmp_path, "[models.a]\npath = '/a'\nmax_batch_rows = 3\n[models.b]\npath = '/b'\n")
        environment = read_environment({"HOTGRAPH_MAX_BATCH_ROWS": "5", "HOTGRAPH_CONFIG": file})
        found = settings_from(vars(parser.parse_args([])), environment)
        assert [model.batch.max_batch_rows for model in found.models] == [3, 5]

    def test_models_of_the_command_line_stand_in_place_of_the_environments(
        self, parser: argparse.ArgumentParser
    ) -> None:
        environment = read_environment({"HOTGRAPH_MODELS": "a=/models/a /models/b"})
        found = settings_from(vars(parser.parse_args([])), environment)
        assert [(one.name, str(one.path)) for one in found.models] == [("a", "/models/a"), ("b", "/models/b")]
        found = settings_from(vars(parser.parse_args(["c=/models/c"])), environment)
        assert [one.name for one in found.models] == ["c"]

    def test_value_that_cannot_be_is_refused_with_its_variable(self, parser: argparse.ArgumentParser) -> None:
        flags = vars(parser.parse_args([]))
        with pytest.raises(
            SettingsError, match=r"^port must be 0 to 65535, got 70000 \(HOTGRAPH_PORT is '70000'\)$"
        ):
            settings_from(flags, read_environment({"HOTGRAPH_PORT": "70000"}))
        with pytest.raises(SettingsError, match=r"^HOTGRAPH_PORT must be an integer of 0 or more, got 'x'$"):
            settings_from(flags, read_environment({"HOTGRAPH_PORT": "x"}))

    def test_what_is_wrong_with_the_log_itself_names_its_variable(
        self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        """It is needed before the file is read."""
        monkeypatch.setenv("HOTGRAPH_LOG_FORMAT", "xml")
        assert main(["serve"]) == 1
        (line,) = capsys.readouterr().err.splitlines()
        assert line.endswith("got 'xml' (HOTGRAPH_LOG_FORMAT is 'xml')")

    def test_rest_port_of_the_environment_is_one_that_was_asked_for(
        self, parser: argparse.ArgumentParser
    ) -> None:
        words = ["--grpc-restricted-protocol", "inference:a=b"]
        found = settings_from(
            vars(parser.parse_args(words)), read_environment({"HOTGRAPH_REST_PORT": "9000"})
        )
        assert found.rest.rest_port == 9000


class TestModels:
    @pytest.mark.parametrize(
        ("word", "name", "path"),
        [
            ("/models/flowers", "flowers", "/models/flowers"),
            ("/models/flowers/", "flowers", "/models/flowers"),
            ("/models/flowers/12", "flowers", "/models/flowers/12"),
            ("f=/models/flowers", "f", "/models/flowers"),
            ("f=/models/a=b", "f", "/models/a=b"),
            ("f=a=b", "f", "a=b"),
            ("./a=b/c", "c", "a=b/c"),
            ("/a=b/c", "c", "/a=b/c"),
            ("f=./a=b", "f", "a=b"),
            ("f=~/flowers", "f", str(Path.home() / "flowers")),
            ("~/flowers", "flowers", str(Path.home() / "flowers")),
        ],
    )
    def test_model_is_a_folder_with_or_without_a_name(
        self, parser: argparse.ArgumentParser, word: str, name: str, path: str
    ) -> None:
        (model,) = settings(parser, word).models
        assert (model.name, model.path) == (name, Path(path))

    def test_empty_name_is_the_folders(self, parser: argparse.ArgumentParser) -> None:
        (model,) = settings(parser, "=/models/flowers").models
        assert model.name == "flowers"

    @pytest.mark.parametrize("word", ["", "f=", "="])
    def test_model_without_a_folder_is_refused(self, parser: argparse.ArgumentParser, word: str) -> None:
        with pytest.raises(SettingsError, match=f"{word!r} names no folder; a model is NAME=DIR or DIR"):
            settings(parser, word)

    @pytest.mark.parametrize("word", ["~nosuchuser/flowers", "f=~nosuchuser/flowers"])
    def test_home_of_nobody_is_a_folder_that_is_not_there(
        self, parser: argparse.ArgumentParser, word: str
    ) -> None:
        (model,) = settings(parser, word).models
        with pytest.raises(LoadError, match=r"^~nosuchuser/flowers: no such folder$"):
            versions_in(model.path)

    def test_name_that_cannot_be_is_refused_with_itself(self, parser: argparse.ArgumentParser) -> None:
        with pytest.raises(SettingsError, match=r"a model's name cannot have .* got 'my\\nflowers'"):
            settings(parser, "/models/my\nflowers")

    def test_folder_may_be_a_uri_of_this_machine(
        self, parser: argparse.ArgumentParser, tmp_path: Path
    ) -> None:
        file = tmp_path / "server.toml"
        file.write_text('repository = ["file:///r"]\n[models.t]\npath = "file:///models/t"')
        found = settings(parser, "m=file:///models/m", "file:///models/n", "--config", str(file))
        assert {model.name: model.path for model in found.models} == {
            name: Path("/models", name) for name in "tmn"
        }
        assert found.control.repository == ("/r",)

    def test_two_models_with_one_name_are_refused(self, parser: argparse.ArgumentParser) -> None:
        with pytest.raises(SettingsError, match="two models are called 'm'"):
            settings(parser, "/a/m", "/b/m")
        assert [model.name for model in settings(parser, "/a/m", "other=/b/m").models] == ["m", "other"]


class TestPrecedence:
    def test_flags_win_over_the_file(self, parser: argparse.ArgumentParser, tmp_path: Path) -> None:
        config = write(tmp_path, "port = 1\nmax_calls = 2\nmax_batch_rows = 3\nfast_lane = false")
        found = settings(parser, "--config", config, "--port", "9", "--max-batch-rows", "8", "m=/m")
        assert found.listen == ListenSettings(port=9, max_calls=2, fast_lane=False)
        assert found.models[0].batch == BatchSettings(max_batch_rows=8)

    def test_admin_port_comes_from_file_or_flag(
        self, parser: argparse.ArgumentParser, tmp_path: Path
    ) -> None:
        config = write(tmp_path, "admin_port = 0")
        assert settings(parser, "--config", config).admin.admin_port == 0
        assert settings(parser, "--config", config, "--admin-port", "9").admin.admin_port == 9

    def test_rest_port_is_8502_and_comes_from_file_or_flag(
        self, parser: argparse.ArgumentParser, tmp_path: Path
    ) -> None:
        assert settings(parser).rest == RestSettings(rest_port=8502)
        assert settings(parser, "--config", write(tmp_path, "")).rest == RestSettings(rest_port=8502)
        config = write(tmp_path, "rest_port = 0")
        assert settings(parser, "--config", config).rest.rest_port == 0
        assert settings(parser, "--config", config, "--rest-port", "9").rest.rest_port == 9

    @pytest.mark.parametrize(
        "lock",
        [
            'socket_path = "s"\nsocket_only = true',
            'grpc_restricted_protocol = ["inference:key=secret"]',
        ],
    )
    def test_what_locks_grpc_alone_leaves_no_rest_port_open_that_nobody_asked_for(
        self, lock: str, parser: argparse.ArgumentParser, tmp_path: Path
    ) -> None:
        config = write(tmp_path, lock)
        assert settings(parser, "--config", config).rest.rest_port == 0
        assert settings(parser, "--config", config, "--rest-port", "8502").rest.rest_port == 8502

    def test_rest_port_with_restrictions_of_its_own_is_open(self, parser: argparse.ArgumentParser) -> None:
        words = ["--grpc-restricted-protocol", "trace:key=a", "--http-restricted-api", "trace:key=b"]
        assert settings(parser, *words).rest.rest_port == 8502

    def test_rest_port_has_keys_and_tls_as_well(self, parser: argparse.ArgumentParser) -> None:
        assert settings(parser, "--auth", "rules.toml").rest.rest_port == 8502
        assert settings(parser, "--tls-cert", "c", "--tls-key", "k").rest == RestSettings(rest_port=8502)

    def test_flag_wins_even_where_it_says_the_default(
        self, parser: argparse.ArgumentParser, tmp_path: Path
    ) -> None:
        config = write(tmp_path, "port = 1")
        default = str(ListenSettings().port)
        assert settings(parser, "--config", config, "--port", default).listen == ListenSettings()

    def test_models_own_table_wins_over_both_and_touches_no_other(
        self, parser: argparse.ArgumentParser, tmp_path: Path
    ) -> None:
        config = write(
            tmp_path,
            'max_wait_us = 5\n[models.a]\npath = "/a"\nmax_batch_rows = 2\ndevice = "/GPU:0"\n'
            '[models.b]\npath = "/b"',
        )
        found = settings(parser, "--config", config, "--max-batch-rows", "8", "c=/c")
        batches = {model.name: model.batch for model in found.models}
        assert batches == {
            "a": BatchSettings(max_batch_rows=2, max_wait_us=5),
            "b": BatchSettings(max_batch_rows=8, max_wait_us=5),
            "c": BatchSettings(max_batch_rows=8, max_wait_us=5),
        }
        devices = {model.name: model.session.device for model in found.models}
        assert devices == {"a": "/GPU:0", "b": "/CPU:0", "c": "/CPU:0"}

    def test_models_of_file_and_flags_are_all_served(
        self, parser: argparse.ArgumentParser, tmp_path: Path
    ) -> None:
        config = write(tmp_path, '[models.a]\npath = "/a"')
        assert [model.name for model in settings(parser, "--config", config).models] == ["a"]
        assert [model.name for model in settings(parser, "--config", config, "/b").models] == ["a", "b"]

    def test_one_name_in_file_and_flags_is_refused(
        self, parser: argparse.ArgumentParser, tmp_path: Path
    ) -> None:
        config = write(tmp_path, '[models.a]\npath = "/a"')
        with pytest.raises(SettingsError, match="two models are called 'a'"):
            settings(parser, "--config", config, "/other/a")

    def test_file_without_models_leaves_the_built_in_one(
        self, parser: argparse.ArgumentParser, tmp_path: Path
    ) -> None:
        (model,) = settings(parser, "--config", write(tmp_path, "max_batch_rows = 4")).models
        assert (model.name, model.batch.max_batch_rows) == ("digits", 4)

    def test_home_is_understood_in_the_file_as_well(
        self, parser: argparse.ArgumentParser, tmp_path: Path
    ) -> None:
        (model,) = settings(parser, "--config", write(tmp_path, '[models.a]\npath = "~/a"')).models
        assert model.path == Path.home() / "a"

    def test_bad_value_in_the_file_is_a_settings_error(
        self, parser: argparse.ArgumentParser, tmp_path: Path
    ) -> None:
        with pytest.raises(SettingsError, match="port must be 0 to 65535, got 70000"):
            settings(parser, "--config", write(tmp_path, "port = 70000"))
        with pytest.raises(SettingsError, match="max-batch-rows must be at least 1, got 0"):
            settings(parser, "--config", write(tmp_path, '[models.a]\npath = "/a"\nmax_batch_rows = 0'))

    def test_file_that_is_not_there_is_named(self, parser: argparse.ArgumentParser, tmp_path: Path) -> None:
        with pytest.raises(SettingsError, match=r"gone\.toml: No such file"):
            settings(parser, "--config", str(tmp_path / "gone.toml"))


class _Gone:
    """A stderr whose reader has left."""

    def write(self, _: str) -> int:
        raise BrokenPipeError

    def flush(self) -> None:
        raise BrokenPipeError


@pytest.mark.parametrize("stderr", [None, _Gone()], ids=["closed", "reader gone"])
def test_words_that_nobody_reads_stop_nothing(monkeypatch: pytest.MonkeyPatch, stderr: object) -> None:
    """The thread that waits for signals says what it does; it must outlive whoever listened."""
    monkeypatch.setattr(sys, "stderr", stderr)
    say("stopping")


class TestRepositories:
    def test_repositories_take_the_place_of_the_built_in_model(self, parser: argparse.ArgumentParser) -> None:
        found = settings(parser, "--repository", "/a", "--repository", "~/b")
        assert found.models == ()
        assert found.control.repository == ("/a", str(Path.home() / "b"))
        assert settings(parser).offered is None

    def test_models_of_a_repository_are_like_flags_and_file_say_and_like_their_table(
        self, parser: argparse.ArgumentParser, tmp_path: Path
    ) -> None:
        config = write(
            tmp_path,
            'repository = ["/r"]\nmax_batch_rows = 3\n'
            '[models.m]\nmax_batch_rows = 5\n[models.own]\npath = "/own"',
        )
        found = settings(parser, "--config", config, "--max-queued-calls", "7")
        assert [model.name for model in found.models] == ["own"]
        assert found.offered is not None
        m, other = found.offered("m", Path("/r/m"), None), found.offered("other", Path("/r/other"), None)
        assert m.batch == BatchSettings(max_batch_rows=5, max_queued_calls=7)
        assert other.batch == BatchSettings(max_batch_rows=3, max_queued_calls=7)

    def test_table_without_a_path_needs_a_repository(
        self, parser: argparse.ArgumentParser, tmp_path: Path
    ) -> None:
        config = write(tmp_path, "[models.m]\nmax_batch_rows = 5")
        with pytest.raises(
            SettingsError, match=rf'{config}: \[models.m\] needs path = "DIR", or a repository'
        ):
            settings(parser, "--config", config)

    def test_poll_looks_every_15_seconds_unless_it_is_told_otherwise(
        self, parser: argparse.ArgumentParser
    ) -> None:
        words = ["--repository", "/r", "--model-control", "poll"]
        assert settings(parser, *words).repository.poll_s == 15.0
        assert settings(parser, *words, "--poll-s", "2").repository.poll_s == 2.0
        assert settings(parser, "--repository", "/r").repository.poll_s == 0.0

    @pytest.mark.parametrize(
        ("words", "says"),
        [
            (["--model-control", "explicit"], "model-control explicit needs a repository"),
            (["--memory-mb", "100"], "memory-mb goes with model-control auto"),
            (["--model-control", "auto", "--memory-mb", "-1"], "memory-mb must be 0 to"),
            (["--repository", "/r", "--load-model", "m"], "load-model goes with model-control explicit only"),
            (
                ["--repository", "/r", "--model-config-name", "../x"],
                "model-config-name is the name of a file",
            ),
        ],
    )
    def test_what_does_not_go_together_is_refused(
        self, parser: argparse.ArgumentParser, words: list[str], says: str
    ) -> None:
        with pytest.raises(SettingsError, match=says):
            settings(parser, *words)
