"""The first imports of grpc and TensorFlow, for commands: both must be told things before they load.

Nothing here imports them, or anything of ours that does, at module level.
"""

from __future__ import annotations

import contextlib
import importlib.metadata
import logging
import os
import sys
import tempfile
from collections.abc import Iterable, Iterator
from typing import IO, TYPE_CHECKING

if TYPE_CHECKING:
    from hotgraph_server.settings import OpsSettings, SessionSettings

_LOG = logging.getLogger(__name__)

GRPC_EXPERIMENTS = "GRPC_EXPERIMENTS"
"""The environment variable in which the C core of grpc finds its experiments."""

# From 1.77 on grpcio hands its I/O to a pool of threads of the core's event engine, and every event then
# crosses threads on its way to the serving loop. Without that the loop polls the sockets itself.
_EVENT_ENGINE_SINCE = (1, 77)
_OWN_POLLING = "-event_engine_listener"

_ONLY_FATAL = "3"

_USUAL, _IN_MEMORY = "/tmp", "/dev/shm"


def prepare_grpc() -> bool:
    """Give the serving loop its own polling where the installed grpcio would not; before the first import
    of grpc. What the environment says already is left as it is. Returns whether something was set."""
    if GRPC_EXPERIMENTS in os.environ or "grpc" in sys.modules:
        return False
    major, minor, *_ = importlib.metadata.version("grpcio").split(".")
    if (int(major), int(minor)) < _EVENT_ENGINE_SINCE:
        return False
    os.environ[GRPC_EXPERIMENTS] = _OWN_POLLING
    return True


def import_tensorflow(
    sessions: Iterable[SessionSettings], ops: OpsSettings | None = None, *, or_others: bool = False
) -> None:
    """Import TensorFlow for `sessions`, `or_others` that are not known yet, and then what brings more `ops`.

    Its libraries write to stderr while they load, before any setting of theirs counts. That is kept
    back, and shown only if the import fails. What the environment says already is left as it is.

    Raises:
        StartError: what should bring ops cannot be had, or there is nowhere to write and an import needs it.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", _ONLY_FATAL)
    if not or_others and not any("GPU" in session.canonical_device for session in sessions):
        # Otherwise every process takes some memory of every GPU that it sees.
        os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")
    # It tells about every deprecated function that it calls itself.
    logging.getLogger("tensorflow").setLevel(logging.ERROR)
    with _a_temporary_folder():
        _import_quietly()
        if ops is not None:
            # Here, because it imports grpc.
            from hotgraph_server.graph import other_ops

            other_ops.bring(ops)


def _import_quietly() -> None:
    try:
        kept = os.dup(2)
    except OSError:
        # No stderr, no noise.
        import tensorflow

        return
    with _file_for_noise() as noise:
        os.dup2(noise.fileno(), 2)
        try:
            import tensorflow  # noqa: F401
        except BaseException as error:
            # A file that cannot be written is not the libraries' fault, and they say nothing of it.
            if not isinstance(error, OSError):
                noise.seek(0)
                os.write(kept, noise.read())
            raise
        finally:
            os.dup2(kept, 2)
            os.close(kept)


@contextlib.contextmanager
def _a_temporary_folder() -> Iterator[None]:
    """Let imports go well where nothing can be written, as in a container with a read-only root.

    TensorFlow imports parts of its own tests, which ask for the name of the temporary folder and then write
    nothing, and Keras what it can find, of which Matplotlib does write. The server itself needs no such
    folder but for files that callers bring, and these shall not fill the memory.

    Raises:
        StartError: something could not be imported without.
    """
    try:
        tempfile.gettempdir()
    except OSError as error:
        _LOG.info("nothing that needs a temporary folder can be done: %s", error.strerror)
    else:
        yield
        return
    tempfile.tempdir = _IN_MEMORY if os.access(_IN_MEMORY, os.W_OK) else _USUAL
    try:
        yield
    except OSError as error:
        # Here, because it imports grpc.
        from hotgraph_server.errors import StartError

        raise StartError(f"TensorFlow cannot be imported without a writable folder: {error}") from error
    finally:
        tempfile.tempdir = None


def _file_for_noise() -> IO[bytes]:
    """A file that lies nowhere on disk where the system has such: not every container can write anywhere."""
    if hasattr(os, "memfd_create"):
        return os.fdopen(os.memfd_create("noise"), "w+b")
    return tempfile.TemporaryFile()
