"""Processes of a tuning end with it, however it ends."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
from pathlib import Path

import pytest

_CHILD = "import os, sys, time; print('serving on x', file=sys.stderr, flush=True); time.sleep(600)"
_PARENT = f"""
import sys, time
from hotgraph_server.tuning.children import served
with served([], [sys.executable, "-c", {_CHILD!r}]):
    print("up", flush=True)
    time.sleep(600)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere nobody can be asked for it")
@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM])
def test_server_ends_with_a_tuning_that_is_killed(how: signal.Signals) -> None:
    with subprocess.Popen([sys.executable, "-c", _PARENT], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        assert parent.stdout.readline() == "up\n"
        (child,) = Path(f"/proc/{parent.pid}/task/{parent.pid}/children").read_text().split()
        ends = os.pidfd_open(int(child))
        parent.send_signal(how)
    try:
        assert select.select([ends], [], [], 30.0)[0], "it goes on"
    finally:
        os.close(ends)
