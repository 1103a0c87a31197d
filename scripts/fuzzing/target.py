"""The server under test, a process of its own, and what can be seen of it from outside."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from bench.processes import Launch, NoLine, Server, free_port
from fuzzing.calls import REGION_BYTES
from fuzzing.models import GOOD

_START_S = 120.0
_SETTLE_S = 15.0
SHM = Path("/dev/shm")
PREFIX = "hotgraph-fuzz-"
"""The only shared memory objects that clients of the server may use."""


@dataclass(frozen=True)
class Burden:
    """What a process holds.

    Attributes:
        resident_mib: of its memory.
        threads, files: how many; open files and connections.
    """

    resident_mib: float
    threads: int
    files: int


class Target:
    """A server that answers.

    Attributes:
        address: of its gRPC port.
        rest: the address of its REST port.
        pid: of its process.
    """

    def __init__(self, server: Server, rest: str = "") -> None:
        self._server = server
        self.rest = rest
        self.pid = server.pid
        try:
            self.address = server.wait_for_line("serving on ", _START_S)
        except NoLine as error:
            raise SystemExit(f"scripts/fuzz: the server does not start: {server.last_words()}") from error

    @property
    def ended(self) -> bool:
        return self._server.ended

    def burden(self) -> Burden:
        """What it holds now."""
        process = Path(f"/proc/{self.pid}")
        return Burden(
            self._server.resident_bytes() / 2**20,
            len(os.listdir(process / "task")),
            len(os.listdir(process / "fd")),
        )

    def settled(self, before: Burden, slack: int) -> Burden:
        """What it holds when what came and went has gone: connections close, and threads end, a little later
        than their callers have seen. Waits for that some seconds at most."""
        ends = time.monotonic() + _SETTLE_S
        while True:
            now = self.burden()
            calm = now.threads <= before.threads + slack and now.files <= before.files + slack
            if calm or time.monotonic() > ends:
                return now
            time.sleep(0.1)

    def log(self) -> str:
        """All that it has said."""
        return self._server.log.read_text(errors="replace")

    def last_words(self) -> str:
        return self._server.last_words()


@contextmanager
def serving(
    repository: Path, good: Path, work: Path, flags: Sequence[str] = ()
) -> Iterator[tuple[Target, str]]:
    """``with serving(...) as (target, key):`` a server of a repository whose models come and go by RPC.

    Args:
        good: the SavedModel that it serves as GOOD whatever happens.
        work: a folder for its files.
        flags: more of `hotgraph serve`.

    Returns:
        The server, and the key of a shared memory object that its clients may use.
    """
    key = f"{PREFIX}{os.getpid()}"
    settings = work / "fuzz.toml"
    settings.write_text(f'client_shm_prefix = "{PREFIX}"\nmax_client_shm_mb = 16\n')
    words = [f"{GOOD}={good}", "--config", str(settings), "--port", "0", "--admin-port", "0"]
    rest_port = free_port()
    words += ["--rest-port", str(rest_port)]
    words += ["--repository", str(repository), "--model-control", "explicit", "--load-model", "*"]
    words += ["--allow-client-shm", "--cache-mb", "8", "--trace-file", str(work / "traces.json")]
    memory = SHM / key
    memory.write_bytes(bytes(REGION_BYTES))
    try:
        with running(["serve", *words, *flags], work, f"127.0.0.1:{rest_port}") as target:
            yield target, key
    finally:
        memory.unlink(missing_ok=True)


@contextmanager
def running(words: Sequence[str], work: Path, rest: str = "") -> Iterator[Target]:
    """A `hotgraph` command that serves, in a folder of its own; `rest` is where it was told to serve REST."""
    temporary = work / "temporary"
    temporary.mkdir(exist_ok=True)
    command = [sys.executable, "-m", "hotgraph_server", *words]
    # As a file of our own: the folder may be used for several servers, one after the other.
    server = Server(Launch(command, {"TMPDIR": str(temporary)}, work), work / f"{words[0]}.log")
    try:
        yield Target(server, rest)
    finally:
        server.stop()
