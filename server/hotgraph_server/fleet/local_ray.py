"""``python -m hotgraph_server.fleet.local_ray FOLDER``: a Ray on this machine alone, for as long as this
process.

It prints one line, the address, and lives until SIGTERM; all of Ray's processes end with it, however it ends.
Not `ray start`, which would begin a server for Ray's own clients too, and be ended only with all other Rays
here.

It listens on the loopback alone, and takes who knows a secret that lies in FOLDER: any program on this
machine can connect there, and who can talk to Ray can run what they like."""

from __future__ import annotations

import os
import secrets
import signal
import sys
import threading
from pathlib import Path

# What is sent through Ray is small: nothing of it is kept there.
_OBJECT_STORE_BYTES = 100 * 2**20
_TOKEN = "token"


def environment(folder: Path) -> dict[str, str]:
    """What a process has to be told by its environment that talks to this Ray, before it imports Ray."""
    return {
        **loopback(),
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN_PATH": str(folder / _TOKEN),
    }


def loopback() -> dict[str, str]:
    """The same for any Ray whose nodes are at 127.0.0.1: Ray would look for them at the machine's address in
    the network, as it does everywhere but on systems where it knows no clusters."""
    return {"RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0"}


def main() -> None:
    """Until SIGTERM; FOLDER is this Ray's, its owner's alone, and its path is short, for sockets are in
    it."""
    folder = Path(sys.argv[1])
    token = folder / _TOKEN
    token.touch(mode=0o600)
    token.write_text(secrets.token_hex(32))
    os.environ.update(environment(folder))
    import ray

    ray.init(
        _temp_dir=str(folder / "ray"),
        include_dashboard=False,
        object_store_memory=_OBJECT_STORE_BYTES,
        log_to_driver=False,
        configure_logging=False,
    )
    ending = threading.Event()
    # Not before: Ray puts its own in their place. Nor blocked and waited for, for Ray's processes and the
    # servers would have them blocked too. One that comes earlier ends this process, and Ray's with it.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: ending.set())
    print(ray.get_runtime_context().gcs_address, flush=True)
    ending.wait()
    ray.shutdown()


if __name__ == "__main__":
    main()
