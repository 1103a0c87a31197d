"""The command ``hotgraph``, each time in an interpreter of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from hotgraph_client import models_command
from hotgraph_protos.version import __version__
from hotgraph_server.commands import cli

SERVERS_OWN = ["tensorflow", "tensorflow_serving", "grpc_health", "grpc_reflection", "ml_dtypes", "tomli"]

# An interpreter in which some packages are not installed.
WITHOUT = """
import importlib.abc, sys
class Gone(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path, target=None):
        if name.partition(".")[0] in {gone!r}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)
sys.meta_path.insert(0, Gone())
"""
CALL = "import sys; from hotgraph_server.commands.cli import main; sys.exit(main({words!r}))"


def python(program: str, *, folder: Path | None = None) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path)), "COLUMNS": "100"}
    return subprocess.run(
        [sys.executable, "-c", program],
        env=environment,
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )


def hotgraph(*words: str, gone: list[str] | None = None, folder: Path | None = None) -> tuple[int, str, str]:
    """Exit status, stdout and stderr of a call, where the packages in `gone` are not installed."""
    finished = python(WITHOUT.format(gone=gone or []) + CALL.format(words=list(words)), folder=folder)
    return finished.returncode, finished.stdout, finished.stderr


@pytest.mark.parametrize("word", ["--help", "--version"])
def test_help_and_version_need_neither_tensorflow_nor_grpc_nor_numpy(word: str) -> None:
    status, out, error = hotgraph(word, gone=[*SERVERS_OWN, "grpc", "numpy", "google"])
    assert (status, error) == (0, "")
    assert "hotgraph" in out


def test_help_shows_every_command_and_first_steps() -> None:
    _, out, _ = hotgraph("--help")
    for text in (
        "serve",
        "tensorflow-model-server",
        "inspect",
        "predict",
        "first steps:",
        "hotgraph serve  ",
        "hotgraph COMMAND --help",
    ):
        assert text in out


def test_version_is_the_packages() -> None:
    assert hotgraph("--version")[1] == f"hotgraph {__version__}\n"


@pytest.mark.parametrize(
    "command", ["serve", "tensorflow-model-server", "inspect", "models", "predict", "health", "config"]
)
def test_help_of_a_command_has_examples_and_does_not_wait_for_tensorflow(command: str) -> None:
    status, out, error = hotgraph(command, "--help", gone=["tensorflow", "tensorflow_serving"])
    assert (status, error) == (0, "")
    assert f"examples:\n  hotgraph {command}" in out


@pytest.mark.parametrize(
    "words",
    [[], ["nonesuch"], ["serve", "--nonesuch"], ["tensorflow-model-server", "nonesuch"], ["inspect"]],
)
def test_wrong_usage_exits_with_two_and_shows_the_usage(words: list[str]) -> None:
    status, out, error = hotgraph(*words)
    assert (status, out) == (2, "")
    assert error.startswith("usage: hotgraph")


@pytest.mark.parametrize(
    ("words", "meant"),
    [
        (["serve", "--max-bach-rows", "3"], "; did you mean '--max-batch-rows'?"),
        (["serve", "--prot=3", "--nonesuch"], "; did you mean '--port'?"),
        (["health", "--time-s", "3"], "; did you mean '--timeout-s'?"),
        (["serve", "--nonesuch"], ""),
        (["config", "check", "FILE", "more"], ""),
    ],
)
def test_unknown_flag_is_refused_with_the_one_that_was_meant(words: list[str], meant: str) -> None:
    status, _, error = hotgraph(*words)
    assert status == 2
    line = error.splitlines()[-1]
    assert line.startswith(f"hotgraph {words[0]}: error: unrecognized arguments: ")
    assert line.partition("; ")[2] == meant.removeprefix("; ")


@pytest.mark.parametrize(
    ("word", "says"),
    [
        ("serv", "no command 'serv'; did you mean 'serve'?"),
        ("Predict", "no command 'Predict'; did you mean 'predict'?"),
        ("model", "no command 'model'; did you mean 'models'?"),
        ("flowers.keras", "no command 'flowers.keras'; is it a model? hotgraph serve flowers.keras"),
        ("nonesuch", "no command 'nonesuch'; hotgraph --help lists them"),
    ],
)
def test_unknown_command_is_refused_with_the_one_that_was_meant(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], word: str, says: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "flowers.keras").touch()
    with pytest.raises(SystemExit) as ended:
        cli.main([word, "--port", "1"])
    assert ended.value.code == 2
    assert capsys.readouterr().err.splitlines()[-1] == f"hotgraph: error: {says}"


def test_interrupted_command_ends_as_shells_say_it_and_without_a_traceback(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(arguments: object) -> int:
        raise KeyboardInterrupt

    monkeypatch.setattr(models_command, "run", interrupted)
    assert cli.main(["models", "127.0.0.1:1"]) == 130
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(
    "command", [["serve"], ["tensorflow-model-server", "--model_base_path=/m"], ["inspect", "DIR"]]
)
def test_without_the_servers_packages_one_line_says_what_to_install(
    command: list[str], tmp_path: Path
) -> None:
    (tmp_path / "DIR").mkdir()
    (tmp_path / "DIR" / "saved_model.pb").touch()
    status, out, error = hotgraph(*command, gone=SERVERS_OWN, folder=tmp_path)
    assert (status, out) == (1, "")
    assert "Traceback" not in error
    line = error.splitlines()[-1]
    assert line.startswith(f"hotgraph {command[0]}: No module named ")
    assert line.endswith("The server needs: pip install 'hotgraph[server]'")


def test_version_of_the_drop_in_is_the_packages() -> None:
    status, out, _ = hotgraph("tensorflow-model-server", "--version", gone=["tensorflow"])
    assert (status, out.split()[:2]) == (0, ["hotgraph", f"{__version__},"])


def test_predict_works_without_the_servers_packages() -> None:
    status, out, error = hotgraph("predict", "127.0.0.1:1", "m", "--input", "x=[1]", gone=SERVERS_OWN)
    assert (status, out) == (1, "")
    assert "No module" not in error
    assert "127.0.0.1:1" in error


@pytest.mark.parametrize("command", ["serve", "inspect"])
def test_folder_that_is_not_there_is_one_line_and_costs_no_import(command: str, tmp_path: Path) -> None:
    gone = tmp_path / "gone"
    status, out, error = hotgraph(command, str(gone), gone=["tensorflow", "tensorflow_serving"])
    assert (status, out) == (1, "")
    assert "Traceback" not in error
    assert error.splitlines()[-1] == f"hotgraph {command}: {gone}: no such folder"


def test_bad_setting_is_one_line() -> None:
    status, out, error = hotgraph("serve", "--port", "70000", gone=["tensorflow"])
    assert (status, out, error) == (1, "", "hotgraph serve: port must be 0 to 65535, got 70000\n")


def test_inspect_reports_on_the_built_in_model() -> None:
    program = """
import sys
from hotgraph_server.commands.builtin import digits_model
from hotgraph_server.commands.cli import main
sys.exit(main(["inspect", str(digits_model())]))
"""
    finished = python(program)
    assert (finished.returncode, finished.stderr) == (0, "")
    assert finished.stdout.startswith("digits, version 1\n")
    assert "  in   images         FP32     [?, 784]\n" in finished.stdout
    assert "  calls share batches: proven by structure\n" in finished.stdout


def test_module_is_the_command_too() -> None:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    finished = subprocess.run(
        [sys.executable, "-m", "hotgraph_server", "--version"],
        env=environment,
        capture_output=True,
        text=True,
        timeout=100,
        check=True,
    )
    assert finished.stdout == f"hotgraph {__version__}\n"


def into_closed_pipe(*words: str, also_stderr: bool = False) -> tuple[int, str]:
    """Exit status and stderr of a call whose stdout nobody reads."""
    reading, writing = os.pipe()
    os.close(reading)
    try:
        finished = subprocess.run(
            [sys.executable, "-c", CALL.format(words=list(words))],
            stdout=writing,
            stderr=writing if also_stderr else subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
            timeout=100,
            check=False,
        )
    finally:
        os.close(writing)
    return finished.returncode, (finished.stderr or b"").decode()


@pytest.mark.parametrize(
    "words", [["--help"], ["--version"], ["predict", "--help"], ["auth", "new"], ["config", "check", "FILE"]]
)
def test_output_that_nobody_reads_is_no_fault_and_says_nothing(words: list[str], tmp_path: Path) -> None:
    (tmp_path / "settings.toml").write_text("port = 8600\n")
    words = [str(tmp_path / "settings.toml") if word == "FILE" else word for word in words]
    status, error = into_closed_pipe(*words)
    assert error == ""
    assert status in (0, 141)
    assert into_closed_pipe(*words, also_stderr=True)[0] in (0, 141)


def test_output_that_nobody_reads_has_the_status_that_a_shell_gives(tmp_path: Path) -> None:
    (tmp_path / "settings.toml").write_text("port = 8600\n")
    assert into_closed_pipe("config", "check", str(tmp_path / "settings.toml")) == (141, "")
