"""What all tests share. Quick to import: nothing here imports TensorFlow before a test needs it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from hotgraph_server.threads import processors

from . import branches
from .saved_models import SavedModels

_BRANCHES = pytest.StashKey[str]()

# How long an example takes says something about who else uses the machine, and nothing about the code.
settings.register_profile("no clock", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("all", settings.get_profile("no clock"), max_examples=500)
settings.load_profile("no clock")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--all", action="store_true", help="run the slow tests too, and properties on more examples"
    )


def pytest_configure(config: pytest.Config) -> None:
    if config.getoption("--all"):
        settings.load_profile("all")


def pytest_xdist_auto_num_workers(config: pytest.Config) -> int:
    """What ``-n auto`` means."""
    return processes_for(config.option.file_or_dir)


def processes_for(named: Sequence[str]) -> int:
    """One for each usable processor; none beside this one if all that is `named` is in a single file.

    A process has to collect all tests and to start TensorFlow before it saves anybody time.
    """
    files = {name.partition("::")[0] for name in named}
    if len(files) == 1 and files.pop().endswith(".py"):
        return 0
    return processors.usable()


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if config.getoption("cov_source", None):
        _measure_their_own_tests(items)
    if config.getoption("--all"):
        return
    slow = [item for item in items if item.get_closest_marker("slow")]
    items[:] = [item for item in items if item not in slow]
    config.hook.pytest_deselected(items=slow)


def _measure_their_own_tests(items: list[pytest.Item]) -> None:
    """Let each package be measured by the tests that mirror it: they shall suffice, and the others, which
    call much of TensorFlow's Python, would take half as long again."""
    from coverage import Coverage

    sources = Coverage().get_option("run:source")
    assert isinstance(sources, list)
    measured = [Path(__file__).parent / "server" / Path(source).name for source in sources]
    for item in items:
        if not any(item.path.is_relative_to(folder) for folder in measured):
            item.add_marker("no_cover")


@pytest.hookimpl(tryfirst=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """Hold each room to its own limit where branches were measured, before the closing lines say so."""
    config = session.config
    if hasattr(config, "workerinput") or not config.getoption("cov_source", None):
        return
    taken = branches.measured()
    config.stash[_BRANCHES] = ", ".join(f"{room} {percent:.1f} %" for room, percent in taken.items())
    too_few = not taken or min(taken.values()) < branches.MIN_PERCENT
    # What has failed, or was interrupted, says so by a status of its own.
    if too_few and session.exitstatus == pytest.ExitCode.OK:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    if taken := config.stash.get(_BRANCHES, None):
        terminalreporter.write_line(f"branches taken (at least {branches.MIN_PERCENT:.0f} % each): {taken}")


@pytest.fixture(scope="session")
def thorough(request: pytest.FixtureRequest) -> bool:
    """Whether to try all that there is, as --all says, or as much as a change can wait for."""
    return bool(request.config.getoption("--all"))


@pytest.fixture(scope="session")
def saved_models(tmp_path_factory: pytest.TempPathFactory) -> SavedModels:
    """The SavedModels of tests/saved_models by name, for example ``saved_models["tf2_mlp"]``."""
    return SavedModels(tmp_path_factory.mktemp("saved_models"))
