"""scripts/venv.sh picks an interpreter that works, and knows when an installation is out of date."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

VENV_SH = Path(__file__).resolve().parents[2] / "scripts" / "venv.sh"


class Shell:
    """Bash with venv.sh sourced, in a repository and with commands of the test's own making."""

    def __init__(self, folder: Path) -> None:
        self.root = folder / "repository"
        self.commands = folder / "bin"
        (self.root / "scripts").mkdir(parents=True)
        shutil.copy(VENV_SH, self.root / "scripts")
        (self.root / "pyproject.toml").write_text("[project]\n")
        self.commands.mkdir()
        for name in ("cat", "cksum", "dirname"):
            path = shutil.which(name)
            assert path is not None
            (self.commands / name).symlink_to(path)

    def add_python(self, name: str, *, version: tuple[int, int], ensurepip: bool = True) -> None:
        """A command that answers venv.sh's two questions as the interpreter of that version would."""
        command = self.commands / name
        module = "types.ModuleType('ensurepip')" if ensurepip else "None"
        command.write_text(
            f"#!{sys.executable}\n"
            "import sys, types\n"
            f"sys.version_info = {(*version, 0)}\n"
            f"sys.modules['ensurepip'] = {module}\n"
            "exec(sys.argv[2])\n"
        )
        command.chmod(0o755)

    def add_broken(self, name: str) -> None:
        """A command that exists and only complains, as pyenv's shims do for versions not chosen."""
        (self.commands / name).write_text("#!/bin/sh\necho command not found >&2\nexit 127\n")
        (self.commands / name).chmod(0o755)

    def run(self, script: str, **environment: str) -> subprocess.CompletedProcess[str]:
        bash = shutil.which("bash")
        assert bash is not None
        return subprocess.run(
            [bash, "-c", f"set -euo pipefail\nsource '{self.root}/scripts/venv.sh'\n{script}"],
            env={"PATH": os.fspath(self.commands), **environment},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )


@pytest.fixture
def shell(tmp_path: Path) -> Shell:
    return Shell(tmp_path)


def test_first_python_in_range_is_chosen_past_old_new_and_broken_ones(shell: Shell) -> None:
    shell.add_python("python3", version=(3, 9))
    shell.add_python("python3.13", version=(3, 14))
    shell.add_broken("python3.12")
    shell.add_python("python3.11", version=(3, 11))
    shell.add_python("python3.10", version=(3, 10))
    assert shell.run("choose_python").stdout == "python3.11\n"


def test_python_without_ensurepip_is_passed_over_for_one_that_has_it(shell: Shell) -> None:
    shell.add_python("python3", version=(3, 12), ensurepip=False)
    shell.add_python("python3.10", version=(3, 10))
    assert shell.run("choose_python").stdout == "python3.10\n"


def test_missing_venv_package_is_named(shell: Shell) -> None:
    shell.add_python("python3", version=(3, 12), ensurepip=False)
    done = shell.run("choose_python")
    assert done.returncode != 0
    assert done.stdout == ""
    assert done.stderr.splitlines()[-1].endswith("sudo apt-get install python3.12-venv")


def test_no_python_at_all_is_one_clear_line(shell: Shell) -> None:
    done = shell.run("ensure_venv server")
    assert done.returncode != 0
    assert len(done.stderr.splitlines()) == 1
    assert "no Python from 3.10 to 3.13 found" in done.stderr


def test_named_python_out_of_range_is_refused_even_where_another_would_do(shell: Shell) -> None:
    shell.add_python("python3", version=(3, 11))
    shell.add_python("python3.9", version=(3, 9))
    done = shell.run("ensure_venv server", PYTHON="python3.9")
    assert done.returncode != 0
    assert done.stderr == "PYTHON=python3.9 is no Python from 3.10 to 3.13\n"


@pytest.mark.parametrize(
    ("installed", "wanted", "current"),
    [
        *[
            ("server", "server", True),
            ("dev", "dev", True),
            ("dev", "server", True),
            ("server", "dev", False),
        ],
        *[("server,loadtest", "loadtest", True), ("server,loadtest", "loadtest,server", True)],
        *[
            ("server", "loadtest", False),
            ("server", "server,loadtest", False),
            ("dev", "server,loadtest", True),
        ],
    ],
)
def test_dev_contains_the_others_and_not_the_other_way(
    shell: Shell, installed: str, wanted: str, current: bool
) -> None:
    (shell.root / ".venv" / "bin").mkdir(parents=True)
    (shell.root / ".venv" / "bin" / "python").symlink_to(sys.executable)
    done = shell.run(f'venv_stamp {installed} >"$VENV/installed"; venv_is_current {wanted}')
    assert (done.returncode == 0) is current


@pytest.mark.parametrize(
    ("installed", "wanted", "extras"),
    [
        *[("", "server", "server"), ("server", "loadtest", "server,loadtest"), ("server", "dev", "dev")],
        *[("server,loadtest", "loadtest", "server,loadtest"), ("dev", "loadtest", "dev")],
    ],
)
def test_what_one_script_asked_for_is_kept_when_another_asks_for_more(
    shell: Shell, installed: str, wanted: str, extras: str
) -> None:
    assert shell.run(f"with_extras '{installed}' '{wanted}'").stdout == f"{extras}\n"


@pytest.mark.parametrize(
    "change", ["echo '# edited' >>\"$VENV_ROOT/pyproject.toml\"", "VENV_ROOT+=/../repository"]
)
def test_changed_dependencies_or_a_moved_repository_are_out_of_date(shell: Shell, change: str) -> None:
    (shell.root / ".venv" / "bin").mkdir(parents=True)
    (shell.root / ".venv" / "bin" / "python").symlink_to(sys.executable)
    assert shell.run('venv_stamp dev >"$VENV/installed"; venv_is_current dev').returncode == 0
    assert shell.run(f"{change}; venv_is_current dev").returncode != 0
