"""log_set_up.py: what stderr looks like, by the settings."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

PROGRAM = """
import logging, sys
from hotgraph_server.commands.log_set_up import set_up_logging
from hotgraph_server.commands.signals import say
from hotgraph_server.settings import LoggingSettings
set_up_logging(False, None, LoggingSettings())
set_up_logging({verbose}, None, LoggingSettings({settings}))
for name in ("hotgraph_server.batching.queue", "hotgraph_server.models.version", "somebody.else"):
    for level in ("debug", "info", "warning"):
        getattr(logging.getLogger(name), level)("%s %s", name.rpartition(".")[2], level)
say("serving on here")
"""


def lines(settings: str = "", verbose: bool = False) -> list[str]:
    program = PROGRAM.format(settings=settings, verbose=verbose)
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=100, check=True
    )
    return done.stderr.splitlines()


@pytest.mark.parametrize(
    ("settings", "verbose", "said"),
    [
        ("", False, ["queue info", "queue warning", "version info", "version warning", "else warning"]),
        ("log_level='error'", False, []),
        (
            "log_level='batching=debug,warning,somebody.else=info'",
            False,
            ["queue debug", "queue info", "queue warning", "version warning", "else info", "else warning"],
        ),
        ("log_level='models=error,batching=error'", True, ["else warning"]),
    ],
)
def test_levels_are_as_said(settings: str, verbose: bool, said: list[str]) -> None:
    *entries, last = lines(settings, verbose)
    assert [" ".join(entry.split()[2:]) for entry in entries] == said
    assert last == "serving on here"


def test_json_is_all_of_it_the_words_of_the_command_too() -> None:
    entries = [json.loads(line) for line in lines("log_format='json'")]
    assert len(entries) == 6
    assert (entries[0]["message"], entries[0]["level"]) == ("queue info", "info")
    assert entries[-1]["message"] == "serving on here"
